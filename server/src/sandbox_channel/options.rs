//! What the sandbox is asked to play.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use clap::Args;
use yue_engine::model::parse_signed_units;

/// A share of the orders, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    pub(super) const WHOLE: u32 = 1_000_000;

    #[cfg(test)]
    pub(super) const fn test(millionths: u32) -> Self {
        Self(millionths)
    }

    /// Whether a draw below [`Rate::WHOLE`] falls into the share.
    pub(super) fn takes(self, draw: u32) -> bool {
        draw < self.0
    }

    /// Both shares one after the other; `None` if they are more than all.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).filter(|&sum| sum <= Self::WHOLE).map(Self)
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let millionths = parse_signed_units(text, 6).and_then(|millionths| u32::try_from(millionths).ok());
        millionths
            .filter(|&rate| rate <= Self::WHOLE)
            .map(Self)
            .ok_or("a rate is a decimal number from 0 to 1")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&yue_engine::model::format_units(self.0.into(), 6))
    }
}

/// Arguments of `sandbox-channel`. Rates are shares of the orders, from 0 to 1; what happens to an order depends on its
/// id and the seed alone.
#[derive(Args, Clone, Debug)]
pub struct SandboxArguments {
    /// Address and port to listen on, on loopback; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// Where the wallet is; notifications go to /v1/channels/… there.
    #[arg(long, value_name = "BASE", default_value = "http://127.0.0.1:8080")]
    pub notify_url: String,
    /// Other seeds do other things to the same orders.
    #[arg(long, value_name = "N", default_value_t = 618)]
    pub seed: u64,
    /// Milliseconds from an order to its notification.
    #[arg(long, value_name = "MS", default_value_t = 20)]
    pub notify_after_ms: u64,
    /// Orders that fail: `failed` is notified.
    #[arg(long, value_name = "RATE", default_value_t)]
    pub fail_rate: Rate,
    /// Orders that nobody pays: nothing is ever notified.
    #[arg(long, value_name = "RATE", default_value_t)]
    pub abandon_rate: Rate,
    /// Orders that are paid with another amount.
    #[arg(long, value_name = "RATE", default_value_t)]
    pub wrong_amount_rate: Rate,
    /// Orders of which the notification is late.
    #[arg(long, value_name = "RATE", default_value_t)]
    pub late_rate: Rate,
    /// Milliseconds by which it is.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    pub late_after_ms: u64,
    /// Orders of which the notification is sent two to four times, at once.
    #[arg(long, value_name = "RATE", default_value_t)]
    pub duplicate_rate: Rate,
    /// Paid orders of which an older `failed` is notified after `paid`.
    #[arg(long, value_name = "RATE", default_value_t)]
    pub reorder_rate: Rate,
    /// Orders that are taken without an answer: the connection is silent, and then ends.
    #[arg(long, value_name = "RATE", default_value_t)]
    pub timeout_rate: Rate,
    /// Milliseconds of the silence.
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    pub timeout_after_ms: u64,
    /// Orders that are taken, and the connection ends at once.
    #[arg(long, value_name = "RATE", default_value_t)]
    pub lose_answer_rate: Rate,
    /// Orders that are remembered; more are refused with 503.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub orders_max: usize,
}

impl SandboxArguments {
    pub(super) fn notify_after(&self) -> Duration {
        Duration::from_millis(self.notify_after_ms)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use crate::cli::Cli;

    #[test]
    fn the_documentation_lists_each_option() {
        let page = include_str!("../../../docs/operations/channels.md");
        let command = Cli::command();
        let sandbox = command.find_subcommand("sandbox-channel").unwrap();
        let mut options = 0;
        for argument in sandbox.get_arguments() {
            let Some(flag) = argument.get_long().filter(|flag| !["help", "version"].contains(flag)) else {
                continue;
            };
            let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_str()).collect();
            let [Some(default)] = default.as_slice() else { panic!("{flag} has no default") };
            let row = format!("| `--{flag}` | {default} | ");
            assert!(page.contains(&row), "docs/operations/channels.md lacks the row {row}");
            options += 1;
        }
        let rows = page.lines().filter(|line| line.starts_with("| `--")).count();
        assert_eq!(rows, options, "each row is an option");
    }
}

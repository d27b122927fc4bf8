//! The wallet's options: the section `[wallet]` of the file.
//!
//! Owns their names and ranges; the defaults are where the wallet defines its limits. Never checks what the ledger does.

use std::{fmt::Write as _, str::FromStr};

use clap::Args;
use serde::{Deserialize, Serialize};
use yue_engine::{
    model::{Limit, LimitWindow, format_units, parse_signed_units},
    wallet::Settings,
};

use super::{ConfigError, in_range};

/// What can be set of the wallet. Absent means: the next source decides.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WalletOptions {
    /// What a wallet of class I may spend, as WINDOW=YUAN,WINDOW=YUAN with day, month, year, lifetime
    /// [default: lifetime=1000.00].
    #[arg(
        long = "wallet-class-one-limits",
        env = "YUE_WALLET_CLASS_ONE_LIMITS",
        value_name = "WINDOW=YUAN",
        value_delimiter = ','
    )]
    pub class_one_limits: Option<Vec<SpendingLimit>>,
    /// The same for class II [default: year=100000.00].
    #[arg(
        long = "wallet-class-two-limits",
        env = "YUE_WALLET_CLASS_TWO_LIMITS",
        value_name = "WINDOW=YUAN",
        value_delimiter = ','
    )]
    pub class_two_limits: Option<Vec<SpendingLimit>>,
    /// The same for class III [default: year=200000.00].
    #[arg(
        long = "wallet-class-three-limits",
        env = "YUE_WALLET_CLASS_THREE_LIMITS",
        value_name = "WINDOW=YUAN",
        value_delimiter = ','
    )]
    pub class_three_limits: Option<Vec<SpendingLimit>>,
    /// Wrong passwords in a row that lock [default: 5].
    #[arg(long = "wallet-password-attempts-max", env = "YUE_WALLET_PASSWORD_ATTEMPTS_MAX", value_name = "N")]
    pub password_attempts_max: Option<u32>,
    /// Seconds of a lock [default: 7200].
    #[arg(long = "wallet-password-lock-seconds", env = "YUE_WALLET_PASSWORD_LOCK_SECONDS", value_name = "S")]
    pub password_lock_seconds: Option<u64>,
    /// KiB of memory of one password hash (Argon2id) [default: 19456].
    #[arg(
        long = "wallet-password-hash-memory-kib",
        env = "YUE_WALLET_PASSWORD_HASH_MEMORY_KIB",
        value_name = "KIB"
    )]
    pub password_hash_memory_kib: Option<u32>,
    /// Passes of one password hash [default: 2].
    #[arg(long = "wallet-password-hash-passes", env = "YUE_WALLET_PASSWORD_HASH_PASSES", value_name = "N")]
    pub password_hash_passes: Option<u32>,
    /// Password hashes at the same time [default: 1].
    #[arg(long = "wallet-password-hashes-max", env = "YUE_WALLET_PASSWORD_HASHES_MAX", value_name = "N")]
    pub password_hashes_max: Option<usize>,
    /// Passwords that may wait for a hash; more are refused [default: 256].
    #[arg(long = "wallet-passwords-waiting-max", env = "YUE_WALLET_PASSWORDS_WAITING_MAX", value_name = "N")]
    pub passwords_waiting_max: Option<usize>,
    /// Most seconds of a payment token [default: 300].
    #[arg(long = "wallet-token-seconds-max", env = "YUE_WALLET_TOKEN_SECONDS_MAX", value_name = "S")]
    pub token_seconds_max: Option<u32>,
    /// Devices of one wallet [default: 16].
    #[arg(long = "wallet-devices-max", env = "YUE_WALLET_DEVICES_MAX", value_name = "N")]
    pub devices_max: Option<usize>,
    /// Most of a payment without password, whatever its owner set [default: 1000.00].
    #[arg(long = "wallet-small-payment-max", env = "YUE_WALLET_SMALL_PAYMENT_MAX", value_name = "YUAN")]
    pub small_payment_max: Option<Yuan>,
    /// Most payments without password a day, whatever their owner set [default: 100].
    #[arg(
        long = "wallet-small-payments-per-day",
        env = "YUE_WALLET_SMALL_PAYMENTS_PER_DAY",
        value_name = "N"
    )]
    pub small_payments_per_day: Option<u32>,
    /// Seconds that a combination payment holds its own part and waits for its channel [default: 900].
    #[arg(long = "wallet-payment-hold-seconds", env = "YUE_WALLET_PAYMENT_HOLD_SECONDS", value_name = "S")]
    pub payment_hold_seconds: Option<u32>,
    /// Attempts to compose a payment that others are quicker than [default: 4].
    #[arg(long = "wallet-payment-attempts-max", env = "YUE_WALLET_PAYMENT_ATTEMPTS_MAX", value_name = "N")]
    pub payment_attempts_max: Option<u32>,
    /// Days in which a payment can be refunded [default: 365].
    #[arg(long = "wallet-refund-days", env = "YUE_WALLET_REFUND_DAYS", value_name = "DAYS")]
    pub refund_days: Option<u32>,
    /// Refunds of one payment [default: 50].
    #[arg(long = "wallet-refunds-max", env = "YUE_WALLET_REFUNDS_MAX", value_name = "N")]
    pub refunds_max: Option<u32>,
    /// What is paid for one carbon point; 0.00 gives none [default: 1.00].
    #[arg(long = "wallet-carbon-point-price", env = "YUE_WALLET_CARBON_POINT_PRICE", value_name = "YUAN")]
    pub carbon_point_price: Option<Yuan>,
    /// Fast redemption of a wallet a day, within payments too [default: 10000.00].
    #[arg(
        long = "wallet-fast-redemption-per-day",
        env = "YUE_WALLET_FAST_REDEMPTION_PER_DAY",
        value_name = "YUAN"
    )]
    pub fast_redemption_per_day: Option<Yuan>,
    /// Wallets that one transaction of a wealth day credits [default: 60].
    #[arg(
        long = "wallet-wealth-credits-per-transaction",
        env = "YUE_WALLET_WEALTH_CREDITS_PER_TRANSACTION",
        value_name = "N"
    )]
    pub wealth_credits_per_transaction: Option<usize>,
    /// Transactions of a wealth day's income in flight [default: 4].
    #[arg(
        long = "wallet-wealth-credits-in-flight",
        env = "YUE_WALLET_WEALTH_CREDITS_IN_FLIGHT",
        value_name = "N"
    )]
    pub wealth_credits_in_flight: Option<usize>,
    /// Sweeps of a wealth day in flight [default: 32].
    #[arg(
        long = "wallet-wealth-sweeps-in-flight",
        env = "YUE_WALLET_WEALTH_SWEEPS_IN_FLIGHT",
        value_name = "N"
    )]
    pub wealth_sweeps_in_flight: Option<usize>,
    /// Milliseconds for which a step of a wealth day tries again while the engine is overloaded [default: 60000].
    #[arg(long = "wallet-wealth-patience-ms", env = "YUE_WALLET_WEALTH_PATIENCE_MS", value_name = "MS")]
    pub wealth_patience_ms: Option<u64>,
    /// Seconds by which the time in a channel's signature may be off [default: 300].
    #[arg(
        long = "wallet-channel-signature-seconds",
        env = "YUE_WALLET_CHANNEL_SIGNATURE_SECONDS",
        value_name = "S"
    )]
    pub channel_signature_seconds: Option<u64>,
    /// Lines of a channel's statement; more are refused [default: 10000000].
    #[arg(long = "wallet-statement-lines-max", env = "YUE_WALLET_STATEMENT_LINES_MAX", value_name = "N")]
    pub statement_lines_max: Option<u64>,
    /// Differences of a statement that are answered; all are counted and booked [default: 1000].
    #[arg(
        long = "wallet-statement-differences-max",
        env = "YUE_WALLET_STATEMENT_DIFFERENCES_MAX",
        value_name = "N"
    )]
    pub statement_differences_max: Option<usize>,
}

/// Yuan with at most two decimals, zero or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Yuan(u64);

/// What may be spent in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpendingLimit(LimitWindow, Yuan);

const WINDOWS: [(&str, LimitWindow); 4] = [
    ("day", LimitWindow::Day),
    ("month", LimitWindow::Month),
    ("year", LimitWindow::Year),
    ("lifetime", LimitWindow::Lifetime),
];

impl FromStr for Yuan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = parse_signed_units(text, 2).and_then(|units| u64::try_from(units).ok());
        units.map(Self).ok_or_else(|| format!("{text:?} is no amount of yuan, such as 1000.00"))
    }
}

impl FromStr for SpendingLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (window, yuan) = text.split_once('=').ok_or_else(|| format!("{text:?} is not WINDOW=YUAN"))?;
        let known = WINDOWS.into_iter().find(|(name, _)| *name == window);
        let (_, window) = known.ok_or_else(|| format!("{window:?} is not day, month, year or lifetime"))?;
        Ok(Self(window, yuan.parse()?))
    }
}

impl TryFrom<String> for Yuan {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for SpendingLimit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Yuan> for String {
    fn from(Yuan(units): Yuan) -> Self {
        format_units(units.into(), 2)
    }
}

impl From<SpendingLimit> for String {
    fn from(SpendingLimit(window, yuan): SpendingLimit) -> Self {
        let name = WINDOWS.into_iter().find(|(_, known)| *known == window).map_or("", |(name, _)| name);
        let mut text = name.to_owned();
        // Writing to a string does not fail.
        let _ = write!(text, "={}", Self::from(yuan));
        text
    }
}

/// Takes the first of two sources that has a value, for each named field; all must be named.
macro_rules! first_of {
    ($first:ident, $second:ident, { $($field:ident),+ $(,)? }) => {
        WalletOptions { $($field: $first.$field.or($second.$field)),+ }
    };
}

/// Sets a limit to its option, if there is one, and checks it.
macro_rules! set {
    ($settings:ident, $options:ident, { $($limit:ident: $field:ident in $range:expr, $text:literal);+ $(;)? }) => {
        $(
            let value = $options.$field.map_or($settings.$limit, Into::into);
            $settings.$limit = in_range(concat!("wallet.", stringify!($field)), value, $range, $text)?;
        )+
    };
}

impl From<Yuan> for u64 {
    fn from(Yuan(units): Yuan) -> Self {
        units
    }
}

impl WalletOptions {
    /// These options, and `other`'s where these are absent.
    pub(super) fn or(self, other: Self) -> Self {
        first_of!(self, other, {
            class_one_limits, class_two_limits, class_three_limits, password_attempts_max, password_lock_seconds,
            password_hash_memory_kib, password_hash_passes, password_hashes_max, passwords_waiting_max, token_seconds_max,
            devices_max, small_payment_max, small_payments_per_day, payment_hold_seconds, payment_attempts_max, refund_days,
            refunds_max, carbon_point_price, fast_redemption_per_day, wealth_credits_per_transaction,
            wealth_credits_in_flight, wealth_sweeps_in_flight, wealth_patience_ms, channel_signature_seconds,
            statement_lines_max, statement_differences_max,
        })
    }

    /// The wallet's settings with these options.
    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        let [one, two, three] = &mut settings.class_limits;
        for (limits, option, name) in [
            (one, &self.class_one_limits, "wallet.class_one_limits"),
            (two, &self.class_two_limits, "wallet.class_two_limits"),
            (three, &self.class_three_limits, "wallet.class_three_limits"),
        ] {
            if let Some(option) = option {
                *limits = class_limits(option, name)?;
            }
        }
        // The hash's memory is at least 8 KiB by its own rules; a hold's longest life is the ledger's.
        set!(settings, self, {
            password_attempts_max: password_attempts_max in 1..=1_000, "1 to 1000";
            password_lock_s: password_lock_seconds in 1..=MONTH_S.into(), "1 to 2592000";
            argon2_memory_kib: password_hash_memory_kib in 8..=1 << 20, "8 to 1048576";
            argon2_passes: password_hash_passes in 1..=100, "1 to 100";
            password_hashes_max: password_hashes_max in 1..=Settings::PASSWORD_HASHES_LIMIT, "1 to 256";
            passwords_waiting_max: passwords_waiting_max in 1..=1 << 20, "1 to 1048576";
            token_s_max: token_seconds_max in 1..=300, "1 to 300";
            devices_max: devices_max in 1..=64, "1 to 64";
            small_payment_units_max: small_payment_max in 1..=u64::MAX, "0.01 or more";
            small_payment_count_max: small_payments_per_day in 1..=u32::MAX, "1 or more";
            channel_wait_s: payment_hold_seconds in 1..=MONTH_S, "1 to 2592000";
            payment_attempts_max: payment_attempts_max in 2..=64, "2 to 64";
            refund_days: refund_days in 1..=36_500, "1 to 36500";
            refunds_max: refunds_max in 1..=1_000, "1 to 1000";
            carbon_units_per_point: carbon_point_price in 0..=u64::MAX, "0.00 or more";
            redemption_units_per_day: fast_redemption_per_day in 1..=u64::MAX, "0.01 or more";
            wealth_credits_per_transaction: wealth_credits_per_transaction in 1..=64, "1 to 64";
            wealth_credits_in_flight: wealth_credits_in_flight in 1..=1_024, "1 to 1024";
            wealth_sweeps_in_flight: wealth_sweeps_in_flight in 1..=1_024, "1 to 1024";
            wealth_patience_ms: wealth_patience_ms in 0..=u64::MAX, "0 or more";
            signature_skew_s: channel_signature_seconds in 1..=3_600, "1 to 3600";
            statement_lines_max: statement_lines_max in 1..=u64::MAX, "1 or more";
            differences_shown_max: statement_differences_max in 1..=1_000, "1 to 1000";
        });
        Ok(settings)
    }
}

/// The longest life of a hold, in seconds.
const MONTH_S: u32 = 2_592_000;

/// The limits of a class; each window once, none of nothing.
fn class_limits(option: &[SpendingLimit], name: &'static str) -> Result<Vec<Limit>, ConfigError> {
    let once = |window| option.iter().filter(|SpendingLimit(other, _)| *other == window).count() == 1;
    let fits = option.iter().all(|&SpendingLimit(window, Yuan(units))| units > 0 && once(window));
    in_range(name, fits, true..=true, "each window at most once, 0.01 or more")?;
    let limit = |&SpendingLimit(window, Yuan(units)): &SpendingLimit| Limit {
        window,
        code: Some(Settings::SPEND.into()),
        amount: Some(units),
        count: None,
    };
    Ok(option.iter().map(limit).collect())
}

impl From<&Settings> for WalletOptions {
    /// All options with the values that are in force.
    fn from(settings: &Settings) -> Self {
        let spending = |limits: &[Limit]| {
            let limits =
                limits.iter().filter_map(|limit| Some(SpendingLimit(limit.window, Yuan(limit.amount?))));
            Some(limits.collect())
        };
        let [one, two, three] = &settings.class_limits;
        Self {
            class_one_limits: spending(one),
            class_two_limits: spending(two),
            class_three_limits: spending(three),
            password_attempts_max: Some(settings.password_attempts_max),
            password_lock_seconds: Some(settings.password_lock_s),
            password_hash_memory_kib: Some(settings.argon2_memory_kib),
            password_hash_passes: Some(settings.argon2_passes),
            password_hashes_max: Some(settings.password_hashes_max),
            passwords_waiting_max: Some(settings.passwords_waiting_max),
            token_seconds_max: Some(settings.token_s_max),
            devices_max: Some(settings.devices_max),
            small_payment_max: Some(Yuan(settings.small_payment_units_max)),
            small_payments_per_day: Some(settings.small_payment_count_max),
            payment_hold_seconds: Some(settings.channel_wait_s),
            payment_attempts_max: Some(settings.payment_attempts_max),
            refund_days: Some(settings.refund_days),
            refunds_max: Some(settings.refunds_max),
            carbon_point_price: Some(Yuan(settings.carbon_units_per_point)),
            fast_redemption_per_day: Some(Yuan(settings.redemption_units_per_day)),
            wealth_credits_per_transaction: Some(settings.wealth_credits_per_transaction),
            wealth_credits_in_flight: Some(settings.wealth_credits_in_flight),
            wealth_sweeps_in_flight: Some(settings.wealth_sweeps_in_flight),
            wealth_patience_ms: Some(settings.wealth_patience_ms),
            channel_signature_seconds: Some(settings.signature_skew_s),
            statement_lines_max: Some(settings.statement_lines_max),
            statement_differences_max: Some(settings.differences_shown_max),
        }
    }
}

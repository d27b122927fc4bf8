//! Where and from what a figure comes.
//!
//! Owns: the names of the machine and of the commit, and what its host takes from it. Never fails: what cannot be found
//! out is `unknown`.

use std::process::Command;

use serde::Serialize;

/// What runs both the server and the harness, unless the server's URL says otherwise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn detect() -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_gib().unwrap_or(0),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |release| release.trim().to_owned()),
        }
    }
}

/// The processors' time since the machine started, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessorTime {
    all: u64,
    /// Of it, what the host of a virtual machine gave to others while this machine wanted to run.
    stolen: u64,
}

impl ProcessorTime {
    /// Up to now; `None` where the kernel does not say.
    pub(crate) fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// From the first line of `/proc/stat` (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal; what
    /// follows is part of user and nice.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    /// The share that was stolen from `before` until now, 0 to 1.
    pub(crate) fn stolen_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn memory_gib() -> Option<u64> {
    let value = field("/proc/meminfo", "MemTotal")?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(kib.div_ceil(1 << 20))
}

/// The commit of the working directory; `unknown` outside a repository.
pub(crate) fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_a_share_of_all_time() {
        let before =
            ProcessorTime::parse("cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n").unwrap();
        let after = ProcessorTime::parse("cpu  150 0 50 830 10 0 5 55 9 0\n").unwrap();
        assert_eq!(before, ProcessorTime { all: 1_000, stolen: 35 });
        assert!((after.stolen_since(before) - 0.2).abs() < 1e-9);
        assert!(before.stolen_since(before).abs() < 1e-9);
        for other in ["", "intr 1 2", "cpu  1 2 3", "cpu  a b c d e f g h"] {
            assert_eq!(ProcessorTime::parse(other), None, "{other:?}");
        }
    }
}

//! What a torture has come to.
//!
//! Owns: the sums over all directories, and the figures. Never judges beyond "nothing was found".

use std::time::Duration;

use super::fault::Fault;
use super::findings::Findings;
use super::rig::Rig;

/// Findings that are printed.
const FINDINGS_MAX: usize = 40;

/// The sums.
#[derive(Default)]
pub(crate) struct Totals {
    kills: u64,
    eio: u64,
    enospc: u64,
    stops: u64,
    pub(crate) power: u64,
    /// Disks that were full, and those of them that the server met as such.
    pub(crate) full: u64,
    pub(crate) full_met: u64,
    /// Cycles that this machine does not permit.
    pub(crate) not_done: u64,
    recovery_kills: u64,
    drains: u64,
    second_processes: u64,
    slowest_start: Duration,
    acknowledged: u64,
    settled: u64,
    pub(crate) findings: Findings,
}

impl Totals {
    /// The count of a kind of cycles.
    pub(crate) fn cycles(&mut self, fault: Fault) -> &mut u64 {
        match fault {
            Fault::Kill => &mut self.kills,
            Fault::Eio => &mut self.eio,
            Fault::Enospc => &mut self.enospc,
            Fault::Stop => &mut self.stops,
        }
    }

    /// Takes what was done to a directory.
    pub(crate) fn add(&mut self, rig: &mut Rig) {
        self.recovery_kills += rig.tally.recovery_kills;
        self.drains += rig.tally.drains;
        self.second_processes += rig.tally.second_processes;
        self.slowest_start = self.slowest_start.max(rig.tally.slowest_start);
        self.acknowledged += rig.record.acknowledged;
        self.settled += rig.record.settled;
        self.findings.append(std::mem::take(&mut rig.record.findings));
    }

    /// Prints what was found, and the figures.
    pub(crate) fn print(&self, elapsed: Duration) {
        for finding in self.findings.iter().take(FINDINGS_MAX) {
            println!("{finding}");
        }
        let Findings { lost, doubled, other } = &self.findings;
        let figure = |name: &str, value: u64, unit: &str| println!("figure torture_{name} {value} {unit}");
        let count = |list: &Vec<String>| u64::try_from(list.len()).unwrap_or(u64::MAX);
        figure("kill_cycles", self.kills, "cycles");
        figure("recovery_kills", self.recovery_kills, "kills");
        figure("eio_cycles", self.eio, "cycles");
        figure("enospc_cycles", self.enospc + self.full, "cycles");
        figure("enospc_met_on_a_full_disk", self.full_met, "cycles");
        figure("power_cycles", self.power, "cycles");
        figure("stop_cycles", self.stops, "cycles");
        figure("drains", self.drains, "drains");
        figure("second_processes", self.second_processes, "processes");
        figure("cycles_not_done", self.not_done, "cycles");
        figure("acknowledged", self.acknowledged, "operations");
        figure("unknown_settled", self.settled, "operations");
        figure("lost", count(lost), "operations");
        figure("doubled", count(doubled), "operations");
        figure("wrong", count(other), "findings");
        println!("figure torture_slowest_start {:.2} s", self.slowest_start.as_secs_f64());
        println!("figure torture_time {:.0} s", elapsed.as_secs_f64());
    }
}

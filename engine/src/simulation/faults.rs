//! The faults of a run: which happen, and which of them were seen.
//!
//! Owns the chance of what fails while a process runs, and what is slow. Counts a fault when the engine met it: an error that
//! ended the process, damage that was refused, slowness that a client was refused for. Invariant: a kind that is left out
//! draws from chance all the same, so that the rest of the run stays as near as can be.

use std::{any::Any, collections::BTreeSet, panic::resume_unwind, sync::atomic::Ordering};

use super::{life::Life, random::Random, world::World};
use crate::{index::memory, journal::faulty::Fault};

/// The process ended by itself, as it must after an error of its disk.
struct Aborted;

/// Ends a simulated process, if a fault was injected.
pub(super) fn abort_if_injected(error: &dyn std::fmt::Display) {
    if is_injected(&error.to_string()) {
        resume_unwind(Box::new(Aborted));
    }
}

pub(super) fn is_injected(error: &str) -> bool {
    error.contains("injected: ")
}

/// Whether a process ended by itself; goes on with any other panic.
pub(super) fn aborted(payload: Box<dyn Any + Send>) {
    if !payload.is::<Aborted>() {
        resume_unwind(payload);
    }
}

/// The kinds that happen.
pub(super) struct Faults {
    without: BTreeSet<String>,
    /// What the index's disk will do.
    pub(super) index: Option<&'static str>,
    pub(super) slow: Option<Slow>,
}

/// What does nothing for a while.
pub(super) struct Slow {
    what: &'static str,
    until: u64,
    /// Answers that refused, when it began.
    refused: u64,
}

pub(super) const JOURNAL_STALLS: &str = "slow: the journal";
pub(super) const INDEX_STALLS: &str = "slow: the index";
pub(super) const SEALER_STALLS: &str = "slow: the sealer";
pub(super) const STORAGE_LOW: &str = "the storage is low";

impl Faults {
    pub(super) fn new(without: &BTreeSet<String>) -> Self {
        Self { without: without.clone(), index: None, slow: None }
    }

    pub(super) fn allows(&self, kind: &str) -> bool {
        !self.without.contains(kind)
    }

    /// Of the next append.
    pub(super) fn of_append(&self, random: &mut Random) -> Option<(Fault, &'static str)> {
        let bytes = random.below(400);
        let faults = [
            (Fault::Lost, "append: EIO, lost"),
            (Fault::Full { bytes }, "append: ENOSPC, short write"),
            (Fault::Torn { bytes }, "append: EIO, torn"),
            (Fault::Hole { at: bytes }, "append: EIO, a hole"),
            (Fault::Unreported, "append: EIO, durable"),
            (Fault::WitnessTorn, "append: EIO, the witness torn"),
            (Fault::UnreportedAfterWitness, "append: EIO, durable with the witness"),
        ];
        Some(*random.pick(&faults)).filter(|(_, kind)| self.allows(kind))
    }

    /// Of the next trim.
    pub(super) fn of_trim(&self, random: &mut Random) -> Option<(Fault, &'static str)> {
        let faults = [(Fault::Lost, "trim: EIO, lost"), (Fault::Unreported, "trim: EIO, durable")];
        Some(*random.pick(&faults)).filter(|(_, kind)| self.allows(kind))
    }

    /// Of the index's disk.
    pub(super) fn of_index(&self, random: &mut Random) -> Option<(memory::Fault, &'static str)> {
        let faults = [
            (memory::Fault::CommitLost, "index: EIO, lost"),
            (memory::Fault::CommitUnreported, "index: EIO, durable"),
            (memory::Fault::ReadDamaged, "index: bit flip"),
            (memory::Fault::ReadFailed, "index: EIO, read"),
        ];
        Some(*random.pick(&faults)).filter(|(_, kind)| self.allows(kind))
    }

    pub(super) fn is_slow(&self, what: &str) -> bool {
        self.slow.as_ref().is_some_and(|slow| slow.what == what)
    }
}

impl Life {
    /// Perhaps something begins to be slow, or the index's disk will fail.
    pub(super) fn disturb(&mut self, world: &World) {
        let (step, refused) = (self.report.steps, self.clients.refused);
        if self.faults.slow.as_ref().is_some_and(|slow| slow.until <= step) {
            self.hurry(world);
        }
        if self.faults.slow.is_none() && self.random.once_in(600) {
            let what = *self.random.pick(&[JOURNAL_STALLS, INDEX_STALLS, SEALER_STALLS, STORAGE_LOW]);
            let until = step + 50 + self.random.next() % 400;
            if self.faults.allows(what) {
                self.faults.slow = Some(Slow { what, until, refused });
                world.shared.state.storage_low.store(what == STORAGE_LOW, Ordering::Relaxed);
            }
        }
        if self.faults.index.is_none()
            && self.random.once_in(700)
            && let Some((fault, kind)) = self.faults.of_index(&mut self.random)
            && let Some(disk) = memory::disk(&self.config.data.join("index"))
        {
            disk.fail_next(fault);
            self.faults.index = Some(kind);
        }
    }

    /// What was slow goes on; it counts if somebody was refused meanwhile.
    pub(super) fn hurry(&mut self, world: &World) {
        if let Some(slow) = self.faults.slow.take() {
            world.shared.state.storage_low.store(false, Ordering::Relaxed);
            if self.clients.refused > slow.refused {
                self.auditor.coverage.fault(slow.what);
            }
        }
    }

    /// The index's disk does as it should.
    pub(super) fn heal(&mut self) {
        if let Some(disk) = memory::disk(&self.config.data.join("index")) {
            disk.take_fault();
        }
        self.faults.index = None;
    }

    /// The process has met the index's fault.
    pub(super) fn met_index_fault(&mut self) {
        let kind = self.faults.index.take().expect("a fault that was met was injected");
        self.auditor.coverage.fault(kind);
    }
}

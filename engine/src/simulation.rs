//! The deterministic simulation: the production state machines, stepped by one seeded scheduler, and an auditor.
//!
//! Owns a run: its clock, its crashes, and the choice of the next step. Never uses a thread, a real clock or a real
//! journal; the index writes to its real store. Invariant: a run follows from its seed alone, so that any failure is
//! replayed by one command.
//!
//! What is real: shards, committer, follower, sealer, front, recovery, index. What is simulated: threads and channels
//! (`world`), callers (`clients`), disk of the journal (`journal::faulty`), time. What judges: `audit` with its own
//! `model`.
#![allow(clippy::indexing_slicing, reason = "a simulation that breaks has found something")]

mod attachments;
mod audit;
mod clients;
mod coverage;
mod damage;
mod dependency;
mod events;
mod faults;
mod folder;
mod judge;
mod life;
mod machine;
mod model;
mod names;
mod quiet;
mod random;
mod retained;
mod shard_view;
mod start;
mod verbs;
mod workload;
mod world;

use std::{cell::Cell, collections::BTreeSet, path::PathBuf};

pub use coverage::Coverage;
use life::Life;
pub use machine::{Death, Machine};
pub use random::Random;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Steps of the scheduler, before all is settled and audited for the last time.
    pub steps: u64,
    /// Whether each step is told on the standard error.
    pub verbose: bool,
    /// A folder of its own for the index.
    pub directory: PathBuf,
    /// Whether the index lies in memory instead of RocksDB.
    pub in_memory: bool,
    /// Kinds of faults that do not happen, by their names in [`Coverage`].
    pub without: BTreeSet<String>,
}

/// What came of a run that found nothing.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Steps of the scheduler.
    pub steps: u64,
    /// Transactions that clients submitted, copies included.
    pub submitted: u64,
    /// Records in the journal.
    pub records: u64,
    /// Processes that were started, those that died in their start included.
    pub processes: u64,
    /// Processes that were killed, in traffic or in their start; another one was started on what was left.
    pub crashes: u64,
    /// Faults that were seen: an error that the engine met, or damage that it had to refuse or to bear.
    pub faults: u64,
    /// What was reached.
    pub coverage: Coverage,
}

impl Report {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.submitted += other.submitted;
        self.records += other.records;
        self.processes += other.processes;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.coverage.add(&other.coverage);
    }
}

std::thread_local! {
    static RUNS: Cell<bool> = const { Cell::new(false) };
    static STEP: Cell<u64> = const { Cell::new(0) };
    static OPERATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The end of a process that is simulated here, and so the end of the run.
///
/// # Panics
/// If this thread runs a simulation.
pub(crate) fn fatal(error: &dyn std::fmt::Display) {
    if RUNS.get() {
        faults::abort_if_injected(error);
    }
    assert!(!RUNS.get(), "the process aborts: {error}");
}

/// How far this thread's run is, or was when it failed: steps and operations.
#[must_use]
pub fn progress() -> (u64, u64) {
    (STEP.get(), OPERATIONS.get())
}

/// Whether this thread runs a simulation.
pub(crate) fn is_running() -> bool {
    RUNS.get()
}

/// Runs one seed.
///
/// # Panics
/// When the engine does what it must not do.
#[must_use]
pub fn run(options: &Options) -> Report {
    RUNS.set(true);
    STEP.set(0);
    OPERATIONS.set(0);
    // The waits of the front ask for a timer; nobody drives it, so they never run out.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    crate::index::memory::clear();
    Life::new(options).run()
}

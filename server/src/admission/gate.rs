//! The bound on commands that are worked on at once.
//!
//! Owns the count, the bound and its window. Never waits. The bound follows
//! Little's law (L = λW): with a throughput λ and a time W in which commands shall be answered, no more than λW of them
//! belong inside; what is above only queues. In each window the bound is moved from what was used towards that product:
//! used × W ÷ the mean time that commands took. Below the bound there is no queue worth a word, so a bound that was not
//! reached is left alone. (J. D. C. Little, "A Proof for the Queuing Formula L = λW", 1961; the same step as the gradient
//! of Netflix's concurrency-limits, with a fixed target in place of a learnt one.)

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    target: Duration,
    limit: AtomicUsize,
    in_flight: AtomicUsize,
    /// Of the running window: its start, what ended in it and how long that took, the most in flight, the journal's
    /// groups before it.
    began_ns: AtomicU64,
    ended: AtomicU64,
    took_ns: AtomicU64,
    used: AtomicUsize,
    groups: AtomicU64,
    group_ns: AtomicU64,
    turning: AtomicBool,
}

/// What the journal has written so far: the time below which no command can be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Floor {
    pub(super) groups: u64,
    pub(super) nanos: u64,
}

/// What one window has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// Mean time from a command's body to its answer.
    mean: Duration,
    /// Most commands at once.
    used: usize,
    /// Mean time of a journal group.
    group: Duration,
}

impl Gate {
    /// What a start allows, and so the largest burst on an idle server: at 40,000 a second, 13 ms of work.
    const LIMIT_FIRST: usize = 512;
    /// Fewer would leave the journal's groups empty and processors idle, whatever the latency says.
    const LIMIT_MIN: usize = 32;
    /// 50 ms of work at 320,000 a second; the engine has its own bound above.
    const LIMIT_MAX: usize = 16_384;
    /// Long enough for tens of groups, short enough that an overload is over in a moment.
    const WINDOW: Duration = Duration::from_millis(50);
    /// A command waits for the group that is being written, then for its own, and that twice over: one group's time is
    /// half of what an answer takes on an idle server, and as much again may be queue.
    const GROUPS: u32 = 4;

    pub(super) fn new(target: Duration) -> Self {
        Self {
            target,
            limit: AtomicUsize::new(Self::LIMIT_FIRST),
            in_flight: AtomicUsize::new(0),
            began_ns: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            took_ns: AtomicU64::new(0),
            used: AtomicUsize::new(0),
            groups: AtomicU64::new(0),
            group_ns: AtomicU64::new(0),
            turning: AtomicBool::new(false),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Of the bound, what one account's commands may take: half, so that its neighbours have the other one.
    pub(super) fn account_share(&self) -> usize {
        self.limit() / 2
    }

    pub(super) fn has_room(&self) -> bool {
        self.in_flight() < self.limit()
    }

    /// A place, if there is one.
    pub(super) fn enter(gate: &Arc<Self>) -> Option<Slot> {
        let before = gate.in_flight.fetch_add(1, Relaxed);
        if before >= gate.limit() {
            gate.in_flight.fetch_sub(1, Relaxed);
            return None;
        }
        gate.used.fetch_max(before + 1, Relaxed);
        Some(Slot { gate: Arc::clone(gate), entered: Instant::now() })
    }

    /// Whether the window is over.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        nanos(now).saturating_sub(self.began_ns.load(Relaxed)) >= nanos(Self::WINDOW)
            && self.ended.load(Relaxed) > 0
    }

    /// Ends the window and moves the bound.
    pub(super) fn turn(&self, now: Duration, floor: Floor) {
        if self.turning.swap(true, Relaxed) {
            return;
        }
        let ended = self.ended.swap(0, Relaxed);
        let took = self.took_ns.swap(0, Relaxed);
        let used = self.used.swap(self.in_flight(), Relaxed);
        let groups = floor.groups.saturating_sub(self.groups.swap(floor.groups, Relaxed));
        let group_ns = floor.nanos.saturating_sub(self.group_ns.swap(floor.nanos, Relaxed));
        let window = Window {
            mean: Duration::from_nanos(took / ended.max(1)),
            used,
            group: Duration::from_nanos(group_ns / groups.max(1)),
        };
        self.limit.store(next_limit(self.limit(), self.target, window), Relaxed);
        self.began_ns.store(nanos(now), Relaxed);
        self.turning.store(false, Relaxed);
    }
}

/// The bound after a window.
fn next_limit(limit: usize, target: Duration, window: Window) -> usize {
    let target = target.max(window.group * Gate::GROUPS);
    let (target, mean) = (target.as_nanos().max(1), window.mean.as_nanos().max(1));
    // λW: as many commands as were inside, times the time that they may take over the time that they took.
    let used = u128::try_from(window.used).unwrap_or(u128::MAX);
    let fits = usize::try_from(used.saturating_mul(target) / mean).unwrap_or(usize::MAX);
    let next = if mean > target {
        // What was not used is not the cause.
        if window.used < limit / 2 { limit } else { fits.max(limit / 4) }
    } else if window.used >= limit {
        fits.min(limit + limit / 8 + 1)
    } else {
        // Nobody was refused: it opens again for the next burst.
        limit.max(Gate::LIMIT_FIRST.min(limit + limit / 16 + 1))
    };
    next.clamp(Gate::LIMIT_MIN, Gate::LIMIT_MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A command's place; its end tells the gate how long it took.
#[derive(Debug)]
pub(crate) struct Slot {
    gate: Arc<Gate>,
    entered: Instant,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gate.took_ns.fetch_add(nanos(self.entered.elapsed()), Relaxed);
        self.gate.ended.fetch_add(1, Relaxed);
        self.gate.in_flight.fetch_sub(1, Relaxed);
    }
}

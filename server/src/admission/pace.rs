//! The pace of refusals.
//!
//! Owns the time of the next refusal. Never refuses anything itself. A refusal costs the processors a tenth to a half of
//! what a command costs: at ten times the capacity, clients that come again at once would take the machine with
//! refusals alone. So they leave at a bounded rate, in turn (the virtual scheduling of a leaky bucket, ITU-T I.371):
//! below it at once, above it each a little later. Its connection is not read meanwhile, and so its client is held, at no
//! cost. Nobody is held longer than [`Pace::WAIT_MAX`].

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    interval_ns: u64,
    /// When the next one may leave.
    next_ns: AtomicU64,
    waiting: AtomicUsize,
}

impl Pace {
    /// Longest wait of a refusal: below the time-outs of clients, and of a drain.
    const WAIT_MAX: Duration = Duration::from_millis(500);
    /// What may leave at once after a pause, in time: the answers of one loop of the runtime, not a storm.
    const BURST: Duration = Duration::from_millis(10);

    pub(super) fn new(per_second_max: usize) -> Self {
        let per_second = u64::try_from(per_second_max.max(1)).unwrap_or(u64::MAX);
        Self {
            interval_ns: 1_000_000_000 / per_second,
            next_ns: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// How long the next refusal waits.
    pub(super) fn next(&self, now: Duration) -> Duration {
        let now = nanos(now);
        let (earliest, latest) = (now.saturating_sub(nanos(Self::BURST)), now + nanos(Self::WAIT_MAX));
        let mut turn = self.next_ns.load(Relaxed);
        loop {
            let own = turn.clamp(earliest, latest);
            match self.next_ns.compare_exchange_weak(turn, own + self.interval_ns, Relaxed, Relaxed) {
                Ok(_) => return Duration::from_nanos(own.saturating_sub(now)),
                Err(other) => turn = other,
            }
        }
    }

    /// Counts a wait, as long as what it gives lives.
    pub(super) fn waits(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Relaxed);
        Waiting(&self.waiting)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A refusal that waits.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

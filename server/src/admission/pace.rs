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

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits in milliseconds of refusals at these moments, at 1,000 a second.
    fn check(moments_ms: &[u64], expected_ms: &[u64]) {
        let pace = Pace::new(1_000);
        let waits: Vec<_> = moments_ms
            .iter()
            .map(|&ms| u64::try_from(pace.next(Duration::from_millis(ms)).as_millis()).unwrap())
            .collect();
        assert_eq!(waits, expected_ms, "{moments_ms:?}");
    }

    #[test]
    fn refusals_below_the_rate_leave_at_once() {
        check(&[100, 101, 102, 110, 200], &[0; 5]);
        // After a pause some do together.
        check(&[100; 14], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    }

    #[test]
    fn others_wait_for_their_turn_and_no_longer_than_the_most() {
        let pace = Pace::new(1_000);
        let at = Duration::from_secs(1);
        let waits: Vec<_> = (0..2_000).map(|_| pace.next(at)).collect();
        assert!(waits.is_sorted());
        assert!(waits.iter().all(|wait| *wait <= Pace::WAIT_MAX + Duration::from_millis(1)));
        assert_eq!(waits.last().map(Duration::as_millis), Some(Pace::WAIT_MAX.as_millis()));
        // A second later all have left.
        assert_eq!(pace.next(at * 2), Duration::ZERO);
    }

    #[test]
    fn waits_are_counted_while_they_last() {
        let pace = Pace::new(1);
        let waits = (pace.waits(), pace.waits());
        assert_eq!(pace.waiting(), 2);
        drop(waits);
        assert_eq!(pace.waiting(), 0);
    }
}

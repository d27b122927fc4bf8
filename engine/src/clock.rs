//! The only place that reads clocks.
//!
//! Owns the relation of the wall clock to the monotonic one. Never decides anything by time itself. Invariant: what it
//! tells never goes back, and follows the wall clock but for jumps, which it reports.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::model::Timestamp;

/// Wall time that does not jump: it runs with the monotonic clock, and [`Clock::adjust`] brings it to the wall clock.
pub(crate) struct Clock {
    started: Instant,
    /// Wall clock − monotonic clock, in nanoseconds.
    offset: AtomicI64,
    /// Adjustments in a row that saw a jump.
    jumps: AtomicU64,
}

/// What [`Clock::adjust`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adjustment {
    /// The two clocks agree.
    Followed,
    /// The wall clock is off by more than [`Clock::JUMP_MAX`]; hold expiry pauses, and time runs on by the monotonic
    /// clock.
    Jumped(i64),
    /// The jump lasted: it is taken as the truth, and expiry resumes.
    Accepted(i64),
}

impl Clock {
    /// A larger difference between wall and monotonic clock is a jump.
    pub(crate) const JUMP_MAX: Duration = Duration::from_secs(5);
    /// Adjustments, one a second, after which a jump is taken as the truth.
    const JUMPS_UNTIL_ACCEPTED: u64 = 60;

    pub(crate) fn new() -> Self {
        let clock = Self { started: Instant::now(), offset: AtomicI64::new(0), jumps: AtomicU64::new(0) };
        clock.offset.store(wall() - clock.elapsed(), Ordering::Relaxed);
        clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.offset.load(Ordering::Relaxed).saturating_add(self.elapsed()))
    }

    /// Whether the wall clock has jumped and expiry is to wait.
    pub(crate) fn is_paused(&self) -> bool {
        self.jumps.load(Ordering::Relaxed) > 0
    }

    /// Compares the clocks; to be called once a second.
    pub(crate) fn adjust(&self) -> Adjustment {
        let difference = wall() - self.now().0;
        let jump = i64::try_from(Self::JUMP_MAX.as_nanos()).unwrap_or(i64::MAX);
        if difference.abs() > jump {
            let seen = self.jumps.fetch_add(1, Ordering::Relaxed) + 1;
            if seen < Self::JUMPS_UNTIL_ACCEPTED {
                return Adjustment::Jumped(difference);
            }
        }
        self.jumps.store(0, Ordering::Relaxed);
        self.offset.fetch_add(difference, Ordering::Relaxed);
        if difference.abs() > jump { Adjustment::Accepted(difference) } else { Adjustment::Followed }
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

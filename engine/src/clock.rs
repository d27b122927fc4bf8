//! The only place that reads clocks.
//!
//! Owns the relation of the wall clock to the monotonic one. Never decides anything by time itself. Invariant: what it
//! tells follows the wall clock but for jumps, which it reports; it goes back by no more than an adjustment that is no jump,
//! or an accepted one. The times of records don't: each is later than the last (`committer`).

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::model::Timestamp;

/// Wall time that does not jump: it runs with the monotonic clock, and [`Clock::adjust`] brings it to the wall clock.
pub(crate) struct Clock {
    /// `None` stands still: a simulation sets it.
    started: Option<Instant>,
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
    /// The jump lasted, and its time can be: it is taken as the truth, and expiry resumes.
    Accepted(i64),
}

impl Clock {
    /// A larger difference between wall and monotonic clock is a jump.
    pub(crate) const JUMP_MAX: Duration = Duration::from_secs(5);
    /// Adjustments, one a second, after which a jump is taken as the truth.
    const JUMPS_UNTIL_ACCEPTED: u64 = 60;

    /// `None` if the wall clock shows a time at which no ledger runs.
    pub(crate) fn new() -> Option<Self> {
        Self::at(wall())
    }

    fn at(wall: Timestamp) -> Option<Self> {
        if !is_sane(wall) {
            return None;
        }
        let clock =
            Self { started: Some(Instant::now()), offset: AtomicI64::new(0), jumps: AtomicU64::new(0) };
        clock.offset.store(wall.0 - clock.elapsed(), Ordering::Relaxed);
        Some(clock)
    }

    /// Stands still at a time.
    #[cfg(feature = "simulation")]
    pub(crate) fn stopped(at: Timestamp) -> Self {
        Self { started: None, offset: AtomicI64::new(at.0), jumps: AtomicU64::new(0) }
    }

    /// Puts a clock that stands still to another time.
    #[cfg(feature = "simulation")]
    pub(crate) fn set(&self, at: Timestamp) {
        assert!(self.started.is_none(), "a clock that runs is not set");
        self.offset.store(at.0, Ordering::Relaxed);
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
        self.adjust_to(wall())
    }

    fn adjust_to(&self, wall: Timestamp) -> Adjustment {
        let difference = wall.0.saturating_sub(self.now().0);
        let jump = i64::try_from(Self::JUMP_MAX.as_nanos()).unwrap_or(i64::MAX);
        let jumped = difference.saturating_abs() > jump;
        if jumped {
            let seen = self.jumps.fetch_add(1, Ordering::Relaxed) + 1;
            // A time that can't be is not the truth however long it lasts.
            if seen < Self::JUMPS_UNTIL_ACCEPTED || !is_sane(wall) {
                return Adjustment::Jumped(difference);
            }
        }
        self.jumps.store(0, Ordering::Relaxed);
        self.offset.fetch_add(difference, Ordering::Relaxed);
        if jumped { Adjustment::Accepted(difference) } else { Adjustment::Followed }
    }

    fn elapsed(&self) -> i64 {
        self.started.map_or(0, |started| i64::try_from(started.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Whether the wall clock shows a time at which a ledger can run. To be asked before anything is written.
pub(crate) fn is_set() -> bool {
    is_sane(wall())
}

fn is_sane(wall: Timestamp) -> bool {
    (Timestamp::EARLIEST_WALL..Timestamp::LATEST).contains(&wall)
}

/// The wall clock; a time outside the range of a timestamp is taken for the range's end.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall() -> Timestamp {
    let nanos = |since: Duration| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    Timestamp(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => nanos(since),
        Err(before) => -nanos(before.duration()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_780_000_000 * Timestamp::NANOS_PER_SECOND);
    const HOUR: u32 = 3_600;

    #[test]
    fn a_start_at_a_time_that_cannot_be_is_refused() {
        let check = |wall: i64, starts: bool| {
            assert_eq!(Clock::at(Timestamp(wall)).is_some(), starts, "{}", Timestamp(wall));
        };
        check(i64::MIN, false);
        check(-1, false);
        check(0, false);
        check(Timestamp::EARLIEST_WALL.0 - 1, false);
        check(Timestamp::EARLIEST_WALL.0, true);
        check(NOW.0, true);
        check(Timestamp::LATEST.0 - 1, true);
        check(Timestamp::LATEST.0, false);
        check(i64::MAX, false);
    }

    /// A jump that lasts, and after how many adjustments it is accepted.
    fn check_jump(wall: Timestamp, accepted: bool) {
        let clock = Clock::at(NOW).unwrap();
        let seen: Vec<_> = (0..200).map(|_| clock.adjust_to(wall)).collect();
        let first = seen.iter().position(|adjustment| matches!(adjustment, Adjustment::Accepted(_)));
        assert_eq!(first, accepted.then_some(59), "{wall}");
        assert_eq!(clock.is_paused(), !accepted, "{wall}");
        let expected = if accepted { wall } else { NOW };
        let off = clock.now().0 - expected.0;
        assert!((0..i64::from(HOUR) * Timestamp::NANOS_PER_SECOND).contains(&off), "{wall}: {}", clock.now());
        // It ends when the wall clock is right again.
        let clock_time = clock.now();
        assert_eq!(clock.adjust_to(clock_time), Adjustment::Followed);
        assert!(!clock.is_paused());
    }

    #[test]
    fn a_jump_that_lasts_is_accepted_unless_it_cannot_be() {
        check_jump(NOW.plus_seconds(HOUR), true);
        check_jump(Timestamp(NOW.0 - i64::from(HOUR) * Timestamp::NANOS_PER_SECOND), true);
        check_jump(Timestamp(i64::MAX), false);
        check_jump(Timestamp::LATEST, false);
        check_jump(Timestamp::ZERO, false);
        check_jump(Timestamp(i64::MIN), false);
    }
}

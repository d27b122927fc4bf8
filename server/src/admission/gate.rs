//! The bound on commands that are worked on at once.
//!
//! Owns the count, the bound and its windows. Never waits, never looks into a command. The bound follows Little's law
//! (L = λW; J. D. C. Little, "A Proof for the Queuing Formula", 1961): with a throughput λ and a time W in which commands
//! shall be answered, no more than λW of them belong inside; what is above only queues. It is lowered to that product
//! when commands take longer than W for some windows in a row: a queue that stays is overload, one that goes away again is
//! a burst, or a disk that stood still for a moment (the distinction of CoDel, RFC 8289). Below W it opens again.

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
    /// Of the running window: its start, what ended in it and how long that took, the most in flight.
    began_ns: AtomicU64,
    ended: AtomicU64,
    took_ns: AtomicU64,
    used: AtomicUsize,
    /// The journal's groups before it.
    groups: AtomicU64,
    group_ns: AtomicU64,
    /// Windows in a row above the target, and the least mean among them.
    over: AtomicUsize,
    least_ns: AtomicU64,
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

/// The bound, and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    limit: usize,
    /// Windows in a row above the target, and the least mean among them.
    over: usize,
    least: Duration,
}

impl Gate {
    /// The largest burst, and what a start allows: at 40,000 a second, 25 ms of work.
    const LIMIT_CALM: usize = 1_024;
    /// Fewer would leave the journal's groups empty and processors idle, whatever the latency says.
    const LIMIT_MIN: usize = 64;
    /// 50 ms of work at 320,000 a second; the engine has its own bound above.
    const LIMIT_MAX: usize = 16_384;
    /// Long enough for tens of groups.
    const WINDOW: Duration = Duration::from_millis(50);
    /// Windows in a row that make an overload: 0.2 s, which most stalls of a disk do not last.
    const WINDOWS_OVER: usize = 4;
    /// The target is at least so many times a group's time: a command waits for the group that is being written, half of
    /// its time on average, then for its own; as much again may be queue.
    const GROUPS: u32 = 3;

    pub(super) fn new(target: Duration) -> Self {
        Self {
            target,
            limit: AtomicUsize::new(Self::LIMIT_CALM),
            in_flight: AtomicUsize::new(0),
            began_ns: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            took_ns: AtomicU64::new(0),
            used: AtomicUsize::new(0),
            groups: AtomicU64::new(0),
            group_ns: AtomicU64::new(0),
            over: AtomicUsize::new(0),
            least_ns: AtomicU64::new(0),
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
        let before = Bound {
            limit: self.limit(),
            over: self.over.load(Relaxed),
            least: Duration::from_nanos(self.least_ns.load(Relaxed)),
        };
        let Bound { limit, over, least } = next(before, self.target, window);
        self.limit.store(limit, Relaxed);
        self.over.store(over, Relaxed);
        self.least_ns.store(nanos(least), Relaxed);
        self.began_ns.store(nanos(now), Relaxed);
        self.turning.store(false, Relaxed);
    }
}

/// The bound after a window.
fn next(before: Bound, target: Duration, window: Window) -> Bound {
    let target = target.max(window.group * Gate::GROUPS);
    let Bound { limit, .. } = before;
    let calm = |limit: usize| Bound { limit: clamped(limit), over: 0, least: Duration::ZERO };
    if window.mean <= target {
        let opened = if window.used >= limit {
            // λW, in steps: the throughput changes with the bound.
            fits(window.used, target, window.mean).min(limit + limit / 4 + 1)
        } else {
            // Nobody was refused: it opens again for the next burst.
            limit.max(Gate::LIMIT_CALM.min(limit + limit / 16 + 1))
        };
        return calm(opened);
    }
    // What was not used is not the cause: these commands take their time also when they are few.
    if window.used < limit / 2 {
        return calm(limit);
    }
    let least = if before.over == 0 { window.mean } else { window.mean.min(before.least) };
    if before.over + 1 < Gate::WINDOWS_OVER {
        return Bound { limit, over: before.over + 1, least };
    }
    calm(fits(window.used.min(limit), target, least).max(limit / 4).min(limit))
}

/// λW: as many commands as were inside, times the time that they may take over the time that they took.
fn fits(used: usize, target: Duration, mean: Duration) -> usize {
    let used = u128::try_from(used).unwrap_or(u128::MAX);
    let fits = used.saturating_mul(target.as_nanos()) / mean.as_nanos().max(1);
    usize::try_from(fits).unwrap_or(usize::MAX)
}

fn clamped(limit: usize) -> usize {
    limit.clamp(Gate::LIMIT_MIN, Gate::LIMIT_MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(4);

    fn after(limit: usize, windows: &[(f64, usize, f64)]) -> Vec<usize> {
        let ms = |ms: f64| Duration::from_secs_f64(ms / 1_000.0);
        let mut bound = Bound { limit, over: 0, least: Duration::ZERO };
        let turn = |&(mean, used, group): &(f64, usize, f64)| {
            bound = next(bound, TARGET, Window { mean: ms(mean), used, group: ms(group) });
            bound.limit
        };
        windows.iter().map(turn).collect()
    }

    /// Mean and group in milliseconds, and how many there were at once; the bound after each window.
    fn check(limit: usize, windows: &[(f64, usize, f64)], expected: &[usize]) {
        assert_eq!(after(limit, windows), expected, "{limit}, {windows:?}");
    }

    #[test]
    fn a_queue_that_stays_lowers_the_bound_to_what_fits() {
        // 1,000 inside take 20 ms: 50,000 a second, of which 200 fit into 4 ms; not below a quarter at once.
        check(1_000, &[(20.0, 1_000, 0.5); 4], &[1_000, 1_000, 1_000, 250]);
        check(250, &[(5.0, 250, 0.5); 4], &[250, 250, 250, 200]);
        // By the least of them.
        check(
            400,
            &[(50.0, 400, 0.5), (8.0, 400, 0.5), (50.0, 400, 0.5), (50.0, 400, 0.5)],
            &[400, 400, 400, 200],
        );
        check(80, &[(50.0, 80, 0.5); 4], &[80, 80, 80, Gate::LIMIT_MIN]);
    }

    #[test]
    fn a_stall_that_goes_away_does_not() {
        check(
            1_024,
            &[(90.0, 1_024, 0.5), (60.0, 1_024, 9.0), (2.0, 300, 0.5), (90.0, 900, 0.5)],
            &[1_024; 4],
        );
    }

    #[test]
    fn a_bound_that_is_reached_in_time_opens() {
        check(100, &[(2.0, 100, 0.5), (3.9, 126, 0.5), (4.0, 129, 0.5)], &[126, 129, 129]);
        // Also one that is not reached, up to the burst of a quiet server and no further.
        check(992, &[(1.0, 10, 0.5), (1.0, 10, 0.5), (1.0, 10, 0.5)], &[1_024; 3]);
        check(2_000, &[(1.0, 10, 0.5)], &[2_000]);
        check(Gate::LIMIT_MAX, &[(1.0, Gate::LIMIT_MAX, 0.5)], &[Gate::LIMIT_MAX]);
    }

    #[test]
    fn slow_commands_that_are_few_are_no_overload() {
        check(100, &[(30.0, 49, 0.5); 5], &[100; 5]);
    }

    /// On a disk that takes 10 ms, commands may take 30.
    #[test]
    fn a_slow_disk_moves_the_target() {
        check(200, &[(29.0, 160, 10.0)], &[213]);
        check(200, &[(60.0, 200, 10.0); 4], &[200, 200, 200, 100]);
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let gate = Arc::new(Gate::new(TARGET));
        let mut slots: Vec<_> = (0..Gate::LIMIT_CALM).map(|_| Gate::enter(&gate).unwrap()).collect();
        assert!(!gate.has_room() && Gate::enter(&gate).is_none());
        assert_eq!(gate.in_flight(), Gate::LIMIT_CALM);
        slots.pop();
        assert!(gate.has_room() && Gate::enter(&gate).is_some());
        drop(slots);
        assert_eq!((gate.in_flight(), gate.used.load(Relaxed)), (0, Gate::LIMIT_CALM));
    }

    #[test]
    fn windows_turn_when_they_are_over() {
        let gate = Arc::new(Gate::new(TARGET));
        assert!(!gate.is_due(Gate::WINDOW * 2), "nothing ended");
        drop(Gate::enter(&gate));
        assert!(!gate.is_due(Gate::WINDOW / 2));
        assert!(gate.is_due(Gate::WINDOW));
        gate.turn(Gate::WINDOW, Floor::default());
        assert!(!gate.is_due(Gate::WINDOW * 3));
        assert_eq!(gate.limit(), Gate::LIMIT_CALM);
    }
}

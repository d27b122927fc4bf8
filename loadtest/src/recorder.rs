//! What happened, as numbers.
//!
//! Owns: the counters and histograms of a run: one set for each kind of operation, one for each second. Never
//! decides whether a number is good. Invariant: latency counts from the moment at which the user meant to act, so
//! that a stall of the server (or of this harness) shows in every request that it delayed.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::mix::Kind;
use crate::phases::PhaseName;

/// The longest latency that is told apart, in microseconds; longer ones count as this.
const LATENCY_US_MAX: u64 = 60_000_000;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Posted, or read.
    Done,
    /// Refused by a business rule, with its code.
    Refused(&'static str),
    /// Refused at once by a server that is full, on each try.
    Overloaded,
    /// No answer on any try.
    Unanswered,
    /// An answer that the contract does not allow.
    Unexpected,
}

/// Latencies in microseconds.
#[derive(Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    /// Empty; keeps `digits` significant digits.
    pub(crate) fn new(digits: u8) -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, digits);
        // The bounds are constants, and the digits are 2 or 3.
        #[expect(clippy::unwrap_used, reason = "constant arguments that the histogram accepts")]
        Self(histogram.unwrap())
    }

    /// Adds one.
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_US_MAX);
        self.0.saturating_record(micros);
    }

    /// Adds all of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        self.0.add(&other.0).ok();
    }

    /// The latency in milliseconds that `percent` of all do not exceed; `None` without any.
    pub(crate) fn percentile_ms(&self, percent: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_percentile(percent) as f64 / 1_000.0)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }
}

/// One kind of operation over the counted part of the run.
#[derive(Clone)]
pub(crate) struct KindTotals {
    pub(crate) offered: u64,
    pub(crate) done: u64,
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) overloaded: u64,
    pub(crate) unanswered: u64,
    pub(crate) unexpected: u64,
    pub(crate) dropped: u64,
    /// Of all that were answered, and of those that never were up to the moment of giving up.
    pub(crate) latency: Latency,
}

impl KindTotals {
    fn new() -> Self {
        Self {
            offered: 0,
            done: 0,
            refused: BTreeMap::new(),
            overloaded: 0,
            unanswered: 0,
            unexpected: 0,
            dropped: 0,
            latency: Latency::new(3),
        }
    }

    /// How many got a final business answer.
    pub(crate) fn answered(&self) -> u64 {
        self.done + self.refused.values().sum::<u64>()
    }

    fn ended(&mut self, end: End, latency: Duration) {
        match end {
            End::Done => self.done += 1,
            End::Refused(code) => *self.refused.entry(code).or_default() += 1,
            End::Overloaded => self.overloaded += 1,
            End::Unanswered => self.unanswered += 1,
            End::Unexpected => self.unexpected += 1,
        }
        if end != End::Overloaded {
            self.latency.record(latency);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.offered += other.offered;
        self.done += other.done;
        for (code, count) in &other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.overloaded += other.overloaded;
        self.unanswered += other.unanswered;
        self.unexpected += other.unexpected;
        self.dropped += other.dropped;
        self.latency.merge(&other.latency);
    }
}

/// What happened in one second of the run.
#[derive(Clone)]
pub(crate) struct Second {
    pub(crate) offered: u64,
    pub(crate) answered: u64,
    /// By code; overload, time-outs, drops and unexpected answers under names of their own.
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    /// Of payments.
    pub(crate) latency: Latency,
    /// How late the harness itself sent.
    pub(crate) lateness: Latency,
}

impl Second {
    fn new() -> Self {
        Self {
            offered: 0,
            answered: 0,
            refusals: BTreeMap::new(),
            latency: Latency::new(2),
            lateness: Latency::new(2),
        }
    }

    /// Adds what another worker saw in the same second.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.offered += other.offered;
        self.answered += other.answered;
        for (code, count) in &other.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
        self.latency.merge(&other.latency);
        self.lateness.merge(&other.lateness);
    }
}

/// Names in `Second::refusals` that are no business rule.
pub(crate) const OVERLOADED: &str = "overloaded";
/// See `OVERLOADED`.
pub(crate) const TIMED_OUT: &str = "timed out";
/// See `OVERLOADED`.
pub(crate) const DROPPED: &str = "dropped";
/// See `OVERLOADED`.
pub(crate) const UNEXPECTED: &str = "unexpected";

/// The totals of a run, without its warm-up.
#[derive(Clone)]
pub(crate) struct Totals {
    pub(crate) kinds: BTreeMap<Kind, KindTotals>,
    /// How late the harness itself sent, against the moment at which the user meant to act.
    pub(crate) lateness: Latency,
    pub(crate) retries: u64,
    pub(crate) timeouts: u64,
    pub(crate) copies: u64,
    pub(crate) status_queries: u64,
}

impl Totals {
    /// All zero.
    pub(crate) fn new() -> Self {
        Self {
            kinds: Kind::ALL.into_iter().map(|kind| (kind, KindTotals::new())).collect(),
            lateness: Latency::new(3),
            retries: 0,
            timeouts: 0,
            copies: 0,
            status_queries: 0,
        }
    }

    /// Adds those of another worker.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (kind, totals) in &other.kinds {
            if let Some(own) = self.kinds.get_mut(kind) {
                own.merge(totals);
            }
        }
        self.lateness.merge(&other.lateness);
        self.retries += other.retries;
        self.timeouts += other.timeouts;
        self.copies += other.copies;
        self.status_queries += other.status_queries;
    }

    /// A sum over all kinds.
    pub(crate) fn sum(&self, of: impl Fn(&KindTotals) -> u64) -> u64 {
        self.kinds.values().map(of).sum()
    }

    /// The latency of all payments.
    pub(crate) fn pay_latency(&self) -> Latency {
        let mut latency = Latency::new(3);
        for (_, totals) in self.kinds.iter().filter(|(kind, _)| kind.pays()) {
            latency.merge(&totals.latency);
        }
        latency
    }
}

/// One worker's recorder.
pub(crate) struct Recorder {
    pub(crate) totals: Totals,
    second: Second,
}

impl Recorder {
    /// All zero.
    pub(crate) fn new() -> Self {
        Self { totals: Totals::new(), second: Second::new() }
    }

    /// Ends the running second and starts the next.
    pub(crate) fn turn(&mut self) -> Second {
        std::mem::replace(&mut self.second, Second::new())
    }

    /// An operation is sent, `lateness` after it was meant to be.
    pub(crate) fn offered(&mut self, kind: Kind, phase: PhaseName, lateness: Duration) {
        self.second.offered += 1;
        self.second.lateness.record(lateness);
        if let Some(totals) = self.totals.kinds.get_mut(&kind).filter(|_| phase.counted()) {
            totals.offered += 1;
            self.totals.lateness.record(lateness);
        }
    }

    /// An operation is sent that no user's moment asks for: a channel's notification, a payment token.
    pub(crate) fn added(&mut self, kind: Kind, phase: PhaseName) {
        self.second.offered += 1;
        if let Some(totals) = self.totals.kinds.get_mut(&kind).filter(|_| phase.counted()) {
            totals.offered += 1;
        }
    }

    /// An operation that was offered could not be sent: every connection is busy, or everybody who can pay is.
    pub(crate) fn dropped(&mut self, kind: Kind, phase: PhaseName) {
        *self.second.refusals.entry(DROPPED).or_default() += 1;
        if let Some(totals) = self.totals.kinds.get_mut(&kind).filter(|_| phase.counted()) {
            totals.dropped += 1;
        }
    }

    /// A try has had no answer in time.
    pub(crate) fn timed_out(&mut self) {
        self.totals.timeouts += 1;
        *self.second.refusals.entry(TIMED_OUT).or_default() += 1;
    }

    /// An operation has ended, `latency` after it was meant to be sent.
    pub(crate) fn ended(&mut self, kind: Kind, phase: PhaseName, end: End, latency: Duration) {
        let second = &mut self.second;
        let refusal = match end {
            End::Done => None,
            End::Refused(code) => Some(code),
            End::Overloaded => Some(OVERLOADED),
            End::Unanswered => None,
            End::Unexpected => Some(UNEXPECTED),
        };
        if let Some(code) = refusal {
            *second.refusals.entry(code).or_default() += 1;
        }
        second.answered += u64::from(matches!(end, End::Done | End::Refused(_)));
        if kind.pays() && end != End::Overloaded {
            second.latency.record(latency);
        }
        if let Some(totals) = self.totals.kinds.get_mut(&kind).filter(|_| phase.counted()) {
            totals.ended(end, latency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers in 1 ms but stalls for a second: requests are meant to come every millisecond, and one
    /// connection can only send the next one when the one before is answered.
    #[test]
    fn a_stall_shows_in_every_request_that_it_delayed() {
        let (mut from_intended, mut from_sent) = (Latency::new(3), Latency::new(3));
        let mut free_at = 0_u64;
        for intended in 0..10_000_u64 {
            let sent = free_at.max(intended);
            let answered = sent + if intended == 5_000 { 1_000 } else { 1 };
            free_at = answered;
            from_intended.record(Duration::from_millis(answered - intended));
            from_sent.record(Duration::from_millis(answered - sent));
        }
        // Measured from the sending, one request of ten thousand was slow; its users know better.
        assert!(from_sent.percentile_ms(99.9).unwrap() < 2.0);
        assert!(from_intended.percentile_ms(90.0).unwrap() > 500.0);
    }

    #[test]
    fn warm_up_is_in_the_seconds_but_not_in_the_totals() {
        let mut recorder = Recorder::new();
        for phase in [PhaseName::WarmUp, PhaseName::Gun] {
            recorder.offered(Kind::Payment, phase, Duration::ZERO);
            recorder.ended(Kind::Payment, phase, End::Done, Duration::from_millis(3));
        }
        let second = recorder.turn();
        assert_eq!((second.offered, second.answered), (2, 2));
        let payments = &recorder.totals.kinds[&Kind::Payment];
        assert_eq!((payments.offered, payments.done, payments.latency.count()), (1, 1, 1));
    }

    fn check(end: End, answered: u64, timed: u64, label: Option<&'static str>) {
        let mut recorder = Recorder::new();
        recorder.ended(Kind::Payment, PhaseName::Steady, end, Duration::from_millis(3));
        let second = recorder.turn();
        let payments = &recorder.totals.kinds[&Kind::Payment];
        assert_eq!((payments.answered(), second.answered), (answered, answered), "{end:?}");
        assert_eq!((payments.latency.count(), second.latency.count()), (timed, timed), "{end:?}");
        assert_eq!(second.refusals.keys().copied().next(), label, "{end:?}");
    }

    #[test]
    fn each_end_is_counted_in_its_place() {
        check(End::Done, 1, 1, None);
        check(End::Refused("insufficient_funds"), 1, 1, Some("insufficient_funds"));
        check(End::Overloaded, 0, 0, Some(OVERLOADED));
        check(End::Unanswered, 0, 1, None);
        check(End::Unexpected, 0, 1, Some(UNEXPECTED));
    }
}

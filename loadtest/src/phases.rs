//! The curve of offered load.
//!
//! Owns: the phases of a scenario, the rate at each moment, its integral and the integral's inverse. Never reads a
//! clock and never draws a random number. Invariant: `time_of(arrivals_until(t)) = t` wherever the rate is above zero.

use serde::Serialize;

/// What a stretch of a scenario stands for; decides the mix of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PhaseName {
    /// Fills caches and connections; not counted.
    WarmUp,
    /// Users look at their balances and recharge.
    Preheat,
    /// The second at midnight.
    Gun,
    /// Orders rise to the peak.
    OrderPeak,
    /// The long stretch after the peak that stays near it.
    Shelf,
    /// The second peak, of payments.
    PaymentPeak,
    /// The shelf slopes down.
    ShelfEnd,
    /// Back to an ordinary evening.
    Decay,
    /// Buyers' remorse.
    RefundWave,
    /// A constant rate, for smoke runs.
    Steady,
}

impl PhaseName {
    /// The name as people read it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Preheat => "preheat",
            Self::Gun => "gun",
            Self::OrderPeak => "order peak",
            Self::Shelf => "shelf",
            Self::PaymentPeak => "payment peak",
            Self::ShelfEnd => "shelf's end",
            Self::Decay => "decay",
            Self::RefundWave => "refund wave",
            Self::Steady => "steady",
        }
    }

    /// Whether operations of this phase enter the totals and the checks of service levels.
    pub(crate) fn counted(self) -> bool {
        self != Self::WarmUp
    }
}

/// A stretch in which the offered rate moves on a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Phase {
    pub(crate) name: PhaseName,
    /// Length in seconds.
    pub(crate) seconds: f64,
    /// Offered requests per second at its start.
    pub(crate) from: f64,
    /// Offered requests per second at its end.
    pub(crate) to: f64,
}

impl Phase {
    fn arrivals(&self, elapsed: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds;
        self.from * elapsed + slope * elapsed * elapsed / 2.0
    }

    /// Seconds into the phase at which `arrivals` have come.
    fn elapsed_at(&self, arrivals: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds;
        // The root of `from·t + slope·t²/2 = arrivals`, in the form that stays exact when the slope is near zero.
        let root = (self.from * self.from + 2.0 * slope * arrivals).max(0.0).sqrt();
        (2.0 * arrivals / (self.from + root)).min(self.seconds)
    }
}

/// A phase with its place in the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Span {
    #[serde(flatten)]
    pub(crate) phase: Phase,
    /// Seconds from the start of the run.
    pub(crate) starts_at: f64,
    /// Expected arrivals before the phase.
    #[serde(skip)]
    arrivals_before: f64,
}

/// All phases of a run, in order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Plan {
    spans: Vec<Span>,
}

impl Plan {
    /// Lays the phases end to end.
    pub(crate) fn new(phases: impl IntoIterator<Item = Phase>) -> Self {
        let mut spans = Vec::new();
        let (mut starts_at, mut arrivals_before) = (0.0, 0.0);
        for phase in phases {
            spans.push(Span { phase, starts_at, arrivals_before });
            starts_at += phase.seconds;
            arrivals_before += phase.arrivals(phase.seconds);
        }
        Self { spans }
    }

    /// The phases with their places.
    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The length of the run in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.spans.last().map_or(0.0, |span| span.starts_at + span.phase.seconds)
    }

    /// The phase at `seconds` into the run; the last one from the end on.
    pub(crate) fn at(&self, seconds: f64) -> Option<&Span> {
        self.spans.iter().rev().find(|span| span.starts_at <= seconds)
    }

    /// The phase in the middle of a second, counted from 0.
    pub(crate) fn in_second(&self, second: usize) -> PhaseName {
        let span = self.at(second as f64 + 0.5);
        span.map_or(PhaseName::Steady, |span| span.phase.name)
    }

    /// The expected number of arrivals from the start of the run until `seconds`.
    pub(crate) fn arrivals_until(&self, seconds: f64) -> f64 {
        self.at(seconds).map_or(0.0, |span| {
            let elapsed = (seconds - span.starts_at).min(span.phase.seconds);
            span.arrivals_before + span.phase.arrivals(elapsed)
        })
    }

    /// When the expected number of arrivals reaches `arrivals`, and in which phase; `None` after the end.
    pub(crate) fn time_of(&self, arrivals: f64) -> Option<(f64, PhaseName)> {
        if arrivals >= self.arrivals_until(self.seconds()) {
            return None;
        }
        let span = self.spans.iter().rev().find(|span| span.arrivals_before <= arrivals)?;
        let elapsed = span.phase.elapsed_at(arrivals - span.arrivals_before);
        Some((span.starts_at + elapsed, span.phase.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(name: PhaseName, seconds: f64, from: f64, to: f64) -> Phase {
        Phase { name, seconds, from, to }
    }

    fn plan() -> Plan {
        Plan::new([
            ramp(PhaseName::WarmUp, 10.0, 100.0, 100.0),
            ramp(PhaseName::Gun, 1.0, 1_000.0, 8_000.0),
            ramp(PhaseName::Decay, 4.0, 8_000.0, 0.0),
        ])
    }

    fn check(seconds: f64, expected_arrivals: f64) {
        let arrivals = plan().arrivals_until(seconds);
        assert!((arrivals - expected_arrivals).abs() < 1e-6, "{arrivals} arrivals until {seconds} s");
    }

    #[test]
    fn the_curve_integrates_to_trapezia() {
        check(0.0, 0.0);
        check(5.0, 500.0);
        check(10.0, 1_000.0);
        check(11.0, 1_000.0 + 4_500.0);
        check(13.0, 5_500.0 + 12_000.0);
        check(15.0, 5_500.0 + 16_000.0);
        check(99.0, 5_500.0 + 16_000.0);
    }

    #[test]
    fn the_inverse_undoes_the_integral() {
        let plan = plan();
        for step in 1..1_490 {
            let seconds = f64::from(step) / 100.0;
            let (back, _) = plan.time_of(plan.arrivals_until(seconds)).unwrap();
            assert!((back - seconds).abs() < 1e-6, "{seconds} came back as {back}");
        }
    }

    #[test]
    fn nothing_arrives_after_the_end() {
        assert_eq!(plan().time_of(21_500.0), None);
    }

    #[test]
    fn an_arrival_knows_its_phase() {
        assert_eq!(plan().time_of(999.0).unwrap().1, PhaseName::WarmUp);
        assert_eq!(plan().time_of(1_001.0).unwrap().1, PhaseName::Gun);
        assert_eq!(plan().time_of(6_000.0).unwrap().1, PhaseName::Decay);
    }
}

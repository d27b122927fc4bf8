//! The scenarios by name: their phases, rates and lengths.
//!
//! Owns: the tables of phases. Never runs anything.

use std::str::FromStr;

use crate::mix;
use crate::phases::{Phase, PhaseName, Plan};

/// Which scenario is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// The first hour of the festival, compressed.
    #[value(name = "618-midnight")]
    Midnight,
    /// A few seconds of everything, to see that all works.
    Smoke,
}

impl Name {
    /// The name on the command line, in file names and reports.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Midnight => "618-midnight",
            Self::Smoke => "smoke",
        }
    }

    /// What its figures are called.
    pub(crate) fn figure_prefix(self) -> &'static str {
        match self {
            Self::Midnight => "618",
            Self::Smoke => "smoke",
        }
    }
}

/// How long the phases of the festival are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// As it happened: 71 minutes.
    Full,
    /// Three minutes.
    Standard,
    /// A little over a minute, for a demonstration.
    Quick,
}

impl Length {
    /// Seconds of: warm-up, preheat, gun, order peak, shelf, payment peak, shelf's end, decay, refund wave.
    fn seconds(self) -> [f64; 9] {
        match self {
            Self::Full => [60.0, 60.0, 1.0, 25.0, 274.0, 30.0, 113.0, 3_157.0, 300.0],
            Self::Standard => [10.0, 10.0, 1.0, 25.0, 34.0, 10.0, 30.0, 30.0, 20.0],
            Self::Quick => [4.0, 6.0, 1.0, 12.0, 16.0, 6.0, 8.0, 9.0, 8.0],
        }
    }

    /// When the hot promotion's budget is meant to be spent, in seconds of the run.
    fn promotion_dry_at(self) -> f64 {
        match self {
            // 60 s after the gun.
            Self::Full => 180.0,
            Self::Standard => 60.0,
            Self::Quick => 30.0,
        }
    }
}

/// A request rate: a number, or a preset with `k` for thousands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(pub(crate) f64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, factor) = text.strip_suffix('k').map_or((text, 1.0), |digits| (digits, 1_000.0));
        match digits.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self(rate * factor)),
            Ok(_) | Err(_) => Err(format!("`{text}` is no rate; try 2500, 10k, 100k, 256k or 583k")),
        }
    }
}

/// A scenario, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: Name,
    /// The highest offered rate in requests per second.
    pub(crate) peak: Rate,
    pub(crate) plan: Plan,
    /// Seconds into the run at which the hot promotion's budget is meant to be spent.
    pub(crate) promotion_dry_at: f64,
}

impl Scenario {
    /// The festival's midnight: base rate `peak / 100`, all lengths times `time_scale`.
    pub(crate) fn midnight(peak: Rate, length: Length, time_scale: f64) -> Self {
        let [warm_up, preheat, gun, order_peak, shelf, payment_peak, shelf_end, decay, refund_wave] =
            length.seconds();
        let base = peak.0 / 100.0;
        let phase = |name, seconds, from, to| Phase {
            name,
            seconds: seconds * time_scale,
            from: from * base,
            to: to * base,
        };
        let plan = Plan::new([
            phase(PhaseName::WarmUp, warm_up, 1.0, 1.0),
            phase(PhaseName::Preheat, preheat, 1.0, 10.0),
            phase(PhaseName::Gun, gun, 10.0, 80.0),
            phase(PhaseName::OrderPeak, order_peak, 80.0, 100.0),
            phase(PhaseName::Shelf, shelf, 88.0, 88.0),
            phase(PhaseName::PaymentPeak, payment_peak, 100.0, 100.0),
            phase(PhaseName::ShelfEnd, shelf_end, 88.0, 70.0),
            phase(PhaseName::Decay, decay, 70.0, 8.0),
            phase(PhaseName::RefundWave, refund_wave, 8.0, 8.0),
        ]);
        Self { name: Name::Midnight, peak, plan, promotion_dry_at: length.promotion_dry_at() * time_scale }
    }

    /// A steady rate for some seconds, with all kinds of operations.
    pub(crate) fn smoke(rate: Rate, time_scale: f64) -> Self {
        let phase = |name, seconds| Phase { name, seconds: seconds * time_scale, from: rate.0, to: rate.0 };
        Self {
            name: Name::Smoke,
            peak: rate,
            plan: Plan::new([
                phase(PhaseName::WarmUp, 1.0),
                phase(PhaseName::Steady, 4.0),
                phase(PhaseName::RefundWave, 1.0),
            ]),
            promotion_dry_at: 3.0 * time_scale,
        }
    }

    /// How many arrivals until `seconds` the share of each phase selects, as expected.
    pub(crate) fn expected(&self, seconds: f64, share: fn(PhaseName) -> f64) -> f64 {
        self.plan
            .spans()
            .iter()
            .map(|span| {
                let ends_at = (span.starts_at + span.phase.seconds).min(seconds);
                let starts_at = span.starts_at.min(seconds);
                share(span.phase.name)
                    * (self.plan.arrivals_until(ends_at) - self.plan.arrivals_until(starts_at))
            })
            .sum()
    }

    /// How many payments with a promotion are expected until its budget is to be spent.
    pub(crate) fn promotion_payments_until_dry(&self) -> f64 {
        self.expected(self.promotion_dry_at, mix::promotion_share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_rate(text: &str, expected: Option<f64>) {
        assert_eq!(text.parse::<Rate>().ok().map(|rate| rate.0), expected, "{text}");
    }

    #[test]
    fn rates_are_numbers_or_presets() {
        check_rate("2500", Some(2_500.0));
        check_rate("10k", Some(10_000.0));
        check_rate("583k", Some(583_000.0));
        check_rate("0", None);
        check_rate("-1", None);
        check_rate("inf", None);
        check_rate("fast", None);
    }

    #[test]
    fn the_festival_peaks_at_its_peak_and_starts_at_a_hundredth() {
        let scenario = Scenario::midnight(Rate(10_000.0), Length::Standard, 1.0);
        let highest = scenario.plan.spans().iter().fold(0.0, |high: f64, span| high.max(span.phase.to));
        assert!((highest - 10_000.0).abs() < 1e-6);
        let first = scenario.plan.spans().first().unwrap();
        assert!((first.phase.from - 100.0).abs() < 1e-6);
        assert!((scenario.plan.seconds() - 170.0).abs() < 1e-6);
        assert!((Length::Full.seconds().iter().sum::<f64>() - 4_020.0).abs() < 1e-6);
    }

    #[test]
    fn expectations_integrate_the_share_over_the_phases() {
        let scenario = Scenario::smoke(Rate(100.0), 1.0);
        assert!((scenario.expected(99.0, |_| 1.0) - 600.0).abs() < 1e-6);
        assert!(
            (scenario.expected(2.0, |phase| if phase == PhaseName::Steady { 0.5 } else { 0.0 }) - 50.0).abs()
                < 1e-6
        );
    }
}

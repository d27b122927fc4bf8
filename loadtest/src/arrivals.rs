//! When requests are meant to be sent: an open model.
//!
//! Owns: a Poisson process whose rate follows the plan. Never looks at what the server does: a slow answer holds no
//! arrival back. Invariant: the same seed gives the same moments.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Exp1;

use crate::phases::{PhaseName, Plan};

/// A moment at which a user acts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// From the start of the run.
    pub(crate) after: Duration,
    pub(crate) phase: PhaseName,
}

/// A Poisson process over the plan, by inversion of the integrated rate.
pub(crate) struct Arrivals {
    plan: Arc<Plan>,
    /// The part of the whole load that this process makes; independent parts add up to a Poisson process again.
    share: f64,
    /// Unit-rate time that has passed.
    passed: f64,
    rng: SmallRng,
}

impl Arrivals {
    /// A process of `share` (0 to 1) of the plan's rate.
    pub(crate) fn new(plan: Arc<Plan>, share: f64, seed: u64) -> Self {
        Self { plan, share, passed: 0.0, rng: SmallRng::seed_from_u64(seed) }
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let gap: f64 = self.rng.sample(Exp1);
        self.passed += gap;
        let (seconds, phase) = self.plan.time_of(self.passed / self.share)?;
        Some(Arrival { after: Duration::from_secs_f64(seconds), phase })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::Phase;

    fn steady(seconds: f64, rate: f64) -> Arc<Plan> {
        Arc::new(Plan::new([Phase { name: PhaseName::Steady, seconds, from: rate, to: rate }]))
    }

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_a_poisson_process() {
        let times: Vec<f64> = Arrivals::new(steady(100.0, 1_000.0), 1.0, 618)
            .map(|arrival| arrival.after.as_secs_f64())
            .collect();
        let gaps: Vec<f64> =
            times.iter().zip(times.iter().skip(1)).map(|(before, after)| after - before).collect();
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        // 100,000 draws: a standard error of 0.3 %; the deviation of an exponential is its mean.
        assert!((mean * 1_000.0 - 1.0).abs() < 0.015, "mean {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "deviation {}", variance.sqrt());
    }

    #[test]
    fn shares_add_up_to_the_whole() {
        let plan = steady(50.0, 2_000.0);
        let count: usize = (0..4).map(|seed| Arrivals::new(Arc::clone(&plan), 0.25, seed).count()).sum();
        assert!((count as f64 / 100_000.0 - 1.0).abs() < 0.015, "{count} arrivals");
    }

    #[test]
    fn the_same_seed_gives_the_same_moments() {
        let plan = steady(1.0, 500.0);
        let first: Vec<Arrival> = Arrivals::new(Arc::clone(&plan), 1.0, 7).collect();
        let second: Vec<Arrival> = Arrivals::new(plan, 1.0, 7).collect();
        assert_eq!(first, second);
    }
}

//! How users and their apps come again after no answer, or after a refusal for overload.
//!
//! Owns: the two styles and the polite one's budget. Never sends. A try that comes again carries the same id.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Without an answer for this long, a try has failed.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
/// Tries of one operation, the first one included.
const TRIES_MAX: u32 = 3;
/// How often rude users ask what has become of their payment.
pub(crate) const STATUS_QUERY_EVERY: Duration = Duration::from_millis(200);
/// The mean pause of polite users before their second try; it doubles before the third.
const BACKOFF: Duration = Duration::from_millis(100);
/// Of all first tries, the part that polite users may repeat.
const POLITE_BUDGET: f64 = 0.2;
/// What the budget starts with, so that a run's first requests have one.
const POLITE_BUDGET_START: f64 = 10.0;

/// Manners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// With a jittered back-off, as `Retry-After` says, at most one retry for five requests.
    Polite,
    /// At once, and meanwhile asks for the status every 200 ms.
    Rude,
}

impl Style {
    /// The name on the command line and in reports.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Polite => "polite",
            Self::Rude => "rude",
        }
    }
}

/// Decides on retries; one a worker.
pub(crate) struct Retries {
    style: Style,
    budget: f64,
}

impl Retries {
    /// In this style.
    pub(crate) fn new(style: Style) -> Self {
        Self { style, budget: POLITE_BUDGET_START }
    }

    /// Which style it is.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// An operation is sent for the first time.
    pub(crate) fn first_try(&mut self) {
        self.budget += POLITE_BUDGET;
    }

    /// The pause before the next try after `tries` tries; `None` to give up.
    pub(crate) fn next(
        &mut self,
        tries: u32,
        retry_after_s: Option<u64>,
        rng: &mut impl Rng,
    ) -> Option<Duration> {
        if tries >= TRIES_MAX {
            return None;
        }
        match self.style {
            Style::Rude => Some(Duration::ZERO),
            Style::Polite if self.budget < 1.0 => None,
            Style::Polite => {
                self.budget -= 1.0;
                let backoff =
                    BACKOFF.mul_f64(rng.random_range(0.5..1.5)) * 2_u32.pow(tries.saturating_sub(1));
                let asked =
                    Duration::from_secs(retry_after_s.unwrap_or(0)).mul_f64(rng.random_range(1.0..1.5));
                Some(backoff.max(asked))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn check(style: Style, tries: u32, retry_after_s: Option<u64>, expected_ms: Option<(u64, u64)>) {
        let mut rng = SmallRng::seed_from_u64(618);
        let pause = Retries::new(style).next(tries, retry_after_s, &mut rng);
        let within = match (pause, expected_ms) {
            (Some(pause), Some((low, high))) => {
                pause.as_millis() >= low.into() && pause.as_millis() <= high.into()
            }
            (pause, expected) => pause.is_none() == expected.is_none(),
        };
        assert!(within, "{style:?} after {tries} tries: {pause:?}");
    }

    #[test]
    fn polite_users_wait_and_rude_ones_do_not() {
        check(Style::Polite, 1, None, Some((50, 150)));
        check(Style::Polite, 2, None, Some((100, 300)));
        check(Style::Polite, 1, Some(1), Some((1_000, 1_500)));
        check(Style::Polite, 3, None, None);
        check(Style::Rude, 2, Some(1), Some((0, 0)));
        check(Style::Rude, 3, None, None);
    }

    #[test]
    fn polite_users_keep_to_their_budget() {
        let mut rng = SmallRng::seed_from_u64(618);
        let mut retries = Retries::new(Style::Polite);
        (0..1_000).for_each(|_| retries.first_try());
        let granted = (0..1_000).filter(|_| retries.next(1, None, &mut rng).is_some()).count();
        // 20 % of 1,000, and what the budget starts with; binary fractions may round one off.
        assert!((209..=210).contains(&granted), "{granted} retries");
    }
}

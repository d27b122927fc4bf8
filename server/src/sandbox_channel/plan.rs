//! What happens to an order. Pure.
//!
//! Owns the draws. Invariant: the same seed, rates and order give the same plan, however orders come.

use yue_engine::model::{Amount, TransactionId};

use super::options::{Rate, SandboxArguments};

/// How an order ends at the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The payer pays this.
    Paid(Amount),
    /// The payer's bank refuses.
    Failed,
    /// Nobody pays.
    Abandoned,
}

/// How the order itself is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answering {
    Prompt,
    /// Silent, then cut.
    Silent,
    /// Cut.
    Lost,
}

/// What happens to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) end: End,
    pub(super) wrong_amount: bool,
    pub(super) late: bool,
    /// Copies of the notification beside the first.
    pub(super) duplicates: u32,
    pub(super) reordered: bool,
    pub(super) answering: Answering,
}

impl Plan {
    const DUPLICATES_MAX: u32 = 3;

    /// Draws a plan. The rates of failure and abandonment are at most 1 together.
    pub(super) fn draw(rates: &SandboxArguments, order: TransactionId, amount: Amount) -> Self {
        let mut draws = Draws::new(rates.seed, order);
        let (fate, wrong, late, duplicate, count, reorder, answer) = (
            draws.next(Rate::WHOLE),
            draws.next(Rate::WHOLE),
            draws.next(Rate::WHOLE),
            draws.next(Rate::WHOLE),
            draws.next(Self::DUPLICATES_MAX),
            draws.next(Rate::WHOLE),
            draws.next(Rate::WHOLE),
        );
        let fails = rates.fail_rate.takes(fate);
        let ends_unpaid = rates.fail_rate.and(rates.abandon_rate).is_none_or(|rate| rate.takes(fate));
        let wrong_amount = !ends_unpaid && rates.wrong_amount_rate.takes(wrong);
        let end = match (fails, ends_unpaid) {
            (true, _) => End::Failed,
            (false, true) => End::Abandoned,
            (false, false) if wrong_amount => End::Paid(another(amount)),
            (false, false) => End::Paid(amount),
        };
        let silent_or_lost = rates.timeout_rate.and(rates.lose_answer_rate);
        let answering = if rates.timeout_rate.takes(answer) {
            Answering::Silent
        } else if silent_or_lost.is_none_or(|rate| rate.takes(answer)) {
            Answering::Lost
        } else {
            Answering::Prompt
        };
        let notified = end != End::Abandoned;
        Self {
            end,
            wrong_amount,
            late: notified && rates.late_rate.takes(late),
            duplicates: if notified && rates.duplicate_rate.takes(duplicate) { 1 + count } else { 0 },
            reordered: !ends_unpaid && rates.reorder_rate.takes(reorder),
            answering,
        }
    }
}

/// An amount that is not this one.
fn another(amount: Amount) -> Amount {
    amount.checked_sub(Amount(1)).filter(|&less| less > Amount::ZERO).unwrap_or(Amount(2))
}

/// SplitMix64, started from the seed and the order.
struct Draws(u64);

impl Draws {
    fn new(seed: u64, order: TransactionId) -> Self {
        let [high, low] = [order.0 >> 64, order.0 & u128::from(u64::MAX)]
            .map(|half| u64::try_from(half).unwrap_or_default());
        let mut draws = Self(seed);
        for half in [high, low] {
            draws.0 = draws.word() ^ half;
        }
        draws
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number below `bound`.
    fn next(&mut self, bound: u32) -> u32 {
        // The product's high half: below the bound, and even enough.
        let product = u128::from(self.word()) * u128::from(bound);
        u32::try_from(product >> 64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn rates(options: &[&str]) -> SandboxArguments {
        let arguments = ["yue", "sandbox-channel"].iter().chain(options);
        let Command::SandboxChannel(rates) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("sandbox-channel")
        };
        rates
    }

    fn plans(rates: &SandboxArguments) -> Vec<Plan> {
        (0..10_000_u128).map(|order| Plan::draw(rates, TransactionId(order), Amount(100))).collect()
    }

    #[test]
    fn without_rates_all_is_well() {
        let well = Plan {
            end: End::Paid(Amount(100)),
            wrong_amount: false,
            late: false,
            duplicates: 0,
            reordered: false,
            answering: Answering::Prompt,
        };
        assert!(plans(&rates(&[])).into_iter().all(|plan| plan == well));
    }

    #[test]
    fn rates_are_shares() {
        let rates = rates(&[
            "--fail-rate=0.2",
            "--abandon-rate=0.1",
            "--wrong-amount-rate=0.5",
            "--late-rate=0.05",
            "--duplicate-rate=1",
            "--reorder-rate=0.3",
            "--timeout-rate=0.25",
            "--lose-answer-rate=0.25",
        ]);
        let plans = plans(&rates);
        assert_eq!(plans, self::plans(&rates));
        let share = |of: fn(&Plan) -> bool, percent: usize| {
            let count = plans.iter().filter(|plan| of(plan)).count();
            assert!(count.abs_diff(percent * 100) < 200, "{count} of 10,000 are not {percent} %");
        };
        share(|plan| plan.end == End::Failed, 20);
        share(|plan| plan.end == End::Abandoned, 10);
        share(|plan| plan.end == End::Paid(Amount(99)) && plan.wrong_amount, 35);
        share(|plan| plan.end == End::Paid(Amount(100)) && !plan.wrong_amount, 35);
        share(|plan| plan.late, 5);
        share(|plan| (1..=3).contains(&plan.duplicates), 90);
        share(|plan| plan.duplicates == 3, 30);
        share(|plan| plan.reordered, 21);
        share(|plan| plan.answering == Answering::Silent, 25);
        share(|plan| plan.answering == Answering::Lost, 25);
        assert!(plans.iter().all(|plan| plan.end != End::Abandoned || plan.duplicates == 0 && !plan.late));
        let other = SandboxArguments { seed: 1, ..rates };
        assert_ne!(plans, self::plans(&other));
    }

    #[test]
    fn another_amount_is_one() {
        for units in [1, 2, 100, u64::MAX] {
            let other = another(Amount(units));
            assert!(other != Amount(units) && other > Amount::ZERO, "{units}");
        }
    }

    #[test]
    fn a_rate_is_from_0_to_1() {
        for (text, rate) in [("0", 0), ("1", 1_000_000), ("0.05", 50_000), ("1.000000", 1_000_000)] {
            assert_eq!(text.parse(), Ok(Rate::test(rate)));
        }
        for wrong in ["", "-0.1", "1.1", "2", "x", "0.0000001", "1e-3"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}

//! What users do: the weights of the operations, by phase.
//!
//! Owns: the tables of weights and the names of the kinds in reports. Never builds a request.

use rand::{Rng, RngExt};
use serde::Serialize;

use crate::phases::PhaseName;

/// What a user means to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    AccountRead,
    HistoryRead,
    Payment,
    PromotionPayment,
    /// Places a hold, or settles one that was placed before.
    Combination,
    Recharge,
    Refund,
    Transfer,
    /// Tries to pay far more than it has.
    Hostile,
}

impl Intent {
    /// The kind that it most probably becomes; for arrivals that are dropped before there is a request.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::AccountRead => Kind::AccountRead,
            Self::HistoryRead => Kind::HistoryRead,
            Self::Payment => Kind::Payment,
            Self::PromotionPayment => Kind::PromotionPayment,
            Self::Combination => Kind::Hold,
            Self::Recharge => Kind::Recharge,
            Self::Refund => Kind::Refund,
            Self::Transfer => Kind::Transfer,
            Self::Hostile => Kind::Hostile,
        }
    }
}

/// What a request does, as reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Payment,
    PromotionPayment,
    Hold,
    Capture,
    Release,
    Refund,
    Recharge,
    Transfer,
    Hostile,
    AccountRead,
    HistoryRead,
}

impl Kind {
    /// All kinds, in the order of reports.
    pub(crate) const ALL: [Self; 11] = [
        Self::Payment,
        Self::PromotionPayment,
        Self::Hold,
        Self::Capture,
        Self::Release,
        Self::Refund,
        Self::Recharge,
        Self::Transfer,
        Self::Hostile,
        Self::AccountRead,
        Self::HistoryRead,
    ];

    /// The name as people read it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::PromotionPayment => "payment with promotion",
            Self::Hold => "combination: hold",
            Self::Capture => "combination: capture",
            Self::Release => "combination: release",
            Self::Refund => "refund",
            Self::Recharge => "recharge",
            Self::Transfer => "transfer",
            Self::Hostile => "hostile payment",
            Self::AccountRead => "query: account",
            Self::HistoryRead => "query: history",
        }
    }

    /// Whether its latency enters the service level of payments.
    pub(crate) fn pays(self) -> bool {
        match self {
            Self::Payment | Self::PromotionPayment | Self::Hold | Self::Capture => true,
            Self::Release
            | Self::Refund
            | Self::Recharge
            | Self::Transfer
            | Self::Hostile
            | Self::AccountRead
            | Self::HistoryRead => false,
        }
    }

    /// Whether it changes balances.
    pub(crate) fn writes(self) -> bool {
        !matches!(self, Self::AccountRead | Self::HistoryRead)
    }
}

/// Of queries, the part that lists history instead of reading the balance.
const HISTORY_SHARE: f64 = 0.3;
/// Of payments, the part that combines the balance with an external channel.
const COMBINATION_SHARE: f64 = 0.20;
/// Of payments, the part that comes with a promotion.
const PROMOTION_SHARE: f64 = 0.30;

/// Weights in percent; they sum to 100.
#[derive(Clone, Copy)]
struct Weights {
    query: f64,
    pay: f64,
    recharge: f64,
    refund: f64,
    transfer: f64,
    hostile: f64,
}

const FESTIVAL: Weights =
    Weights { query: 55.0, pay: 35.0, recharge: 3.0, refund: 3.0, transfer: 3.0, hostile: 1.0 };

const PREHEAT: Weights =
    Weights { query: 80.0, pay: 4.0, recharge: 15.0, refund: 0.0, transfer: 1.0, hostile: 0.0 };

const REFUND_WAVE: Weights =
    Weights { query: 48.0, pay: 31.0, recharge: 2.5, refund: 15.0, transfer: 2.5, hostile: 1.0 };

fn weights(phase: PhaseName) -> &'static Weights {
    match phase {
        PhaseName::Preheat => &PREHEAT,
        PhaseName::RefundWave => &REFUND_WAVE,
        PhaseName::WarmUp
        | PhaseName::Gun
        | PhaseName::OrderPeak
        | PhaseName::Shelf
        | PhaseName::PaymentPeak
        | PhaseName::ShelfEnd
        | PhaseName::Decay
        | PhaseName::Steady => &FESTIVAL,
    }
}

/// Draws what a user does in this phase.
pub(crate) fn intent(phase: PhaseName, rng: &mut impl Rng) -> Intent {
    let weights = weights(phase);
    let mut draw = rng.random_range(0.0..100.0);
    let mut falls_in = |weight: f64| {
        draw -= weight;
        draw < 0.0
    };
    if falls_in(weights.query) {
        if rng.random_bool(HISTORY_SHARE) { Intent::HistoryRead } else { Intent::AccountRead }
    } else if falls_in(weights.pay * COMBINATION_SHARE) {
        Intent::Combination
    } else if falls_in(weights.pay * PROMOTION_SHARE) {
        Intent::PromotionPayment
    } else if falls_in(weights.pay * (1.0 - COMBINATION_SHARE - PROMOTION_SHARE)) {
        Intent::Payment
    } else if falls_in(weights.recharge) {
        Intent::Recharge
    } else if falls_in(weights.refund) {
        Intent::Refund
    } else if falls_in(weights.transfer) {
        Intent::Transfer
    } else {
        // The last one takes the rounding of the sum, and in a phase without hostile users that is a transfer.
        if weights.hostile > 0.0 { Intent::Hostile } else { Intent::Transfer }
    }
}

/// The part (0 to 1) of a phase's arrivals that pay, with any kind of payment.
pub(crate) fn pay_share(phase: PhaseName) -> f64 {
    weights(phase).pay / 100.0
}

/// The part (0 to 1) of a phase's arrivals that pay with a promotion.
pub(crate) fn promotion_share(phase: PhaseName) -> f64 {
    pay_share(phase) * PROMOTION_SHARE
}

/// The part (0 to 1) of a phase's arrivals that send money to another user.
pub(crate) fn transfer_share(phase: PhaseName) -> f64 {
    weights(phase).transfer / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const DRAWS: u32 = 200_000;

    fn check(phase: PhaseName, wanted: &[Intent], expected: f64) {
        let mut rng = SmallRng::seed_from_u64(618);
        let count = (0..DRAWS).filter(|_| wanted.contains(&intent(phase, &mut rng))).count();
        let share = count as f64 / f64::from(DRAWS);
        assert!((share - expected).abs() < 0.005, "{phase:?} {wanted:?}: {share}, expected {expected}");
    }

    #[test]
    fn the_mix_is_that_of_the_phase() {
        let query = [Intent::AccountRead, Intent::HistoryRead];
        check(PhaseName::Shelf, &query, 0.55);
        check(PhaseName::Shelf, &[Intent::Combination], 0.07);
        check(PhaseName::Shelf, &[Intent::PromotionPayment], 0.105);
        check(PhaseName::Shelf, &[Intent::Payment], 0.175);
        check(PhaseName::Shelf, &[Intent::Hostile], 0.01);
        check(PhaseName::Preheat, &query, 0.80);
        check(PhaseName::Preheat, &[Intent::Recharge], 0.15);
        check(PhaseName::Preheat, &[Intent::Hostile], 0.0);
        check(PhaseName::RefundWave, &[Intent::Refund], 0.15);
    }

    #[test]
    fn weights_sum_to_a_hundred() {
        for table in [FESTIVAL, PREHEAT, REFUND_WAVE] {
            let sum =
                table.query + table.pay + table.recharge + table.refund + table.transfer + table.hostile;
            assert!((sum - 100.0).abs() < 1e-9, "{sum}");
        }
    }
}

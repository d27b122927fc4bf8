//! What users do: the weights of the operations, by phase.
//!
//! Owns: the tables of weights and the names of the kinds in reports. Never builds a request.

use rand::{Rng, RngExt};
use serde::Serialize;

use crate::phases::PhaseName;

/// What a user means to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    WalletRead,
    PaymentRead,
    HistoryRead,
    Payment {
        /// More than the balance has, with a channel for the rest.
        combined: bool,
        promotion: bool,
    },
    Recharge,
    /// Of a payment that is paid, or the cancellation of one that waits.
    Refund,
    Transfer,
    /// A password that is not the wallet's.
    Guess,
}

impl Intent {
    /// The kind that it most probably becomes; for arrivals that are dropped before there is a request.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::WalletRead => Kind::WalletRead,
            Self::PaymentRead => Kind::PaymentRead,
            Self::HistoryRead => Kind::HistoryRead,
            Self::Payment { combined: true, .. } => Kind::Combination,
            Self::Payment { promotion: true, .. } => Kind::PromotionPayment,
            Self::Payment { .. } => Kind::Payment,
            Self::Recharge => Kind::Recharge,
            Self::Refund => Kind::Refund,
            Self::Transfer => Kind::Transfer,
            Self::Guess => Kind::Guess,
        }
    }
}

/// What a request does, as reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Payment,
    PromotionPayment,
    Combination,
    Refund,
    Cancel,
    Recharge,
    Transfer,
    Guess,
    WalletRead,
    PaymentRead,
    HistoryRead,
    Notification,
    Token,
}

impl Kind {
    /// All kinds, in the order of reports.
    pub(crate) const ALL: [Self; 13] = [
        Self::Payment,
        Self::PromotionPayment,
        Self::Combination,
        Self::Refund,
        Self::Cancel,
        Self::Recharge,
        Self::Transfer,
        Self::Guess,
        Self::WalletRead,
        Self::PaymentRead,
        Self::HistoryRead,
        Self::Notification,
        Self::Token,
    ];

    /// The name as people read it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Payment => "pay",
            Self::PromotionPayment => "pay with promotion",
            Self::Combination => "pay with channel",
            Self::Refund => "refund",
            Self::Cancel => "cancel",
            Self::Recharge => "recharge",
            Self::Transfer => "transfer",
            Self::Guess => "wrong password",
            Self::WalletRead => "query: wallet",
            Self::PaymentRead => "query: payment",
            Self::HistoryRead => "query: history",
            Self::Notification => "channel's notification",
            Self::Token => "payment token",
        }
    }

    /// Whether its latency enters the service level of payments.
    pub(crate) fn pays(self) -> bool {
        match self {
            Self::Payment | Self::PromotionPayment | Self::Combination => true,
            Self::Refund
            | Self::Cancel
            | Self::Recharge
            | Self::Transfer
            | Self::Guess
            | Self::WalletRead
            | Self::PaymentRead
            | Self::HistoryRead
            | Self::Notification
            | Self::Token => false,
        }
    }

    /// Whether it has an id, so that it can be sent twice.
    pub(crate) fn writes(self) -> bool {
        match self {
            Self::Payment
            | Self::PromotionPayment
            | Self::Combination
            | Self::Refund
            | Self::Cancel
            | Self::Recharge
            | Self::Transfer
            | Self::Notification => true,
            Self::Guess | Self::WalletRead | Self::PaymentRead | Self::HistoryRead | Self::Token => false,
        }
    }
}

/// Of queries, the part that lists history.
const HISTORY_SHARE: f64 = 0.3;
/// Of queries, the part that looks at a payment; the rest looks at the wallet.
const PAYMENT_SHARE: f64 = 0.3;
/// Of payments, the part that combines the balance with a channel.
const COMBINATION_SHARE: f64 = 0.20;
/// Of payments, combined or not, the part that comes with a promotion.
const PROMOTION_SHARE: f64 = 0.30;

/// Weights in percent; they sum to 100.
#[derive(Clone, Copy)]
struct Weights {
    query: f64,
    pay: f64,
    recharge: f64,
    refund: f64,
    transfer: f64,
    guess: f64,
}

const FESTIVAL: Weights =
    Weights { query: 55.0, pay: 35.0, recharge: 3.0, refund: 3.0, transfer: 3.0, guess: 1.0 };

const PREHEAT: Weights =
    Weights { query: 80.0, pay: 4.0, recharge: 15.0, refund: 0.0, transfer: 1.0, guess: 0.0 };

const REFUND_WAVE: Weights =
    Weights { query: 48.0, pay: 31.0, recharge: 2.5, refund: 15.0, transfer: 2.5, guess: 1.0 };

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
        query(rng)
    } else if falls_in(weights.pay) {
        Intent::Payment {
            combined: rng.random_bool(COMBINATION_SHARE),
            promotion: rng.random_bool(PROMOTION_SHARE),
        }
    } else if falls_in(weights.recharge) {
        Intent::Recharge
    } else if falls_in(weights.refund) {
        Intent::Refund
    } else if falls_in(weights.transfer) {
        Intent::Transfer
    } else {
        // The last one takes the rounding of the sum, and in a phase without guessers that is a transfer.
        if weights.guess > 0.0 { Intent::Guess } else { Intent::Transfer }
    }
}

fn query(rng: &mut impl Rng) -> Intent {
    let draw: f64 = rng.random();
    if draw < HISTORY_SHARE {
        Intent::HistoryRead
    } else if draw < HISTORY_SHARE + PAYMENT_SHARE {
        Intent::PaymentRead
    } else {
        Intent::WalletRead
    }
}

/// The part (0 to 1) of a phase's arrivals that need an authorisation: payments and transfers.
pub(crate) fn spend_share(phase: PhaseName) -> f64 {
    (weights(phase).pay + weights(phase).transfer) / 100.0
}

/// The part (0 to 1) of a phase's arrivals that pay with a promotion.
pub(crate) fn promotion_share(phase: PhaseName) -> f64 {
    weights(phase).pay / 100.0 * PROMOTION_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const DRAWS: u32 = 200_000;

    fn check(phase: PhaseName, wanted: fn(&Intent) -> bool, expected: f64) {
        let mut rng = SmallRng::seed_from_u64(618);
        let count = (0..DRAWS).map(|_| intent(phase, &mut rng)).filter(wanted).count();
        let share = count as f64 / f64::from(DRAWS);
        assert!((share - expected).abs() < 0.005, "{phase:?}: {share}, expected {expected}");
    }

    #[test]
    fn the_mix_is_that_of_the_phase() {
        let query: fn(&Intent) -> bool =
            |intent| matches!(intent, Intent::WalletRead | Intent::PaymentRead | Intent::HistoryRead);
        check(PhaseName::Shelf, query, 0.55);
        check(PhaseName::Shelf, |intent| matches!(intent, Intent::Payment { .. }), 0.35);
        check(PhaseName::Shelf, |intent| matches!(intent, Intent::Payment { combined: true, .. }), 0.07);
        check(PhaseName::Shelf, |intent| matches!(intent, Intent::Payment { promotion: true, .. }), 0.105);
        check(PhaseName::Shelf, |intent| *intent == Intent::Guess, 0.01);
        check(PhaseName::Preheat, query, 0.80);
        check(PhaseName::Preheat, |intent| *intent == Intent::Recharge, 0.15);
        check(PhaseName::Preheat, |intent| *intent == Intent::Guess, 0.0);
        check(PhaseName::RefundWave, |intent| *intent == Intent::Refund, 0.15);
    }

    #[test]
    fn weights_sum_to_a_hundred() {
        for table in [FESTIVAL, PREHEAT, REFUND_WAVE] {
            let sum = table.query + table.pay + table.recharge + table.refund + table.transfer + table.guess;
            assert!((sum - 100.0).abs() < 1e-9, "{sum}");
        }
    }
}

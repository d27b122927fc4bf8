//! What a promotion gives on an amount. Pure.

use serde::{Deserialize, Serialize};

use crate::model::Amount;

/// How much a promotion gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromotionRule {
    /// So much off, never more than the amount itself.
    AmountOff(Amount),
    /// So many percent off, cut to the fen.
    PercentOff {
        /// 1 to 100.
        percent: u8,
        /// Never more than this.
        at_most: Amount,
    },
    /// From an amount on, so much off.
    FullReduction {
        /// The amount.
        full: Amount,
        /// Off; not more than `full`.
        reduce: Amount,
    },
}

impl PromotionRule {
    /// What it gives on an amount; perhaps nothing.
    #[must_use]
    pub fn on(self, amount: Amount) -> Amount {
        match self {
            Self::AmountOff(off) => off.min(amount),
            Self::PercentOff { percent, at_most } => {
                let off = u128::from(amount.units()) * u128::from(percent.min(100)) / 100;
                Amount(u64::try_from(off).unwrap_or(u64::MAX)).min(at_most)
            }
            Self::FullReduction { full, reduce } if amount >= full => reduce.min(amount),
            Self::FullReduction { .. } => Amount::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_it_says() {
        let check = |rule: PromotionRule, amount: u64, off: u64| {
            assert_eq!(rule.on(Amount(amount)), Amount(off), "{rule:?} on {amount}");
        };
        let off = PromotionRule::AmountOff(Amount(500));
        check(off, 10_000, 500);
        check(off, 499, 499);
        let percent = PromotionRule::PercentOff { percent: 15, at_most: Amount(1_000) };
        check(percent, 999, 149);
        check(percent, 6_666, 999);
        check(percent, 6_667, 1_000);
        check(percent, u64::MAX, 1_000);
        check(percent, 6, 0);
        let full = PromotionRule::FullReduction { full: Amount(30_000), reduce: Amount(5_000) };
        check(full, 29_999, 0);
        check(full, 30_000, 5_000);
        check(full, 90_000, 5_000);
    }
}

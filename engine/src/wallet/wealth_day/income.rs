use serde::{Deserialize, Serialize};

use crate::model::RequestedAmount;

/// What 10,000 shares earn in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomeRate {
    /// Hundred-millionths of a yuan.
    units: u64,
}

impl IncomeRate {
    /// Most decimals.
    const SCALE: u32 = 8;
    /// Shares that the rate is for.
    const SHARES: u128 = 10_000;
    /// Most: as much as the shares themselves.
    const UNITS_MAX: u64 = 10_000 * 10_u64.pow(Self::SCALE);

    /// Reads yuan: a decimal number of at most eight decimals, from 0 to 10,000.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let RequestedAmount::Decimal(yuan) = RequestedAmount::parse(text) else { return None };
        let missing = Self::SCALE.checked_sub(yuan.scale())?;
        let units = yuan.mantissa().checked_mul(10_i128.checked_pow(missing)?)?;
        let units = u64::try_from(units).ok()?;
        (units <= Self::UNITS_MAX).then_some(Self { units })
    }

    /// What so many shares earn, both in fen, cut to the fen: exactly, in integers.
    #[must_use]
    pub fn of(self, shares: u128) -> Option<u64> {
        let earned = shares.checked_mul(u128::from(self.units))?;
        u64::try_from(earned / (Self::SHARES * 10_u128.pow(Self::SCALE))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_to_the_fen() {
        let check = |rate: &str, shares: u128, income: u64| {
            assert_eq!(IncomeRate::parse(rate).unwrap().of(shares), Some(income), "{rate} of {shares}");
        };
        // 10,000.00 yuan earn the rate.
        check("1.5", 1_000_000, 150);
        check("1.2345", 1_000_000, 123);
        check("1.2345", 100_000_000, 12_345);
        // Just enough for a fen, and just not.
        check("1", 10_000, 1);
        check("1", 9_999, 0);
        check("0.00000001", 999_999_999_999, 0);
        check("0.00000001", 1_000_000_000_000, 1);
        check("0", 1_000_000, 0);
        check("10000", 1_234_567, 1_234_567);
        assert_eq!(IncomeRate::parse("10000").unwrap().of(u128::from(u64::MAX) + 1), None);
        assert_eq!(IncomeRate::parse("10000").unwrap().of(u128::MAX), None);
    }

    #[test]
    fn reads_decimals() {
        assert_eq!(IncomeRate::parse("1.50"), IncomeRate::parse("1.5"));
        for wrong in ["", "-1", "+1", "1e1", ".5", "1.", "0.000000001", "10000.00000001", " 1", "NaN"] {
            assert_eq!(IncomeRate::parse(wrong), None, "{wrong}");
        }
    }
}

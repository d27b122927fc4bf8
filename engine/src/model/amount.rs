use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Assets;

/// A count of an asset's minor units (fen for CNY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Amount(pub u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The count of minor units.
    #[must_use]
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The sum, or `None` above `u64`.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` below zero.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

/// For amounts whose sum is known to be one.
///
/// # Panics
/// The sum is above `u64`.
impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        let mut amounts = amounts;
        amounts.try_fold(Self::ZERO, Self::checked_add).expect("the sum of the amounts is one")
    }
}

/// An amount as a client wrote it: a decimal number whose fit to an asset is not known yet, or text that is none.
///
/// Two requested amounts are equal when their values are (`1.5` and `1.50`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedAmount {
    /// Digits with at most one point between digits.
    Decimal(Decimal),
    /// Anything else, kept (clipped, see [`RequestedAmount::TEXT_BYTES_MAX`]) so that a copy can be compared.
    Invalid(Box<str>),
}

impl RequestedAmount {
    /// Bytes of an invalid text that are kept as written; of a longer one its start and its hash are kept.
    pub const TEXT_BYTES_MAX: usize = 64;

    /// Reads a client's text. Never fails: what is no decimal number is kept as [`RequestedAmount::Invalid`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut halves = text.splitn(2, '.');
        let digits = |half: &str| !half.is_empty() && half.bytes().all(|byte| byte.is_ascii_digit());
        let well_formed = halves.next().is_some_and(digits) && halves.next().is_none_or(digits);
        match Decimal::from_str_exact(text) {
            Ok(value) if well_formed => Self::Decimal(value),
            Ok(_) | Err(_) => Self::invalid(text),
        }
    }

    /// A whole number of minor units of an asset with `scale` decimals.
    #[must_use]
    pub fn from_units(amount: Amount, scale: u8) -> Self {
        Self::Decimal(Decimal::from_i128_with_scale(i128::from(amount.0), u32::from(scale)))
    }

    /// Whether some asset has this amount: positive, with few enough decimals, and of a `u64` magnitude.
    #[must_use]
    pub fn fits_some_asset(&self) -> bool {
        match self {
            Self::Decimal(value) => u8::try_from(value.scale())
                .is_ok_and(|scale| scale <= Assets::SCALE_MAX && self.to_units(scale).is_some()),
            Self::Invalid(_) => false,
        }
    }

    fn invalid(text: &str) -> Self {
        if text.len() <= Self::TEXT_BYTES_MAX {
            return Self::Invalid(text.into());
        }
        let start: String = text.chars().take(12).collect();
        let hash = blake3::hash(text.as_bytes()).to_hex();
        Self::Invalid(format!("{start}…#{}", hash.get(..32).unwrap_or_default()).into())
    }

    /// The exact count of minor units, or `None`: not a number, more decimals than `scale`, zero, or above `u64`.
    #[must_use]
    pub fn to_units(&self, scale: u8) -> Option<Amount> {
        let Self::Decimal(value) = self else { return None };
        let missing = u32::from(scale).checked_sub(value.scale())?;
        let units = value.mantissa().checked_mul(10_i128.checked_pow(missing)?)?;
        u64::try_from(units).ok().filter(|&units| units > 0).map(Amount)
    }
}

impl fmt::Display for RequestedAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal(value) => write!(f, "{value}"),
            Self::Invalid(text) => f.write_str(text),
        }
    }
}

/// Reads a floor or ceiling: a decimal, perhaps negative or zero, of at most `scale` decimals and `u64` magnitude.
#[must_use]
pub fn parse_signed_units(text: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let RequestedAmount::Decimal(value) = RequestedAmount::parse(digits) else { return None };
    let missing = u32::from(scale).checked_sub(value.scale())?;
    let units = value.mantissa().checked_mul(10_i128.checked_pow(missing)?)?;
    u64::try_from(units).ok().map(|units| if negative { -i128::from(units) } else { i128::from(units) })
}

/// Writes minor units with the asset's decimals: `format_units(-5, 2)` is `"-0.05"`.
#[must_use]
pub fn format_units(units: i128, scale: u8) -> String {
    if scale == 0 {
        return units.to_string();
    }
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_amounts_exactly() {
        let check = |text: &str, scale: u8, expected: Option<u64>| {
            assert_eq!(
                RequestedAmount::parse(text).to_units(scale),
                expected.map(Amount),
                "{text:?} scale {scale}"
            );
        };
        check("12.34", 2, Some(1234));
        check("12.3", 2, Some(1230));
        check("12", 2, Some(1200));
        check("184467440737095516.15", 2, Some(u64::MAX));
        check("18446744073709551615", 0, Some(u64::MAX));
        for refused in [
            "184467440737095516.16",
            "0",
            "0.00",
            "-1",
            "+1",
            "1e2",
            "1E2",
            " 1",
            "1 ",
            "",
            ".",
            "1.",
            ".5",
            "1.2.3",
            "1_0",
            "１",
            "NaN",
            "inf",
            "0x1",
            "1.234",
            "1,5",
            "\u{0}1",
        ] {
            check(refused, 2, None);
        }
        check(&"9".repeat(400), 2, None);
        check(&format!("1.{}", "0".repeat(40)), 2, None);
        check("5.0", 0, None);
    }

    #[test]
    fn compares_by_value() {
        assert_eq!(RequestedAmount::parse("1.5"), RequestedAmount::parse("1.50"));
        assert_ne!(RequestedAmount::parse(&"9".repeat(400)), RequestedAmount::parse(&"9".repeat(401)));
    }

    #[test]
    fn formats_with_the_assets_decimals() {
        assert_eq!(format_units(500, 2), "5.00");
        assert_eq!(format_units(-5, 2), "-0.05");
        assert_eq!(format_units(0, 2), "0.00");
        assert_eq!(format_units(7, 0), "7");
        assert_eq!(format_units(-12_345, 2), "-123.45");
        assert_eq!(format_units(12, 3), "0.012");
        assert_eq!(parse_signed_units("-100.5", 2), Some(-10050));
        assert_eq!(parse_signed_units("--1", 2), None);
        assert_eq!(parse_signed_units("0", 2), Some(0));
    }
    #[test]
    fn fits_the_asset_of_the_most_decimals_or_none() {
        let check = |text: &str, expected: bool| {
            assert_eq!(RequestedAmount::parse(text).fits_some_asset(), expected, "{text:?}");
        };
        let smallest = |decimals: u8| format!("0.{:0>width$}", 1, width = usize::from(decimals));
        check("1", true);
        check("18446744073709551615", true);
        check("18446744073709551616", false);
        check(&smallest(Assets::SCALE_MAX), true);
        check(&smallest(Assets::SCALE_MAX + 1), false);
        check("0", false);
        check("-1", false);
        check("one", false);
    }

    #[test]
    fn shows_what_was_written() {
        let check = |text: &str, expected: &str| {
            assert_eq!(RequestedAmount::parse(text).to_string(), expected, "{text:?}");
        };
        check("1.50", "1.50");
        check("one", "one");
        let most = "x".repeat(RequestedAmount::TEXT_BYTES_MAX);
        check(&most, &most);
        let more = format!("{most}x");
        let hash = blake3::hash(more.as_bytes()).to_hex();
        check(&more, &format!("xxxxxxxxxxxx…#{}", &hash[..32]));
        assert_eq!(RequestedAmount::from_units(Amount(1234), 2).to_string(), "12.34");
    }

    #[test]
    fn amounts_add_up() {
        assert_eq!([1, 2, 3].map(Amount).into_iter().sum::<Amount>(), Amount(6));
    }
}

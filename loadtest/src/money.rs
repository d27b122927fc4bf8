//! Amounts in minor units.
//!
//! Owns: the conversion between the decimal strings of the HTTP edge and whole fen (1/100 CNY). Never uses a float.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// An amount of money in fen; never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fen(pub(crate) u64);

impl Fen {
    /// As a signed sum.
    pub(crate) fn signed(self) -> i128 {
        i128::from(self.0)
    }
}

impl Display for Fen {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// A signed sum of fen, as people read it.
pub(crate) struct Signed(pub(crate) i128);

impl Display for Signed {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        write!(formatter, "{sign}{}.{:02}", size / 100, size % 100)
    }
}

/// Reads an amount that is not negative; see `parse_signed`.
pub(crate) fn parse(text: &str) -> Option<Fen> {
    parse_signed(text).and_then(|fen| u64::try_from(fen).ok()).map(Fen)
}

/// Reads a balance such as `"-12.34"`; two decimals, as answers carry them. `None` if it is anything else.
pub(crate) fn parse_signed(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.')?;
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() != 2 || !plain(whole) || !plain(fraction) {
        return None;
    }
    let size = whole.parse::<i128>().ok()?.checked_mul(100)?.checked_add(fraction.parse::<i128>().ok()?)?;
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<i128>) {
        assert_eq!(parse_signed(text), expected, "{text}");
        if let Some(fen) = expected {
            assert_eq!(Signed(fen).to_string(), text);
        }
    }

    #[test]
    fn balances_convert_exactly() {
        check("0.00", Some(0));
        check("12.34", Some(1_234));
        check("-0.05", Some(-5));
        check(
            "170141183460469231731687303715884105.00",
            Some(17_014_118_346_046_923_173_168_730_371_588_410_500),
        );
        check("1", None);
        check("1.5", None);
        check("1e2.00", None);
        check("--1.00", None);
        check("", None);
        assert_eq!(Fen(1_205).to_string(), "12.05");
    }
}

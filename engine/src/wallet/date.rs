//! Days as the product counts them: of Asia/Shanghai.
//!
//! Owns the way between a day and its moments. Never reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// A day of Asia/Shanghai, in days since 1970-01-01 there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Date(i32);

impl Date {
    /// Asia/Shanghai is 8 h ahead of UTC all the year since 1991-09-15; this holds for all times.
    const OFFSET_NANOS: i64 = 8 * 3_600 * Timestamp::NANOS_PER_SECOND;
    const DAY_NANOS: i64 = 24 * 3_600 * Timestamp::NANOS_PER_SECOND;
    const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

    /// Reads `2026-06-18`; `None` if it is no day, or one before 1970 or after 2261 (of which the ledger has no times).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const SHAPE: &[u8] = b"dddd-dd-dd";
        let fits = text.len() == SHAPE.len()
            && text.bytes().zip(SHAPE).all(|(byte, &wanted)| match wanted {
                b'd' => byte.is_ascii_digit(),
                other => byte == other,
            });
        let date: jiff::civil::Date = if fits { text.parse().ok()? } else { return None };
        (1970..=2261)
            .contains(&date.year())
            .then(|| Self(Self::EPOCH.until(date).map_or(0, |span| span.get_days())))
    }

    /// The day of a moment.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        let days = moment.0.saturating_add(Self::OFFSET_NANOS).div_euclid(Self::DAY_NANOS);
        Self(i32::try_from(days).unwrap_or(i32::MAX))
    }

    /// Its first moment.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(i64::from(self.0).saturating_mul(Self::DAY_NANOS).saturating_sub(Self::OFFSET_NANOS))
    }

    /// The first moment after it.
    #[must_use]
    pub fn end(self) -> Timestamp {
        Self(self.0.saturating_add(1)).start()
    }

    /// Days since 1970-01-01.
    pub(super) fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use jiff::ToSpan as _;
        match Self::EPOCH.checked_add(self.0.days()) {
            Ok(date) => write!(f, "{date}"),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_starts_at_16_utc_of_the_day_before() {
        let day = Date::parse("2026-06-18").unwrap();
        assert_eq!(day.start().to_string(), "2026-06-17T16:00:00.000000000Z");
        assert_eq!(day.end().to_string(), "2026-06-18T16:00:00.000000000Z");
        assert_eq!(day.to_string(), "2026-06-18");
        assert_eq!(Date::of(day.start()), day);
        assert_eq!(Date::of(day.start().plus_nanos(-1)).to_string(), "2026-06-17");
        assert_eq!(Date::of(day.end()).to_string(), "2026-06-19");
        assert_eq!(Date::parse("1970-01-01").unwrap().number(), 0);
        assert_eq!(Date::parse("2024-02-29").unwrap().to_string(), "2024-02-29");
    }

    #[test]
    fn what_is_no_day_is_none() {
        for wrong in [
            "",
            "2026-06-31",
            "2025-02-29",
            "2026-6-18",
            "2026-06-18T00:00:00Z",
            "+2026-06-18",
            "20260618",
            "1969-12-31",
            "2262-01-01",
            "2026/06/18",
            " 2026-06-18",
        ] {
            assert_eq!(Date::parse(wrong), None, "{wrong}");
        }
    }
}

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// A calendar day in Asia/Shanghai.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Date(jiff::civil::Date);

impl Date {
    /// Asia/Shanghai is 8 h ahead of UTC all the year since 1991-09-15.
    const OFFSET: jiff::tz::Offset = jiff::tz::offset(8);

    /// Reads `YYYY-MM-DD`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let date = Self(text.parse().ok()?);
        // The parser takes other forms, and years of other lengths.
        (text.len() == "YYYY-MM-DD".len() && date.to_string() == text).then_some(date)
    }

    /// The day that an instant is in.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let at = jiff::Timestamp::from_nanosecond(i128::from(at.0));
        Self(Self::OFFSET.to_datetime(at.unwrap_or(jiff::Timestamp::MAX)).date())
    }
}

/// `YYYY-MM-DD`
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_form() {
        assert_eq!(Date::parse("2024-02-29").unwrap().to_string(), "2024-02-29");
        let wrong =
            ["", "2023-02-29", "20240229", "2024-2-29", "2024-02-29T00:00", "-002024-02-29", "2024-13-01"];
        for wrong in wrong {
            assert_eq!(Date::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_in_shanghai() {
        const NOON: i64 = 1_750_219_200; // 2025-06-18T04:00:00Z
        let of = |seconds: i64| Date::of(Timestamp(seconds * Timestamp::NANOS_PER_SECOND)).to_string();
        assert_eq!(of(NOON), "2025-06-18");
        assert_eq!(of(NOON + 12 * 3_600 - 1), "2025-06-18");
        assert_eq!(of(NOON + 12 * 3_600), "2025-06-19");
        assert_eq!(of(NOON - 12 * 3_600), "2025-06-18");
        assert_eq!(of(NOON - 12 * 3_600 - 1), "2025-06-17");
    }
}

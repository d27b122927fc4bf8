use std::fmt;

use serde::{Deserialize, Serialize};

/// A record's place in the journal, counted from 1; the ledger's only order. 0 stands for "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The position before the first record.
    pub const ZERO: Self = Self(0);

    /// The position `count` records further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    /// The next position.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);
    /// 2000-01-01T00:00:00Z: a wall clock that shows an earlier time is not set.
    pub const EARLIEST_WALL: Self = Self(946_684_800 * Self::NANOS_PER_SECOND);
    /// 2262-01-01T00:00:00Z, the end of the ledger's time: no record is later. A timestamp goes 100 days further, so that
    /// the longest hold's expiry is one too.
    pub const LATEST: Self = Self(9_214_646_400 * Self::NANOS_PER_SECOND);
    /// Nanoseconds in a second.
    pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

    /// This instant and `seconds` more; stays at the greatest instant instead of overflowing.
    #[must_use]
    pub fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(i64::from(seconds).saturating_mul(Self::NANOS_PER_SECOND)))
    }

    /// This instant and `days` of 24 hours more; stays at the greatest instant instead of overflowing.
    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        const DAY_S: i64 = 86_400;
        Self(self.0.saturating_add((i64::from(days) * DAY_S).saturating_mul(Self::NANOS_PER_SECOND)))
    }

    /// This instant and `nanos` more; stays at the greatest instant instead of overflowing.
    #[must_use]
    pub fn plus_nanos(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

/// RFC 3339 in UTC with `Z` and nine decimals.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(instant) => write!(f, "{instant:.9}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_nine_decimals_in_utc() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Timestamp(1_750_176_000_000_000_001).to_string(), "2025-06-17T16:00:00.000000001Z");
        assert_eq!(Timestamp::EARLIEST_WALL.to_string(), "2000-01-01T00:00:00.000000000Z");
        assert_eq!(Timestamp::LATEST.to_string(), "2262-01-01T00:00:00.000000000Z");
    }
}

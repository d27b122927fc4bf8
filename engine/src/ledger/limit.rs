use crate::model::{Limit, LimitWindow, RejectionCode, Timestamp};
use compact_str::CompactString;

/// A spending limit and what is used of it.
///
/// What is used belongs to one window; a later debit starts a new one. What is given back counts only if it was taken
/// in that window and after the limit came to be, so that nothing is given back that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitState {
    /// The rule.
    pub limit: Limit,
    /// Start of the window that `used` is of.
    pub window: WindowStart,
    /// Debits decided up to this instant were not counted, so they give nothing back.
    pub counts_after: Timestamp,
    /// Minor units.
    pub used_amount: u128,
    /// Operations.
    pub used_count: u64,
}

/// The first day of a window in Asia/Shanghai, in days since 1970-01-01 there; of a lifetime, the least day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowStart(pub i32);

impl WindowStart {
    /// Before every window; also the start of a lifetime.
    pub const LEAST: Self = Self(i32::MIN);
    /// Asia/Shanghai is 8 h ahead of UTC all the year since 1991-09-15; this holds for all times.
    const OFFSET_S: i64 = 8 * 3_600;
    const DAY_S: i64 = 86_400;

    /// The start of the window that `now` is in.
    #[must_use]
    pub fn of(window: LimitWindow, now: Timestamp) -> Self {
        if window == LimitWindow::Lifetime {
            return Self::LEAST;
        }
        let day = (now.0.div_euclid(Timestamp::NANOS_PER_SECOND) + Self::OFFSET_S).div_euclid(Self::DAY_S);
        let day = i32::try_from(day).expect("i64 nanoseconds are fewer than 106,752 days");
        let date = MarchDate::of_day(day);
        match window {
            LimitWindow::Lifetime => Self::LEAST,
            LimitWindow::Day => Self(day),
            LimitWindow::Month => Self(day - date.day_of_month),
            LimitWindow::Year => Self(date.january_first()),
        }
    }
}

/// A date of the Gregorian calendar whose years begin in March, so that the leap day is a year's last.
struct MarchDate {
    /// Days since 1970-01-01 of the year's 1 March.
    march_first: i32,
    /// Of this year, from 0.
    day_of_year: i32,
    /// From 0.
    day_of_month: i32,
    /// Whether a 29 February is right before this year.
    after_leap_day: bool,
}

impl MarchDate {
    /// Days from 0000-03-01 to 1970-01-01.
    const EPOCH: i32 = 719_468;
    const DAYS_400_YEARS: i32 = 146_097;

    fn of_day(day: i32) -> Self {
        let since = day + Self::EPOCH;
        let day_of_era = since.rem_euclid(Self::DAYS_400_YEARS);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524
            - day_of_era / (Self::DAYS_400_YEARS - 1))
            / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // 153 days every five months from March on.
        let month = (5 * day_of_year + 2) / 153;
        Self {
            march_first: day - day_of_year,
            day_of_year,
            day_of_month: day_of_year - (153 * month + 2) / 5,
            after_leap_day: year_of_era % 4 == 0 && (year_of_era % 100 != 0 || year_of_era == 0),
        }
    }

    /// Days since 1970-01-01 of the 1 January of the calendar year.
    fn january_first(&self) -> i32 {
        /// Days of March to December.
        const TO_JANUARY: i32 = 306;
        if self.day_of_year >= TO_JANUARY {
            self.march_first + TO_JANUARY
        } else {
            self.march_first - 59 - i32::from(self.after_leap_day)
        }
    }
}

impl LimitState {
    /// A limit that is there from the account's first debit on.
    #[must_use]
    pub fn of_opening(limit: Limit) -> Self {
        Self {
            limit,
            window: WindowStart::LEAST,
            counts_after: Timestamp(i64::MIN),
            used_amount: 0,
            used_count: 0,
        }
    }

    /// A limit that is new since `now`.
    #[must_use]
    pub fn of_change(limit: Limit, now: Timestamp) -> Self {
        let window = WindowStart::of(limit.window, now);
        Self { limit, window, counts_after: now, used_amount: 0, used_count: 0 }
    }

    /// What is used at `now`, in minor units and in operations: zero once the window has passed. A clock that shows an
    /// earlier window than the counted one is taken to be in the counted one.
    #[must_use]
    pub fn used_at(&self, now: Timestamp) -> (u128, u64) {
        if WindowStart::of(self.limit.window, now) > self.window {
            (0, 0)
        } else {
            (self.used_amount, self.used_count)
        }
    }

    /// Whether it counts an operation with this code: any if the limit has none, else the limit's own and what is
    /// under it (`spend` counts `spend.transfer`).
    #[must_use]
    pub fn counts(&self, code: Option<&CompactString>) -> bool {
        let Some(own) = &self.limit.code else { return true };
        let rest = code.and_then(|code| code.strip_prefix(own.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Whether a debit would go beyond the limit.
    pub(super) fn exceeds(&self, code: Option<&CompactString>, amount: u64, now: Timestamp) -> bool {
        if !self.counts(code) {
            return false;
        }
        let (used_amount, used_count) = self.used_at(now);
        let amount_left = |most: u64| u128::from(most).checked_sub(used_amount);
        let count_left = |most: u32| u64::from(most).checked_sub(used_count);
        self.limit.amount.is_some_and(|most| amount_left(most).is_none_or(|left| left < u128::from(amount)))
            || self.limit.count.is_some_and(|most| count_left(most).is_none_or(|left| left < 1))
    }

    /// Counts a debit.
    pub(super) fn take(
        &mut self,
        code: Option<&CompactString>,
        amount: u64,
        now: Timestamp,
    ) -> Result<(), RejectionCode> {
        if !self.counts(code) {
            return Ok(());
        }
        let window = WindowStart::of(self.limit.window, now);
        if window > self.window {
            (self.window, self.used_amount, self.used_count) = (window, 0, 0);
        }
        self.used_amount = self.used_amount.checked_add(u128::from(amount)).ok_or(RejectionCode::Overflow)?;
        self.used_count = self.used_count.checked_add(1).ok_or(RejectionCode::Overflow)?;
        Ok(())
    }

    /// Takes back part of what a debit with this code, decided at `taken_at`, was counted with.
    pub(super) fn give_back(
        &mut self,
        code: Option<&CompactString>,
        taken_at: Timestamp,
        amount: u64,
        count: u64,
    ) {
        let counted =
            taken_at > self.counts_after && WindowStart::of(self.limit.window, taken_at) == self.window;
        if counted && self.counts(code) {
            self.used_amount = self.used_amount.saturating_sub(u128::from(amount));
            self.used_count = self.used_count.saturating_sub(count);
        }
    }
}

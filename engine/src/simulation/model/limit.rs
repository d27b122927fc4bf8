//! A spending limit, with a sum for each window that it ever counted.

use std::collections::BTreeMap;

use compact_str::CompactString;

use crate::model::{Limit, LimitWindow, Timestamp};

/// A limit with what it counted, by window.
#[derive(Clone, Debug)]
pub(in crate::simulation) struct Counted {
    pub(in crate::simulation) limit: Limit,
    /// Debits up to here were not counted.
    pub(super) born: Option<Timestamp>,
    pub(super) windows: BTreeMap<Window, (i128, i64)>,
}

/// Year, month, day in Shanghai; zero where the window is wider.
pub(super) type Window = (i16, i8, i8);

impl Counted {
    fn counts(&self, code: Option<&CompactString>) -> bool {
        let Some(own) = &self.limit.code else { return true };
        let under = |code: &CompactString| code.split('.').next() == Some(own.as_str());
        code.is_some_and(|code| code == own || under(code))
    }

    /// A clock that went back counts in the newest window.
    fn window(&self, now: Timestamp) -> Window {
        let window = window(self.limit.window, now);
        self.windows.last_key_value().map_or(window, |(&last, _)| last.max(window))
    }

    pub(in crate::simulation) fn used(&self, now: Timestamp) -> (i128, i64) {
        self.windows.get(&self.window(now)).copied().unwrap_or_default()
    }

    pub(super) fn exceeds(&self, code: Option<&CompactString>, amount: u64, now: Timestamp) -> bool {
        let (amounts, count) = self.used(now);
        self.counts(code)
            && (self.limit.amount.is_some_and(|most| amounts + i128::from(amount) > i128::from(most))
                || self.limit.count.is_some_and(|most| count + 1 > i64::from(most)))
    }

    pub(super) fn take(&mut self, code: Option<&CompactString>, amount: u64, now: Timestamp) {
        if self.counts(code) {
            let used = self.windows.entry(self.window(now)).or_default();
            *used = (used.0 + i128::from(amount), used.1 + 1);
        }
    }

    pub(super) fn give_back(&mut self, code: Option<&CompactString>, at: Timestamp, amount: u64, count: i64) {
        if self.counts(code)
            && self.born.is_none_or(|born| at > born)
            && let Some(used) = self.windows.get_mut(&window(self.limit.window, at))
        {
            *used = ((used.0 - i128::from(amount)).max(0), (used.1 - count).max(0));
        }
    }
}

fn window(window: LimitWindow, at: Timestamp) -> Window {
    let shanghai = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.0)).expect("a time of the simulation");
    let date = at.to_zoned(shanghai).date();
    match window {
        LimitWindow::Day => (date.year(), date.month(), date.day()),
        LimitWindow::Month => (date.year(), date.month(), 0),
        LimitWindow::Year => (date.year(), 0, 0),
        LimitWindow::Lifetime => (0, 0, 0),
    }
}

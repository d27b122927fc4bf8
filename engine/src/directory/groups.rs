use std::sync::atomic::{AtomicUsize, Ordering};

use compact_str::CompactString;
use dashmap::{DashMap, Entry};

use crate::model::Address;

/// The first parts of all addresses that are open or being opened. They are the rows of the trial balance, so there may
/// be only so many.
#[derive(Default)]
pub(super) struct Groups {
    /// By first part: accounts that have it.
    accounts: DashMap<CompactString, u32, foldhash::fast::RandomState>,
    count: AtomicUsize,
}

impl Groups {
    /// Counts an account in; `false` if its first part would be a new one beyond `max`.
    pub(super) fn enter(&self, address: &Address, max: usize) -> bool {
        match self.accounts.entry(address.group().into()) {
            Entry::Occupied(mut accounts) => {
                *accounts.get_mut() += 1;
                true
            }
            Entry::Vacant(vacant) => {
                let one_more = |count| (count < max).then_some(count + 1);
                let fits = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
                if fits {
                    vacant.insert(1);
                }
                fits
            }
        }
    }

    /// Counts an account out whose opening was not admitted.
    pub(super) fn leave(&self, address: &Address) {
        let Entry::Occupied(mut accounts) = self.accounts.entry(address.group().into()) else { return };
        *accounts.get_mut() -= 1;
        if *accounts.get() == 0 {
            accounts.remove();
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_part_counts_once_and_is_given_back() {
        let groups = Groups::default();
        let address = |text: &str| Address::parse(text).unwrap();
        let check = |text: &str, fits: bool| assert_eq!(groups.enter(&address(text), 2), fits, "{text}");
        check("customers:1", true);
        check("customers:2", true);
        check("merchants:1", true);
        check("channels:1", false);
        check("merchants:2", true);
        for _ in 0..2 {
            check("channels:1", false);
            groups.leave(&address("merchants:1"));
        }
        check("channels:1", true);
        check("merchants:1", false);
        check("customers:3", true);
    }
}

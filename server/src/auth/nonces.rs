//! The nonces of signatures that were used.
//!
//! Owns a bounded set of them, by the second of their time. Never forgets one whose time is still in the window: if
//! there is no room for another one, it is refused. Invariant: a signature is let through once.

use std::{
    collections::{BTreeMap, HashSet},
    ops::RangeInclusive,
    sync::Mutex,
};

/// What came of a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is new, and is noted.
    New,
    /// It was used before.
    Replayed,
    /// There is no room to note it.
    Full,
}

/// The nonces of a window of time.
#[derive(Debug)]
pub(crate) struct Nonces {
    most: usize,
    noted: Mutex<Noticed>,
}

#[derive(Debug, Default)]
struct Noticed {
    by_second: BTreeMap<i64, HashSet<u128>>,
    count: usize,
}

impl Nonces {
    /// Room for so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, noted: Mutex::default() }
    }

    /// Whether a nonce was used before; for a look that is cheaper than a signature.
    pub(crate) fn has(&self, second: i64, nonce: u128) -> bool {
        let noted = self.lock();
        noted.by_second.get(&second).is_some_and(|nonces| nonces.contains(&nonce))
    }

    /// Notes a nonce of a signature of a second, and forgets what lies outside the window.
    pub(crate) fn note(&self, second: i64, nonce: u128, window: &RangeInclusive<i64>) -> Noted {
        let mut noted = self.lock();
        while let Some(entry) = noted.by_second.first_entry().filter(|entry| entry.key() < window.start()) {
            let forgotten = entry.remove().len();
            noted.count -= forgotten;
        }
        let full = noted.count >= self.most;
        let nonces = noted.by_second.entry(second).or_default();
        if nonces.contains(&nonce) {
            return Noted::Replayed;
        }
        if full {
            return Noted::Full;
        }
        nonces.insert(nonce);
        noted.count += 1;
        Noted::New
    }

    /// Nothing panics while it is locked; and if something did, what is noted is noted.
    fn lock(&self) -> std::sync::MutexGuard<'_, Noticed> {
        self.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_new_once() {
        let nonces = Nonces::new(3);
        let window = 0..=100;
        assert_eq!(nonces.note(50, 1, &window), Noted::New);
        assert!(nonces.has(50, 1) && !nonces.has(51, 1));
        assert_eq!(nonces.note(50, 1, &window), Noted::Replayed);
        assert_eq!(nonces.note(51, 1, &window), Noted::New, "another second is another signature");
        assert_eq!(nonces.note(52, 2, &window), Noted::New);
    }

    #[test]
    fn a_full_set_refuses_until_time_has_passed() {
        let nonces = Nonces::new(2);
        assert_eq!(nonces.note(1, 1, &(0..=10)), Noted::New);
        assert_eq!(nonces.note(2, 2, &(0..=10)), Noted::New);
        assert_eq!(nonces.note(3, 3, &(0..=10)), Noted::Full);
        assert_eq!(nonces.note(1, 1, &(0..=10)), Noted::Replayed, "also a full one knows what it has");
        assert_eq!(nonces.note(3, 3, &(2..=12)), Noted::New);
        assert_eq!(nonces.note(4, 4, &(2..=12)), Noted::Full);
    }
}

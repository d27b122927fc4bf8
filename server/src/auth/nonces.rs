//! The nonces of signatures that were used.
//!
//! Owns a bounded set of them, by the second of their time. Never forgets one whose time is still in the window: if
//! there is no room for another one, it is refused; and a key that has more in it than is left for all has no room,
//! so that one key alone can't turn signed requests off for the others. Invariant: a signature is let through once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
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
    /// Its second is not in the window, or was forgotten when the window was a later one: it may have been used.
    Outside,
}

/// The nonces of a window of time.
#[derive(Debug)]
pub(crate) struct Nonces {
    most: usize,
    noted: Mutex<Noticed>,
}

#[derive(Debug, Default)]
struct Noticed {
    by_second: BTreeMap<i64, Second>,
    count: usize,
    /// Of each key that has some.
    by_key: HashMap<String, usize>,
    /// What was before is forgotten. Only grows, whatever the wall clock does.
    forgotten_to: i64,
}

#[derive(Debug, Default)]
struct Second {
    nonces: HashSet<u128>,
    by_key: HashMap<String, usize>,
}

impl Nonces {
    /// Room for so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, noted: Mutex::default() }
    }

    /// Whether a nonce was used before; for a look that is cheaper than a signature.
    pub(crate) fn has(&self, second: i64, nonce: u128) -> bool {
        let noted = self.lock();
        noted.by_second.get(&second).is_some_and(|second| second.nonces.contains(&nonce))
    }

    /// Notes a nonce of a key's signature of a second, and forgets what lies outside the window.
    pub(crate) fn note(&self, key: &str, second: i64, nonce: u128, window: &RangeInclusive<i64>) -> Noted {
        let mut noted = self.lock();
        noted.forget(*window.start());
        if second < noted.forgotten_to || !window.contains(&second) {
            return Noted::Outside;
        }
        if noted.by_second.get(&second).is_some_and(|second| second.nonces.contains(&nonce)) {
            return Noted::Replayed;
        }
        let left = self.most.saturating_sub(noted.count);
        if noted.by_key.get(key).copied().unwrap_or_default() >= left {
            return Noted::Full;
        }
        let at = noted.by_second.entry(second).or_default();
        at.nonces.insert(nonce);
        count(&mut at.by_key, key);
        count(&mut noted.by_key, key);
        noted.count += 1;
        Noted::New
    }

    /// Nothing panics while it is locked; and if something did, what is noted is noted.
    fn lock(&self) -> std::sync::MutexGuard<'_, Noticed> {
        self.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Noticed {
    /// Forgets the seconds before one.
    fn forget(&mut self, before: i64) {
        self.forgotten_to = self.forgotten_to.max(before);
        while let Some(entry) = self.by_second.first_entry().filter(|entry| *entry.key() < before) {
            let Second { nonces, by_key } = entry.remove();
            self.count -= nonces.len();
            for (key, forgotten) in by_key {
                if let Some(count) = self.by_key.get_mut(&key) {
                    *count -= forgotten;
                    if *count == 0 {
                        self.by_key.remove(&key);
                    }
                }
            }
        }
    }
}

fn count(counts: &mut HashMap<String, usize>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => {
            counts.insert(key.to_owned(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_new_once() {
        let nonces = Nonces::new(10);
        let window = 0..=100;
        assert_eq!(nonces.note("a", 50, 1, &window), Noted::New);
        assert!(nonces.has(50, 1) && !nonces.has(51, 1));
        assert_eq!(nonces.note("a", 50, 1, &window), Noted::Replayed);
        assert_eq!(nonces.note("a", 51, 1, &window), Noted::New, "another second is another signature");
        assert_eq!(nonces.note("a", 52, 2, &window), Noted::New);
    }

    #[test]
    fn a_full_set_refuses_until_time_has_passed() {
        let nonces = Nonces::new(2);
        assert_eq!(nonces.note("a", 1, 1, &(0..=10)), Noted::New);
        assert_eq!(nonces.note("b", 2, 2, &(0..=10)), Noted::New);
        assert_eq!(nonces.note("c", 3, 3, &(0..=10)), Noted::Full);
        assert_eq!(nonces.note("a", 1, 1, &(0..=10)), Noted::Replayed, "also a full one knows what it has");
        assert_eq!(nonces.note("c", 3, 3, &(2..=12)), Noted::New);
        assert_eq!(nonces.note("d", 4, 4, &(2..=12)), Noted::Full);
    }

    #[test]
    fn what_is_forgotten_is_not_taken_again() {
        let nonces = Nonces::new(10);
        assert_eq!(nonces.note("a", 5, 1, &(0..=10)), Noted::New);
        // The body took its time, or the clock went forward, and then back.
        assert_eq!(nonces.note("a", 5, 1, &(6..=16)), Noted::Outside);
        assert_eq!(nonces.note("a", 5, 1, &(0..=10)), Noted::Outside);
        assert_eq!(nonces.note("a", 6, 2, &(0..=10)), Noted::New);
        assert_eq!(nonces.note("a", 11, 3, &(0..=10)), Noted::Outside);
    }

    #[test]
    fn one_key_leaves_room_for_others() {
        let nonces = Nonces::new(12);
        let mut next = 0;
        let mut taken = |key: &str, second: i64, window: RangeInclusive<i64>| {
            let mut note = || {
                next += 1;
                nonces.note(key, second, next, &window)
            };
            (0..100).filter(|_| note() == Noted::New).count()
        };
        assert_eq!(taken("a", 1, 0..=10), 6);
        assert_eq!(taken("b", 1, 0..=10), 3);
        assert_eq!(taken("c", 2, 0..=10), 2);
        assert_eq!(taken("a", 3, 0..=10), 0);
        assert_eq!(taken("a", 3, 2..=12), 5, "what is forgotten counts for nobody");
        assert_eq!(taken("d", 11, 11..=20), 6);
    }
}

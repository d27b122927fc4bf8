//! Password hashing: Argon2id with the pepper as its secret, a few at a time.
//!
//! Owns the turns: who may check a password now, and how many may wait for it. Never hashes on a shard's thread or a
//! worker of the runtime: a hash takes tens of milliseconds of one core. Never knows whose password it is.

use std::cell::RefCell;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize, Serialize};

use super::{Settings, Wallet, WalletError, hashers::Hashers, queue::Queue};
use crate::view::Unavailable;

/// A password as a caller gives it: six digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password([u8; Self::DIGITS]);

impl Password {
    const DIGITS: usize = 6;

    /// Reads six ASCII digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; Self::DIGITS] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// Whether a guesser would try it first: one digit only, a row up or down, a block of two or three digits again and
    /// again, pairs in a row, or a row there and back.
    #[must_use]
    pub fn is_trivial(&self) -> bool {
        let [a, b, c, d, e, f] = self.0.map(|digit| digit - b'0');
        let row = |digits: &[u8]| {
            let up = |pair: &[u8]| matches!(pair, &[one, next] if (one + 1) % 10 == next);
            let down = |pair: &[u8]| matches!(pair, &[one, next] if (next + 1) % 10 == one);
            digits.windows(2).all(up) || digits.windows(2).all(down)
        };
        row(&[a, b, c, d, e, f])
            // Also one digit six times.
            || (a, b, c) == (d, e, f)
            || (a, b) == (c, d) && (a, b) == (e, f)
            || (a, c, e) == (b, d, f) && row(&[a, c, e])
            || (a, b, c) == (f, e, d) && row(&[a, b, c])
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What is kept of a password. Its own cost stays with it, so that the settings can change.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Hashed {
    salt: [u8; 16],
    hash: [u8; 32],
    memory_kib: u32,
    passes: u32,
}

impl std::fmt::Debug for Hashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashed(…)")
    }
}

impl Hashed {
    /// A password's hash with a new salt. Takes its time.
    fn new(password: Password, pepper: &[u8], (memory_kib, passes): (u32, u32)) -> Option<Self> {
        let salt: [u8; 16] = rand::random();
        let hash = argon2id(password, &salt, pepper, (memory_kib, passes))?;
        Some(Self { salt, hash, memory_kib, passes })
    }

    /// Whether it is this password's. Takes its time, the same for each answer.
    fn is_of(&self, password: Password, pepper: &[u8]) -> Option<bool> {
        let hash = argon2id(password, &self.salt, pepper, (self.memory_kib, self.passes))?;
        // Comparing these takes constant time.
        Some(blake3::Hash::from_bytes(hash) == blake3::Hash::from_bytes(self.hash))
    }
}

thread_local! {
    /// A hashing thread's memory, kept from one hash to the next. To give 19 MiB back to the system and take them anew
    /// for each hash stops all threads of the process at each page.
    static BLOCKS: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// `None` if there is no memory for it.
fn argon2id(
    password: Password,
    salt: &[u8],
    pepper: &[u8],
    (memory_kib, passes): (u32, u32),
) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let params = Params::new(memory_kib, passes, Params::DEFAULT_P_COST, Some(hash.len())).ok()?;
    let argon2 = Argon2::new_with_secret(pepper, Algorithm::Argon2id, Version::V0x13, params).ok()?;
    BLOCKS.with_borrow_mut(|blocks| {
        let count = argon2.params().block_count();
        blocks.try_reserve_exact(count.saturating_sub(blocks.len())).ok()?;
        blocks.resize(count, Block::default());
        argon2.hash_password_into_with_memory(&password.0, salt, &mut hash, blocks).ok()
    })?;
    Some(hash)
}

/// The turns of those who have a password checked.
pub(super) struct Turns {
    queue: Queue,
    hashers: Hashers,
}

impl Turns {
    pub(super) fn new(settings: &Settings) -> Self {
        let hashes = settings.password_hashes_max.clamp(1, Settings::PASSWORD_HASHES_LIMIT);
        let queue = Queue::new(hashes, settings.passwords_waiting_max, "the queue of passwords");
        Self { queue, hashers: Hashers::new(hashes) }
    }
}

impl Wallet {
    /// Whether one more password could be checked, or wait for its check, now. Cheap: to be asked before any work.
    #[must_use]
    pub fn checks_passwords(&self) -> bool {
        self.turns().queue.has_room()
    }

    /// Does what needs a password's check, in its turn and to its end, though the caller goes away: else a client that
    /// hangs up would leave a right password counted as a wrong one.
    pub(super) async fn in_turn<T, F>(&self, work: F) -> Result<T, WalletError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, WalletError>> + Send + 'static,
    {
        let turn = self.turns().queue.turn().await?;
        // It may have waited for long.
        self.in_time()?;
        let work = tokio::spawn(async move {
            let _turn = turn;
            work.await
        });
        work.await.unwrap_or(Err(WalletError::Unknown))
    }

    /// A new password's hash.
    pub(super) async fn hashed(&self, password: Password) -> Result<Hashed, WalletError> {
        let cost = (self.settings().argon2_memory_kib, self.settings().argon2_passes);
        let pepper = self.secrets().pepper;
        self.hash(move || Hashed::new(password, &pepper, cost)).await
    }

    /// Whether a hash is this password's.
    pub(super) async fn matches(&self, hashed: Hashed, password: Password) -> Result<bool, WalletError> {
        let pepper = self.secrets().pepper;
        self.hash(move || hashed.is_of(password, &pepper)).await
    }

    /// Hashes; whoever does so has a turn, and each turn has a thread. The work outlives the call where two threads do it, so
    /// it holds nothing of the wallet's.
    async fn hash<T: Send + 'static>(
        &self,
        work: impl Fn() -> Option<T> + Send + Sync + 'static,
    ) -> Result<T, WalletError> {
        // Of another thread the moment would be chance, and a simulation's all follows from its seed.
        #[cfg(feature = "simulation")]
        if crate::simulation::is_running() {
            return work().ok_or(WalletError::Unknown);
        }
        let hashed = self.turns().hashers.run(work).await.ok_or(WalletError::Unknown)?;
        hashed.ok_or_else(|| Unavailable::Overloaded("the memory for password hashes").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_six_digits() {
        assert!(Password::parse("283904").is_some());
        for wrong in ["", "28390", "2839045", "28390a", "２８３９０４", " 83904", "-83904", "+83904"] {
            assert!(Password::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn trivial_passwords_are_known() {
        let check = |text: &str, trivial: bool| {
            assert_eq!(Password::parse(text).unwrap().is_trivial(), trivial, "{text}");
        };
        for text in [
            "000000", "999999", "123456", "654321", "012345", "456789", "567890", "890123", "098765",
            "121212", "707070", "123123", "582582", "112233", "776655", "123321", "321123",
        ] {
            check(text, true);
        }
        for text in ["283904", "123457", "135790", "246810", "123654", "112234", "100000", "121213", "147852"]
        {
            check(text, false);
        }
    }

    #[test]
    fn a_hash_depends_on_password_salt_pepper_and_cost() {
        let [one, other] = ["283904", "283905"].map(|text| Password::parse(text).unwrap());
        let hashed = Hashed::new(one, b"pepper", (8, 1)).unwrap();
        assert_eq!(hashed.is_of(one, b"pepper"), Some(true));
        assert_eq!(hashed.is_of(other, b"pepper"), Some(false));
        assert_eq!(hashed.is_of(one, b"salt"), Some(false));
        assert_eq!(Hashed { passes: 2, ..hashed.clone() }.is_of(one, b"pepper"), Some(false));
        let again = Hashed::new(one, b"pepper", (8, 1)).unwrap();
        assert!(again.salt != hashed.salt && again.hash != hashed.hash);
        assert_eq!(format!("{one:?}"), "Password(…)");
    }

    /// Argon2id with a secret, against the reference implementation's vector of RFC 9106 5.3: the same crate, so only
    /// what is passed to it.
    #[test]
    fn the_cost_is_what_the_settings_say() {
        let one = Password::parse("283904").unwrap();
        let Settings { argon2_memory_kib, argon2_passes, .. } = Settings::default();
        let hashed = Hashed::new(one, b"pepper", (argon2_memory_kib, argon2_passes)).unwrap();
        assert_eq!((hashed.memory_kib, hashed.passes), (19_456, 2));
        let params = Params::new(19_456, 2, 1, None).unwrap();
        let argon2 = Argon2::new_with_secret(b"pepper", Algorithm::Argon2id, Version::V0x13, params).unwrap();
        let mut expected = [0; 32];
        argon2.hash_password_into(b"283904", &hashed.salt, &mut expected).unwrap();
        assert_eq!(hashed.hash, expected);
    }
}

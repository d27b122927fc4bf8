use std::{fmt, hash::Hasher};

use compact_str::CompactString;

/// An account's name: 1 to 4 parts joined by `:`, a part `[a-z0-9][a-z0-9._-]{0,31}`, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(CompactString);

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is 1 to 4 parts joined by ':', a part [a-z0-9][a-z0-9._-]{{0,31}}, at most 64 bytes")]
pub struct AddressError;

impl Address {
    /// Most bytes of an address.
    pub const BYTES_MAX: usize = 64;
    /// Most parts of an address.
    pub const PARTS_MAX: usize = 4;
    /// Most bytes of a part.
    pub const PART_BYTES_MAX: usize = 32;

    /// Reads an address.
    ///
    /// # Errors
    /// Anything that does not fit the grammar.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let part_fits = |part: &str| {
            let mut bytes = part.bytes();
            part.len() <= Self::PART_BYTES_MAX
                && bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && bytes.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        };
        if text.len() > Self::BYTES_MAX
            || text.bytes().filter(|&byte| byte == b':').count() >= Self::PARTS_MAX
            || !text.split(':').all(part_fits)
        {
            return Err(AddressError);
        }
        Ok(Self(text.into()))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first part: the group of the trial balance.
    #[must_use]
    pub fn group(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The first two parts: accounts that share them share a shard.
    #[must_use]
    pub fn family(&self) -> &str {
        let end = self.0.match_indices(':').nth(1).map_or(self.0.len(), |(index, _)| index);
        self.0.get(..end).unwrap_or_default()
    }

    /// The shard among `shards` that owns this address's family. The same in every process.
    #[must_use]
    pub fn shard(&self, shards: u16) -> u16 {
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(self.family().as_bytes());
        // The high half of FxHash is the well-mixed one.
        u16::try_from((hasher.finish() >> 32) % u64::from(shards.max(1))).unwrap_or_default()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Address {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_grammar() {
        for good in ["a", "customers:42", "channels:bank-card", "a:b:c:d", "0._-", &"a".repeat(32)] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        let long = format!("{0}:{0}", "a".repeat(32));
        for bad in
            ["", ":", "a:", ":a", "a::b", "a:b:c:d:e", "A", "-a", "a b", "é", "a\0", &"a".repeat(33), &long]
        {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn families_share_a_shard() {
        let address = |text: &str| Address::parse(text).unwrap();
        assert_eq!(address("customers:42:wealth").family(), "customers:42");
        assert_eq!(address("customers:42").family(), "customers:42");
        assert_eq!(address("customers").family(), "customers");
        assert_eq!(address("customers:42:wealth").group(), "customers");
        for shards in 1..9 {
            assert_eq!(address("customers:42:wealth").shard(shards), address("customers:42").shard(shards));
        }
    }
}

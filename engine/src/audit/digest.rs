//! A digest of a set that does not depend on the order in which its elements come.
//!
//! Owns a sum of keyed hashes. The key is drawn anew for each check, so that nobody who wrote the directory could know
//! it: two sets that differ have equal digests with a chance of about 2⁻¹²⁸, whoever made them. Invariant: equal sets
//! have equal digests.

use uuid::Uuid;

use crate::model::{Amount, Position, TransactionId};

/// The secret of one check.
#[derive(Clone, Copy)]
pub(super) struct DigestKey([u8; 32]);

/// What was added, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) count: u64,
    sum: u128,
}

impl DigestKey {
    /// By chance.
    pub(super) fn random() -> Self {
        let mut key = [0; 32];
        for half in key.as_chunks_mut::<16>().0 {
            *half = Uuid::new_v4().into_bytes();
        }
        Self(key)
    }

    fn hash(&self, element: &[u8]) -> u128 {
        let hash = blake3::keyed_hash(&self.0, element);
        u128::from_le_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

impl Digest {
    /// Adds an element.
    pub(super) fn add(&mut self, key: &DigestKey, element: &[u8]) {
        self.sum = self.sum.wrapping_add(key.hash(element));
        self.count += 1;
    }

    /// Takes back an element that was added.
    pub(super) fn remove(&mut self, key: &DigestKey, element: &[u8]) {
        self.sum = self.sum.wrapping_sub(key.hash(element));
        self.count = self.count.saturating_sub(1);
    }

    /// Adds an id and its position.
    pub(super) fn add_id(&mut self, key: &DigestKey, id: TransactionId, position: Position) {
        let mut bytes = [0; 24];
        let (head, tail) = bytes.split_at_mut(16);
        head.copy_from_slice(&id.0.to_le_bytes());
        tail.copy_from_slice(&position.0.to_le_bytes());
        self.add(key, &bytes);
    }

    /// Adds an operation that was reversed, and how much of it.
    pub(super) fn add_reversed(&mut self, key: &DigestKey, operation: (TransactionId, u8), total: Amount) {
        self.add(key, &reversed_total(operation, total));
    }

    /// A reversal of `amount` made the total of an operation `total`.
    pub(super) fn change_reversed(
        &mut self,
        key: &DigestKey,
        operation: (TransactionId, u8),
        amount: Amount,
        total: Amount,
    ) {
        let before = Amount(total.units().saturating_sub(amount.units()));
        if before > Amount::ZERO {
            self.remove(key, &reversed_total(operation, before));
        }
        self.add_reversed(key, operation, total);
    }
}

fn reversed_total((transaction, operation): (TransactionId, u8), total: Amount) -> [u8; 25] {
    let mut bytes = [operation; 25];
    let (id, rest) = bytes.split_at_mut(16);
    id.copy_from_slice(&transaction.0.to_be_bytes());
    if let Some(units) = rest.last_chunk_mut() {
        *units = total.units().to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_digest() {
        let key = DigestKey::random();
        let of = |pairs: &[(u128, u64)]| {
            let mut digest = Digest::default();
            pairs
                .iter()
                .for_each(|&(id, position)| digest.add_id(&key, TransactionId(id), Position(position)));
            digest
        };
        let set = of(&[(7, 1), (8, 2), (u128::MAX, 3)]);
        assert_eq!(of(&[(u128::MAX, 3), (7, 1), (8, 2)]), set);
        let mut more = of(&[(7, 1), (8, 2), (u128::MAX, 3)]);
        more.add(&key, b"element");
        assert_ne!(more, set);
        more.remove(&key, b"element");
        assert_eq!(more, set);
        for other in [
            of(&[(7, 1), (8, 2)]),
            of(&[(8, 1), (7, 2), (u128::MAX, 3)]),
            of(&[(7, 1), (7, 1), (u128::MAX, 3)]),
            of(&[(7, 1), (8, 2), (u128::MAX, 3), (0, 0)]),
            of(&[(7, 1), (8, 2), (u128::MAX >> 1, 3)]),
        ] {
            assert_ne!(other, set);
        }
    }
}

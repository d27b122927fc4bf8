//! Where a trimmed journal begins.
//!
//! Owns the stored form of that place, and the choice of it. Never deletes anything. Invariant: a journal that does not
//! begin at position 1 has a base whose snapshot is in what is left; without one it is refused.

use super::{Checkpoint, GroupRef, Hash, Head, JournalError, SnapshotMark, walk::Cursor};
use crate::model::{Position, Timestamp};

/// The end of what was trimmed, and what stands for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The end of the last group that was deleted: the first one that is left is chained to it. Its time may be given
    /// later than it was, but before that of what follows.
    pub head: Head,
    /// The ledger's state at or after `head`: all that follows it is left.
    pub snapshot: SnapshotMark,
}

/// What may be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trim {
    /// Whole groups up to here.
    pub up_to: Position,
    /// What stands for them.
    pub snapshot: SnapshotMark,
}

impl Base {
    const MARK: [u8; 8] = *b"yue-base";
    const VERSION: u32 = 1;

    /// The end of what was trimmed, as the index would have it.
    #[must_use]
    pub const fn checkpoint(&self) -> Checkpoint {
        Checkpoint { position: self.head.position, hash: self.head.hash }
    }

    /// Mark, version, the end of what was trimmed, the snapshot, BLAKE3 of all that.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { head, snapshot: SnapshotMark { as_of, first, last, entries } } = self;
        let mut bytes = Vec::with_capacity(192);
        bytes.extend_from_slice(&Self::MARK);
        bytes.extend_from_slice(&Self::VERSION.to_le_bytes());
        bytes.extend_from_slice(&head.position.0.to_le_bytes());
        bytes.extend_from_slice(&head.at.0.to_le_bytes());
        bytes.extend_from_slice(&head.hash.0);
        bytes.extend_from_slice(&as_of.position.0.to_le_bytes());
        bytes.extend_from_slice(&as_of.hash.0);
        for number in [first.0, last.0, *entries] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        let damaged = || JournalError::Broken {
            after: Position::ZERO,
            reason: "what says where it begins is damaged; restore the data directory from a copy".into(),
        };
        let (content, hash) = bytes.split_last_chunk::<32>().ok_or_else(damaged)?;
        let fields = || {
            let (mark, rest) = content.split_first_chunk::<8>()?;
            let (version, rest) = rest.split_first_chunk::<4>()?;
            let (position, rest) = number(rest)?;
            let (at, rest) = rest.split_first_chunk::<8>()?;
            let (hash, rest) = rest.split_first_chunk::<32>()?;
            let (as_of, rest) = number(rest)?;
            let (as_of_hash, rest) = rest.split_first_chunk::<32>()?;
            let (first, rest) = number(rest)?;
            let (last, rest) = number(rest)?;
            let (entries, rest) = number(rest)?;
            let whole = *mark == Self::MARK && rest.is_empty();
            let base = Self {
                head: Head {
                    position: Position(position),
                    at: Timestamp(i64::from_le_bytes(*at)),
                    hash: Hash(*hash),
                },
                snapshot: SnapshotMark {
                    as_of: Checkpoint { position: Position(as_of), hash: Hash(*as_of_hash) },
                    first: Position(first),
                    last: Position(last),
                    entries,
                },
            };
            whole.then_some((u32::from_le_bytes(*version), base))
        };
        if blake3::hash(content).as_bytes() != hash {
            return Err(damaged());
        }
        let (version, base) = fields().ok_or_else(damaged)?;
        if version != Self::VERSION {
            let known = Self::VERSION;
            let reason = format!(
                "what says where it begins has format version {version}, this program knows version {known}"
            );
            return Err(JournalError::Broken { after: Position::ZERO, reason });
        }
        if base.is_in_order() { Ok(base) } else { Err(damaged()) }
    }

    /// What was trimmed lies before the state, and the state before the records that say it.
    fn is_in_order(&self) -> bool {
        let Self { head, snapshot: SnapshotMark { as_of, first, last, .. } } = self;
        Position::ZERO < head.position
            && head.position <= as_of.position
            && as_of.position < *first
            && first <= last
            && (head.position < as_of.position || head.hash == as_of.hash)
    }

    /// The base after a trim of what `cursor` walks on; `None` if there is nothing to delete.
    ///
    /// # Panics
    /// The snapshot does not stand for what is to be deleted, or the index has not sealed it: a broken invariant.
    pub(super) fn after(
        front: Head,
        cursor: &mut impl Cursor,
        trim: Trim,
        sealed: Checkpoint,
    ) -> Result<Option<Self>, JournalError> {
        let Trim { up_to, snapshot } = trim;
        assert!(up_to <= snapshot.as_of.position, "what follows the snapshot's state is kept");
        assert!(snapshot.last <= sealed.position, "the index has what is deleted, and the snapshot");
        cursor.seek(up_to);
        let failed = |error: String| JournalError::Storage(error);
        let Some((_, bytes)) = cursor.entry().map_err(failed)? else { return Ok(None) };
        let group = GroupRef::decode(bytes).map_err(|error| failed(error.to_string()))?;
        let end = group.head();
        let head = if end.position <= up_to {
            end
        } else {
            let position = Position(group.first.0.saturating_sub(1));
            Head { position, at: Timestamp(group.at.0.saturating_sub(1)), hash: group.previous }
        };
        if head.position <= front.position {
            return Ok(None);
        }
        let base = Self { head, snapshot };
        assert!(base.is_in_order(), "the snapshot follows what it stands for: {base:?}");
        Ok(Some(base))
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_comes_back_or_is_refused() {
        let head = Head { position: Position(40), at: Timestamp(-7), hash: Hash([3; 32]) };
        let as_of = Checkpoint { position: Position(50), hash: Hash([4; 32]) };
        let snapshot = SnapshotMark { as_of, first: Position(53), last: Position(60), entries: 9 };
        let base = Base { head, snapshot };
        let bytes = base.encode();
        assert_eq!(Base::decode(&bytes).unwrap(), base);
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            assert!(Base::decode(&damaged).is_err(), "byte {index}");
            assert!(Base::decode(&bytes[..index]).is_err(), "{index} bytes");
        }
        let check = |spoil: fn(&mut Base)| {
            let mut base = base;
            spoil(&mut base);
            assert!(Base::decode(&base.encode()).is_err(), "{base:?}");
        };
        check(|base| base.head.position = Position(51));
        check(|base| base.head.position = Position(0));
        check(|base| base.head.position = Position(50));
        check(|base| base.snapshot.first = Position(50));
        check(|base| base.snapshot.last = Position(52));
    }
}

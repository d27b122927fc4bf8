//! Blocks of up to 64 records: what a read of one record decompresses.
//!
//! Owns their format. A block's key is its first position; positions in it have no gap.

use super::{IndexError, wire};
use crate::model::{Position, Timestamp};

/// Most records of a block.
pub(super) const RECORDS_MAX: usize = 64;

/// Packs records; the same for all records and, with gaps between positions, for openings.
#[derive(Default)]
pub(super) struct Builder {
    first: Option<(Position, Timestamp)>,
    last: (Position, Timestamp),
    count: usize,
    /// Per record: position less the one before, time less the one before, length.
    heads: Vec<u8>,
    bodies: Vec<u8>,
}

impl Builder {
    /// Adds a record that follows those that are there.
    pub(super) fn push(&mut self, position: Position, at: Timestamp, record: &[u8]) {
        let (last_position, last_at) = if self.first.is_some() { self.last } else { (position, at) };
        self.first.get_or_insert((position, at));
        wire::put_u64(&mut self.heads, position.0 - last_position.0);
        wire::put_i128(&mut self.heads, i128::from(at.0) - i128::from(last_at.0));
        wire::put_u64(&mut self.heads, u64::try_from(record.len()).unwrap_or(u64::MAX));
        self.bodies.extend_from_slice(record);
        self.last = (position, at);
        self.count += 1;
    }

    /// Whether the block takes no more.
    pub(super) fn is_full(&self) -> bool {
        self.count >= RECORDS_MAX
    }

    /// Ends the block: its first position and its bytes; `None` if it is empty. The builder is empty again.
    pub(super) fn finish(&mut self, bytes: &mut Vec<u8>) -> Option<Position> {
        let (position, at) = self.first.take()?;
        bytes.clear();
        wire::put_u64(bytes, u64::try_from(self.count).unwrap_or(u64::MAX));
        wire::put_i128(bytes, i128::from(at.0));
        bytes.extend_from_slice(&self.heads);
        bytes.extend_from_slice(&self.bodies);
        self.count = 0;
        self.heads.clear();
        self.bodies.clear();
        Some(position)
    }
}

/// A block that was read.
#[derive(Debug, Default)]
pub(super) struct RecordBlock {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    position: Position,
    at: Timestamp,
    start: usize,
    end: usize,
}

impl RecordBlock {
    /// Reads a block.
    pub(super) fn decode(first: Position, bytes: &[u8]) -> Result<Self, IndexError> {
        let mut wire = wire::Wire(bytes);
        let count = wire.usize()?;
        if count == 0 || count > RECORDS_MAX {
            return Err(IndexError::damaged("a block of records has a wrong count"));
        }
        let mut at = wire.i128()?;
        let mut position = first.0;
        let mut end = 0_usize;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let overflow = || IndexError::damaged("a block of records leaves its range");
            position = position.checked_add(wire.u64()?).ok_or_else(overflow)?;
            at = at.checked_add(wire.i128()?).ok_or_else(overflow)?;
            let start = end;
            end = end.checked_add(wire.usize()?).ok_or_else(overflow)?;
            let at = Timestamp(i64::try_from(at).map_err(|_| overflow())?);
            entries.push(Entry { position: Position(position), at, start, end });
        }
        if wire.0.len() != end {
            return Err(IndexError::damaged("a block of records has a wrong length"));
        }
        Ok(Self { entries, bytes: wire.0.to_vec() })
    }

    /// The record at a position.
    pub(super) fn get(&self, position: Position) -> Option<(Timestamp, &[u8])> {
        let index = self.entries.binary_search_by_key(&position, |entry| entry.position).ok()?;
        self.entries.get(index).and_then(|entry| Some((entry.at, self.bytes.get(entry.start..entry.end)?)))
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The record with this index.
    pub(super) fn nth(&self, index: usize) -> Option<(Position, Timestamp, &[u8])> {
        let entry = self.entries.get(index)?;
        Some((entry.position, entry.at, self.bytes.get(entry.start..entry.end)?))
    }

    /// All records in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Position, Timestamp, &[u8])> {
        self.entries
            .iter()
            .filter_map(|entry| Some((entry.position, entry.at, self.bytes.get(entry.start..entry.end)?)))
    }

    /// Position and time of the first and of the last record.
    pub(super) fn ends(&self) -> Option<[(Position, Timestamp); 2]> {
        let (first, last) = (self.entries.first()?, self.entries.last()?);
        Some([(first.position, first.at), (last.position, last.at)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let mut builder = Builder::default();
        let mut bytes = Vec::new();
        assert_eq!(builder.finish(&mut bytes), None);
        for round in 0..2_u64 {
            let records: Vec<_> = (0..64_u64)
                .map(|index| {
                    let position = Position(7 + round * 1000 + index * (1 + round));
                    let at = Timestamp(i64::try_from(round * 10_000 + index * index).unwrap() - 3);
                    (position, at, vec![9_u8; usize::try_from(index).unwrap() * 3])
                })
                .collect();
            for (position, at, record) in &records {
                assert!(!builder.is_full());
                builder.push(*position, *at, record);
            }
            assert!(builder.is_full());
            assert_eq!(builder.finish(&mut bytes), Some(records[0].0));
            let block = RecordBlock::decode(records[0].0, &bytes).unwrap();
            for (position, at, record) in &records {
                assert_eq!(block.get(*position), Some((*at, record.as_slice())));
            }
            assert_eq!(block.get(Position(6)), None);
            assert_eq!(block.iter().count(), 64);
            for cut in 0..bytes.len() {
                assert!(RecordBlock::decode(records[0].0, &bytes[..cut]).is_err());
            }
        }
    }
}

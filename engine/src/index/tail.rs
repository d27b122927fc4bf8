//! The part of the index that is in memory: groups of the journal with their postings, in order.
//!
//! Owns the groups since the last sealed segment. One writer appends whole groups; readers find a group only when it is
//! complete. Never changes a group that is there.

use std::sync::Arc;

use super::Direction;
use crate::{
    journal::{Group, GroupError},
    model::{AccountNo, Position, Timestamp},
};

/// One account's share in one operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posting {
    /// On the account's normal side, after the operation; in halves, so that a posting is 40 bytes.
    balance: (i64, u64),
    /// The position of the account's posting before: this record's, or an earlier one's; zero if there is none.
    pub(super) previous: Position,
    pub(super) account: AccountNo,
    /// The record's index in its group.
    pub(super) record: u32,
    pub(super) operation: u8,
    pub(super) direction: Direction,
}

impl Posting {
    pub(super) fn new(
        account: AccountNo,
        (record, operation): (u32, u8),
        direction: Direction,
        balance: i128,
        previous: Position,
    ) -> Self {
        let high = i64::try_from(balance >> 64).unwrap_or_default();
        let low = u64::try_from(balance & i128::from(u64::MAX)).unwrap_or_default();
        Self { balance: (high, low), previous, account, record, operation, direction }
    }

    pub(super) fn balance(&self) -> i128 {
        i128::from(self.balance.0) << 64 | i128::from(self.balance.1)
    }
}

/// A group of the journal, taken apart.
pub(super) struct TailGroup {
    group: Arc<Group>,
    /// Where each record's bytes start and end.
    spans: Box<[(u32, u32)]>,
    /// In order of record and operation.
    pub(super) postings: Box<[Posting]>,
}

impl TailGroup {
    pub(super) fn new(group: Arc<Group>, spans: Vec<(u32, u32)>, postings: Vec<Posting>) -> Self {
        Self { group, spans: spans.into(), postings: postings.into() }
    }

    pub(super) fn first(&self) -> Position {
        self.group.first
    }

    pub(super) fn last(&self) -> Position {
        self.group.head().position
    }

    pub(super) fn first_at(&self) -> Timestamp {
        self.group.at
    }

    pub(super) fn last_at(&self) -> Timestamp {
        self.group.head().at
    }

    /// The position of the record with this index.
    pub(super) fn position(&self, record: u32) -> Position {
        self.group.first.plus(u64::from(record))
    }

    /// The index of the record at a position; `None` before the group, beyond the last record after it.
    pub(super) fn record(&self, position: Position) -> Option<u32> {
        let offset = position.0.checked_sub(self.group.first.0)?;
        Some(u32::try_from(offset).unwrap_or(u32::MAX))
    }

    /// A record's time and bytes.
    pub(super) fn record_bytes(&self, record: u32) -> Option<(Timestamp, &[u8])> {
        let &(start, end) = self.spans.get(usize::try_from(record).ok()?)?;
        let bytes = self.group.records.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
        Some((self.group.at.plus_nanos(i64::from(record)), bytes))
    }

    /// Position, time and bytes of each record.
    pub(super) fn records(&self) -> impl Iterator<Item = (Position, Timestamp, &[u8])> {
        (0..self.group.count).filter_map(|record| {
            let (at, bytes) = self.record_bytes(record)?;
            Some((self.position(record), at, bytes))
        })
    }

    /// How many postings are of records before this one.
    pub(super) fn postings_before(&self, record: u32) -> usize {
        self.postings.partition_point(|posting| posting.record < record)
    }
}

/// The length before each record.
const FRAME_BYTES: usize = 4;

/// Where the records of a group are in its bytes.
pub(super) fn spans(group: &Group) -> Result<Vec<(u32, u32)>, GroupError> {
    let mut spans = Vec::with_capacity(usize::try_from(group.count).unwrap_or_default());
    let mut end = 0_usize;
    for frame in group.frames() {
        let frame = frame?;
        let start = end + FRAME_BYTES;
        end = start + frame.len();
        let span = u32::try_from(start).ok().zip(u32::try_from(end).ok()).ok_or(GroupError::Frame)?;
        spans.push(span);
    }
    let count = u32::try_from(spans.len()).ok();
    if count == Some(group.count) { Ok(spans) } else { Err(GroupError::Frame) }
}

/// Consecutive groups: a segment before it is sealed.
pub(super) struct Tail {
    /// The first position that is or will be in it.
    pub(super) first: Position,
    groups: boxcar::Vec<TailGroup>,
}

impl Tail {
    pub(super) fn new(first: Position) -> Self {
        Self { first, groups: boxcar::Vec::new() }
    }

    pub(super) fn push(&self, group: TailGroup) {
        self.groups.push(group);
    }

    /// How many groups a reader can find.
    pub(super) fn len(&self) -> usize {
        self.groups.count()
    }

    pub(super) fn get(&self, index: usize) -> Option<&TailGroup> {
        self.groups.get(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TailGroup> {
        (0..self.len()).map_while(|index| self.groups.get(index))
    }

    /// How many groups start before a position.
    pub(super) fn groups_before(&self, position: Position) -> usize {
        self.partition_point(|group| group.first() < position)
    }

    /// How many groups start before a time.
    pub(super) fn groups_before_time(&self, at: Timestamp) -> usize {
        self.partition_point(|group| group.first_at() < at)
    }

    /// The group that has a position, and its index.
    pub(super) fn group_of(&self, position: Position) -> Option<(usize, &TailGroup)> {
        let index = self.partition_point(|group| group.first() <= position).checked_sub(1)?;
        let group = self.groups.get(index)?;
        (position <= group.last()).then_some((index, group))
    }

    fn partition_point(&self, is_before: impl Fn(&TailGroup) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            // A group that is being appended is after everything.
            if self.groups.get(middle).is_some_and(&is_before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_posting_is_small_and_keeps_its_balance() {
        assert_eq!(size_of::<Posting>(), 40);
        for balance in [0, 1, -1, i128::from(u64::MAX), i128::from(i64::MIN), i128::MAX, i128::MIN] {
            let posting = Posting::new(AccountNo(1), (2, 3), Direction::Debit, balance, Position(4));
            assert_eq!(posting.balance(), balance);
        }
    }
}

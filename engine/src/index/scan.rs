//! All of an index in the order of its keys, each block read once: for the audit.
//!
//! Owns the sequential ways through records, openings, postings and ids. Never looks anything up, and compares nothing
//! with the journal. Invariant: what a scan gives is what a look-up finds; where the two would differ (a block under
//! another key than its own, ids out of order, an id that its run's filter does not know) the index is damaged.

#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{
    HoldRow, Index, IndexError, hold,
    id_run::{self, IdBlock, Run},
    posting_block::{self, PostingRun},
    record_block::RecordBlock,
    store::{Family, Walk, key_position},
    view::View,
    wire::Wire,
};
use crate::model::{AccountNo, Amount, HoldId, Position, Timestamp, TransactionId};

/// A record in its stored form, with its position and time.
pub(crate) type StoredRecord<'a> = (Position, Timestamp, &'a [u8]);

/// The ids of an index in ascending order, with their positions: all runs merged, each of which is opened when its first
/// id is due, so that only runs which overlap are open at once.
pub(crate) struct IdScan<'a> {
    index: &'a Index,
    /// Runs that are not open yet, the one with the least first id last.
    waiting: Vec<Run>,
    /// By the next id.
    open: BinaryHeap<Reverse<OpenRun<'a>>>,
}

struct OpenRun<'a> {
    next: (u128, Position),
    /// What follows in the block, in reverse.
    block: Vec<(u128, Position)>,
    walk: Walk<'a>,
    run: Run,
    /// Ids that were read.
    count: u64,
}

impl Index {
    /// All records.
    pub(crate) fn scan_records(&self) -> Result<RecordScan<'_>, IndexError> {
        RecordScan::new(self, Family::Records)
    }

    /// All records that opened an account, as a start reads them.
    pub(crate) fn scan_openings(&self) -> Result<RecordScan<'_>, IndexError> {
        RecordScan::new(self, Family::Openings)
    }

    /// All postings.
    pub(crate) fn scan_postings(&self) -> Result<PostingScan<'_>, IndexError> {
        let mut walk = self.store.scan(Family::Postings);
        walk.go_to_first()?;
        Ok(PostingScan { walk })
    }

    /// All ids.
    pub(crate) fn scan_ids(&self) -> IdScan<'_> {
        let mut waiting: Vec<Run> = self.view.load().runs.iter().cloned().collect();
        waiting.sort_by_key(|run| Reverse(run.first));
        IdScan { index: self, waiting, open: BinaryHeap::new() }
    }

    /// Calls `visit` with each hold that ended.
    pub(crate) fn scan_ended_holds(&self, visit: &mut dyn FnMut(HoldId, HoldRow)) -> Result<(), IndexError> {
        self.scan_holds(Family::Holds, visit)
    }

    /// Calls `visit` with each hold that lives at the watermark, by id.
    pub(crate) fn scan_live_holds(&self, visit: &mut dyn FnMut(HoldId, HoldRow)) -> Result<(), IndexError> {
        self.scan_holds(Family::LiveHolds, visit)
    }

    fn scan_holds(&self, family: Family, visit: &mut dyn FnMut(HoldId, HoldRow)) -> Result<(), IndexError> {
        let mut walk = self.store.scan(family);
        walk.go_to_first()?;
        while let Some((key, value)) = walk.item() {
            visit(hold::key_id(key)?, HoldRow::decode(value)?);
            walk.step()?;
        }
        Ok(())
    }

    /// Calls `visit` with each operation that was reversed, and how much of it.
    pub(crate) fn scan_reversed(
        &self,
        visit: &mut dyn FnMut(TransactionId, u8, Amount),
    ) -> Result<(), IndexError> {
        let mut walk = self.store.scan(Family::Reversed);
        walk.go_to_first()?;
        while let Some((key, value)) = walk.item() {
            let mut key = Wire(key);
            let (transaction, operation) = (u128::from_be_bytes(key.array()?), key.u8()?);
            key.end()?;
            let mut value = Wire(value);
            let total = Amount(value.u64()?);
            value.end()?;
            visit(TransactionId(transaction), operation, total);
            walk.step()?;
        }
        Ok(())
    }

    /// The number and the last position of each sealed segment, in order.
    pub(crate) fn segments(&self) -> Vec<(u32, Position)> {
        let view: Arc<View> = self.view.load_full();
        view.segments.iter().map(|segment| (segment.no, segment.last)).collect()
    }

    /// Where an account's history is entered: its newest posting; zero if it has none.
    pub(crate) fn newest_posting(&self, account: AccountNo) -> Position {
        let head = self.heads.get(account.index());
        head.map_or(Position::ZERO, |head| Position(head.posting.load(std::sync::atomic::Ordering::Acquire)))
    }
}

/// Blocks of records, record by record.
pub(crate) struct RecordScan<'a> {
    walk: Walk<'a>,
    block: RecordBlock,
    index: usize,
}

impl<'a> RecordScan<'a> {
    fn new(index: &'a Index, family: Family) -> Result<Self, IndexError> {
        let mut walk = index.store.scan(family);
        walk.go_to_first()?;
        Ok(Self { walk, block: RecordBlock::default(), index: 0 })
    }

    /// The record that the scan is at; `None` at the end.
    pub(crate) fn record(&mut self) -> Result<Option<StoredRecord<'_>>, IndexError> {
        if self.index == self.block.len() {
            let Some((key, bytes)) = self.walk.item() else { return Ok(None) };
            let key = key_position(key)?;
            self.block = RecordBlock::decode(key, bytes)?;
            self.index = 0;
            if self.block.ends().is_none_or(|[(first, _), _]| first != key) {
                return Err(IndexError::damaged(format!("the block of records at {key} has another key")));
            }
            self.walk.step()?;
        }
        Ok(self.block.nth(self.index))
    }

    /// Goes to the next record.
    pub(crate) fn advance(&mut self) {
        self.index = self.block.len().min(self.index + 1);
    }
}

/// Blocks of postings, segment by segment.
pub(crate) struct PostingScan<'a> {
    walk: Walk<'a>,
}

impl PostingScan<'_> {
    /// Calls `visit` with each account's part of each block of the next segment, in the order of (account, position). To
    /// be called for each segment in order, or else what was passed by is damage.
    pub(crate) fn segment(
        &mut self,
        segment: u32,
        visit: &mut dyn FnMut(AccountNo, PostingRun),
    ) -> Result<(), IndexError> {
        while let Some((key, block)) = self.walk.item() {
            match posting_block::key_segment(key) {
                Some(found) if found == segment => {}
                Some(found) if found > segment => break,
                Some(_) | None => {
                    return Err(IndexError::damaged("there are postings of a segment that is not there"));
                }
            }
            let mut first = None;
            posting_block::visit_runs(block, None, &mut |account, run| {
                let position = run.postings.first().map(|posting| posting.position);
                first.get_or_insert((account, position));
                visit(account, run);
            })?;
            let own = first.and_then(|(account, position)| Some((account, position?)));
            if own.is_none_or(|(account, position)| key != posting_block::key(segment, account, position)) {
                return Err(IndexError::damaged(format!(
                    "a block of postings of segment {segment} has another key"
                )));
            }
            self.walk.step()?;
        }
        Ok(())
    }

    /// Whether no segment has more postings.
    pub(crate) fn is_at_end(&self) -> bool {
        self.walk.item().is_none()
    }
}

impl IdScan<'_> {
    /// The next id, not below the one before; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(TransactionId, Position)>, IndexError> {
        loop {
            let least = self.open.peek().map(|Reverse(open)| open.next.0);
            match self.waiting.pop_if(|run| least.is_none_or(|least| run.first <= least)) {
                Some(run) => self.open(run)?,
                None => break,
            }
        }
        let Some(mut top) = self.open.peek_mut() else { return Ok(None) };
        let (id, position) = top.0.next;
        if top.0.advance()? {
            drop(top);
        } else {
            std::collections::binary_heap::PeekMut::pop(top);
        }
        Ok(Some((TransactionId(id), position)))
    }

    fn open(&mut self, run: Run) -> Result<(), IndexError> {
        let mut walk = self.index.store.scan(Family::Ids);
        walk.to(&id_run::key(run.no, 0))?;
        let first = run.first;
        let mut open = OpenRun { next: (0, Position::ZERO), block: Vec::new(), walk, run, count: 0 };
        if !open.advance()? || open.next.0 != first {
            return Err(open.damaged("does not begin with its first id"));
        }
        self.open.push(Reverse(open));
        Ok(())
    }
}

impl OpenRun<'_> {
    /// Goes to the next id; `false` at the end of the run.
    fn advance(&mut self) -> Result<bool, IndexError> {
        if self.block.is_empty() && !self.read_block()? {
            if (self.next.0, self.count) == (self.run.last, self.run.ids) {
                return Ok(false);
            }
            return Err(self.damaged("has another end or count than its catalogue says"));
        }
        let Some(next) = self.block.pop() else { return Err(self.damaged("has an empty block")) };
        if self.count > 0 && next.0 <= self.next.0 {
            return Err(self.damaged("is not in order"));
        }
        if self.run.filter.as_ref().is_some_and(|filter| !filter.may_contain(next.0)) {
            return Err(self.damaged("has an id that its filter does not know"));
        }
        self.next = next;
        self.count += 1;
        Ok(true)
    }

    fn read_block(&mut self) -> Result<bool, IndexError> {
        let Some((key, block)) = self.walk.item() else { return Ok(false) };
        if id_run::key_run(key) != Some(self.run.no) {
            return Ok(false);
        }
        let entries = IdBlock::decode(block)?.entries()?;
        if entries.first().is_none_or(|(first, _)| key != id_run::key(self.run.no, *first)) {
            return Err(self.damaged("has a block under another key"));
        }
        self.block = entries;
        self.block.reverse();
        self.walk.step()?;
        Ok(true)
    }

    fn damaged(&self, what: &str) -> IndexError {
        IndexError::damaged(format!("run {} of ids {what}", self.run.no))
    }
}

/// By the next id, then by run.
impl Ord for OpenRun<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.next.0, self.run.no).cmp(&(other.next.0, other.run.no))
    }
}

impl PartialOrd for OpenRun<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OpenRun<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OpenRun<'_> {}

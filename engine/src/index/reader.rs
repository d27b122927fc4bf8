//! What readers hold: everything that is shared between them, the follower and the sealer.
//!
//! Owns the view, the accounts' newest postings, and the holds and reversed totals that are not sealed. Never blocks a
//! writer: readers see immutable parts, or values that are replaced whole. Invariant: the follower makes a group's
//! effects visible before it counts the group as applied, and a reader that waited for a position looks only after.

use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::watch;

use super::{
    HoldRow, IndexError, Reversed, account_page, hold,
    record_block::RecordBlock,
    sealer::change_key,
    store::{Family, Store, Walk, key_position, operation_key, position_key},
    view::{AccountHead, View},
    wire::Wire,
};
use crate::{
    journal::Record,
    ledger::Account,
    model::{AccountNo, Amount, HoldId, Position, Timestamp, TransactionId},
};

/// Answers questions about the past, to any number of threads.
pub struct Index {
    pub(super) store: Store,
    pub(super) view: ArcSwap<View>,
    pub(super) heads: boxcar::Vec<AccountHead>,
    /// The last applied position; `head` says the same to those who wait.
    pub(super) applied: AtomicU64,
    pub(super) head: watch::Sender<Position>,
    /// Accounts as of the records that changed their rules, until those are sealed.
    pub(super) changes: DashMap<Position, Account, foldhash::fast::RandomState>,
    /// Holds that live, and those whose end is not sealed.
    pub(super) holds: DashMap<HoldId, HoldRow, foldhash::fast::RandomState>,
    /// Totals whose last change is not sealed, with its position.
    pub(super) reversed: DashMap<(TransactionId, u8), (Amount, Position), foldhash::fast::RandomState>,
}

impl Index {
    pub(super) fn new(store: Store, view: View) -> Self {
        let applied = view.sealed();
        Self {
            store,
            view: ArcSwap::from_pointee(view),
            heads: boxcar::Vec::new(),
            applied: AtomicU64::new(applied.0),
            head: watch::Sender::new(applied),
            changes: DashMap::default(),
            holds: DashMap::default(),
            reversed: DashMap::default(),
        }
    }

    /// The last position that answers are complete up to.
    #[must_use]
    pub fn applied(&self) -> Position {
        Position(self.applied.load(Ordering::Acquire))
    }

    /// The last position that is on the index's disk.
    #[must_use]
    pub fn sealed(&self) -> Position {
        self.view.load().sealed()
    }

    /// Follows [`Index::applied`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// Waits until answers are complete up to `position`: whoever was told of a position can read it back then.
    /// The caller bounds the wait.
    pub async fn wait_for(&self, position: Position) {
        if self.applied() >= position {
            return;
        }
        // It fails only without a sender, and `self` is one.
        let _ = self.subscribe().wait_for(|head| *head >= position).await;
    }

    /// Where a sealed transaction is, posted or refused. What is not sealed is in [`super::Sealed`] later.
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn find_transaction(&self, id: TransactionId) -> Result<Option<Position>, IndexError> {
        self.view.load().runs.find(&self.store, id.0)
    }

    /// A hold, whether it lives or ended.
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn find_hold(&self, id: HoldId) -> Result<Option<HoldRow>, IndexError> {
        // Memory first: a row leaves it only after it is on disk.
        if let Some(row) = self.holds.get(&id) {
            return Ok(Some(row.clone()));
        }
        self.store.get(Family::Holds, &hold::key(id))?.map(|bytes| HoldRow::decode(&bytes)).transpose()
    }

    /// An account as of the record that changed its rules; `None` if there is no such record at the position.
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn account_as_changed(&self, position: Position) -> Result<Option<Account>, IndexError> {
        // Memory first, as with holds.
        if let Some(account) = self.changes.get(&position) {
            return Ok(Some(account.clone()));
        }
        let Some(bytes) = self.store.get(Family::Meta, &change_key(position))? else { return Ok(None) };
        let mut wire = Wire(&bytes);
        let stored = account_page::read(&mut wire)?;
        wire.end()?;
        Ok(stored.map(|stored| stored.account))
    }

    /// What was reversed of an operation.
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn reversed(&self, transaction: TransactionId, operation: u8) -> Result<Reversed, IndexError> {
        // The position before the value, and memory before disk: the value may be newer than the position says, never
        // older.
        let as_of = self.applied();
        if let Some(total) = self.reversed.get(&(transaction, operation)) {
            return Ok(Reversed { total: total.0, as_of });
        }
        let stored = self.store.get(Family::Reversed, &operation_key(transaction.0, operation))?;
        let total = stored.map_or(Ok(0), |bytes| Wire(&bytes).u64())?;
        Ok(Reversed { total: Amount(total), as_of })
    }

    /// The record at a position; `None` beyond the last one.
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn record(&self, position: Position) -> Result<Option<(Timestamp, Record)>, IndexError> {
        let view = self.view.load();
        let mut records = RecordReader::new(&self.store, &view);
        Ok(records.get(position)?.map(|(at, record)| (at, record.clone())))
    }

    /// The records after a position, at most `limit`, none beyond [`Index::applied`].
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn records(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, Timestamp, Record)>, IndexError> {
        let applied = self.applied();
        let view = self.view.load();
        let mut records = RecordReader::new(&self.store, &view);
        let mut found = Vec::new();
        let mut position = after;
        while found.len() < limit && position < applied {
            position = position.next();
            let Some((at, record)) = records.get(position)? else {
                return Err(IndexError::damaged(format!("record {position} is missing")));
            };
            found.push((position, at, record.clone()));
        }
        Ok(found)
    }

    /// The record that opened an account; `None` if it is not open.
    #[must_use]
    pub fn opened(&self, account: AccountNo) -> Option<Position> {
        self.heads.get(account.index()).and_then(|head| match head.opened.load(Ordering::Acquire) {
            0 => None,
            position => Some(Position(position)),
        })
    }
}

/// Reads records, and keeps the last block and the last record for the next one.
pub(super) struct RecordReader<'a> {
    store: &'a Store,
    view: &'a View,
    walk: Option<Walk<'a>>,
    block: RecordBlock,
    last: Option<(Position, Timestamp, Record)>,
}

impl<'a> RecordReader<'a> {
    pub(super) fn new(store: &'a Store, view: &'a View) -> Self {
        Self { store, view, walk: None, block: RecordBlock::default(), last: None }
    }

    /// The record at a position.
    pub(super) fn get(&mut self, position: Position) -> Result<Option<(Timestamp, &Record)>, IndexError> {
        if self.last.as_ref().is_none_or(|last| last.0 != position) {
            self.last = match self.bytes(position)? {
                Some((at, bytes)) => {
                    let record =
                        Record::decode(bytes).map_err(|error| IndexError::record(position, error))?;
                    Some((position, at, record))
                }
                None => None,
            };
        }
        Ok(self.last.as_ref().map(|(_, at, record)| (*at, record)))
    }

    /// A record's time.
    pub(super) fn at(&mut self, position: Position) -> Result<Timestamp, IndexError> {
        match self.bytes(position)? {
            Some((at, _)) => Ok(at),
            None => Err(IndexError::damaged(format!("record {position} is missing"))),
        }
    }

    fn bytes(&mut self, position: Position) -> Result<Option<(Timestamp, &[u8])>, IndexError> {
        if let Some((_, tail)) = self.view.tail_of(position) {
            return Ok(tail.group_of(position).and_then(|(_, group)| {
                let record = group.record(position)?;
                group.record_bytes(record)
            }));
        }
        self.block(position).map(|block| block.get(position))
    }

    /// The block on disk that has, or should have, a position.
    pub(super) fn block(&mut self, position: Position) -> Result<&RecordBlock, IndexError> {
        let has = |[first, last]: [(Position, Timestamp); 2]| first.0 <= position && position <= last.0;
        if !self.block.ends().is_some_and(has) {
            let walk = self.walk.get_or_insert_with(|| self.store.walk(Family::Records));
            walk.go_to_at_most(&position_key(position))?;
            self.block = match walk.item() {
                Some((key, bytes)) => RecordBlock::decode(key_position(key)?, bytes)?,
                None => RecordBlock::default(),
            };
        }
        Ok(&self.block)
    }
}

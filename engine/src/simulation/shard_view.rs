//! What one shard must know and show, step by step.
//!
//! Owns the shard's model in the order in which the shard takes its inputs, and the balances that it must publish.
//! Invariant: a record of another shard is here once, by its notice or by the decision that this shard had reserved for.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    attachments::{CellKey, writes},
    audit::{Entry, id_of},
    model::{Model, record_legs},
};
use crate::{
    journal::Record,
    model::{AccountNo, Cell, HoldId, Position, PostedKind, Timestamp, TransactionId},
    shard::ShardNo,
};

#[derive(Default)]
pub(super) struct ShardView {
    /// As the shard decides on it, once [`ShardView::log`] is applied.
    pub(super) shadow: Model,
    /// Since the last flush.
    pub(super) log: Vec<Part>,
    pub(super) published: BTreeMap<AccountNo, [i128; 3]>,
    /// The cells as they are shown.
    pub(super) cells: BTreeMap<CellKey, Cell>,
    /// Those that were written since somebody looked.
    pub(super) written: Vec<CellKey>,
    pub(super) seen: Position,
    pub(super) stamp: Timestamp,
    /// Synced, but the decision has not arrived.
    awaited: BTreeMap<TransactionId, Record>,
    /// The decision has arrived, but not the sync.
    early: BTreeSet<TransactionId>,
    /// Holds that a higher shard has placed: others may queue for their account already.
    pub(super) placed_above: BTreeSet<HoldId>,
}

/// What one step took in, and how much it sent out.
#[derive(Default)]
pub(super) struct Part {
    pub(super) applied: Vec<Record>,
    pub(super) records: usize,
    pub(super) forwards: usize,
}

impl ShardView {
    pub(super) fn new(shadow: Model, seen: Position) -> Self {
        let balance = |(&no, account): (&AccountNo, &super::model::Account)| {
            (no, [account.net, account.held[0], account.held[1]])
        };
        let published = shadow.accounts.iter().map(balance).collect();
        let cells = shadow.cells.clone();
        Self { shadow, published, cells, seen, ..Self::default() }
    }

    fn part(&mut self) -> &mut Part {
        self.log.push(Part::default());
        self.log.last_mut().expect("just pushed")
    }

    /// The step that follows decided and passed on so much.
    pub(super) fn stepped(&mut self, records: usize, forwards: usize) {
        let part = self.part();
        (part.records, part.forwards) = (records, forwards);
    }

    /// The journal has synced up to `end`.
    pub(super) fn synced(&mut self, shard: ShardNo, end: Position, journal: &[Entry]) {
        let range = usize::try_from(self.seen.0).unwrap_or(0)..usize::try_from(end.0).unwrap_or(0);
        let mut foreign = Vec::new();
        for entry in &journal[range] {
            let decided = entry.decided.as_ref().expect("this process decided it");
            if decided.by == shard {
                if let Record::AccountOpened { no, .. } = &entry.record {
                    self.published.insert(*no, [0; 3]);
                }
            } else if decided.told.contains(&shard) {
                let id = id_of(&entry.record).expect("a transaction");
                if !self.early.remove(&id) {
                    self.awaited.insert(id, entry.record.clone());
                    continue;
                }
            } else if record_legs(&entry.record).iter().any(|(no, _)| self.published.contains_key(no)) {
                foreign.push(entry.record.clone());
            }
            self.publish(&entry.record);
        }
        self.seen = end;
        self.part().applied = foreign;
    }

    /// A higher shard's decision arrives.
    pub(super) fn told(&mut self, record: &Record) {
        let id = id_of(record).expect("a transaction");
        match self.awaited.remove(&id) {
            Some(record) => self.publish(&record),
            None => assert!(self.early.insert(id), "a decision is told once"),
        }
        if let Record::Posted(posted) = record {
            for operation in &posted.operations {
                if let PostedKind::Hold { id, .. } = operation.kind {
                    self.placed_above.insert(id);
                }
            }
        }
        self.part().applied = vec![record.clone()];
    }

    /// Whether all that it knows is synced, and all that is synced is known.
    pub(super) fn is_idle(&self, end: Position) -> bool {
        self.seen == end && self.log.is_empty() && self.awaited.is_empty() && self.early.is_empty()
    }

    /// Whether it has decided what nobody has seen yet.
    pub(super) fn has_unsent(&self) -> bool {
        self.log.iter().any(|part| part.records > 0)
    }

    /// How often a cell was written, of all that was sent by or to the shard.
    pub(super) fn newest_revision(&self, (account, kind): CellKey) -> u64 {
        let told = self.log.iter().flat_map(|part| &part.applied).flat_map(writes);
        let told = told.filter(|write| (write.account, write.kind) == (account, kind));
        told.map(|write| write.revision).fold(self.shadow.revision(account, kind), u64::max)
    }

    fn publish(&mut self, record: &Record) {
        for write in writes(record).iter().filter(|write| self.published.contains_key(&write.account)) {
            let (key, value) = ((write.account, write.kind), write.value.as_ref().into());
            // The decision of a higher shard may come after a later record's sync.
            if self.cells.get(&key).is_none_or(|cell| cell.revision < write.revision) {
                self.cells.insert(key, Cell { revision: write.revision, value });
            }
            self.written.push(key);
        }
        for (no, by) in record_legs(record) {
            if let Some(balance) = self.published.get_mut(&no) {
                balance.iter_mut().zip(by).for_each(|(sum, by)| *sum += by);
            }
        }
    }
}

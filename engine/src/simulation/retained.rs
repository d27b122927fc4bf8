//! A journal that is not kept for ever: snapshots against the model, trims, and what must be refused then.
//!
//! Owns the chance of when the retainer's thread gets its turn. Invariant: each part of a snapshot says what the model
//! had at its position, and a trimmed journal opens with the index alone.

use std::{collections::BTreeSet, path::Path};

use super::{
    audit::{Auditor, Decided},
    life::Life,
    model::Model,
    world::World,
};
use crate::{
    fatal::fatal,
    index::{IndexOptions, watermark_of},
    journal::{
        Checkpoint, JournalError, Record, SnapshotAccount, SnapshotCell, SnapshotHold, SnapshotMark,
        SnapshotPart, SnapshotTracker,
        faulty::{DurableImage, Fault, FaultyJournal},
    },
    model::{Position, Timestamp},
    retention::{Due, Retention},
    shard::ShardNo,
};

/// Bytes of a part: so few that most snapshots have several.
pub(super) const PART_BYTES: usize = 2_000;

/// What the auditor knows of snapshots.
#[derive(Default)]
pub(super) struct Stated {
    tracker: SnapshotTracker,
    /// The state of the newest snapshot that was begun.
    as_of: Option<(Position, Model)>,
}

impl World {
    /// The retainer's turn; `false` if there is nothing to do.
    pub(super) fn retain(
        &mut self,
        fault: Option<(Fault, &'static str)>,
        now: Timestamp,
        auditor: &mut Auditor,
    ) -> Result<bool, JournalError> {
        let Some(retention) = &mut self.retention else { return Ok(false) };
        match retention.due(self.shared.sealed.load()).unwrap_or_else(|error| fatal(&error)) {
            Due::Nothing => return Ok(false),
            Due::Snapshot => {
                let batches = &mut self.batches;
                let send = &mut |batch: crate::shard::Batch| {
                    let records = super::world::decode(&batch.records).into_iter();
                    let decided = records.map(|record| {
                        let (told, after) = (Vec::new(), Vec::new());
                        Decided { record, by: ShardNo::NONE, told, after }
                    });
                    let decided = decided.collect();
                    batches.push_back((batch, decided));
                    true
                };
                retention.snapshot(now, send).unwrap_or_else(|error| fatal(&error));
                auditor.coverage.hit("snapshot");
            }
            Due::Trim(trim) => {
                if let Some((fault, kind)) = fault {
                    self.committer.journal().fail_next(fault);
                    auditor.coverage.fault(kind);
                }
                let before = self.committer.journal().durable().base();
                self.committer.trim(trim, self.shared.sealed.load())?;
                let base = self.committer.journal().durable().base();
                if base != before {
                    let base = base.expect("what was trimmed has a base");
                    assert!(base.head.position <= trim.up_to, "what is kept is kept");
                    auditor.coverage.hit("trimmed");
                }
            }
        }
        Ok(true)
    }

    /// As configured, with small parts.
    pub(super) fn retention(retention: Option<Retention>) -> Option<Retention> {
        retention.map(|mut retention| {
            retention.part_bytes = PART_BYTES;
            retention
        })
    }
}

impl Auditor {
    /// A part of a snapshot is in the journal.
    pub(super) fn stated(&mut self, position: Position, part: &SnapshotPart) {
        let SnapshotPart { head, decided_at, content } = part;
        let as_of = head.as_of.position;
        assert!(as_of < position, "a snapshot follows what it says");
        let mut stated = std::mem::take(&mut self.stated);
        let known = stated.as_of.take().filter(|known| known.0 <= as_of);
        let (from, mut model) = known.unwrap_or_default();
        let range = usize::try_from(from.0).unwrap_or(0)..usize::try_from(as_of.0).unwrap_or(0);
        self.journal[range].iter().for_each(|entry| model.apply(&entry.record));
        stated.as_of = Some((as_of, model));
        let (_, model) = stated.as_of.as_ref().expect("just made");
        for SnapshotAccount { no, opening, opened, account, .. } in &content.accounts {
            let known = &model.accounts[no];
            assert_eq!(self.names.addresses[no], opening.address, "the snapshot of {as_of}");
            let entry = &self.entry(*opened).record;
            assert!(matches!(entry, Record::AccountOpened { no: found, .. } if found == no));
            let found = (account.net(), [account.held_debits(), account.held_credits()]);
            let held = known.held.map(|held| u128::try_from(held).expect("not negative"));
            assert_eq!(found, (known.net, held), "{} in the snapshot of {as_of}", opening.address);
            let found = (account.status(), account.floor(), account.ceiling());
            assert_eq!(found, (known.status, known.floor, known.ceiling), "{}", opening.address);
            let used = account.limits().iter().map(|it| (it.limit.clone(), it.used_at(*decided_at)));
            let used = used.map(|(limit, (amount, count))| (limit, (amount as i128, count as i64)));
            let known = known.limits.iter().map(|it| (it.limit.clone(), it.used(*decided_at)));
            assert!(used.eq(known), "limits of {} in the snapshot of {as_of}", opening.address);
        }
        for SnapshotHold { id, hold, .. } in &content.holds {
            let known = &model.holds[id];
            let found = (hold.debit, hold.credit, hold.held.0, hold.placed_at, hold.expires_at, &hold.code);
            let known =
                (known.debit, known.credit, known.amount, known.placed_at, known.expires_at, &known.code);
            assert_eq!(found, known, "hold {id} in the snapshot of {as_of}");
        }
        for reversed in &content.reversed {
            let known = model.reversed.get(&(reversed.transaction, reversed.operation));
            assert_eq!(known, Some(&reversed.total.0), "{reversed:?} in the snapshot of {as_of}");
        }
        for SnapshotCell { account, kind, cell } in &content.cells {
            let known = model.cells.get(&(*account, *kind));
            assert_eq!(known, Some(cell), "a cell of account {} in the snapshot of {as_of}", account.0);
            self.coverage.hit("cell in a snapshot");
        }
        if let Some(SnapshotMark { entries, .. }) = stated.tracker.take(position, *head) {
            let groups: BTreeSet<_> = model
                .accounts
                .keys()
                .map(|no| &self.names.addresses[no])
                .map(|address| (address.group(), &self.names.accounts[address].asset))
                .collect();
            let expected = model.accounts.len()
                + model.live.len()
                + model.reversed.len()
                + groups.len()
                + model.cells.len();
            assert_eq!(entries, expected as u64, "the entries of the snapshot of {as_of}");
        }
        self.stated = stated;
    }
}

impl Life {
    /// The retainer's turn, if chance gives it one; `false` if the journal has failed.
    pub(super) fn retain(&mut self, world: &mut World) -> bool {
        if world.retention.is_none() || !self.retained.once_in(6) {
            return true;
        }
        let fault = if self.retained.once_in(10) { self.faults.of_trim(&mut self.retained) } else { None };
        world.retain(fault, self.now, &mut self.auditor).is_ok()
    }

    /// How far the index that lies in the directory is.
    pub(super) fn watermark(&self) -> Checkpoint {
        watermark_of(&self.config.data.join("index"), &self.index_options).expect("a sound index")
    }
}

/// Whether a trimmed journal refuses an index that lay here once.
pub(super) fn is_too_old(older: &Path, options: &IndexOptions, image: &DurableImage) -> bool {
    let Some(base) = image.base() else { return false };
    let older = watermark_of(older, options).expect("a sound index");
    let too_old = older.position < base.head.position;
    let opened = FaultyJournal::reopen(image.clone(), older);
    assert_eq!(opened.is_err(), too_old, "an index at {} on a journal from {base:?}", older.position);
    too_old
}

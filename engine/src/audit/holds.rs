//! Holds and reversed totals as the journal tells them.
//!
//! Owns the rows of live holds, and digests of all that ended and of what is reversed. Never reads a disk before all is
//! known. Invariant: an index that passes answers for each hold and each reversal as the journal does.

use std::collections::BTreeMap;

use super::{
    Report,
    digest::{Digest, DigestKey},
};
use crate::{
    index::{HoldRow, Index, IndexError},
    journal::{PostedTransaction, Record},
    model::{Amount, HoldEnd, HoldId, Position, PostedKind},
};

/// See the module.
#[derive(Default)]
pub(super) struct Holds {
    live: BTreeMap<HoldId, HoldRow>,
    ended: Digest,
    reversed: Digest,
}

impl Holds {
    pub(super) fn take(&mut self, position: Position, record: &Record, key: &DigestKey) {
        match record {
            Record::Posted(posted) => {
                for index in 0..posted.operations.len() {
                    self.take_operation(position, posted, index, key);
                }
            }
            Record::HoldExpired { hold, .. } => {
                self.end(*hold, (HoldEnd::Expired, position), Amount::ZERO, key);
            }
            Record::AccountOpened { .. }
            | Record::AccountChanged { .. }
            | Record::Refused(_)
            | Record::Snapshot(_) => {}
        }
    }

    fn take_operation(
        &mut self,
        position: Position,
        posted: &PostedTransaction,
        index: usize,
        key: &DigestKey,
    ) {
        match posted.operations.get(index).map(|operation| &operation.kind) {
            Some(&PostedKind::Hold { id, debit, credit, amount, expires_in }) => {
                let row = HoldRow {
                    debit,
                    credit,
                    amount,
                    captured: Amount::ZERO,
                    placed_at: posted.decided_at,
                    expires_at: posted.decided_at.plus_seconds(expires_in),
                    code: posted.code_of(index).cloned(),
                    placed: position,
                    ended: None,
                };
                self.live.insert(id, row);
            }
            Some(&PostedKind::Capture { hold, amount, .. }) => {
                self.end(hold, (HoldEnd::Captured, position), amount, key);
            }
            Some(&PostedKind::Release { hold, .. }) => {
                self.end(hold, (HoldEnd::Released, position), Amount::ZERO, key);
            }
            Some(&PostedKind::Reverse { transaction, operation, amount, total, .. }) => {
                self.reversed.change_reversed(key, (transaction, operation), amount, total);
            }
            Some(PostedKind::Transfer { .. }) | None => {}
        }
    }

    fn end(&mut self, id: HoldId, end: (HoldEnd, Position), captured: Amount, key: &DigestKey) {
        // One that does not live is the books' finding.
        if let Some(row) = self.live.remove(&id) {
            self.ended.add(key, &ended_hold(id, &HoldRow { captured, ended: Some(end), ..row }));
        }
    }

    /// Compares with the index at its watermark.
    pub(super) fn finish(
        &self,
        index: &Index,
        key: &DigestKey,
        report: &mut Report,
    ) -> Result<(), IndexError> {
        let mut live = 0;
        index.scan_live_holds(&mut |id, row| {
            live += 1;
            if self.live.get(&id) != Some(&row) {
                let own = self.live.get(&id);
                report.find(|| format!("index: hold {id} is {row:?}, and {own:?} in the journal"));
            }
        })?;
        if live != self.live.len() {
            report.find(|| format!("index: {live} live holds, not {}", self.live.len()));
        }
        let mut ended = Digest::default();
        index.scan_ended_holds(&mut |id, row| ended.add(key, &ended_hold(id, &row)))?;
        let mut reversed = Digest::default();
        index.scan_reversed(&mut |transaction, operation, total| {
            reversed.add_reversed(key, (transaction, operation), total);
        })?;
        for (what, indexed, own) in
            [("ended holds", ended, self.ended), ("reversed totals", reversed, self.reversed)]
        {
            if indexed != own {
                let (count, wanted) = (indexed.count, own.count);
                report.find(|| format!("index: its {count} {what} are not the journal's {wanted}"));
            }
        }
        Ok(())
    }
}

fn ended_hold(id: HoldId, row: &HoldRow) -> Vec<u8> {
    let mut bytes = row.encode();
    bytes.extend_from_slice(&id.0.to_be_bytes());
    bytes
}

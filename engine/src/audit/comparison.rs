//! The index's checkpoint against the journal.
//!
//! Owns a read-only index, and compares its state at its watermark. What it has of the past is compared by [`Past`].

use std::{collections::BTreeMap, path::Path};

use super::{Report, books::Books, digest::DigestKey, past::Past};
use crate::{
    index::{IndexError, IndexOptions, Opened, open_read_only},
    journal::{Checkpoint, SnapshotMark},
    ledger::Account,
    model::{AccountNo, Position},
};

/// See the module.
pub(super) struct Comparison {
    opened: Opened,
    accounts: BTreeMap<AccountNo, (Account, Position)>,
}

impl Comparison {
    pub(super) fn open(index: &Path, options: &IndexOptions) -> Result<Self, IndexError> {
        let mut accounts = BTreeMap::new();
        let opened = open_read_only(index, options, &mut |account| {
            accounts.insert(account.no, (account.account.clone(), account.changed));
        })?;
        Ok(Self { opened, accounts })
    }

    pub(super) fn watermark(&self) -> Checkpoint {
        self.opened.follower.checkpoint()
    }

    /// The comparison of all that the index has of the past.
    pub(super) fn past(&self, key: DigestKey) -> Result<Past<'_>, IndexError> {
        Past::new(&self.opened.index, self.watermark().position, key)
    }

    /// The snapshot that the index holds to be the newest.
    pub(super) fn newest_snapshot(&self) -> Result<Option<SnapshotMark>, IndexError> {
        self.opened.index.newest_snapshot()
    }

    /// Compares the checkpoint with the books at the same position.
    pub(super) fn state(&self, books: &Books, report: &mut Report) {
        let at = self.watermark().position;
        for (no, account) in books.ledger.accounts() {
            let changed = books.changed(no);
            match self.accounts.get(&no) {
                None => report.find(|| format!("index at {at}: account {} is missing", no.0)),
                Some((indexed, _)) if indexed != account => {
                    report
                        .find(|| format!("index at {at}: account {} is {indexed:?}, not {account:?}", no.0));
                }
                Some((_, indexed)) if *indexed != changed => {
                    report.find(|| {
                        format!("index at {at}: account {} changed at {indexed}, not {changed}", no.0)
                    });
                }
                Some(_) => {}
            }
        }
        if self.accounts.len() != books.ledger.accounts().count() {
            report.find(|| format!("index at {at}: {} accounts", self.accounts.len()));
        }
        let live = |ledger: &crate::ledger::Ledger| {
            let holds = ledger.holds().filter(|(_, hold)| hold.ended.is_none());
            holds.map(|(id, hold)| (id, hold.clone())).collect::<Vec<_>>()
        };
        if live(self.opened.follower.ledger()) != live(&books.ledger) {
            report.find(|| format!("index at {at}: other live holds than the journal's"));
        }
        if !self.opened.follower.ledger().cells().eq(books.ledger.cells()) {
            report.find(|| format!("index at {at}: other cells of accounts than the journal's"));
        }
        let totals = self.opened.follower.trial_balance().rows.into_iter();
        let totals: BTreeMap<_, _> =
            totals.map(|row| ((row.group, row.asset), (row.debits, row.credits))).collect();
        if totals != books.turnover() {
            report.find(|| format!("index at {at}: another turnover than the journal's"));
        }
    }
}

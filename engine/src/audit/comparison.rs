//! The index against the journal.
//!
//! Owns a read-only index. Compares its state at its watermark, then each of its records and ids, and the history of a
//! sample of accounts row by row.

use std::{collections::BTreeMap, path::Path};

use super::{AuditError, Progress, Report, books::Books};
use crate::{
    index::{HistoryQuery, IndexError, IndexOptions, Opened, Point, open_read_only},
    journal::{Checkpoint, JournalError, Record, SnapshotMark, rocks::JournalReader},
    ledger::Account,
    model::{AccountNo, Position, Timestamp, TransactionId},
};

/// See the module.
pub(super) struct Comparison {
    opened: Opened,
    accounts: BTreeMap<AccountNo, (Account, Position)>,
}

impl Comparison {
    /// Accounts whose whole history is compared.
    const HISTORIES: usize = 1_000;
    /// Rows of each of them that are compared, the newest first.
    const HISTORY_ROWS_MAX: u64 = 10_000;
    /// Records that are asked for at once.
    const RECORDS_AT_ONCE: usize = 4_096;

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

    /// The snapshot that the index holds to be the newest.
    pub(super) fn newest_snapshot(&self) -> Result<Option<SnapshotMark>, IndexError> {
        self.opened.index.newest_snapshot()
    }

    /// Compares each account's balance at a position with the books'; nothing if the index does not reach there. Gives
    /// how many.
    pub(super) fn balances(
        &self,
        books: &Books,
        at: Position,
        report: &mut Report,
    ) -> Result<u64, IndexError> {
        if self.watermark().position < at {
            return Ok(0);
        }
        let mut compared = 0;
        for (no, account) in books.ledger.accounts() {
            let found = self.opened.index.balance_at(no, Point::Position(at))?;
            if found.is_none_or(|found| found.posted != account.posted()) {
                report.find(|| {
                    let found = found.map(|found| found.posted);
                    let stated = account.posted();
                    format!("account {} is {stated} in the snapshot of {at}, {found:?} in the index", no.0)
                });
            }
            compared += 1;
        }
        Ok(compared)
    }

    /// Compares the checkpoint with the books at the same position.
    pub(super) fn state(&self, books: &Books, report: &mut Report) {
        let at = self.watermark().position;
        for (no, account) in books.ledger.accounts() {
            let changed = books.changed.get(&no).copied().unwrap_or_default();
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
        let totals = self.opened.follower.trial_balance().rows.into_iter();
        let totals: BTreeMap<_, _> =
            totals.map(|row| ((row.group, row.asset), (row.debits, row.credits))).collect();
        if totals != books.turnover {
            report.find(|| format!("index at {at}: another turnover than the journal's"));
        }
    }

    /// Compares each indexed record and id with the journal's, and a sample of histories.
    pub(super) fn past(
        &mut self,
        journal: &JournalReader,
        report: &mut Report,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), AuditError> {
        let end = self.watermark().position;
        let mut indexed = Vec::new().into_iter();
        let mut failed = None;
        let begin = journal.base().map_or(Position::ZERO, |base| base.head.position);
        journal.read(begin, &mut |group| {
            for (offset, frame) in (0_u32..).zip(group.frames()) {
                let position = group.first.plus(u64::from(offset));
                if position > end || failed.is_some() {
                    return Ok(());
                }
                let at = group.at.plus_nanos(i64::from(offset));
                let broken = |reason: String| JournalError::Broken { after: position, reason };
                let bytes = frame.map_err(|error| broken(error.to_string()))?;
                let record = Record::decode(bytes).map_err(|error| broken(error.to_string()))?;
                if indexed.len() == 0 {
                    progress(Progress::Index { records: position.0, of: end.0 });
                    match self.opened.index.records(Position(position.0 - 1), Self::RECORDS_AT_ONCE) {
                        Ok(records) => indexed = records.into_iter(),
                        Err(error) => failed = Some(error),
                    }
                }
                let same = indexed
                    .next()
                    .is_some_and(|found| found == (position, at, record.clone().into_indexed()));
                if !same {
                    report.find(|| format!("index: record {position} is another one than the journal's"));
                }
                if let Err(error) = self.id(position, &record, report) {
                    failed = Some(error);
                }
            }
            Ok(())
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.histories(report)
    }

    fn id(&self, position: Position, record: &Record, report: &mut Report) -> Result<(), IndexError> {
        let id = match record {
            Record::Posted(posted) => posted.id,
            Record::Refused(refused) => refused.transaction.id,
            Record::AccountOpened { .. }
            | Record::AccountChanged { .. }
            | Record::HoldExpired { .. }
            | Record::Snapshot(_) => {
                return Ok(());
            }
        };
        let found = self.opened.index.find_transaction(id)?;
        if found != Some(position) {
            report.find(|| {
                let found = found.map_or("nowhere".to_owned(), |found| found.to_string());
                format!("index: transaction {id} is at {position}, and is found {found}")
            });
        }
        Ok(())
    }

    /// Walks a sample of accounts through their history: each row's balance must follow from the next older one's.
    fn histories(&self, report: &mut Report) -> Result<(), AuditError> {
        let step = self.accounts.len().div_ceil(Self::HISTORIES).max(1);
        for (&no, (account, _)) in self.accounts.iter().step_by(step) {
            let end = Point::Position(self.watermark().position);
            let newest = self.opened.index.balance_at(no, end)?;
            if newest.is_none_or(|newest| newest.posted != account.posted()) {
                report.find(|| format!("index: account {} ends its history with another balance", no.0));
            }
            let mut before = None;
            let mut balance = account.posted();
            let mut rows = 0;
            while rows < Self::HISTORY_ROWS_MAX {
                let query = HistoryQuery { account: no, from: None, to: None, before, limit: 1_000 };
                let page = self.opened.index.history(&query)?;
                let Some(last) = page.last() else {
                    if balance != 0 {
                        report.find(|| format!("index: account {} does not begin at zero", no.0));
                    }
                    break;
                };
                before = Some(last.cursor());
                for row in &page {
                    if row.balance != balance {
                        let place: (Position, Timestamp, TransactionId) =
                            (row.position, row.at, row.transaction);
                        report.find(|| format!("index: account {} has another balance at {place:?}", no.0));
                    }
                    let raises = (row.direction == crate::index::Direction::Credit)
                        == (account.normal() == crate::model::NormalSide::Credit);
                    let amount = i128::from(row.amount.units());
                    balance = if raises { row.balance - amount } else { row.balance + amount };
                    rows += 1;
                }
            }
            report.history_rows += rows;
        }
        Ok(())
    }
}

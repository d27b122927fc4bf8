//! The books as the journal alone tells them.
//!
//! Owns a ledger that is rebuilt record by record, and the turnover. Finds a broken promise where it happens.

use std::collections::BTreeMap;

use compact_str::CompactString;
use smallvec::SmallVec;

use super::Report;
use crate::{
    journal::Record,
    ledger::{Account, Ledger, effects},
    model::{AccountNo, AccountOpening, NormalSide, Position, PostedKind, Timestamp},
};

/// See the module.
#[derive(Default)]
pub(super) struct Books {
    pub(super) ledger: Ledger,
    /// By account number.
    accounts: Vec<Booked>,
    /// By first address part and asset.
    rows: Vec<Row>,
    row_of: BTreeMap<(CompactString, CompactString), usize>,
    decided_at: Timestamp,
}

/// What the books know of an account beside the ledger.
#[derive(Clone, Copy, Default)]
struct Booked {
    changed: Position,
    row: usize,
}

#[derive(Default)]
struct Row {
    asset: CompactString,
    debits: u128,
    credits: u128,
}

impl Books {
    /// An account's last change.
    pub(super) fn changed(&self, no: AccountNo) -> Position {
        self.accounts.get(no.index()).map_or(Position::ZERO, |booked| booked.changed)
    }

    /// Debits and credits by first address part and asset.
    pub(super) fn turnover(&self) -> BTreeMap<(CompactString, CompactString), (u128, u128)> {
        let totals = |&index: &usize| self.rows.get(index).map_or((0, 0), |row| (row.debits, row.credits));
        self.row_of.iter().map(|(name, row)| (name.clone(), totals(row))).collect()
    }

    /// Applies a record, and checks what it must have kept.
    pub(super) fn take(&mut self, position: Position, record: &Record, report: &mut Report) {
        match record {
            Record::AccountOpened { no, opening, .. } => return self.open(position, *no, opening, report),
            Record::AccountChanged { no, .. } => self.set_changed(*no, position),
            Record::Posted(posted) => {
                report.posted += 1;
                for operation in &posted.operations {
                    self.turn_over(position, &operation.kind, report);
                }
            }
            Record::Refused(_) => report.refused += 1,
            Record::HoldExpired { .. } => {}
        }
        let mut touched = SmallVec::<[AccountNo; 4]>::new();
        effects(record, |account, _| touched.push(account));
        if let Some(unknown) = touched.iter().find(|&&account| !self.ledger.owns(account)) {
            return report
                .find(|| format!("position {position} moves account {}, which was never opened", unknown.0));
        }
        self.decided_at = self.decided_at.max(record.decided_at());
        self.ledger.apply(record);
        for account in touched {
            self.set_changed(account, position);
            self.guards_hold(position, account, report);
        }
        self.forget(record);
    }

    fn open(&mut self, position: Position, no: AccountNo, opening: &AccountOpening, report: &mut Report) {
        if self.ledger.owns(no) {
            return report.find(|| format!("position {position} opens account {} again", no.0));
        }
        self.ledger.open(no, opening);
        if self.accounts.len() <= no.index() {
            self.accounts.resize(no.index() + 1, Booked::default());
        }
        let name = (CompactString::from(opening.address.group()), opening.asset.clone());
        let row = *self.row_of.entry(name).or_insert_with(|| {
            self.rows.push(Row { asset: opening.asset.clone(), ..Row::default() });
            self.rows.len() - 1
        });
        if let Some(booked) = self.accounts.get_mut(no.index()) {
            *booked = Booked { changed: position, row };
        }
    }

    fn set_changed(&mut self, no: AccountNo, position: Position) {
        if let Some(booked) = self.accounts.get_mut(no.index()) {
            booked.changed = position;
        }
    }

    fn turn_over(&mut self, position: Position, kind: &PostedKind, report: &mut Report) {
        let Some(amount) = kind.moved() else { return };
        let (debit, credit) = kind.accounts();
        // An account that was never opened is found by `take`.
        let row = |no: AccountNo| {
            self.accounts.get(no.index()).filter(|_| self.ledger.owns(no)).map(|booked| booked.row)
        };
        let (Some(debit), Some(credit)) = (row(debit), row(credit)) else { return };
        let assets = self.rows.get(debit).zip(self.rows.get(credit));
        if let Some((debit, credit)) = assets.filter(|(debit, credit)| debit.asset != credit.asset) {
            report.find(|| format!("position {position} moves {} into {}", debit.asset, credit.asset));
        }
        if let Some(row) = self.rows.get_mut(debit) {
            row.debits += u128::from(amount.units());
        }
        if let Some(row) = self.rows.get_mut(credit) {
            row.credits += u128::from(amount.units());
        }
    }

    fn guards_hold(&self, position: Position, no: AccountNo, report: &mut Report) {
        let Some(account) = self.ledger.account(no) else { return };
        if account.floor().is_some_and(|floor| account.available() < floor) {
            report.find(|| format!("position {position} leaves account {} below its floor", no.0));
        }
        if account.ceiling().is_some_and(|ceiling| filled(account) > ceiling) {
            report.find(|| format!("position {position} leaves account {} above its ceiling", no.0));
        }
    }

    /// Drops what ended: the books are about what is.
    fn forget(&mut self, record: &Record) {
        match record {
            Record::Posted(posted) => {
                for operation in &posted.operations {
                    match operation.kind {
                        PostedKind::Capture { hold, .. } | PostedKind::Release { hold, .. } => {
                            self.ledger.forget_hold(hold);
                        }
                        PostedKind::Reverse { transaction, operation, .. } => {
                            self.ledger.forget_reversed(transaction, operation);
                        }
                        PostedKind::Transfer { .. } | PostedKind::Hold { .. } => {}
                    }
                }
            }
            Record::HoldExpired { hold, .. } => self.ledger.forget_hold(*hold),
            Record::AccountOpened { .. } | Record::AccountChanged { .. } | Record::Refused(_) => {}
        }
    }

    /// Checks what must hold at the end.
    pub(super) fn finish(&self, report: &mut Report) {
        report.accounts = u64::try_from(self.ledger.accounts().count()).unwrap_or(u64::MAX);
        report.holds = u64::try_from(self.ledger.holds().count()).unwrap_or(u64::MAX);
        let mut assets: BTreeMap<&str, (u128, u128)> = BTreeMap::new();
        for Row { asset, debits, credits } in &self.rows {
            let totals = assets.entry(asset).or_default();
            totals.0 += debits;
            totals.1 += credits;
        }
        for (asset, (debits, credits)) in assets {
            if debits != credits {
                report.find(|| format!("{asset}: debits {debits} are not credits {credits}"));
            }
            report.turnover.push((asset.to_owned(), debits));
        }
        let held: i128 = self.ledger.holds().map(|(_, hold)| i128::from(hold.held.units())).sum();
        let set_aside: i128 = self
            .ledger
            .accounts()
            .map(|(_, account)| i128::try_from(account.held_debits()).unwrap_or(i128::MAX))
            .sum();
        if held != set_aside {
            report.find(|| format!("live holds are {held}, the accounts have set aside {set_aside}"));
        }
    }
}

/// Posted with what live holds will add to it.
fn filled(account: &Account) -> i128 {
    let coming = match account.normal() {
        NormalSide::Credit => account.held_credits(),
        NormalSide::Debit => account.held_debits(),
    };
    account.posted().saturating_add(i128::try_from(coming).unwrap_or(i128::MAX))
}

//! The books as the journal tells them.
//!
//! Owns a ledger that is rebuilt record by record, or begins with a snapshot, and the turnover. Finds a broken
//! promise where it happens.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::{
    Report,
    digest::{Digest, DigestKey},
    fit::misfit,
};
use crate::{
    journal::{
        Record, SnapshotAccount, SnapshotCell, SnapshotContent, SnapshotHold, SnapshotReversed,
        SnapshotTurnover,
    },
    ledger::{Account, Ledger, effects},
    model::{AccountNo, AccountOpening, HoldId, NormalSide, Position, PostedKind, Timestamp},
};

/// See the module.
pub(super) struct Books {
    pub(super) ledger: Ledger,
    /// By account number.
    accounts: Vec<Booked>,
    /// By first address part and asset.
    rows: Vec<Row>,
    row_of: BTreeMap<(CompactString, CompactString), usize>,
    /// By live hold: the record that placed it.
    placed: BTreeMap<HoldId, Position>,
    key: DigestKey,
    /// The records that opened the accounts.
    openings: Digest,
    /// Operations that were reversed, each with how much of it.
    reversed: Digest,
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
    /// Empty ones; only those with the same key can be compared.
    pub(super) fn new(key: DigestKey) -> Self {
        Self {
            ledger: Ledger::new(),
            accounts: Vec::new(),
            rows: Vec::new(),
            row_of: BTreeMap::new(),
            placed: BTreeMap::new(),
            key,
            openings: Digest::default(),
            reversed: Digest::default(),
        }
    }

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
    pub(super) fn take(
        &mut self,
        (position, at): (Position, Timestamp),
        record: &Record,
        report: &mut Report,
    ) {
        match record {
            Record::Posted(_) => report.posted += 1,
            Record::Refused(_) => report.refused += 1,
            Record::AccountOpened { .. }
            | Record::AccountChanged { .. }
            | Record::HoldExpired { .. }
            | Record::Snapshot(_) => {}
        }
        if let Some(what) = misfit(&self.ledger, record) {
            return report.find(|| format!("position {position} {what}"));
        }
        match record {
            Record::AccountOpened { no, opening, scale, .. } => {
                self.ledger.open(*no, opening);
                self.note_opening(*no, (opening, *scale), (position, at));
                self.set_changed(*no, position);
                return;
            }
            Record::AccountChanged { no, .. } => self.set_changed(*no, position),
            Record::Posted(posted) => {
                for operation in &posted.operations {
                    self.turn_over(position, &operation.kind, report);
                }
            }
            Record::Refused(_) | Record::HoldExpired { .. } | Record::Snapshot(_) => {}
        }
        self.ledger.apply(record);
        effects(record, |account, _| {
            self.set_changed(account, position);
            self.guards_hold(position, account, report);
        });
        self.note_ends(position, record);
    }

    fn note_opening(
        &mut self,
        no: AccountNo,
        (opening, scale): (&AccountOpening, u8),
        (position, at): (Position, Timestamp),
    ) {
        if self.accounts.len() <= no.index() {
            self.accounts.resize(no.index() + 1, Booked::default());
        }
        let row = self.row(opening.address.group(), &opening.asset);
        if let Some(booked) = self.accounts.get_mut(no.index()) {
            booked.row = row;
        }
        let mut bytes = position.0.to_le_bytes().to_vec();
        Record::AccountOpened { no, opening: opening.clone(), scale, decided_at: at }.encode(&mut bytes);
        self.openings.add(&self.key, &bytes);
    }

    /// The row of a first address part and asset.
    fn row(&mut self, group: &str, asset: &CompactString) -> usize {
        *self.row_of.entry((group.into(), asset.clone())).or_insert_with(|| {
            self.rows.push(Row { asset: asset.clone(), ..Row::default() });
            self.rows.len() - 1
        })
    }

    fn set_changed(&mut self, no: AccountNo, position: Position) {
        if let Some(booked) = self.accounts.get_mut(no.index()) {
            booked.changed = position;
        }
    }

    /// Takes a part of the state that a snapshot says.
    pub(super) fn load(&mut self, content: SnapshotContent, as_of: Position, report: &mut Report) {
        let SnapshotContent { accounts, holds, reversed, turnover, cells } = content;
        for SnapshotAccount { no, opening, scale, opened, opened_at, changed, account } in accounts {
            if self.ledger.owns(no) {
                report.find(|| format!("the snapshot of {as_of} has account {} twice", no.0));
                continue;
            }
            self.ledger.insert_account(no, account);
            self.note_opening(no, (&opening, scale), (opened, opened_at));
            self.set_changed(no, changed);
            self.guards_hold(as_of, no, report);
        }
        for SnapshotHold { id, hold, placed } in holds {
            if self.placed.insert(id, placed).is_some() {
                report.find(|| format!("the snapshot of {as_of} has hold {id} twice"));
                continue;
            }
            self.ledger.insert_hold(id, hold);
        }
        for SnapshotReversed { transaction, operation, total } in reversed {
            self.reversed.add_reversed(&self.key, (transaction, operation), total);
        }
        for SnapshotTurnover { group, asset, debits, credits } in turnover {
            let row = self.row(&group, &asset);
            if let Some(row) = self.rows.get_mut(row) {
                (row.debits, row.credits) = (debits, credits);
            }
        }
        for SnapshotCell { account, kind, cell } in cells {
            if !self.ledger.owns(account) || self.ledger.cell(account, kind).is_some() {
                report.find(|| {
                    format!(
                        "the snapshot of {as_of} has a cell {} of account {} out of place",
                        kind.0, account.0
                    )
                });
            }
            self.ledger.insert_cell(account, kind, cell);
        }
    }

    /// Compares what a snapshot says with the books as of the same position.
    pub(super) fn compare(&self, books: &Self, as_of: Position, report: &mut Report) {
        let mut find = |same: bool, what: &str| {
            if !same {
                report
                    .find(|| format!("the snapshot of {as_of} has other {what} than the records before it"));
            }
        };
        let changed = |no| self.changed(no) == books.changed(no);
        find(self.ledger.accounts().eq(books.ledger.accounts()), "accounts");
        find(self.openings == books.openings, "openings");
        find(self.ledger.accounts().all(|(no, _)| changed(no)), "last changes");
        find(self.ledger.holds().eq(books.ledger.holds()) && self.placed == books.placed, "holds");
        find(self.reversed == books.reversed, "reversed totals");
        find(self.turnover() == books.turnover(), "turnover");
        find(self.ledger.cells().eq(books.ledger.cells()), "cells of accounts");
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

    /// Notes what holds and reversals a record begins, and drops what it ends: the books are about what is.
    fn note_ends(&mut self, position: Position, record: &Record) {
        match record {
            Record::Posted(posted) => {
                for operation in &posted.operations {
                    match operation.kind {
                        PostedKind::Hold { id, .. } => drop(self.placed.insert(id, position)),
                        PostedKind::Capture { hold, .. } | PostedKind::Release { hold, .. } => {
                            self.forget_hold(hold);
                        }
                        PostedKind::Reverse { transaction, operation, amount, total, .. } => {
                            self.reversed.change_reversed(&self.key, (transaction, operation), amount, total);
                            self.ledger.forget_reversed(transaction, operation);
                        }
                        PostedKind::Transfer { .. } => {}
                    }
                }
            }
            Record::HoldExpired { hold, .. } => self.forget_hold(*hold),
            Record::AccountOpened { .. }
            | Record::AccountChanged { .. }
            | Record::Refused(_)
            | Record::Snapshot(_) => {}
        }
    }

    fn forget_hold(&mut self, id: HoldId) {
        self.ledger.forget_hold(id);
        self.placed.remove(&id);
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

//! The books as the journal alone tells them.
//!
//! Owns a ledger that is rebuilt record by record, and the turnover. Finds a broken promise where it happens.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::Report;
use crate::{
    journal::{Record, SnapshotAccount, SnapshotContent, SnapshotHold},
    ledger::{Account, Ledger, effects},
    model::{AccountNo, AccountOpening, Amount, NormalSide, Position, PostedKind, Timestamp, TransactionId},
};

/// See the module.
#[derive(Default)]
pub(super) struct Books {
    pub(super) ledger: Ledger,
    openings: BTreeMap<AccountNo, (CompactString, CompactString)>,
    /// Debits and credits by first address part and asset.
    pub(super) turnover: BTreeMap<(CompactString, CompactString), (u128, u128)>,
    /// By account: its last change.
    pub(super) changed: BTreeMap<AccountNo, Position>,
    /// By operation: what was reversed of it.
    reversed: BTreeMap<(TransactionId, u8), Amount>,
    decided_at: Timestamp,
}

impl Books {
    /// Applies a record, and checks what it must have kept.
    pub(super) fn take(&mut self, position: Position, record: &Record, report: &mut Report) {
        match record {
            Record::AccountOpened { no, opening, .. } => return self.open(position, *no, opening, report),
            Record::AccountChanged { no, .. } => drop(self.changed.insert(*no, position)),
            Record::Posted(posted) => {
                report.posted += 1;
                for operation in &posted.operations {
                    self.turn_over(position, &operation.kind, report);
                }
            }
            Record::Refused(_) => report.refused += 1,
            Record::HoldExpired { .. } | Record::Snapshot(_) => {}
        }
        let mut touched = Vec::new();
        effects(record, |account, _| touched.push(account));
        if let Some(unknown) = touched.iter().find(|&&account| !self.ledger.owns(account)) {
            return report
                .find(|| format!("position {position} moves account {}, which was never opened", unknown.0));
        }
        self.decided_at = self.decided_at.max(record.decided_at());
        self.ledger.apply(record);
        for account in touched {
            self.changed.insert(account, position);
            self.guards_hold(position, account, report);
        }
        self.forget(record);
    }

    fn open(&mut self, position: Position, no: AccountNo, opening: &AccountOpening, report: &mut Report) {
        if self.ledger.owns(no) {
            return report.find(|| format!("position {position} opens account {} again", no.0));
        }
        self.ledger.open(no, opening);
        self.changed.insert(no, position);
        let group = CompactString::from(opening.address.group());
        self.turnover.entry((group.clone(), opening.asset.clone())).or_default();
        self.openings.insert(no, (group, opening.asset.clone()));
    }

    /// Takes the state that a snapshot says.
    pub(super) fn load(&mut self, content: SnapshotContent, as_of: Position, report: &mut Report) {
        let SnapshotContent { accounts, holds, reversed, turnover } = content;
        for SnapshotAccount { no, opening, account, changed, .. } in accounts {
            if self.ledger.owns(no) {
                report.find(|| format!("the snapshot of {as_of} has account {} twice", no.0));
                continue;
            }
            self.ledger.insert_account(no, account);
            self.changed.insert(no, changed);
            self.openings.insert(no, (opening.address.group().into(), opening.asset));
            self.guards_hold(as_of, no, report);
        }
        for SnapshotHold { id, hold, .. } in holds {
            if self.ledger.hold(id).is_some() {
                report.find(|| format!("the snapshot of {as_of} has hold {id} twice"));
                continue;
            }
            self.ledger.insert_hold(id, hold);
        }
        let reversed = reversed.into_iter().map(|it| ((it.transaction, it.operation), it.total));
        self.reversed.extend(reversed);
        self.turnover.extend(turnover.into_iter().map(|it| ((it.group, it.asset), (it.debits, it.credits))));
    }

    /// Compares what a snapshot says with the books as of the same position.
    pub(super) fn compare(&self, books: &Self, as_of: Position, report: &mut Report) {
        let mut find = |same: bool, what: &str| {
            if !same {
                report.find(|| format!("the snapshot of {as_of} has other {what} than the journal"));
            }
        };
        find(self.ledger.accounts().eq(books.ledger.accounts()), "accounts");
        find(self.ledger.holds().eq(books.ledger.holds()), "holds");
        find(self.changed == books.changed, "last changes");
        find(self.reversed == books.reversed, "reversed totals");
        find(self.turnover == books.turnover, "turnover");
    }

    fn turn_over(&mut self, position: Position, kind: &PostedKind, report: &mut Report) {
        let Some(amount) = kind.moved() else { return };
        let (debit, credit) = kind.accounts();
        let (Some(debit), Some(credit)) = (self.openings.get(&debit), self.openings.get(&credit)) else {
            return;
        };
        if debit.1 != credit.1 {
            report.find(|| format!("position {position} moves {} into {}", debit.1, credit.1));
        }
        self.turnover.entry(debit.clone()).or_default().0 += u128::from(amount.units());
        self.turnover.entry(credit.clone()).or_default().1 += u128::from(amount.units());
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
                        PostedKind::Reverse { transaction, operation, total, .. } => {
                            self.reversed.insert((transaction, operation), total);
                            self.ledger.forget_reversed(transaction, operation);
                        }
                        PostedKind::Transfer { .. } | PostedKind::Hold { .. } => {}
                    }
                }
            }
            Record::HoldExpired { hold, .. } => self.ledger.forget_hold(*hold),
            Record::AccountOpened { .. }
            | Record::AccountChanged { .. }
            | Record::Refused(_)
            | Record::Snapshot(_) => {}
        }
    }

    /// Checks what must hold at the end.
    pub(super) fn finish(&self, report: &mut Report) {
        report.accounts = u64::try_from(self.ledger.accounts().count()).unwrap_or(u64::MAX);
        report.holds = u64::try_from(self.ledger.holds().count()).unwrap_or(u64::MAX);
        let mut assets: BTreeMap<&str, (u128, u128)> = BTreeMap::new();
        for ((_, asset), (debits, credits)) in &self.turnover {
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

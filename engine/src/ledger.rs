//! The rules: what a transaction does to accounts, or why it is refused.
//!
//! Owns the hot state of accounts, live holds and, until the index has sealed them, ended holds and reversed totals.
//! Never reads a clock, blocks, or draws a random number: time enters as an argument. A verdict takes three steps:
//! [`Ledger::gather`] copies what it depends on (from several ledgers if guarded accounts live in several), [`decide`]
//! judges on the copies, and [`Ledger::apply`] makes the journalled record's effect, here and in recovery alike.
//!
//! Invariants:
//! - `apply` is the only path that changes a balance ([`Ledger::apply_delta`] is `apply` for what another ledger
//!   decided, folded), and it can't fail: a record that does not fit the state is a broken ledger and panics.
//! - `net` sums to zero over all ledgers at each position; an account's held sums are those of its live holds.
//! - A hold lives in the ledger that owns its debit account, a reversed total in the one that owns the account that the
//!   reversal credits: so what a capture or a reversal can be refused for is in one place.

mod account;
mod cell;
mod decide;
mod effect;
mod facts;
mod hold;
mod limit;
mod reverse;
#[cfg(test)]
mod tests;

pub use account::{Account, ChangeRefusal, Guards, decide_change};
pub use decide::decide;
pub use effect::{Delta, effects, metered};
pub use facts::Facts;
pub use hold::Hold;
pub use limit::{LimitState, WindowStart};

use crate::journal::{PostedTransaction, Record};
use crate::model::{
    AccountNo, AccountOpening, Amount, Cell, CellKind, Command, HoldEnd, HoldId, HoldReference, Position,
    PostedKind, ResolvedOperation, Timestamp, TransactionId,
};
use cell::Cells;
use compact_str::CompactString;
use hold::Holds;
use reverse::ReversedTotals;

/// The accounts of one shard, or all of them in the index's replica, with their holds and reversed totals.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By account number: where in `accounts` it is, or [`Ledger::FOREIGN`].
    slots: Vec<u32>,
    accounts: Vec<Account>,
    holds: Holds,
    reversed: ReversedTotals,
    cells: Cells,
    forgotten: Position,
}

/// Why a command can't be decided on here; nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGathered {
    /// It was resolved before this ledger forgot what the index had sealed: resolve it again.
    Stale,
    /// A cell has a newer revision than the one that the command was made from.
    Conflict,
}

impl Ledger {
    const FOREIGN: u32 = u32::MAX;

    /// A ledger of no accounts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies what this ledger owns of the accounts, holds and totals that the command needs.
    ///
    /// # Errors
    /// See [`NotGathered`]; `facts` is of no use then.
    pub fn gather(&self, command: &Command, facts: &mut Facts) -> Result<(), NotGathered> {
        if command.cells.iter().any(|write| self.owns(write.account) && !self.cells.follows(write)) {
            return Err(NotGathered::Conflict);
        }
        for operation in &command.operations {
            let (debit, credit) = operation.accounts();
            self.gather_account(debit, facts);
            self.gather_account(credit, facts);
            match *operation {
                ResolvedOperation::Transfer { .. } | ResolvedOperation::Hold { .. } => (),
                ResolvedOperation::Capture { ref hold, .. } | ResolvedOperation::Release { ref hold } => {
                    self.gather_hold(hold, facts)?;
                }
                ResolvedOperation::Reverse { transaction, operation, reversed, reversed_as_of, .. } => {
                    if self.owns(credit) {
                        let own = self.reversed(transaction, operation);
                        let sealed = (reversed_as_of >= self.forgotten).then_some(reversed);
                        facts.set_reversed(transaction, operation, own.or(sealed).ok_or(NotGathered::Stale)?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes a record's effect on what this ledger owns; the rest is skipped. An opening is for the account's owner only.
    ///
    /// # Panics
    /// The record does not fit the state: the ledger is broken.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::AccountOpened { no, opening, .. } => self.open(*no, opening),
            Record::AccountChanged { no, change, decided_at } => {
                if let Some(account) = self.account_mut(*no) {
                    account.change(change, *decided_at);
                }
            }
            Record::Posted(posted) => self.apply_posted(posted),
            Record::Refused(_) | Record::Snapshot(_) => (),
            Record::HoldExpired { hold, debit, credit, held, .. } => {
                self.add_both((*debit, *credit), effect::ending(*held, Amount::ZERO));
                self.end_hold(*hold, *debit, HoldEnd::Expired, *held, Amount::ZERO);
            }
        }
    }

    /// Adds folded free legs that another ledger decided.
    ///
    /// # Panics
    /// The account is not owned, or a sum leaves its range: the ledger is broken.
    pub fn apply_delta(&mut self, no: AccountNo, delta: Delta) {
        self.account_mut(no).expect("free legs go to the ledger that owns their account").add(delta);
    }

    /// Takes a new account into this ledger.
    ///
    /// # Panics
    /// The number is taken: the ledger is broken.
    pub fn open(&mut self, no: AccountNo, opening: &AccountOpening) {
        self.insert_account(no, Account::new(opening));
    }

    /// Takes an account as a checkpoint has it.
    ///
    /// # Panics
    /// The number is taken: the ledger is broken.
    pub fn insert_account(&mut self, no: AccountNo, account: Account) {
        if self.slots.len() <= no.index() {
            self.slots.resize(no.index() + 1, Self::FOREIGN);
        }
        let slot = self.slots.get_mut(no.index()).expect("resized to hold it");
        assert_eq!(*slot, Self::FOREIGN, "account {} is opened twice", no.0);
        *slot = u32::try_from(self.accounts.len()).expect("fewer accounts than account numbers");
        self.accounts.push(account);
    }

    /// Takes a hold as a checkpoint has it.
    ///
    /// # Panics
    /// The id is taken: the ledger is broken.
    pub fn insert_hold(&mut self, id: HoldId, hold: Hold) {
        self.holds.insert(id, hold);
    }

    /// Takes a reversed total as a checkpoint has it. It is dropped with the last change that follows it.
    pub fn insert_reversed(&mut self, transaction: TransactionId, operation: u8, total: Amount) {
        self.reversed.insert(transaction, operation, total);
    }

    /// Takes a cell as a checkpoint has it.
    pub fn insert_cell(&mut self, account: AccountNo, kind: CellKind, cell: Cell) {
        self.cells.insert(account, kind, cell);
    }

    /// A cell of an account that lives here.
    #[must_use]
    pub fn cell(&self, account: AccountNo, kind: CellKind) -> Option<&Cell> {
        self.cells.get(account, kind)
    }

    /// The cells of the accounts that live here, by account and kind.
    pub fn cells(&self) -> impl Iterator<Item = (AccountNo, CellKind, &Cell)> {
        self.cells.iter()
    }

    /// Whether the account lives here.
    #[must_use]
    pub fn owns(&self, no: AccountNo) -> bool {
        self.account(no).is_some()
    }

    /// An account that lives here.
    #[must_use]
    pub fn account(&self, no: AccountNo) -> Option<&Account> {
        self.slots.get(no.index()).and_then(|&slot| self.accounts.get(index(slot)))
    }

    /// All accounts that live here, by number.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountNo, &Account)> {
        let numbered = (0..).zip(&self.slots);
        numbered
            .filter_map(|(no, &slot)| self.accounts.get(index(slot)).map(|account| (AccountNo(no), account)))
    }

    /// A hold that lives here, or that ended here and is not forgotten.
    #[must_use]
    pub fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(id)
    }

    /// Holds that live here or ended here and are not forgotten, by id.
    pub fn holds(&self) -> impl Iterator<Item = (HoldId, &Hold)> {
        self.holds.iter()
    }

    /// What all reversals of an operation moved together, if this ledger has not forgotten it.
    #[must_use]
    pub fn reversed(&self, transaction: TransactionId, operation: u8) -> Option<Amount> {
        self.reversed.get(transaction, operation)
    }

    /// The reversed totals that are not forgotten, by transaction and operation.
    pub fn reversed_totals(&self) -> impl Iterator<Item = (TransactionId, u8, Amount)> {
        self.reversed.iter()
    }

    /// The live hold that runs out first, by (expiry, id).
    #[must_use]
    pub fn next_expiry(&self) -> Option<(Timestamp, HoldId)> {
        self.expiries().next()
    }

    /// Live holds by (expiry, id).
    pub fn expiries(&self) -> impl Iterator<Item = (Timestamp, HoldId)> {
        self.holds.expiries()
    }

    /// The record of a hold's expiry; `None` if it does not live here or has not run out at `now`.
    #[must_use]
    pub fn expire(&self, hold: HoldId, now: Timestamp) -> Option<Record> {
        let Hold { debit, credit, held, expires_at, ended, .. } = *self.hold(hold)?;
        let due = ended.is_none() && now >= expires_at;
        due.then_some(Record::HoldExpired { hold, debit, credit, held, decided_at: now })
    }

    /// Drops an ended hold once the index has sealed its end; nothing if it is not here.
    ///
    /// # Panics
    /// The hold lives: the ledger is broken.
    pub fn forget_hold(&mut self, id: HoldId) {
        self.holds.forget(id);
    }

    /// The index has sealed one change of a total, which is dropped when all of its changes are.
    pub fn forget_reversed(&mut self, transaction: TransactionId, operation: u8) {
        self.reversed.forget(transaction, operation);
    }

    /// Reversed totals that changed up to here may be in the index only. To be called before the totals are forgotten.
    pub fn set_forgotten(&mut self, position: Position) {
        self.forgotten = self.forgotten.max(position);
    }

    fn gather_account(&self, no: AccountNo, facts: &mut Facts) {
        if let Some(account) = self.account(no)
            && !facts.has_account(no)
        {
            facts.add_account(no, account);
        }
    }

    fn gather_hold(&self, reference: &HoldReference, facts: &mut Facts) -> Result<(), NotGathered> {
        if !self.owns(reference.debit) || facts.has_hold(reference.id) {
            return Ok(());
        }
        match self.hold(reference.id) {
            Some(hold) => facts.add_hold(reference.id, hold),
            None if reference.ended.is_some() => (),
            None => return Err(NotGathered::Stale),
        }
        Ok(())
    }

    fn account_mut(&mut self, no: AccountNo) -> Option<&mut Account> {
        self.slots.get(no.index()).and_then(|&slot| self.accounts.get_mut(index(slot)))
    }

    fn apply_posted(&mut self, posted: &PostedTransaction) {
        for operation in &posted.operations {
            let code = operation.code.as_ref().or(posted.code.as_ref());
            self.apply_operation(&operation.kind, code, posted.decided_at);
        }
        for write in posted.attachment.iter().flat_map(|attachment| &attachment.cells) {
            if self.owns(write.account) {
                self.cells.apply(write);
            }
        }
    }

    fn apply_operation(&mut self, kind: &PostedKind, code: Option<&CompactString>, now: Timestamp) {
        self.add_both(kind.accounts(), effect::legs(kind));
        match *kind {
            PostedKind::Transfer { debit, amount, .. } => self.take_limits(debit, code, amount, now),
            PostedKind::Hold { id, debit, credit, amount, expires_in } => {
                self.take_limits(debit, code, amount, now);
                if self.owns(debit) {
                    let hold = Hold {
                        debit,
                        credit,
                        held: amount,
                        captured: Amount::ZERO,
                        placed_at: now,
                        expires_at: now.plus_seconds(expires_in),
                        code: code.cloned(),
                        ended: None,
                    };
                    self.holds.insert(id, hold);
                }
            }
            PostedKind::Capture { hold, debit, held, amount, .. } => {
                self.end_hold(hold, debit, HoldEnd::Captured, held, amount);
            }
            PostedKind::Release { hold, debit, held, .. } => {
                self.end_hold(hold, debit, HoldEnd::Released, held, Amount::ZERO);
            }
            PostedKind::Reverse {
                transaction,
                operation,
                debit,
                credit,
                amount,
                total,
                original_at,
                ref original_code,
                explicit: _,
            } => {
                self.take_limits(debit, code, amount, now);
                if let Some(account) = self.account_mut(credit) {
                    for limit in account.limits_mut() {
                        limit.give_back(original_code.as_ref(), original_at, amount.units(), 0);
                    }
                    self.reversed.change(transaction, operation, amount, total);
                }
            }
        }
    }

    fn add_both(&mut self, (debit, credit): (AccountNo, AccountNo), [debited, credited]: [Delta; 2]) {
        if let Some(account) = self.account_mut(debit) {
            account.add(debited);
        }
        if let Some(account) = self.account_mut(credit) {
            account.add(credited);
        }
    }

    fn take_limits(
        &mut self,
        debit: AccountNo,
        code: Option<&CompactString>,
        amount: Amount,
        now: Timestamp,
    ) {
        if let Some(account) = self.account_mut(debit) {
            account.take_limits(code, amount.units(), now);
        }
    }

    /// Ends a hold if it lives here, and gives back on its limits what it releases; the count only if nothing moved.
    fn end_hold(&mut self, id: HoldId, debit: AccountNo, end: HoldEnd, held: Amount, captured: Amount) {
        let slot = self.slots.get(debit.index()).copied().unwrap_or(Self::FOREIGN);
        let Some(account) = self.accounts.get_mut(index(slot)) else { return };
        let hold = self.holds.end(id, end, held, captured);
        let released = held.units() - captured.units();
        let count = u64::from(captured == Amount::ZERO);
        for limit in account.limits_mut() {
            limit.give_back(hold.code.as_ref(), hold.placed_at, released, count);
        }
    }
}

/// A slot as an index; that of a foreign account is beyond every array.
fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

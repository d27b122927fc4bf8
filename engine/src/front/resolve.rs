//! The first pass: one operation's names and amounts, against accounts, holds and transactions that are on disk.

use compact_str::CompactString;

use super::{Claimed, Front, Wait, takes_part};
use crate::{
    directory::{Claim, Found},
    index::IndexError,
    journal::Record,
    model::{
        AccountNo, Address, Amount, Denial, HoldId, HoldReference, Operation, OperationKind, PostedKind,
        RejectionCode, RequestedAmount, ResolvedOperation, Timestamp, Transaction, TransactionId,
    },
    planted::{Bug, planted},
};

/// What the first pass made of an operation.
pub(super) enum Pass {
    Resolved(ResolvedOperation),
    Rejected(RejectionCode),
    Wait(Wait),
    /// It would move an account that product verbs alone move.
    Managed,
    /// The caller may not do it.
    Denied(Denial),
}

/// Why an operation is not resolved.
pub(super) enum Stop {
    Rejected(RejectionCode),
    Wait(Wait),
    Managed,
    Denied(Denial),
    Index(IndexError),
}

impl From<RejectionCode> for Stop {
    fn from(code: RejectionCode) -> Self {
        Self::Rejected(code)
    }
}

impl From<IndexError> for Stop {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// The operation that a reversal moves back.
struct Original {
    debit: AccountNo,
    credit: AccountNo,
    amount: Amount,
    /// When its limits were taken.
    at: Timestamp,
    /// Under which code.
    code: Option<CompactString>,
}

impl Front {
    pub(super) fn resolve(
        &self,
        transaction: &Transaction,
        operation: &Operation,
        claimed: &mut Claimed,
    ) -> Result<Pass, IndexError> {
        let resolved = match &operation.kind {
            OperationKind::Transfer { debit, credit, amount } => self
                .transfer(claimed, debit, credit, amount)
                .map(|(debit, credit, amount)| ResolvedOperation::Transfer { debit, credit, amount }),
            OperationKind::Hold { id, debit, credit, amount, expires_in } => {
                self.place(claimed, *id, debit, credit, amount).map(|(debit, credit, amount)| {
                    ResolvedOperation::Hold { id: *id, debit, credit, amount, expires_in: *expires_in }
                })
            }
            OperationKind::Capture { hold, amount } => self
                .hold(transaction, claimed, *hold, true, amount.as_ref())
                .map(|(hold, amount)| ResolvedOperation::Capture { hold, amount }),
            OperationKind::Release { hold } => self
                .hold(transaction, claimed, *hold, false, None)
                .map(|(hold, _)| ResolvedOperation::Release { hold }),
            OperationKind::Reverse { transaction: original, operation, amount } => {
                self.reverse(transaction.id, claimed, *original, *operation, amount.as_ref())
            }
        };
        match resolved {
            Ok(resolved) => Ok(Pass::Resolved(resolved)),
            Err(Stop::Rejected(code)) => Ok(Pass::Rejected(code)),
            Err(Stop::Wait(wait)) => Ok(Pass::Wait(wait)),
            Err(Stop::Managed) => Ok(Pass::Managed),
            Err(Stop::Denied(denial)) => Ok(Pass::Denied(denial)),
            Err(Stop::Index(error)) => Err(error),
        }
    }

    /// Counts the command in on an account, once.
    fn enter(&self, claimed: &mut Claimed, account: AccountNo) -> Result<(), Stop> {
        if !claimed.accounts.contains(&account) {
            let entry = self.directory.entry(account);
            if entry.opening.managed && !claimed.by_product {
                return Err(Stop::Managed);
            }
            if !entry.admit() {
                return Err(Stop::Wait(Wait::Change(account)));
            }
            claimed.accounts.push(account);
        }
        Ok(())
    }

    /// An amount, exactly, in the asset of the first account that is known; without one its form is all that counts.
    fn amount(&self, amount: &RequestedAmount, account: Option<AccountNo>) -> Result<Amount, Stop> {
        let units = match account {
            Some(no) => amount.to_units(self.assets.get(self.directory.entry(no).asset).scale),
            None => amount.fits_some_asset().then_some(Amount::ZERO),
        };
        units.ok_or(RejectionCode::AmountInvalid.into())
    }

    fn transfer(
        &self,
        claimed: &mut Claimed,
        debit: &Address,
        credit: &Address,
        amount: &RequestedAmount,
    ) -> Result<(AccountNo, AccountNo, Amount), Stop> {
        let (debit, credit) = (self.own(&claimed.caller, debit), self.directory.find(credit.as_str()));
        let amount = self.amount(amount, debit.or(credit))?;
        self.pair(claimed, debit, credit).map(|(debit, credit)| (debit, credit, amount))
    }

    /// The rules on two accounts of an operation that begins something.
    fn pair(
        &self,
        claimed: &mut Claimed,
        debit: Option<AccountNo>,
        credit: Option<AccountNo>,
    ) -> Result<(AccountNo, AccountNo), Stop> {
        for account in [debit, credit].into_iter().flatten() {
            self.enter(claimed, account)?;
        }
        let (Some(debit), Some(credit)) = (debit, credit) else {
            return Err(RejectionCode::AccountNotFound.into());
        };
        self.may_debit(&claimed.caller, debit)?;
        let entries = [self.directory.entry(debit), self.directory.entry(credit)];
        let [debit_entry, credit_entry] = entries;
        if debit_entry.asset != credit_entry.asset {
            return Err(RejectionCode::AssetMismatch.into());
        }
        if debit == credit {
            return Err(RejectionCode::SameAccount.into());
        }
        // The code that is checked first wins, on whichever account.
        let refused = entries.iter().filter_map(|entry| takes_part(entry.flags().status).err()).min();
        refused.map_or(Ok((debit, credit)), |code| Err(code.into()))
    }

    fn place(
        &self,
        claimed: &mut Claimed,
        id: HoldId,
        debit: &Address,
        credit: &Address,
        amount: &RequestedAmount,
    ) -> Result<(AccountNo, AccountNo, Amount), Stop> {
        let (debit, credit) = (self.own(&claimed.caller, debit), self.directory.find(credit.as_str()));
        let amount = self.amount(amount, debit.or(credit))?;
        if claimed.holds.contains(&id) {
            return Err(RejectionCode::HoldExists.into());
        }
        match self.directory.holds.claim(id) {
            Claim::Claimed => claimed.holds.push(id),
            Claim::InFlight(settled) => return Err(Stop::Wait(Wait::Settled(settled))),
            Claim::Known(_) => return Err(RejectionCode::HoldExists.into()),
        }
        if self.index.find_hold(id)?.is_some() {
            return Err(RejectionCode::HoldExists.into());
        }
        self.pair(claimed, debit, credit).map(|(debit, credit)| (debit, credit, amount))
    }

    fn hold(
        &self,
        transaction: &Transaction,
        claimed: &mut Claimed,
        id: HoldId,
        captures: bool,
        amount: Option<&RequestedAmount>,
    ) -> Result<(HoldReference, Option<Amount>), Stop> {
        let own = transaction
            .operations
            .iter()
            .any(|operation| matches!(&operation.kind, OperationKind::Hold { id: own, .. } if *own == id));
        let found = if own { None } else { self.find_hold(id)? };
        let found = self.own_hold(&claimed.caller, found);
        let amount = amount.map(|amount| self.amount(amount, found.map(|found| found.debit))).transpose()?;
        let found = found.ok_or(RejectionCode::HoldNotFound)?;
        self.enter(claimed, found.debit)?;
        self.enter(claimed, found.credit)?;
        if captures {
            self.may_debit(&claimed.caller, found.debit)?;
        }
        Ok((found, amount))
    }

    fn find_hold(&self, id: HoldId) -> Result<Option<HoldReference>, Stop> {
        match self.directory.holds.find(id) {
            Found::Known(place) => {
                return Ok(Some(HoldReference { id, debit: place.debit, credit: place.credit, ended: None }));
            }
            Found::InFlight(settled) => return Err(Stop::Wait(Wait::Settled(settled))),
            Found::Absent => {}
        }
        Ok(self.index.find_hold(id)?.map(|row| HoldReference {
            id,
            debit: row.debit,
            credit: row.credit,
            ended: row.ended.map(|(end, _)| end),
        }))
    }

    fn reverse(
        &self,
        own: TransactionId,
        claimed: &mut Claimed,
        transaction: TransactionId,
        operation: u8,
        amount: Option<&RequestedAmount>,
    ) -> Result<ResolvedOperation, Stop> {
        let found = if transaction == own { None } else { self.find_original(transaction, operation)? };
        let found = found.filter(|found| self.is_own(&claimed.caller, found.credit));
        let amount =
            amount.map(|amount| self.amount(amount, found.as_ref().map(|found| found.debit))).transpose()?;
        let original = found.ok_or(RejectionCode::TransactionNotFound)?;
        // The reversal goes the other way.
        let (debit, credit) = self.pair(claimed, Some(original.credit), Some(original.debit))?;
        let reversed = self.index.reversed(transaction, operation)?;
        Ok(ResolvedOperation::Reverse {
            transaction,
            operation,
            debit,
            credit,
            amount,
            original: original.amount,
            original_at: original.at,
            original_code: original.code,
            reversed: reversed.total,
            reversed_as_of: reversed.as_of,
        })
    }

    fn find_original(&self, id: TransactionId, operation: u8) -> Result<Option<Original>, Stop> {
        let position = match self.directory.transactions.find(id) {
            Found::Known(position) => position,
            Found::InFlight(settled) => return Err(Stop::Wait(Wait::Settled(settled))),
            Found::Absent => match self.index.find_transaction(id)? {
                Some(position) => position,
                None => return Ok(None),
            },
        };
        if self.index.applied() < position {
            return Err(Stop::Wait(Wait::Indexed(position)));
        }
        let (_, record) = self.record(position)?;
        let Record::Posted(posted) = record else { return Ok(None) };
        // An alias leads here too, but what was reversed is counted by the transaction's own id: a second name would have
        // a second count.
        if posted.id != id && !planted(Bug::ReversedByAlias) {
            return Ok(None);
        }
        let index = usize::from(operation);
        let Some(found) = posted.operations.get(index) else { return Ok(None) };
        let (at, code) = (posted.decided_at, posted.code_of(index).cloned());
        Ok(match found.kind {
            PostedKind::Transfer { debit, credit, amount } => {
                Some(Original { debit, credit, amount, at, code })
            }
            PostedKind::Capture { hold, debit, credit, amount, .. } => {
                // The limits were taken when the hold was placed.
                let hold = self.index.find_hold(hold)?.expect("a hold that was captured is in the index");
                Some(Original { debit, credit, amount, at: hold.placed_at, code: hold.code })
            }
            PostedKind::Hold { .. } | PostedKind::Release { .. } | PostedKind::Reverse { .. } => None,
        })
    }
}

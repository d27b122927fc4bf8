//! What the auditor knows by name, and the first pass of the rules over it.
//!
//! Owns addresses, holds and originals that are in the journal. Invariant: [`Names::first_pass`] checks in the order of
//! the contract's codes.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::model::{Model, Original, Resolved, Wanted};
use crate::{
    journal::Record,
    model::{
        AccountNo, AccountStatus, Address, Assets, CellWrite, HoldId, Operation, OperationKind, PostedKind,
        RejectionCode as Code, RequestedAmount, Transaction, TransactionId,
    },
};

/// Something that a request names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    Account(Address),
    Hold(HoldId),
    Original(TransactionId),
}

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) no: AccountNo,
    pub(super) asset: CompactString,
    pub(super) scale: u8,
}

#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) accounts: BTreeMap<Address, Known>,
    pub(super) addresses: BTreeMap<AccountNo, Address>,
    pub(super) holds: BTreeMap<HoldId, (AccountNo, AccountNo, TransactionId)>,
    pub(super) originals: BTreeMap<(TransactionId, u8), Original>,
}

/// One first pass: the names, statuses, and what is to be taken as unknown.
pub(super) struct Pass<'a> {
    pub(super) names: &'a Names,
    pub(super) model: &'a Model,
    pub(super) hidden: &'a [Thing],
}

impl Names {
    /// Takes over what a record names. `model` is the state before it.
    pub(super) fn learn(&mut self, record: &Record, model: &Model) {
        match record {
            Record::AccountOpened { no, opening, scale, .. } => {
                let known = Known { no: *no, asset: opening.asset.clone(), scale: *scale };
                assert!(
                    self.accounts.insert(opening.address.clone(), known).is_none(),
                    "an address is opened twice"
                );
                self.addresses.insert(*no, opening.address.clone());
            }
            Record::Posted(posted) => {
                for (index, operation) in (0_u8..).zip(&posted.operations) {
                    let (debit, credit) = operation.kind.accounts();
                    let code = operation.code.clone().or_else(|| posted.code.clone());
                    let original = match operation.kind {
                        PostedKind::Transfer { amount, .. } => (amount, posted.decided_at, code),
                        PostedKind::Hold { id, .. } => {
                            self.holds.insert(id, (debit, credit, posted.id));
                            continue;
                        }
                        PostedKind::Capture { hold, amount, .. } => {
                            let placed = model.holds.get(&hold).expect("a captured hold was placed");
                            (amount, placed.placed_at, placed.code.clone())
                        }
                        PostedKind::Release { .. } | PostedKind::Reverse { .. } => continue,
                    };
                    let (amount, at, code) = original;
                    let original = Original { debit, credit, amount: amount.0, at, code };
                    self.originals.insert((posted.id, index), original);
                }
            }
            Record::AccountChanged { .. }
            | Record::Refused(_)
            | Record::HoldExpired { .. }
            | Record::Snapshot(_) => {}
        }
    }

    pub(super) fn is_known(&self, thing: &Thing) -> bool {
        match thing {
            Thing::Account(address) => self.accounts.contains_key(address),
            Thing::Hold(id) => self.holds.contains_key(id),
            Thing::Original(id) => self.originals.range((*id, 0)..=(*id, u8::MAX)).next().is_some(),
        }
    }
}

/// What an operation of a request names.
pub(super) fn things(kind: &OperationKind) -> Vec<Thing> {
    match kind {
        OperationKind::Transfer { debit, credit, .. } => {
            vec![Thing::Account(debit.clone()), Thing::Account(credit.clone())]
        }
        OperationKind::Hold { id, debit, credit, .. } => {
            vec![Thing::Account(debit.clone()), Thing::Account(credit.clone()), Thing::Hold(*id)]
        }
        OperationKind::Capture { hold, .. } | OperationKind::Release { hold } => vec![Thing::Hold(*hold)],
        OperationKind::Reverse { transaction, .. } => vec![Thing::Original(*transaction)],
    }
}

impl Pass<'_> {
    /// The operations with numbers for names, or the first refusal.
    pub(super) fn run(&self, transaction: &Transaction) -> Result<Resolved, (Code, u8)> {
        let mut placed = Vec::new();
        let mut operations = Vec::new();
        for (index, operation) in (0_u8..).zip(&transaction.operations) {
            let wanted = self.resolve(transaction, operation, &mut placed).map_err(|code| (code, index))?;
            operations.push((wanted, operation.code.clone().or_else(|| transaction.code.clone())));
        }
        let cells = transaction.attachment.iter().flat_map(|attachment| &attachment.cells);
        let cells = cells.map(|CellWrite { account, kind, revision, value }| {
            let (account, kind, revision, value) =
                (self.account(account)?.no, *kind, *revision, value.clone());
            Some(CellWrite { account, kind, revision, value })
        });
        Ok(Resolved { operations, cells: cells.collect() })
    }

    fn resolve(
        &self,
        transaction: &Transaction,
        operation: &Operation,
        placed: &mut Vec<HoldId>,
    ) -> Result<Wanted, Code> {
        Ok(match &operation.kind {
            OperationKind::Transfer { debit, credit, amount } => {
                let amount = self.amount(amount, self.account(debit).or_else(|| self.account(credit)))?;
                let (debit, credit) = self.pair(self.account(debit), self.account(credit))?;
                Wanted::Transfer { debit, credit, amount }
            }
            OperationKind::Hold { id, debit, credit, amount, expires_in } => {
                let amount = self.amount(amount, self.account(debit).or_else(|| self.account(credit)))?;
                if placed.contains(id) || self.hold(*id).is_some() {
                    return Err(Code::HoldExists);
                }
                placed.push(*id);
                let (debit, credit) = self.pair(self.account(debit), self.account(credit))?;
                Wanted::Hold { id: *id, debit, credit, amount, expires_in: *expires_in }
            }
            OperationKind::Capture { hold, amount } => {
                let (found, amount) = self.ending(transaction, *hold, amount.as_ref())?;
                Wanted::Capture { hold: *hold, debit: found.0, credit: found.1, amount }
            }
            OperationKind::Release { hold } => {
                let (found, _) = self.ending(transaction, *hold, None)?;
                Wanted::Release { hold: *hold, debit: found.0, credit: found.1 }
            }
            OperationKind::Reverse { transaction: id, operation, amount } => {
                let seen = *id != transaction.id && !self.hidden.contains(&Thing::Original(*id));
                let found = if seen { self.names.originals.get(&(*id, *operation)) } else { None };
                let known = found.and_then(|found| self.by_no(found.debit));
                let amount = amount.as_ref().map(|amount| self.amount(amount, known)).transpose()?;
                let original = found.ok_or(Code::TransactionNotFound)?.clone();
                self.pair(self.by_no(original.credit), self.by_no(original.debit))?;
                Wanted::Reverse { of: (*id, *operation), original, amount }
            }
        })
    }

    fn account(&self, address: &Address) -> Option<&Known> {
        let seen = !self.hidden.contains(&Thing::Account(address.clone()));
        self.names.accounts.get(address).filter(|_| seen)
    }

    fn by_no(&self, no: AccountNo) -> Option<&Known> {
        self.names.addresses.get(&no).and_then(|address| self.names.accounts.get(address))
    }

    fn hold(&self, id: HoldId) -> Option<(AccountNo, AccountNo)> {
        let seen = !self.hidden.contains(&Thing::Hold(id));
        self.names.holds.get(&id).filter(|_| seen).map(|&(debit, credit, _)| (debit, credit))
    }

    fn ending(
        &self,
        transaction: &Transaction,
        id: HoldId,
        amount: Option<&RequestedAmount>,
    ) -> Result<((AccountNo, AccountNo), Option<u64>), Code> {
        let places = |operation: &Operation| matches!(operation.kind, OperationKind::Hold { id: own, .. } if own == id);
        let own = transaction.operations.iter().any(places);
        let found = self.hold(id).filter(|_| !own);
        let known = found.and_then(|found| self.by_no(found.0));
        let amount = amount.map(|amount| self.amount(amount, known)).transpose()?;
        found.map(|found| (found, amount)).ok_or(Code::HoldNotFound)
    }

    /// Minor units, computed from the text.
    fn amount(&self, amount: &RequestedAmount, known: Option<&Known>) -> Result<u64, Code> {
        let units = |scale: u8| {
            let text = match amount {
                RequestedAmount::Decimal(value) => value.to_string(),
                RequestedAmount::Invalid(_) => return None,
            };
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let missing = usize::from(scale).checked_sub(fraction.len())?;
            let digits = format!("{whole}{fraction}{}", "0".repeat(missing));
            digits.parse::<u64>().ok().filter(|&units| units > 0)
        };
        let found = match known {
            Some(known) => units(known.scale),
            None => (0..=Assets::SCALE_MAX).find_map(units),
        };
        found.ok_or(Code::AmountInvalid)
    }

    fn pair(&self, debit: Option<&Known>, credit: Option<&Known>) -> Result<(AccountNo, AccountNo), Code> {
        let (Some(debit), Some(credit)) = (debit, credit) else { return Err(Code::AccountNotFound) };
        if debit.asset != credit.asset {
            return Err(Code::AssetMismatch);
        }
        if debit.no == credit.no {
            return Err(Code::SameAccount);
        }
        let status = [debit.no, credit.no].map(|no| self.model.accounts[&no].status);
        if status.contains(&AccountStatus::Closed) {
            return Err(Code::AccountClosed);
        }
        if status.contains(&AccountStatus::Frozen) {
            return Err(Code::AccountFrozen);
        }
        Ok((debit.no, credit.no))
    }
}

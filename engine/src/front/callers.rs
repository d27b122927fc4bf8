//! What a caller may name and see.
//!
//! Owns the checks of the boundary: which operations a caller may submit, whose money he may move, and what of the past
//! he is shown. Never authenticates. Invariant: for a caller that is bound to a prefix, a name outside it is unknown.

use super::{Front, resolve::Stop};
use crate::{
    directory::Found,
    index::IndexError,
    journal::Record,
    model::{
        AccountChange, AccountNo, AccountOpening, Address, Caller, Denial, HoldReference, NormalSide,
        OperationKind, PostedOperation, Rejection, RejectionCode, Scope, Timestamp, Transaction,
    },
    view::{
        AccountError, AccountView, Event, EventView, HoldView, Outcome, Page, SubmitError, TransactionView,
    },
};

/// What a caller may hear of the first outcome of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// It, and which field another body differs in.
    All,
    /// It, with the same body; not where another one differs.
    Same,
    /// That the id is taken.
    Nothing,
}

/// Whether a caller may submit a transaction of these operations at all; whose money they move is looked at when their
/// names are resolved.
pub(super) fn may_submit(caller: &Caller, transaction: &Transaction) -> Result<(), SubmitError> {
    for (index, operation) in (0_u8..).zip(&transaction.operations) {
        let scope = match operation.kind {
            OperationKind::Transfer { .. } | OperationKind::Reverse { .. } => Scope::TransactionsWrite,
            OperationKind::Hold { .. } | OperationKind::Capture { .. } | OperationKind::Release { .. } => {
                Scope::HoldsWrite
            }
        };
        caller.needs(scope).map_err(|denial| SubmitError::Denied { operation: index, denial })?;
    }
    Ok(())
}

/// Whether a submission took effect now, as far as that is known.
pub(crate) fn took_effect(result: &Result<Outcome, SubmitError>) -> bool {
    match result {
        Ok(outcome) => outcome.verdict.is_ok() && !outcome.replayed,
        Err(SubmitError::Unknown) => true,
        Err(
            SubmitError::IdReused { .. }
            | SubmitError::Managed { .. }
            | SubmitError::Denied { .. }
            | SubmitError::Conflict
            | SubmitError::Unavailable(_),
        ) => false,
    }
}

/// Whether a caller may open an account.
pub(crate) fn may_open(caller: &Caller, opening: &AccountOpening) -> Result<(), AccountError> {
    caller.needs(Scope::AccountsWrite)?;
    if !caller.covers(opening.address.as_str()) {
        return Err(AccountError::NotFound);
    }
    Ok(caller.may_set_floor(opening.floor)?)
}

/// Whether a caller may change an account. One that the wallet has opened is frozen and made active again by operators:
/// as the wallet is, and as the audit trail tells.
pub(super) fn may_change(
    caller: &Caller,
    address: &Address,
    managed: bool,
    change: &AccountChange,
) -> Result<(), AccountError> {
    caller.needs(Scope::AccountsWrite)?;
    if !caller.covers(address.as_str()) {
        return Err(AccountError::NotFound);
    }
    if managed {
        caller.needs(Scope::Operator)?;
    }
    let allowed: Result<(), Denial> =
        change.floor.as_set().map_or(Ok(()), |floor| caller.may_set_floor(*floor));
    Ok(allowed?)
}

/// Whether a caller is shown a transaction: he could have submitted it himself, as far as its debits go. Of a refused one
/// that is known only if it names them all; and not if it was refused before anybody had looked for the account to debit, or
/// because it was not found: that is what a stranger hears who names one of the caller's, with whatever texts.
pub(crate) fn sees_transaction(caller: &Caller, view: &TransactionView) -> bool {
    if !caller.is_bound() {
        return true;
    }
    match &view.verdict {
        Ok(operations) => {
            !operations.is_empty()
                && operations.iter().all(|operation| caller.covers(operation.debit.as_str()))
        }
        Err(rejection) => {
            rejection.code > RejectionCode::AccountNotFound && names_own_debits(caller, &view.request)
        }
    }
}

/// Whether a request names each account that it debits, and all of them are the caller's.
pub(super) fn names_own_debits(caller: &Caller, request: &Transaction) -> bool {
    request.operations.iter().all(|operation| match &operation.kind {
        OperationKind::Transfer { debit, .. } | OperationKind::Hold { debit, .. } => {
            caller.covers(debit.as_str())
        }
        OperationKind::Capture { .. } | OperationKind::Release { .. } | OperationKind::Reverse { .. } => {
            false
        }
    })
}

/// Whether a caller is shown a hold.
pub(crate) fn sees_hold(caller: &Caller, view: &HoldView) -> bool {
    caller.covers(view.debit.as_str())
}

/// Whether a caller is shown an event.
pub(crate) fn sees_event(caller: &Caller, view: &EventView) -> bool {
    match &view.event {
        Event::AccountOpened(account) | Event::AccountChanged(account) => {
            caller.covers(account.address.as_str())
        }
        Event::TransactionPosted(transaction) | Event::TransactionRefused(transaction) => {
            sees_transaction(caller, transaction)
        }
        Event::HoldExpired(hold) => sees_hold(caller, hold),
        Event::Snapshot | Event::WalletChanged => !caller.is_bound(),
    }
}

impl Front {
    /// An account that a caller names to take money from.
    pub(super) fn own(&self, caller: &Caller, address: &Address) -> Option<AccountNo> {
        if caller.covers(address.as_str()) { self.directory.find(address.as_str()) } else { None }
    }

    /// A hold that a caller may end: one on an account of his.
    pub(super) fn own_hold(&self, caller: &Caller, found: Option<HoldReference>) -> Option<HoldReference> {
        found.filter(|hold| self.is_own(caller, hold.debit))
    }

    pub(super) fn is_own(&self, caller: &Caller, account: AccountNo) -> bool {
        !caller.is_bound() || caller.covers(self.directory.entry(account).opening.address.as_str())
    }

    /// Whether a caller may take money from an account. To be asked of an account that was entered: its rules stand then.
    pub(super) fn may_debit(&self, caller: &Caller, debit: AccountNo) -> Result<(), Stop> {
        // Without keys, an account that is debited by many is not read by each of them.
        if caller.is_trusted() {
            return Ok(());
        }
        let entry = self.directory.entry(debit);
        let endless = entry.opening.normal == NormalSide::Debit || entry.read().1.floor.is_none();
        if endless { caller.may_issue().map_err(Stop::Denied) } else { Ok(()) }
    }

    /// What a caller may hear of the first outcome of an id that was posted.
    pub(super) fn hearing(&self, caller: &Caller, posted: &[PostedOperation]) -> Hearing {
        let own = posted.iter().all(|operation| self.is_own(caller, operation.kind.accounts().0));
        if own { Hearing::All } else { Hearing::Nothing }
    }

    /// As above, of a refused transaction. One that was refused for a name that the caller may not know reads, to the
    /// same body, as if the name were unknown, as it was for him; so does one that was refused before anybody looked at
    /// such a name.
    pub(super) fn hearing_of_refusal(
        &self,
        caller: &Caller,
        request: &Transaction,
        refused: Rejection,
    ) -> Result<Hearing, IndexError> {
        if !caller.is_bound() {
            return Ok(Hearing::All);
        }
        let mut first_foreign = request.operations.len();
        for (index, operation) in request.operations.iter().enumerate() {
            if !self.debits_own(caller, &operation.kind)? {
                first_foreign = index;
                break;
            }
        }
        if first_foreign == request.operations.len() {
            return Ok(Hearing::All);
        }
        let unknown = matches!(
            refused.code,
            RejectionCode::AccountNotFound
                | RejectionCode::HoldNotFound
                | RejectionCode::TransactionNotFound
                | RejectionCode::AmountInvalid
        );
        // The first pass stops at what it refuses.
        let in_first_pass = refused.code <= RejectionCode::AccountFrozen;
        let at = usize::from(refused.operation);
        // Whether a hold's id is taken is asked before its accounts are looked for.
        let id_taken = refused.code == RejectionCode::HoldExists && at == first_foreign;
        let before = in_first_pass && at < first_foreign;
        Ok(if unknown || id_taken || before { Hearing::Same } else { Hearing::Nothing })
    }

    /// Whether an operation, as it was asked for, takes from an account of the caller's. Of a hold or an original that is
    /// not there nobody knows.
    fn debits_own(&self, caller: &Caller, operation: &OperationKind) -> Result<bool, IndexError> {
        let debit = match operation {
            OperationKind::Transfer { debit, .. } | OperationKind::Hold { debit, .. } => {
                return Ok(caller.covers(debit.as_str()));
            }
            OperationKind::Capture { hold, .. } | OperationKind::Release { hold } => {
                match self.directory.holds.find(*hold) {
                    Found::Known(place) => Some(place.debit),
                    // In flight is perhaps another one's try to place it anew.
                    Found::InFlight(_) | Found::Absent => self.index.find_hold(*hold)?.map(|row| row.debit),
                }
            }
            OperationKind::Reverse { transaction, operation, .. } => {
                let position = match self.directory.transactions.find(*transaction) {
                    Found::Known(position) => Some(position),
                    Found::InFlight(_) | Found::Absent => self.index.find_transaction(*transaction)?,
                };
                // What the index does not show yet was not there when the request was refused.
                let shown = position.filter(|position| *position <= self.index.applied());
                match shown.map(|position| self.record(position)).transpose()? {
                    Some((_, Record::Posted(posted))) => {
                        let original = posted.operations.get(usize::from(*operation));
                        original.map(|original| original.kind.accounts().1)
                    }
                    Some(_) | None => None,
                }
            }
        };
        Ok(debit.is_some_and(|debit| self.is_own(caller, debit)))
    }

    /// A page of the accounts that a caller may know: his prefix itself, and what is below it, which are two ranges of
    /// addresses with others between them.
    pub(crate) fn own_accounts(
        &self,
        caller: &Caller,
        text: &str,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Page<AccountView, Address> {
        let Some(own) = caller.prefix() else { return self.accounts(text, after, limit, now) };
        let own = own.as_str();
        let below = format!("{own}:");
        if text.starts_with(&below) {
            return self.accounts(text, after, limit, now);
        }
        if !own.starts_with(text) {
            return Page { items: Vec::new(), next: None };
        }
        let limit = limit.clamp(1, self.config.page_rows_max);
        let first = self.directory.find(own).filter(|_| after.is_none_or(|after| after < own));
        let Some(first) = first else { return self.accounts(&below, after, limit, now) };
        let mut page = self.accounts(&below, after, limit, now);
        page.items.insert(0, self.account_view(first, now));
        if page.items.len() > limit {
            page.items.truncate(limit);
            page.next = page.items.last().map(|last| last.address.clone());
        }
        page
    }
}

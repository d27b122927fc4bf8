use super::{Facts, effect::legs};
use crate::model::{
    Amount, Command, HoldEnd, HoldReference, PostedKind, PostedOperation, Rejection, RejectionCode,
    ResolvedOperation, Timestamp, TransactionId,
};
use crate::planted::{Bug, planted};
use compact_str::CompactString;
use smallvec::SmallVec;

/// The second pass of the rules over a command that the first pass let through. Each operation sees the earlier ones;
/// the lowest one that has a refusal wins, with its earliest code. An account that was not gathered can't refuse.
///
/// `facts` is used as a scratch pad and is of no use afterwards.
///
/// # Errors
/// `hold_captured` to `overflow` in the order of [`RejectionCode`]; nothing has taken effect.
///
/// # Panics
/// The hold or the reversed total of an operation was not gathered from the ledger that owns it.
pub fn decide(
    facts: &mut Facts,
    command: &Command,
    now: Timestamp,
) -> Result<SmallVec<[PostedOperation; 2]>, Rejection> {
    let mut posted = SmallVec::with_capacity(command.operations.len());
    for (index, (operation, requested)) in
        command.operations.iter().zip(&command.transaction.operations).enumerate()
    {
        let code = requested.code.as_ref().or(command.transaction.code.as_ref());
        match facts.decide_operation(operation, code, now) {
            Ok(kind) => posted.push(PostedOperation { kind, code: requested.code.clone() }),
            Err(code) => {
                let operation = u8::try_from(index).expect("a transaction has at most 64 operations");
                return Err(Rejection { code, operation });
            }
        }
    }
    Ok(posted)
}

impl Facts {
    fn decide_operation(
        &mut self,
        operation: &ResolvedOperation,
        code: Option<&CompactString>,
        now: Timestamp,
    ) -> Result<PostedKind, RejectionCode> {
        match *operation {
            ResolvedOperation::Transfer { debit, credit, amount } => {
                self.spend(PostedKind::Transfer { debit, credit, amount }, amount, code, now)
            }
            ResolvedOperation::Hold { id, debit, credit, amount, expires_in } => {
                self.spend(PostedKind::Hold { id, debit, credit, amount, expires_in }, amount, code, now)
            }
            ResolvedOperation::Capture { hold, amount } => self.capture(hold, amount, now),
            ResolvedOperation::Release { hold: reference } => {
                let HoldReference { id, debit, credit, .. } = reference;
                let hold = self.end_hold(&reference, HoldEnd::Released, now)?;
                let kind = PostedKind::Release { hold: id, debit, credit, held: hold.held };
                self.shift_both(&kind)?;
                self.give_back(debit, hold.code.as_ref(), hold.placed_at, hold.held, 1);
                Ok(kind)
            }
            ResolvedOperation::Reverse {
                transaction,
                operation,
                debit,
                credit,
                amount: requested,
                original,
                original_at,
                ref original_code,
                reversed: _,
                reversed_as_of: _,
            } => {
                let (amount, total) = self.reversible(transaction, operation, requested, original)?;
                let kind = PostedKind::Reverse {
                    transaction,
                    operation,
                    debit,
                    credit,
                    amount,
                    explicit: requested.is_some(),
                    total,
                    original_at,
                    original_code: original_code.clone(),
                };
                let kind = self.spend(kind, amount, code, now)?;
                self.give_back(credit, original_code.as_ref(), original_at, amount, 0);
                self.set_reversed(transaction, operation, total);
                Ok(kind)
            }
        }
    }

    /// What counts as spending of its debit account: limits, then both legs.
    fn spend(
        &mut self,
        kind: PostedKind,
        amount: Amount,
        code: Option<&CompactString>,
        now: Timestamp,
    ) -> Result<PostedKind, RejectionCode> {
        let (debit, _) = kind.accounts();
        if self.limits_of(debit).iter().any(|limit| limit.exceeds(code, amount.units(), now)) {
            return Err(RejectionCode::LimitExceeded);
        }
        self.shift_both(&kind)?;
        for limit in self.limits_of(debit) {
            limit.take(code, amount.units(), now)?;
        }
        Ok(kind)
    }

    fn capture(
        &mut self,
        reference: HoldReference,
        requested: Option<Amount>,
        now: Timestamp,
    ) -> Result<PostedKind, RejectionCode> {
        let HoldReference { id, debit, credit, .. } = reference;
        let hold = self.end_hold(&reference, HoldEnd::Captured, now)?;
        let amount = requested.unwrap_or(hold.held);
        let released = hold.held.checked_sub(amount).ok_or(RejectionCode::CaptureExceedsHold)?;
        let kind = PostedKind::Capture {
            hold: id,
            debit,
            credit,
            held: hold.held,
            amount,
            explicit: requested.is_some(),
        };
        self.shift_both(&kind)?;
        self.give_back(debit, hold.code.as_ref(), hold.placed_at, released, 0);
        Ok(kind)
    }

    /// How much a reversal moves, and the total that it makes.
    fn reversible(
        &self,
        transaction: TransactionId,
        operation: u8,
        requested: Option<Amount>,
        original: Amount,
    ) -> Result<(Amount, Amount), RejectionCode> {
        let before = self.reversed(transaction, operation).expect(
            "the reversed total was gathered from the ledger that owns the reversal's credit account",
        );
        let left = original.checked_sub(before).unwrap_or(Amount::ZERO);
        let amount = requested.unwrap_or(left);
        let most =
            if planted(Bug::ReversalCapOffByOne) { Amount(original.0.saturating_add(1)) } else { original };
        let total = before.checked_add(amount).filter(|&total| total <= most && amount > Amount::ZERO);
        total.map(|total| (amount, total)).ok_or(RejectionCode::ReversalExceedsOriginal)
    }

    /// Both legs, with the earlier code of the two.
    fn shift_both(&mut self, kind: &PostedKind) -> Result<(), RejectionCode> {
        let (debit, credit) = kind.accounts();
        let [debited, credited] = legs(kind);
        match (self.shift(debit, debited), self.shift(credit, credited)) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(code), Ok(())) | (Ok(()), Err(code)) => Err(code),
            (Err(first), Err(second)) => Err(first.min(second)),
        }
    }
}

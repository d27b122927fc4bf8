use std::ops::AddAssign;

use crate::journal::Record;
use crate::model::{AccountNo, Amount, NormalSide, PostedKind};

/// What a record adds to one account's sums. Deltas of several records fold by `+=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// To credits less debits.
    pub net: i128,
    /// To what live holds will debit at most.
    pub held_debits: i128,
    /// To what live holds will credit at most.
    pub held_credits: i128,
}

impl AddAssign for Delta {
    /// Far from overflow: a fold of 2⁶⁰ operations of the greatest amount would fit.
    fn add_assign(&mut self, other: Self) {
        self.net += other.net;
        self.held_debits += other.held_debits;
        self.held_credits += other.held_credits;
    }
}

impl Delta {
    /// Whether it lessens what is available.
    pub(super) fn lessens(self, normal: NormalSide) -> bool {
        match normal {
            NormalSide::Credit => self.net < self.held_debits,
            NormalSide::Debit => self.net.saturating_neg() < self.held_credits,
        }
    }

    /// Whether it takes room below the ceiling.
    pub(super) fn fills(self, normal: NormalSide) -> bool {
        match normal {
            NormalSide::Credit => self.net > self.held_credits.saturating_neg(),
            NormalSide::Debit => self.net < self.held_debits,
        }
    }
}

/// Calls `each` with both legs of every operation of a record, also for accounts of other ledgers.
pub fn effects(record: &Record, mut each: impl FnMut(AccountNo, Delta)) {
    let mut both = |(debit, credit): (AccountNo, AccountNo), legs: [Delta; 2]| {
        let [debited, credited] = legs;
        each(debit, debited);
        each(credit, credited);
    };
    match record {
        Record::Posted(posted) => {
            for operation in &posted.operations {
                both(operation.kind.accounts(), legs(&operation.kind));
            }
        }
        Record::HoldExpired { debit, credit, held, .. } => {
            both((*debit, *credit), ending(*held, Amount::ZERO))
        }
        Record::AccountOpened { .. }
        | Record::AccountChanged { .. }
        | Record::Refused(_)
        | Record::Snapshot(_) => (),
    }
}

/// Calls `each` with the accounts whose limits a record counts or gives back to; one may come several times. Each of them
/// guards the record.
pub fn metered(record: &Record, mut each: impl FnMut(AccountNo)) {
    match record {
        Record::Posted(posted) => {
            for operation in &posted.operations {
                let (debit, credit) = operation.kind.accounts();
                each(debit);
                if matches!(operation.kind, PostedKind::Reverse { .. }) {
                    each(credit);
                }
            }
        }
        Record::HoldExpired { debit, .. } => each(*debit),
        Record::AccountOpened { .. }
        | Record::AccountChanged { .. }
        | Record::Refused(_)
        | Record::Snapshot(_) => (),
    }
}

/// The deltas of the debit account and of the credit account.
pub(super) fn legs(kind: &PostedKind) -> [Delta; 2] {
    match *kind {
        PostedKind::Transfer { amount, .. } | PostedKind::Reverse { amount, .. } => {
            let units = i128::from(amount.units());
            [Delta { net: -units, ..Delta::default() }, Delta { net: units, ..Delta::default() }]
        }
        PostedKind::Hold { amount, .. } => {
            let units = i128::from(amount.units());
            [
                Delta { held_debits: units, ..Delta::default() },
                Delta { held_credits: units, ..Delta::default() },
            ]
        }
        PostedKind::Capture { held, amount, .. } => ending(held, amount),
        PostedKind::Release { held, .. } => ending(held, Amount::ZERO),
    }
}

/// A hold's end: what was set aside is so no longer, and what was captured has moved.
pub(super) fn ending(held: Amount, captured: Amount) -> [Delta; 2] {
    let held = i128::from(held.units());
    let moved = i128::from(captured.units());
    [
        Delta { net: -moved, held_debits: -held, held_credits: 0 },
        Delta { net: moved, held_debits: 0, held_credits: -held },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::PostedTransaction,
        model::{HoldId, PostedOperation, Timestamp, TransactionId},
    };

    #[test]
    fn deltas_fold_by_their_sums() {
        let mut folded = Delta { net: 1, held_debits: 2, held_credits: 3 };
        folded += Delta { net: 10, held_debits: 20, held_credits: 30 };
        assert_eq!(folded, Delta { net: 11, held_debits: 22, held_credits: 33 });
    }

    #[test]
    fn limits_are_those_of_accounts_that_guard() {
        const DEBIT: AccountNo = AccountNo(1);
        const CREDIT: AccountNo = AccountNo(2);
        let posted = |kind| {
            let operations = smallvec::smallvec![PostedOperation { kind, code: None }];
            Record::Posted(PostedTransaction {
                id: TransactionId(1),
                decided_at: Timestamp::ZERO,
                operations,
                code: None,
                reference: None,
                metadata: crate::model::Metadata::default(),
                attachment: None,
            })
        };
        let check = |record: &Record, expected: &[AccountNo]| {
            let mut found = Vec::new();
            metered(record, |account| found.push(account));
            assert_eq!(found, expected, "{record:?}");
        };
        let (debit, credit, amount, hold, held) = (DEBIT, CREDIT, Amount(1), HoldId(1), Amount(1));
        check(&posted(PostedKind::Transfer { debit, credit, amount }), &[DEBIT]);
        check(&posted(PostedKind::Hold { id: hold, debit, credit, amount, expires_in: 1 }), &[DEBIT]);
        let explicit = false;
        check(&posted(PostedKind::Capture { hold, debit, credit, held, amount, explicit }), &[DEBIT]);
        check(&posted(PostedKind::Release { hold, debit, credit, held }), &[DEBIT]);
        let reverse = PostedKind::Reverse {
            transaction: TransactionId(1),
            operation: 0,
            debit,
            credit,
            amount,
            explicit,
            total: amount,
            original_at: Timestamp::ZERO,
            original_code: None,
        };
        check(&posted(reverse), &[DEBIT, CREDIT]);
        let decided_at = Timestamp::ZERO;
        check(&Record::HoldExpired { hold, debit, credit, held, decided_at }, &[DEBIT]);
    }
}

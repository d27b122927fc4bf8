use std::collections::{BTreeMap, btree_map::Entry};

use crate::model::{Amount, TransactionId};

/// What was reversed of operations, as far as the index may not know it yet.
#[derive(Clone, Debug, Default)]
pub(super) struct ReversedTotals {
    totals: BTreeMap<(TransactionId, u8), ReversedTotal>,
}

#[derive(Clone, Copy, Debug)]
struct ReversedTotal {
    amount: Amount,
    /// Applied changes that were not forgotten yet.
    changes: u64,
}

impl ReversedTotals {
    pub(super) fn get(&self, transaction: TransactionId, operation: u8) -> Option<Amount> {
        self.totals.get(&(transaction, operation)).map(|total| total.amount)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (TransactionId, u8, Amount)> {
        self.totals.iter().map(|(&(transaction, operation), total)| (transaction, operation, total.amount))
    }

    /// A total that the index knows: it waits for no [`ReversedTotals::forget`] of its own.
    pub(super) fn insert(&mut self, transaction: TransactionId, operation: u8, amount: Amount) {
        self.totals.insert((transaction, operation), ReversedTotal { amount, changes: 0 });
    }

    /// A reversal of `amount` made the total `total`.
    ///
    /// # Panics
    /// The total is not the one before and `amount`: the ledger is broken.
    pub(super) fn change(
        &mut self,
        transaction: TransactionId,
        operation: u8,
        amount: Amount,
        total: Amount,
    ) {
        match self.totals.entry((transaction, operation)) {
            Entry::Vacant(place) => {
                assert!(
                    amount <= total,
                    "operation {operation} of {transaction} is reversed beyond its total"
                );
                place.insert(ReversedTotal { amount: total, changes: 1 });
            }
            Entry::Occupied(mut place) => {
                let before = place.get_mut();
                assert_eq!(
                    before.amount.checked_add(amount),
                    Some(total),
                    "the reversals of operation {operation} of {transaction} don't add up"
                );
                *before = ReversedTotal { amount: total, changes: before.changes + 1 };
            }
        }
    }

    /// The index has sealed one change.
    pub(super) fn forget(&mut self, transaction: TransactionId, operation: u8) {
        if let Entry::Occupied(mut place) = self.totals.entry((transaction, operation)) {
            let total = place.get_mut();
            total.changes = total.changes.saturating_sub(1);
            if total.changes == 0 {
                place.remove();
            }
        }
    }
}

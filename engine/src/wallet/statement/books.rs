//! What the books have of a channel's money, by a statement's line and by a transaction.
//!
//! Never books anything. Invariant: a transaction is found by its line as it is by its row in the channel's account.

use compact_str::{CompactString, format_compact};

use super::{DifferenceBooked, DifferenceUndone, Reconciliation, StatementLine};
use crate::{
    model::{Amount, Position, PostedKind, Timestamp, TransactionId},
    view::{PostedOperationView, TransactionView},
    wallet::{
        Date, WalletError,
        document::{Document, peek},
        names,
        payment::captured_money,
        recharge::RechargeDecided,
        refund::{self, refunded_by},
        suspense::{Money, Suspended},
    },
};

/// Which way money went, as the platform sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    In,
    /// A refund of the channel's part.
    Out,
}

/// Money of a channel that the books have.
#[derive(Debug)]
pub(super) struct Booked {
    pub(super) transaction: TransactionId,
    pub(super) position: Position,
    pub(super) at: Timestamp,
    pub(super) flow: Flow,
    pub(super) amount: Amount,
    pub(super) order: CompactString,
    pub(super) reference: CompactString,
    /// The statement that it was found by.
    pub(super) found_by: Option<Date>,
}

impl Reconciliation {
    /// What the books have of a line: money for its order, or in suspense, or a refund.
    pub(super) async fn booked(&self, line: &StatementLine) -> Result<Option<Booked>, WalletError> {
        let engine = self.wallet.engine();
        let refund =
            uuid::Uuid::try_parse(&line.order).ok().map(|id| refund::step(TransactionId(id.as_u128())));
        let ids = [Some(self.money(line).alias()), refund];
        for id in ids.into_iter().flatten() {
            if let Some(view) = engine.transaction(id).await? {
                return Ok(self.booked_by(&view));
            }
        }
        Ok(None)
    }

    /// A line's money.
    pub(super) fn money(&self, line: &StatementLine) -> Money {
        let StatementLine { order, reference, amount, at } = line;
        let (channel, order, reference) = (self.channel, order.clone(), reference.clone());
        Money { channel, order, reference, units: amount.units(), paid_at: at.0 }
    }

    /// What a transaction has moved of the channel's money; `None` if nothing that a statement lists. What ledger callers
    /// book is no order of the wallet's, and bookings of statements are in none.
    pub(super) fn booked_by(&self, view: &TransactionView) -> Option<Booked> {
        let attachment = view.request.attachment.as_deref()?;
        if document_of::<DifferenceBooked>(view).is_some() || document_of::<DifferenceUndone>(view).is_some()
        {
            return None;
        }
        let operations = view.verdict.as_ref().ok()?;
        let booked = |flow, amount, order, reference, found_by| Booked {
            transaction: view.request.id,
            position: view.position,
            at: view.at,
            flow,
            amount,
            order,
            reference,
            found_by,
        };
        if let Some((refund, amount)) = refunded_by(attachment, self.channel) {
            let order = format_compact!("{refund}");
            return Some(booked(Flow::Out, amount, order, CompactString::default(), None));
        }
        let [debits, credits] = self.turnover(operations);
        let suspended = document_of::<Suspended>(view);
        // Late money came, although it went back in the same record.
        let taken = if suspended.is_some() { debits } else { debits.saturating_sub(credits) };
        let amount = u64::try_from(taken).ok().filter(|&units| units > 0).map(Amount)?;
        let found_by = suspended.as_ref().and_then(|suspended| suspended.statement);
        let money = suspended.map(|suspended| suspended.money).or_else(|| credited_money(view));
        let (order, reference) = match money.or_else(|| captured_money(Some(attachment))) {
            Some(money) => (money.order, money.reference),
            None => (format_compact!("{}", view.request.id), CompactString::default()),
        };
        Some(booked(Flow::In, amount, order, reference, found_by))
    }

    /// What operations have debited and credited the channel's account with.
    fn turnover(&self, operations: &[PostedOperationView]) -> [u128; 2] {
        let account = names::channel(self.channel);
        let units = |operation: &PostedOperationView| match operation.kind {
            PostedKind::Transfer { amount, .. }
            | PostedKind::Capture { amount, .. }
            | PostedKind::Reverse { amount, .. } => u128::from(amount.units()),
            PostedKind::Hold { .. } | PostedKind::Release { .. } => 0,
        };
        let debits = operations.iter().filter(|operation| operation.debit == account).map(units).sum();
        let credits = operations.iter().filter(|operation| operation.credit == account).map(units).sum();
        [debits, credits]
    }
}

fn document_of<D: Document>(view: &TransactionView) -> Option<D> {
    peek(&view.request.attachment.as_deref()?.document)
}

/// The money of a recharge's credit.
fn credited_money(view: &TransactionView) -> Option<Money> {
    match document_of(view)? {
        RechargeDecided::Credited { money, .. } => Some(money),
        RechargeDecided::Failed { .. } => None,
    }
}

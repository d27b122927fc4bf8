//! Refunds of payments: in parts, many, never more than was paid.
//!
//! The refunds of a payment are numbered without a gap: each takes the alias of its number with its own record, so that
//! of two that were made from the same past one is made anew. Each record has what all refunds so far have moved, piece
//! by piece; the engine's caps on reversals stand behind it. Never refunds what was not paid.

mod split;
#[cfg(test)]
mod tests;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::ID;
use super::{
    Channel, Wallet, WalletCode, WalletError,
    document::{Document, peek},
    names,
    payment::{LegSource, Paid, Placed, Source, source_of},
    step::{Draft, Settled},
};
use crate::model::{Address, Amount, Attachment, Timestamp, TransactionId};

/// What is to be refunded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// Of which payment.
    pub payment: TransactionId,
    /// How much of the price, the promotion's share included.
    pub amount: Amount,
    /// Of which item alone, from 0.
    pub item: Option<u8>,
    /// For people.
    pub reason: Option<CompactString>,
}

/// What went back to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundLeg {
    /// Where it had come from.
    pub source: LegSource,
    /// How much.
    pub amount: Amount,
}

/// The record of a refund.
#[derive(Serialize, Deserialize)]
struct Refunded {
    id: TransactionId,
    request: RefundRequest,
    /// Of the payment's refunds, from 1.
    no: u32,
    legs: Vec<RefundLeg>,
    /// What all refunds up to this one have moved of each piece.
    refunded: Vec<Amount>,
}

impl Document for Refunded {
    const TAG: u8 = 35;
}

/// A refund.
#[derive(Clone, Debug)]
pub struct RefundView {
    /// Its id.
    pub id: TransactionId,
    /// What was asked for.
    pub request: RefundRequest,
    /// What went where.
    pub legs: Vec<RefundLeg>,
    /// When.
    pub at: Timestamp,
    /// Whether this answer repeats an earlier one.
    pub replayed: bool,
    /// What all refunds up to this one have moved of each piece.
    pub(super) refunded: Vec<Amount>,
}

impl RefundRequest {
    /// JSON Pointer of the first field in which another request of the same id differs.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            (self.payment == other.payment, "/payment"),
            (self.amount == other.amount, "/amount"),
            (self.item == other.item, "/item"),
            (self.reason == other.reason, "/reason"),
        ];
        fields.into_iter().find(|(same, _)| !same).map(|(_, field)| field)
    }
}

impl Wallet {
    /// Refunds a part of a payment.
    ///
    /// # Errors
    /// There is no such payment; it is too old, has had all its refunds, or has less left; a rule of the ledger; the id
    /// belongs to another body; overload.
    pub async fn refund(
        &self,
        id: TransactionId,
        request: &RefundRequest,
    ) -> Result<RefundView, WalletError> {
        self.own_sale(request.payment).await?;
        let step = step(id);
        for _ in 0..Self::TRIES_MAX {
            let mut found: Option<Settled<Refunded>> = self.find(step).await?;
            if found.is_none() {
                match self.compose_refund(id, step, request).await {
                    Ok(draft) => found = self.submit(draft).await?,
                    // A copy of this very refund may have come first, and be what leaves too little for another one.
                    Err(refused) => found = Some(self.find(step).await?.ok_or(refused)?),
                }
            }
            // Overtaken by another refund: composed again.
            let Some(settled) = found else { continue };
            if let Some(field) = settled.document.request.difference(request) {
                return Err(WalletError::IdReused { field: field.into() });
            }
            settled.posted()?;
            return Ok(view(settled));
        }
        Err(Self::overtaken())
    }

    /// The refunds of a payment, in order.
    pub(super) async fn refunds(&self, payment: TransactionId) -> Result<Vec<RefundView>, WalletError> {
        let mut refunds = Vec::new();
        for no in 1.. {
            let Some(found) = self.numbered(payment, no).await? else { break };
            refunds.push(view(found));
        }
        Ok(refunds)
    }

    /// A payment's refund by number, from 1.
    async fn numbered(
        &self,
        payment: TransactionId,
        no: u32,
    ) -> Result<Option<Settled<Refunded>>, WalletError> {
        self.find(number(payment, no)).await
    }

    /// A payment's last refund. The numbers have no gap, so that their end is found by halving.
    async fn last_refund(&self, payment: TransactionId) -> Result<Option<Settled<Refunded>>, WalletError> {
        let Some(mut last) = self.numbered(payment, 1).await? else { return Ok(None) };
        let mut beyond = self.settings().refunds_max.saturating_add(1);
        while last.document.no + 1 < beyond {
            let middle = last.document.no + (beyond - last.document.no) / 2;
            match self.numbered(payment, middle).await? {
                Some(found) => last = found,
                None => beyond = middle,
            }
        }
        Ok(Some(last))
    }

    async fn compose_refund(
        &self,
        id: TransactionId,
        step: TransactionId,
        request: &RefundRequest,
    ) -> Result<Draft<Refunded>, WalletError> {
        let Paid { transaction, at, document: placed } = self.paid(request.payment).await?;
        WalletError::check_amount(request.amount, "/amount")?;
        let exceeds = || WalletError::refused(WalletCode::RefundExceedsPaid);
        let ends = at.ok_or_else(exceeds)?.plus_days(self.settings().refund_days);
        if self.engine().now() >= ends {
            return Err(WalletError::refused(WalletCode::RefundWindowClosed));
        }
        let last = self.last_refund(request.payment).await?.map(|settled| settled.document);
        let no = last.as_ref().map_or(0, |last| last.no).saturating_add(1);
        if no > self.settings().refunds_max {
            return Err(WalletError::refused(WalletCode::RefundCountExceeded));
        }
        let plan = &placed.plan;
        let before = last.map_or_else(|| vec![Amount::ZERO; plan.pieces.len()], |last| last.refunded);
        let shares = split::split(plan, &before, request.amount, request.item).ok_or_else(exceeds)?;
        let after: Vec<Amount> =
            before.iter().zip(&shares).map(|(&before, &share)| [before, share].into_iter().sum()).collect();
        let legs = legs(&placed, &shares);
        let totals = [&before, &after].map(|pieces| pieces.iter().copied().sum::<Amount>());
        let document = Refunded { id, request: request.clone(), no, legs, refunded: after };
        let mut draft = Draft::new(step, document);
        // The fee comes back before the merchant gives: a merchant with a floor may need it.
        let back = |whole: u64| {
            let [before, after] = totals.map(|part| split::pro_rata(whole, part, plan.total()));
            Amount(after.saturating_sub(before))
        };
        if let Some(operation) = plan.fee_operation() {
            reverse(&mut draft, (transaction, operation), (back(plan.fee.units()), CNY), "fee");
        }
        for (piece, share) in shares.into_iter().enumerate() {
            if let Some(operation) = plan.operation_of(piece) {
                reverse(&mut draft, (transaction, operation), (share, CNY), "refund");
            }
        }
        if let Some(operation) = plan.points_operation() {
            // Cut of what is kept, not of what is back: a payment that is refunded but for a fen earns no point.
            let [before, after] = totals.map(|part| {
                let left = plan.total().checked_sub(part).unwrap_or_default();
                split::pro_rata(plan.points, left, plan.total())
            });
            let points = Amount(before.saturating_sub(after));
            reverse(&mut draft, (transaction, operation), (points, 0), "carbon");
        }
        draft.alias(number(request.payment, no));
        Ok(draft)
    }
}

const CNY: u8 = Draft::<Refunded>::CNY_SCALE;

/// The id of a refund's one step.
pub(super) fn step(refund: TransactionId) -> TransactionId {
    names::derive("refund", &refund.0.to_be_bytes(), 0)
}

/// The refund of a transaction with what a channel has to give back, if it has to.
pub(super) fn refunded_by(
    attachment: &Attachment<Address>,
    channel: Channel,
) -> Option<(TransactionId, Amount)> {
    let refunded: Refunded = peek(&attachment.document)?;
    let leg = refunded.legs.iter().find(|leg| leg.source == LegSource::Channel(channel))?;
    Some((refunded.id, leg.amount))
}

/// The id that leads to a payment's refund of a number.
fn number(payment: TransactionId, no: u32) -> TransactionId {
    names::derive("refund-of", &payment.0.to_be_bytes(), no)
}

fn reverse(
    draft: &mut Draft<Refunded>,
    original: (TransactionId, u8),
    sum: (Amount, u8),
    code: &'static str,
) {
    let (amount, _) = sum;
    if amount > Amount::ZERO {
        draft.reverse(original, sum, code);
    }
}

/// What goes back to each source.
fn legs(placed: &Placed, shares: &[Amount]) -> Vec<RefundLeg> {
    let sources = [Source::Balance, Source::Channel, Source::Promotion];
    let legs = sources.into_iter().filter_map(|source| {
        let of_source = placed.plan.pieces.iter().zip(shares).filter(|(piece, _)| piece.source == source);
        let amount: Amount = of_source.map(|(_, &share)| share).sum();
        let source = source_of(placed, source)?;
        (amount > Amount::ZERO).then_some(RefundLeg { source, amount })
    });
    legs.collect()
}

fn view(settled: Settled<Refunded>) -> RefundView {
    let Settled { document: Refunded { id, request, legs, refunded, .. }, at, replayed, .. } = settled;
    RefundView { id, request, legs, at, replayed, refunded }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let sources = [LegSource::Balance, LegSource::Channel(Channel::Ecny), LegSource::Promotion];
    let reason = Some("broken".into());
    vec![Form::document(&Refunded {
        id: ID,
        request: RefundRequest { payment: ID, amount: Amount(300), item: Some(1), reason },
        no: 2,
        legs: sources.map(|source| RefundLeg { source, amount: Amount(100) }).into(),
        refunded: vec![Amount(0), Amount(300)],
    })]
}

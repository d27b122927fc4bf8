//! Payments as they are shown: what came of them, and what can be refunded still.
//!
//! Never stores a state: it follows from the steps that are on disk, and from the holds of those that wait. Never looks at
//! a clock.

use serde::{Deserialize, Serialize};

use super::{Item, PaymentRequest, Placed, channel::End, compose::Source};
use crate::{
    model::{Amount, HoldEnd, RejectionCode, Timestamp, TransactionId},
    wallet::{Channel, RefundView, Wallet, WalletCode, WalletError},
};

/// What came of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentStatus {
    /// Its own part is set aside until the channel's word.
    AwaitingChannel,
    /// The merchant has it.
    Paid,
    /// Given back, at the payer's or the channel's word.
    Cancelled,
    /// Given back by time.
    Expired,
    /// The channel's money came too late, and the ledger has refused to book its way back.
    Returning,
    /// The channel's money came too late, and is back.
    Returned,
}

/// Where a leg comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegSource {
    /// The payer's balance.
    Balance,
    /// A channel.
    Channel(Channel),
    /// The promotion's budget.
    Promotion,
}

/// What came of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// Set aside.
    Held,
    /// The channel's word is awaited.
    Awaiting,
    /// The merchant has it.
    Paid,
    /// Given back.
    Released,
    /// The channel has nothing to give any more.
    Cancelled,
    /// On its way back to the channel.
    Returning,
    /// Back with the channel.
    Returned,
}

/// A payment's part from one source.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    /// Where from.
    pub source: LegSource,
    /// How much.
    pub amount: Amount,
    /// What came of it.
    pub state: LegState,
    /// What can be refunded of it.
    pub refundable: Amount,
}

/// An item with what is left of it.
#[derive(Clone, Debug)]
pub struct ItemView {
    /// The item.
    pub item: Item,
    /// The promotion's share of its price.
    pub discount: Amount,
    /// What can be refunded of it.
    pub refundable: Amount,
}

/// A payment as it is now.
#[derive(Clone, Debug)]
pub struct PaymentView {
    /// Its id.
    pub id: TransactionId,
    /// What was asked for.
    pub request: PaymentRequest,
    /// What came of it.
    pub status: PaymentStatus,
    /// What it is made up of.
    pub legs: Vec<Leg>,
    /// What it was for.
    pub items: Vec<ItemView>,
    /// What its items cost together.
    pub total: Amount,
    /// What the promotion gave.
    pub discount: Amount,
    /// What was refunded, in order.
    pub refunds: Vec<RefundView>,
    /// What can be refunded.
    pub refundable: Amount,
    /// Until when it waits for its channel; `None` if it never did.
    pub expires_at: Option<Timestamp>,
    /// When it was decided on.
    pub at: Timestamp,
    /// Whether the call that this answers did nothing any more.
    pub replayed: bool,
}

/// The legs of a payment, none of which is refunded.
pub(super) fn legs(placed: &Placed, status: PaymentStatus) -> Vec<Leg> {
    let sources = [Source::Balance, Source::Channel, Source::Promotion];
    let legs = sources.into_iter().filter_map(|source| {
        let amount = placed.plan.sum(source);
        let leg = source_of(placed, source)?;
        let refundable = if status == PaymentStatus::Paid { amount } else { Amount::ZERO };
        let state = state_of(source, status);
        (amount > Amount::ZERO).then_some(Leg { source: leg, amount, state, refundable })
    });
    legs.collect()
}

/// A piece's source as it is shown.
pub(in crate::wallet) fn source_of(placed: &Placed, source: Source) -> Option<LegSource> {
    match source {
        Source::Balance => Some(LegSource::Balance),
        Source::Channel => placed.request.combine_with.map(LegSource::Channel),
        Source::Promotion => Some(LegSource::Promotion),
    }
}

fn state_of(source: Source, status: PaymentStatus) -> LegState {
    match (status, source) {
        (PaymentStatus::Paid, _) => LegState::Paid,
        (PaymentStatus::AwaitingChannel, Source::Channel) => LegState::Awaiting,
        (PaymentStatus::AwaitingChannel, Source::Balance | Source::Promotion) => LegState::Held,
        (PaymentStatus::Returning, Source::Channel) => LegState::Returning,
        (PaymentStatus::Returned, Source::Channel) => LegState::Returned,
        (PaymentStatus::Cancelled | PaymentStatus::Expired, Source::Channel) => LegState::Cancelled,
        (
            PaymentStatus::Cancelled
            | PaymentStatus::Expired
            | PaymentStatus::Returning
            | PaymentStatus::Returned,
            Source::Balance | Source::Promotion,
        ) => LegState::Released,
    }
}

/// Until when a payment that was decided then waits for its channel.
pub(super) fn expires_at(placed: &Placed, decided_at: Timestamp) -> Option<Timestamp> {
    placed.waits_for().map(|_| decided_at.plus_seconds(placed.wait_s))
}

impl Wallet {
    /// A payment as it is now. One that was refused is none.
    ///
    /// # Errors
    /// There is no such payment.
    pub async fn payment(&self, id: TransactionId) -> Result<PaymentView, WalletError> {
        let Some((attempt, settled)) = self.placed(id).await? else {
            return Err(WalletError::refused(WalletCode::NotFound));
        };
        let placed = &settled.document;
        // Both parties may look.
        self.own_user(&placed.request.user).or_else(|_| self.own_merchant(&placed.request.merchant))?;
        let expires_at = expires_at(placed, settled.decided_at);
        let status = self.status(id, attempt, placed).await?;
        let refunds = if status == PaymentStatus::Paid { self.refunds(id).await? } else { Vec::new() };
        let pieces = &placed.plan.pieces;
        // The last refund knows what all of them have moved, piece by piece.
        let refunded = refunds.last().map(|refund| refund.refunded.clone()).unwrap_or_default();
        let left = |index: usize, amount: Amount| {
            let refunded = refunded.get(index).copied().unwrap_or_default();
            let left = if status == PaymentStatus::Paid { amount.checked_sub(refunded) } else { None };
            left.unwrap_or_default()
        };
        let left_of = |wanted: &dyn Fn(u8, Source) -> bool| -> Amount {
            let pieces = pieces.iter().enumerate().filter(|(_, piece)| wanted(piece.item, piece.source));
            pieces.map(|(index, piece)| left(index, piece.amount)).sum()
        };
        let items = (0_u8..).zip(&placed.request.items).map(|(index, item)| {
            let own = pieces.iter().filter(|piece| piece.item == index && piece.source == Source::Promotion);
            ItemView {
                item: item.clone(),
                discount: own.map(|piece| piece.amount).sum(),
                refundable: left_of(&|item, _| item == index),
            }
        });
        let legs = legs(placed, status).into_iter().map(|leg| Leg {
            refundable: left_of(&|_, source| source_of(placed, source) == Some(leg.source)),
            ..leg
        });
        Ok(PaymentView {
            id,
            request: placed.request.clone(),
            status,
            legs: legs.collect(),
            items: items.collect(),
            total: placed.plan.total(),
            discount: placed.plan.sum(Source::Promotion),
            refundable: left_of(&|_, _| true),
            refunds,
            expires_at,
            at: settled.at,
            replayed: false,
        })
    }

    async fn status(
        &self,
        id: TransactionId,
        attempt: TransactionId,
        placed: &Placed,
    ) -> Result<PaymentStatus, WalletError> {
        if placed.waits_for().is_none() {
            return Ok(PaymentStatus::Paid);
        }
        let Some(ended) = self.payment_end(id).await? else {
            // Time ends a wait with the records that give back what was set aside, and not before: whoever is told of
            // it finds the money there.
            for (hold, _) in placed.holds(id, attempt) {
                let hold = self.engine().hold(hold).await?;
                if hold.is_none_or(|hold| hold.ended != Some(HoldEnd::Expired)) {
                    return Ok(PaymentStatus::AwaitingChannel);
                }
            }
            return Ok(PaymentStatus::Expired);
        };
        let without_money = match (&ended.document.end, &ended.verdict) {
            (End::Captured(_), Ok(())) => return Ok(PaymentStatus::Paid),
            (_, Err(refused)) if refused.code == RejectionCode::HoldExpired => PaymentStatus::Expired,
            (End::Captured(_) | End::Failed | End::Cancelled, Ok(()) | Err(_)) => PaymentStatus::Cancelled,
        };
        Ok(match self.late(id).await? {
            None => without_money,
            Some(false) => PaymentStatus::Returning,
            Some(true) => PaymentStatus::Returned,
        })
    }
}

//! What ends a payment's wait: the channel's word, a cancellation, or time.
//!
//! Capture and release are one step with one id, so that exactly one of them happens; time ends the holds by itself. The
//! channel's steps are named by the order, so that each copy of a notification does nothing more. Invariant: money that
//! a channel reports is with the merchant, or in suspense with a record that says why, or back with the channel; it is
//! never captured after the wait has ended.

use serde::{Deserialize, Serialize};

use super::{
    Placed,
    attempt::{code, fee_and_points},
    compose::Source,
    step_id, step_no,
};
#[cfg(test)]
use crate::wallet::{document::Form, fixture::ID};
use crate::{
    model::{Address, Amount, Attachment, OperationKind, RejectionCode, Timestamp, TransactionId},
    wallet::{
        Channel, Notified, SuspenseReason, Wallet, WalletCode, WalletError,
        document::{Document, peek},
        names,
        step::{Draft, Settled},
        suspense::{Money, Suspended, suspense_id},
    },
};

/// What a channel says of an order, its signature checked.
#[derive(Clone, Debug)]
pub struct ChannelResult {
    /// Who says it.
    pub channel: Channel,
    /// The notification's own id.
    pub notification: String,
    /// The recharge or payment.
    pub order: TransactionId,
    /// Whether the money came.
    pub paid: bool,
    /// How much.
    pub amount: Amount,
    /// The channel's reference of the money.
    pub reference: String,
    /// When.
    pub paid_at: Timestamp,
}

/// Why a payment waits no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// The channel has the money, and the merchant all of the price.
    Captured(Money),
    /// The channel will not have it.
    Failed,
    /// The order is off.
    Cancelled,
}

/// The record of the end of a payment's wait.
#[derive(Serialize, Deserialize)]
pub(super) struct Ended {
    payment: TransactionId,
    pub(super) end: End,
}

impl Document for Ended {
    const TAG: u8 = 21;
}

/// The record of what a refused capture had left set aside.
#[derive(Serialize, Deserialize)]
struct Released {
    payment: TransactionId,
}

impl Document for Released {
    const TAG: u8 = 24;
}

/// A payment in which a channel has a part.
struct Waiting {
    id: TransactionId,
    /// The step that set aside what it waits with.
    attempt: TransactionId,
    placed: Placed,
    channel: Channel,
}

impl Wallet {
    /// Applies a channel's word to the payment that it is about; `None` if there is no payment with a channel's part of
    /// this id.
    pub(in crate::wallet) async fn payment_notified(
        &self,
        result: &ChannelResult,
    ) -> Result<Option<Notified>, WalletError> {
        let Some(waiting) = self.waiting(result.order).await? else { return Ok(None) };
        if waiting.channel != result.channel {
            let reason = SuspenseReason::OtherChannel;
            return if result.paid {
                self.not_taken(result, reason).await.map(Some)
            } else {
                Ok(Some(Notified::Unchanged(Some(reason))))
            };
        }
        for _ in 0..Self::TRIES_MAX {
            let round = match (self.payment_end(waiting.id).await?, result.paid) {
                (None, true) => self.take(&waiting, result).await?,
                (None, false) => {
                    self.end(&waiting, End::Failed).await?;
                    None
                }
                (Some(ended), false) if ended.document.end == End::Failed => Some(Notified::Failed),
                (Some(_), false) => Some(Notified::Unchanged(None)),
                (Some(ended), true) => Some(self.paid_after(&waiting, result, &ended).await?),
            };
            if round.is_some() {
                return Ok(round);
            }
        }
        Err(Self::overtaken())
    }

    /// The money of a payment that waits; `None` if it is to be looked at again.
    async fn take(&self, waiting: &Waiting, result: &ChannelResult) -> Result<Option<Notified>, WalletError> {
        let money = Money::of(result);
        let fits = result.amount == waiting.placed.plan.sum(Source::Channel);
        let from_suspense = match self.suspended(&money).await? {
            // The channel was quicker than the payment.
            Some(early) if fits && early.document.is_early(&money) => Some(early.id),
            Some(other) => return Ok(Some(Notified::Suspended(other.document.reason))),
            None => None,
        };
        if !fits {
            return self.not_taken(result, SuspenseReason::AmountDiffers).await.map(Some);
        }
        let step = step_id(waiting.id, step_no::END);
        let mut draft = Draft::new(step, Ended { payment: waiting.id, end: End::Captured(money.clone()) });
        capture(&mut draft, waiting);
        if let Some(record) = from_suspense {
            // Last, so that the pieces stand where the plan has them.
            draft.reverse((record, 0), (money.amount(), Draft::<Ended>::CNY_SCALE), code::SUSPENSE);
        } else {
            draft.alias(money.alias());
        }
        let moved = draft.operations.iter().flat_map(|operation| match &operation.kind {
            OperationKind::Transfer { debit, credit, .. } => vec![debit, credit],
            // What is set aside goes its way whatever is frozen.
            OperationKind::Hold { .. }
            | OperationKind::Capture { .. }
            | OperationKind::Release { .. }
            | OperationKind::Reverse { .. } => Vec::new(),
        });
        let suspense = names::suspense(result.channel);
        self.not_frozen(moved.chain(from_suspense.map(|_| &suspense)))?;
        self.submit(draft).await?;
        Ok(None)
    }

    /// The money of a payment that does not wait any more.
    async fn paid_after(
        &self,
        waiting: &Waiting,
        result: &ChannelResult,
        ended: &Settled<Ended>,
    ) -> Result<Notified, WalletError> {
        match (&ended.document.end, &ended.verdict) {
            (End::Captured(money), Ok(())) if *money.reference == *result.reference => Ok(Notified::Settled),
            (End::Captured(_), Ok(())) => self.not_taken(result, SuspenseReason::PaidAgain).await,
            (End::Captured(_), Err(refused)) => {
                self.release_rest(waiting, refused.code).await?;
                self.send_back(waiting, result).await
            }
            (End::Failed | End::Cancelled, Ok(()) | Err(_)) => self.send_back(waiting, result).await,
        }
    }

    /// Money that the payment does not take: to suspense, for people to look at.
    async fn not_taken(
        &self,
        result: &ChannelResult,
        reason: SuspenseReason,
    ) -> Result<Notified, WalletError> {
        tracing::warn!(
            order = %result.order, channel = result.channel.as_str(), reference = result.reference,
            amount = result.amount.units(), reason = reason.as_str(), "a payment does not take a channel's money"
        );
        let reason = self.suspend(&Money::of(result), reason, None).await?;
        Ok(reason.map_or(Notified::Unchanged(None), Notified::Suspended))
    }

    /// Money that nobody waits for: to suspense and from there back to its channel, in one record, so that no crash
    /// leaves it half way.
    async fn send_back(&self, waiting: &Waiting, result: &ChannelResult) -> Result<Notified, WalletError> {
        if result.amount != waiting.placed.plan.sum(Source::Channel) {
            return self.not_taken(result, SuspenseReason::AmountDiffers).await;
        }
        for _ in 0..Self::TRIES_MAX {
            let (late, attempt) = self.posted_attempt::<Suspended>(|no| late_id(waiting.id, no)).await?;
            if let Some(late) = late {
                if *late.document.money.reference != *result.reference {
                    return self.not_taken(result, SuspenseReason::PaidAgain).await;
                }
                return Ok(Notified::Suspended(SuspenseReason::PaidLate));
            }
            let money = Money::of(result);
            let early = match self.suspended(&money).await? {
                Some(early) if early.document.is_early(&money) => Some(early.id),
                Some(other) => return Ok(Notified::Suspended(other.document.reason)),
                None => None,
            };
            let late = returned(late_id(waiting.id, attempt), money, early);
            if let Some(refused) = self.submit(late).await? {
                // The channel's next copy is another attempt.
                refused.posted()?;
            }
        }
        Err(Self::overtaken())
    }

    /// Gives back all that a payment has set aside.
    ///
    /// # Errors
    /// There is no such payment, it does not wait any more, or overload.
    pub async fn cancel_payment(&self, id: TransactionId) -> Result<super::PaymentView, WalletError> {
        self.own_payment(id).await?;
        let not_cancellable = || WalletError::refused(WalletCode::PaymentNotCancellable);
        let Some(waiting) = self.waiting(id).await? else {
            let there = self.placed(id).await?.is_some();
            let not_found = || WalletError::refused(WalletCode::NotFound);
            return Err(if there { not_cancellable() } else { not_found() });
        };
        let ended = self.end(&waiting, End::Cancelled).await?;
        if ended.document.end != End::Cancelled || ended.verdict.is_err() {
            return Err(not_cancellable());
        }
        let view = self.payment(id).await?;
        Ok(super::PaymentView { replayed: ended.replayed, ..view })
    }

    /// When a payment's wait ended with its capture.
    pub(super) async fn captured_at(&self, payment: TransactionId) -> Result<Option<Timestamp>, WalletError> {
        let Some(ended) = self.payment_end(payment).await? else { return Ok(None) };
        let captured = matches!(ended.document.end, End::Captured(_)) && ended.verdict.is_ok();
        Ok(captured.then_some(ended.decided_at))
    }

    /// How a payment's wait ended, if it was not by time alone.
    pub(super) async fn payment_end(
        &self,
        payment: TransactionId,
    ) -> Result<Option<Settled<Ended>>, WalletError> {
        self.find(step_id(payment, step_no::END)).await
    }

    /// Whether money came too late: `Some(true)` if it went back, `Some(false)` if the ledger refused that.
    pub(super) async fn late(&self, payment: TransactionId) -> Result<Option<bool>, WalletError> {
        let (late, attempt) = self.posted_attempt::<Suspended>(|no| late_id(payment, no)).await?;
        Ok((late.is_some() || attempt > 0).then_some(late.is_some()))
    }

    async fn waiting(&self, payment: TransactionId) -> Result<Option<Waiting>, WalletError> {
        let Some((attempt, settled)) = self.placed(payment).await? else { return Ok(None) };
        let Some(channel) = settled.document.waits_for() else { return Ok(None) };
        Ok(Some(Waiting { id: payment, attempt, placed: settled.document, channel }))
    }

    /// Gives back what a payment has set aside, unless something has ended its wait before.
    async fn end(&self, waiting: &Waiting, end: End) -> Result<Settled<Ended>, WalletError> {
        let step = step_id(waiting.id, step_no::END);
        if let Some(found) = self.find(step).await? {
            return Ok(found);
        }
        let mut draft = Draft::new(step, Ended { payment: waiting.id, end });
        release(&mut draft, waiting);
        self.once(draft).await
    }

    /// A capture that was refused for something else than its holds has left them: they need not wait for time.
    async fn release_rest(&self, waiting: &Waiting, refused: RejectionCode) -> Result<(), WalletError> {
        match refused {
            RejectionCode::HoldExpired | RejectionCode::HoldReleased | RejectionCode::HoldCaptured => Ok(()),
            RejectionCode::AmountInvalid
            | RejectionCode::TransactionNotFound
            | RejectionCode::HoldNotFound
            | RejectionCode::HoldExists
            | RejectionCode::AccountNotFound
            | RejectionCode::AssetMismatch
            | RejectionCode::SameAccount
            | RejectionCode::AccountClosed
            | RejectionCode::AccountFrozen
            | RejectionCode::CaptureExceedsHold
            | RejectionCode::ReversalExceedsOriginal
            | RejectionCode::LimitExceeded
            | RejectionCode::InsufficientFunds
            | RejectionCode::CeilingExceeded
            | RejectionCode::Overflow => {
                let step = step_id(waiting.id, step_no::RELEASE);
                let mut draft = Draft::new(step, Released { payment: waiting.id });
                release(&mut draft, waiting);
                // If they ran out meanwhile, that is as good.
                self.submit(draft).await.map(drop)
            }
        }
    }

    /// A step that nothing can overtake but a copy of itself.
    async fn once<D: Document>(&self, draft: Draft<D>) -> Result<Settled<D>, WalletError> {
        self.submit(draft).await?.ok_or_else(Self::overtaken)
    }
}

/// The id of an attempt to send late money back.
fn late_id(payment: TransactionId, attempt: u32) -> TransactionId {
    names::derive("payment-late", &payment.0.to_be_bytes(), attempt)
}

/// The channel's money that a transaction has captured, if it is a payment's end.
pub(in crate::wallet) fn captured_money(attachment: Option<&Attachment<Address>>) -> Option<Money> {
    match peek::<Ended>(&attachment?.document)?.end {
        End::Captured(money) => Some(money),
        End::Failed | End::Cancelled => None,
    }
}

/// Late money's way through suspense and back; money that came early is in suspense already, by a record.
fn returned(step: TransactionId, money: Money, early: Option<TransactionId>) -> Draft<Suspended> {
    let (channel, suspense) = (names::channel(money.channel), names::suspense(money.channel));
    let (alias, in_suspense) = (money.alias(), suspense_id(&money));
    let amount = money.amount();
    let mut draft = Draft::new(step, Suspended { money, reason: SuspenseReason::PaidLate, statement: None });
    if let Some(record) = early {
        draft.reverse((record, 0), (amount, Draft::<Suspended>::CNY_SCALE), code::SUSPENSE);
    } else {
        draft.transfer(&channel, &suspense, amount, code::SUSPENSE);
        draft.transfer(&suspense, &channel, amount, code::SUSPENSE);
        draft.alias(alias).alias(in_suspense);
    }
    draft
}

/// All pieces to the merchant, in the order of the plan.
fn capture(draft: &mut Draft<Ended>, waiting: &Waiting) {
    let Waiting { id, attempt, placed, .. } = waiting;
    let mut tickets = Vec::new();
    for (hold, code) in placed.holds(*id, *attempt) {
        if code == code::TICKET {
            tickets.push(hold);
        } else {
            draft.capture(hold, code);
        }
    }
    for piece in placed.plan.pieces.iter().filter(|piece| piece.source == Source::Channel) {
        if let Some((debit, credit, code)) = placed.accounts_of(piece.source) {
            draft.transfer(&debit, &credit, piece.amount, code);
        }
    }
    let (merchant, points) = (&placed.request.merchant, &placed.request.user);
    fee_and_points(draft, &placed.plan, (&names::merchant(merchant), &names::carbon(points)));
    // A ticket has done its work; it comes last, so that the pieces stand where the plan has them.
    for ticket in tickets {
        draft.release(ticket, code::TICKET);
    }
}

fn release<D: Document>(draft: &mut Draft<D>, waiting: &Waiting) {
    for (hold, code) in waiting.placed.holds(waiting.id, waiting.attempt) {
        draft.release(hold, code);
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let ended = |end| Form::document(&Ended { payment: ID, end });
    let ends = [End::Captured(Money::sample(Channel::Wechat)), End::Failed, End::Cancelled];
    ends.map(ended).into_iter().chain([Form::document(&Released { payment: ID })]).collect()
}

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
use crate::{
    model::{Amount, Rejection, RejectionCode, Timestamp, TransactionId},
    wallet::{
        AccountKind, Channel, Wallet, WalletCode, WalletError,
        document::Document,
        names,
        step::{Draft, Settled},
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
    /// The channel has the money.
    Captured {
        /// The channel's reference of it.
        reference: String,
        paid_at: Timestamp,
    },
    /// The channel will not have it.
    Failed {
        /// The channel's reference of the attempt.
        reference: String,
    },
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

/// Why a channel's money is not where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reason {
    /// The payment did not wait any more.
    Late,
    /// It is not what was ordered.
    AmountDiffers {
        ordered: Amount,
    },
}

/// The record of a channel's money in suspense.
#[derive(Serialize, Deserialize)]
pub(super) struct Suspended {
    payment: TransactionId,
    channel: Channel,
    amount: Amount,
    reference: String,
    paid_at: Timestamp,
    reason: Reason,
}

impl Document for Suspended {
    const TAG: u8 = 22;
}

/// The record of money that went back to its channel.
#[derive(Serialize, Deserialize)]
pub(super) struct Returned {
    payment: TransactionId,
}

impl Document for Returned {
    const TAG: u8 = 23;
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
    /// Applies a channel's word to the payment that it is about; `false` if the channel has no part in such a payment.
    pub(in crate::wallet) async fn payment_notified(&self, result: &ChannelResult) -> Result<bool, WalletError> {
        let Some(waiting) = self.waiting(result.order).await else { return Ok(false) };
        if waiting.channel != result.channel {
            return Ok(false);
        }
        let reference = result.reference.clone();
        if !result.paid {
            self.end(&waiting, End::Failed { reference }).await?;
            return Ok(true);
        }
        let ordered = waiting.placed.plan.sum(Source::Channel);
        if result.amount != ordered {
            self.suspend_differing(&waiting, result, ordered).await?;
            return Ok(true);
        }
        let captured = End::Captured { reference, paid_at: result.paid_at };
        let ended = self.end(&waiting, captured).await?;
        match (&ended.document.end, &ended.verdict) {
            (End::Captured { .. }, Ok(())) => {}
            (End::Captured { .. }, Err(refused)) => {
                self.release_rest(&waiting, *refused).await?;
                self.send_back(&waiting, result).await?;
            }
            (End::Failed { .. } | End::Cancelled, Ok(()) | Err(_)) => self.send_back(&waiting, result).await?,
        }
        Ok(true)
    }

    /// Gives back all that a payment has set aside.
    ///
    /// # Errors
    /// There is no such payment, it does not wait any more, or overload.
    pub async fn cancel_payment(&self, id: TransactionId) -> Result<super::PaymentView, WalletError> {
        let not_cancellable = || WalletError::refused(WalletCode::PaymentNotCancellable);
        let Some(waiting) = self.waiting(id).await else {
            let there = self.placed(id).await.is_some();
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
    pub(super) async fn captured_at(&self, payment: TransactionId) -> Option<Timestamp> {
        let ended = self.ended(payment).await?;
        let captured = matches!(ended.document.end, End::Captured { .. }) && ended.verdict.is_ok();
        captured.then_some(ended.decided_at)
    }

    /// How a payment's wait ended, if it was not by time alone.
    pub(super) async fn ended(&self, payment: TransactionId) -> Option<Settled<Ended>> {
        self.find(step_id(payment, step_no::END)).await
    }

    /// Whether late money is in suspense, and whether it went back.
    pub(super) async fn late(&self, payment: TransactionId) -> (bool, bool) {
        let suspended: Option<Settled<Suspended>> = self.find(step_id(payment, step_no::LATE)).await;
        if suspended.is_none_or(|settled| settled.verdict.is_err()) {
            return (false, false);
        }
        let returned: Option<Settled<Returned>> = self.find(step_id(payment, step_no::RETURN)).await;
        (true, returned.is_some_and(|settled| settled.verdict.is_ok()))
    }

    async fn waiting(&self, payment: TransactionId) -> Option<Waiting> {
        let (attempt, settled) = self.placed(payment).await?;
        let channel = settled.document.waits_for()?;
        Some(Waiting { id: payment, attempt, placed: settled.document, channel })
    }

    /// Ends a payment's wait, unless something has before.
    async fn end(&self, waiting: &Waiting, end: End) -> Result<Settled<Ended>, WalletError> {
        let step = step_id(waiting.id, step_no::END);
        for _ in 0..Self::TRIES_MAX {
            if let Some(found) = self.find(step).await {
                return Ok(found);
            }
            let captures = matches!(end, End::Captured { .. });
            let mut draft = Draft::new(step, Ended { payment: waiting.id, end: end.clone() });
            if captures {
                capture(&mut draft, waiting);
            } else {
                release(&mut draft, waiting);
            }
            if let Some(settled) = self.submit(draft).await? {
                return Ok(settled);
            }
        }
        Err(Self::overtaken())
    }

    /// Money that nobody waits for: to suspense, and from there back to its channel.
    async fn send_back(&self, waiting: &Waiting, result: &ChannelResult) -> Result<(), WalletError> {
        let late = step_id(waiting.id, step_no::LATE);
        self.suspend(late, waiting, result, Reason::Late).await?;
        let step = step_id(waiting.id, step_no::RETURN);
        let mut draft = Draft::new(step, Returned { payment: waiting.id });
        draft.reverse((late, 0), (result.amount, Draft::<Returned>::CNY_SCALE), code::SUSPENSE);
        self.once(draft).await
    }

    /// Money that is not what was ordered: to suspense, for people to look at. The payment waits on.
    async fn suspend_differing(
        &self,
        waiting: &Waiting,
        result: &ChannelResult,
        ordered: Amount,
    ) -> Result<(), WalletError> {
        let mut name = waiting.id.0.to_be_bytes().to_vec();
        name.extend_from_slice(result.reference.as_bytes());
        tracing::warn!(
            payment = %waiting.id, channel = result.channel.as_str(), reference = result.reference,
            ordered = ordered.units(), amount = result.amount.units(),
            "a channel reports another amount than was ordered: booked to suspense"
        );
        let step = names::derive("payment-differs", &name, 0);
        self.suspend(step, waiting, result, Reason::AmountDiffers { ordered }).await
    }

    async fn suspend(
        &self,
        step: TransactionId,
        waiting: &Waiting,
        result: &ChannelResult,
        reason: Reason,
    ) -> Result<(), WalletError> {
        let ChannelResult { channel, amount, ref reference, paid_at, .. } = *result;
        let reference = reference.clone();
        let document = Suspended { payment: waiting.id, channel, amount, reference, paid_at, reason };
        let mut draft = Draft::new(step, document);
        draft.transfer(&names::channel(channel), &names::suspense(channel), amount, code::SUSPENSE);
        self.ensure(names::suspense(channel), AccountKind::OPEN_CREDIT).await?;
        self.once(draft).await
    }

    /// A capture that was refused for something else than its holds has left them: they need not wait for time.
    async fn release_rest(&self, waiting: &Waiting, refused: Rejection) -> Result<(), WalletError> {
        match refused.code {
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
    async fn once<D: Document>(&self, draft: Draft<D>) -> Result<(), WalletError> {
        match self.submit(draft).await? {
            Some(settled) => settled.posted(),
            None => Err(Self::overtaken()),
        }
    }
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

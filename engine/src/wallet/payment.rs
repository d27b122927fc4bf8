//! Payments: from balance alone, or together with a channel.
//!
//! A payment's first step pays, or sets aside what it waits with; see `channel` for what ends the wait. A step that was
//! refused for something that another composition can do without (a promotion that is spent, when the full price will
//! do; a balance that somebody else was quicker on) is followed by another attempt under its own id. Whether that may
//! be is in the refused step's record, so that each copy of the request comes to the same end. Invariant: one attempt
//! at most is posted, and only the last one that is on record may be.

mod attempt;
mod channel;
mod compose;
/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<super::document::Form> {
    [attempt::forms(), channel::forms()].concat()
}

#[cfg(test)]
mod tests;
mod view;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{Auth, Channel, Part, Wallet, WalletCode, WalletError, names, step::Settled};
use crate::model::{Amount, Timestamp, TransactionId};

pub(super) use attempt::Placed;
pub use channel::ChannelResult;
pub(super) use channel::captured_money;
#[cfg(test)]
pub(super) use compose::Piece;
pub(super) use compose::{Plan, Source};
pub(super) use view::source_of;
pub use view::{ItemView, Leg, LegSource, LegState, PaymentStatus, PaymentView};

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemKind {
    /// Something bought.
    Goods,
    /// Its way to the buyer.
    Shipping,
}

/// One item of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// For people.
    pub name: CompactString,
    /// Goods or shipping.
    pub kind: ItemKind,
    /// What merchants and promotions go by.
    pub category: CompactString,
    /// Its price, more than zero.
    pub amount: Amount,
}

/// What is done when the promotion is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExhausted {
    /// The payment is refused.
    #[default]
    Refuse,
    /// It is paid without the promotion.
    FullPrice,
}

/// What a payer asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// Who pays.
    pub user: Part,
    /// Who is paid.
    pub merchant: Part,
    /// For what; at least one, at most [`super::Settings::items_max`].
    pub items: Vec<Item>,
    /// Who pays what the balance is short of.
    pub combine_with: Option<Channel>,
    /// Who gives something off.
    pub promotion: Option<Part>,
    /// What is done when the promotion is spent.
    pub on_exhausted: OnExhausted,
}

/// A payment as it was answered first.
#[derive(Clone, Debug)]
pub struct Payment {
    /// Its id.
    pub id: TransactionId,
    /// Paid, or waiting.
    pub status: PaymentStatus,
    /// What it is made up of.
    pub legs: Vec<Leg>,
    /// What its items cost together.
    pub total: Amount,
    /// What the promotion gave.
    pub discount: Amount,
    /// Until when it waits for its channel.
    pub expires_at: Option<Timestamp>,
    /// When it was decided on.
    pub at: Timestamp,
    /// Whether this answer repeats an earlier one.
    pub replayed: bool,
}

/// The steps of a payment, each a transaction.
mod step_no {
    /// The first attempt; the others are [`attempt`]s.
    const FIRST_ATTEMPT: u32 = 0;
    /// Capture or release: the first one wins.
    pub(super) const END: u32 = 1;
    /// What is still set aside after a capture that was refused.
    pub(super) const RELEASE: u32 = 4;
    const FURTHER_ATTEMPTS: u32 = 5;

    /// An attempt's step, from 0.
    pub(super) const fn attempt(no: u32) -> u32 {
        if no == 0 { FIRST_ATTEMPT } else { FURTHER_ATTEMPTS + no - 1 }
    }
}

/// The id of a payment's step.
fn step_id(payment: TransactionId, step: u32) -> TransactionId {
    names::derive("payment", &payment.0.to_be_bytes(), step)
}

impl PaymentRequest {
    /// What its items cost together; `None` above `u64`.
    #[must_use]
    pub fn total(&self) -> Option<Amount> {
        self.items.iter().try_fold(Amount::ZERO, |sum, item| sum.checked_add(item.amount))
    }

    /// JSON Pointer of the first field in which another request of the same id differs.
    fn difference(&self, other: &Self) -> Option<String> {
        let fields = [
            (self.user == other.user, "/user"),
            (self.merchant == other.merchant, "/merchant"),
            (self.items == other.items, "/items"),
            (self.combine_with == other.combine_with, "/combine_with"),
            (self.promotion == other.promotion, "/promotion"),
            (self.on_exhausted == other.on_exhausted, "/on_promotion_exhausted"),
        ];
        let (_, field) = fields.into_iter().find(|(same, _)| !same)?;
        let mut pairs = self.items.iter().zip(&other.items).enumerate();
        let item = pairs.find(|(_, (mine, theirs))| mine != theirs);
        match item.filter(|_| field == "/items") {
            Some((index, (mine, theirs))) => Some(format!("/items/{index}/{}", mine.difference(theirs))),
            None if field == "/items" => Some(format!("/items/{}", self.items.len().min(other.items.len()))),
            None => Some(field.into()),
        }
    }
}

impl Item {
    fn difference(&self, other: &Self) -> &'static str {
        if self.name != other.name {
            "name"
        } else if self.kind != other.kind {
            "kind"
        } else if self.category != other.category {
            "category"
        } else {
            "amount"
        }
    }
}

impl Wallet {
    /// Pays, or sets aside what the balance gives until the channel has paid the rest.
    ///
    /// # Errors
    /// A rule of the payment, its promotion, its merchant or its authorisation; the id belongs to another body; overload.
    pub async fn pay(
        &self,
        id: TransactionId,
        request: &PaymentRequest,
        auth: Option<&Auth>,
    ) -> Result<Payment, WalletError> {
        self.own_user(&request.user)?;
        let mut next = attempt::Next::first(request);
        for _ in 0..Self::TRIES_MAX {
            let step = step_id(id, step_no::attempt(next.no));
            let settled: Settled<Placed> = match self.find(step).await? {
                Some(found) => found,
                // The payment may have come to disk just now.
                None if request.combine_with.is_some() && self.order_taken(id).await? => {
                    match self.find(step).await? {
                        Some(found) => found,
                        None => return Err(WalletError::IdReused { field: "/id".to_owned() }),
                    }
                }
                None => {
                    let draft = self.compose_attempt(id, step, next, request, auth).await?;
                    // Overtaken: composed again, under the same id.
                    let Some(settled) = self.submit(draft).await? else { continue };
                    settled
                }
            };
            if let Some(field) = settled.document.request.difference(request) {
                return Err(WalletError::IdReused { field });
            }
            match settled.document.after(next.no, &settled.verdict) {
                Some(further) => next = further,
                None => return settled.document.answer(id, &settled),
            }
        }
        Err(Self::overtaken())
    }

    /// A payment that was not refused, with the id of the step that placed it.
    pub(super) async fn placed(
        &self,
        payment: TransactionId,
    ) -> Result<Option<(TransactionId, Settled<Placed>)>, WalletError> {
        let mut no = 0;
        loop {
            let step = step_id(payment, step_no::attempt(no));
            let Some(settled) = self.find::<Placed>(step).await? else { return Ok(None) };
            match settled.document.after(no, &settled.verdict) {
                Some(further) => no = further.no,
                None if settled.verdict.is_ok() => return Ok(Some((step, settled))),
                None => return Ok(None),
            }
        }
    }

    /// A payment that was paid: the transaction that its pieces are operations of, its composition, and when.
    pub(super) async fn paid(&self, payment: TransactionId) -> Result<Paid, WalletError> {
        let Some((step, placed)) = self.placed(payment).await? else {
            return Err(WalletError::refused(WalletCode::NotFound));
        };
        let (transaction, at) = if placed.document.waits_for().is_none() {
            (step, Some(placed.decided_at))
        } else {
            (step_id(payment, step_no::END), self.captured_at(payment).await?)
        };
        Ok(Paid { transaction, at, document: placed.document })
    }
}

/// A payment with what a refund needs of it.
pub(super) struct Paid {
    /// Whose operations a refund reverses.
    pub(super) transaction: TransactionId,
    /// When; `None` if it was not paid.
    pub(super) at: Option<Timestamp>,
    pub(super) document: Placed,
}

//! Money of channels that fits no order: it waits in `suspense:{channel}`, with a reason.
//!
//! Owns what is written down with it. Never decides that money does not fit. Invariant: the money of a channel's
//! reference for an order goes to suspense once, for ever, and what an order was credited with never goes there too: both take the
//! alias of the money.

use compact_str::{CompactString, format_compact};
use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::ID;
use super::{
    AccountKind, Channel, ChannelResult, Date, Wallet, WalletError,
    document::Document,
    names,
    step::{Draft, Settled},
};
use crate::model::{Amount, Lane, RejectionCode, Timestamp, TransactionId};

/// Why money is in suspense, or why a notification changed nothing. Its order is that of the documents: new ones go to
/// the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SuspenseReason {
    /// There is no such order.
    UnknownOrder,
    /// Another amount than ordered.
    AmountDiffers,
    /// The order is another channel's.
    OtherChannel,
    /// The order is settled, with other money.
    PaidAgain,
    /// The channel had said that the order failed.
    PaidAfterFailed,
    /// The wallet refused the money: a rule of the ledger, by its number.
    Refused(u8),
    /// The channel's statement has it, and no notification told of it.
    NotNotified,
    /// The books have it, and the channel's statement does not.
    NotInStatement,
    /// The channel's statement has it twice.
    ListedTwice,
    /// The payment did not wait for it any more; it goes back to the channel.
    PaidLate,
}

impl SuspenseReason {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownOrder => "unknown_order",
            Self::AmountDiffers => "amount_differs",
            Self::OtherChannel => "other_channel",
            Self::PaidAgain => "paid_again",
            Self::PaidAfterFailed => "paid_after_failed",
            Self::Refused(number) => RejectionCode::from_u8(number).map_or("refused", RejectionCode::as_str),
            Self::NotNotified => "not_notified",
            Self::NotInStatement => "not_in_statement",
            Self::ListedTwice => "listed_twice",
            Self::PaidLate => "paid_late",
        }
    }

    /// Whether the money is the order's after all, once the order is there.
    pub(super) fn is_only_early(self) -> bool {
        matches!(self, Self::UnknownOrder | Self::NotNotified)
    }
}

/// Money of a channel, as the channel told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Money {
    pub(super) channel: Channel,
    /// As text: what a channel says need not be an order's id.
    pub(super) order: CompactString,
    pub(super) reference: CompactString,
    pub(super) units: u64,
    pub(super) paid_at: i64,
}

impl Money {
    pub(super) fn of(result: &ChannelResult) -> Self {
        Self {
            channel: result.channel,
            order: order_text(result.order),
            reference: result.reference.as_str().into(),
            units: result.amount.units(),
            paid_at: result.paid_at.0,
        }
    }

    pub(super) fn amount(&self) -> Amount {
        Amount(self.units)
    }

    pub(super) fn paid_at(&self) -> Timestamp {
        Timestamp(self.paid_at)
    }

    /// The alias that the first transaction with this money takes: whatever books it from the channel's account.
    pub(super) fn alias(&self) -> TransactionId {
        names::derive("channel-money", self.name().as_bytes(), 0)
    }

    /// What tells it from other money.
    fn name(&self) -> CompactString {
        format_compact!("{}\n{}\n{}", self.channel.as_str(), self.order, self.reference)
    }
}

/// An order's id as channels write it.
pub(super) fn order_text(order: TransactionId) -> CompactString {
    format_compact!("{}", uuid::Uuid::from_u128(order.0).hyphenated())
}

/// The alias of an order's id, which a recharge and a payment with a channel's part take: a channel's word names the id
/// alone, so that it may be one of the two only.
pub(super) fn order_id(order: TransactionId) -> TransactionId {
    names::derive("order", &order.0.to_be_bytes(), 0)
}

/// The record of money that went to suspense; of late money, that it went back from there as well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Suspended {
    pub(super) money: Money,
    pub(super) reason: SuspenseReason,
    /// The statement that it was found by.
    pub(super) statement: Option<Date>,
}

impl Document for Suspended {
    const TAG: u8 = 42;
    const LANE: Lane = Lane::Recharge;
}

impl Suspended {
    /// Whether it is this order's money, which came before the order was known.
    pub(super) fn is_early(&self, money: &Money) -> bool {
        let same = self.money.order == money.order && self.money.units == money.units;
        same && self.reason.is_only_early()
    }
}

impl Wallet {
    /// The code of the operations of suspense.
    pub(super) const SUSPENSE: &str = "suspense";

    /// The record that brought an order's money of a reference to suspense, if it is there. Whoever takes the money from
    /// there reverses its first operation: the ledger's cap on reversals sees to it that it is taken once.
    pub(super) async fn suspended(&self, money: &Money) -> Result<Option<Settled<Suspended>>, WalletError> {
        self.find(suspense_id(money)).await
    }

    /// The first money of an order that went to suspense.
    pub(super) async fn order_suspended(&self, order: &str) -> Result<Option<Suspended>, WalletError> {
        Ok(self.find(order_alias(order)).await?.map(|settled| settled.document))
    }

    /// Brings money to suspense, unless its reference's is there: then the first reason counts. `None` if an order was
    /// credited with it meanwhile.
    pub(super) async fn suspend(
        &self,
        money: &Money,
        reason: SuspenseReason,
        statement: Option<Date>,
    ) -> Result<Option<SuspenseReason>, WalletError> {
        self.ensure_channel(money.channel).await?;
        let id = suspense_id(money);
        for _ in 0..Self::TRIES_MAX {
            if let Some(first) = self.find::<Suspended>(id).await? {
                return Ok(Some(first.document.reason));
            }
            if self.engine().transaction(money.alias()).await?.is_some() {
                return Ok(None);
            }
            // What a statement finds waits for nobody.
            let lane = if statement.is_some() { Lane::Batch } else { Suspended::LANE };
            let document = Suspended { money: money.clone(), reason, statement };
            // A refusal is a record, too: while an account takes no part. The one that is posted is found by its alias.
            let (_, attempt) = self.posted_attempt::<Suspended>(|no| suspense_attempt(money, no)).await?;
            let mut draft = Draft::new(suspense_attempt(money, attempt), document).in_lane(lane);
            let (channel, suspense) = (names::channel(money.channel), names::suspense(money.channel));
            draft.transfer(&channel, &suspense, money.amount(), Self::SUSPENSE);
            draft.alias(id).alias(money.alias());
            if self.order_suspended(&money.order).await?.is_none() {
                draft.alias(order_alias(&money.order));
            }
            if let Some(settled) = self.submit(draft).await? {
                settled.posted()?;
                return Ok(Some(settled.document.reason));
            }
        }
        Err(Self::overtaken())
    }

    /// Whether an order's id is that of an order of the other kind, or of one that is just being placed.
    pub(super) async fn order_taken(&self, order: TransactionId) -> Result<bool, WalletError> {
        Ok(self.engine().transaction(order_id(order)).await?.is_some())
    }

    /// Opens a channel's two accounts, unless they are there.
    pub(super) async fn ensure_channel(&self, channel: Channel) -> Result<(), WalletError> {
        self.ensure(names::channel(channel), AccountKind::OPEN_DEBIT).await?;
        self.ensure(names::suspense(channel), AccountKind::OPEN_CREDIT).await
    }
}

/// The alias of the record of money in suspense, whichever attempt brought it there: by its order, too, since a channel may
/// use a reference for two.
pub(super) fn suspense_id(money: &Money) -> TransactionId {
    names::derive("suspense", money.name().as_bytes(), 0)
}

/// The id of an attempt to bring money to suspense.
fn suspense_attempt(money: &Money, attempt: u32) -> TransactionId {
    names::derive("suspense-attempt", money.name().as_bytes(), attempt)
}

fn order_alias(order: &str) -> TransactionId {
    names::derive("suspense-of-order", order.as_bytes(), 0)
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    use SuspenseReason as Reason;
    let reasons = [
        Reason::UnknownOrder,
        Reason::AmountDiffers,
        Reason::OtherChannel,
        Reason::PaidAgain,
        Reason::PaidAfterFailed,
        Reason::Refused(RejectionCode::CeilingExceeded as u8),
        Reason::NotNotified,
        Reason::NotInStatement,
        Reason::ListedTwice,
        Reason::PaidLate,
    ];
    let statement = Date::parse("2026-06-18");
    let suspended =
        |reason| Form::document(&Suspended { money: Money::sample(Channel::BankCard), reason, statement });
    reasons.map(suspended).into()
}

#[cfg(test)]
impl Money {
    pub(super) fn sample(channel: Channel) -> Self {
        let (order, reference) = (order_text(ID), "r-1".into());
        Self { channel, order, reference, units: 300, paid_at: 1_750_176_000_000_000_001 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::AccountStatus,
        wallet::{
            Notified, PaymentRequest, RechargeRequest,
            fixture::{Fixture, part, purchase, settings},
        },
    };

    #[tokio::test]
    async fn a_reference_of_two_orders_is_money_of_both() {
        let fixture = Fixture::new(settings()).await;
        let unknown = Ok(Notified::Suspended(SuspenseReason::UnknownOrder));
        for (order, units, sum) in [(1, 100, 100), (2, 30, 130), (1, 100, 130), (2, 30, 130)] {
            let word = fixture.word(TransactionId(order), true, units);
            let word = ChannelResult { reference: "r-1".into(), ..word };
            assert_eq!(fixture.wallet.notified(&word).await, unknown, "{order}");
            assert_eq!(fixture.available("suspense:wechat"), sum, "{order}");
        }
    }

    /// An order's money that comes while an account is frozen is the order's with the channel's next copy.
    #[tokio::test]
    async fn a_freeze_decides_no_order() {
        for account in ["channels:wechat", "merchants:shop", "platform:carbon", "customers:alice:carbon"] {
            let fixture = Fixture::new(settings()).await;
            let wallet = &fixture.wallet;
            let recharge = RechargeRequest {
                id: TransactionId(1),
                user: part("alice"),
                channel: Channel::Wechat,
                amount: Amount(200),
                promotion: None,
            };
            wallet.recharge(recharge).await.unwrap();
            let combine_with = Some(Channel::Wechat);
            let payment = PaymentRequest { combine_with, ..purchase("alice", 300) };
            let token = fixture.token("alice").await;
            wallet.pay(TransactionId(2), &payment, Some(&token)).await.unwrap();
            wallet.ensure_channel(Channel::Wechat).await.unwrap();
            fixture.set_status(account, AccountStatus::Frozen).await;
            let words = [(2, 300, Notified::Settled), (1, 200, Notified::Credited)];
            for (order, units, _) in &words {
                let word = fixture.word(TransactionId(*order), true, *units);
                let said = wallet.notified(&word).await;
                let stopped = account.starts_with("channels") || *order == 2;
                assert_eq!(said.is_err(), stopped, "{account}, {order}: {said:?}");
            }
            fixture.set_status(account, AccountStatus::Active).await;
            for (order, units, expected) in words {
                let word = fixture.word(TransactionId(order), true, units);
                assert_eq!(wallet.notified(&word).await, Ok(expected), "{account}, {order}");
            }
            assert_eq!(fixture.available("customers:alice"), 200, "{account}");
            assert_eq!(fixture.available("merchants:shop"), 300, "{account}");
        }
    }

    /// What was refused while an account was frozen is taken by the channel's next copy.
    #[tokio::test]
    async fn a_frozen_account_delays_money_and_loses_none() {
        for account in ["channels:wechat", "suspense:wechat"] {
            let fixture = Fixture::new(settings()).await;
            fixture.wallet.ensure_channel(Channel::Wechat).await.unwrap();
            let word = fixture.word(TransactionId(1), true, 100);
            fixture.set_status(account, AccountStatus::Frozen).await;
            for _ in 0..2 {
                assert!(fixture.wallet.notified(&word).await.is_err(), "{account}");
            }
            fixture.set_status(account, AccountStatus::Active).await;
            for _ in 0..2 {
                let said = fixture.wallet.notified(&word).await;
                assert_eq!(said, Ok(Notified::Suspended(SuspenseReason::UnknownOrder)), "{account}");
                assert_eq!(fixture.available("suspense:wechat"), 100, "{account}");
            }
        }
    }
}

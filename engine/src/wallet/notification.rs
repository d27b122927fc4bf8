//! What a channel says of an order: applied once, however often and in whichever order it says it.
//!
//! Owns the rules of what a word means after the words before it. Never checks who speaks: that is the signature's.
//! Invariants: the first word decides an order; money that a channel has taken is credited to its order or goes to
//! suspense with a reason, once for its reference, and is in the channel's account either way.

use super::{
    ChannelResult, SuspenseReason, Wallet, WalletError,
    recharge::{Decision, RechargeOrdered},
    step::Settled,
    suspense::Money,
};

/// What a notification meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notified {
    /// The recharge's money is in the wallet.
    Credited,
    /// The payment took it.
    Settled,
    /// The recharge has failed, or the payment is off.
    Failed,
    /// The money is in suspense.
    Suspended(SuspenseReason),
    /// Nothing: something else was decided before, or there is nothing to decide.
    Unchanged(Option<SuspenseReason>),
}

impl Wallet {
    /// Applies a notification, its signature checked. The same again means the same.
    ///
    /// # Errors
    /// Overload, or a channel's account that refuses.
    pub async fn notified(&self, result: &ChannelResult) -> Result<Notified, WalletError> {
        for _ in 0..Self::TRIES_MAX {
            let round = match self.recharge_order(result.order).await? {
                Some(order) => self.recharge_notified(result, &order).await?,
                None => match self.payment_notified(result).await? {
                    Some(notified) => Some(notified),
                    None if result.paid => {
                        let reason =
                            self.suspend(&Money::of(result), SuspenseReason::UnknownOrder, None).await?;
                        reason.map(Notified::Suspended)
                    }
                    None => Some(Notified::Unchanged(Some(SuspenseReason::UnknownOrder))),
                },
            };
            if let Some(notified) = round {
                return Ok(notified);
            }
        }
        Err(Self::overtaken())
    }

    /// One look at a recharge, and the step that follows from it; `None` if it is to be looked at again.
    async fn recharge_notified(
        &self,
        result: &ChannelResult,
        order: &Settled<RechargeOrdered>,
    ) -> Result<Option<Notified>, WalletError> {
        let suspend = async |reason| {
            let reason = self.suspend(&Money::of(result), reason, None).await?;
            Ok(reason.map(Notified::Suspended))
        };
        if order.document.channel != result.channel {
            return if result.paid {
                suspend(SuspenseReason::OtherChannel).await
            } else {
                Ok(Some(Notified::Unchanged(Some(SuspenseReason::OtherChannel))))
            };
        }
        match (self.recharge_decision(result.order).await?, result.paid) {
            (Decision::Open, true) => self.recharge_paid(result, order).await,
            (Decision::Open, false) => {
                self.fail_recharge(result.order, &result.reference).await?;
                Ok(None)
            }
            (Decision::Failed { .. }, false) => Ok(Some(Notified::Failed)),
            (Decision::Failed { .. }, true) => suspend(SuspenseReason::PaidAfterFailed).await,
            (Decision::Credited { .. }, false) => Ok(Some(Notified::Unchanged(None))),
            (Decision::Credited { money, .. }, true) => match money.reference == result.reference {
                true if money.amount() == result.amount => Ok(Some(Notified::Credited)),
                true => Ok(Some(Notified::Unchanged(Some(SuspenseReason::AmountDiffers)))),
                false => suspend(SuspenseReason::PaidAgain).await,
            },
            (Decision::BonusRefused { money, from_suspense }, _) => {
                self.credit_recharge(result.order, order, (money, from_suspense), true).await?;
                Ok(None)
            }
            (Decision::Refused { money, code }, paid) => {
                // Whoever comes first after the refusal brings its money to suspense; it may have been there.
                let first = self.suspend(&money, SuspenseReason::Refused(code as u8), None).await?;
                match first {
                    None => Ok(None),
                    Some(_) if !paid => Ok(Some(Notified::Unchanged(None))),
                    Some(_) if money.reference == result.reference => {
                        Ok(Some(Notified::Suspended(SuspenseReason::Refused(code as u8))))
                    }
                    Some(_) => suspend(SuspenseReason::PaidAgain).await,
                }
            }
        }
    }

    /// The first money of an order of which nothing was decided.
    async fn recharge_paid(
        &self,
        result: &ChannelResult,
        order: &Settled<RechargeOrdered>,
    ) -> Result<Option<Notified>, WalletError> {
        let money = Money::of(result);
        let fits = result.amount == order.document.amount();
        match self.suspended(&money).await? {
            Some(suspended) => {
                if !(fits && suspended.document.is_early(&money)) {
                    return Ok(Some(Notified::Suspended(suspended.document.reason)));
                }
                self.credit_recharge(result.order, order, (money, true), false).await?;
                Ok(None)
            }
            None if !fits => {
                let reason = self.suspend(&money, SuspenseReason::AmountDiffers, None).await?;
                Ok(reason.map(Notified::Suspended))
            }
            None => {
                self.credit_recharge(result.order, order, (money, false), false).await?;
                Ok(None)
            }
        }
    }
}

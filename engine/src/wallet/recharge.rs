//! Recharges: an order for a channel, and its money once the channel says that it came.
//!
//! Step 0 is the order, without money. Step 1 is what was decided of it, once: failed, or credited. Where only the bonus
//! was refused, step 2 credits without it. Invariant: what a channel has paid for an order is credited once, or is in
//! suspense.

#[cfg(test)]
mod tests;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::part;
use super::{
    Channel, Part, Wallet, WalletError,
    document::Document,
    names,
    step::{Draft, Settled},
    suspense::{Money, SuspenseReason, order_id},
};
use crate::model::{Amount, Lane, RejectionCode, Timestamp, TransactionId};

/// A recharge to order.
#[derive(Clone, Debug)]
pub struct RechargeRequest {
    /// The caller's id.
    pub id: TransactionId,
    /// Whose wallet.
    pub user: Part,
    /// Who takes the money in.
    pub channel: Channel,
    /// How much.
    pub amount: Amount,
    /// A promotion that may add to it.
    pub promotion: Option<Part>,
}

/// Where a recharge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RechargeStatus {
    /// The channel has not said anything.
    Pending,
    /// Credited.
    Paid,
    /// The channel says that no money comes.
    Failed,
    /// Money came, and was not credited.
    Suspended,
}

/// A recharge as it is.
#[derive(Clone, Debug)]
pub struct RechargeView {
    /// What was ordered.
    pub request: RechargeRequest,
    /// Where it is.
    pub status: RechargeStatus,
    /// What the promotion added.
    pub bonus: Option<Amount>,
    /// The channel's reference of the money.
    pub reference: Option<CompactString>,
    /// When the channel took the money.
    pub paid_at: Option<Timestamp>,
    /// Why the money is in suspense.
    pub reason: Option<SuspenseReason>,
    /// When it was ordered.
    pub ordered_at: Timestamp,
}

/// What came of an order.
#[derive(Clone, Debug)]
pub struct OrderedRecharge {
    /// As it was ordered.
    pub view: RechargeView,
    /// Whether an earlier call ordered it.
    pub replayed: bool,
}

/// The record of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RechargeOrdered {
    user: Part,
    pub(super) channel: Channel,
    units: u64,
    promotion: Option<Part>,
}

impl Document for RechargeOrdered {
    const TAG: u8 = 40;
    const LANE: Lane = Lane::Recharge;
}

/// The record of what came of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum RechargeDecided {
    /// The channel says that no money comes.
    Failed {
        /// The channel's own reference, perhaps empty.
        reference: CompactString,
    },
    /// Credited, unless the record says that it was refused.
    Credited {
        /// What came.
        money: Money,
        /// What the promotion adds.
        bonus: Option<Given>,
        /// Whether the money waited in suspense.
        from_suspense: bool,
    },
}

impl Document for RechargeDecided {
    const TAG: u8 = 41;
    const LANE: Lane = Lane::Recharge;
}

/// What a promotion adds to a recharge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    promotion: Part,
    units: u64,
    /// Whether a slot of the user's goes with it.
    slot: bool,
}

/// Where an order is.
pub(super) enum Decision {
    /// Nothing was decided.
    Open,
    /// No money comes.
    Failed { reference: CompactString },
    /// The money is in the wallet.
    Credited { money: Money, bonus: Option<Given> },
    /// The bonus was refused; the money is to be credited without it.
    BonusRefused { money: Money, from_suspense: bool },
    /// The wallet refused the money.
    Refused { money: Money, code: RejectionCode },
}

impl RechargeOrdered {
    pub(super) fn amount(&self) -> Amount {
        Amount(self.units)
    }

    fn difference(&self, request: &RechargeRequest) -> Option<&'static str> {
        [
            (self.user == request.user, "/user"),
            (self.channel == request.channel, "/channel"),
            (self.amount() == request.amount, "/amount"),
            (self.promotion == request.promotion, "/promotion"),
        ]
        .into_iter()
        .find_map(|(same, field)| (!same).then_some(field))
    }
}

impl Wallet {
    const ORDERED: u32 = 0;
    const DECIDED: u32 = 1;
    const WITHOUT_BONUS: u32 = 2;

    fn recharge_step(order: TransactionId, step: u32) -> TransactionId {
        names::derive("recharge", &order.0.to_be_bytes(), step)
    }

    /// Orders a recharge; its money comes with the channel's notification.
    ///
    /// # Errors
    /// The id belongs to another order, there is no such wallet, the promotion is not for this, or overload.
    pub async fn recharge(&self, request: RechargeRequest) -> Result<OrderedRecharge, WalletError> {
        self.own_user(&request.user)?;
        let id = Self::recharge_step(request.id, Self::ORDERED);
        for _ in 0..Self::TRIES_MAX {
            let settled = match self.find::<RechargeOrdered>(id).await? {
                Some(settled) => settled,
                // The order may have come to disk just now.
                None if self.order_taken(request.id).await? => match self.find(id).await? {
                    Some(settled) => settled,
                    None => return Err(WalletError::IdReused { field: "/id".to_owned() }),
                },
                None => {
                    self.profile(&request.user)?;
                    WalletError::check_amount(request.amount, "/amount")?;
                    if let Some(promotion) = &request.promotion {
                        let now = self.engine().now();
                        self.bonus_for(request.amount, promotion, request.channel, now)?;
                    }
                    self.ensure_channel(request.channel).await?;
                    let document = RechargeOrdered {
                        user: request.user.clone(),
                        channel: request.channel,
                        units: request.amount.units(),
                        promotion: request.promotion.clone(),
                    };
                    let mut draft = Draft::new(id, document);
                    draft.alias(order_id(request.id));
                    let Some(settled) = self.submit(draft).await? else { continue };
                    settled
                }
            };
            if let Some(field) = settled.document.difference(&request) {
                return Err(WalletError::IdReused { field: field.to_owned() });
            }
            let view = pending(request, &settled);
            return Ok(OrderedRecharge { view, replayed: settled.replayed });
        }
        Err(Self::overtaken())
    }

    /// A recharge as it is; `None` if there is none.
    ///
    /// # Errors
    /// Overload.
    pub async fn recharge_view(&self, id: TransactionId) -> Result<Option<RechargeView>, WalletError> {
        let Some(settled) = self.recharge_order(id).await? else { return Ok(None) };
        let RechargeOrdered { user, channel, units, promotion } = settled.document.clone();
        if self.own_user(&user).is_err() {
            return Ok(None);
        }
        let request = RechargeRequest { id, user, channel, amount: Amount(units), promotion };
        let mut view = pending(request, &settled);
        let decision = self.recharge_decision(id).await?;
        let suspended = match &decision {
            Decision::Credited { .. } => None,
            Decision::Refused { money, .. } => self.suspended(money).await?.map(|settled| settled.document),
            Decision::Open | Decision::Failed { .. } | Decision::BonusRefused { .. } => {
                self.order_suspended(&super::suspense::order_text(id)).await?
            }
        };
        if let Some(suspended) = suspended {
            // Money that came too early belongs to the order, and a copy of the notification credits it.
            view.status = RechargeStatus::Suspended;
            view.reason = Some(match decision {
                Decision::Refused { code, .. } => SuspenseReason::Refused(code as u8),
                Decision::Open
                | Decision::Failed { .. }
                | Decision::Credited { .. }
                | Decision::BonusRefused { .. } => suspended.reason,
            });
            view.paid_at = Some(suspended.money.paid_at());
            view.reference = Some(suspended.money.reference);
            return Ok(Some(view));
        }
        match decision {
            Decision::Open | Decision::BonusRefused { .. } | Decision::Refused { .. } => {}
            Decision::Failed { reference } => {
                view.status = RechargeStatus::Failed;
                view.reference = (!reference.is_empty()).then_some(reference);
            }
            Decision::Credited { money, bonus } => {
                view.status = RechargeStatus::Paid;
                view.bonus = bonus.map(|bonus| Amount(bonus.units));
                view.paid_at = Some(money.paid_at());
                view.reference = Some(money.reference);
            }
        }
        Ok(Some(view))
    }

    /// The record of an order, if it is there or on its way.
    pub(super) async fn recharge_order(
        &self,
        id: TransactionId,
    ) -> Result<Option<Settled<RechargeOrdered>>, WalletError> {
        self.find(Self::recharge_step(id, Self::ORDERED)).await
    }

    /// Where an order is.
    pub(super) async fn recharge_decision(&self, order: TransactionId) -> Result<Decision, WalletError> {
        let Some(first) = self.find(Self::recharge_step(order, Self::DECIDED)).await? else {
            return Ok(Decision::Open);
        };
        let (money, bonus, from_suspense) = match first.document {
            RechargeDecided::Failed { reference } => return Ok(Decision::Failed { reference }),
            RechargeDecided::Credited { money, bonus, from_suspense } => (money, bonus, from_suspense),
        };
        let code = match first.verdict {
            Ok(()) => return Ok(Decision::Credited { money, bonus }),
            Err(rejection) if rejection.operation < money_operations(from_suspense) => rejection.code,
            // One of the bonus's operations, which come after the money's.
            Err(_) => {
                let second = Self::recharge_step(order, Self::WITHOUT_BONUS);
                match self.find::<RechargeDecided>(second).await?.map(|second| second.verdict) {
                    None => return Ok(Decision::BonusRefused { money, from_suspense }),
                    Some(Ok(())) => return Ok(Decision::Credited { money, bonus: None }),
                    Some(Err(rejection)) => rejection.code,
                }
            }
        };
        Ok(Decision::Refused { money, code })
    }

    /// Writes down that no money comes. What was decided is to be read again.
    pub(super) async fn fail_recharge(
        &self,
        order: TransactionId,
        reference: &str,
    ) -> Result<(), WalletError> {
        let document = RechargeDecided::Failed { reference: reference.into() };
        self.submit(Draft::new(Self::recharge_step(order, Self::DECIDED), document)).await.map(|_| ())
    }

    /// Credits an order's money with its bonus, and without one if that was refused. What was decided is to be read
    /// again.
    pub(super) async fn credit_recharge(
        &self,
        id: TransactionId,
        order: &Settled<RechargeOrdered>,
        (money, from_suspense): (Money, bool),
        bonus_refused: bool,
    ) -> Result<(), WalletError> {
        let (bonus, step) = if bonus_refused {
            (None, Self::WITHOUT_BONUS)
        } else {
            (self.given(order).await?, Self::DECIDED)
        };
        let (user, amount, alias) = (&order.document.user, money.amount(), money.alias());
        let (channel, suspense) = (names::channel(money.channel), names::suspense(money.channel));
        self.not_frozen([&channel].into_iter().chain(from_suspense.then_some(&suspense)))?;
        let in_suspense = match from_suspense {
            true => Some(self.suspended(&money).await?.ok_or_else(Self::overtaken)?.id),
            false => None,
        };
        let document = RechargeDecided::Credited { money, bonus: bonus.clone(), from_suspense };
        let mut draft = Draft::new(Self::recharge_step(id, step), document);
        if let Some(record) = in_suspense {
            draft.reverse((record, 0), (amount, Draft::<RechargeDecided>::CNY_SCALE), Self::SUSPENSE);
        }
        draft.transfer(&channel, &names::customer(user), amount, "recharge");
        if let Some(Given { promotion, units, slot }) = bonus {
            draft.transfer(&names::promotion(&promotion), &names::customer(user), Amount(units), "bonus");
            if slot {
                draft.transfer_whole(&names::slots(user, &promotion), &names::grants(&promotion), 1, "slot");
            }
        }
        if !from_suspense {
            // What is in suspense took it.
            draft.alias(alias);
        }
        self.submit(draft).await.map(|_| ())
    }

    /// What an order's promotion adds. It was taken for the order when that was accepted, and its terms never change: a
    /// channel that is late takes nothing from the user, nor does the time that the order's record takes.
    async fn given(&self, order: &Settled<RechargeOrdered>) -> Result<Option<Given>, WalletError> {
        let RechargeOrdered { user, promotion, .. } = &order.document;
        let Some(promotion) = promotion else { return Ok(None) };
        let terms = self.promotion_terms(promotion);
        let Some(bonus) = terms.and_then(|terms| terms.bonus(order.document.amount())) else {
            return Ok(None);
        };
        if bonus.slot {
            match self.ensure_slots(user, promotion).await {
                Ok(()) => {}
                // Somebody else's account is where the user's grants were to be counted.
                Err(WalletError::Refused(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Given { promotion: promotion.clone(), units: bonus.amount.units(), slot: bonus.slot }))
    }
}

/// The operations of a credit that move the money; those of the bonus come after them.
fn money_operations(from_suspense: bool) -> u8 {
    if from_suspense { 2 } else { 1 }
}

fn pending(request: RechargeRequest, settled: &Settled<RechargeOrdered>) -> RechargeView {
    RechargeView {
        request,
        status: RechargeStatus::Pending,
        bonus: None,
        reference: None,
        paid_at: None,
        reason: None,
        ordered_at: settled.at,
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let promotion = part("half");
    let ordered = |channel| {
        let (user, promotion) = (part("alice"), Some(promotion.clone()));
        Form::document(&RechargeOrdered { user, channel, units: 10_000, promotion })
    };
    let bonus = Some(Given { promotion: promotion.clone(), units: 300, slot: true });
    let decided = [
        RechargeDecided::Failed { reference: "r-1".into() },
        RechargeDecided::Credited { money: Money::sample(Channel::Alipay), bonus, from_suspense: true },
    ];
    Channel::ALL.map(ordered).into_iter().chain(decided.map(|decided| Form::document(&decided))).collect()
}

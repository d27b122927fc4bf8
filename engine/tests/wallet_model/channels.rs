//! The naive model's channels: recharges, what channels say of them, money that fits nothing.

use yue_engine::wallet::{Channel, PromotionKind, RechargeStatus};

use super::{
    books::Op,
    naive::{Expected, Naive, again, budget, given, own, says},
};

#[derive(Clone, Debug)]
pub(crate) struct Recharge {
    pub(crate) user: usize,
    pub(crate) channel: Channel,
    pub(crate) amount: u64,
    promotion: Option<String>,
    /// What the promotion adds, if nothing speaks against it then.
    bonus: Option<u64>,
    decided: Decided,
}

#[derive(Clone, Debug)]
enum Decided {
    Open,
    Failed(String),
    Credited { money: Money, bonus: Option<u64> },
    Refused { money: Money, code: &'static str },
}

/// What a channel has taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) channel: Channel,
    pub(crate) order: u128,
    pub(crate) reference: String,
    pub(crate) amount: u64,
    pub(crate) paid_at: i64,
}

/// What tells money from other money: a channel may use a reference for two orders.
pub(crate) type MoneyKey = (Channel, u128, String);

impl Money {
    pub(crate) fn key(&self) -> MoneyKey {
        (self.channel, self.order, self.reference.clone())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Suspended {
    pub(crate) money: Money,
    pub(crate) reason: &'static str,
}

pub(crate) fn receivable(channel: Channel) -> String {
    format!("channels:{}", channel.as_str())
}

pub(crate) fn suspense(channel: Channel) -> String {
    format!("suspense:{}", channel.as_str())
}

/// Takes money out of suspense again.
pub(crate) fn from_suspense(money: &Money) -> Op {
    let (from, to) = (suspense(money.channel), receivable(money.channel));
    Op::Back { from, to, amount: money.amount, code: "suspense", at: 0 }
}

impl Naive {
    pub(crate) fn recharge(&mut self, id: u128, order: (usize, Channel, u64, Option<String>)) -> Expected {
        let (user, channel, amount, promotion) = order;
        if let Some(first) = self.recharges.get(&id) {
            let fields = [
                (first.user != user, "/user"),
                (first.channel != channel, "/channel"),
                (first.amount != amount, "/amount"),
                (first.promotion != promotion, "/promotion"),
            ];
            return again(&fields, &Ok("pending".into()));
        }
        if !self.users.contains_key(&user) {
            return says("not_found", None);
        }
        let mut bonus = None;
        if let Some(id) = &promotion {
            let terms = self.runs(id, PromotionKind::RechargeBonus, Some(channel));
            bonus = terms.map(|terms| given(terms.rule, amount)).filter(|bonus| *bonus > 0);
            if bonus.is_none() {
                return says("promotion_not_applicable /promotion", None);
            }
        }
        self.recharges
            .insert(id, Recharge { user, channel, amount, promotion, bonus, decided: Decided::Open });
        says("pending", Some(false))
    }

    pub(crate) fn notify(
        &mut self,
        channel: Channel,
        order: u128,
        paid: bool,
        (amount, reference, paid_at): (u64, &str, i64),
    ) -> String {
        let money = Money { channel, order, reference: reference.to_owned(), amount, paid_at };
        if self.recharges.contains_key(&order) {
            return self.recharge_notified(money, paid);
        }
        if self.payments.get(&order).is_some_and(|payment| payment.channel().is_some()) {
            return self.payment_notified(money, paid);
        }
        if paid { self.suspend(money, "unknown_order") } else { "unchanged unknown_order".into() }
    }

    /// Books money that fits nothing, unless its reference is booked so already.
    pub(crate) fn suspend(&mut self, money: Money, reason: &'static str) -> String {
        let key = money.key();
        if let Some(first) = self.suspense.get(&key) {
            return format!("suspended {}", first.reason);
        }
        let (debit, credit) = (receivable(money.channel), suspense(money.channel));
        let booked = Op::Move { debit, credit, amount: money.amount, code: "suspense" };
        self.books.post(&[booked], self.now).unwrap();
        self.first_suspended.entry(money.order).or_insert_with(|| key.clone());
        self.suspense.insert(key, Suspended { money, reason });
        format!("suspended {reason}")
    }

    /// Money that came before its order, and is still there for it.
    pub(crate) fn waits_in_suspense(&self, money: &Money) -> Option<(bool, &'static str)> {
        let there = self.suspense.get(&money.key())?;
        let (theirs, mine) = (&there.money, money);
        let same = theirs.order == mine.order && theirs.amount == mine.amount;
        Some((there.reason == "unknown_order" && same, there.reason))
    }

    fn recharge_notified(&mut self, money: Money, paid: bool) -> String {
        let order = self.recharges[&money.order].clone();
        if order.channel != money.channel {
            return if paid {
                self.suspend(money, "other_channel")
            } else {
                "unchanged other_channel".into()
            };
        }
        match (order.decided.clone(), paid) {
            (Decided::Open, true) => self.recharge_paid(money, &order),
            (Decided::Open, false) => {
                self.decide(money.order, Decided::Failed(money.reference));
                "failed".into()
            }
            (Decided::Failed(_), false) => "failed".into(),
            (Decided::Failed(_), true) => self.suspend(money, "paid_after_failed"),
            (Decided::Credited { .. } | Decided::Refused { .. }, false) => "unchanged -".into(),
            (Decided::Credited { money: first, .. }, true) if first.reference == money.reference => {
                let same = first.amount == money.amount;
                if same { "credited".into() } else { "unchanged amount_differs".into() }
            }
            (Decided::Refused { money: first, code }, true) if first.reference == money.reference => {
                format!("suspended {code}")
            }
            (Decided::Credited { .. } | Decided::Refused { .. }, true) => self.suspend(money, "paid_again"),
        }
    }

    fn decide(&mut self, order: u128, decided: Decided) {
        self.recharges.get_mut(&order).unwrap().decided = decided;
    }

    fn recharge_paid(&mut self, money: Money, order: &Recharge) -> String {
        let fits = money.amount == order.amount;
        let early = match self.waits_in_suspense(&money) {
            Some((true, _)) if fits => true,
            Some((_, reason)) => return format!("suspended {reason}"),
            None if fits => false,
            None => return self.suspend(money, "amount_differs"),
        };
        let (debit, credit) = (receivable(money.channel), own(order.user));
        let mut credited: Vec<Op> = early.then(|| from_suspense(&money)).into_iter().collect();
        credited.push(Op::Move { debit, credit, amount: money.amount, code: "recharge" });
        let mut ops = credited.clone();
        if let (Some(id), Some(bonus)) = (&order.promotion, order.bonus) {
            let (debit, credit) = (budget(id), own(order.user));
            ops.push(Op::Move { debit, credit, amount: bonus, code: "bonus" });
            if let Some((debit, credit)) = self.slot_of(order.user, id) {
                ops.push(Op::Move { debit, credit, amount: 1, code: "slot" });
            }
        }
        let first = self.books.post(&ops, self.now);
        // Without its bonus, if that alone was refused.
        let (outcome, bonus) = match first {
            Err((_, operation)) if operation >= credited.len() => {
                (self.books.post(&credited, self.now), None)
            }
            other => (other, order.bonus),
        };
        let id = money.order;
        match outcome {
            Ok(()) => {
                self.decide(id, Decided::Credited { money, bonus });
                "credited".into()
            }
            Err((code, _)) => {
                self.decide(id, Decided::Refused { money: money.clone(), code });
                self.suspend(money, code);
                format!("suspended {code}")
            }
        }
    }

    /// A recharge as it must be shown.
    pub(crate) fn recharge_text(&self, id: u128) -> String {
        let order = &self.recharges[&id];
        let text = |status: RechargeStatus, bonus: Option<u64>, money: Option<&Money>, reason: &str| {
            let reference = money.map(|it| it.reference.as_str());
            let paid_at = money.map(|it| it.paid_at);
            format!("{status:?} bonus {bonus:?} reference {reference:?} at {paid_at:?} {reason}")
        };
        let waiting = self.first_suspended.get(&id).map(|key| &self.suspense[key]);
        match (&order.decided, waiting) {
            (Decided::Credited { money, bonus }, _) => text(RechargeStatus::Paid, *bonus, Some(money), "-"),
            (Decided::Refused { money, code }, _) => text(RechargeStatus::Suspended, None, Some(money), code),
            (Decided::Open | Decided::Failed(_), Some(first)) => {
                text(RechargeStatus::Suspended, None, Some(&first.money), first.reason)
            }
            (Decided::Open, None) => text(RechargeStatus::Pending, None, None, "-"),
            (Decided::Failed(reference), None) => {
                let (status, at) = (RechargeStatus::Failed, None::<i64>);
                format!("{status:?} bonus {:?} reference {:?} at {at:?} -", None::<u64>, Some(reference))
            }
        }
    }
}

impl Recharge {
    pub(crate) fn body(&self) -> (usize, Channel, u64, Option<String>) {
        (self.user, self.channel, self.amount, self.promotion.clone())
    }
}

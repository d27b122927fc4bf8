//! Payments: what they are made up of, what is refunded, and which end they take.
//!
//! Invariant: what an acknowledged payment moves is what its answer's legs say, and those sum to its price.

use std::time::Instant;

use uuid::Uuid;

use super::{Book, CHANNEL_ANSWERS_AFTER, Facts, Leg, Notice, Order, PaymentNo, Refunded, Shown};
use crate::accounts::AccountNo;
use crate::channel::Channel;
use crate::money::Fen;

/// What came from where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Legs {
    pub(crate) balance: Fen,
    pub(crate) promotion: Fen,
    pub(crate) channel: Fen,
}

impl Legs {
    /// All legs together.
    pub(crate) fn sum(self) -> Fen {
        Fen(self.balance.0 + self.promotion.0 + self.channel.0)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            balance: Fen(self.balance.0 + other.balance.0),
            promotion: Fen(self.promotion.0 + other.promotion.0),
            channel: Fen(self.channel.0 + other.channel.0),
        }
    }

    fn within(self, other: Self) -> bool {
        self.balance <= other.balance && self.promotion <= other.promotion && self.channel <= other.channel
    }
}

/// Where a payment stands, as far as answers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No final answer yet.
    Asked,
    Rejected,
    /// For its channel.
    Waiting,
    /// Its cancellation has no final answer yet.
    Cancelling,
    /// Its channel's word has no final answer yet.
    Settling,
    Paid,
    /// By its owner or its channel.
    Cancelled,
    /// Cancelled, and the channel's money that came later was sent back.
    Returned,
}

/// What its channel will say of a payment that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Paid,
    Failed,
    /// Nothing, ever.
    Abandoned,
}

/// A payment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payment {
    pub(crate) id: Uuid,
    pub(crate) user: AccountNo,
    pub(crate) merchant: AccountNo,
    pub(crate) fees: AccountNo,
    pub(crate) promotion: Option<AccountNo>,
    /// What the promotion gives, if it gives.
    pub(crate) discount: Fen,
    /// Whether the promotion may be left out when it is spent.
    pub(crate) full_price: bool,
    pub(crate) channel: Option<(Channel, AccountNo, AccountNo)>,
    pub(crate) fate: Fate,
    pub(crate) total: Fen,
    pub(crate) fee: Fen,
    pub(crate) state: State,
    pub(crate) legs: Legs,
    pub(crate) refunded: Legs,
    /// Refunds that are asked for, acknowledged or not.
    pub(crate) asked: Fen,
}

impl Payment {
    /// Whether its channel can speak now; then it does.
    pub(super) fn speak(&mut self) -> bool {
        match self.state {
            State::Waiting => {
                self.state = State::Settling;
                true
            }
            State::Cancelled => true,
            State::Asked
            | State::Rejected
            | State::Cancelling
            | State::Settling
            | State::Paid
            | State::Returned => false,
        }
    }

    /// Its channel was not heard.
    pub(super) fn not_heard(&mut self) {
        if self.state == State::Settling {
            self.state = State::Waiting;
        }
    }

    /// The fee that is back once this much is refunded.
    fn fee_back(&self, refunded: Fen) -> u64 {
        let share = u128::from(self.fee.0) * u128::from(refunded.0) / u128::from(self.total.0.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

impl Book {
    /// Notes a payment that is about to be asked for.
    pub(crate) fn plan_payment(&mut self, payment: Payment) -> PaymentNo {
        self.payments.push(payment);
        PaymentNo(self.payments.len() - 1)
    }

    /// All payments with their places.
    pub(crate) fn payments(&self) -> impl Iterator<Item = (PaymentNo, &Payment)> {
        (0..).map(PaymentNo).zip(&self.payments)
    }

    /// How many payments there are, of any state.
    pub(crate) fn payments_len(&self) -> usize {
        self.payments.len()
    }

    /// A payment by its place.
    pub(crate) fn payment(&self, index: usize) -> Option<(PaymentNo, Payment)> {
        self.payments.get(index).map(|payment| (PaymentNo(index), *payment))
    }

    /// The payment of a number.
    pub(crate) fn of(&self, number: PaymentNo) -> Option<&Payment> {
        self.payments.get(number.0)
    }

    pub(super) fn payment_mut(&mut self, number: PaymentNo) -> Option<&mut Payment> {
        self.payments.get_mut(number.0)
    }

    pub(super) fn set_state(&mut self, number: PaymentNo, state: State) {
        if let Some(payment) = self.payment_mut(number) {
            payment.state = state;
        }
    }

    /// Notes that a refund is asked for.
    pub(crate) fn ask_refund(&mut self, number: PaymentNo, amount: Fen) {
        if let Some(payment) = self.payment_mut(number) {
            payment.asked = Fen(payment.asked.0 + amount.0);
        }
    }

    pub(super) fn not_refunded(&mut self, number: PaymentNo, amount: Fen) {
        if let Some(payment) = self.payment_mut(number) {
            payment.asked = Fen(payment.asked.0.saturating_sub(amount.0));
        }
    }

    /// The payment that has waited longest for a channel that has something to say; it is then being cancelled.
    pub(crate) fn take_cancellable(&mut self) -> Option<(PaymentNo, Uuid)> {
        let number = self.due.iter().find_map(|(_, notice)| match notice.order {
            Order::Payment(number) if self.of(number).is_some_and(|one| one.state == State::Waiting) => {
                Some(number)
            }
            Order::Payment(_) | Order::Recharge(_) => None,
        })?;
        self.set_state(number, State::Cancelling);
        self.of(number).map(|payment| (number, payment.id))
    }

    pub(super) fn paid(&mut self, number: PaymentNo, facts: Facts, now: Instant) {
        let Some(payment) = self.payment_mut(number) else {
            return;
        };
        payment.legs = facts.legs;
        payment.state = if facts.shown == Shown::Waiting { State::Waiting } else { State::Paid };
        let payment = *payment;
        let Payment { id, legs, total, .. } = payment;
        if legs.sum() != total {
            self.broken(id, &format!("legs of {} for a price of {total}", legs.sum()));
        }
        let promised = if payment.promotion.is_some() { payment.discount } else { Fen(0) };
        if legs.promotion != promised && !(payment.full_price && legs.promotion == Fen(0)) {
            self.broken(id, &format!("the promotion gave {}, not {promised}", legs.promotion));
        }
        match payment.state {
            State::Waiting => self.await_channel(number, &payment, now),
            State::Asked
            | State::Rejected
            | State::Cancelling
            | State::Settling
            | State::Paid
            | State::Cancelled
            | State::Returned => self.apply_payment(&payment),
        }
    }

    fn await_channel(&mut self, number: PaymentNo, payment: &Payment, now: Instant) {
        let Some((channel, owed, suspense)) = payment.channel else {
            self.broken(payment.id, "waits for a channel that was not asked");
            return;
        };
        if payment.fate != Fate::Abandoned {
            let amount = payment.legs.channel;
            let notice = Notice {
                order: Order::Payment(number),
                id: payment.id,
                channel,
                paid: payment.fate == Fate::Paid,
                amount,
                suspense: Leg { debit: owed, credit: suspense, amount },
            };
            self.say(notice, now + CHANNEL_ANSWERS_AFTER);
        }
    }

    fn apply_payment(&mut self, payment: &Payment) {
        let Payment { user, merchant, legs, fee, fees, .. } = *payment;
        self.apply(Leg { debit: user, credit: merchant, amount: legs.balance });
        if let Some(promotion) = payment.promotion {
            self.apply(Leg { debit: promotion, credit: merchant, amount: legs.promotion });
        }
        if let Some((_, owed, _)) = payment.channel {
            self.apply(Leg { debit: owed, credit: merchant, amount: legs.channel });
        }
        self.apply(Leg { debit: merchant, credit: fees, amount: fee });
    }

    pub(super) fn payment_notified(&mut self, number: PaymentNo, notice: &Notice, facts: Facts) {
        let Some(payment) = self.payment_mut(number) else {
            return;
        };
        let before = payment.state;
        payment.state = match (before, notice.paid) {
            (State::Cancelled, true) => State::Returned,
            (State::Cancelled, false) => State::Cancelled,
            (_, true) => State::Paid,
            (_, false) => State::Cancelled,
        };
        let payment = *payment;
        let expected = match (before, notice.paid) {
            // Through suspense and back: nothing has moved in sum.
            (State::Cancelled, true) => Shown::Suspended,
            (State::Cancelled, false) => Shown::Other,
            (_, true) => {
                self.apply_payment(&payment);
                Shown::Paid
            }
            (_, false) => Shown::Failed,
        };
        if facts.shown != expected {
            let what = format!("its channel's word made it {:?}, not {expected:?}", facts.shown);
            self.broken(payment.id, &what);
        }
    }

    pub(super) fn cancelled(&mut self, number: PaymentNo, facts: Facts) {
        self.set_state(number, State::Cancelled);
        if facts.shown != Shown::Cancelled
            && let Some(payment) = self.of(number)
        {
            let id = payment.id;
            self.broken(id, &format!("cancelled, and shown as {:?}", facts.shown));
        }
    }

    pub(super) fn refunded(&mut self, id: Uuid, number: PaymentNo, amount: Fen, legs: Legs) {
        let Some(payment) = self.payment_mut(number) else {
            return;
        };
        let before = payment.refunded.sum();
        payment.refunded = payment.refunded.plus(legs);
        let payment = *payment;
        self.refunds.push(Refunded { id, payment: number, amount });
        if legs.sum() != amount || !payment.refunded.within(payment.legs) {
            let what = format!(
                "a refund of {amount} by {legs:?} makes {:?} of {:?} of {}",
                payment.refunded, payment.legs, payment.id
            );
            self.broken(id, &what);
        }
        let Payment { user, merchant, fees, .. } = payment;
        self.apply(Leg { debit: merchant, credit: user, amount: legs.balance });
        if let Some(promotion) = payment.promotion {
            self.apply(Leg { debit: merchant, credit: promotion, amount: legs.promotion });
        }
        if let Some((_, owed, _)) = payment.channel {
            self.apply(Leg { debit: merchant, credit: owed, amount: legs.channel });
        }
        let back = payment.fee_back(payment.refunded.sum()) - payment.fee_back(before);
        self.apply(Leg { debit: fees, credit: merchant, amount: Fen(back) });
    }
}

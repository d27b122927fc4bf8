//! What the server has acknowledged, summed up by the harness itself.
//!
//! Owns: the expected effect on each account, the orders (payments, recharges) with what is left to do about them, and
//! what is needed to look at them again. Never asks the server: the audit compares this book with what the server says.
//! Invariant: an operation enters once, when its outcome is final; while the outcome is unknown it is not in.

mod payment;
mod recharge;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::accounts::AccountNo;
use crate::channel::Channel;
use crate::money::Fen;

pub(crate) use payment::{Fate, Legs, Payment, State};
pub(crate) use recharge::{Recharge, RechargeState};

/// How long a channel takes until it says what came of an order.
pub(crate) const CHANNEL_ANSWERS_AFTER: Duration = Duration::from_millis(500);

/// A movement of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) debit: AccountNo,
    pub(crate) credit: AccountNo,
    pub(crate) amount: Fen,
}

/// A payment's place in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PaymentNo(usize);

/// A recharge's place in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RechargeNo(usize);

/// What a channel speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Payment(PaymentNo),
    Recharge(RechargeNo),
}

/// What a channel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) order: Order,
    pub(crate) id: Uuid,
    pub(crate) channel: Channel,
    pub(crate) paid: bool,
    pub(crate) amount: Fen,
    /// What the money would go into if it fits no order, and where it comes from.
    pub(crate) suspense: Leg,
}

/// What an operation does if it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A read.
    Nothing,
    /// Between two users.
    Transfer(Leg),
    /// Moves money that the payer does not have: doing it breaks a guard.
    MustNotPost(Leg),
    Pay(PaymentNo),
    Refund {
        payment: PaymentNo,
        amount: Fen,
    },
    Cancel(PaymentNo),
    Order(RechargeNo),
    Notify(Notice),
    /// A wrong password, for this victim.
    Guess(u32),
}

/// The state that an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A payment is paid, a recharge credited, a payment settled by its channel.
    Paid,
    /// A payment or a recharge waits for its channel.
    Waiting,
    Cancelled,
    /// A channel's word that nothing came.
    Failed,
    /// The channel's money is in suspense, or was, and went back.
    Suspended,
    /// Any other state, and answers that show none.
    Other,
}

/// What a final answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) shown: Shown,
    pub(crate) legs: Legs,
    pub(crate) position: Option<u64>,
}

/// A final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(Facts),
    Rejected,
}

/// A transfer at its position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transferred {
    pub(crate) id: Uuid,
    pub(crate) position: u64,
    pub(crate) leg: Leg,
}

/// A refund that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refunded {
    pub(crate) id: Uuid,
    pub(crate) payment: PaymentNo,
    pub(crate) amount: Fen,
}

/// One worker's book.
#[derive(Default)]
pub(crate) struct Book {
    /// Credits less debits, by account number.
    effects: Vec<i128>,
    payments: Vec<Payment>,
    recharges: Vec<Recharge>,
    refunds: Vec<Refunded>,
    transfers: Vec<Transferred>,
    /// Wrong passwords that were counted, by victim.
    guesses: BTreeMap<u32, u32>,
    /// What channels have to say, by time.
    due: VecDeque<(Instant, Notice)>,
    /// Guards that were seen broken, for people.
    broken_guards: Vec<String>,
}

impl Book {
    /// An empty book for `accounts` accounts.
    pub(crate) fn new(accounts: usize) -> Self {
        Self { effects: vec![0; accounts], ..Self::default() }
    }

    /// The sum of acknowledged effects by account number, credits less debits.
    pub(crate) fn effects(&self) -> &[i128] {
        &self.effects
    }

    /// All acknowledged transfers.
    pub(crate) fn transfers(&self) -> &[Transferred] {
        &self.transfers
    }

    /// All acknowledged refunds.
    pub(crate) fn refunds(&self) -> &[Refunded] {
        &self.refunds
    }

    /// Wrong passwords that were counted, by victim.
    pub(crate) fn guesses(&self) -> &BTreeMap<u32, u32> {
        &self.guesses
    }

    /// What was seen that must not be.
    pub(crate) fn broken_guards(&self) -> &[String] {
        &self.broken_guards
    }

    /// When the next channel has something to say.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.front().map(|(due, _)| *due)
    }

    /// What a channel has to say at `now`; of a payment that is being cancelled it waits for the end of that.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Notice> {
        while let Some((_, notice)) = self.due.pop_front_if(|(due, _)| *due <= now) {
            if self.speak(notice) {
                return Some(notice);
            }
            self.say(notice, now + CHANNEL_ANSWERS_AFTER);
        }
        None
    }

    /// All that channels have still to say, when the run is over.
    pub(crate) fn take_left(&mut self) -> Vec<Notice> {
        let left = std::mem::take(&mut self.due);
        left.into_iter().map(|(_, notice)| notice).filter(|notice| self.speak(*notice)).collect()
    }

    /// Whether the order can be spoken of now; from then on its notification is under way.
    fn speak(&mut self, notice: Notice) -> bool {
        match notice.order {
            Order::Recharge(_) => true,
            Order::Payment(number) => self.payment_mut(number).is_some_and(Payment::speak),
        }
    }

    fn say(&mut self, notice: Notice, at: Instant) {
        let place = self.due.partition_point(|(due, _)| *due <= at);
        self.due.insert(place, (at, notice));
    }

    /// Moves money by no operation of the load: a promotion's budget.
    pub(crate) fn apply(&mut self, leg: Leg) {
        if let Some(effect) = self.effects.get_mut(leg.debit.0 as usize) {
            *effect -= leg.amount.signed();
        }
        if let Some(effect) = self.effects.get_mut(leg.credit.0 as usize) {
            *effect += leg.amount.signed();
        }
    }

    /// Enters a final outcome.
    pub(crate) fn enter(&mut self, id: Uuid, effect: &Effect, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Done(facts) => self.done(id, effect, facts, now),
            Outcome::Rejected => self.rejected(effect),
        }
    }

    fn done(&mut self, id: Uuid, effect: &Effect, facts: Facts, now: Instant) {
        match effect {
            Effect::Nothing => {}
            Effect::Transfer(leg) => {
                self.apply(*leg);
                if let Some(position) = facts.position {
                    self.transfers.push(Transferred { id, position, leg: *leg });
                }
            }
            Effect::MustNotPost(leg) => {
                self.apply(*leg);
                self.broken(id, &format!("a transfer of {} that nobody can afford was posted", leg.amount));
            }
            Effect::Pay(payment) => self.paid(*payment, facts, now),
            Effect::Refund { payment, amount } => self.refunded(id, *payment, *amount, facts.legs),
            Effect::Cancel(payment) => self.cancelled(*payment, facts),
            Effect::Order(recharge) => self.ordered(*recharge, now),
            Effect::Notify(notice) => self.notified(notice, facts),
            Effect::Guess(_) => self.broken(id, "a wrong password gave a token"),
        }
    }

    fn notified(&mut self, notice: &Notice, facts: Facts) {
        match notice.order {
            Order::Payment(number) => self.payment_notified(number, notice, facts),
            Order::Recharge(number) => self.recharge_notified(number, notice, facts),
        }
    }

    fn rejected(&mut self, effect: &Effect) {
        match effect {
            Effect::Pay(payment) => self.set_state(*payment, State::Rejected),
            Effect::Notify(notice) => {
                self.broken(notice.id, "a channel's notification was refused");
            }
            Effect::Order(recharge) => self.not_ordered(*recharge),
            Effect::Guess(victim) => *self.guesses.entry(*victim).or_default() += 1,
            Effect::Cancel(_)
            | Effect::Refund { .. }
            | Effect::Nothing
            | Effect::Transfer(_)
            | Effect::MustNotPost(_) => self.not_taken(effect, Instant::now()),
        }
    }

    /// Takes back what was planned for an operation that surely has not happened and will not.
    pub(crate) fn not_taken(&mut self, effect: &Effect, now: Instant) {
        match effect {
            Effect::Pay(payment) => self.set_state(*payment, State::Rejected),
            // Still waiting: its channel has a word for it, or the audit cancels it.
            Effect::Cancel(payment) => self.set_state(*payment, State::Waiting),
            Effect::Refund { payment, amount } => self.not_refunded(*payment, *amount),
            Effect::Order(recharge) => self.not_ordered(*recharge),
            // Channels come again until they are heard.
            Effect::Notify(notice) => {
                if let Order::Payment(number) = notice.order {
                    self.payment_mut(number).into_iter().for_each(Payment::not_heard);
                }
                self.say(*notice, now + CHANNEL_ANSWERS_AFTER);
            }
            Effect::Nothing | Effect::Transfer(_) | Effect::MustNotPost(_) | Effect::Guess(_) => {}
        }
    }

    fn broken(&mut self, id: Uuid, what: &str) {
        self.broken_guards.push(format!("{id}: {what}"));
    }
}

#[cfg(test)]
mod tests;

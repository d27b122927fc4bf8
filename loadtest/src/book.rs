//! What the server has acknowledged, summed up by the harness itself.
//!
//! Owns: the expected effect on each account, the holds and the payments that can be refunded, and the list of
//! acknowledged transactions. Never asks the server: the audit compares this book with what the server says.
//! Invariant: an operation enters once, when its outcome is final; while the outcome is unknown it is not in.

use std::time::Instant;

use uuid::Uuid;

use crate::accounts::AccountNo;
use crate::money::Fen;

/// The most payments that are remembered as refundable (64 bytes each); later ones are not refunded.
const REFUNDABLE_MAX: usize = 1_000_000;

/// A movement of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) debit: AccountNo,
    pub(crate) credit: AccountNo,
    pub(crate) amount: Fen,
}

/// A hold's place in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldNo(usize);

/// A payment's place in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PaymentNo(usize);

/// What a transaction does if it is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A read.
    Nothing,
    /// Moves money; if `refundable`, the first leg can be reversed later.
    Transfers {
        legs: Vec<Leg>,
        refundable: bool,
    },
    Place(HoldNo),
    /// Takes a part of the hold, and the rest of the price from a channel.
    Capture {
        hold: HoldNo,
        captured: Leg,
        external: Leg,
    },
    Release(HoldNo),
    Reverse {
        payment: PaymentNo,
        amount: Fen,
    },
    /// Moves money that the payer does not have: posting it breaks a guard.
    MustNotPost(Leg),
}

/// Where a hold stands, as far as answers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldState {
    /// Its placing has no final answer yet.
    Placing,
    Held,
    /// Its capture or release has no final answer yet.
    Settling,
    /// Refused, captured or released.
    Ended,
}

/// A hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) id: Uuid,
    pub(crate) leg: Leg,
    pub(crate) state: HoldState,
    /// Nobody settles it; it must expire.
    pub(crate) abandoned: bool,
}

/// A posted transfer or capture that can be reversed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payment {
    pub(crate) transaction: Uuid,
    pub(crate) leg: Leg,
    /// All acknowledged reversals.
    pub(crate) reversed: Fen,
    /// Reversals that are asked for, acknowledged or not.
    pub(crate) asked: Fen,
}

/// A final answer to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Posted { position: u64 },
    Rejected,
}

/// A transaction whose outcome the server has acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) id: Uuid,
    pub(crate) outcome: Outcome,
}

/// One worker's book.
#[derive(Default)]
pub(crate) struct Book {
    /// Credits less debits, by account number.
    effects: Vec<i128>,
    holds: Vec<Hold>,
    /// Holds that wait for their capture or release, oldest first.
    ready: std::collections::VecDeque<(HoldNo, Instant)>,
    payments: Vec<Payment>,
    acknowledged: Vec<Acknowledged>,
    /// Guards that were seen broken, for people.
    broken_guards: Vec<String>,
}

impl Book {
    /// An empty book for `accounts` accounts.
    pub(crate) fn new(accounts: usize) -> Self {
        Self { effects: vec![0; accounts], ..Self::default() }
    }

    /// Notes a hold that is about to be placed.
    pub(crate) fn plan_hold(&mut self, hold: Hold) -> HoldNo {
        self.holds.push(hold);
        HoldNo(self.holds.len() - 1)
    }

    /// All holds.
    pub(crate) fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// The oldest hold that is due for its capture or release at `now`; it is then settling.
    pub(crate) fn take_ready(&mut self, now: Instant) -> Option<(HoldNo, Hold)> {
        let (number, _) = self.ready.pop_front_if(|(_, due)| *due <= now)?;
        let hold = self.holds.get_mut(number.0)?;
        hold.state = HoldState::Settling;
        Some((number, *hold))
    }

    /// All holds that nobody has settled and that were not abandoned, when the run is over.
    pub(crate) fn left_over(&self) -> Vec<(HoldNo, Hold)> {
        let open = |hold: &Hold| hold.state == HoldState::Held && !hold.abandoned;
        let numbered = (0..).map(HoldNo).zip(self.holds.iter().copied());
        numbered.filter(|(_, hold)| open(hold)).collect()
    }

    /// How many payments can be refunded.
    pub(crate) fn payments_len(&self) -> usize {
        self.payments.len()
    }

    /// A payment by its place.
    pub(crate) fn payment(&self, index: usize) -> Option<(PaymentNo, Payment)> {
        self.payments.get(index).map(|payment| (PaymentNo(index), *payment))
    }

    /// All payments.
    pub(crate) fn payments(&self) -> &[Payment] {
        &self.payments
    }

    /// Notes that a reversal is asked for.
    pub(crate) fn ask_reversal(&mut self, payment: PaymentNo, amount: Fen) {
        if let Some(payment) = self.payments.get_mut(payment.0) {
            payment.asked = Fen(payment.asked.0.saturating_add(amount.0));
        }
    }

    /// The sum of acknowledged effects by account number, credits less debits.
    pub(crate) fn effects(&self) -> &[i128] {
        &self.effects
    }

    /// All acknowledged transactions.
    pub(crate) fn acknowledged(&self) -> &[Acknowledged] {
        &self.acknowledged
    }

    /// What was seen that must not be.
    pub(crate) fn broken_guards(&self) -> &[String] {
        &self.broken_guards
    }

    /// Enters a final outcome. `settle_after` is when a hold that is now held is due for its capture or release.
    pub(crate) fn enter(&mut self, id: Uuid, effect: &Effect, outcome: Outcome, settle_after: Instant) {
        self.acknowledged.push(Acknowledged { id, outcome });
        match outcome {
            Outcome::Posted { .. } => self.posted(id, effect, settle_after),
            Outcome::Rejected => self.not_taken(effect),
        }
    }

    fn posted(&mut self, id: Uuid, effect: &Effect, settle_after: Instant) {
        match effect {
            Effect::Nothing => {}
            Effect::Transfers { legs, refundable } => {
                legs.iter().for_each(|leg| self.apply(leg));
                if let Some(leg) = legs.first().filter(|_| *refundable) {
                    self.remember(id, *leg);
                }
            }
            Effect::Place(number) => {
                if let Some(hold) = self.holds.get_mut(number.0) {
                    hold.state = HoldState::Held;
                    if !hold.abandoned {
                        self.ready.push_back((*number, settle_after));
                    }
                }
            }
            Effect::Capture { hold, captured, external } => {
                self.end_hold(*hold);
                self.apply(captured);
                self.apply(external);
                self.remember(id, *captured);
            }
            Effect::Release(hold) => self.end_hold(*hold),
            Effect::Reverse { payment, amount } => self.reversed(id, *payment, *amount),
            Effect::MustNotPost(leg) => {
                self.apply(leg);
                self.broken_guards
                    .push(format!("{id}: a payment of {} that nobody can afford was posted", leg.amount));
            }
        }
    }

    /// Takes back what was planned for an operation that surely has not happened and will not.
    pub(crate) fn not_taken(&mut self, effect: &Effect) {
        match effect {
            Effect::Place(hold) => self.end_hold(*hold),
            // Still held: the clean-up releases it.
            Effect::Capture { hold, .. } | Effect::Release(hold) => {
                if let Some(hold) = self.holds.get_mut(hold.0) {
                    hold.state = HoldState::Held;
                }
            }
            Effect::Reverse { payment, amount } => {
                if let Some(payment) = self.payments.get_mut(payment.0) {
                    payment.asked = Fen(payment.asked.0.saturating_sub(amount.0));
                }
            }
            Effect::Nothing | Effect::Transfers { .. } | Effect::MustNotPost(_) => {}
        }
    }

    fn reversed(&mut self, id: Uuid, number: PaymentNo, amount: Fen) {
        let Some(payment) = self.payments.get_mut(number.0) else {
            return;
        };
        payment.reversed = Fen(payment.reversed.0.saturating_add(amount.0));
        let (original, reversed, transaction) = (payment.leg, payment.reversed, payment.transaction);
        if reversed > original.amount {
            self.broken_guards.push(format!(
                "{id}: reversals of {transaction} are {reversed}, more than its {}",
                original.amount
            ));
        }
        self.apply(&Leg { debit: original.credit, credit: original.debit, amount });
    }

    fn end_hold(&mut self, hold: HoldNo) {
        if let Some(hold) = self.holds.get_mut(hold.0) {
            hold.state = HoldState::Ended;
        }
    }

    fn remember(&mut self, transaction: Uuid, leg: Leg) {
        if self.payments.len() < REFUNDABLE_MAX {
            self.payments.push(Payment { transaction, leg, reversed: Fen(0), asked: Fen(0) });
        }
    }

    fn apply(&mut self, leg: &Leg) {
        if let Some(effect) = self.effects.get_mut(leg.debit.0 as usize) {
            *effect -= leg.amount.signed();
        }
        if let Some(effect) = self.effects.get_mut(leg.credit.0 as usize) {
            *effect += leg.amount.signed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(debit: u32, credit: u32, amount: u64) -> Leg {
        Leg { debit: AccountNo(debit), credit: AccountNo(credit), amount: Fen(amount) }
    }

    fn posted(book: &mut Book, effect: &Effect) {
        book.enter(Uuid::nil(), effect, Outcome::Posted { position: 1 }, Instant::now());
    }

    #[test]
    fn only_posted_transactions_have_effects() {
        let mut book = Book::new(3);
        let payment = Effect::Transfers { legs: vec![leg(0, 1, 100), leg(0, 1, 6)], refundable: true };
        posted(&mut book, &payment);
        book.enter(Uuid::nil(), &payment, Outcome::Rejected, Instant::now());
        assert_eq!(book.effects(), [-106, 106, 0]);
        assert_eq!((book.acknowledged().len(), book.payments_len()), (2, 1));
    }

    #[test]
    fn reversals_above_the_original_break_a_guard() {
        let mut book = Book::new(2);
        posted(&mut book, &Effect::Transfers { legs: vec![leg(0, 1, 100)], refundable: true });
        let (payment, _) = book.payment(0).unwrap();
        let reverse = Effect::Reverse { payment, amount: Fen(60) };
        posted(&mut book, &reverse);
        assert_eq!((book.effects(), book.broken_guards().len()), ([-40, 40].as_slice(), 0));
        posted(&mut book, &reverse);
        assert_eq!((book.effects(), book.broken_guards().len()), ([20, -20].as_slice(), 1));
    }

    #[test]
    fn a_hold_moves_money_when_it_is_captured() {
        let mut book = Book::new(3);
        let now = Instant::now();
        let hold = book.plan_hold(Hold {
            id: Uuid::nil(),
            leg: leg(0, 1, 100),
            state: HoldState::Placing,
            abandoned: false,
        });
        assert!(book.take_ready(now).is_none());
        book.enter(Uuid::nil(), &Effect::Place(hold), Outcome::Posted { position: 1 }, now);
        assert_eq!(book.effects(), [0, 0, 0]);
        let (number, _) = book.take_ready(now).unwrap();
        posted(
            &mut book,
            &Effect::Capture { hold: number, captured: leg(0, 1, 80), external: leg(2, 1, 50) },
        );
        assert_eq!(book.effects(), [-80, 130, -50]);
        assert!(book.take_ready(now).is_none());
    }
}

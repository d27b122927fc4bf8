//! What a client asks for next.
//!
//! Owns: one client's dice, and what it remembers of its own doings. Never sends. The dice follow from the seed; ids do
//! not, since they carry the time.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::log::Intent;
use super::verb::{Account, Leg, Outcome, PURSES, Parts, Verb};
use crate::channel::Channel;
use crate::money::Fen;
use crate::operation::Ids;

/// More than all purses have: such a transfer is refused.
const IMPOSSIBLE: Fen = Fen(1_000_000_000);
/// The most of what is asked for, in fen.
const AMOUNT_MAX: u64 = 3_000;
/// What a client remembers of each kind.
const REMEMBERED_MAX: usize = 64;

/// One client.
pub(crate) struct Shopper {
    number: u16,
    users: u16,
    rng: SmallRng,
    ids: Ids,
    bulky: bool,
    wallet: bool,
    holds: Vec<(Uuid, Leg)>,
    ended_holds: Vec<(Uuid, Leg)>,
    transfers: Vec<(Uuid, Leg)>,
    payments: Vec<(Uuid, u32, u64)>,
    order: Option<(Uuid, u32, Fen)>,
    waiting: Option<(Uuid, u32, Parts)>,
    /// The last intent, while it has no outcome.
    unsettled: Option<Uuid>,
}

/// How a shopper shops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Clients, and as many wallets.
    pub(crate) clients: u16,
    /// With wallets beside the ledger.
    pub(crate) wallet: bool,
    /// With much metadata.
    pub(crate) bulky: bool,
}

impl Shopper {
    /// Client `number`.
    pub(crate) fn new(number: u16, style: Style, seed: u64) -> Self {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(u64::from(number));
        Self {
            number,
            users: style.clients,
            rng: SmallRng::seed_from_u64(seed),
            ids: Ids::new(),
            bulky: style.bulky,
            wallet: style.wallet,
            holds: Vec::new(),
            ended_holds: Vec::new(),
            transfers: Vec::new(),
            payments: Vec::new(),
            order: None,
            waiting: None,
            unsettled: None,
        }
    }

    /// The next intent.
    pub(crate) fn draw(&mut self) -> Intent {
        let id = self.ids.next();
        let verb =
            if self.wallet && self.rng.random_bool(0.3) { self.wallet_verb() } else { self.ledger_verb() };
        let bulky = self.bulky && verb.is_ledger();
        self.unsettled = Some(id);
        Intent { id, verb, bulky }
    }

    /// What became of anybody's intent that had no outcome; only the own one is of interest.
    pub(crate) fn settled(&mut self, intent: &Intent, outcome: &Outcome) {
        if self.unsettled == Some(intent.id) {
            self.learn(intent, outcome);
        }
    }

    /// What became of an intent.
    pub(crate) fn learn(&mut self, intent: &Intent, outcome: &Outcome) {
        let id = intent.id;
        self.unsettled = None;
        let posted = !matches!(outcome, Outcome::Refused { .. });
        match &intent.verb {
            Verb::Transfer(legs) => {
                if let Some(leg) = legs.first().filter(|_| posted) {
                    keep(&mut self.transfers, (id, *leg));
                }
            }
            Verb::Hold { hold, leg } if posted => keep(&mut self.holds, (*hold, *leg)),
            Verb::Hold { .. } | Verb::Reverse { .. } | Verb::Give { .. } => {}
            Verb::Capture { hold, leg, .. } | Verb::Release { hold, leg } => {
                self.holds.retain(|(other, _)| other != hold);
                keep(&mut self.ended_holds, (*hold, *leg));
            }
            Verb::Order { channel, amount, .. } => {
                self.order = posted.then_some((id, *channel, *amount));
            }
            Verb::Recharged { .. } => self.order = None,
            Verb::Pay { channel, amount, .. } => match outcome {
                Outcome::Split { parts, waits: true } => self.waiting = Some((id, *channel, *parts)),
                Outcome::Split { .. } => keep(&mut self.payments, (id, *channel, amount.0)),
                Outcome::Done { .. } | Outcome::Refused { .. } => {}
            },
            Verb::Settled { payment, channel, parts, .. } => {
                self.waiting = None;
                keep(&mut self.payments, (*payment, *channel, parts.balance.0 + parts.channel.0));
            }
            Verb::Refund { payment, amount, .. } => {
                for (other, _, left) in &mut self.payments {
                    if other == payment {
                        *left = if posted { left.saturating_sub(amount.0) } else { 0 };
                    }
                }
                self.payments.retain(|(_, _, left)| *left > 0);
            }
        }
    }

    fn amount(&mut self) -> Fen {
        Fen(self.rng.random_range(1..=AMOUNT_MAX))
    }

    fn leg(&mut self) -> Leg {
        let debit = self.rng.random_range(0..PURSES);
        let credit = (debit + self.rng.random_range(1..PURSES)) % PURSES;
        Leg { debit: Account::Purse(debit), credit: Account::Purse(credit), amount: self.amount() }
    }

    fn ledger_verb(&mut self) -> Verb {
        let dice = self.rng.random_range(0..100);
        match dice {
            0..60 => {}
            60..72 => {
                let hold = self.ids.next();
                return Verb::Hold { hold, leg: self.leg() };
            }
            72..84 => {
                let ended = self.rng.random_bool(0.1);
                let from = if ended { &self.ended_holds } else { &self.holds };
                if let Some((hold, leg)) = pick(&mut self.rng, from) {
                    if self.rng.random_bool(0.4) {
                        return Verb::Release { hold, leg };
                    }
                    let amount = Fen(self.rng.random_range(1..=leg.amount.0));
                    return Verb::Capture { hold, leg, amount };
                }
            }
            _ => {
                if let Some((of, leg)) = pick(&mut self.rng, &self.transfers) {
                    // Now and then more than is left: such a one is refused.
                    let amount = Fen(self.rng.random_range(1..=leg.amount.0));
                    return Verb::Reverse { of, leg, amount };
                }
            }
        }
        let count = self.rng.random_range(1..=3);
        let mut legs: Vec<Leg> = (0..count).map(|_| self.leg()).collect();
        if self.rng.random_bool(0.03)
            && let Some(last) = legs.last_mut()
        {
            last.amount = IMPOSSIBLE;
        }
        Verb::Transfer(legs)
    }

    fn wallet_verb(&mut self) -> Verb {
        let user = self.number;
        if let Some((order, channel, amount)) = self.order {
            return Verb::Recharged { order, user, channel, amount };
        }
        if let Some((payment, channel, parts)) = self.waiting {
            return Verb::Settled { payment, user, channel, parts };
        }
        let amount = self.amount();
        let channel = Channel::drawn(self.rng.random_range(0..4)).index();
        match self.rng.random_range(0..100) {
            0..30 => return Verb::Order { user, channel, amount: Fen(amount.0 + AMOUNT_MAX / 2) },
            30..45 => {
                if let Some((payment, channel, left)) = pick(&mut self.rng, &self.payments) {
                    let amount = Fen(self.rng.random_range(1..=left));
                    return Verb::Refund { payment, user, channel, amount };
                }
            }
            45..60 => {
                let to = (user + self.rng.random_range(1..self.users)) % self.users;
                return Verb::Give { user, to, amount };
            }
            _ => {}
        }
        Verb::Pay { user, channel, amount }
    }
}

fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= REMEMBERED_MAX {
        list.remove(0);
    }
    list.push(item);
}

fn pick<T: Copy>(rng: &mut SmallRng, list: &[T]) -> Option<T> {
    if list.is_empty() {
        return None;
    }
    list.get(rng.random_range(0..list.len())).copied()
}

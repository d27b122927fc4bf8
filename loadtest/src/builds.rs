//! Turns what a user means to do into an operation.
//!
//! Owns: the draws of users, merchants, amounts and fates, and the payers' turns. Never sends. What a verb is about to do
//! is planned in the book before it is sent.

use std::sync::Arc;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::accounts::{AccountNo, Chart};
use crate::book::{
    Book, Effect, Fate, Leg, Legs, Notice, Payment, PaymentNo, Recharge, RechargeState, State,
};
use crate::channel::{Channel, Keys};
use crate::mix::{Intent, Kind};
use crate::money::Fen;
use crate::operation::{self, Ids, Operation, SHIPPING, Spend};
use crate::payers::{Mode, PASSWORD, Payer, Payers, Purse, TOKEN_SECONDS};
use crate::skew::{Merchant, Skew};
use crate::wire::Endpoint;

/// Prices of goods, in fen.
const PRICE_MIN: u64 = 500;
const PRICE_MAX: u64 = 4_000;
/// What a promotion gives to each payment.
pub(crate) const PROMOTION: Fen = Fen(500);
/// The part of payments with a promotion that use the hot one.
pub(crate) const HOT_PROMOTION_SHARE: f64 = 0.5;
/// Of those, the part that is paid at full price when the promotion is spent.
const FULL_PRICE_SHARE: f64 = 0.5;
/// Recharges are of those whose balance is short: their next payment has some of it, and the channel's rest.
const RECHARGE_MAX: u64 = 2_000;
/// The most of a transfer between users, in fen.
const TRANSFER_MAX: u64 = 2_000;
/// More than anybody has: 90 billion yuan.
const UNAFFORDABLE: Fen = Fen(9_000_000_000_000);
/// Of transfers, those that ask for more than anybody has.
const UNAFFORDABLE_SHARE: f64 = 0.05;
/// Of combination payments, those of which the channel never says anything, and those that it fails.
const ABANDONED_SHARE: f64 = 0.05;
const FAILED_SHARE: f64 = 0.10;
/// Of recharges, those of which another amount comes, and those of which none does.
const OTHER_AMOUNT_SHARE: f64 = 0.01;
const UNPAID_SHARE: f64 = 0.02;
/// Of refunds, the part that cancels a payment that waits instead.
const CANCEL_SHARE: f64 = 0.2;
/// Of refunds, those that ask for more than was paid.
const EXCESSIVE_REFUND_SHARE: f64 = 0.05;
/// Draws of a payment that can be refunded, or looked at.
const DRAWS_MAX: usize = 8;
/// What third-party merchants pay the platform, in thousandths; see `setup`.
pub(crate) const FEE_THOUSANDTHS: u64 = 6;
/// Wallets whose passwords are guessed at. Each is locked after five tries: a guess costs the server 25 ms only until
/// then, as it must be.
pub(crate) const VICTIMS: u32 = 16;

/// What a verb starts with.
pub(crate) enum Built {
    Operation(Operation),
    /// The token that it needs first.
    Token(Operation, Spend),
    /// Nobody is free to pay.
    NoPayer,
}

/// All that is drawn from; one a worker.
pub(crate) struct Builds {
    endpoint: Endpoint,
    chart: Arc<Chart>,
    keys: Keys,
    skew: Skew,
    rng: SmallRng,
    ids: Ids,
    payers: Payers,
    /// How many payers there are in all.
    payers_all: u32,
}

/// What the workers' builds have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) endpoint: Endpoint,
    pub(crate) chart: Arc<Chart>,
    pub(crate) keys: Keys,
    pub(crate) skew: Skew,
    pub(crate) payers_all: u32,
}

impl Builds {
    /// The same seed gives the same users, amounts and kinds; ids are always new.
    pub(crate) fn new(common: Common, payers: Payers, seed: u64) -> Self {
        let Common { endpoint, chart, keys, skew, payers_all } = common;
        let rng = SmallRng::seed_from_u64(seed);
        Self { endpoint, chart, keys, skew, rng, ids: Ids::new(), payers, payers_all }
    }

    /// What a user does first. Where the book has nothing to refund or to look at yet, a refund becomes a recharge, and a
    /// look at a payment one at the wallet.
    pub(crate) fn build(&mut self, intent: Intent, book: &mut Book, now: Instant) -> Built {
        match intent {
            Intent::WalletRead => Built::Operation(self.wallet_read()),
            Intent::HistoryRead => Built::Operation(self.history_read()),
            Intent::PaymentRead => Built::Operation(self.payment_read(book)),
            Intent::Payment { combined, promotion } => self.pay(combined, promotion, book, now),
            Intent::Recharge => Built::Operation(self.recharge(book)),
            Intent::Refund => Built::Operation(self.refund_or_cancel(book)),
            Intent::Transfer => self.transfer(now),
            Intent::Guess => Built::Operation(self.guess()),
        }
    }

    fn get(&self, kind: Kind, path: &str) -> Operation {
        let mut request = Vec::with_capacity(256);
        self.endpoint.get(&mut request, path);
        Operation { kind, id: None, request, effect: Effect::Nothing, payer: None }
    }

    fn post(&self, kind: Kind, path: &str, body: &str) -> Operation {
        let mut request = Vec::with_capacity(body.len() + 192);
        self.endpoint.post(&mut request, path, body.as_bytes());
        Operation { kind, id: None, request, effect: Effect::Nothing, payer: None }
    }

    fn wallet_read(&mut self) -> Operation {
        let user = self.user();
        self.get(Kind::WalletRead, &format!("/v1/wallets/{}", self.chart.name(user)))
    }

    fn history_read(&mut self) -> Operation {
        let user = self.user();
        let path = format!("/v1/accounts/{}/history?limit=20", self.chart.address(user));
        self.get(Kind::HistoryRead, &path)
    }

    fn payment_read(&mut self, book: &Book) -> Operation {
        let there = |payment: &Payment| !matches!(payment.state, State::Asked | State::Rejected);
        match self.any_payment(book, there) {
            Some((_, payment)) => self.get(Kind::PaymentRead, &format!("/v1/payments/{}", payment.id)),
            None => self.wallet_read(),
        }
    }

    fn any_payment(&mut self, book: &Book, wanted: fn(&Payment) -> bool) -> Option<(PaymentNo, Payment)> {
        let known = book.payments_len();
        (0..DRAWS_MAX.min(known)).find_map(|_| {
            book.payment(self.rng.random_range(0..known)).filter(|(_, payment)| wanted(payment))
        })
    }

    fn pay(&mut self, combined: bool, promotion: bool, book: &mut Book, now: Instant) -> Built {
        let total = Fen(self.rng.random_range(PRICE_MIN..=PRICE_MAX) + SHIPPING.0);
        let purse = if combined { Purse::Short } else { Purse::Full };
        let Some(payer) = self.payers.take(purse, total, &mut self.rng) else {
            return Built::NoPayer;
        };
        let drawn = self.skew.merchant(&mut self.rng);
        let fee = match drawn {
            Merchant::SelfOperated => Fen(0),
            Merchant::ThirdParty(_) => Fen(total.0 * FEE_THOUSANDTHS / 1_000),
        };
        let hot = self.rng.random_bool(HOT_PROMOTION_SHARE);
        let promotion = promotion.then(|| match hot {
            true => self.chart.hot_promotion(),
            false => self.chart.calm_promotion(self.rng.random_range(0..u32::MAX)),
        });
        let channel = combined.then(|| self.channel());
        let payment = Payment {
            id: self.ids.next(),
            user: AccountNo(payer.0),
            merchant: self.chart.merchant(drawn),
            fees: self.chart.fees(),
            promotion,
            discount: PROMOTION,
            full_price: self.rng.random_bool(FULL_PRICE_SHARE),
            channel,
            fate: self.fate(),
            total,
            fee,
            state: State::Asked,
            legs: Legs::default(),
            refunded: Legs::default(),
            asked: Fen(0),
        };
        let number = book.plan_payment(payment);
        let kind = Intent::Payment { combined, promotion: promotion.is_some() }.kind();
        self.start(operation::pay(&self.chart, &payment, number, payer, kind), now)
    }

    fn fate(&mut self) -> Fate {
        let draw: f64 = self.rng.random();
        if draw < ABANDONED_SHARE {
            Fate::Abandoned
        } else if draw < ABANDONED_SHARE + FAILED_SHARE {
            Fate::Failed
        } else {
            Fate::Paid
        }
    }

    fn transfer(&mut self, now: Instant) -> Built {
        // A token and a leave for small amounts have a bound of their own, which would refuse it first.
        let impossible = self.rng.random_bool(UNAFFORDABLE_SHARE) && self.payers.mode() == Mode::Device;
        let amount = Fen(self.rng.random_range(1..=TRANSFER_MAX));
        let Some(payer) = self.payers.take(Purse::Full, amount, &mut self.rng) else {
            return Built::NoPayer;
        };
        let from = AccountNo(payer.0);
        let mut to = self.user();
        if from == to {
            to = self.chart.customer((from.0 + 1) % self.chart.users());
        }
        let leg = Leg { debit: from, credit: to, amount: if impossible { UNAFFORDABLE } else { amount } };
        let effect = if impossible { Effect::MustNotPost(leg) } else { Effect::Transfer(leg) };
        let id = self.ids.next();
        self.start(operation::transfer(&self.chart, id, leg, payer, effect), now)
    }

    /// The first request of something that needs an authorisation.
    fn start(&mut self, spend: Spend, now: Instant) -> Built {
        let stocked = match self.payers.mode() {
            Mode::Device => {
                let details = spend.details(self.chart.name(AccountNo(spend.payer.0)));
                let auth = self.payers.sign(spend.payer, &details);
                return Built::Operation(spend.operation(&self.endpoint, &auth));
            }
            Mode::Small => {
                return Built::Operation(spend.operation(&self.endpoint, r#"{"type":"small"}"#));
            }
            Mode::Token => self.payers.stocked(spend.payer, now),
            Mode::Password => None,
        };
        match stocked {
            Some(token) => Built::Operation(self.spend(spend, &token)),
            None => Built::Token(self.token(spend.payer), spend),
        }
    }

    /// The request that a token pays.
    pub(crate) fn spend(&self, spend: Spend, token: &str) -> Operation {
        spend.operation(&self.endpoint, &format!(r#"{{"type":"token","token":"{token}"}}"#))
    }

    /// The request for a token.
    pub(crate) fn token(&self, payer: Payer) -> Operation {
        let path = format!("/v1/wallets/{}/payment-tokens", self.chart.name(AccountNo(payer.0)));
        let operation = self.post(Kind::Token, &path, &operation::token(PASSWORD, TOKEN_SECONDS));
        Operation { payer: Some(payer), ..operation }
    }

    fn guess(&mut self) -> Operation {
        let victim = self.rng.random_range(0..VICTIMS);
        let path = format!("/v1/wallets/{}/payment-tokens", self.chart.victim(victim));
        let mut guess = self.rng.random_range(200_000..800_000).to_string();
        if guess == PASSWORD {
            guess = "800001".to_owned();
        }
        let operation = self.post(Kind::Guess, &path, &operation::token(&guess, TOKEN_SECONDS));
        Operation { effect: Effect::Guess(victim), ..operation }
    }

    fn recharge(&mut self, book: &mut Book) -> Operation {
        let amount = Fen(self.rng.random_range(1..=RECHARGE_MAX));
        let (channel, owed, suspense) = self.channel();
        let draw: f64 = self.rng.random();
        let comes = if draw < OTHER_AMOUNT_SHARE {
            Some(Fen(amount.0 + 1))
        } else {
            (draw >= OTHER_AMOUNT_SHARE + UNPAID_SHARE).then_some(amount)
        };
        let recharge = Recharge {
            id: self.ids.next(),
            user: self.short_of_money(),
            amount,
            channel,
            accounts: (owed, suspense),
            comes,
            state: RechargeState::Asked,
        };
        let body = operation::recharge(&self.chart, &recharge);
        let effect = Effect::Order(book.plan_recharge(recharge));
        let operation = self.post(Kind::Recharge, "/v1/recharges", &body);
        Operation { id: Some(recharge.id), effect, ..operation }
    }

    fn refund_or_cancel(&mut self, book: &mut Book) -> Operation {
        if self.rng.random_bool(CANCEL_SHARE)
            && let Some((number, id)) = book.take_cancellable()
        {
            return self.cancel(number, id);
        }
        let Some((number, payment)) = self.any_payment(book, |payment| payment.state == State::Paid) else {
            return self.recharge(book);
        };
        let left = payment.total.0.saturating_sub(payment.asked.0);
        let amount = if left == 0 || self.rng.random_bool(EXCESSIVE_REFUND_SHARE) {
            Fen(payment.total.0 + 1)
        } else if self.rng.random_bool(0.5) {
            Fen(left)
        } else {
            Fen(self.rng.random_range(1..=left))
        };
        book.ask_refund(number, amount);
        let id = self.ids.next();
        let path = format!("/v1/payments/{}/refunds", payment.id);
        let body = format!(r#"{{"id":"{id}","amount":"{amount}","reason":"changed my mind"}}"#);
        let operation = self.post(Kind::Refund, &path, &body);
        Operation { id: Some(id), effect: Effect::Refund { payment: number, amount }, ..operation }
    }

    /// The cancellation of a payment that waits.
    pub(crate) fn cancel(&self, number: PaymentNo, id: uuid::Uuid) -> Operation {
        let operation = self.post(Kind::Cancel, &format!("/v1/payments/{id}/cancel"), "");
        Operation { id: Some(id), effect: Effect::Cancel(number), ..operation }
    }

    /// A channel's word, signed as of now.
    pub(crate) fn notify(&self, notice: &Notice) -> Operation {
        operation::notify(&self.endpoint, &self.keys, notice)
    }

    /// Ends a payer's turn.
    pub(crate) fn free(&mut self, payer: Payer) {
        self.payers.free(payer);
    }

    /// Keeps a token for the payer's next payment.
    pub(crate) fn stock(&mut self, payer: Payer, token: String, now: Instant) {
        self.payers.stock(payer, token, now);
    }

    /// Whether a token is fetched ahead for a payer whose turn ends.
    pub(crate) fn fetches_ahead(&self) -> bool {
        self.payers.mode() == Mode::Token
    }

    fn user(&mut self) -> AccountNo {
        self.chart.customer(self.skew.user(&mut self.rng))
    }

    fn short_of_money(&mut self) -> AccountNo {
        let drawn = Payer(self.rng.random_range(0..self.payers_all));
        // One in four has little: the last of each four.
        let short = Payer(drawn.0 | 3);
        AccountNo(if short.0 < self.payers_all { short.0 } else { drawn.0 })
    }

    fn channel(&mut self) -> (Channel, AccountNo, AccountNo) {
        let channel = Channel::drawn(self.rng.random_range(0..u32::MAX));
        (channel, self.chart.channel(channel), self.chart.suspense(channel))
    }
}

#[cfg(test)]
mod tests;

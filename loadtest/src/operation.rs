//! Turns what a user means to do into a request and its expected effect.
//!
//! Owns: the JSON of the ledger calls that stand for the wallet's verbs, the amounts, and the ids. Never sends.
//! Shipping is an operation of its own, so that it could be refunded alone.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use uuid::{Builder, Uuid};

use crate::accounts::{AccountNo, Chart};
use crate::book::{Book, Effect, Hold, HoldNo, HoldState, Leg};
use crate::mix::{Intent, Kind};
use crate::money::Fen;
use crate::skew::Skew;
use crate::wire::Endpoint;

/// Prices of goods, in fen.
const PRICE_MIN: u64 = 100;
const PRICE_MAX: u64 = 20_000;
/// The mean of a payment with its shipping, in fen.
pub(crate) const PAYMENT_MEAN: f64 = ((PRICE_MIN + PRICE_MAX) / 2 + SHIPPING.0) as f64;
const SHIPPING: Fen = Fen(600);
/// What the hot promotion gives to each payment.
pub(crate) const PROMOTION: Fen = Fen(500);
/// The part of payments with a promotion that use the hot one.
pub(crate) const HOT_PROMOTION_SHARE: f64 = 0.5;
const RECHARGE_MAX: u64 = 50_000;
/// The most of a transfer between users, in fen.
pub(crate) const TRANSFER_MAX: u64 = 5_000;
/// More than anybody has: 90 billion yuan.
const UNAFFORDABLE: Fen = Fen(9_000_000_000_000);

/// Holds that nobody settles; they must expire by themselves.
const ABANDONED_SHARE: f64 = 0.05;
pub(crate) const ABANDONED_EXPIRES_S: u64 = 3;
const HOLD_EXPIRES_S: u64 = 900;
/// Of settled holds, those that are released since the external channel failed.
const RELEASED_SHARE: f64 = 0.15;
/// Of captures, those that take the whole hold.
const WHOLE_CAPTURE_SHARE: f64 = 0.8;
/// Of refunds, those that ask for more than was paid.
const EXCESSIVE_REFUND_SHARE: f64 = 0.05;

/// A request with all that is needed to judge its answer.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    /// Of the transaction; reads have none.
    pub(crate) id: Option<Uuid>,
    /// The request's bytes; retries and copies send the same.
    pub(crate) request: Vec<u8>,
    pub(crate) effect: Effect,
    /// The operation that a spent promotion refuses.
    pub(crate) promotion_operation: Option<u64>,
}

/// Builds operations; one a worker.
pub(crate) struct Builds {
    endpoint: Endpoint,
    chart: Arc<Chart>,
    skew: Skew,
    rng: SmallRng,
    ids: Ids,
    body: String,
}

impl Builds {
    /// The same seed gives the same users, amounts and kinds; ids are always new.
    pub(crate) fn new(endpoint: Endpoint, chart: Arc<Chart>, skew: Skew, seed: u64) -> Self {
        Self {
            endpoint,
            chart,
            skew,
            rng: SmallRng::seed_from_u64(seed),
            ids: Ids::new(),
            body: String::new(),
        }
    }

    /// The operation for what a user means to do. Where the book has nothing to settle or to refund yet, a combination
    /// starts with its hold, and a refund becomes a recharge.
    pub(crate) fn build(&mut self, intent: Intent, book: &mut Book) -> Operation {
        match intent {
            Intent::AccountRead => self.read(Kind::AccountRead, ""),
            Intent::HistoryRead => self.read(Kind::HistoryRead, "/history?limit=20"),
            Intent::Payment => self.payment(None),
            Intent::PromotionPayment => {
                let promotion = if self.rng.random_bool(HOT_PROMOTION_SHARE) {
                    self.chart.hot_promotion()
                } else {
                    self.chart.calm_promotion(self.rng.random_range(0..u32::MAX))
                };
                self.payment(Some(promotion))
            }
            Intent::Combination => match book.take_ready(Instant::now()) {
                Some((number, hold)) if self.rng.random_bool(RELEASED_SHARE) => self.release(number, &hold),
                Some((number, hold)) => self.capture(number, &hold),
                None => self.hold(book),
            },
            Intent::Recharge => self.recharge(),
            Intent::Refund => self.refund(book),
            Intent::Transfer => self.transfer(),
            Intent::Hostile => self.hostile(),
        }
    }

    fn read(&mut self, kind: Kind, suffix: &str) -> Operation {
        let user = self.chart.customer(self.skew.user(&mut self.rng));
        let path = format!("/v1/accounts/{}{suffix}", self.chart.address(user));
        let mut request = Vec::with_capacity(256);
        self.endpoint.get(&mut request, &path);
        Operation { kind, id: None, request, effect: Effect::Nothing, promotion_operation: None }
    }

    fn payment(&mut self, promotion: Option<AccountNo>) -> Operation {
        let payer = self.user();
        let merchant = self.merchant();
        let price = Fen(self.rng.random_range(PRICE_MIN..=PRICE_MAX));
        let mut legs = vec![leg(payer, merchant, price), leg(payer, merchant, SHIPPING)];
        legs.extend(promotion.map(|budget| leg(budget, merchant, PROMOTION)));
        let kind = if promotion.is_some() { Kind::PromotionPayment } else { Kind::Payment };
        let mut operation = self.transfers(kind, legs, true);
        operation.promotion_operation = promotion.map(|_| 2);
        operation
    }

    fn recharge(&mut self) -> Operation {
        let channel = self.chart.channel(self.rng.random_range(0..u32::MAX));
        let legs = vec![leg(channel, self.user(), Fen(self.rng.random_range(PRICE_MIN..=RECHARGE_MAX)))];
        self.transfers(Kind::Recharge, legs, false)
    }

    fn transfer(&mut self) -> Operation {
        let from = self.user();
        let mut to = self.user();
        if from == to {
            to = self.chart.customer((from.0 + 1) % self.chart.users());
        }
        let legs = vec![leg(from, to, Fen(self.rng.random_range(1..=TRANSFER_MAX)))];
        self.transfers(Kind::Transfer, legs, false)
    }

    fn hostile(&mut self) -> Operation {
        let payment = leg(self.user(), self.merchant(), UNAFFORDABLE);
        self.open_body();
        self.push_transfer(&payment);
        self.finish(Kind::Hostile, Effect::MustNotPost(payment))
    }

    fn transfers(&mut self, kind: Kind, legs: Vec<Leg>, refundable: bool) -> Operation {
        self.open_body();
        for leg in &legs {
            self.push_transfer(leg);
        }
        self.finish(kind, Effect::Transfers { legs, refundable })
    }

    fn hold(&mut self, book: &mut Book) -> Operation {
        let abandoned = self.rng.random_bool(ABANDONED_SHARE);
        let expires_s = if abandoned { ABANDONED_EXPIRES_S } else { HOLD_EXPIRES_S };
        let hold = Hold {
            id: self.ids.next(),
            leg: leg(self.user(), self.merchant(), Fen(self.rng.random_range(PRICE_MIN..=PRICE_MAX))),
            state: HoldState::Placing,
            abandoned,
        };
        self.open_body();
        let (debit, credit) = (self.chart.address(hold.leg.debit), self.chart.address(hold.leg.credit));
        push(
            &mut self.body,
            format_args!(
                r#"{{"type":"hold","id":"{}","debit":"{debit}","credit":"{credit}","amount":"{}","expires_in":{expires_s}}},"#,
                hold.id, hold.leg.amount
            ),
        );
        let effect = Effect::Place(book.plan_hold(hold));
        self.finish(Kind::Hold, effect)
    }

    fn capture(&mut self, number: HoldNo, hold: &Hold) -> Operation {
        let amount = if self.rng.random_bool(WHOLE_CAPTURE_SHARE) {
            hold.leg.amount
        } else {
            Fen(hold.leg.amount.0.div_ceil(2))
        };
        let channel = self.chart.channel(self.rng.random_range(0..u32::MAX));
        let external = leg(channel, hold.leg.credit, Fen(self.rng.random_range(PRICE_MIN..=PRICE_MAX)));
        self.open_body();
        push(
            &mut self.body,
            format_args!(r#"{{"type":"capture","hold":"{}","amount":"{amount}"}},"#, hold.id),
        );
        self.push_transfer(&external);
        let captured = Leg { amount, ..hold.leg };
        self.finish(Kind::Capture, Effect::Capture { hold: number, captured, external })
    }

    /// The release of a hold.
    pub(crate) fn release(&mut self, number: HoldNo, hold: &Hold) -> Operation {
        self.open_body();
        push(&mut self.body, format_args!(r#"{{"type":"release","hold":"{}"}},"#, hold.id));
        self.finish(Kind::Release, Effect::Release(number))
    }

    fn refund(&mut self, book: &mut Book) -> Operation {
        let known = book.payments_len();
        if known == 0 {
            return self.recharge();
        }
        let Some((number, payment)) = book.payment(self.rng.random_range(0..known)) else {
            return self.recharge();
        };
        let left = payment.leg.amount.0.saturating_sub(payment.asked.0);
        let amount = if left == 0 || self.rng.random_bool(EXCESSIVE_REFUND_SHARE) {
            Fen(payment.leg.amount.0 + 1)
        } else if self.rng.random_bool(0.5) {
            Fen(left)
        } else {
            Fen(self.rng.random_range(1..=left))
        };
        book.ask_reversal(number, amount);
        self.open_body();
        push(
            &mut self.body,
            format_args!(
                r#"{{"type":"reverse","transaction":"{}","operation":0,"amount":"{amount}"}},"#,
                payment.transaction
            ),
        );
        self.finish(Kind::Refund, Effect::Reverse { payment: number, amount })
    }

    fn user(&mut self) -> AccountNo {
        self.chart.customer(self.skew.user(&mut self.rng))
    }

    fn merchant(&mut self) -> AccountNo {
        self.chart.merchant(self.skew.merchant(&mut self.rng))
    }

    fn open_body(&mut self) {
        self.body.clear();
        self.body.push_str(r#"{"operations":["#);
    }

    fn push_transfer(&mut self, leg: &Leg) {
        push_transfer(&mut self.body, &self.chart, leg);
    }

    fn finish(&mut self, kind: Kind, effect: Effect) -> Operation {
        let id = self.ids.next();
        self.body.pop();
        push(&mut self.body, format_args!(r#"],"id":"{id}"}}"#));
        let mut request = Vec::with_capacity(self.body.len() + 192);
        self.endpoint.post(&mut request, "/v1/transactions", self.body.as_bytes());
        Operation { kind, id: Some(id), request, effect, promotion_operation: None }
    }
}

/// Appends a transfer as JSON, followed by a comma.
pub(crate) fn push_transfer(body: &mut String, chart: &Chart, leg: &Leg) {
    let (debit, credit) = (chart.address(leg.debit), chart.address(leg.credit));
    push(
        body,
        format_args!(
            r#"{{"type":"transfer","debit":"{debit}","credit":"{credit}","amount":"{}"}},"#,
            leg.amount
        ),
    );
}

/// Appends text; writing to a `String` does not fail.
pub(crate) fn push(body: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = body.write_fmt(text);
}

fn leg(debit: AccountNo, credit: AccountNo, amount: Fen) -> Leg {
    Leg { debit, credit, amount }
}

/// Time-ordered transaction ids (UUID version 7).
pub(crate) struct Ids {
    rng: SmallRng,
}

impl Ids {
    /// Never the same ids twice, whatever the seed of the run.
    pub(crate) fn new() -> Self {
        Self { rng: rand::make_rng() }
    }

    /// A new id.
    pub(crate) fn next(&mut self) -> Uuid {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Builder::from_unix_timestamp_millis(millis, &self.rng.random()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Outcome;

    fn builds() -> Builds {
        let endpoint = Endpoint::parse("http://127.0.0.1:1", None).unwrap();
        let chart = Arc::new(Chart::new(100, 10, "r1"));
        Builds::new(endpoint, chart, Skew::new(100, 10).unwrap(), 618)
    }

    fn body(operation: &Operation) -> serde_json::Value {
        let text = std::str::from_utf8(&operation.request).unwrap();
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// The types of a transaction's operations.
    fn check(operation: &Operation, kind: Kind, types: &[&str]) {
        let body = body(operation);
        let found: Vec<&str> = body["operations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|operation| operation["type"].as_str().unwrap())
            .collect();
        assert_eq!((operation.kind, found.as_slice()), (kind, types));
        assert_eq!(body["id"].as_str().unwrap(), operation.id.unwrap().to_string());
    }

    #[test]
    fn verbs_become_ledger_calls() {
        let (mut builds, mut book) = (builds(), Book::new(200));
        check(&builds.build(Intent::Payment, &mut book), Kind::Payment, &["transfer", "transfer"]);
        let promotion = builds.build(Intent::PromotionPayment, &mut book);
        check(&promotion, Kind::PromotionPayment, &["transfer", "transfer", "transfer"]);
        check(&builds.build(Intent::Transfer, &mut book), Kind::Transfer, &["transfer"]);
        check(&builds.build(Intent::Hostile, &mut book), Kind::Hostile, &["transfer"]);
        check(&builds.build(Intent::Refund, &mut book), Kind::Recharge, &["transfer"]);
    }

    #[test]
    fn a_combination_is_settled_by_a_later_one() {
        let (mut builds, mut book) = (builds(), Book::new(200));
        let mut kinds = Vec::new();
        for _ in 0..200 {
            let operation = builds.build(Intent::Combination, &mut book);
            let posted = Outcome::Posted { position: 1 };
            book.enter(operation.id.unwrap(), &operation.effect, posted, Instant::now());
            if operation.kind == Kind::Hold {
                check(&operation, Kind::Hold, &["hold"]);
            } else if operation.kind == Kind::Capture {
                check(&operation, Kind::Capture, &["capture", "transfer"]);
            } else {
                check(&operation, Kind::Release, &["release"]);
            }
            kinds.push(operation.kind);
        }
        assert!(kinds.contains(&Kind::Capture) && kinds.contains(&Kind::Release));
        check(&builds.build(Intent::Refund, &mut book), Kind::Refund, &["reverse"]);
    }
}

//! A request with all that is needed to judge its answer, and the JSON that requests are made of.
//!
//! Owns: the bodies of the wallet's verbs. Never draws and never sends. Shipping is an item of its own, so that it can be
//! refunded alone.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::RngExt;
use rand::rngs::SmallRng;
use uuid::{Builder, Uuid};

use crate::accounts::Chart;
use crate::book::{Effect, Leg, Notice, Payment, PaymentNo, Recharge};
use crate::channel::{Keys, SIGNATURE_HEADER};
use crate::mix::Kind;
use crate::money::Fen;
use crate::payers::Payer;
use crate::wire::Endpoint;

/// The price of a payment's shipping.
pub(crate) const SHIPPING: Fen = Fen(600);

/// A request with all that is needed to judge its answer.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    /// The verb's; reads and passwords have none.
    pub(crate) id: Option<Uuid>,
    /// The request's bytes; retries and copies send the same.
    pub(crate) request: Vec<u8>,
    pub(crate) effect: Effect,
    /// Whose turn it is until it has ended.
    pub(crate) payer: Option<Payer>,
}

/// Something that needs an authorisation.
#[derive(Clone, Debug)]
pub(crate) struct Spend {
    pub(crate) kind: Kind,
    pub(crate) id: Uuid,
    pub(crate) payer: Payer,
    pub(crate) effect: Effect,
    /// `payment` or `transfer`.
    pub(crate) verb: &'static str,
    /// The merchant or the receiver.
    pub(crate) counterparty: String,
    pub(crate) amount: Fen,
    /// The request's path, and its body without `auth` and the last brace.
    pub(crate) path: String,
    pub(crate) body: String,
}

impl Spend {
    /// What a device signs, but for its counter.
    pub(crate) fn details(&self, user: &str) -> String {
        let Self { verb, id, counterparty, amount, .. } = self;
        format!("{verb}\n{id}\n{user}\n{counterparty}\n{amount}\n")
    }

    /// The request, with what the payer shows as JSON.
    pub(crate) fn operation(self, endpoint: &Endpoint, auth: &str) -> Operation {
        let body = format!(r#"{},"auth":{auth}}}"#, self.body);
        let mut request = Vec::with_capacity(body.len() + 192);
        endpoint.post(&mut request, &self.path, body.as_bytes());
        let Self { kind, id, effect, payer, .. } = self;
        Operation { kind, id: Some(id), request, effect, payer: Some(payer) }
    }
}

/// A payment that is in the book, to be authorised.
pub(crate) fn pay(chart: &Chart, payment: &Payment, number: PaymentNo, payer: Payer, kind: Kind) -> Spend {
    let (user, merchant) = (chart.name(payment.user), chart.name(payment.merchant));
    let price = Fen(payment.total.0 - SHIPPING.0);
    let mut body = format!(
        r#"{{"id":"{}","user":"{user}","merchant":"{merchant}","items":[{{"name":"Kettle","kind":"goods","category":"home","amount":"{price}"}},{{"name":"Express","kind":"shipping","category":"shipping","amount":"{SHIPPING}"}}]"#,
        payment.id
    );
    if let Some(promotion) = payment.promotion {
        let then = if payment.full_price { "full_price" } else { "refuse" };
        let promotion = chart.name(promotion);
        push(&mut body, format_args!(r#","promotion":"{promotion}","on_promotion_exhausted":"{then}""#));
    }
    if let Some((channel, _, _)) = payment.channel {
        push(&mut body, format_args!(r#","combine_with":"{}""#, channel.name()));
    }
    Spend {
        kind,
        id: payment.id,
        payer,
        effect: Effect::Pay(number),
        verb: "payment",
        counterparty: merchant.to_owned(),
        amount: payment.total,
        path: "/v1/payments".to_owned(),
        body,
    }
}

/// A transfer between users, to be authorised.
pub(crate) fn transfer(chart: &Chart, id: Uuid, leg: Leg, payer: Payer, effect: Effect) -> Spend {
    let (from, to) = (chart.name(leg.debit), chart.name(leg.credit));
    Spend {
        kind: Kind::Transfer,
        id,
        payer,
        effect,
        verb: "transfer",
        counterparty: to.to_owned(),
        amount: leg.amount,
        path: format!("/v1/wallets/{from}/transfers"),
        body: format!(r#"{{"id":"{id}","to":"{to}","amount":"{}""#, leg.amount),
    }
}

/// The body of an order of a recharge.
pub(crate) fn recharge(chart: &Chart, recharge: &Recharge) -> String {
    let Recharge { id, user, amount, channel, .. } = recharge;
    let (user, channel) = (chart.name(*user), channel.name());
    format!(r#"{{"id":"{id}","user":"{user}","channel":"{channel}","amount":"{amount}"}}"#)
}

/// A channel's word, signed as of now.
pub(crate) fn notify(endpoint: &Endpoint, keys: &Keys, notice: &Notice) -> Operation {
    let Notice { id, channel, paid, amount, .. } = *notice;
    let result = if paid { "paid" } else { "failed" };
    let body = format!(
        r#"{{"notification":"{id}-{result}","order":"{id}","result":"{result}","amount":"{amount}","reference":"{id}","paid_at":"{}"}}"#,
        jiff::Timestamp::now()
    );
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let signature = keys.sign(channel, seconds, body.as_bytes());
    let path = format!("/v1/channels/{}/notifications", channel.name());
    let mut request = Vec::with_capacity(body.len() + 320);
    endpoint.post_with(&mut request, &path, (SIGNATURE_HEADER, &signature), body.as_bytes());
    Operation {
        kind: Kind::Notification,
        id: Some(id),
        request,
        effect: Effect::Notify(*notice),
        payer: None,
    }
}

/// The body that asks for a payment token.
pub(crate) fn token(password: &str, seconds: u64) -> String {
    format!(r#"{{"password":"{password}","max_amount":"{TOKEN_MAX}","expires_in":{seconds}}}"#)
}

/// Most that a token pays: above each price.
const TOKEN_MAX: Fen = Fen(100_000);

/// Appends text; writing to a `String` does not fail.
pub(crate) fn push(body: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = body.write_fmt(text);
}

/// Time-ordered ids (UUID version 7).
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
pub(crate) mod tests {
    use super::*;
    use crate::accounts::AccountNo;
    use crate::book::{Fate, Legs, State};
    use crate::channel::Channel;

    /// A payment of 12.05 by the first user.
    pub(crate) fn payment() -> Payment {
        Payment {
            id: Uuid::from_u128(0x0197_A0B0_0000_7000_8000_0000_0000_00AB),
            user: AccountNo(0),
            merchant: AccountNo(2),
            fees: AccountNo(13),
            promotion: Some(AccountNo(15)),
            discount: Fen(500),
            full_price: true,
            channel: Some((Channel::Alipay, AccountNo(5), AccountNo(9))),
            fate: Fate::Paid,
            total: Fen(1_205),
            fee: Fen(0),
            state: State::Asked,
            legs: Legs::default(),
            refunded: Legs::default(),
            asked: Fen(0),
        }
    }

    #[test]
    fn a_payment_is_what_the_contract_says() {
        let (chart, endpoint) = (Chart::new(2, 2, "r"), Endpoint::parse("http://127.0.0.1:1", None).unwrap());
        let number = crate::book::Book::new(0).plan_payment(payment());
        let spend = pay(&chart, &payment(), number, Payer(0), Kind::Combination);
        let details = "payment\n0197a0b0-0000-7000-8000-0000000000ab\n1\njd-self\n12.05\n";
        assert_eq!(spend.details("1"), details);
        let operation = spend.operation(&endpoint, r#"{"type":"small"}"#);
        let text = String::from_utf8(operation.request).unwrap();
        let body: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        let expected = serde_json::json!({
            "id": "0197a0b0-0000-7000-8000-0000000000ab", "user": "1", "merchant": "jd-self",
            "items": [
                {"name": "Kettle", "kind": "goods", "category": "home", "amount": "6.05"},
                {"name": "Express", "kind": "shipping", "category": "shipping", "amount": "6.00"},
            ],
            "promotion": "r-hot", "on_promotion_exhausted": "full_price", "combine_with": "alipay",
            "auth": {"type": "small"},
        });
        assert_eq!(body, expected);
    }
}

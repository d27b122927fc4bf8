//! Intents as requests, and answers as outcomes.
//!
//! Owns: the bodies, and the judgement of answers by the HTTP contract. Never sends.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use uuid::Uuid;

use super::log::Intent;
use super::verb::{Leg, MERCHANT, Outcome, Parts, Verb, user};
use crate::channel::{Channel, Keys, SIGNATURE_HEADER};
use crate::money::{self, Fen};
use crate::wire::{Answer, Endpoint};

/// Seconds that holds last: longer than any torture.
const HOLD_SECONDS: u32 = 86_400;
/// Refusals that say nothing about the id: the request may come again.
pub(crate) const STORAGE_LOW: &str = "storage_low";
/// What an authorisation that was used up is refused with.
const AUTH_INVALID: &str = "auth_invalid";

/// Appends the request of an intent.
pub(crate) fn build(intent: &Intent, endpoint: &Endpoint, keys: &Keys, out: &mut Vec<u8>) {
    let id = intent.id;
    match &intent.verb {
        Verb::Transfer(_)
        | Verb::Hold { .. }
        | Verb::Capture { .. }
        | Verb::Release { .. }
        | Verb::Reverse { .. } => {
            let body = transaction(intent);
            endpoint.post(out, "/v1/transactions", body.as_bytes());
        }
        Verb::Order { user: number, channel, amount } => {
            let (user, channel) = (user(*number), Channel::drawn(*channel).name());
            let body =
                format!(r#"{{"id":"{id}","user":"{user}","channel":"{channel}","amount":"{amount}"}}"#);
            endpoint.post(out, "/v1/recharges", body.as_bytes());
        }
        Verb::Recharged { order, channel, amount, .. } => {
            notify(endpoint, keys, id, *order, *channel, *amount, out);
        }
        Verb::Settled { payment, channel, parts, .. } => {
            notify(endpoint, keys, id, *payment, *channel, parts.channel, out);
        }
        Verb::Pay { user: number, channel, amount } => {
            let (user, channel) = (user(*number), Channel::drawn(*channel).name());
            let body = format!(
                r#"{{"id":"{id}","user":"{user}","merchant":"{MERCHANT}","combine_with":"{channel}","items":[{{"name":"Kettle","kind":"goods","category":"home","amount":"{amount}"}}],"auth":{{"type":"small"}}}}"#
            );
            endpoint.post(out, "/v1/payments", body.as_bytes());
        }
        Verb::Refund { payment, amount, .. } => {
            let body = format!(r#"{{"id":"{id}","amount":"{amount}","reason":"torture"}}"#);
            endpoint.post(out, &format!("/v1/payments/{payment}/refunds"), body.as_bytes());
        }
        Verb::Give { user: from, to, amount } => {
            let to = user(*to);
            let body =
                format!(r#"{{"id":"{id}","to":"{to}","amount":"{amount}","auth":{{"type":"small"}}}}"#);
            endpoint.post(out, &format!("/v1/wallets/{}/transfers", user(*from)), body.as_bytes());
        }
    }
}

/// Whether an intent's effect can be looked up by an id: a transfer between users is told of by the events alone.
pub(crate) fn can_look(verb: &Verb) -> bool {
    !matches!(verb, Verb::Give { .. })
}

/// Appends the request that looks whether an intent has taken effect.
pub(crate) fn look(intent: &Intent, endpoint: &Endpoint, out: &mut Vec<u8>) {
    let path = match &intent.verb {
        Verb::Transfer(_)
        | Verb::Hold { .. }
        | Verb::Capture { .. }
        | Verb::Release { .. }
        | Verb::Reverse { .. }
        | Verb::Give { .. } => format!("/v1/transactions/{}", intent.id),
        Verb::Order { .. } => format!("/v1/recharges/{}", intent.id),
        Verb::Recharged { order, .. } => format!("/v1/recharges/{order}"),
        Verb::Pay { .. } => format!("/v1/payments/{}", intent.id),
        Verb::Settled { payment, .. } | Verb::Refund { payment, .. } => format!("/v1/payments/{payment}"),
    };
    endpoint.get(out, &path);
}

fn transaction(intent: &Intent) -> String {
    let mut body = format!(r#"{{"id":"{}","operations":["#, intent.id);
    // Writing to a String does not fail.
    let _infallible = match &intent.verb {
        Verb::Transfer(legs) => {
            let texts: Vec<String> =
                legs.iter().map(|leg| format!(r#"{{"type":"transfer",{}}}"#, sides(leg))).collect();
            write!(body, "{}", texts.join(","))
        }
        Verb::Hold { hold, leg } => {
            write!(body, r#"{{"type":"hold","id":"{hold}",{},"expires_in":{HOLD_SECONDS}}}"#, sides(leg))
        }
        Verb::Capture { hold, amount, .. } => {
            write!(body, r#"{{"type":"capture","hold":"{hold}","amount":"{amount}"}}"#)
        }
        Verb::Release { hold, .. } => write!(body, r#"{{"type":"release","hold":"{hold}"}}"#),
        Verb::Reverse { of, amount, .. } => {
            write!(body, r#"{{"type":"reverse","transaction":"{of}","operation":0,"amount":"{amount}"}}"#)
        }
        Verb::Order { .. }
        | Verb::Recharged { .. }
        | Verb::Pay { .. }
        | Verb::Settled { .. }
        | Verb::Refund { .. }
        | Verb::Give { .. } => Ok(()),
    };
    body.push(']');
    if intent.bulky {
        body.push_str(r#","metadata":{"#);
        for key in 0..16 {
            let comma = if key == 0 { "" } else { "," };
            let _infallible = write!(body, r#"{comma}"{key}":"{}""#, "x".repeat(256));
        }
        body.push('}');
    }
    body.push('}');
    body
}

fn sides(leg: &Leg) -> String {
    let Leg { debit, credit, amount } = leg;
    format!(r#""debit":"{}","credit":"{}","amount":"{amount}""#, debit.address(), credit.address())
}

fn notify(
    endpoint: &Endpoint,
    keys: &Keys,
    notification: Uuid,
    order: Uuid,
    channel: u32,
    amount: Fen,
    out: &mut Vec<u8>,
) {
    let channel = Channel::drawn(channel);
    let body = format!(
        r#"{{"notification":"{notification}","order":"{order}","result":"paid","amount":"{amount}","reference":"{order}","paid_at":"2026-06-18T00:00:00Z"}}"#
    );
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let signature = keys.sign(channel, seconds, body.as_bytes());
    let path = format!("/v1/channels/{}/notifications", channel.name());
    endpoint.post_with(out, &path, (SIGNATURE_HEADER, &signature), body.as_bytes());
}

/// What an answer to an intent's own request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The outcome, for ever.
    Final(Outcome),
    /// Not taken: nothing was done, the id stays free. `true` if the storage is low.
    NotTaken(bool),
    /// The server does not know.
    Unknown,
    /// The contract allows no such answer.
    Unexpected(String),
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    position: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    id: Option<Uuid>,
    status: String,
    code: Option<String>,
    effect: String,
    position: Option<u64>,
    legs: Vec<PartOf>,
    refunds: Vec<Body>,
}

#[derive(Deserialize)]
struct PartOf {
    source: String,
    amount: String,
}

impl Body {
    fn parts(&self) -> Option<Parts> {
        let mut parts = Parts::default();
        for PartOf { source, amount } in &self.legs {
            let slot = if source == "balance" { &mut parts.balance } else { &mut parts.channel };
            slot.0 += money::parse(amount)?.0;
        }
        Some(parts)
    }
}

/// Judges the answer to an intent's own request.
pub(crate) fn judge(intent: &Intent, answer: &Answer) -> Reply {
    let unexpected = || Reply::Unexpected(answer.excerpt());
    match answer.status {
        200 | 201 => done(intent, answer).map_or_else(unexpected, Reply::Final),
        422 => refused(answer).map_or_else(unexpected, Reply::Final),
        429 | 503 => {
            let code = serde_json::from_slice::<Problem>(&answer.body).map(|problem| problem.code);
            Reply::NotTaken(code.is_ok_and(|code| code == STORAGE_LOW))
        }
        500.. => Reply::Unknown,
        _ => unexpected(),
    }
}

fn done(intent: &Intent, answer: &Answer) -> Option<Outcome> {
    let body: Body = serde_json::from_slice(&answer.body).ok()?;
    let position = body.position;
    let done = Outcome::Done { position };
    match &intent.verb {
        Verb::Transfer(_)
        | Verb::Hold { .. }
        | Verb::Capture { .. }
        | Verb::Release { .. }
        | Verb::Reverse { .. } => (body.status == "posted" && position.is_some()).then_some(done),
        Verb::Give { .. } => position.is_some().then_some(done),
        Verb::Order { .. } => (!body.status.is_empty()).then_some(Outcome::Done { position: None }),
        Verb::Recharged { .. } => (body.effect == "credited").then_some(Outcome::Done { position: None }),
        Verb::Settled { .. } => (body.effect == "settled").then_some(Outcome::Done { position: None }),
        Verb::Pay { .. } => {
            let known = matches!(body.status.as_str(), "awaiting_channel" | "paid");
            known.then(|| body.parts()).flatten().map(paid)
        }
        Verb::Refund { .. } => body.parts().map(|parts| Outcome::Split { parts, waits: false }),
    }
}

/// A payment that a channel has a part in has waited, whatever it is now.
fn paid(parts: Parts) -> Outcome {
    Outcome::Split { parts, waits: parts.channel.0 > 0 }
}

fn refused(answer: &Answer) -> Option<Outcome> {
    let Problem { code, position } = serde_json::from_slice(&answer.body).ok()?;
    (code != AUTH_INVALID).then_some(Outcome::Refused { code, position })
}

/// Judges the answer to a look: `Ok(None)` if the intent has no effect and no refusal.
pub(crate) fn judge_look(intent: &Intent, answer: &Answer) -> Result<Option<Outcome>, String> {
    let unexpected = || Err(answer.excerpt());
    if answer.status == 404 {
        return Ok(None);
    }
    let Some(body) = serde_json::from_slice::<Body>(&answer.body).ok().filter(|_| answer.status == 200)
    else {
        return unexpected();
    };
    let position = body.position;
    match &intent.verb {
        Verb::Transfer(_)
        | Verb::Hold { .. }
        | Verb::Capture { .. }
        | Verb::Release { .. }
        | Verb::Reverse { .. }
        | Verb::Give { .. } => match (body.status.as_str(), body.code) {
            ("posted", _) => Ok(Some(Outcome::Done { position })),
            ("rejected", Some(code)) => Ok(Some(Outcome::Refused { code, position })),
            _ => unexpected(),
        },
        Verb::Order { .. } => Ok(Some(Outcome::Done { position: None })),
        Verb::Recharged { .. } => match body.status.as_str() {
            "pending" => Ok(None),
            "paid" => Ok(Some(Outcome::Done { position: None })),
            _ => unexpected(),
        },
        Verb::Settled { .. } => match body.status.as_str() {
            "awaiting_channel" => Ok(None),
            "paid" => Ok(Some(Outcome::Done { position: None })),
            _ => unexpected(),
        },
        Verb::Pay { .. } => match (body.status.as_str(), body.parts()) {
            ("paid" | "awaiting_channel", Some(parts)) => Ok(Some(paid(parts))),
            _ => unexpected(),
        },
        Verb::Refund { .. } => match body.refunds.iter().find(|refund| refund.id == Some(intent.id)) {
            None => Ok(None),
            Some(refund) => match refund.parts() {
                Some(parts) => Ok(Some(Outcome::Split { parts, waits: false })),
                None => unexpected(),
            },
        },
    }
}

#[cfg(test)]
mod tests;

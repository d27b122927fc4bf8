//! What an answer to an operation means.
//!
//! Owns: the reading of statuses and bodies by the HTTP contract. Never decides what to do about it.

use std::borrow::Cow;

use serde::Deserialize;

use crate::book::{Effect, Facts, Legs, Outcome, Shown};
use crate::mix::Kind;
use crate::money;
use crate::operation::Operation;
use crate::wire::Answer;

/// The label under which reports count payments that a spent promotion refused.
pub(crate) const PROMOTION_SPENT: &str = "promotion_exhausted";
/// What an authorisation that is used up or does not fit is refused with; the harness never sends one.
const AUTH_INVALID: &str = "auth_invalid";

/// The business refusals that the load can meet; another one is no answer that the contract allows.
const CODES: [&str; 7] = [
    PROMOTION_SPENT,
    "insufficient_funds",
    "limit_exceeded",
    "refund_exceeds_paid",
    "refund_count_exceeded",
    "password_wrong",
    "password_locked",
];

/// An answer, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A read was answered.
    Read,
    /// A payment token.
    Token(String),
    /// An operation has its outcome for ever; with the code's label if it was refused.
    Final(Outcome, Option<&'static str>),
    /// Explicitly not taken; the id stays free. With the seconds after which to come again.
    Overloaded(Option<u64>),
    /// The server does not know (yet); to be settled by sending the same id again.
    Unknown,
    /// The contract allows no such answer to this request.
    Unexpected(String),
}

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

/// The parts of the verbs' answers that matter; each has some of them.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    effect: Cow<'a, str>,
    #[serde(borrow, default)]
    legs: Vec<Leg<'a>>,
    position: Option<u64>,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Leg<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    amount: Cow<'a, str>,
}

impl Body<'_> {
    fn facts(&self) -> Option<Facts> {
        let mut legs = Legs::default();
        for Leg { source, amount } in &self.legs {
            let slot = match source.as_ref() {
                "balance" => &mut legs.balance,
                "promotion" => &mut legs.promotion,
                _ => &mut legs.channel,
            };
            slot.0 += money::parse(amount)?.0;
        }
        let word = if self.effect.is_empty() { self.status.as_ref() } else { self.effect.as_ref() };
        let shown = match word {
            "paid" | "credited" | "settled" => Shown::Paid,
            "awaiting_channel" | "pending" => Shown::Waiting,
            "cancelled" => Shown::Cancelled,
            "failed" => Shown::Failed,
            "suspended" => Shown::Suspended,
            _ => Shown::Other,
        };
        Some(Facts { shown, legs, position: self.position })
    }
}

/// Judges the answer to an operation's own request.
pub(crate) fn judge(operation: &Operation, answer: &Answer) -> Reply {
    let unexpected = || Reply::Unexpected(answer.excerpt());
    match answer.status {
        200 if operation.effect == Effect::Nothing && operation.kind != Kind::Token => Reply::Read,
        200 | 201 => done(operation, answer).unwrap_or_else(unexpected),
        403 | 422 | 423 => refused(answer).unwrap_or_else(unexpected),
        429 | 503 => Reply::Overloaded(answer.retry_after),
        500.. => Reply::Unknown,
        _ => unexpected(),
    }
}

/// Judges the answer to `GET /v1/payments/{id}` of a payment without an answer; `None` if it says nothing final.
pub(crate) fn judge_status(answer: &Answer) -> Option<Reply> {
    if answer.status != 200 {
        return None;
    }
    let facts = facts(answer)?;
    let placed = matches!(facts.shown, Shown::Paid | Shown::Waiting);
    placed.then_some(Reply::Final(Outcome::Done(facts), None))
}

/// What a body of an order shows.
pub(crate) fn facts(answer: &Answer) -> Option<Facts> {
    serde_json::from_slice::<Body<'_>>(&answer.body).ok()?.facts()
}

/// Whether an authorisation was refused: the id is unknown, and by this authorisation it stays so.
pub(crate) fn is_auth_invalid(answer: &Answer) -> bool {
    let code = serde_json::from_slice::<Problem<'_>>(&answer.body).map(|problem| problem.code);
    answer.status == 403 && code.is_ok_and(|code| code == AUTH_INVALID)
}

fn done(operation: &Operation, answer: &Answer) -> Option<Reply> {
    let body: Body<'_> = serde_json::from_slice(&answer.body).ok()?;
    if operation.kind == Kind::Token {
        return body.token.map(Reply::Token);
    }
    let mut facts = body.facts()?;
    // A copy of a cancellation may be answered after the channel's late money has come and gone back, and shows that.
    if matches!(operation.effect, Effect::Cancel(_)) && body.status == "returned" {
        facts.shown = Shown::Cancelled;
    }
    let complete = match &operation.effect {
        Effect::Pay(_) => matches!(facts.shown, Shown::Paid | Shown::Waiting),
        Effect::Transfer(_) => facts.position.is_some(),
        Effect::Order(_) => facts.shown == Shown::Waiting,
        Effect::Refund { .. } => !body.legs.is_empty(),
        Effect::Nothing => false,
        Effect::Notify(_) | Effect::Cancel(_) | Effect::MustNotPost(_) | Effect::Guess(_) => true,
    };
    complete.then_some(Reply::Final(Outcome::Done(facts), None))
}

fn refused(answer: &Answer) -> Option<Reply> {
    let problem: Problem<'_> = serde_json::from_slice(&answer.body).ok()?;
    let code = CODES.into_iter().find(|known| *known == problem.code)?;
    Some(Reply::Final(Outcome::Rejected, Some(code)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;
    use crate::money::Fen;

    fn check(status: u16, body: &str, kind: Kind, effect: Effect, expected: &Reply) {
        let operation = Operation { kind, id: None, request: Vec::new(), effect, payer: None };
        let answer = Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() };
        assert_eq!(&judge(&operation, &answer), expected, "{status} {body}");
    }

    fn done(shown: Shown, legs: Legs, position: Option<u64>) -> Reply {
        Reply::Final(Outcome::Done(Facts { shown, legs, position }), None)
    }

    #[test]
    fn answers_are_judged_by_the_contract() {
        let number = Book::new(0).plan_payment(crate::operation::tests::payment());
        let pay = || Effect::Pay(number);
        let refused = |label| Reply::Final(Outcome::Rejected, Some(label));
        let legs = Legs { balance: Fen(60), promotion: Fen(500), channel: Fen(41) };
        let body = r#"{"status":"awaiting_channel","legs":[{"source":"promotion","amount":"5.00","state":"held"},
            {"source":"balance","amount":"0.60"},{"source":"alipay","amount":"0.41"}],"expires_at":null}"#;
        check(201, body, Kind::Combination, pay(), &done(Shown::Waiting, legs, None));
        let paid = done(Shown::Paid, Legs::default(), None);
        check(200, r#"{"status":"paid","legs":[]}"#, Kind::Payment, pay(), &paid);
        for status in ["cancelled", "returned"] {
            let body = format!(r#"{{"status":"{status}","legs":[]}}"#);
            let cancelled = done(Shown::Cancelled, Legs::default(), None);
            check(200, &body, Kind::Cancel, Effect::Cancel(number), &cancelled);
        }
        check(200, "{}", Kind::WalletRead, Effect::Nothing, &Reply::Read);
        let token = Reply::Token("t".to_owned());
        check(201, r#"{"token":"t","expires_at":"x"}"#, Kind::Token, Effect::Nothing, &token);
        check(403, r#"{"code":"password_wrong"}"#, Kind::Guess, Effect::Guess(0), &refused("password_wrong"));
        check(
            423,
            r#"{"code":"password_locked"}"#,
            Kind::Guess,
            Effect::Guess(0),
            &refused("password_locked"),
        );
        check(422, r#"{"code":"promotion_exhausted"}"#, Kind::Payment, pay(), &refused(PROMOTION_SPENT));
        check(503, "", Kind::Payment, pay(), &Reply::Overloaded(None));
        check(500, "", Kind::Payment, pay(), &Reply::Unknown);
        for (status, body) in [
            (403, r#"{"code":"auth_invalid"}"#),
            (422, r#"{"code":"made_up"}"#),
            (409, "{}"),
            (201, "{}"),
            (201, r#"{"status":"paid","legs":[{"source":"balance","amount":"1"}]}"#),
            (404, ""),
        ] {
            let unexpected = Reply::Unexpected(format!("{status} {body}"));
            check(status, body, Kind::Payment, pay(), &unexpected);
        }
    }
}

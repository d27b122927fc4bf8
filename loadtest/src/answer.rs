//! What an answer to an operation means.
//!
//! Owns: the reading of statuses and bodies by the HTTP contract. Never decides what to do about it.

use serde::Deserialize;

use crate::book::Outcome;
use crate::operation::Operation;
use crate::wire::Answer;

/// The label under which reports count payments that a spent promotion refused.
pub(crate) const PROMOTION_SPENT: &str = "insufficient_funds (promotion spent)";

/// The refusals that a ledger can give; anything else is reported as `other`.
const CODES: [&str; 19] = [
    "amount_invalid",
    "transaction_not_found",
    "hold_not_found",
    "hold_exists",
    "account_not_found",
    "asset_mismatch",
    "same_account",
    "account_closed",
    "account_frozen",
    "hold_captured",
    "hold_released",
    "hold_expired",
    "capture_exceeds_hold",
    "reversal_exceeds_original",
    "limit_exceeded",
    "insufficient_funds",
    "ceiling_exceeded",
    "overflow",
    "asset_unknown",
];

/// An answer, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A read was answered.
    Read,
    /// A transaction has its outcome for ever; with the code's label if it was refused.
    Final(Outcome, Option<&'static str>),
    /// Explicitly not taken; the id stays free. With the seconds after which to come again.
    Overloaded(Option<u64>),
    /// The server does not know (yet); to be settled by sending the same id again.
    Unknown,
    /// The contract allows no such answer to this request.
    Unexpected(String),
}

#[derive(Deserialize)]
struct Posted {
    position: u64,
}

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: std::borrow::Cow<'a, str>,
    operation: Option<u64>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    status: std::borrow::Cow<'a, str>,
    position: Option<u64>,
    code: Option<String>,
}

/// Judges the answer to an operation's own request.
pub(crate) fn judge(operation: &Operation, answer: &Answer) -> Reply {
    let unexpected = || Reply::Unexpected(answer.excerpt());
    match answer.status {
        200 if operation.id.is_none() => Reply::Read,
        200 | 201 if operation.id.is_some() => serde_json::from_slice::<Posted>(&answer.body).map_or_else(
            |_| unexpected(),
            |posted| {
                let outcome = Outcome::Posted { position: posted.position };
                Reply::Final(outcome, None)
            },
        ),
        422 if operation.id.is_some() => serde_json::from_slice::<Problem<'_>>(&answer.body)
            .map_or_else(|_| unexpected(), |problem| refusal(operation, &problem)),
        429 | 503 => Reply::Overloaded(answer.retry_after),
        500.. => Reply::Unknown,
        _ => unexpected(),
    }
}

/// Judges the answer to `GET /v1/transactions/{id}`; `None` if it says nothing final.
pub(crate) fn judge_status(answer: &Answer) -> Option<Reply> {
    if answer.status != 200 {
        return None;
    }
    let status = serde_json::from_slice::<Status<'_>>(&answer.body).ok()?;
    match (status.status.as_ref(), status.position) {
        ("posted", Some(position)) => Some(Reply::Final(Outcome::Posted { position }, None)),
        ("rejected", _) => {
            Some(Reply::Final(Outcome::Rejected, Some(intern(&status.code.unwrap_or_default()))))
        }
        _ => None,
    }
}

fn refusal(operation: &Operation, problem: &Problem<'_>) -> Reply {
    let spent = problem.code == "insufficient_funds"
        && problem.operation.is_some()
        && problem.operation == operation.promotion_operation;
    let label = if spent { PROMOTION_SPENT } else { intern(&problem.code) };
    Reply::Final(Outcome::Rejected, Some(label))
}

fn intern(code: &str) -> &'static str {
    CODES.into_iter().find(|known| *known == code).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Effect;
    use crate::mix::Kind;

    fn check(status: u16, body: &str, writes: bool, expected: &Reply) {
        let operation = Operation {
            kind: if writes { Kind::PromotionPayment } else { Kind::AccountRead },
            id: writes.then(uuid::Uuid::nil),
            request: Vec::new(),
            effect: Effect::Nothing,
            promotion_operation: Some(2),
        };
        let answer = Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() };
        assert_eq!(&judge(&operation, &answer), expected, "{status} {body}");
    }

    #[test]
    fn answers_are_judged_by_the_contract() {
        let posted = Reply::Final(Outcome::Posted { position: 7 }, None);
        let refused = |label| Reply::Final(Outcome::Rejected, Some(label));
        check(200, "{}", false, &Reply::Read);
        check(201, r#"{"position":7,"status":"posted"}"#, true, &posted);
        check(200, r#"{"position":7}"#, true, &posted);
        check(422, r#"{"code":"insufficient_funds","operation":0}"#, true, &refused("insufficient_funds"));
        check(422, r#"{"code":"insufficient_funds","operation":2}"#, true, &refused(PROMOTION_SPENT));
        check(422, r#"{"code":"made_up"}"#, true, &refused("other"));
        check(503, "", true, &Reply::Overloaded(None));
        check(500, "", true, &Reply::Unknown);
        check(409, "{}", true, &Reply::Unexpected("409 {}".to_owned()));
        check(201, "{}", true, &Reply::Unexpected("201 {}".to_owned()));
        check(404, "", false, &Reply::Unexpected("404 ".to_owned()));
    }
}

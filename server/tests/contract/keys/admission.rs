//! Keys and admission: who is refused first, and by what.

use serde_json::json;
use yue_server::config::HttpLimits;

use super::guarded::{Draft, Guarded, Key};
use crate::ledger::{Answer, Ledger, id, transfer};

fn payment(number: &str) -> Draft {
    let body = json!({"id": id(number), "operations": [transfer("customers:1", "merchants:7", "1.00")]});
    Draft::new("POST", "/v1/transactions", &body.to_string())
}

impl Guarded {
    /// A payment that its sender waits so long for.
    async fn pay_within(&self, ms: &str, sign: impl Fn(Draft) -> Draft) -> Answer {
        self.send(&sign(payment("a1").with("yue-deadline-ms", ms))).await
    }

    /// Commands that are worked on.
    async fn commands(&self, auditor: &Key) -> String {
        let page = self.get(auditor, "/metrics").await.expect(200).text;
        let line = page.lines().find_map(|line| line.strip_prefix("yue_admission_commands "));
        line.unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_deadline_travels_with_a_key() {
    let guarded = Guarded::new().await;
    let key = guarded.key("payer --scopes transactions:write");
    let ways: [&dyn Fn(Draft) -> Draft; 2] = [&|draft| draft.bearer(&key), &|draft| draft.signed(&key)];
    let position = guarded.ledger.position().await;
    for way in ways {
        guarded.pay_within("0", way).await.expect_problem(503, "deadline_exceeded");
        guarded.pay_within("x", way).await.expect_problem(400, "malformed");
    }
    // Who is unknown is told that alone.
    for ms in ["0", "x"] {
        guarded.pay_within(ms, |draft| draft).await.expect_problem(401, "unauthenticated");
    }
    assert_eq!(guarded.ledger.position().await, position);
    for (way, status) in ways.into_iter().zip([201, 200]) {
        guarded.pay_within("60000", way).await.expect(status);
    }
}

#[tokio::test]
async fn whoever_is_refused_keeps_no_place() {
    let guarded = Guarded::new().await;
    let key = guarded.key("payer --scopes transactions:write --prefix customers:2");
    let reader = guarded.key("reader --scopes accounts:read");
    let auditor = guarded.key("auditor --scopes audit:read");
    let forger = Key { signing: vec![0; 32], ..key.clone() };
    for number in 0..50 {
        let draft = || payment(&format!("b{number}"));
        guarded.send(&draft()).await.expect_problem(401, "unauthenticated");
        guarded.send(&draft().signed(&forger)).await.expect_problem(401, "signature_invalid");
        guarded.send(&draft().signed(&reader)).await.expect_problem(403, "scope_missing");
        guarded.send(&draft().bearer(&reader)).await.expect_problem(403, "scope_missing");
        guarded.send(&draft().signed(&key)).await.expect_problem(422, "account_not_found");
    }
    assert_eq!(guarded.commands(&auditor).await, "0");
}

#[tokio::test]
async fn an_overloaded_server_does_not_ask_who_calls() {
    let full = Ledger::with(|config| config.in_flight_commands_max = 0, HttpLimits::default());
    let guarded = Guarded::over(full, 2);
    let key = guarded.key("payer --scopes transactions:write,accounts:read");
    for draft in [payment("c1"), payment("c1").bearer(&key), payment("c1").signed(&key)] {
        guarded.send(&draft).await.expect_problem(503, "overloaded");
    }
    // A question is let in, and asked who it is.
    guarded.get(&key, "/v1/accounts").await.expect(200);
    guarded.send(&Draft::new("GET", "/v1/accounts", "")).await.expect_problem(401, "unauthenticated");
}

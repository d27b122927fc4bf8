//! What each scope is for, and what needs more than one.

use serde_json::{Value, json};

use super::guarded::{Draft, Guarded, Key};
use crate::ledger::{Ledger, capture, hold, id, release, reverse, transfer};

const ALL: [&str; 9] = [
    "transactions:write",
    "holds:write",
    "accounts:read",
    "accounts:write",
    "wallet:read",
    "wallet:write",
    "audit:read",
    "operator",
    "money:issue",
];

/// Each route, and the scopes of which it needs one.
const ROUTES: [(&str, &str, &[&str]); 34] = [
    ("POST", "/v1/accounts", &["accounts:write"]),
    ("GET", "/v1/accounts", &["accounts:read"]),
    ("GET", "/v1/accounts/customers:1", &["accounts:read"]),
    ("PATCH", "/v1/accounts/customers:1", &["accounts:write"]),
    ("GET", "/v1/accounts/customers:1/history", &["accounts:read"]),
    ("GET", "/v1/accounts/customers:1/balance?position=9", &["accounts:read"]),
    ("POST", "/v1/transactions", &["transactions:write", "holds:write"]),
    ("POST", "/v1/transactions/batch", &["transactions:write", "holds:write"]),
    ("GET", "/v1/transactions/0197a0b0-0000-7000-8000-0000000000f1", &["accounts:read"]),
    ("GET", "/v1/holds/0197a0b0-0000-7000-8000-0000000000f1", &["accounts:read"]),
    ("GET", "/v1/trial-balance", &["audit:read"]),
    ("GET", "/v1/head", &["audit:read"]),
    ("GET", "/metrics", &["audit:read"]),
    ("POST", "/v1/wallets", &["wallet:write"]),
    ("GET", "/v1/wallets/alice", &["wallet:read"]),
    ("PATCH", "/v1/wallets/alice", &["operator"]),
    ("PUT", "/v1/wallets/alice/password", &["wallet:write"]),
    ("POST", "/v1/wallets/alice/payment-tokens", &["wallet:write"]),
    ("POST", "/v1/wallets/alice/devices", &["wallet:write"]),
    ("DELETE", "/v1/wallets/alice/devices/0197a0b0-0000-7000-8000-0000000000f1", &["wallet:write"]),
    ("PUT", "/v1/wallets/alice/small-payment", &["wallet:write"]),
    ("PUT", "/v1/wallets/alice/wealth", &["wallet:write"]),
    ("POST", "/v1/wallets/alice/wealth/redemptions", &["wallet:write"]),
    ("POST", "/v1/wallets/alice/transfers", &["wallet:write"]),
    ("POST", "/v1/recharges", &["wallet:write"]),
    ("GET", "/v1/recharges/0197a0b0-0000-7000-8000-0000000000f1", &["wallet:read"]),
    ("POST", "/v1/payments", &["wallet:write"]),
    ("GET", "/v1/payments/0197a0b0-0000-7000-8000-0000000000f1", &["wallet:read"]),
    ("POST", "/v1/payments/0197a0b0-0000-7000-8000-0000000000f1/cancel", &["wallet:write"]),
    ("POST", "/v1/payments/0197a0b0-0000-7000-8000-0000000000f1/refunds", &["wallet:write"]),
    ("PUT", "/v1/merchants/m", &["operator"]),
    ("POST", "/v1/promotions", &["operator"]),
    ("POST", "/v1/wealth/days", &["operator"]),
    ("POST", "/v1/days/2100-01-01/close", &["operator"]),
];

#[tokio::test]
async fn each_route_needs_its_scope_and_no_other() {
    let guarded = Guarded::new().await;
    let only: Vec<Key> =
        ALL.iter().map(|scope| guarded.key(&format!("{} --scopes {scope}", named(scope)))).collect();
    for (method, uri, scopes) in ROUTES {
        for (scope, key) in ALL.iter().zip(&only) {
            let draft = Draft::new(method, uri, if method == "GET" { "" } else { "{" }).bearer(key);
            let answer = guarded.send(&draft).await;
            if scopes.contains(scope) {
                assert!(![401, 403].contains(&answer.status), "{method} {uri} {scope}: {}", answer.text);
            } else {
                answer.expect_problem(403, "scope_missing");
            }
        }
        guarded.send(&Draft::new(method, uri, "")).await.expect_problem(401, "unauthenticated");
    }
}

fn named(scope: &str) -> String {
    scope.replace(':', "-")
}

#[tokio::test]
async fn operations_need_the_scope_of_their_kind() {
    let guarded = Guarded::new().await;
    let moves = guarded.key("moves --scopes transactions:write");
    let holds = guarded.key("holds --scopes holds:write");
    let both = guarded.key("both --scopes transactions:write,holds:write");
    let submit = |digits: &str, operations: &[Value]| json!({"id": id(digits), "operations": operations});
    let pay = transfer("customers:1", "merchants:7", "1.00");
    let place = hold("a1", "customers:1", "merchants:7", "2.00");
    let check = async |key: &Key, digits: &str, operations: &[Value], status: u16, operation: u64| {
        let answer = guarded.post(key, "/v1/transactions", &submit(digits, operations)).await.expect(status);
        if status == 403 {
            assert_eq!((answer.code(), &answer.body["operation"]), ("scope_missing", &json!(operation)));
        }
    };
    check(&moves, "1", std::slice::from_ref(&place), 403, 0).await;
    check(&moves, "1", &[pay.clone(), place.clone()], 403, 1).await;
    check(&holds, "1", &[place.clone(), pay.clone()], 403, 1).await;
    // Nothing of it took the id.
    check(&both, "1", &[pay.clone(), place], 201, 0).await;
    check(&moves, "2", &[capture("a1", Some("0.50"))], 403, 0).await;
    check(&holds, "2", &[capture("a1", Some("0.50"))], 201, 0).await;
    check(&moves, "3", &[release("a1")], 403, 0).await;
    check(&holds, "4", &[reverse("1", 0, None)], 403, 0).await;
    check(&moves, "4", &[reverse("1", 0, None)], 201, 0).await;
    // One who may not submit it does not hear what came of it either.
    check(&holds, "4", &[reverse("1", 0, None)], 403, 0).await;
    let batch =
        json!({"transactions": [submit("5", std::slice::from_ref(&pay)), submit("6", &[release("a1")])]});
    let answer = guarded.post(&moves, "/v1/transactions/batch", &batch).await.expect(200);
    let results = &answer.body["results"];
    assert_eq!((&results[0]["status"], &results[1]["code"]), (&json!("posted"), &json!("scope_missing")));
    assert_eq!((&results[1]["status"], &results[1]["operation"]), (&json!("rejected"), &json!(0)));
}

#[tokio::test]
async fn money_is_created_by_those_who_may() {
    let guarded = Guarded::new().await;
    for account in [
        json!({"address": "float:debit", "asset": "CNY", "normal": "debit", "floor": "0"}),
        json!({"address": "float:endless", "asset": "CNY", "floor": null}),
        json!({"address": "float:overdraft", "asset": "CNY", "floor": "-10.00"}),
    ] {
        guarded.ledger.post("/v1/accounts", &account).await.expect(201);
    }
    let plain = guarded.key("plain --scopes transactions:write,holds:write");
    let issuer = guarded.key("issuer --scopes transactions:write,holds:write,money:issue");
    let one = guarded.key("one --scopes transactions:write,holds:write,money:issue,operator");
    let two = guarded.key("two --scopes operator");
    let bound = guarded.key("bound --scopes operator --prefix float");
    let idle = guarded.key("idle --scopes audit:read");
    let body =
        |digits: &str, operation: Value| json!({"id": id(digits), "operations": [operation]}).to_string();
    let draft =
        |digits: &str, operation: Value| Draft::new("POST", "/v1/transactions", &body(digits, operation));
    for (number, debit) in (1..).zip(["channels:wechat", "float:debit", "float:endless"]) {
        let digits = |kind: &str| format!("{kind}{number}");
        let issue = transfer(debit, "customers:1", "1.00");
        let denied = guarded.send(&draft(&digits("a"), issue.clone()).bearer(&plain)).await;
        denied.expect_problem(403, "scope_missing");
        let hold = hold(&digits("b"), debit, "customers:1", "1.00");
        guarded
            .send(&draft(&digits("b"), hold.clone()).bearer(&plain))
            .await
            .expect_problem(403, "scope_missing");
        // The same id, by one who may.
        guarded.send(&draft(&digits("a"), issue.clone()).bearer(&issuer)).await.expect(201);
        guarded.send(&draft(&digits("b"), hold).bearer(&issuer)).await.expect(201);
        let capture = capture(&digits("b"), None);
        let denied = guarded.send(&draft(&digits("c"), capture.clone()).bearer(&plain)).await;
        denied.expect_problem(403, "scope_missing");
        guarded.send(&draft(&digits("c"), capture).bearer(&issuer)).await.expect(201);
        // An operator, only with another one.
        let draft = draft(&digits("d"), issue);
        guarded.send(&draft.clone().bearer(&one)).await.expect_problem(403, "approval_required");
        for not_second in [&one, &bound, &idle] {
            let answer = guarded.send(&draft.clone().bearer(&one).approved(not_second)).await;
            answer.expect_problem(403, "approval_required");
        }
        let own = draft.signature(&two, "");
        let own = guarded.send(&draft.clone().bearer(&one).with("yue-approval", own)).await;
        own.expect_problem(401, "signature_invalid");
        let approved = draft.clone().bearer(&one).approved(&two);
        let other =
            Draft { body: body(&digits("e"), transfer(debit, "customers:2", "9.00")), ..approved.clone() };
        guarded.send(&other).await.expect_problem(401, "signature_invalid");
        guarded.send(&approved).await.expect(201);
        guarded.send(&approved).await.expect_problem(401, "nonce_replayed");
        guarded.send(&draft.signed(&one).approved(&two)).await.expect(200);
    }
    // A bounded overdraft is a credit that its opening has approved.
    let overdraft = transfer("float:overdraft", "customers:1", "1.00");
    guarded.send(&draft("9f1", overdraft).bearer(&plain)).await.expect(201);
}

#[tokio::test]
async fn floors_below_zero_need_two_operators() {
    let guarded = Guarded::new().await;
    let clerk = guarded.key("clerk --scopes accounts:write");
    let one = guarded.key("one --scopes accounts:write,operator");
    let two = guarded.key("two --scopes operator");
    let opening = |floor: Value| json!({"address": "new:1", "asset": "CNY", "floor": floor}).to_string();
    let change = |floor: Value| json!({"floor": floor}).to_string();
    for floor in [json!(null), json!("-0.01")] {
        for draft in [
            Draft::new("POST", "/v1/accounts", &opening(floor.clone())),
            Draft::new("PATCH", "/v1/accounts/merchants:7", &change(floor.clone())),
        ] {
            guarded.send(&draft.clone().bearer(&clerk)).await.expect_problem(403, "scope_missing");
            guarded
                .send(&draft.clone().bearer(&clerk).approved(&two))
                .await
                .expect_problem(403, "scope_missing");
            guarded.send(&draft.clone().bearer(&one)).await.expect_problem(403, "approval_required");
        }
    }
    let account = guarded.ledger.get("/v1/accounts/merchants:7").await.expect(200);
    assert_eq!(account.body["floor"], "0.00");
    guarded.ledger.get("/v1/accounts/new:1").await.expect(404);
    let plain = Draft::new("POST", "/v1/accounts", &opening(json!("0"))).bearer(&clerk);
    guarded.send(&plain).await.expect(201);
    let plain = Draft::new("PATCH", "/v1/accounts/merchants:7", &change(json!("0.00"))).bearer(&clerk);
    guarded.send(&plain).await.expect(200);
    let approved =
        Draft::new("PATCH", "/v1/accounts/merchants:7", &change(json!(null))).bearer(&one).approved(&two);
    assert_eq!(guarded.send(&approved).await.expect(200).body["floor"], Value::Null);
}

#[tokio::test]
async fn an_approval_is_used_up_by_an_operator_alone() {
    let guarded = Guarded::new().await;
    let one = guarded.key("one --scopes accounts:write,operator");
    let two = guarded.key("two --scopes operator");
    let draft = Draft::new("PATCH", "/v1/accounts/merchants:7", "{\"floor\":null}");
    let captured = draft.signature(&two, "APPROVAL\n");
    let with = |key: &Key| draft.clone().bearer(key).with("yue-approval", captured.clone());
    // Who may not call, and who may and needs no approval.
    for words in ["reader --scopes accounts:read", "clerk --scopes accounts:write"] {
        let other = guarded.key(words);
        guarded.send(&with(&other)).await.expect_problem(403, "scope_missing");
    }
    guarded.send(&with(&one)).await.expect(200);
    guarded.send(&with(&one)).await.expect_problem(401, "nonce_replayed");
}

#[tokio::test]
async fn the_platforms_money_needs_two_operators_as_well() {
    let guarded = Guarded::over(Ledger::new(), 100);
    let clerk = guarded.key("clerk --scopes operator");
    let one = guarded.key("one --scopes operator,money:issue");
    let two = guarded.key("two --scopes operator");
    let promotion = json!({"id": "half", "name": "half", "kind": "payment_discount",
        "rule": {"amount_off": "1.00"}, "budget": "100.00", "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2120-01-01T00:00:00Z"});
    let day = json!({"date": "2025-06-18", "income_per_10k": "0.5"});
    for (uri, body, done) in [("/v1/promotions", promotion, 201), ("/v1/wealth/days", day, 200)] {
        let draft = || Draft::new("POST", uri, &body.to_string());
        let position = guarded.ledger.position().await;
        for (draft, code) in [
            (draft().bearer(&clerk), "scope_missing"),
            (draft().bearer(&clerk).approved(&two), "scope_missing"),
            (draft().bearer(&one), "approval_required"),
        ] {
            guarded.send(&draft).await.expect_problem(403, code);
        }
        assert_eq!(guarded.ledger.position().await, position, "{uri}");
        guarded.send(&draft().bearer(&one).approved(&two)).await.expect(done);
        // What is done is told without creating it again.
        guarded.send(&draft().bearer(&clerk)).await.expect(200);
    }
    assert_eq!(guarded.ledger.balance("promos:half").await.0, "100.00");
}

/// A wallet's account is frozen by whoever may freeze the wallet, and so is the end of it.
#[tokio::test]
async fn a_wallets_freeze_is_ended_by_operators() {
    let guarded = Guarded::new().await;
    guarded.ledger.post("/v1/wallets", &json!({"user": "alice", "class": "I"})).await.expect(201);
    let operator = guarded.key("operator --scopes operator,accounts:write");
    let writer = guarded.key("writer --scopes accounts:write,wallet:*");
    let patch = |uri: &str, key: &Key, status: &str| {
        Draft::new("PATCH", uri, &json!({"status": status}).to_string()).bearer(key)
    };
    guarded.send(&patch("/v1/wallets/alice", &operator, "frozen")).await.expect(200);
    for account in ["customers:alice", "customers:alice:wealth"] {
        let uri = format!("/v1/accounts/{account}");
        for status in ["active", "frozen"] {
            guarded.send(&patch(&uri, &writer, status)).await.expect_problem(403, "scope_missing");
        }
        assert_eq!(guarded.ledger.get(&uri).await.expect(200).body["status"], "frozen");
        guarded.send(&patch(&uri, &operator, "active")).await.expect(200);
    }
    // Other accounts are the writer's, as ever.
    guarded.send(&patch("/v1/accounts/customers:1", &writer, "frozen")).await.expect(200);
}

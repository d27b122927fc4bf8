//! Each refusal code of a transaction, and what its problem looks like.

use serde_json::{Value, json};

use crate::ledger::{Ledger, capture, hold, id, release, reverse, transfer};

/// A ledger with a hold in each state, and a transfer that is reversed in part.
async fn with_holds() -> Ledger {
    let ledger = Ledger::with_accounts().await;
    let short = json!({
        "type": "hold", "id": id("c3"), "debit": "customers:1", "credit": "merchants:7", "amount": "1", "expires_in": 1
    });
    ledger.submit("b3", &[short]).await.expect(201);
    for (transaction, digits) in [("b0", "c0"), ("b1", "c1"), ("b2", "c2")] {
        ledger.submit(transaction, &[hold(digits, "customers:1", "merchants:7", "5")]).await.expect(201);
    }
    ledger.submit("b4", &[capture("c1", None)]).await.expect(201);
    ledger.submit("b5", &[release("c2")]).await.expect(201);
    ledger.submit("b6", &[transfer("customers:1", "merchants:7", "10")]).await.expect(201);
    ledger.submit("b7", &[reverse("b6", 0, Some("4"))]).await.expect(201);
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    ledger
}

#[tokio::test]
async fn each_rule_has_its_code() {
    let ledger = with_holds().await;
    let before = (ledger.balance("customers:1").await, ledger.balance("merchants:7").await);
    let mut number = 0;
    let mut check = async |operation: Value, code: &str| {
        number += 1;
        let good = transfer("customers:1", "merchants:7", "1");
        let operations = [good.clone(), good, operation];
        let refused = ledger.submit(&format!("d{number:03}"), &operations).await.expect_problem(422, code);
        assert_eq!(refused.body["operation"], 2, "{}", refused.text);
        assert_eq!(refused.body["position"], ledger.position().await);
        assert!(!refused.replayed());
    };
    for amount in [
        "0",
        "0.00",
        "-1",
        "+1",
        "1e2",
        " 1",
        "1 ",
        "",
        "1.001",
        "１",
        "NaN",
        "184467440737095516.16",
        "1,00",
        "0x1",
        "1_0",
    ] {
        check(transfer("customers:1", "merchants:7", amount), "amount_invalid").await;
    }
    check(transfer("carbon:pool", "customers:1:carbon", "1.0"), "amount_invalid").await;
    check(hold("c9", "customers:1", "merchants:7", "0"), "amount_invalid").await;
    check(capture("c0", Some("0")), "amount_invalid").await;
    check(capture("c0", Some("1.001")), "amount_invalid").await;
    check(reverse("b6", 0, Some("-1")), "amount_invalid").await;
    check(reverse("ffff", 0, None), "transaction_not_found").await;
    check(reverse("b6", 1, None), "transaction_not_found").await;
    check(reverse("b0", 0, None), "transaction_not_found").await;
    check(capture("ffff", None), "hold_not_found").await;
    check(release("ffff"), "hold_not_found").await;
    check(hold("c0", "customers:1", "merchants:7", "1"), "hold_exists").await;
    check(hold("c3", "customers:1", "merchants:7", "1"), "hold_exists").await;
    check(transfer("customers:none", "merchants:7", "1"), "account_not_found").await;
    check(transfer("customers:1", "merchants:none", "1"), "account_not_found").await;
    check(transfer("customers:1", "customers:1:carbon", "1"), "asset_mismatch").await;
    check(transfer("customers:1", "customers:1", "1"), "same_account").await;
    check(transfer("customers:closed", "merchants:7", "1"), "account_closed").await;
    check(transfer("customers:1", "customers:closed", "1"), "account_closed").await;
    check(transfer("customers:frozen", "merchants:7", "1"), "account_frozen").await;
    check(hold("c9", "customers:1", "customers:frozen", "1"), "account_frozen").await;
    check(capture("c1", None), "hold_captured").await;
    check(release("c1"), "hold_captured").await;
    check(capture("c2", None), "hold_released").await;
    check(capture("c3", None), "hold_expired").await;
    check(release("c3"), "hold_expired").await;
    check(capture("c0", Some("5.01")), "capture_exceeds_hold").await;
    check(reverse("b6", 0, Some("6.01")), "reversal_exceeds_original").await;
    check(transfer("customers:limited", "merchants:7", "5.01"), "limit_exceeded").await;
    check(transfer("customers:2", "merchants:7", "0.01"), "insufficient_funds").await;
    check(hold("c9", "customers:2", "merchants:7", "0.01"), "insufficient_funds").await;
    check(transfer("customers:1", "merchants:capped", "10.01"), "ceiling_exceeded").await;
    check(hold("c9", "customers:1", "merchants:capped", "10.01"), "ceiling_exceeded").await;
    assert_eq!((ledger.balance("customers:1").await, ledger.balance("merchants:7").await), before);
}

#[tokio::test]
async fn a_reversal_of_all_leaves_nothing_to_reverse() {
    let ledger = Ledger::with_accounts().await;
    ledger.submit("b1", &[transfer("customers:1", "merchants:7", "10")]).await.expect(201);
    ledger.submit("b2", &[reverse("b1", 0, None)]).await.expect(201);
    ledger.submit("b3", &[reverse("b1", 0, None)]).await.expect_problem(422, "reversal_exceeds_original");
    ledger
        .submit("b4", &[reverse("b1", 0, Some("0.01"))])
        .await
        .expect_problem(422, "reversal_exceeds_original");
}

#[tokio::test]
async fn a_count_limit_counts_its_code_only() {
    let ledger = Ledger::with_accounts().await;
    let rare = |digits: &str, code: &str| {
        json!({
            "id": id(digits), "code": code, "operations": [transfer("customers:limited", "merchants:7", "0.01")]
        })
    };
    ledger.post("/v1/transactions", &rare("a1", "rare")).await.expect(201);
    ledger.post("/v1/transactions", &rare("a2", "other")).await.expect(201);
    ledger.post("/v1/transactions", &rare("a3", "rare")).await.expect_problem(422, "limit_exceeded");
    let account = ledger.get("/v1/accounts/customers:limited").await.expect(200).body;
    let limits = json!([
        {"window": "day", "code": null, "amount": "5.00", "count": null, "used": {"amount": "0.02", "count": 2}},
        {"window": "lifetime", "code": "rare", "amount": null, "count": 1, "used": {"amount": "0.01", "count": 1}}
    ]);
    assert_eq!(account["limits"], limits);
}

#[tokio::test]
async fn problems_look_like_this() {
    let ledger = Ledger::with_accounts().await;
    let mut problems = Vec::new();
    let body = |digits: &str, amount: &str| json!({"id": id(digits), "operations": [transfer("customers:1", "merchants:7", amount)]});
    let uri = "/v1/transactions";
    problems.push(ledger.post(uri, &json!({"id": id("a1"), "operations": [{"type": "gift"}]})).await.body);
    problems.push(ledger.post(uri, &json!({"id": id("a1"), "operations": []})).await.body);
    problems.push(ledger.post(uri, &body("a1", "1000")).await.body);
    ledger.post(uri, &body("a2", "1")).await.expect(201);
    problems.push(ledger.post(uri, &body("a2", "2")).await.body);
    problems.push(ledger.post("/v1/accounts", &json!({"address": "customers:1", "asset": "USD"})).await.body);
    problems.push(ledger.post("/v1/accounts", &json!({"address": "customers:3", "asset": "XXX"})).await.body);
    problems.push(ledger.patch("/v1/accounts/customers:1", &json!({"status": "closed"})).await.body);
    problems.push(ledger.get("/v1/accounts/customers:none").await.body);
    problems.push(ledger.get("/v1/accounts?limit=0").await.body);
    problems.push(ledger.get("/v2").await.body);
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_json_snapshot!("problems", problems);
    });
}

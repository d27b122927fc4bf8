//! Exactly once: the same request again, the same id with another body, many copies at the same moment.

use axum::http::Method;
use serde_json::{Value, json};

use crate::ledger::{Ledger, capture, hold, id, release, reverse, transfer};

#[tokio::test]
async fn the_same_request_again_gets_the_first_outcome_again() {
    let ledger = Ledger::with_accounts().await;
    let good = json!({
        "id": id("a1"), "operations": [transfer("customers:1", "merchants:7", "1.5")], "metadata": {"a": "1", "b": "2"}
    });
    let first = ledger.post("/v1/transactions", &good).await.expect(201);
    assert!(!first.replayed());
    let position = ledger.position().await;
    // Compared as parsed: order of keys, space, decimals, nulls and the amount's notation do not matter.
    let copies = [
        good.to_string(),
        format!(
            r#" {{"metadata":{{"b":"2","a":"1"}}, "code":null, "operations":[{{"amount":"1.50","credit":"merchants:7",
               "debit":"customers:1","type":"transfer"}}], "id":"{}"}} "#,
            id("a1").to_uppercase()
        ),
        good.to_string().replace("1.5", "01.500"),
        good.to_string().replace("transfer", r"\u0074ransfer"),
    ];
    for copy in copies {
        let again = ledger.send_json(Method::POST, "/v1/transactions", copy.clone()).await.expect(200);
        assert!(again.replayed(), "{copy}");
        assert_eq!(again.body, first.body, "{copy}");
    }
    assert_eq!(ledger.position().await, position);
    assert_eq!(ledger.balance("merchants:7").await.0, "1.50");
}

#[tokio::test]
async fn a_refusal_is_replayed_though_it_would_go_through_now() {
    let ledger = Ledger::with_accounts().await;
    let missing = [transfer("customers:1", "merchants:later", "1")];
    let poor = [transfer("customers:2", "merchants:7", "1")];
    let first = [
        ledger.submit("a1", &missing).await.expect_problem(422, "account_not_found"),
        ledger.submit("a2", &poor).await.expect_problem(422, "insufficient_funds"),
    ];
    ledger.post("/v1/accounts", &json!({"address": "merchants:later", "asset": "CNY"})).await.expect(201);
    ledger.submit("a3", &[transfer("channels:wechat", "customers:2", "5")]).await.expect(201);
    let again = [ledger.submit("a1", &missing).await, ledger.submit("a2", &poor).await];
    for (first, again) in first.iter().zip(again) {
        let again = again.expect_problem(422, first.code());
        assert!(again.replayed() && !first.replayed());
        assert_eq!(again.body, first.body);
    }
    ledger.submit("a4", &missing).await.expect(201);
    ledger.submit("a5", &poor).await.expect(201);
}

#[tokio::test]
async fn another_body_names_the_field_that_differs() {
    let ledger = Ledger::with_accounts().await;
    ledger.submit("b1", &[transfer("customers:1", "merchants:7", "10")]).await.expect(201);
    ledger.submit("b2", &[hold("c1", "customers:1", "merchants:7", "1")]).await.expect(201);
    let first = json!({
        "id": id("a1"), "code": "payment", "reference": "r", "metadata": {"k/1": "v"},
        "operations": [
            transfer("customers:1", "merchants:7", "1"), hold("c2", "customers:1", "merchants:7", "2"),
            capture("c1", Some("0.5")), reverse("b1", 0, Some("3"))
        ]
    });
    ledger.post("/v1/transactions", &first).await.expect(201);
    let position = ledger.position().await;
    let check = async |pointer: &str, value: Value, field: &str| {
        let mut other = first.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        let refused = ledger.post("/v1/transactions", &other).await.expect_problem(409, "id_reused");
        assert_eq!(refused.field(), field, "{pointer}");
        assert!(!refused.replayed());
    };
    for (field, value) in [
        ("/operations/0/debit", json!("customers:2")),
        ("/operations/0/credit", json!("merchants:8")),
        ("/operations/0/amount", json!("1.01")),
        ("/operations/0/amount", json!("x")),
        ("/operations/1/id", json!(id("c3"))),
        ("/operations/1/expires_in", json!(901)),
        ("/operations/2/hold", json!(id("c2"))),
        ("/operations/2/amount", json!(null)),
        ("/operations/3/transaction", json!(id("b2"))),
        ("/operations/3/operation", json!(1)),
        ("/code", json!("other")),
        ("/code", json!(null)),
        ("/reference", json!("s")),
    ] {
        check(field, value, field).await;
    }
    check("/operations/0", release("c1"), "/operations/0/type").await;
    check("/operations", json!([transfer("customers:1", "merchants:7", "1")]), "/operations/1").await;
    check("/metadata", json!({"k/1": "w"}), "/metadata/k~11").await;
    check("/metadata", json!({}), "/metadata/k~11").await;
    let mut with_code = first.clone();
    with_code["operations"][0]["code"] = json!("own");
    let refused = ledger.post("/v1/transactions", &with_code).await.expect_problem(409, "id_reused");
    assert_eq!(refused.field(), "/operations/0/code");
    // A refused id is as used as a posted one.
    ledger.submit("a2", &[transfer("customers:2", "merchants:7", "1")]).await.expect(422);
    let reused = ledger.submit("a2", &[transfer("customers:2", "merchants:7", "2")]).await;
    assert_eq!(reused.expect_problem(409, "id_reused").field(), "/operations/0/amount");
    assert_eq!(ledger.position().await, position + 1);
}

#[tokio::test]
async fn of_many_copies_at_once_one_takes_effect() {
    let ledger = Ledger::with_accounts().await;
    let body = json!({"id": id("a1"), "operations": [transfer("customers:1", "merchants:7", "1")]});
    let other = json!({"id": id("a1"), "operations": [transfer("customers:1", "merchants:7", "2")]});
    let copies = (0..64).map(|number| {
        let body = if number % 8 == 7 { &other } else { &body };
        ledger.post("/v1/transactions", body)
    });
    let answers = futures_util::future::join_all(copies).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    // Either body may be the first; the other one's copies are told so.
    assert_eq!(count(201), 1);
    assert_eq!(count(200) + count(409), 63);
    assert!([8, 56].contains(&count(409)), "{}", count(409));
    let paid = if count(409) == 8 { "1.00" } else { "2.00" };
    assert_eq!(ledger.balance("merchants:7").await.0, paid);
}

//! Merchants' terms.

use serde_json::json;

use super::shop::{buyer, open_shops, order, pay};
use crate::ledger::Ledger;

#[tokio::test]
async fn terms_are_set_and_set_again() {
    let ledger = Ledger::new();
    let terms = json!({
        "enabled": true, "kind": "third_party", "refused_categories": ["b", "a", "b"], "fee_rate": "0.0060"
    });
    let answer = ledger.put("/v1/merchants/tp", &terms).await.expect(200).body;
    let expected = json!({
        "merchant": "tp", "enabled": true, "kind": "third_party", "refused_categories": ["a", "b"],
        "fee_rate": "0.006"
    });
    assert_eq!(answer, expected);
    let position = ledger.position().await;
    assert_eq!(ledger.put("/v1/merchants/tp", &terms).await.expect(200).body, expected);
    assert_eq!(ledger.position().await, position, "the same again writes nothing");
    let bare = json!({"enabled": false, "kind": "self_operated"});
    let answer = ledger.put("/v1/merchants/tp", &bare).await.expect(200).body;
    assert_eq!((&answer["fee_rate"], &answer["refused_categories"]), (&json!("0"), &json!([])));
    assert_eq!(ledger.position().await, position + 1);
    for (field, wrong) in [
        ("/fee_rate", json!({"enabled": true, "kind": "third_party", "fee_rate": "1"})),
        ("/fee_rate", json!({"enabled": true, "kind": "third_party", "fee_rate": 0.006})),
        ("/kind", json!({"enabled": true, "kind": "other"})),
        ("/enabled", json!({"kind": "third_party"})),
        ("/enabled", json!({"enabled": "true", "kind": "third_party"})),
        (
            "/refused_categories",
            json!({"enabled": true, "kind": "third_party", "refused_categories": vec!["x"; 65]}),
        ),
        ("/other", json!({"enabled": true, "kind": "third_party", "other": 1})),
    ] {
        let refused = ledger.put("/v1/merchants/tp", &wrong).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), field, "{wrong}");
    }
    ledger.put("/v1/merchants/a:b", &bare).await.expect_problem(400, "malformed");
}

#[tokio::test]
async fn an_account_of_the_ledgers_callers_is_taken_as_it_is() {
    let ledger = Ledger::with_accounts().await;
    let terms = json!({"enabled": true, "kind": "self_operated"});
    ledger.put("/v1/merchants/7", &terms).await.expect(200);
    let other = json!({"address": "merchants:8", "asset": "USD"});
    ledger.post("/v1/accounts", &other).await.expect(201);
    ledger.put("/v1/merchants/8", &terms).await.expect_problem(409, "account_exists");
}

#[tokio::test]
async fn thirty_two_changes_at_once_leave_one_of_them() {
    let ledger = Ledger::new();
    let rate =
        |number: u32| json!({"enabled": true, "kind": "third_party", "fee_rate": format!("0.{number:02}")});
    let bodies: Vec<_> = (0..32).map(|number| rate(number % 4)).collect();
    let calls = bodies.iter().map(|body| ledger.put("/v1/merchants/tp", body));
    for answer in futures_util::future::join_all(calls).await {
        answer.expect(200);
    }
    // Each record is a change: as many as the cell has revisions, and no more than there were calls.
    let opened = 2;
    assert!((opened + 1..=opened + 32).contains(&ledger.position().await));
}

#[tokio::test]
async fn payments_follow_the_terms_of_their_moment() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 100_00).await;
    let one =
        |digits: &str, merchant: &str, category: &str| order(digits, &alice, merchant, &[(category, "1.00")]);
    let refused = pay(&alice, &one("e1", "nobody", "home")).await.expect_problem(422, "merchant_not_enabled");
    assert_eq!(refused.field(), "/merchant");
    let cards = order("e1", &alice, "tp", &[("home", "1.00"), ("gift-cards", "1.00")]);
    let refused = pay(&alice, &cards).await.expect_problem(422, "category_not_payable");
    assert_eq!(refused.field(), "/items/1/category");
    // Neither is final.
    pay(&alice, &one("e1", "jd-self", "gift-cards")).await.expect(201);
    let off = json!({"enabled": false, "kind": "self_operated"});
    ledger.put("/v1/merchants/jd-self", &off).await.expect(200);
    pay(&alice, &one("e2", "jd-self", "home")).await.expect_problem(422, "merchant_not_enabled");
    pay(&alice, &one("e1", "jd-self", "gift-cards")).await.expect(200);
}

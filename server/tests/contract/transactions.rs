//! `POST /v1/transactions`, `GET /v1/transactions/{id}`, `GET /v1/holds/{id}`: what is posted, and how it is shown.

use serde_json::{Value, json};

use crate::ledger::{Ledger, capture, hold, id, release, reverse, transfer};

#[tokio::test]
async fn a_posted_transaction_is_answered_and_shown() {
    let ledger = Ledger::with_accounts().await;
    let body = json!({
        "id": id("a1"), "code": "payment", "reference": "order 1", "metadata": {"shop": "jd", "item": "茶"},
        "operations": [
            transfer("customers:1", "merchants:7", "5"),
            {"type": "transfer", "debit": "merchants:7", "credit": "customers:2", "amount": "0.5", "code": "cashback"}
        ]
    });
    let posted = ledger.post("/v1/transactions", &body).await.expect(201).body;
    let position = ledger.position().await;
    assert_eq!(posted["status"], "posted");
    assert_eq!((&posted["id"], &posted["position"]), (&json!(id("a1")), &json!(position)));
    assert_time(&posted["at"]);

    let shown = ledger.get(&format!("/v1/transactions/{}", id("a1"))).await.expect(200).body;
    let expected = json!({
        "id": id("a1"), "status": "posted", "code": "payment", "operation": null, "request_code": "payment",
        "position": position, "at": posted["at"], "reference": "order 1", "metadata": {"item": "茶", "shop": "jd"},
        "operations": [
            {"type": "transfer", "debit": "customers:1", "credit": "merchants:7", "amount": "5.00", "code": null},
            {
                "type": "transfer", "debit": "merchants:7", "credit": "customers:2", "amount": "0.50",
                "code": "cashback"
            }
        ]
    });
    assert_eq!(shown, expected);
    assert_eq!(ledger.balance("customers:1").await.0, "95.00");
    assert_eq!(ledger.balance("merchants:7").await.0, "4.50");
    assert_eq!(ledger.balance("customers:2").await.0, "0.50");
}

#[tokio::test]
async fn optional_fields_may_be_null_and_are_then_absent() {
    let ledger = Ledger::with_accounts().await;
    let body = json!({
        "id": id("a1"), "code": null, "reference": null, "metadata": null,
        "operations": [
            {"type": "transfer", "debit": "customers:1", "credit": "merchants:7", "amount": "5.00", "code": null}
        ]
    });
    ledger.post("/v1/transactions", &body).await.expect(201);
    let without = json!({"id": id("a1"), "operations": [transfer("customers:1", "merchants:7", "5")]});
    assert!(ledger.post("/v1/transactions", &without).await.expect(200).replayed());
}

#[tokio::test]
async fn a_later_operation_sees_the_earlier_ones() {
    let ledger = Ledger::with_accounts().await;
    let through =
        [transfer("channels:wechat", "customers:2", "7"), transfer("customers:2", "merchants:7", "7")];
    ledger.submit("a1", &through).await.expect(201);
    let reverse_order = [through[1].clone(), through[0].clone()];
    let refused = ledger.submit("a2", &reverse_order).await.expect_problem(422, "insufficient_funds");
    assert_eq!(refused.body["operation"], 0);
}

#[tokio::test]
async fn a_hold_is_captured_in_part_released_or_runs_out() {
    let ledger = Ledger::with_accounts().await;
    for (transaction, digits) in [("a1", "1"), ("a2", "2")] {
        ledger.submit(transaction, &[hold(digits, "customers:1", "merchants:7", "30")]).await.expect(201);
    }
    let short = json!({
        "type": "hold", "id": id("3"), "debit": "customers:1", "credit": "merchants:7", "amount": "30", "expires_in": 1
    });
    ledger.submit("a3", &[short]).await.expect(201);
    assert_eq!(ledger.balance("customers:1").await, ("100.00".into(), "90.00".into()));
    let state = async |digits: &str| {
        let shown = ledger.get(&format!("/v1/holds/{}", id(digits))).await.expect(200).body;
        let text = |field: &str| shown[field].as_str().unwrap().to_owned();
        assert_eq!((text("debit"), text("credit")), ("customers:1".into(), "merchants:7".into()));
        assert_time(&shown["expires_at"]);
        (text("state"), text("amount"), text("captured"))
    };
    let expected = |state: &str, captured: &str| (state.to_owned(), "30.00".to_owned(), captured.to_owned());
    assert_eq!(state("1").await, expected("held", "0.00"));
    ledger.submit("a4", &[capture("1", Some("20.5"))]).await.expect(201);
    assert_eq!(state("1").await, expected("captured", "20.50"));
    ledger.submit("a5", &[release("2")]).await.expect(201);
    assert_eq!(state("2").await, expected("released", "0.00"));
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    assert_eq!(state("3").await, expected("expired", "0.00"));
    assert_eq!(ledger.balance("customers:1").await, ("79.50".into(), "0.00".into()));

    let shown = ledger.get(&format!("/v1/transactions/{}", id("a1"))).await.expect(200).body;
    let placed = &shown["operations"][0];
    assert_eq!((&placed["amount"], &placed["expires_in"]), (&json!("30.00"), &json!(900)));
    let held = ledger.get(&format!("/v1/holds/{}", id("1"))).await.body;
    assert_eq!(placed["expires_at"], held["expires_at"]);
    let shown = ledger.get(&format!("/v1/transactions/{}", id("a4"))).await.expect(200).body;
    let captured = json!({
        "type": "capture", "hold": id("1"), "debit": "customers:1", "credit": "merchants:7", "amount": "20.50",
        "code": null
    });
    assert_eq!(shown["operations"][0], captured);
    let shown = ledger.get(&format!("/v1/transactions/{}", id("a5"))).await.expect(200).body;
    assert_eq!(shown["operations"][0]["amount"], "30.00");
}

#[tokio::test]
async fn a_capture_without_an_amount_takes_all_and_a_reversal_what_is_left() {
    let ledger = Ledger::with_accounts().await;
    ledger.submit("a1", &[hold("1", "customers:1", "merchants:7", "30")]).await.expect(201);
    ledger.submit("a2", &[capture("1", None)]).await.expect(201);
    assert_eq!(ledger.balance("merchants:7").await.0, "30.00");
    ledger.submit("a3", &[reverse("a2", 0, Some("10"))]).await.expect(201);
    ledger.submit("a4", &[reverse("a2", 0, None)]).await.expect(201);
    assert_eq!(ledger.balance("merchants:7").await.0, "0.00");
    let shown = ledger.get(&format!("/v1/transactions/{}", id("a4"))).await.expect(200).body;
    let reversed = json!({
        "type": "reverse", "transaction": id("a2"), "operation": 0, "debit": "merchants:7", "credit": "customers:1",
        "amount": "20.00", "code": null
    });
    assert_eq!(shown["operations"][0], reversed);
}

#[tokio::test]
async fn a_refused_transaction_is_shown_as_it_was_asked_for() {
    let ledger = Ledger::with_accounts().await;
    let body = json!({
        "id": id("a1"), "code": "payment",
        "operations": [
            transfer("customers:1", "merchants:7", "1.5"), capture("1", None),
            {"type": "reverse", "transaction": id("f"), "operation": 63, "amount": "-1"}
        ]
    });
    let refused = ledger.post("/v1/transactions", &body).await.expect_problem(422, "hold_not_found").body;
    let shown = ledger.get(&format!("/v1/transactions/{}", id("a1"))).await.expect(200).body;
    assert_eq!(refused["position"], shown["position"]);
    assert_time(&shown["at"]);
    let expected = json!({
        "id": id("a1"), "status": "rejected", "code": "hold_not_found", "operation": 1, "request_code": "payment",
        "position": shown["position"], "at": shown["at"], "reference": null, "metadata": {},
        "operations": [
            {"type": "transfer", "debit": "customers:1", "credit": "merchants:7", "amount": "1.5", "code": null},
            {"type": "capture", "hold": id("1"), "amount": null, "code": null},
            {"type": "reverse", "transaction": id("f"), "operation": 63, "amount": "-1", "code": null}
        ]
    });
    assert_eq!(shown, expected);
    assert_eq!(ledger.balance("customers:1").await.0, "100.00");
}

#[tokio::test]
async fn unknown_transactions_and_holds_are_not_found() {
    let ledger = Ledger::new();
    for uri in [format!("/v1/transactions/{}", id("1")), format!("/v1/holds/{}", id("1"))] {
        ledger.get(&uri).await.expect_problem(404, "not_found");
    }
    for uri in ["/v1/transactions/1", "/v1/holds/x", "/v1/transactions/%ff", "/v1/holds/%00"] {
        let answer = ledger.get(uri).await.expect_problem(400, "malformed");
        assert_eq!(answer.field(), "/id", "{uri}");
    }
}

#[tokio::test]
async fn an_id_is_the_same_in_upper_case() {
    let ledger = Ledger::with_accounts().await;
    ledger.submit("ab", &[transfer("customers:1", "merchants:7", "1")]).await.expect(201);
    let upper = json!({
        "id": id("ab").to_uppercase(), "operations": [transfer("customers:1", "merchants:7", "1.00")]
    });
    let again = ledger.post("/v1/transactions", &upper).await.expect(200);
    assert_eq!(again.body["id"], id("ab"));
    ledger.get(&format!("/v1/transactions/{}", id("ab").to_uppercase())).await.expect(200);
}

/// RFC 3339 in UTC with nine decimals.
#[track_caller]
fn assert_time(value: &Value) {
    let text = value.as_str().unwrap();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { 'd' } else { c }).collect();
    assert_eq!(shape, "dddd-dd-ddTdd:dd:dd.dddddddddZ");
}

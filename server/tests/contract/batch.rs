//! `POST /v1/transactions/batch`

use serde_json::{Value, json};

use yue_server::config::HttpLimits;

use crate::ledger::{Answer, Ledger, id, transfer};

const URI: &str = "/v1/transactions/batch";

fn element(digits: &str, debit: &str, amount: &str) -> Value {
    json!({"id": id(digits), "operations": [transfer(debit, "merchants:7", amount)]})
}

async fn send(ledger: &Ledger, elements: &[Value]) -> Answer {
    ledger.post(URI, &json!({"transactions": elements})).await
}

#[tokio::test]
async fn each_element_has_its_result_in_the_order_given() {
    let ledger = Ledger::with_accounts().await;
    ledger.submit("a1", &[transfer("customers:1", "merchants:7", "1")]).await.expect(201);
    ledger.submit("a2", &[transfer("customers:2", "merchants:7", "1")]).await.expect(422);
    let before = ledger.position().await;
    let elements = [
        element("b1", "customers:1", "1"),
        element("b2", "customers:none", "1"),
        element("a1", "customers:1", "1.00"),
        element("a2", "customers:2", "1"),
        element("a1", "customers:1", "2"),
        element("b3", "customers:1", "x"),
    ];
    let answer = send(&ledger, &elements).await.expect(200).body;
    assert_eq!(answer.as_object().unwrap().len(), 1);
    let results = answer["results"].as_array().unwrap();
    let summary: Vec<_> = results
        .iter()
        .map(|result| {
            let text = |field: &str| result[field].as_str().unwrap_or("-").to_owned();
            (
                text("id"),
                text("status"),
                text("code"),
                result["operation"].clone(),
                result["replayed"].clone(),
            )
        })
        .collect();
    let expected = [
        ("b1", "posted", "-", json!(null), false),
        ("b2", "rejected", "account_not_found", json!(0), false),
        ("a1", "posted", "-", json!(null), true),
        ("a2", "rejected", "insufficient_funds", json!(0), true),
        ("a1", "rejected", "id_reused", json!(null), false),
        ("b3", "rejected", "amount_invalid", json!(0), false),
    ]
    .map(|(digits, status, code, operation, replayed)| {
        (id(digits), status.to_owned(), code.to_owned(), operation, json!(replayed))
    });
    assert_eq!(summary, expected);
    let positions: Vec<_> = results.iter().map(|result| result["position"].as_u64()).collect();
    assert_eq!((positions[2], positions[3], positions[4]), (Some(before - 1), Some(before), None));
    let mut new = [positions[0], positions[1], positions[5]];
    new.sort_unstable();
    assert_eq!(new, [1, 2, 3].map(|more| Some(before + more)));
    assert_eq!(results[4]["field"], "/operations/0/amount");
    assert_eq!(ledger.balance("merchants:7").await.0, "2.00");
}

#[tokio::test]
async fn an_id_twice_in_one_batch_takes_effect_once() {
    let ledger = Ledger::with_accounts().await;
    let elements = [
        element("b1", "customers:1", "1"),
        element("b1", "customers:1", "1.0"),
        element("b2", "customers:1", "2"),
        element("b2", "customers:1", "3"),
    ];
    let answer = send(&ledger, &elements).await.expect(200).body;
    let results = answer["results"].as_array().unwrap();
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!("posted"), &json!("posted")));
    assert_eq!(results[0]["position"], results[1]["position"]);
    assert_eq!((&results[0]["replayed"], &results[1]["replayed"]), (&json!(false), &json!(true)));
    assert_eq!((&results[2]["status"], &results[3]["code"]), (&json!("posted"), &json!("id_reused")));
    assert_eq!(ledger.balance("merchants:7").await.0, "3.00");
}

#[tokio::test]
async fn one_malformed_element_refuses_all_and_nothing_is_applied() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    let mut number = 0;
    let mut check = async |bad: Value, field: &str| {
        number += 1;
        let digits = |part: u8| format!("{part}{number:03}");
        let mut elements: Vec<_> = (0..20).map(|part| element(&digits(part), "customers:1", "1")).collect();
        elements[17] = bad;
        let refused = send(&ledger, &elements).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), format!("/transactions/17{field}"));
    };
    check(json!({"id": id("f"), "operations": []}), "/operations").await;
    check(json!({"operations": [transfer("a", "b", "1")]}), "/id").await;
    check(json!({"id": id("f"), "operations": [transfer("a", "B", "1")]}), "/operations/0/credit").await;
    check(json!({"id": id("f"), "operations": [transfer("a", "b", "1")], "x": 1}), "/x").await;
    check(json!([id("f"), [transfer("a", "b", "1")]]), "").await;
    check(json!(null), "").await;
    assert_eq!(ledger.position().await, position);
    for (body, field) in [
        (json!({}), "/transactions"),
        (json!({"transactions": {}}), "/transactions"),
        (json!({"transactions": [], "x": 1}), "/x"),
        (json!([]), ""),
    ] {
        let refused = ledger.post(URI, &body).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), field, "{body}");
    }
}

#[tokio::test]
async fn a_batch_has_at_most_ten_thousand_elements() {
    let ledger = Ledger::with_accounts().await;
    assert_eq!(send(&ledger, &[]).await.expect(200).body, json!({"results": []}));
    let position = ledger.position().await;
    let elements: Vec<_> = (0..10_001)
        .map(|number| element(&format!("{:x}", 0x10_0000 + number), "channels:wechat", "0.01"))
        .collect();
    let refused = send(&ledger, &elements).await.expect_problem(413, "too_large");
    assert_eq!(refused.field(), "/transactions");
    assert_eq!(ledger.position().await, position);
    let answer = send(&ledger, &elements[..10_000]).await.expect(200).body;
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 10_000);
    for (result, element) in results.iter().zip(&elements) {
        assert_eq!((&result["id"], &result["status"]), (&element["id"], &json!("posted")), "{result}");
    }
    assert_eq!(ledger.position().await, position + 10_000);
    assert_eq!(ledger.balance("merchants:7").await.0, "100.00");
}

#[tokio::test]
async fn what_is_not_taken_is_unavailable_and_leaves_its_id_free() {
    let ledger = Ledger::with(|config| config.in_flight_commands_max = 4, HttpLimits::default());
    for account in [
        json!({"address": "customers:1", "asset": "CNY", "floor": null}),
        json!({"address": "merchants:7", "asset": "CNY"}),
    ] {
        ledger.post("/v1/accounts", &account).await.expect(201);
    }
    let elements: Vec<_> =
        (0..64).map(|number| element(&format!("b{number:02}"), "customers:1", "1")).collect();
    let answer = send(&ledger, &elements).await.expect(200).body;
    let results = answer["results"].as_array().unwrap();
    let untaken: Vec<_> =
        results.iter().zip(&elements).filter(|(result, _)| result["status"] != "posted").collect();
    assert!(!untaken.is_empty(), "all were taken: the test shows nothing");
    for (result, element) in untaken {
        let expected = json!({
            "id": element["id"], "status": "unavailable", "position": null, "code": "overloaded", "operation": null,
            "replayed": false
        });
        assert_eq!(result, &expected);
        ledger.post("/v1/transactions", element).await.expect(201);
    }
    assert_eq!(ledger.balance("merchants:7").await.0, "64.00");
}

//! Opening, changing, listing and showing accounts.

use serde_json::{Value, json};

use crate::ledger::{Ledger, hold, transfer};

#[tokio::test]
async fn an_account_is_opened_once_with_its_defaults() {
    let ledger = Ledger::new();
    let opened = ledger
        .post("/v1/accounts", &json!({"address": "customers:1", "asset": "CNY"}))
        .await
        .expect(201)
        .body;
    let expected = json!({
        "address": "customers:1", "asset": "CNY", "normal": "credit", "status": "active", "posted": "0.00",
        "held": "0.00", "available": "0.00", "floor": "0.00", "ceiling": null, "limits": [], "position": 1,
        "opened_at": opened["opened_at"], "metadata": {}
    });
    assert_eq!(opened, expected);
    assert_eq!(ledger.get("/v1/accounts/customers:1").await.expect(200).body, expected);
    for same in [
        json!({"address": "customers:1", "asset": "CNY"}),
        json!({
            "address": "customers:1", "asset": "CNY", "normal": "credit", "floor": "0.00", "ceiling": null,
            "limits": [], "metadata": {}
        }),
        json!({"address": "customers:1", "asset": "CNY", "normal": null, "limits": null, "metadata": null}),
    ] {
        assert_eq!(ledger.post("/v1/accounts", &same).await.expect(200).body, expected, "{same}");
    }
    assert_eq!(ledger.position().await, 1);
}

#[tokio::test]
async fn the_same_again_is_compared_with_the_opening_and_shows_the_account_as_it_is() {
    let ledger = Ledger::with_accounts().await;
    ledger.patch("/v1/accounts/customers:2", &json!({"floor": "-5"})).await.expect(200);
    let again =
        ledger.post("/v1/accounts", &json!({"address": "customers:2", "asset": "CNY"})).await.expect(200);
    assert_eq!(again.body["floor"], "-5.00");
    let changed = json!({"address": "customers:2", "asset": "CNY", "floor": "-5"});
    let refused = ledger.post("/v1/accounts", &changed).await.expect_problem(409, "account_exists");
    assert_eq!(refused.field(), "/floor");
}

#[tokio::test]
async fn another_opening_names_the_field_that_differs() {
    let ledger = Ledger::new();
    let first = json!({
        "address": "customers:1", "asset": "CNY", "normal": "credit", "floor": "-10", "ceiling": "10",
        "limits": [{"window": "day", "amount": "5"}], "metadata": {"a": "b"}
    });
    ledger.post("/v1/accounts", &first).await.expect(201);
    for (name, value) in [
        ("asset", json!("USD")),
        ("asset", json!("XXX")),
        ("normal", json!("debit")),
        ("floor", json!(null)),
        ("floor", json!("0")),
        ("floor", json!("x")),
        ("ceiling", json!(null)),
        ("ceiling", json!("-1")),
    ] {
        let mut other = first.clone();
        other[name] = value.clone();
        let refused = ledger.post("/v1/accounts", &other).await.expect_problem(409, "account_exists");
        assert_eq!(refused.field(), format!("/{name}"), "{value}");
    }
    let mut other = first.clone();
    other["limits"][0]["amount"] = json!("6");
    let refused = ledger.post("/v1/accounts", &other).await.expect_problem(409, "account_exists");
    assert!(refused.field().starts_with("/limits"), "{}", refused.text);
    let mut other = first.clone();
    other["metadata"]["a"] = json!("c");
    let refused = ledger.post("/v1/accounts", &other).await.expect_problem(409, "account_exists");
    assert!(refused.field().starts_with("/metadata"), "{}", refused.text);
}

#[tokio::test]
async fn floors_ceilings_and_limits_are_amounts_of_the_asset() {
    let ledger = Ledger::new();
    let mut number = 0;
    let mut check = async |fields: Value, expected: Result<(&str, Value), (&str, &str)>| {
        number += 1;
        let mut body = json!({"address": format!("a:{number}"), "asset": "CNY"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = ledger.post("/v1/accounts", &body).await;
        match expected {
            Ok((field, value)) => assert_eq!(answer.expect(201).body[field], value, "{body}"),
            Err((code, field)) => assert_eq!(answer.expect_problem(422, code).field(), field, "{body}"),
        }
    };
    check(json!({"floor": "-0.5"}), Ok(("floor", json!("-0.50")))).await;
    check(json!({"floor": "7"}), Err(("insufficient_funds", "/floor"))).await;
    check(json!({"floor": null}), Ok(("floor", json!(null)))).await;
    check(json!({"ceiling": "0"}), Ok(("ceiling", json!("0.00")))).await;
    check(json!({"floor": "-184467440737095516.15"}), Ok(("floor", json!("-184467440737095516.15")))).await;
    for amount in ["", "x", "0.001", "1e2", "+1", "--1", "184467440737095516.16"] {
        check(json!({"floor": amount}), Err(("amount_invalid", "/floor"))).await;
        check(json!({"ceiling": amount}), Err(("amount_invalid", "/ceiling"))).await;
        let limits = json!({"limits": [{"window": "day", "count": 1}, {"window": "day", "code": "a", "amount": amount}]});
        check(limits, Err(("amount_invalid", "/limits/1/amount"))).await;
    }
    // An empty account is above it.
    check(json!({"ceiling": "-1"}), Err(("ceiling_exceeded", "/ceiling"))).await;
    check(json!({"limits": [{"window": "day", "amount": "0"}]}), Err(("amount_invalid", "/limits/0/amount")))
        .await;
    check(json!({"asset": "CARBON", "ceiling": "1.0"}), Err(("amount_invalid", "/ceiling"))).await;
    check(json!({"asset": "JPY"}), Err(("asset_unknown", "/asset"))).await;
    check(json!({"asset": "cny"}), Err(("asset_unknown", "/asset"))).await;
    check(json!({"asset": "USD", "ceiling": "1"}), Ok(("ceiling", json!("1.00")))).await;
}

#[tokio::test]
async fn a_change_sets_what_it_mentions() {
    let ledger = Ledger::with_accounts().await;
    let uri = "/v1/accounts/customers:1";
    let before = ledger.get(uri).await.body;
    assert_eq!(ledger.patch(uri, &json!({})).await.expect(200).body, before);
    assert_eq!(ledger.patch(uri, &json!({"status": null, "limits": null})).await.expect(200).body, before);
    let all = json!({
        "status": "frozen", "floor": null, "ceiling": "1000",
        "limits": [{"window": "month", "code": "payment", "amount": "7.5", "count": 2}]
    });
    let after = ledger.patch(uri, &all).await.expect(200).body;
    let mut expected = before.clone();
    expected["status"] = json!("frozen");
    expected["floor"] = json!(null);
    expected["ceiling"] = json!("1000.00");
    expected["limits"] = json!([{
        "window": "month", "code": "payment", "amount": "7.50", "count": 2, "used": {"amount": "0.00", "count": 0}
    }]);
    expected["position"] = json!(ledger.position().await);
    assert_eq!(after, expected);
    assert_eq!(ledger.get(uri).await.body, expected);
    let back =
        ledger.patch(uri, &json!({"status": "active", "ceiling": null, "limits": []})).await.expect(200).body;
    assert_eq!(
        (&back["status"], &back["ceiling"], &back["limits"]),
        (&json!("active"), &json!(null), &json!([]))
    );
}

#[tokio::test]
async fn a_ceiling_can_be_negative() {
    let ledger = Ledger::with_accounts().await;
    let debtor = "/v1/accounts/customers:debtor";
    ledger
        .post("/v1/accounts", &json!({"address": "customers:debtor", "asset": "CNY", "floor": "-20"}))
        .await
        .expect(201);
    ledger.submit("a1", &[transfer("customers:debtor", "merchants:7", "15")]).await.expect(201);
    ledger.patch(debtor, &json!({"ceiling": "-15.01"})).await.expect_problem(422, "ceiling_exceeded");
    let changed = ledger.patch(debtor, &json!({"ceiling": "-15"})).await.expect(200);
    assert_eq!(changed.body["ceiling"], "-15.00");
    ledger
        .submit("a2", &[transfer("customers:1", "customers:debtor", "0.01")])
        .await
        .expect_problem(422, "ceiling_exceeded");
}

#[tokio::test]
async fn a_closed_account_is_closed_again_without_a_record() {
    let ledger = Ledger::with_accounts().await;
    let (uri, position) = ("/v1/accounts/customers:closed", ledger.position().await);
    let closed = ledger.get(uri).await.body;
    assert_eq!(ledger.patch(uri, &json!({"status": "closed"})).await.expect(200).body, closed);
    let more = json!({"status": "closed", "floor": "0"});
    ledger.patch(uri, &more).await.expect_problem(422, "account_closed");
    assert_eq!(ledger.position().await, position);
}

#[tokio::test]
async fn a_change_that_the_balance_breaks_is_refused() {
    let ledger = Ledger::with_accounts().await;
    ledger.submit("a1", &[hold("c1", "customers:1", "merchants:7", "40")]).await.expect(201);
    let position = ledger.position().await;
    let check = async |account: &str, change: Value, status: u16, code: &str| {
        ledger.patch(&format!("/v1/accounts/{account}"), &change).await.expect_problem(status, code);
    };
    check("customers:1", json!({"floor": "60.01"}), 422, "insufficient_funds").await;
    check("customers:1", json!({"ceiling": "99.99"}), 422, "ceiling_exceeded").await;
    check("customers:1", json!({"status": "closed"}), 422, "account_not_empty").await;
    check("merchants:7", json!({"status": "closed"}), 422, "account_not_empty").await;
    check("customers:closed", json!({"status": "active"}), 422, "account_closed").await;
    check("customers:closed", json!({"floor": "-1"}), 422, "account_closed").await;
    check("customers:1", json!({"floor": "0.001"}), 422, "amount_invalid").await;
    check("customers:none", json!({"floor": "0"}), 404, "not_found").await;
    assert_eq!(ledger.position().await, position);
    ledger.patch("/v1/accounts/customers:1", &json!({"floor": "60", "ceiling": "100"})).await.expect(200);
    ledger.patch("/v1/accounts/customers:2", &json!({"status": "closed"})).await.expect(200);
}

#[tokio::test]
async fn accounts_are_listed_by_address_in_pages() {
    let ledger = Ledger::with_accounts().await;
    let addresses = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().unwrap();
        items.iter().map(|item| item["address"].as_str().unwrap().to_owned()).collect()
    };
    let all = ledger.get("/v1/accounts").await.expect(200).body;
    let names = addresses(&all);
    assert!(names.is_sorted() && names.len() == 10, "{names:?}");
    assert_eq!(all["next_cursor"], json!(null));
    let mut paged = Vec::new();
    let mut uri = "/v1/accounts?limit=3&prefix=customers:".to_owned();
    loop {
        let page = ledger.get(&uri).await.expect(200).body;
        assert!(addresses(&page).len() <= 3);
        paged.extend(addresses(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        uri = format!("/v1/accounts?limit=3&prefix=customers:&cursor={cursor}");
    }
    let customers: Vec<_> = names.iter().filter(|name| name.starts_with("customers:")).cloned().collect();
    assert_eq!(paged, customers);
    for (prefix, count) in
        [("", 10), ("c", 8), ("customers:1", 2), ("customers%3A1%3a", 1), ("x", 0), ("%", 0), ("*", 0)]
    {
        let page = ledger.get(&format!("/v1/accounts?prefix={prefix}")).await.expect(200).body;
        assert_eq!(addresses(&page).len(), count, "{prefix}");
    }
    let shown = ledger.get("/v1/accounts/customers%3A1").await.expect(200).body;
    assert_eq!(
        all["items"].as_array().unwrap().iter().find(|item| item["address"] == "customers:1"),
        Some(&shown)
    );
}

#[tokio::test]
async fn a_balance_never_mixes_posted_and_held_of_two_moments() {
    let ledger = Ledger::with_accounts().await;
    ledger
        .submit(
            "a1",
            &[transfer("customers:1", "merchants:7", "1.01"), hold("c1", "customers:1", "merchants:7", "2")],
        )
        .await
        .expect(201);
    let account = ledger.get("/v1/accounts/customers:1").await.expect(200).body;
    let amounts = ["posted", "held", "available"].map(|field| account[field].as_str().unwrap().to_owned());
    assert_eq!(amounts, ["98.99", "2.00", "96.99"]);
}

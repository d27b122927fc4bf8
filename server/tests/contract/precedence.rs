//! Which refusal wins where several apply: in the first pass and then in the second, the lowest operation, and of its
//! codes the earliest.

use serde_json::{Value, json};

use crate::ledger::{Ledger, capture, hold, id, release, reverse, transfer};

#[tokio::test]
async fn the_earliest_code_of_the_lowest_operation_of_the_first_pass_wins() {
    let ledger = Ledger::with_accounts().await;
    ledger.submit("b1", &[hold("c1", "customers:1", "merchants:7", "5")]).await.expect(201);
    ledger.submit("b2", &[release("c1")]).await.expect(201);
    let mut number = 0;
    let mut check = async |operations: &[Value], code: &str, operation: u8| {
        number += 1;
        let refused = ledger.submit(&format!("d{number:03}"), operations).await.expect_problem(422, code);
        assert_eq!(refused.body["operation"], operation, "{operations:?}");
    };
    let good = || transfer("customers:1", "merchants:7", "1");
    let poor = || transfer("customers:2", "merchants:7", "1");
    // One operation, two faults.
    check(&[transfer("customers:none", "merchants:7", "0")], "amount_invalid", 0).await;
    check(&[reverse("ffff", 0, Some("x"))], "amount_invalid", 0).await;
    check(&[capture("ffff", Some("0"))], "amount_invalid", 0).await;
    check(&[hold("c1", "customers:none", "merchants:7", "1")], "hold_exists", 0).await;
    check(&[transfer("customers:none", "customers:none", "1")], "account_not_found", 0).await;
    check(&[transfer("customers:frozen", "customers:1:carbon", "1")], "asset_mismatch", 0).await;
    check(&[transfer("customers:closed", "customers:closed", "1")], "same_account", 0).await;
    check(&[transfer("customers:frozen", "customers:closed", "1")], "account_closed", 0).await;
    check(&[transfer("customers:frozen", "merchants:7", "1000")], "account_frozen", 0).await;
    check(&[capture("c1", Some("100"))], "hold_released", 0).await;
    check(&[transfer("customers:limited", "merchants:7", "1000")], "limit_exceeded", 0).await;
    check(&[transfer("customers:2", "merchants:capped", "1000")], "insufficient_funds", 0).await;
    // Two operations of one pass: the lower one, though its code comes later.
    check(&[transfer("customers:frozen", "merchants:7", "1"), transfer("a", "b", "0")], "account_frozen", 0)
        .await;
    check(&[transfer("customers:1", "merchants:capped", "11"), poor()], "ceiling_exceeded", 0).await;
    check(&[poor(), capture("c1", None)], "insufficient_funds", 0).await;
    // The first pass goes over all operations before the second begins.
    check(&[poor(), good(), transfer("customers:1", "merchants:none", "1")], "account_not_found", 2).await;
    check(&[capture("c1", None), transfer("customers:1", "merchants:7", "0")], "amount_invalid", 1).await;
}

#[tokio::test]
async fn malformed_comes_before_an_id_that_was_used_and_that_before_the_rules() {
    let ledger = Ledger::with_accounts().await;
    ledger.submit("a1", &[transfer("customers:1", "merchants:7", "1")]).await.expect(201);
    let other = json!({"id": id("a1"), "operations": [transfer("customers:none", "merchants:7", "0")]});
    ledger.post("/v1/transactions", &other).await.expect_problem(409, "id_reused");
    let malformed = json!({"id": id("a1"), "operations": [transfer("customers:NONE", "merchants:7", "0")]});
    ledger.post("/v1/transactions", &malformed).await.expect_problem(400, "malformed");
}

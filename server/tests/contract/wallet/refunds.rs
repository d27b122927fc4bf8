//! Refunds: which money goes back, how often, and never more than was paid.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    channel::{notify, word},
    shop::{buyer, legs, open_shops, order, pay, payment, posted, promotion, refund, with},
};
use crate::ledger::{Ledger, id};

/// 100 yuan over two items: 10 from a promotion, 45 from balance, 45 from `wechat`.
async fn paid(ledger: &Ledger, digits: &str) {
    open_shops(ledger).await;
    let ten = promotion("ten", json!({"amount_off": "10.00"}), "1000.00", json!({}));
    ledger.post("/v1/promotions", &ten).await.expect(201);
    let alice = buyer(ledger, "alice", 45_00).await;
    let body = with(
        order(digits, &alice, "tp", &[("home", "80.00"), ("home", "20.00")]),
        json!({"combine_with": "wechat", "promotion": "ten"}),
    );
    pay(&alice, &body).await.expect(201);
    notify(ledger, "wechat", &word(digits, "paid", "45.00", "r1")).await.expect(200);
    assert_eq!(payment(ledger, digits).await["status"], "paid");
}

fn gone(body: &Value) -> Vec<[&str; 2]> {
    legs(body)
        .into_iter()
        .map(|[source, amount, state]| {
            assert_eq!(state, "refunded");
            [source, amount]
        })
        .collect()
}

#[tokio::test]
async fn own_money_goes_back_first_the_promotions_last() {
    let ledger = Ledger::new();
    paid(&ledger, "e1").await;
    // Of the first item 8 are the promotion's, 45 own, 27 the channel's; of the second 2 and 18 the channel's.
    let part =
        refund(&ledger, "e1", "f1", json!({"amount": "50.00", "reason": "scratched"})).await.expect(201).body;
    assert_eq!(gone(&part), [["balance", "45.00"], ["wechat", "5.00"]]);
    assert_eq!(
        (&part["payment"], &part["item"], &part["reason"]),
        (&json!(id("e1")), &json!(null), &json!("scratched"))
    );
    let item = refund(&ledger, "e1", "f2", json!({"amount": "19.00", "item": 1})).await.expect(201).body;
    assert_eq!(gone(&item), [["wechat", "18.00"], ["promotion", "1.00"]]);
    let shown = payment(&ledger, "e1").await;
    assert_eq!(shown["refundable"], "31.00");
    let left: Vec<_> =
        shown["items"].as_array().unwrap().iter().map(|item| item["refundable"].clone()).collect();
    assert_eq!(left, ["30.00", "1.00"]);
    let left: Vec<_> =
        shown["legs"].as_array().unwrap().iter().map(|leg| leg["refundable"].clone()).collect();
    assert_eq!(left, ["0.00", "22.00", "9.00"]);
    assert_eq!(shown["refunds"], json!([part, item]));
    for (fields, field) in [(json!({"amount": "31.01"}), ""), (json!({"amount": "1.01", "item": 1}), "")] {
        let refused = refund(&ledger, "e1", "f3", fields).await.expect_problem(422, "refund_exceeds_paid");
        assert_eq!(refused.field(), field);
    }
    refund(&ledger, "e1", "f3", json!({"amount": "0.01", "item": 2}))
        .await
        .expect_problem(422, "refund_exceeds_paid");
    let rest = refund(&ledger, "e1", "f3", json!({"amount": "31.00"})).await.expect(201).body;
    assert_eq!(gone(&rest), [["wechat", "22.00"], ["promotion", "9.00"]]);
    refund(&ledger, "e1", "f4", json!({"amount": "0.01"})).await.expect_problem(422, "refund_exceeds_paid");
    ledger.position().await;
    for (account, left) in [
        ("customers:alice", "45.00"),
        ("customers:alice:carbon", "0"),
        ("merchants:tp", "0.00"),
        ("platform:fees", "0.00"),
        ("channels:wechat", "0.00"),
        ("promos:ten", "1000.00"),
    ] {
        assert_eq!(posted(&ledger, account).await, left, "{account}");
    }
}

#[tokio::test]
async fn fees_and_points_go_back_in_proportion() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 10_00).await;
    // A fee of 0.04 (of 7.00), 7 points.
    pay(&alice, &order("e1", &alice, "tp", &[("home", "7.00")])).await.expect(201);
    assert_eq!(posted(&ledger, "platform:fees").await, "0.04");
    for (digits, amount, fees, points) in [
        ("f1", "1.74", "0.04", "5"),
        ("f2", "0.01", "0.03", "5"),
        ("f3", "3.00", "0.02", "2"),
        ("f4", "2.25", "0.00", "0"),
    ] {
        refund(&ledger, "e1", digits, json!({"amount": amount})).await.expect(201);
        assert_eq!(posted(&ledger, "platform:fees").await, fees, "{digits}");
        assert_eq!(posted(&ledger, "customers:alice:carbon").await, points, "{digits}");
    }
    ledger.position().await;
    assert_eq!(posted(&ledger, "customers:alice").await, "10.00");
}

#[tokio::test]
async fn a_refund_happens_once() {
    let ledger = Ledger::new();
    paid(&ledger, "e1").await;
    let calls = (0..32).map(|_| refund(&ledger, "e1", "f1", json!({"amount": "10.00"})));
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in &answers {
        assert_eq!((answer.status == 200, &answer.body), (answer.replayed(), &answers[0].body));
    }
    assert_eq!(payment(&ledger, "e1").await["refundable"], "90.00");
    for (field, other) in [
        ("/amount", json!({"amount": "10.01"})),
        ("/amount", json!({"amount": "10.001"})),
        ("/item", json!({"amount": "10.00", "item": 0})),
        ("/reason", json!({"amount": "10.00", "reason": "x"})),
    ] {
        assert_eq!(refund(&ledger, "e1", "f1", other).await.expect_problem(409, "id_reused").field(), field);
    }
    let elsewhere = refund(&ledger, "e2", "f1", json!({"amount": "10.00"})).await;
    assert_eq!(elsewhere.expect_problem(409, "id_reused").field(), "/payment");
    refund(&ledger, "e2", "f2", json!({"amount": "10.00"})).await.expect_problem(404, "not_found");
    let wrong = refund(&ledger, "e1", "f2", json!({"amount": "0.00"})).await;
    assert_eq!(wrong.expect_problem(422, "amount_invalid").field(), "/amount");
    let wrong = refund(&ledger, "e1", "f2", json!({"amount": "1.00", "item": 24})).await;
    assert_eq!(wrong.expect_problem(400, "malformed").field(), "/item");
}

#[tokio::test]
async fn racing_refunds_never_exceed_the_payment() {
    let ledger = Ledger::new();
    paid(&ledger, "e1").await;
    let amounts = ["7.00", "3.33", "11.00"];
    let calls = (0..40_usize).map(|number| {
        let fields = if number % 2 == 0 {
            json!({"amount": amounts[number % 3]})
        } else {
            json!({"amount": amounts[number % 3], "item": number % 4 / 2})
        };
        let ledger = &ledger;
        async move { refund(ledger, "e1", &format!("f{number:02}"), fields).await }
    });
    let mut back = 0;
    let mut count = 0;
    for answer in join_all(calls).await {
        if answer.status == 201 {
            back += answer.body["amount"].as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
            count += 1;
        } else {
            answer.expect_problem(422, "refund_exceeds_paid");
        }
    }
    assert!(back <= 100_00 && back > 100_00 - 11_00, "{back}");
    let shown = payment(&ledger, "e1").await;
    assert_eq!(shown["refunds"].as_array().unwrap().len(), count);
    let left = shown["refundable"].as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
    assert_eq!(left, 100_00 - back);
    ledger.position().await;
    if left > 0 {
        refund(&ledger, "e1", "fff", json!({"amount": shown["refundable"]})).await.expect(201);
    }
    assert_eq!(posted(&ledger, "merchants:tp").await, "0.00");
    assert_eq!(posted(&ledger, "platform:fees").await, "0.00");
}

#[tokio::test]
async fn refunds_end_by_number_and_by_time() {
    let ledger = Ledger::with_settings(|settings| settings.refunds_max = 5);
    paid(&ledger, "e1").await;
    for number in 1..=5 {
        refund(&ledger, "e1", &format!("f{number}"), json!({"amount": "1.00"})).await.expect(201);
    }
    refund(&ledger, "e1", "f6", json!({"amount": "1.00"})).await.expect_problem(422, "refund_count_exceeded");
    refund(&ledger, "e1", "f5", json!({"amount": "1.00"})).await.expect(200);
    let ledger = Ledger::with_settings(|settings| settings.refund_days = 0);
    paid(&ledger, "e1").await;
    refund(&ledger, "e1", "f1", json!({"amount": "1.00"})).await.expect_problem(422, "refund_window_closed");
}

#[tokio::test]
async fn a_merchant_with_a_floor_may_be_short() {
    let ledger = Ledger::with_accounts().await;
    let terms = json!({"enabled": true, "kind": "self_operated"});
    ledger.put("/v1/merchants/7", &terms).await.expect(200);
    let alice = buyer(&ledger, "alice", 10_00).await;
    pay(&alice, &order("e1", &alice, "7", &[("home", "10.00")])).await.expect(201);
    let out = crate::ledger::transfer("merchants:7", "customers:1", "6.00");
    ledger.submit("aa", &[out]).await.expect(201);
    let short = refund(&ledger, "e1", "f1", json!({"amount": "5.00"})).await;
    short.expect_problem(422, "insufficient_funds");
    refund(&ledger, "e1", "f2", json!({"amount": "4.00"})).await.expect(201);
    // Final for its id, and not counted.
    let back = crate::ledger::transfer("customers:1", "merchants:7", "6.00");
    ledger.submit("ab", &[back]).await.expect(201);
    assert!(
        refund(&ledger, "e1", "f1", json!({"amount": "5.00"}))
            .await
            .expect_problem(422, "insufficient_funds")
            .replayed()
    );
    refund(&ledger, "e1", "f3", json!({"amount": "6.00"})).await.expect(201);
    assert_eq!(payment(&ledger, "e1").await["refunds"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn refunds_go_on_after_a_restart() {
    let ledger = Ledger::new();
    paid(&ledger, "e1").await;
    let mut parts = Vec::new();
    for number in 1..=7 {
        let digits = format!("f{number}");
        parts.push(refund(&ledger, "e1", &digits, json!({"amount": "1.11"})).await.expect(201).body);
    }
    let before = payment(&ledger, "e1").await;
    let ledger = ledger.restart();
    assert_eq!(payment(&ledger, "e1").await, before);
    assert_eq!(before["refunds"], json!(parts));
    assert_eq!(refund(&ledger, "e1", "f3", json!({"amount": "1.11"})).await.expect(200).body, parts[2]);
    refund(&ledger, "e1", "f8", json!({"amount": "92.24"})).await.expect_problem(422, "refund_exceeds_paid");
    refund(&ledger, "e1", "f8", json!({"amount": "92.23"})).await.expect(201);
    assert_eq!(payment(&ledger, "e1").await["refundable"], "0.00");
    ledger.position().await;
}

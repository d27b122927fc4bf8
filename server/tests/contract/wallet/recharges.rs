//! Ordering a recharge, and showing it.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use yue_engine::{
    model::{Amount, Timestamp},
    wallet::{Channel, Part, PromotionKind, PromotionRule, PromotionTerms},
};

use super::channel::{balances, notify, recharge, shown, word};
use crate::ledger::{Ledger, id};

#[tokio::test]
async fn an_order_is_pending_until_its_money_came() {
    let ledger = Ledger::new();
    let ordered = recharge(&ledger, "b1").await;
    let expected = json!({
        "id": id("b1"), "user": "alice", "channel": "wechat", "amount": "100.00", "promotion": null,
        "status": "pending", "bonus": null, "reference": null, "paid_at": null, "reason": null,
        "ordered_at": ordered["ordered_at"],
    });
    assert_eq!(ordered, expected);
    assert_eq!(shown(&ledger, "b1").await, expected);
    assert_eq!(balances(&ledger).await, ["0.00"; 3]);
    // The first answer again, also when the money came.
    let body = json!({"id": id("b1").to_uppercase(), "user": "alice", "channel": "wechat", "amount": "100"});
    notify(&ledger, "wechat", &word("b1", "paid", "100.00", "r1")).await.expect(200);
    let again = ledger.post("/v1/recharges", &body).await.expect(200);
    assert!(again.replayed());
    assert_eq!(again.body, expected);
    let paid = shown(&ledger, "b1").await;
    assert_eq!((&paid["status"], &paid["reference"]), (&json!("paid"), &json!("r1")));
    assert_eq!(paid["paid_at"], "2026-06-17T16:00:00.000000000Z");
    assert_eq!(balances(&ledger).await, ["100.00", "100.00", "0.00"]);
}

#[tokio::test]
async fn what_can_be_no_order_is_refused() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    let position = ledger.position().await;
    let good = json!({"id": id("b2"), "user": "alice", "channel": "alipay", "amount": "1.00"});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let check = async |body: Value, status: u16, code: &str, field: &str| {
        let refused = ledger.post("/v1/recharges", &body).await.expect_problem(status, code);
        assert_eq!(refused.field(), field, "{body}");
    };
    for amount in ["0", "0.00", "-1", "1.001", "x", "", "1e2", "184467440737095516.16"] {
        check(with("amount", json!(amount)), 422, "amount_invalid", "/amount").await;
    }
    check(with("user", json!("bob")), 404, "not_found", "").await;
    check(with("user", json!("a:b")), 400, "malformed", "/user").await;
    check(with("channel", json!("paypal")), 400, "malformed", "/channel").await;
    check(with("id", json!("1")), 400, "malformed", "/id").await;
    check(with("id", json!("0197a0b0-0000-8000-8000-000000000001")), 400, "malformed", "/id").await;
    check(with("amount", json!(1)), 400, "malformed", "/amount").await;
    check(with("bonus", json!("1.00")), 400, "malformed", "/bonus").await;
    assert_eq!(ledger.position().await, position);
    ledger.get(&format!("/v1/recharges/{}", id("b2"))).await.expect_problem(404, "not_found");
    ledger.get("/v1/recharges/x").await.expect_problem(400, "malformed");
    // None of them has used the id.
    ledger.post("/v1/recharges", &good).await.expect(201);
}

#[tokio::test]
async fn another_body_names_the_field_that_differs() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    ledger.post("/v1/wallets", &json!({"user": "bob", "class": "I"})).await.expect(201);
    for (field, value) in [
        ("user", "bob"),
        ("channel", "alipay"),
        ("amount", "100.01"),
        // No amount is another one, too.
        ("amount", "100.001"),
        ("promotion", "spring"),
        ("user", "nobody"),
    ] {
        let mut body = json!({"id": id("b1"), "user": "alice", "channel": "wechat", "amount": "100.00"});
        body[field] = json!(value);
        let refused = ledger.post("/v1/recharges", &body).await.expect_problem(409, "id_reused");
        assert_eq!(refused.field(), format!("/{field}"));
    }
}

#[tokio::test]
async fn thirty_two_orders_at_once_are_one() {
    let ledger = Ledger::new();
    ledger.post("/v1/wallets", &json!({"user": "alice", "class": "III"})).await.expect(201);
    let position = ledger.position().await;
    let body = json!({"id": id("b1"), "user": "alice", "channel": "wechat", "amount": "100.00"});
    let answers = join_all((0..32).map(|_| ledger.post("/v1/recharges", &body))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let replayed = answers.iter().filter(|answer| answer.status == 200 && answer.replayed()).count();
    assert_eq!((made, replayed), (1, 31));
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    // The channel's two accounts, and the order.
    assert_eq!(ledger.position().await, position + 3);
}

/// A promotion that adds 5 yuan to recharges of 100 and more.
async fn promotion(ledger: &Ledger, name: &str, change: impl FnOnce(&mut PromotionTerms)) {
    let mut terms = PromotionTerms {
        name: "spring".into(),
        kind: PromotionKind::RechargeBonus,
        rule: PromotionRule::FullReduction { full: Amount(10_000), reduce: Amount(500) },
        budget: Amount(800),
        per_user: None,
        starts_at: Timestamp(0),
        ends_at: Timestamp(i64::MAX),
        merchants: BTreeSet::new(),
        categories: BTreeSet::new(),
        channels: BTreeSet::new(),
    };
    change(&mut terms);
    assert!(ledger.wallet.make_promotion(&Part::parse(name).unwrap(), &terms).await.unwrap());
}

/// Orders a recharge with a promotion, pays it, and shows its bonus.
async fn bonus(ledger: &Ledger, order: &str, amount: &str, promotion: &str) -> Value {
    let user = json!({"user": "alice", "class": "III"});
    ledger.post("/v1/wallets", &user).await;
    let body = json!({"id": id(order), "user": "alice", "channel": "wechat", "amount": amount, "promotion": promotion});
    ledger.post("/v1/recharges", &body).await.expect(201);
    let word = word(order, "paid", amount, &format!("r-{order}"));
    for answer in join_all((0..4).map(|_| notify(ledger, "wechat", &word))).await {
        assert_eq!(answer.expect(200).body["effect"], "credited");
    }
    let shown = shown(ledger, order).await;
    assert_eq!((&shown["status"], &shown["promotion"]), (&json!("paid"), &json!(promotion)));
    shown["bonus"].clone()
}

#[tokio::test]
async fn a_promotion_adds_to_it_while_its_budget_lasts() {
    let ledger = Ledger::new();
    promotion(&ledger, "spring", |_| ()).await;
    assert_eq!(bonus(&ledger, "b1", "100.00", "spring").await, "5.00");
    assert_eq!(balances(&ledger).await, ["105.00", "100.00", "0.00"]);
    assert_eq!(ledger.balance("promos:spring").await.0, "3.00");
    // The rest is too little: the money is credited without.
    assert_eq!(bonus(&ledger, "b2", "100.00", "spring").await, Value::Null);
    assert_eq!(balances(&ledger).await, ["205.00", "200.00", "0.00"]);
    assert_eq!(ledger.balance("promos:spring").await.0, "3.00");
}

#[tokio::test]
async fn a_promotion_adds_as_often_as_a_user_may_have_it() {
    let ledger = Ledger::new();
    promotion(&ledger, "twice", |terms| (terms.per_user, terms.budget) = (Some(2), Amount(100_000))).await;
    for (order, expected) in
        [("b1", json!("5.00")), ("b2", json!("5.00")), ("b3", Value::Null), ("b4", Value::Null)]
    {
        assert_eq!(bonus(&ledger, order, "100.00", "twice").await, expected, "{order}");
    }
    assert_eq!(balances(&ledger).await, ["410.00", "400.00", "0.00"]);
}

#[tokio::test]
async fn a_promotion_that_is_not_for_it_is_refused_with_the_order() {
    let ledger = Ledger::new();
    ledger.post("/v1/wallets", &json!({"user": "alice", "class": "III"})).await.expect(201);
    promotion(&ledger, "spring", |_| ()).await;
    promotion(&ledger, "ecny", |terms| terms.channels = BTreeSet::from([Channel::Ecny])).await;
    promotion(&ledger, "over", |terms| terms.ends_at = Timestamp(1)).await;
    promotion(&ledger, "payments", |terms| terms.kind = PromotionKind::PaymentDiscount).await;
    let position = ledger.position().await;
    let check = async |promotion: &str, amount: &str| {
        let body = json!({"id": id("b1"), "user": "alice", "channel": "wechat", "amount": amount, "promotion": promotion});
        let refused = ledger.post("/v1/recharges", &body).await;
        assert_eq!(refused.expect_problem(422, "promotion_not_applicable").field(), "/promotion");
    };
    for promotion in ["nothing", "ecny", "over", "payments"] {
        check(promotion, "100.00").await;
    }
    check("spring", "99.99").await;
    assert_eq!(ledger.position().await, position);
}

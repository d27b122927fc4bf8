//! Promotions: whom they are for, and that their budget is never oversold.

use futures_util::future::join_all;
use serde_json::json;

use super::{
    shop::{buyer, legs, open_shops, order, pay, posted, promotion, with},
    user::User,
};
use crate::ledger::Ledger;

#[tokio::test]
async fn a_promotion_is_made_once() {
    let ledger = Ledger::new();
    let body =
        promotion("five", json!({"amount_off": "5.00"}), "100.00", json!({"per_user": 2, "channels": null}));
    let made = ledger.post("/v1/promotions", &body).await.expect(201).body;
    let expected = [("budget", "100.00"), ("spent", "0.00"), ("left", "100.00"), ("id", "five")];
    for (field, value) in expected {
        assert_eq!(made[field], value, "{field}");
    }
    assert_eq!((&made["per_user"], &made["channels"]), (&json!(2), &json!([])));
    let answers = join_all((0..32).map(|_| ledger.post("/v1/promotions", &body))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.replayed() && answer.body == made));
    assert_eq!(ledger.get("/v1/promotions/five").await.expect(200).body, made);
    ledger.get("/v1/promotions/six").await.expect_problem(404, "not_found");
    assert_eq!(posted(&ledger, "platform:promotion").await, "100.00");
    for (field, change) in [
        ("/budget", json!({"budget": "100.01"})),
        ("/rule", json!({"rule": {"amount_off": "6.00"}})),
        ("/per_user", json!({"per_user": null})),
        ("/ends_at", json!({"ends_at": "2121-01-01T00:00:00Z"})),
        ("/merchants", json!({"merchants": ["tp"]})),
    ] {
        let other = ledger.post("/v1/promotions", &with(body.clone(), change)).await;
        assert_eq!(other.expect_problem(409, "id_reused").field(), field);
    }
    for (field, change) in [
        ("/rule", json!({"rule": {"amount_off": "5.00", "at_most": "1.00"}})),
        ("/rule", json!({"rule": {"percent_off": 10}})),
        ("/rule", json!({"rule": {}})),
        ("/rule/percent_off", json!({"rule": {"percent_off": 101, "at_most": "1.00"}})),
        ("/rule/reduce", json!({"rule": {"full": "1.00", "reduce": "1.01"}})),
        ("/ends_at", json!({"ends_at": "2020-01-01T00:00:00Z"})),
        ("/id", json!({"id": "a:b"})),
        ("/per_user", json!({"per_user": 0})),
        ("/channels/0", json!({"channels": ["cash"]})),
    ] {
        let refused = ledger.post("/v1/promotions", &with(body.clone(), change)).await;
        assert_eq!(refused.expect_problem(400, "malformed").field(), field);
    }
    let refused = ledger.post("/v1/promotions", &with(body, json!({"budget": "0"}))).await;
    assert_eq!(refused.expect_problem(422, "amount_invalid").field(), "/budget");
    // A budget is not somebody else's account.
    ledger.post("/v1/accounts", &json!({"address": "promos:taken", "asset": "CNY"})).await.expect(201);
    let taken = promotion("taken", json!({"amount_off": "5.00"}), "100.00", json!({}));
    ledger.post("/v1/promotions", &taken).await.expect_problem(409, "account_exists");
}

#[tokio::test]
async fn thirty_two_makings_at_once_are_one() {
    let ledger = Ledger::new();
    let body = promotion("five", json!({"amount_off": "5.00"}), "100.00", json!({}));
    let answers = join_all((0..32).map(|_| ledger.post("/v1/promotions", &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    assert_eq!(posted(&ledger, "promos:five").await, "100.00");
}

#[tokio::test]
async fn a_promotion_is_for_whom_it_says() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 10_000_00).await;
    let off = || json!({"amount_off": "5.00"});
    for (name, rule, fields) in [
        ("all", off(), json!({})),
        ("home", off(), json!({"categories": ["home"]})),
        ("own", off(), json!({"merchants": ["jd-self"]})),
        ("over-wechat", off(), json!({"channels": ["wechat"]})),
        ("ended", off(), json!({"ends_at": "2020-06-18T00:00:00+08:00"})),
        ("later", off(), json!({"starts_at": "2119-06-18T00:00:00+08:00"})),
        ("bonus", off(), json!({"kind": "recharge_bonus"})),
        ("full", json!({"full": "300.00", "reduce": "50.00"}), json!({})),
        ("tenth", json!({"percent_off": 10, "at_most": "20.00"}), json!({})),
    ] {
        ledger.post("/v1/promotions", &promotion(name, rule, "1000.00", fields)).await.expect(201);
    }
    let mixed: &[(&str, &str)] = &[("home", "3.00"), ("food", "30.00")];
    type Items<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, Items<'_>, Option<&str>)] = &[
        ("all", mixed, Some("5.00")),
        // No more than what it is for costs.
        ("home", mixed, Some("3.00")),
        ("home", &[("food", "30.00")], None),
        ("own", mixed, None),
        ("over-wechat", mixed, None),
        ("ended", mixed, None),
        ("later", mixed, None),
        ("bonus", mixed, None),
        ("none", mixed, None),
        ("full", &[("home", "299.99")], None),
        ("full", &[("home", "299.99"), ("shipping", "0.01")], Some("50.00")),
        ("tenth", &[("home", "0.09")], None),
        ("tenth", &[("home", "1.99")], Some("0.19")),
        ("tenth", &[("home", "500.00")], Some("20.00")),
        ("all", &[("home", "4.00")], Some("4.00")),
    ];
    for (number, &(name, items, discount)) in cases.iter().enumerate() {
        let body = with(order(&format!("e{number}"), &alice, "tp", items), json!({"promotion": name}));
        let answer = pay(&alice, &body).await;
        match discount {
            Some(discount) => assert_eq!(answer.expect(201).body["discount"], discount, "{name} {items:?}"),
            None => {
                let refused = answer.expect_problem(422, "promotion_not_applicable");
                assert_eq!(refused.field(), "/promotion", "{name} {items:?}");
            }
        }
    }
    // Paid by the promotion alone.
    let shown = super::shop::payment(&ledger, "e14").await;
    assert_eq!(legs(&shown), [["promotion", "4.00", "paid"]]);
    ledger.position().await;
    assert_eq!(ledger.get("/v1/promotions/all").await.expect(200).body["spent"], "9.00");
}

#[tokio::test]
async fn a_spent_promotion_refuses_or_lets_go_at_full_price() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 100_00).await;
    let bob = buyer(&ledger, "bob", 100_00).await;
    let six = promotion("six", json!({"amount_off": "6.00"}), "10.00", json!({}));
    ledger.post("/v1/promotions", &six).await.expect(201);
    let once = promotion(
        "a-name-that-is-rather-long",
        json!({"amount_off": "1.00"}),
        "10.00",
        json!({"per_user": 1}),
    );
    ledger.post("/v1/promotions", &once).await.expect(201);
    let body = |digits: &str, user: &User<'_>, name: &str, then: &str| {
        let fields = json!({"promotion": name, "on_promotion_exhausted": then});
        with(order(digits, user, "tp", &[("home", "10.00")]), fields)
    };
    for (name, payer, prefix) in [("six", &bob, "a"), ("a-name-that-is-rather-long", &alice, "b")] {
        let digits = |number: u32| format!("{prefix}{number}");
        pay(&alice, &body(&digits(1), &alice, name, "refuse")).await.expect(201);
        // The budget, or the payer's own share of it, is spent.
        let refused = body(&digits(2), payer, name, "refuse");
        pay(payer, &refused).await.expect_problem(422, "promotion_exhausted");
        assert!(pay(payer, &refused).await.expect_problem(422, "promotion_exhausted").replayed());
        let full = body(&digits(3), payer, name, "full_price");
        let paid = pay(payer, &full).await.expect(201);
        assert!(!paid.replayed());
        assert_eq!(legs(&paid.body), [["balance", "10.00", "paid"]]);
        let again = pay(payer, &full).await.expect(200);
        assert!(again.replayed());
        assert_eq!(again.body, paid.body);
    }
    // Full price, and the balance is short: that is final too.
    let carol = buyer(&ledger, "carol", 9_00).await;
    let short = body("c1", &carol, "six", "full_price");
    pay(&carol, &short).await.expect_problem(422, "insufficient_funds");
    ledger.fund("carol", 9_00).await;
    assert!(pay(&carol, &short).await.expect_problem(422, "insufficient_funds").replayed());
    ledger.position().await;
}

#[tokio::test]
async fn a_budget_for_a_hundred_is_granted_a_hundred_times() {
    const NAMES: usize = 50;
    const EACH: usize = 20;
    let ledger = Ledger::with(|config| config.shards = 4, yue_server::config::HttpLimits::default());
    open_shops(&ledger).await;
    let hundred = promotion("hundred", json!({"amount_off": "5.00"}), "503.00", json!({"per_user": 3}));
    ledger.post("/v1/promotions", &hundred).await.expect(201);
    let users = join_all((0..NAMES).map(|number| {
        let name: &'static str = format!("user-{number}").leak();
        let ledger = &ledger;
        async move {
            let user = buyer(ledger, name, 1_000_00).await;
            let mut tokens = Vec::new();
            for _ in 0..EACH {
                tokens.push(user.token("10.00").await);
            }
            (user, tokens)
        }
    }))
    .await;
    let payments = users.iter().enumerate().flat_map(|(number, (user, tokens))| {
        let ledger = &ledger;
        tokens.iter().enumerate().map(move |(which, token)| {
            let body = with(
                order(&format!("{number:04}{which:04}"), user, "tp", &[("home", "6.00"), ("home", "4.00")]),
                json!({"promotion": "hundred", "auth": token}),
            );
            async move { ledger.post("/v1/payments", &body).await }
        })
    });
    let mut granted = 0;
    for answer in join_all(payments).await {
        if answer.status == 201 {
            assert_eq!(answer.body["discount"], "5.00");
            granted += 1;
        } else {
            answer.expect_problem(422, "promotion_exhausted");
        }
    }
    assert_eq!(granted, 100);
    ledger.position().await;
    let shown = ledger.get("/v1/promotions/hundred").await.expect(200).body;
    assert_eq!((&shown["spent"], &shown["left"]), (&json!("500.00"), &json!("3.00")));
    assert_eq!(posted(&ledger, "promos:hundred:slots").await, "100");
    let mut slots = 0;
    for number in 0..NAMES {
        let (had, _) = ledger.balance(&format!("customers:user-{number}:slots:hundred")).await;
        let had: u64 = had.parse().unwrap();
        assert!(had <= 3);
        slots += had;
    }
    assert_eq!(slots, 100);
}

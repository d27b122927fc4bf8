//! Payments from balance: what moves, what is refused, and that a copy moves nothing.

use futures_util::future::join_all;
use serde_json::json;

use super::shop::{buyer, legs, open_shops, order, pay, payment, posted, promotion, with};
use crate::ledger::{Ledger, id};

#[tokio::test]
async fn a_payment_pays_its_merchant_once() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 200_00).await;
    let bought = order("e1", &alice, "tp", &[("home", "80.00"), ("shipping", "6.50")]);
    let paid = pay(&alice, &bought).await.expect(201).body;
    assert_eq!(legs(&paid), [["balance", "86.50", "paid"]]);
    for (field, value) in [
        ("status", json!("paid")),
        ("discount", json!("0.00")),
        ("expires_at", json!(null)),
        ("id", json!(id("e1"))),
    ] {
        assert_eq!(paid[field], value, "{field}");
    }
    let check = async || {
        ledger.position().await;
        assert_eq!(posted(&ledger, "customers:alice").await, "113.50");
        assert_eq!(posted(&ledger, "merchants:tp").await, "85.99");
        // 86.50 × 0.006 = 0.519
        assert_eq!(posted(&ledger, "platform:fees").await, "0.51");
        assert_eq!(posted(&ledger, "customers:alice:carbon").await, "86");
    };
    check().await;
    // Known before any authorisation is looked at.
    for auth in [json!({}), json!({"auth": {"type": "token", "token": "x"}})] {
        let again = ledger.post("/v1/payments", &with(bought.clone(), auth)).await.expect(200);
        assert!(again.replayed());
        assert_eq!(again.body, paid);
    }
    check().await;
    let shown = payment(&ledger, "e1").await;
    assert_eq!((&shown["status"], &shown["refundable"]), (&json!("paid"), &json!("86.50")));
    assert_eq!(shown["items"][1]["refundable"], "6.50");
    assert_eq!((&shown["items"][1]["kind"], &shown["refunds"]), (&json!("shipping"), &json!([])));
    // Another body under its id.
    for (field, change) in [
        ("/user", json!({"user": "bob"})),
        ("/merchant", json!({"merchant": "jd-self"})),
        ("/combine_with", json!({"combine_with": "wechat"})),
        ("/promotion", json!({"promotion": "p"})),
        ("/on_promotion_exhausted", json!({"on_promotion_exhausted": "full_price"})),
    ] {
        let other = ledger.post("/v1/payments", &with(bought.clone(), change)).await;
        assert_eq!(other.expect_problem(409, "id_reused").field(), field);
    }
    for amount in ["6.51", "6.501", "0"] {
        let other = order("e1", &alice, "tp", &[("home", "80.00"), ("shipping", amount)]);
        let other = ledger.post("/v1/payments", &other).await;
        assert_eq!(other.expect_problem(409, "id_reused").field(), "/items/1/amount", "{amount}");
    }
    // The ledger's ways are closed.
    ledger.get(&format!("/v1/transactions/{}", id("e1"))).await.expect(404);
    ledger.get(&format!("/v1/payments/{}", id("e9"))).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn of_thirty_two_copies_at_once_one_pays() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 100_00).await;
    let bought =
        with(order("e1", &alice, "tp", &[("home", "30.00")]), json!({"auth": alice.token("30.00").await}));
    let answers = join_all((0..32).map(|_| ledger.post("/v1/payments", &bought))).await;
    let new = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(new, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    ledger.position().await;
    assert_eq!(posted(&ledger, "customers:alice").await, "70.00");
    // The token has paid one id.
    let other = with(order("e2", &alice, "tp", &[("home", "1.00")]), json!({"auth": bought["auth"]}));
    ledger.post("/v1/payments", &other).await.expect_problem(403, "auth_invalid");
}

#[tokio::test]
async fn what_balance_can_not_pay_is_refused_for_ever() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 10_00).await;
    let dear = order("e1", &alice, "tp", &[("home", "10.01")]);
    let refused = pay(&alice, &dear).await.expect_problem(422, "insufficient_funds");
    assert!(!refused.replayed() && refused.body["position"].is_u64());
    ledger.fund("alice", 100_00).await;
    let again = pay(&alice, &dear).await.expect_problem(422, "insufficient_funds");
    assert!(again.replayed());
    assert_eq!(again.body["position"], refused.body["position"]);
    ledger.get(&format!("/v1/payments/{}", id("e1"))).await.expect_problem(404, "not_found");
    // Class I: 1,000 yuan in its life.
    let bob = super::user::User::open(&ledger, "bob", "I").await;
    ledger.fund("bob", 2_000_00).await;
    pay(&bob, &order("e2", &bob, "tp", &[("home", "600.00"), ("home", "400.00")])).await.expect(201);
    pay(&bob, &order("e3", &bob, "tp", &[("home", "0.01")])).await.expect_problem(422, "limit_exceeded");
    ledger.patch("/v1/wallets/alice", &json!({"status": "frozen"})).await.expect(200);
    pay(&alice, &order("e4", &alice, "tp", &[("home", "1.00")])).await.expect_problem(422, "account_frozen");
}

#[tokio::test]
async fn what_is_no_payment_is_refused_and_may_come_again() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 10_00).await;
    let one = |fields| with(order("e1", &alice, "tp", &[("home", "1.00")]), fields);
    ledger.post("/v1/payments", &one(json!({}))).await.expect_problem(403, "auth_required");
    let stranger = json!({"auth": {"type": "token", "token": "x"}});
    ledger.post("/v1/payments", &one(stranger)).await.expect_problem(403, "auth_invalid");
    let nobody = with(one(json!({"user": "nobody"})), json!({"auth": {"type": "small"}}));
    ledger.post("/v1/payments", &nobody).await.expect_problem(404, "not_found");
    for amount in ["0", "0.00", "1.001", "-1", "x"] {
        let wrong = order("e1", &alice, "tp", &[("home", "1.00"), ("home", amount)]);
        let refused = ledger.post("/v1/payments", &wrong).await.expect_problem(422, "amount_invalid");
        assert_eq!(refused.field(), "/items/1/amount");
    }
    let huge = order("e1", &alice, "tp", &[("home", "184467440737095516.15"), ("home", "0.01")]);
    assert_eq!(pay(&alice, &huge).await.expect_problem(422, "amount_invalid").field(), "/items");
    for (field, change) in [
        ("/items", json!({"items": []})),
        (
            "/items",
            json!({"items": vec![json!({"name": "n", "kind": "goods", "category": "c", "amount": "1"}); 25]}),
        ),
        ("/items/0/kind", json!({"items": [{"name": "n", "kind": "gift", "category": "c", "amount": "1"}]})),
        ("/id", json!({"id": "0197a0b0-0000-8000-8000-0000000000e1"})),
        ("/combine_with", json!({"combine_with": "cash"})),
        ("/on_promotion_exhausted", json!({"on_promotion_exhausted": "never"})),
        ("/currency", json!({"currency": "CNY"})),
    ] {
        let refused = ledger.post("/v1/payments", &one(change)).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), field, "{}", refused.text);
    }
    pay(&alice, &one(json!({}))).await.expect(201);
}

#[tokio::test]
async fn twenty_four_items_with_a_promotion_fit_one_transaction() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 100_00).await;
    let tenth = promotion(
        "tenth",
        json!({"percent_off": 10, "at_most": "100.00"}),
        "1000.00",
        json!({"per_user": 1}),
    );
    ledger.post("/v1/promotions", &tenth).await.expect(201);
    let items: Vec<(&str, String)> = (0..24).map(|index| ("home", format!("{}.37", index + 1))).collect();
    let items: Vec<(&str, &str)> =
        items.iter().map(|(category, amount)| (*category, amount.as_str())).collect();
    let bought =
        with(order("e1", &alice, "tp", &items), json!({"promotion": "tenth", "combine_with": "wechat"}));
    // 300 + 24 × 0.37 = 308.88; a tenth of it, cut.
    let waiting = pay(&alice, &bought).await.expect(201).body;
    let expected =
        [["balance", "100.00", "held"], ["wechat", "178.00", "awaiting"], ["promotion", "30.88", "held"]];
    assert_eq!(legs(&waiting), expected);
    let word = super::channel::word("e1", "paid", "178.00", "r1");
    assert_eq!(super::channel::notify(&ledger, "wechat", &word).await.expect(200).body["effect"], "settled");
    ledger.position().await;
    assert_eq!(posted(&ledger, "merchants:tp").await, "307.03");
    let shown = payment(&ledger, "e1").await;
    let of_items = |field: &str| -> u64 {
        let items = shown["items"].as_array().unwrap().iter();
        items.map(|item| item[field].as_str().unwrap().replace('.', "").parse::<u64>().unwrap()).sum()
    };
    assert_eq!((of_items("amount"), of_items("discount"), of_items("refundable")), (308_88, 30_88, 308_88));
    let all = super::shop::refund(&ledger, "e1", "f1", json!({"amount": "308.88"})).await.expect(201).body;
    let expected = [["balance", "100.00"], ["wechat", "178.00"], ["promotion", "30.88"]];
    assert_eq!(legs(&all).iter().map(|leg| [leg[0], leg[1]]).collect::<Vec<_>>(), expected);
    ledger.position().await;
    for (account, left) in [
        ("customers:alice", "100.00"),
        ("customers:alice:carbon", "0"),
        ("merchants:tp", "0.00"),
        ("platform:fees", "0.00"),
        ("channels:wechat", "0.00"),
        ("promos:tenth", "1000.00"),
    ] {
        assert_eq!(posted(&ledger, account).await, left, "{account}");
    }
}

#[tokio::test]
async fn wealth_shares_make_up_what_the_balance_is_short_of() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 30_00).await;
    ledger.fund("alice:wealth", 50_00).await;
    let dear = order("e1", &alice, "tp", &[("home", "60.00")]);
    pay(&alice, &dear).await.expect_problem(422, "insufficient_funds");
    let on = json!({"enabled": true, "keep": "0.00"});
    ledger.put("/v1/wallets/alice/wealth", &on).await.expect(200);
    let paid = pay(&alice, &order("e2", &alice, "tp", &[("home", "60.00")])).await.expect(201).body;
    assert_eq!(legs(&paid), [["balance", "60.00", "paid"]]);
    ledger.position().await;
    assert_eq!(posted(&ledger, "customers:alice").await, "0.00");
    assert_eq!(posted(&ledger, "customers:alice:wealth").await, "20.00");
    // Together still short: nothing is redeemed, the channel pays what the balance does not.
    ledger.fund("alice", 5_00).await;
    let dear = with(order("e3", &alice, "tp", &[("home", "60.00")]), json!({"combine_with": "alipay"}));
    let waiting = pay(&alice, &dear).await.expect(201).body;
    assert_eq!(legs(&waiting), [["balance", "5.00", "held"], ["alipay", "55.00", "awaiting"]]);
    assert_eq!(posted(&ledger, "customers:alice:wealth").await, "20.00");
}

#[tokio::test]
async fn concurrent_payments_never_spend_more_than_there_is() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 10_00).await;
    // Combined, so that who comes too late takes from the channel what the balance does not have any more.
    let mut orders = Vec::new();
    for number in 0..12 {
        let body = order(&format!("e{number:02}"), &alice, "tp", &[("home", "4.00")]);
        orders.push(with(body, json!({"combine_with": "wechat", "auth": alice.token("4.00").await})));
    }
    let answers = join_all(orders.iter().map(|order| ledger.post("/v1/payments", order))).await;
    let mut own = 0;
    for answer in answers {
        let answer = answer.expect(201);
        for [source, amount, _] in legs(&answer.body) {
            if source == "balance" {
                own += amount.replace('.', "").parse::<u64>().unwrap();
            }
        }
    }
    assert!(own <= 10_00, "{own}");
    ledger.position().await;
    let alice = alice.get().await.body["balance"].clone();
    let fen = |field: &str| alice[field].as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
    assert_eq!(fen("held") + 10_00 - fen("posted"), own);
}

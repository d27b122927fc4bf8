//! What a wallet's owner chooses: small payments, wealth.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::user::{PASSWORD, User};
use crate::ledger::{Answer, Ledger};

async fn allow(user: &User<'_>, limit: &str, daily_count: u64) -> Answer {
    let body = json!({"password": PASSWORD, "enabled": true, "limit": limit, "daily_count": daily_count});
    user.ledger.put(&user.uri("/small-payment"), &body).await
}

fn small() -> Value {
    json!({"type": "small"})
}

#[tokio::test]
async fn small_payments_are_allowed_up_to_a_limit_and_a_number_a_day() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
    ledger.fund("alice", 100_00).await;
    alice.transfer("1", &bob, "1.00", &small()).await.expect_problem(403, "auth_invalid");
    let allowed = json!({"enabled": true, "limit": "5.00", "daily_count": 2});
    assert_eq!(allow(&alice, "5", 2).await.expect(200).body, allowed);
    assert_eq!(alice.get().await.body["small_payment"], allowed);
    // Above the limit; then twice a day, and copies are not counted.
    alice.transfer("1", &bob, "5.01", &small()).await.expect_problem(403, "auth_invalid");
    alice.transfer("1", &bob, "5.00", &small()).await.expect(201);
    alice.transfer("1", &bob, "5.00", &small()).await.expect(200);
    // What the ledger refuses is not counted.
    bob.patch(&json!({"status": "frozen"})).await.expect(200);
    alice.transfer("2", &bob, "1.00", &small()).await.expect_problem(422, "account_frozen");
    bob.patch(&json!({"status": "active"})).await.expect(200);
    bob.transfer("2b", &alice, "1.00", &small()).await.expect_problem(403, "auth_invalid");
    alice.transfer("3", &bob, "0.01", &small()).await.expect(201);
    alice.transfer("4", &bob, "0.01", &small()).await.expect_problem(403, "auth_invalid");
    // A higher number lets go on from what is used; a lower one gives nothing back.
    allow(&alice, "5.00", 3).await.expect(200);
    alice.transfer("4", &bob, "0.01", &small()).await.expect(201);
    let ledger = ledger.restart();
    let [alice, bob] = ["alice", "bob"].map(|name| User { ledger: &ledger, name });
    alice.transfer("5", &bob, "0.01", &small()).await.expect_problem(403, "auth_invalid");
    let off = json!({"password": PASSWORD, "enabled": false, "limit": "5.00", "daily_count": 100});
    for _ in 0..2 {
        ledger.put(&alice.uri("/small-payment"), &off).await.expect(200);
    }
    alice.transfer("5", &bob, "0.01", &small()).await.expect_problem(403, "auth_invalid");
    assert_eq!(alice.available().await, "94.98");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_payments_at_once_are_as_many_as_allowed() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
    ledger.fund("alice", 100_00).await;
    allow(&alice, "1.00", 5).await.expect(200);
    let ids: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    let answers =
        join_all(ids.iter().map(async |digits| alice.transfer(digits, &bob, "1.00", &small()).await)).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(403)), (5, 7), "{answers:?}");
    assert_eq!(alice.available().await, "95.00");
}

#[tokio::test]
async fn what_small_payments_are_refused_for() {
    let ledger = Ledger::new();
    let alice = User::open(&ledger, "alice", "II").await;
    for (limit, count, code, field) in [
        ("0.00", 1, "amount_invalid", "/limit"),
        ("1.001", 1, "amount_invalid", "/limit"),
        ("1000.01", 1, "limit_exceeded", "/limit"),
        ("1.00", 101, "limit_exceeded", "/daily_count"),
    ] {
        assert_eq!(allow(&alice, limit, count).await.expect_problem(422, code).field(), field);
    }
    allow(&alice, "1.00", 0).await.expect_problem(400, "malformed");
    let wrong = json!({"password": "739150", "enabled": true, "limit": "1.00", "daily_count": 1});
    let refused = ledger.put(&alice.uri("/small-payment"), &wrong).await;
    assert_eq!(refused.expect_problem(403, "password_wrong").body["attempts_left"], 4);
    let nobody = User { ledger: &ledger, name: "nobody" };
    allow(&nobody, "1.00", 1).await.expect_problem(404, "not_found");
    assert_eq!(alice.get().await.body["small_payment"]["enabled"], false);
}

#[tokio::test]
async fn wealth_is_for_class_iii() {
    let ledger = Ledger::new();
    let alice = User::open(&ledger, "alice", "II").await;
    let set = async |enabled: bool, keep: &str| {
        ledger.put("/v1/wallets/alice/wealth", &json!({"enabled": enabled, "keep": keep})).await
    };
    set(true, "500.00").await.expect_problem(422, "class_not_allowed");
    alice.patch(&json!({"class": "III"})).await.expect(200);
    for keep in ["-1.00", "-0", "0.001", "x"] {
        assert_eq!(set(true, keep).await.expect_problem(422, "amount_invalid").field(), "/keep");
    }
    let position = ledger.position().await;
    let answers = join_all((0..32).map(|_| set(true, "500.00"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(ledger.position().await, position + 1);
    assert_eq!(answers[0].body, json!({"enabled": true, "keep": "500.00"}));
    let wealth = json!({"amount": "0.00", "income_total": "0.00", "enabled": true, "keep": "500.00"});
    assert_eq!(alice.get().await.body["wealth"], wealth);
    // A lower class has none.
    alice.patch(&json!({"class": "II"})).await.expect(200);
    assert_eq!(alice.get().await.body["wealth"]["enabled"], false);
    set(false, "0").await.expect(200);
    let nobody = ledger.put("/v1/wallets/nobody/wealth", &json!({"enabled": false, "keep": "0.00"})).await;
    nobody.expect_problem(404, "not_found");
}

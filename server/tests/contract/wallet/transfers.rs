//! Transfers between users.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::user::User;
use crate::ledger::{Ledger, id};

#[tokio::test]
async fn a_transfer_moves_money_once() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "I").await];
    ledger.fund("alice", 100_00).await;
    let token = alice.token("100.00").await;
    let first = alice.transfer("1", &bob, "8.88", &token).await.expect(201).body;
    assert_eq!(
        (&first["id"], &first["user"], &first["to"], &first["amount"]),
        (&json!(id("1")), &json!("alice"), &json!("bob"), &json!("8.88"))
    );
    // A known id is answered before its authorisation is looked at.
    for auth in [token, json!(null), json!({"type": "small"}), json!({"type": "token", "token": "x"})] {
        let again = alice.transfer("1", &bob, "8.88", &auth).await.expect(200);
        assert!(again.replayed());
        assert_eq!(again.body, first);
    }
    let carol = User::open(&ledger, "carol", "I").await;
    let auth = json!({"type": "small"});
    for (reused, field) in [
        (alice.transfer("1", &carol, "8.88", &auth).await, "/to"),
        (alice.transfer("1", &bob, "8.89", &auth).await, "/amount"),
        // What is no amount is another one, too.
        (alice.transfer("1", &bob, "8.881", &auth).await, "/amount"),
        (bob.transfer("1", &alice, "8.88", &auth).await, "/user"),
    ] {
        assert_eq!(reused.expect_problem(409, "id_reused").field(), field);
    }
    assert_eq!((alice.available().await, bob.available().await), ("91.12".into(), "8.88".into()));
    // In another's verb, or in the ledger, the id is free.
    ledger.get(&format!("/v1/transactions/{}", id("1"))).await.expect(404);
    let ledger = ledger.restart();
    let [alice, bob] = ["alice", "bob"].map(|name| User { ledger: &ledger, name });
    let again = alice.transfer("1", &bob, "8.88", &json!(null)).await.expect(200);
    assert_eq!(again.body, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_copies_at_once_are_one() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "I").await];
    ledger.fund("alice", 100_00).await;
    for round in 0..5 {
        let token = alice.token("10.00").await;
        let digits = round.to_string();
        let answers = join_all((0..32).map(|_| alice.transfer(&digits, &bob, "1.00", &token))).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|&&status| status == 201).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 31, "{statuses:?}");
        assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    }
    assert_eq!((alice.available().await, bob.available().await), ("95.00".into(), "5.00".into()));
}

#[tokio::test]
async fn what_a_transfer_is_refused_for() {
    let ledger = Ledger::with_accounts().await;
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "I").await];
    ledger.fund("alice", 10_00).await;
    let token = alice.token("1000.00").await;
    let post = async |body: Value| ledger.post("/v1/wallets/alice/transfers", &body).await;
    // Without an authorisation; then, with it, free again.
    let bare = json!({"id": id("1"), "to": "bob", "amount": "1.00"});
    post(bare).await.expect_problem(403, "auth_required");
    alice.transfer("1", &bob, "1.00", &json!(null)).await.expect_problem(403, "auth_required");
    alice.transfer("1", &bob, "1.00", &json!({"type": "small"})).await.expect_problem(403, "auth_invalid");
    let same = alice.transfer("1", &alice, "1.00", &token).await.expect_problem(422, "same_account");
    assert_eq!(same.field(), "/to");
    // Nobody's wallet, and an account of the ledger's own callers: money would leave the wallet there.
    for to in ["nobody", "1"] {
        let body = json!({"id": id("1"), "to": to, "amount": "1.00", "auth": token});
        assert_eq!(post(body).await.expect_problem(422, "account_not_found").field(), "/to");
    }
    for amount in ["0.00", "1.001", "-1", "many"] {
        let refused = alice.transfer("1", &bob, amount, &token).await.expect_problem(422, "amount_invalid");
        assert_eq!(refused.field(), "/amount");
    }
    for malformed in [
        json!({"id": id("1"), "to": "bob"}),
        json!({"id": "1", "to": "bob", "amount": "1.00", "auth": token}),
        json!({"id": id("1"), "to": "a:b", "amount": "1.00", "auth": token}),
        json!({"id": id("1"), "to": "bob", "amount": "1.00", "auth": {"type": "password"}}),
        json!({"id": id("1"), "to": "bob", "amount": "1.00", "auth": token, "memo": ""}),
        json!({"id": "0197a0b0-0000-8000-8000-000000000001", "to": "bob", "amount": "1.00", "auth": token}),
    ] {
        post(malformed).await.expect_problem(400, "malformed");
    }
    let nobody = User { ledger: &ledger, name: "nobody" };
    nobody.transfer("1", &bob, "1.00", &token).await.expect_problem(404, "not_found");
    alice.transfer("1", &bob, "1.00", &token).await.expect(201);
    // What the ledger refuses is final.
    let poor = alice.transfer("2", &bob, "500.00", &alice.token("500.00").await).await;
    let poor = poor.expect_problem(422, "insufficient_funds");
    assert!(!poor.replayed() && poor.body["position"].is_u64());
    ledger.fund("alice", 1_000_00).await;
    let again = alice.transfer("2", &bob, "500.00", &json!(null)).await;
    let again = again.expect_problem(422, "insufficient_funds");
    assert!(again.replayed());
    assert_eq!(again.body["position"], poor.body["position"]);
    assert_eq!(alice.available().await, "1009.00");
    ledger.position().await;
}

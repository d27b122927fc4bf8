//! Payment tokens.

use std::time::Duration;

use futures_util::future::join;
use serde_json::json;

use super::user::{PASSWORD, User};
use crate::ledger::Ledger;

#[tokio::test]
async fn a_token_is_asked_for_within_bounds() {
    let ledger = Ledger::new();
    let user = User::open(&ledger, "alice", "I").await;
    let ask = async |password: &str, max_amount: &str, expires_in: i64| {
        let body = json!({"password": password, "max_amount": max_amount, "expires_in": expires_in});
        ledger.post(&user.uri("/payment-tokens"), &body).await
    };
    for wrong in ["0", "0.00", "-1", "1.001", "x", "1e2"] {
        let refused = ask(PASSWORD, wrong, 10).await.expect_problem(422, "amount_invalid");
        assert_eq!(refused.field(), "/max_amount");
    }
    for wrong in [0, 301, -1] {
        let refused = ask(PASSWORD, "1.00", wrong).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), "/expires_in");
    }
    let [one, other] = [ask(PASSWORD, "1", 300).await, ask(PASSWORD, "1", 300).await];
    let [one, other] = [one.expect(201).body, other.expect(201).body];
    assert_ne!(one["token"], other["token"]);
    assert!(one["expires_at"].as_str().unwrap().ends_with('Z'));
    // Nothing of the password is in it, nor in what the journal shows.
    assert!(!one.to_string().contains(PASSWORD));
}

#[tokio::test]
async fn a_token_pays_once_within_its_terms_from_its_wallet() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
    ledger.fund("alice", 100_00).await;
    ledger.fund("bob", 100_00).await;
    let token = alice.token("10.00").await;
    // Above its amount; another wallet's; not as it was given out.
    alice.transfer("1", &bob, "10.01", &token).await.expect_problem(403, "auth_invalid");
    bob.transfer("2", &alice, "1.00", &token).await.expect_problem(403, "auth_invalid");
    let text = token["token"].as_str().unwrap();
    let mut forged: Vec<String> = vec!["x".into(), format!("{text}A"), text[1..].into(), format!("{text}=")];
    for place in [0, 5, 15, 30, 60, text.len() - 1] {
        let mut bytes = text.as_bytes().to_vec();
        bytes[place] = if bytes[place] == b'B' { b'C' } else { b'B' };
        forged.push(String::from_utf8(bytes).unwrap());
    }
    for forged in forged {
        let refused = alice.transfer("3", &bob, "1.00", &json!({"type": "token", "token": forged})).await;
        refused.expect_problem(403, "auth_invalid");
    }
    // None of that is final.
    alice.transfer("1", &bob, "10.00", &token).await.expect(201);
    // Used up, also in the answer to a copy of the first.
    alice.transfer("4", &bob, "1.00", &token).await.expect_problem(403, "auth_invalid");
    assert!(alice.transfer("1", &bob, "10.00", &token).await.expect(200).replayed());
    let ledger = ledger.restart();
    let [alice, bob] = ["alice", "bob"].map(|name| User { ledger: &ledger, name });
    alice.transfer("4", &bob, "1.00", &token).await.expect_problem(403, "auth_invalid");
    // The id was left free.
    alice.transfer("4", &bob, "1.00", &alice.token("1.00").await).await.expect(201);
    assert_eq!(alice.available().await, "89.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_ids_with_one_token_one_is_paid() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
    ledger.fund("alice", 100_00).await;
    for round in 0..20 {
        let token = alice.token("1.00").await;
        let [one, other] = [format!("{round}0"), format!("{round}1")];
        let (first, second) =
            join(alice.transfer(&one, &bob, "1.00", &token), alice.transfer(&other, &bob, "1.00", &token))
                .await;
        let (loser, lost) = match (first.status, second.status) {
            (201, 403) => (other, second),
            (403, 201) => (one, first),
            statuses => panic!("{statuses:?} {} {}", first.text, second.text),
        };
        lost.expect_problem(403, "auth_invalid");
        alice.transfer(&loser, &bob, "1.00", &alice.token("1.00").await).await.expect(201);
    }
    assert_eq!(alice.available().await, "60.00");
}

#[tokio::test]
async fn a_token_ends() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
    ledger.fund("alice", 100_00).await;
    let body = json!({"password": PASSWORD, "max_amount": "5.00", "expires_in": 1});
    let answer = ledger.post(&alice.uri("/payment-tokens"), &body).await.expect(201);
    let token = json!({"type": "token", "token": answer.body["token"]});
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    alice.transfer("1", &bob, "1.00", &token).await.expect_problem(403, "auth_invalid");
}

#[tokio::test]
async fn a_new_password_voids_all_tokens() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
    ledger.fund("alice", 100_00).await;
    let token = alice.token("5.00").await;
    // The same password again is no new one.
    alice.set_password(&json!({"password": PASSWORD})).await.expect(204);
    alice.transfer("1", &bob, "1.00", &token).await.expect(201);
    let token = alice.token("5.00").await;
    alice.set_password(&json!({"password": "739150", "old_password": PASSWORD})).await.expect(204);
    alice.transfer("2", &bob, "1.00", &token).await.expect_problem(403, "auth_invalid");
    // Back to the old password, but not to the old tokens.
    alice.set_password(&json!({"password": PASSWORD, "old_password": "739150"})).await.expect(204);
    alice.transfer("2", &bob, "1.00", &token).await.expect_problem(403, "auth_invalid");
    alice.transfer("2", &bob, "1.00", &alice.token("1.00").await).await.expect(201);
}

//! Payment passwords: setting, checking, the lock.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::user::{PASSWORD, User};
use crate::ledger::{Answer, Ledger};

const OTHER: &str = "739150";

/// Tries wrong passwords one after the other.
async fn guess(user: &User<'_>, times: u32) -> Vec<Answer> {
    let mut answers = Vec::new();
    for number in 0..times {
        answers.push(user.try_token(&format!("90{number}713")).await);
    }
    answers
}

fn attempts_left(answers: &[Answer]) -> Vec<u64> {
    answers
        .iter()
        .map(|answer| {
            assert_eq!((answer.status, answer.code()), (403, "password_wrong"), "{}", answer.text);
            answer.body["attempts_left"].as_u64().unwrap()
        })
        .collect()
}

#[tokio::test]
async fn a_password_is_six_digits_that_are_not_trivial() {
    let ledger = Ledger::new();
    ledger.post("/v1/wallets", &json!({"user": "alice", "class": "I"})).await.expect(201);
    let user = User { ledger: &ledger, name: "alice" };
    for wrong in ["123456", "654321", "000000", "112233", "121212", "28390", "2839041", "28390a", ""] {
        let refused = user.set_password(&json!({"password": wrong})).await;
        assert_eq!(refused.expect_problem(422, "password_invalid").field(), "/password", "{wrong}");
    }
    for malformed in [json!({}), json!({"password": 283_904}), json!({"password": PASSWORD, "pin": "1"})] {
        user.set_password(&malformed).await.expect_problem(400, "malformed");
    }
    assert_eq!(user.get().await.body["password"], json!({"set": false, "locked_until": null}));
    // Nothing to check a password against.
    user.try_token(PASSWORD).await.expect_problem(422, "password_invalid");
    let nobody = ledger.put("/v1/wallets/bob/password", &json!({"password": PASSWORD})).await;
    nobody.expect_problem(404, "not_found");
    let nobody = User { ledger: &ledger, name: "bob" };
    nobody.try_token(PASSWORD).await.expect_problem(404, "not_found");
    user.set_password(&json!({"password": PASSWORD})).await.expect(204);
    assert_eq!(user.get().await.body["password"], json!({"set": true, "locked_until": null}));
    user.try_token("28390").await.expect_problem(422, "password_invalid");
    user.try_token(PASSWORD).await.expect(201);
}

#[tokio::test]
async fn a_new_password_needs_the_old_one() {
    let ledger = Ledger::new();
    let user = User::open(&ledger, "alice", "I").await;
    // The same again, as after a lost answer.
    user.set_password(&json!({"password": PASSWORD})).await.expect(204);
    let refused = user.set_password(&json!({"password": OTHER})).await;
    assert_eq!(attempts_left(&[refused]), [4]);
    let refused = user.set_password(&json!({"password": OTHER, "old_password": "283905"})).await;
    assert_eq!(attempts_left(&[refused]), [3]);
    let refused = user.set_password(&json!({"password": OTHER, "old_password": "2839"})).await;
    assert_eq!(refused.expect_problem(422, "password_invalid").field(), "/old_password");
    user.set_password(&json!({"password": "111111", "old_password": PASSWORD}))
        .await
        .expect_problem(422, "password_invalid");
    user.set_password(&json!({"password": OTHER, "old_password": PASSWORD})).await.expect(204);
    assert_eq!(attempts_left(&[user.try_token(PASSWORD).await]), [4]);
    user.try_token(OTHER).await.expect(201);
    // The lock holds here too.
    guess(&user, 5).await;
    let locked = user.set_password(&json!({"password": PASSWORD, "old_password": OTHER})).await;
    locked.expect_problem(423, "password_locked");
}

#[tokio::test]
async fn of_32_first_passwords_one_is_set() {
    let ledger = Ledger::with_settings(|settings| settings.password_hashes_max = 4);
    ledger.post("/v1/wallets", &json!({"user": "alice", "class": "I"})).await.expect(201);
    let user = User { ledger: &ledger, name: "alice" };
    let body = json!({"password": PASSWORD});
    let answers = join_all((0..32).map(|_| user.set_password(&body))).await;
    assert!(answers.iter().all(|answer| answer.status == 204), "{answers:?}");
    user.try_token(PASSWORD).await.expect(201);
}

#[tokio::test]
async fn the_fifth_wrong_password_locks_through_a_restart() {
    let ledger = Ledger::new();
    let user = User::open(&ledger, "alice", "I").await;
    assert_eq!(attempts_left(&guess(&user, 4).await), [4, 3, 2, 1]);
    // A right one in time starts the count anew.
    user.try_token(PASSWORD).await.expect(201);
    assert_eq!(attempts_left(&guess(&user, 5).await), [4, 3, 2, 1, 0]);
    let locked = async |ledger: &Ledger| {
        let user = User { ledger, name: "alice" };
        for password in [PASSWORD, OTHER] {
            let refused = user.try_token(password).await.expect_problem(423, "password_locked");
            let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((7_000..=7_200).contains(&seconds), "{seconds}");
        }
        let password = user.get().await.body["password"].clone();
        assert!(password["set"].as_bool().unwrap() && password["locked_until"].is_string(), "{password}");
    };
    locked(&ledger).await;
    // A locked wallet's guesses leave no record.
    let position = ledger.position().await;
    user.try_token(OTHER).await.expect(423);
    assert_eq!(ledger.position().await, position);
    let ledger = ledger.restart();
    locked(&ledger).await;
    // Others are not.
    User::open(&ledger, "bob", "I").await.try_token(PASSWORD).await.expect(201);
}

#[tokio::test]
async fn an_attempt_counts_through_a_restart() {
    let mut ledger = Ledger::new();
    User::open(&ledger, "alice", "I").await;
    for left in [4, 3, 2, 1, 0] {
        let user = User { ledger: &ledger, name: "alice" };
        assert_eq!(attempts_left(&guess(&user, 1).await), [left]);
        ledger = ledger.restart();
    }
    let user = User { ledger: &ledger, name: "alice" };
    user.try_token(PASSWORD).await.expect_problem(423, "password_locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_wrong_passwords_at_once_are_five() {
    for hashes in [1, 4] {
        let ledger = Ledger::with_settings(|settings| settings.password_hashes_max = hashes);
        let user = User::open(&ledger, "alice", "I").await;
        let answers = join_all((0..32).map(|_| user.try_token(OTHER))).await;
        let (wrong, locked): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 403);
        let mut left = attempts_left(&wrong);
        left.sort_unstable();
        assert_eq!(left, [0, 1, 2, 3, 4]);
        assert!(locked.iter().all(|answer| answer.code() == "password_locked"), "{locked:?}");
        user.try_token(PASSWORD).await.expect_problem(423, "password_locked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_on_disk_before_it_is_looked_at() {
    // A hash that takes much longer than a record or a read.
    let ledger = Ledger::with_settings(|settings| {
        settings.argon2_memory_kib = 64 << 10;
        settings.argon2_passes = 6;
    });
    let user = User::open(&ledger, "alice", "I").await;
    guess(&user, 4).await;
    let mut looked_at = std::pin::pin!(user.try_token(OTHER));
    let mut reads_of_the_lock = 0;
    while reads_of_the_lock < 20 {
        tokio::select! {
            biased;
            answer = &mut looked_at => {
                panic!("answered after {reads_of_the_lock} reads of the lock: {}", answer.text)
            }
            wallet = user.get() => {
                reads_of_the_lock += u32::from(wallet.body["password"]["locked_until"].is_string());
            }
        }
    }
    assert_eq!(attempts_left(&[looked_at.await]), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn right_passwords_at_once_do_not_lock() {
    let ledger = Ledger::with_settings(|settings| settings.password_hashes_max = 4);
    let user = User::open(&ledger, "alice", "I").await;
    let answers = join_all((0..32).map(|_| user.try_token(PASSWORD))).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    assert_eq!(attempts_left(&guess(&user, 1).await), [4]);
}

#[tokio::test]
async fn after_the_lock_the_right_password_works_and_the_count_starts_anew() {
    let ledger = Ledger::with_settings(|settings| settings.password_lock_s = 1);
    let user = User::open(&ledger, "alice", "I").await;
    for _ in 0..2 {
        guess(&user, 5).await;
        let locked = user.try_token(PASSWORD).await.expect_problem(423, "password_locked");
        assert_eq!(locked.header("retry-after"), Some("1"));
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        assert_eq!(user.get().await.body["password"], json!({"set": true, "locked_until": null}));
        assert_eq!(attempts_left(&guess(&user, 1).await), [4]);
    }
    user.try_token(PASSWORD).await.expect(201);
    assert_eq!(attempts_left(&guess(&user, 1).await), [4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_passwords_is_bounded() {
    let ledger = Ledger::with_settings(|settings| {
        settings.passwords_waiting_max = 1;
        // Long enough that the others come while it runs.
        settings.argon2_memory_kib = 64 << 10;
        settings.argon2_passes = 3;
    });
    let user = User::open(&ledger, "alice", "I").await;
    let answers = join_all((0..16).map(|_| user.try_token(PASSWORD))).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert!(count(201) >= 1 && count(503) >= 1, "{answers:?}");
    assert_eq!(count(201) + count(503), 16, "{answers:?}");
    // Whoever was not admitted has not tried.
    assert_eq!(attempts_left(&guess(&user, 1).await), [4]);
}

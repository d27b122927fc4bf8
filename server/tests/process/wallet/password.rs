//! Guessing passwords: many at once, and through kills.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

use super::shop::{PASSWORD, expect, patiently};
use crate::{
    client::{Answer, Client},
    server::{PATIENCE, Server},
};

const WRONG: &str = "739150";
const TRIES: usize = 5;
/// Guesses at the same moment.
const AT_ONCE: usize = 8;
/// A lock that is waited for, of more seconds than a start takes; and all guesses are hashed at the same time.
const LOCK_OPTIONS: [&str; 4] = ["--wallet-password-lock-seconds", "20", "--wallet-password-hashes-max", "8"];

fn open(client: &mut Client, user: &str) {
    expect(&[201], || client.post("/v1/wallets", &json!({"user": user, "class": "III"})));
    expect(&[204], || client.put(&format!("/v1/wallets/{user}/password"), &json!({"password": PASSWORD})));
}

fn guess(client: &mut Client, user: &str, password: &str) -> std::io::Result<Answer> {
    let body = json!({"password": password, "max_amount": "1.00", "expires_in": 60});
    patiently(|| client.post(&format!("/v1/wallets/{user}/payment-tokens"), &body))
}

fn locked_until(client: &mut Client, user: &str) -> Option<Timestamp> {
    let shown = expect(&[200], || client.get(&format!("/v1/wallets/{user}")));
    shown["password"]["locked_until"].as_str().map(|time| time.parse().unwrap())
}

fn start(data: &Path, options: &[&str]) -> Server {
    Server::start(data, &[&["--log", "warn"], options].concat())
}

#[test]
fn process_five_wrong_passwords_at_once_lock_until_the_lock_has_passed() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let server = start(&data, &LOCK_OPTIONS);
    let mut client = server.client();
    open(&mut client, "alice");
    // Each is looked at, and no more than five.
    let answers = at_once(server.address(), "alice");
    let wrong = answers.iter().filter(|answer| answer.status == 403);
    let mut left: Vec<_> = wrong.map(|answer| answer.body["attempts_left"].as_u64()).collect();
    left.sort_unstable();
    assert_eq!(left, [Some(0), Some(1), Some(2), Some(3), Some(4)], "{answers:?}");
    let locked = answers.iter().filter(|answer| is_locked(answer));
    assert_eq!(locked.count(), AT_ONCE - TRIES, "{answers:?}");

    let until = locked_until(&mut client, "alice").unwrap();
    let right = guess(&mut client, "alice", PASSWORD).unwrap();
    assert!(is_locked(&right) && right.retry_after.is_some_and(|seconds| seconds <= 20), "{right:?}");
    server.kill();
    let server = start(&data, &LOCK_OPTIONS);
    let mut client = server.client();
    let before = Timestamp::now();
    let right = guess(&mut client, "alice", PASSWORD).unwrap();
    assert!(is_locked(&right), "{right:?}");
    assert!(before < until, "the start took longer than the lock: the test shows nothing");
    assert_eq!(locked_until(&mut client, "alice"), Some(until), "a kill does not move the lock's end");

    let deadline = Instant::now() + PATIENCE;
    while is_locked(&guess(&mut client, "alice", PASSWORD).unwrap()) {
        assert!(Instant::now() < deadline, "locked for ever");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(Timestamp::now() >= until);
    assert_eq!(guess(&mut client, "alice", PASSWORD).unwrap().status, 201);
    assert_eq!(guess(&mut client, "alice", WRONG).unwrap().body["attempts_left"], 4);
}

/// What a guesser learns is bounded, however often the process is killed while passwords are checked.
#[test]
fn process_a_kill_gains_no_guess() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let users: Vec<String> = (0..8).map(|number| format!("u{number}")).collect();
    let server = start(&data, &[]);
    users.iter().for_each(|user| open(&mut server.client(), user));
    server.kill();
    let mut learned = vec![0; users.len()];
    let mut kills = 0;
    loop {
        let server = start(&data, &[]);
        let mut client = server.client();
        if users.iter().all(|user| locked_until(&mut client, user).is_some()) {
            break;
        }
        let address = server.address();
        thread::scope(|scope| {
            for (learned, user) in learned.iter_mut().zip(&users) {
                scope.spawn(move || *learned += guess_on(&mut Client::new(address), user));
            }
            thread::sleep(Duration::from_millis(150));
            server.kill();
        });
        kills += 1;
        assert!(kills < 1_000, "{learned:?} learned, and somebody is not locked");
    }
    assert!(kills > 1, "the kill met no guess: the test shows nothing");
    assert!(learned.iter().all(|&learned| learned <= TRIES), "{learned:?} in {kills} kills");
    assert!(learned.iter().sum::<usize>() > TRIES, "{learned:?} in {kills} kills");
    let server = start(&data, &[]);
    for user in &users {
        let right = guess(&mut server.client(), user, PASSWORD).unwrap();
        assert!(is_locked(&right), "{right:?}");
    }
}

/// Guesses until the wallet is locked or the server is gone; how many passwords it has learned to be wrong.
fn guess_on(client: &mut Client, user: &str) -> usize {
    let mut learned = 0;
    while let Ok(answer) = guess(client, user, WRONG)
        && !is_locked(&answer)
    {
        assert_eq!(answer.body["code"], "password_wrong", "{answer:?}");
        learned += 1;
    }
    learned
}

/// Wrong passwords at the same moment.
fn at_once(address: SocketAddr, user: &str) -> Vec<Answer> {
    let together = Barrier::new(AT_ONCE);
    thread::scope(|scope| {
        let guessers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    guess(&mut Client::new(address), user, WRONG).unwrap()
                })
            })
            .collect();
        guessers.into_iter().map(|guesser| guesser.join().unwrap()).collect()
    })
}

fn is_locked(answer: &Answer) -> bool {
    answer.status == 423 && answer.body["code"] == "password_locked"
}

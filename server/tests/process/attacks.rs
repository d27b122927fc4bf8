//! Attacks: each is answered as documented, and what an ordinary client notices of it is measured.
//!
//! `make attacks` runs it at its full size and prints a table. Times are printed and never asserted.

mod ordinary;
mod signer;
mod stage;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use ordinary::Latencies;
use serde_json::{Value, json};
use signer::{Signer, now_s};
use stage::Stage;
use uuid::Uuid;

use crate::client::Client;

/// What an attack was answered, and how often.
struct Outcome {
    answers: u64,
    what: String,
}

/// How large it is all done.
struct Size {
    idle_connections: usize,
    slow_connections: usize,
    /// Of each measurement.
    time: Duration,
}

impl Size {
    /// Of `make attacks`, or of a quick look in `make test`.
    fn of_environment() -> Self {
        match std::env::var("YUE_ATTACKS").is_ok_and(|value| value == "full") {
            true => Self { idle_connections: 10_000, slow_connections: 500, time: Duration::from_secs(4) },
            false => Self { idle_connections: 300, slow_connections: 50, time: Duration::from_millis(1_200) },
        }
    }
}

/// An attack goes on until it is told to stop.
type Attack = fn(&Stage, &Size, &AtomicBool) -> Outcome;

/// Each attack, and what it must be answered.
const ATTACKS: [(&str, &str, Attack); 10] = [
    ("replayed_signature", "401 nonce_replayed", replayed_signature),
    ("old_timestamp", "401 timestamp_skew", old_timestamp),
    ("foreign_account", "404 not_found", foreign_account),
    ("scope_missing", "403 scope_missing", scope_missing),
    ("changed_body", "401 signature_invalid", changed_body),
    ("slow_headers", "closed unanswered", slow_headers),
    ("idle_connections", "closed after the idle time", idle_connections),
    ("foreign_token", "403 auth_invalid", foreign_token),
    ("token_above_its_amount", "403 auth_invalid", token_above_its_amount),
    ("device_counter_again", "403 auth_invalid", device_counter_again),
];

#[test]
fn process_attacks_are_answered_as_documented() {
    let size = Size::of_environment();
    let stage = Stage::set(size.idle_connections);
    let ordinary = |stop: &AtomicBool| ordinary::measure(&stage, size.time, stop);
    for (name, documented, attack) in ATTACKS {
        let before = ordinary(&AtomicBool::new(false));
        let stop = AtomicBool::new(false);
        let (outcome, during) = thread::scope(|scope| {
            let attack = scope.spawn(|| attack(&stage, &size, &stop));
            let during = ordinary(&AtomicBool::new(false));
            stop.store(true, Relaxed);
            (attack.join().unwrap(), during)
        });
        print_row(name, &outcome, &before, &during);
        assert_eq!(outcome.what, documented, "{name}");
        assert!(outcome.answers > 0, "{name} was not even tried");
        assert!(before.count > 0 && during.count > 0, "{name}: the ordinary client was not served");
    }
    stage.assert_untouched();
}

fn print_row(name: &str, outcome: &Outcome, before: &Latencies, during: &Latencies) {
    println!("attack {name}: {} ({} times)", outcome.what, outcome.answers);
    println!("figure attack_{name}_p99_before {} us", before.p99_us);
    println!("figure attack_{name}_p99_during {} us", during.p99_us);
    let hundredths = during.p99_us.saturating_mul(100) / before.p99_us.max(1);
    println!("figure attack_{name}_p99_ratio {}.{:02} times", hundredths / 100, hundredths % 100);
}

/// Sends again and again; all answers must be one and the same.
fn hammer(stop: &AtomicBool, mut send: impl FnMut() -> (u16, Value)) -> Outcome {
    let (mut answers, mut what) = (0, None::<String>);
    while !stop.load(Relaxed) || answers == 0 {
        let (status, body) = send();
        let answer = format!("{status} {}", body["code"].as_str().unwrap_or("-"));
        match &what {
            Some(first) => assert_eq!(*first, answer, "after {answers}: {body}"),
            None => what = Some(answer),
        }
        answers += 1;
    }
    Outcome { answers, what: what.unwrap_or_default() }
}

fn signed(client: &mut Client, method: &str, path: &str, authorization: &str, body: &str) -> (u16, Value) {
    let header = format!("Authorization: {authorization}\r\n");
    let answer = client.send_with(method, path, &header, body).unwrap();
    (answer.status, answer.body)
}

fn replayed_signature(stage: &Stage, _: &Size, stop: &AtomicBool) -> Outcome {
    let mut client = Client::new(stage.address());
    let body = stage.payment_of("customers:1", Uuid::now_v7());
    let authorization = stage.service.sign("POST", "/v1/transactions", &body);
    let first = signed(&mut client, "POST", "/v1/transactions", &authorization, &body);
    assert_eq!(first.0, 201, "{first:?}");
    hammer(stop, || signed(&mut client, "POST", "/v1/transactions", &authorization, &body))
}

fn old_timestamp(stage: &Stage, _: &Size, stop: &AtomicBool) -> Outcome {
    let mut client = Client::new(stage.address());
    let body = stage.payment_of("customers:1", Uuid::now_v7());
    hammer(stop, || {
        let authorization =
            stage.service.sign_at("POST", "/v1/transactions", &body, now_s() - 400, &Signer::nonce());
        signed(&mut client, "POST", "/v1/transactions", &authorization, &body)
    })
}

fn foreign_account(stage: &Stage, _: &Size, stop: &AtomicBool) -> Outcome {
    let mut client = Client::with_bearer(stage.address(), &stage.service.bearer);
    hammer(stop, || {
        let answer = client.get("/v1/accounts/merchants:7").unwrap();
        (answer.status, answer.body)
    })
}

fn scope_missing(stage: &Stage, _: &Size, stop: &AtomicBool) -> Outcome {
    let mut client = Client::with_bearer(stage.address(), &stage.service.bearer);
    hammer(stop, || {
        let answer = client.post("/v1/accounts", &json!({"address": "customers:x", "asset": "CNY"})).unwrap();
        (answer.status, answer.body)
    })
}

fn changed_body(stage: &Stage, _: &Size, stop: &AtomicBool) -> Outcome {
    let mut client = Client::new(stage.address());
    hammer(stop, || {
        let body = stage.payment_of("customers:1", Uuid::now_v7());
        let authorization = stage.service.sign("POST", "/v1/transactions", &body);
        let changed = body.replace("0.01", "9.99");
        signed(&mut client, "POST", "/v1/transactions", &authorization, &changed)
    })
}

/// Heads that never end: each connection is closed when its head has had its time.
fn slow_headers(stage: &Stage, size: &Size, stop: &AtomicBool) -> Outcome {
    let mut answers = 0;
    while !stop.load(Relaxed) || answers == 0 {
        let connections: Vec<_> = (0..size.slow_connections)
            .map(|_| {
                let mut stream = TcpStream::connect(stage.address()).unwrap();
                stream.write_all(b"GET /healthz HTTP/1.1\r\nX: ").unwrap();
                stream
            })
            .collect();
        for mut stream in connections {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            // A byte more is no new head.
            let _gone_already = stream.write_all(b"y");
            let mut said = Vec::new();
            let ended = stream.read_to_end(&mut said);
            let waits = ended.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(said.is_empty() && !waits, "{ended:?} {}", String::from_utf8_lossy(&said));
            answers += 1;
        }
    }
    Outcome { answers, what: "closed unanswered".to_owned() }
}

/// Connections that say nothing: they cost a place until their time is over.
fn idle_connections(stage: &Stage, size: &Size, stop: &AtomicBool) -> Outcome {
    let mut connections: Vec<_> =
        (0..size.idle_connections).map(|_| TcpStream::connect(stage.address()).unwrap()).collect();
    while !stop.load(Relaxed) {
        thread::sleep(Duration::from_millis(10));
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    for stream in &mut connections {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).unwrap();
        assert!(matches!(stream.read(&mut [0]), Ok(0)), "an idle connection is not closed");
    }
    Outcome {
        answers: u64::try_from(connections.len()).unwrap(),
        what: "closed after the idle time".to_owned(),
    }
}

fn pay(client: &mut Client, user: &str, id: Uuid, amount: &str, auth: &Value) -> (u16, Value) {
    let item = json!({"name": "n", "kind": "goods", "category": "books", "amount": amount});
    let body = json!({"id": id, "user": user, "merchant": "shop", "items": [item], "auth": auth});
    let answer = client.post("/v1/payments", &body).unwrap();
    (answer.status, answer.body)
}

fn foreign_token(stage: &Stage, _: &Size, stop: &AtomicBool) -> Outcome {
    let mut client = Client::with_bearer(stage.address(), &stage.wallet.bearer);
    let auth = json!({"type": "token", "token": stage.token(&mut client, "bob", "5.00")});
    hammer(stop, || pay(&mut client, "alice", Uuid::now_v7(), "1.00", &auth))
}

fn token_above_its_amount(stage: &Stage, _: &Size, stop: &AtomicBool) -> Outcome {
    let mut client = Client::with_bearer(stage.address(), &stage.wallet.bearer);
    let auth = json!({"type": "token", "token": stage.token(&mut client, "alice", "5.00")});
    hammer(stop, || pay(&mut client, "alice", Uuid::now_v7(), "5.01", &auth))
}

fn device_counter_again(stage: &Stage, _: &Size, stop: &AtomicBool) -> Outcome {
    let mut client = Client::with_bearer(stage.address(), &stage.wallet.bearer);
    let device = stage.device(&mut client, "alice");
    let first = Uuid::now_v7();
    let paid = pay(&mut client, "alice", first, "0.01", &device.sign("payment", first, "shop", "0.01", 7));
    assert_eq!(paid.0, 201, "{paid:?}");
    hammer(stop, || {
        let id = Uuid::now_v7();
        pay(&mut client, "alice", id, "0.01", &device.sign("payment", id, "shop", "0.01", 7))
    })
}

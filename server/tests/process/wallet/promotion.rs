//! A promotion that many more ask for than it has slots.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::shop::{
    CLIENTS, PAYERS_OPTIONS, assert_even, assert_verifies, balance, each, expect, open_merchant, open_payer,
    patiently, recharge, yuan,
};
use crate::{
    client::{Answer, Client},
    server::Server,
};

const SLOTS: usize = 10_000;
const PAYMENTS: usize = 100_000;
/// More than the slots together, so that it is the budget that ends; the eager ones meet their cap before.
const PAYERS: usize = 200;
const EAGER: usize = 50;
const CAP: usize = 60;
/// Grants that are acknowledged when the process is killed: in the rush, and just before the end.
const KILLED_AT: [usize; 2] = [SLOTS * 2 / 5, SLOTS - SLOTS / 50];
/// Every so many payments one is paid at the full price once there is no slot.
const FULL_PRICE_EVERY: usize = 16;

/// Fen.
const PRICE: u64 = 300;
const DISCOUNT: u64 = 100;
const FUNDS: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Granted,
    FullPrice,
    Refused,
}

/// What a client wrote down about one payment.
struct Entry {
    payer: usize,
    body: Value,
    /// `None`: not answered yet.
    outcome: Option<Outcome>,
}

/// What clients and the one who kills share.
#[derive(Default)]
struct Rush {
    sent: AtomicUsize,
    granted: AtomicUsize,
    killed: AtomicBool,
    clients_left: AtomicUsize,
}

#[test]
fn process_a_promotion_killed_in_the_rush_grants_its_slots_and_no_more() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    prepare(&data);
    let rush = Rush::default();
    let mut books: Vec<Vec<Entry>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    let mut unknown = 0;
    for kill_at in KILLED_AT {
        let server = start(&data);
        run(&rush, server.address(), &mut books, || {
            while rush.granted.load(Relaxed) < kill_at && rush.clients_left.load(Relaxed) > 0 {
                thread::sleep(Duration::from_millis(1));
            }
            rush.killed.store(true, Relaxed);
            server.kill();
        });
        assert!(rush.sent.load(Relaxed) < PAYMENTS, "the kill at {kill_at} grants met no rush");
        let server = start(&data);
        unknown += settle(&rush, server.address(), &mut books);
        // Another kill, right after recovery.
        server.kill();
    }
    assert!(unknown > 0, "no kill met a payment in flight: the test shows nothing");
    let server = start(&data);
    run(&rush, server.address(), &mut books, || {});
    audit(&server, &books);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert_verifies(&data);
}

fn start(data: &Path) -> Server {
    let options: Vec<&str> = PAYERS_OPTIONS.into_iter().chain(["--shards", "4", "--log", "warn"]).collect();
    Server::start(data, &options)
}

fn user(payer: usize) -> String {
    format!("u{payer}")
}

fn prepare(data: &Path) {
    let server = start(data);
    let mut client = server.client();
    open_merchant(&mut client, "jd-self");
    let promotion = json!({
        "id": "slots", "name": "618", "kind": "payment_discount", "rule": {"amount_off": yuan(DISCOUNT)},
        "budget": yuan(SLOTS as u64 * DISCOUNT), "per_user": CAP,
        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2120-01-01T00:00:00Z",
    });
    expect(&[201], || client.post("/v1/promotions", &promotion));
    let payers: Vec<usize> = (0..PAYERS).collect();
    each(server.address(), &payers, |client, &payer| {
        open_payer(client, &user(payer));
        recharge(client, &user(payer), "bank-card", FUNDS);
    });
    server.kill();
}

/// Payments by all clients until there are no more, or the process is killed; `meanwhile` kills it, or not.
fn run(rush: &Rush, address: SocketAddr, books: &mut [Vec<Entry>], meanwhile: impl FnOnce()) {
    rush.killed.store(false, Relaxed);
    rush.clients_left.store(books.len(), Relaxed);
    thread::scope(|scope| {
        for book in books {
            scope.spawn(|| {
                pay(rush, &mut Client::new(address), book);
                rush.clients_left.fetch_sub(1, Relaxed);
            });
        }
        meanwhile();
    });
}

fn pay(rush: &Rush, client: &mut Client, book: &mut Vec<Entry>) {
    while !rush.killed.load(Relaxed) {
        let number = rush.sent.fetch_add(1, Relaxed);
        if number >= PAYMENTS {
            return;
        }
        // Half of all payments are the eager ones'.
        let payer =
            if number.is_multiple_of(2) { number / 2 % EAGER } else { EAGER + number / 2 % (PAYERS - EAGER) };
        let exhausted = if number.is_multiple_of(FULL_PRICE_EVERY) { "full_price" } else { "refuse" };
        let body = json!({
            "id": Uuid::now_v7(), "user": user(payer), "merchant": "jd-self", "promotion": "slots",
            "on_promotion_exhausted": exhausted, "auth": {"type": "small"},
            "items": [{"name": "a thing", "kind": "goods", "category": "home", "amount": yuan(PRICE)}],
        });
        book.push(Entry { payer, body, outcome: None });
        let entry = book.last_mut().unwrap();
        match patiently(|| client.post("/v1/payments", &entry.body)) {
            Ok(answer) => rush.note(entry, &answer),
            // It is gone; what was sent is settled later.
            Err(_) => assert!(rush.killed.load(Relaxed), "the server has ended by itself"),
        }
    }
}

impl Rush {
    fn note(&self, entry: &mut Entry, answer: &Answer) {
        let outcome = outcome(answer);
        self.granted.fetch_add(usize::from(outcome == Outcome::Granted), Relaxed);
        entry.outcome = Some(outcome);
    }
}

fn outcome(answer: &Answer) -> Outcome {
    match (answer.status, answer.body["discount"].as_str(), answer.body["code"].as_str()) {
        (200 | 201, Some("1.00"), None) => Outcome::Granted,
        (200 | 201, Some("0.00"), None) => Outcome::FullPrice,
        (422, None, Some("promotion_exhausted")) => Outcome::Refused,
        _ => panic!("{answer:?}"),
    }
}

/// After a kill: each acknowledged payment is answered as it was, and not paid again; each that was not is settled by
/// the same id. Answers how many these are.
fn settle(rush: &Rush, address: SocketAddr, books: &mut [Vec<Entry>]) -> usize {
    let unknown = AtomicUsize::new(0);
    thread::scope(|scope| {
        for book in books {
            scope.spawn(|| {
                let mut client = Client::new(address);
                for entry in book {
                    let answer = patiently(|| client.post("/v1/payments", &entry.body)).unwrap();
                    match entry.outcome {
                        Some(first) => {
                            assert_eq!(outcome(&answer), first, "{} {answer:?}", entry.body);
                            assert!(answer.replayed && answer.status != 201, "{} {answer:?}", entry.body);
                        }
                        None => {
                            rush.note(entry, &answer);
                            unknown.fetch_add(1, Relaxed);
                        }
                    }
                }
            });
        }
    });
    unknown.into_inner()
}

/// In the end: as many grants as slots, each paid for once, no payer above the cap, and all money where it belongs.
fn audit(server: &Server, books: &[Vec<Entry>]) {
    let mut granted = vec![0_usize; PAYERS];
    let mut full_price = vec![0_usize; PAYERS];
    let mut payments = 0;
    for entry in books.iter().flatten() {
        payments += 1;
        match entry.outcome.unwrap() {
            Outcome::Granted => granted[entry.payer] += 1,
            Outcome::FullPrice => full_price[entry.payer] += 1,
            Outcome::Refused => {}
        }
    }
    assert_eq!(payments, PAYMENTS);
    let (grants, full_prices) = (granted.iter().sum::<usize>(), full_price.iter().sum::<usize>());
    assert_eq!(grants, SLOTS);
    assert!(granted.iter().all(|&grants| grants <= CAP), "{granted:?}");
    assert!(granted.contains(&CAP), "nobody met the cap: {granted:?}");
    assert!(full_prices > 0, "nobody paid the full price");

    let mut client = server.client();
    let shown = expect(&[200], || client.get("/v1/promotions/slots"));
    let (spent, left) = (yuan(grants as u64 * DISCOUNT), yuan(0));
    assert_eq!((&shown["spent"], &shown["left"]), (&json!(spent), &json!(left)), "{shown}");
    assert_eq!(balance(&mut client, "promos:slots"), (0, 0));
    assert_eq!(balance(&mut client, "promos:slots:slots"), (grants as i64, 0));
    let taken = (grants + full_prices) as u64 * PRICE;
    assert_eq!(balance(&mut client, "merchants:jd-self"), (taken as i64, 0));
    for (payer, (&granted, &full_price)) in granted.iter().zip(&full_price).enumerate() {
        let user = format!("customers:{}", user(payer));
        let paid = granted as u64 * (PRICE - DISCOUNT) + full_price as u64 * PRICE;
        assert_eq!(balance(&mut client, &user), ((FUNDS - paid) as i64, 0), "{user}");
        assert_eq!(balance(&mut client, &format!("{user}:slots:slots")), (granted as i64, 0), "{user}");
    }
    assert_even(&mut client);
}

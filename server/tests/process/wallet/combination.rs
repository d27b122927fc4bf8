//! Payments together with channels that fail in every way, the process killed while they wait.
//!
//! What a channel took is with the merchant, or back with the channel, or in suspense because it was another amount than
//! was asked for; and what a payer had set aside is the merchant's or the payer's again, with no hold left.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    sandbox::{self, Sandbox},
    shop::{
        PAYERS_OPTIONS, assert_even, assert_verifies, balance, each, expect, open_merchant, open_payer,
        recharge, steadily, units, yuan,
    },
};
use crate::{
    client::Client,
    server::{PATIENCE, Server},
};

const PAYERS: usize = 200;
/// Payments of each that a channel has a part in: 10,000 in all.
const PAYMENTS_EACH: usize = 50;
/// Payments that wait, or have waited, when the process is killed.
const KILLED_AT: [usize; 2] = [3_000, 7_000];
/// Every so many payments one is cancelled while its channel is at it.
const CANCELLED_EVERY: usize = 20;
const CHANNELS: [&str; 3] = ["wechat", "alipay", "ecny"];
/// Where payers' own money comes from.
const FUNDING: &str = "bank-card";
/// Fen.
const DISCOUNT: u64 = 100;

/// Seconds that a payment waits for its channel; a late word comes after it.
const WAIT_S: &str = "15";
const LATE: Duration = Duration::from_secs(20);
const RATES: [&str; 11] = [
    "--notify-after-ms=50",
    "--timeout-rate=0.3",
    "--timeout-after-ms=200",
    "--late-rate=0.06",
    "--late-after-ms=20000",
    "--abandon-rate=0.1",
    "--fail-rate=0.05",
    "--wrong-amount-rate=0.02",
    "--lose-answer-rate=0.05",
    "--duplicate-rate=0.5",
    "--reorder-rate=0.3",
];

/// What a payer wrote down about one payment.
struct Entry {
    payer: usize,
    id: String,
    body: Value,
    /// The answer of the first time.
    first: Value,
}

/// The record outside.
#[derive(Default)]
struct Book {
    entries: Mutex<Vec<Entry>>,
    /// Fen of each payer.
    recharged: Mutex<BTreeMap<usize, i64>>,
    waiting: AtomicUsize,
}

#[test]
fn process_combinations_over_a_flaky_channel_end_paid_or_released() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let server = start("127.0.0.1:0", &data);
    let address = server.address();
    let restart = |server: Server| {
        server.kill();
        // Where the channel has its notifications sent.
        start(&address.to_string(), &data)
    };
    let payers: Vec<usize> = (0..PAYERS).collect();
    prepare(&server, &payers);
    let sandbox = Sandbox::start(address, &RATES);
    let book = Book::default();
    let server = thread::scope(|scope| {
        let mut server = server;
        let shopping =
            scope.spawn(|| each(address, &payers, |client, &payer| shop(client, &sandbox, payer, &book)));
        for kill_at in KILLED_AT {
            while book.waiting.load(Relaxed) < kill_at && !shopping.is_finished() {
                thread::sleep(Duration::from_millis(1));
            }
            server = restart(server);
        }
        server
    });
    // And once while money that is late goes back.
    let half = open_orders(&sandbox) / 2;
    wait_until(|| open_orders(&sandbox) <= half);
    let server = restart(server);
    wait_until(|| open_orders(&sandbox) == 0);

    let entries = book.entries.into_inner().unwrap();
    let ends = Ends::default();
    each(address, &entries, |client, entry| ends.look_at(client, &sandbox, entry));
    ends.audit(&mut server.client(), &sandbox.totals(), &book.recharged.into_inner().unwrap());
    drop(sandbox);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert_verifies(&data);
}

fn start(listen: &str, data: &Path) -> Server {
    let options = PAYERS_OPTIONS.into_iter().chain([
        "--shards",
        "4",
        "--log",
        "error",
        "--wallet-payment-hold-seconds",
        WAIT_S,
    ]);
    Server::start_on(listen, data, &options.collect::<Vec<_>>())
}

fn user(payer: usize) -> String {
    format!("u{payer}")
}

fn prepare(server: &Server, payers: &[usize]) {
    let mut client = server.client();
    open_merchant(&mut client, "jd-self");
    let promotion = json!({
        "id": "combo", "name": "618", "kind": "payment_discount", "rule": {"amount_off": yuan(DISCOUNT)},
        "budget": "100000.00", "per_user": 1_000,
        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2120-01-01T00:00:00Z",
    });
    expect(&[201], || client.post("/v1/promotions", &promotion));
    each(server.address(), payers, |client, &payer| open_payer(client, &user(payer)));
}

/// A payer's payments, one after the other: each has own money, half of them a promotion's, and the channel pays more.
fn shop(client: &mut Client, sandbox: &Sandbox, payer: usize, book: &Book) {
    let mut channels = sandbox.client();
    let (mut combined, mut recharged) = (0_usize, 0);
    for number in 0_usize.. {
        if combined == PAYMENTS_EACH {
            break;
        }
        let fen = 200 + number as u64 * 7 % 300;
        recharge(client, &user(payer), FUNDING, fen);
        recharged += fen as i64;
        let (posted, held) = balance(client, &format!("customers:{}", user(payer)));
        let (promotion, off) =
            if number.is_multiple_of(2) { (json!("combo"), DISCOUNT) } else { (Value::Null, 0) };
        let price = (posted - held) as u64 + off + 100 + number as u64 * 37 % 900;
        let channel = CHANNELS[(payer + number) % CHANNELS.len()];
        let id = Uuid::now_v7().to_string();
        let mut body = json!({
            "id": id, "user": user(payer), "merchant": "jd-self", "combine_with": channel, "auth": {"type": "small"},
            "items": [{"name": "a thing", "kind": "goods", "category": "home", "amount": yuan(price)}],
        });
        if !promotion.is_null() {
            body["promotion"] = promotion;
        }
        let first = expect(&[201, 200], || client.post("/v1/payments", &body));
        if first["status"] == "awaiting_channel" {
            combined += 1;
            book.waiting.fetch_add(1, Relaxed);
            sandbox::order(&mut channels, &id, channel, &yuan(leg(&first, channel) as u64));
            if combined.is_multiple_of(CANCELLED_EVERY) {
                expect(&[200, 422], || client.post(&format!("/v1/payments/{id}/cancel"), &Value::Null));
            }
        }
        book.entries.lock().unwrap().push(Entry { payer, id, body, first });
    }
    book.recharged.lock().unwrap().insert(payer, recharged);
}

/// Fen of a payment's leg.
fn leg(payment: &Value, source: &str) -> i64 {
    let mut legs = payment["legs"].as_array().unwrap().iter();
    legs.find(|leg| leg["source"] == source).map_or(0, |leg| units(&leg["amount"]))
}

fn open_orders(sandbox: &Sandbox) -> u64 {
    sandbox.totals()["open"].as_u64().unwrap()
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LATE + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not done after {:?}", LATE + PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
}

/// How all payments ended.
#[derive(Default)]
struct Ends(Mutex<Sums>);

/// In fen.
#[derive(Default)]
struct Sums {
    /// How often a channel's end came with a payment's.
    ends: BTreeMap<String, usize>,
    spent: BTreeMap<usize, i64>,
    grants: BTreeMap<usize, i64>,
    merchant: i64,
    /// Of each channel: what merchants have of it, and what went back.
    kept: BTreeMap<String, i64>,
    returned: BTreeMap<String, i64>,
}

impl Ends {
    /// A payment's end must be one that its channel's word leads to.
    fn look_at(&self, client: &mut Client, sandbox: &Sandbox, entry: &Entry) {
        let again = steadily(|| client.post("/v1/payments", &entry.body));
        assert!(again.status == 200 && again.replayed, "{again:?}");
        assert_eq!(again.body, entry.first);
        let mut shown = Value::Null;
        // The last ones that nobody pays still wait for time to end them.
        wait_until(|| {
            shown = expect(&[200], || client.get(&format!("/v1/payments/{}", entry.id)));
            shown["status"] != "awaiting_channel"
        });
        let (status, mut state) = (shown["status"].as_str().unwrap(), "none".to_owned());
        if entry.first["status"] == "awaiting_channel" {
            let order = expect(&[200], || sandbox.client().get(&format!("/orders/{}", entry.id)));
            let wrong = order["state"] == "paid" && order["paid"] != order["amount"];
            state = if wrong { "wrong amount" } else { order["state"].as_str().unwrap() }.to_owned();
        }
        match (state.as_str(), status) {
            ("none" | "paid", "paid") | ("paid", "returned") => {}
            ("failed" | "abandoned" | "wrong amount", "cancelled" | "expired") => {}
            _ => panic!("the channel: {state}; the payment: {shown}"),
        }
        let channel = entry.body["combine_with"].as_str().unwrap();
        let mut sums = self.0.lock().unwrap();
        *sums.ends.entry(format!("{state}, {status}")).or_default() += 1;
        match status {
            "paid" => {
                *sums.spent.entry(entry.payer).or_default() += leg(&shown, "balance");
                *sums.grants.entry(entry.payer).or_default() += i64::from(leg(&shown, "promotion") > 0);
                *sums.kept.entry(channel.to_owned()).or_default() += leg(&shown, channel);
                sums.merchant += units(&shown["amount"]);
                let legs = ["balance", "promotion", channel].map(|source| leg(&shown, source));
                assert_eq!(legs.iter().sum::<i64>(), units(&shown["amount"]), "{shown}");
            }
            "returned" => *sums.returned.entry(channel.to_owned()).or_default() += leg(&shown, channel),
            _ => {}
        }
    }

    fn audit(self, client: &mut Client, totals: &Value, recharged: &BTreeMap<usize, i64>) {
        let sums = self.0.into_inner().unwrap();
        println!("{:?}\n{totals}", sums.ends);
        for (injected, least) in
            [("timeouts", 2_500), ("abandoned", 800), ("late", 400), ("reordered", 1_000)]
        {
            assert!(totals[injected].as_u64().unwrap() > least, "{injected}: {totals}");
        }
        let count = |end: &str| sums.ends.get(end).copied().unwrap_or_default();
        assert!(
            count("paid, paid") > PAYERS * PAYMENTS_EACH / 2 && count("paid, returned") > 0,
            "{:?}",
            sums.ends
        );

        for channel in CHANNELS {
            let [kept, returned] =
                [&sums.kept, &sums.returned].map(|sums| sums.get(channel).copied().unwrap_or_default());
            let [taken, wrong] =
                ["paid", "wrong_amounts"].map(|field| units(&totals["channels"][channel][field]));
            assert_eq!(taken, kept + returned + wrong, "{channel}: all that it took is somewhere");
            assert_eq!(balance(client, &format!("suspense:{channel}")), (wrong, 0), "suspense of {channel}");
            assert_eq!(balance(client, &format!("channels:{channel}")), (kept + wrong, 0), "{channel}");
        }
        let funded: i64 = recharged.values().sum();
        assert_eq!(balance(client, &format!("channels:{FUNDING}")), (funded, 0));
        assert_eq!(balance(client, "merchants:jd-self"), (sums.merchant, 0));
        let grants: i64 = sums.grants.values().sum();
        assert_eq!(balance(client, "promos:combo"), (10_000_000 - grants * DISCOUNT as i64, 0));
        for (payer, recharged) in recharged {
            let of = |sums: &BTreeMap<usize, i64>| sums.get(payer).copied().unwrap_or_default();
            let customer = format!("customers:{}", user(*payer));
            assert_eq!(balance(client, &customer), (recharged - of(&sums.spent), 0), "{customer}");
            let slots = format!("{customer}:slots:combo");
            assert_eq!(balance(client, &slots), (of(&sums.grants), 0), "{slots}");
        }
        assert_even(client);
    }
}

//! kill -9 under load, with a record outside.
//!
//! Each client writes down what it is about to send, sends it, and writes down the answer. After each kill everything
//! that was acknowledged must be there, once; what was not acknowledged is settled by the same id again.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::Client,
    server::{Server, yue},
};

const CLIENTS: usize = 32;
const CYCLES: usize = 20;
/// Fen that each account starts with.
const START: u64 = 1_000_000;

/// Transactions of a client that are looked at after each kill; more than one that fails to be sent while the kill is
/// not known to the test.
const LOOKED_AT: usize = 50;

/// What a client wrote down about one transaction.
#[derive(Debug)]
struct Entry {
    id: String,
    body: Value,
    /// Fen.
    amount: u64,
    debit: usize,
    credit: usize,
    /// The position, once it was acknowledged.
    position: Option<u64>,
}

#[test]
fn process_killed_under_load_loses_and_doubles_nothing() {
    killed_under_load(&[], CYCLES);
}

/// As above, on a journal that is trimmed all the time.
#[test]
fn process_killed_while_it_trims_loses_and_doubles_nothing() {
    killed_under_load(&["--journal-retention", "30", "--segment-records", "64"], CYCLES / 2);
}

fn killed_under_load(options: &[&str], cycles: usize) {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let mut books: Vec<Vec<Entry>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    open_accounts(&data);
    let mut settled = 0;
    for cycle in 0..cycles {
        let server = Server::start(&data, options);
        let stop = AtomicBool::new(false);
        let address = server.address();
        thread::scope(|scope| {
            for (client, book) in books.iter_mut().enumerate() {
                let stop = &stop;
                scope.spawn(move || work(client, cycle, book, address, stop));
            }
            // Killed at another moment each time, sometimes while the first requests come.
            thread::sleep(Duration::from_millis(10 + 37 * (cycle as u64 % 9)));
            server.kill();
            stop.store(true, Relaxed);
        });
        settled += settle(&data, options, &mut books);
    }
    let sent: usize = books.iter().map(Vec::len).sum();
    assert!(settled > 0, "no kill met a request in flight: the test shows nothing");
    assert!(sent > CLIENTS * cycles, "{sent} transactions are too few");
    audit(&data, options, &books);
}

fn account(number: usize) -> String {
    format!("customers:{number}")
}

fn open_accounts(data: &Path) {
    let server = Server::start(data, &[]);
    let mut client = server.client();
    let world = json!({"address": "world", "asset": "CNY", "normal": "debit", "floor": null});
    assert_eq!(client.post("/v1/accounts", &world).unwrap().status, 201);
    for number in 0..CLIENTS {
        let opening = json!({"address": account(number), "asset": "CNY"});
        assert_eq!(client.post("/v1/accounts", &opening).unwrap().status, 201);
        let funding = json!({
            "id": uuid::Uuid::now_v7(),
            "operations": [{"type": "transfer", "debit": "world", "credit": account(number), "amount": yuan(START)}]
        });
        assert_eq!(client.post("/v1/transactions", &funding).unwrap().status, 201);
    }
    server.kill();
}

fn yuan(fen: u64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

/// Sends transfers until the server is gone.
fn work(number: usize, cycle: usize, book: &mut Vec<Entry>, address: SocketAddr, stop: &AtomicBool) {
    let mut client = Client::new(address);
    for step in 0.. {
        let amount = 1 + (step as u64 * 7 + cycle as u64) % 50;
        let credit = (number + 1 + step % (CLIENTS - 1)) % CLIENTS;
        let id = uuid::Uuid::now_v7().to_string();
        let body = json!({
            "id": id,
            "operations": [{
                "type": "transfer", "debit": account(number), "credit": account(credit), "amount": yuan(amount)
            }]
        });
        book.push(Entry { id, body, amount, debit: number, credit, position: None });
        let entry = book.last_mut().unwrap();
        match client.post("/v1/transactions", &entry.body) {
            Ok(answer) => {
                assert_eq!(answer.status, 201, "{:?}", answer.body);
                entry.position = Some(answer.body["position"].as_u64().unwrap());
            }
            Err(_) if stop.load(Relaxed) => return,
            // The kill cuts the connection before the test says so.
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// After a kill: what was acknowledged is there, what is unknown is settled by sending it again. Answers how many were
/// unknown.
fn settle(data: &Path, options: &[&str], books: &mut [Vec<Entry>]) -> usize {
    let server = Server::start(data, options);
    let mut client = server.client();
    let mut unknown = 0;
    for book in books {
        // The last ones are those that a kill can take; all are looked at in the end.
        for entry in book.iter_mut().rev().take(LOOKED_AT) {
            if entry.position.is_some() {
                check(&mut client, entry);
                continue;
            }
            unknown += 1;
            let answer = client.post("/v1/transactions", &entry.body).unwrap();
            assert!([200, 201].contains(&answer.status), "{:?}", answer.body);
            entry.position = Some(answer.body["position"].as_u64().unwrap());
        }
    }
    // Another kill, right after recovery.
    server.kill();
    unknown
}

fn check(client: &mut Client, entry: &Entry) {
    let shown = client.get(&format!("/v1/transactions/{}", entry.id)).unwrap();
    assert_eq!(shown.status, 200, "{entry:?} is lost: {:?}", shown.body);
    assert_eq!(shown.body["status"], "posted", "{entry:?}");
    assert_eq!(shown.body["position"].as_u64(), entry.position, "{entry:?}");
}

/// In the end: each transaction is there, at its position and once; balances are the sums of the record.
fn audit(data: &Path, options: &[&str], books: &[Vec<Entry>]) {
    let server = Server::start(data, options);
    let mut client = server.client();
    let mut balances = vec![START; CLIENTS];
    let mut positions = HashMap::new();
    for entry in books.iter().flatten() {
        check(&mut client, entry);
        balances[entry.debit] -= entry.amount;
        balances[entry.credit] += entry.amount;
        if let Some(other) = positions.insert(entry.position, &entry.id) {
            panic!("{} and {other} share the position {:?}", entry.id, entry.position);
        }
    }
    for (number, &balance) in balances.iter().enumerate() {
        let shown = client.get(&format!("/v1/accounts/{}", account(number))).unwrap().body;
        assert_eq!(shown["posted"], yuan(balance), "{shown}");
        assert_eq!(shown["held"], "0.00", "{shown}");
    }
    let trial = client.get("/v1/trial-balance").unwrap().body;
    assert_eq!(trial["assets"][0]["balanced"], true, "{trial}");
    // Accounts and fundings, and each transaction once: no record more.
    let records = 1 + 2 * CLIENTS + positions.len();
    let trims = !options.is_empty();
    let position = trial["position"].as_u64().unwrap();
    // Parts of snapshots have positions too.
    assert!(if trims { position > records as u64 } else { position == records as u64 }, "{trial}");
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let verified = yue(&["verify", "--data", data.to_str().unwrap()]).output().unwrap();
    let verdict = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(0), "{verdict}");
    assert_eq!(verdict.contains("trimmed    the balances begin with the snapshot"), trims, "{verdict}");
}

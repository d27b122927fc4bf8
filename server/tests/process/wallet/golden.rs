//! Data directories of each format version, kept under `engine/tests/golden`: what a release wrote, later ones read.
//!
//! A directory is made once, when its format is new, by
//! `YUE_GOLDEN=NAME cargo test -p yue-server --test process -- --ignored process_golden_make`, and never again. Beside it lies
//! what the server answered then. Nothing in it hangs on the day: no hold lives, and limits (which have windows) are left
//! out of what is compared.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use yue_engine::journal::{JournalOptions, rocks::JournalReader};

use super::shop::{
    PASSWORD, PAYERS_OPTIONS, assert_even, assert_verifies, expect, notify, open_merchant, open_payer,
    recharge,
};
use crate::{client::Client, reindex::until_trimmed, server::Server};

/// Each directory, with the options that it was written with.
const GOLDEN: [(&str, &[&str]); 2] = [
    ("1-whole", &["--segment-records", "48"]),
    ("1-trimmed", &["--segment-records", "24", "--journal-retention", "16"]),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/golden").join(name)
}

fn id(number: u64) -> String {
    format!("0197a0b0-0000-7000-8000-{number:012}")
}

fn operation(number: u64, operation: &Value) -> Value {
    json!({"id": id(number), "operations": [operation], "code": "golden", "reference": format!("r{number}")})
}

/// Ledger transactions with the statuses that they get: each kind of operation, and a refusal.
fn transactions() -> Vec<(Value, u16)> {
    let transfer = |debit: &str, credit: &str, amount: &str| json!({"type": "transfer", "debit": debit, "credit": credit, "amount": amount});
    let hold = |number: u64, expires_in: u64| json!({"type": "hold", "id": id(number), "debit": "a:1", "credit": "b:1", "amount": "3.00", "expires_in": expires_in});
    let mut all = vec![
        (operation(1, &transfer("world", "a:1", "1000.00")), 201),
        (operation(2, &hold(100, 900)), 201),
        (operation(3, &json!({"type": "capture", "hold": id(100), "amount": "1.20"})), 201),
        (operation(4, &hold(101, 900)), 201),
        (operation(5, &json!({"type": "release", "hold": id(101)})), 201),
        (operation(6, &hold(102, 1)), 201),
        (operation(7, &transfer("a:1", "b:1", "5.00")), 201),
        (
            operation(8, &json!({"type": "reverse", "transaction": id(7), "operation": 0, "amount": "2.00"})),
            201,
        ),
        (operation(9, &transfer("a:1", "b:1", "99999.00")), 422),
    ];
    all.extend((10..70).map(|number| (operation(number, &transfer("a:1", "b:1", "0.01")), 201)));
    all
}

/// Verbs of the wallet with their paths.
fn verbs() -> Vec<(String, Value)> {
    let item = json!({"name": "tea", "kind": "goods", "category": "food", "amount": "12.00"});
    let payment = |number: u64, item: &Value| json!({"id": id(number), "user": "alice", "merchant": "shop", "items": [item], "auth": {"type": "small"}});
    let mut combined =
        payment(202, &json!({"name": "tv", "kind": "goods", "category": "home", "amount": "900.00"}));
    combined["combine_with"] = "wechat".into();
    vec![
        ("/v1/payments".into(), payment(201, &item)),
        (
            format!("/v1/payments/{}/refunds", id(201)),
            json!({"id": id(203), "amount": "4.00", "reason": "late"}),
        ),
        (
            "/v1/wallets/alice/transfers".into(),
            json!({"id": id(204), "to": "bob", "amount": "7.00", "auth": {"type": "small"}}),
        ),
        ("/v1/payments".into(), combined),
        (
            "/v1/recharges".into(),
            json!({"id": id(205), "user": "bob", "channel": "alipay", "amount": "3.00"}),
        ),
    ]
}

/// The channel's word for its part of a combined payment: what the balance of 85 yuan does not cover.
fn word() -> Value {
    json!({"notification": "n1", "order": id(202), "result": "paid", "amount": "815.00", "reference": "w1",
        "paid_at": "2026-06-18T00:00:00+08:00"})
}

const READS: [&str; 13] = [
    "/v1/accounts?limit=1000",
    "/v1/accounts/a:1/history?limit=1000",
    "/v1/accounts/customers:alice/history?limit=1000",
    "/v1/accounts/a:1/balance?position=20",
    "/v1/transactions?",
    "/v1/holds?",
    "/v1/wallets/alice",
    "/v1/wallets/bob",
    "/v1/payments?",
    "/v1/recharges?",
    "/v1/promotions/half",
    "/v1/trial-balance",
    "/readyz",
];

/// What is read of a directory: paths that end in `?` stand for each id.
fn paths() -> Vec<String> {
    let ids = |path: &str, numbers: &[u64]| -> Vec<String> {
        numbers.iter().map(|number| format!("{path}/{}", id(*number))).collect()
    };
    let numbers: Vec<u64> = (1..70).collect();
    let of = |path: &&str| match path.strip_suffix('?') {
        Some(path @ "/v1/transactions") => ids(path, &numbers),
        Some(path @ "/v1/holds") => ids(path, &[100, 101, 102]),
        Some(path @ "/v1/payments") => ids(path, &[201, 202]),
        Some(path) => ids(path, &[205]),
        None => vec![(*path).to_owned()],
    };
    READS.iter().flat_map(of).collect()
}

/// All answers, without what hangs on the day.
fn answers(client: &mut Client) -> Value {
    let read = |path: String| {
        let mut body = expect(&[200], || client.get(&path));
        drop_limits(&mut body);
        // A start on a journal that is trimmed may write a snapshot.
        if let Some(fields) = body.as_object_mut().filter(|_| path == "/v1/trial-balance") {
            fields.retain(|name, _| !["position", "at"].contains(&name.as_str()));
        }
        (path, body)
    };
    Value::Object(paths().into_iter().map(read).collect())
}

fn drop_limits(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("limits");
            fields.values_mut().for_each(drop_limits);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_limits),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

fn stop(server: Server) {
    server.terminate();
    assert!(server.wait().success());
}

#[test]
fn process_golden_directories_are_read_as_they_were_written() {
    for (name, options) in GOLDEN {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        copy(&golden(name).join("data"), &data);
        assert_verifies(&data);
        let reader = JournalReader::open(&data, &JournalOptions::default()).unwrap();
        assert_eq!(reader.base().is_some(), name.ends_with("trimmed"), "{name}");
        drop(reader);
        let written: Value =
            serde_json::from_slice(&fs::read(golden(name).join("answers.json")).unwrap()).unwrap();
        let server = Server::start(&data, &[options, &PAYERS_OPTIONS].concat());
        let client = &mut server.client();
        assert_eq!(answers(client), written, "{name}");
        // Each id has its first outcome.
        for (body, status) in transactions() {
            let again = client.post("/v1/transactions", &body).unwrap();
            assert_eq!(
                (again.status, again.replayed),
                (if status == 201 { 200 } else { 422 }, true),
                "{name}: {body}"
            );
        }
        for (path, body) in verbs() {
            let again = client.post(&path, &body).unwrap();
            assert_eq!((again.status, again.replayed), (200, true), "{name}: {path} {body}");
        }
        assert_eq!(answers(client), written, "{name}: nothing took effect again");
        // It goes on: the password is known, money moves.
        let token = json!({"password": PASSWORD, "max_amount": "1.00", "expires_in": 60});
        expect(&[201], || client.post("/v1/wallets/alice/payment-tokens", &token));
        let more =
            operation(900, &json!({"type": "transfer", "debit": "a:1", "credit": "b:1", "amount": "0.01"}));
        expect(&[201], || client.post("/v1/transactions", &more));
        assert_even(client);
        stop(server);
        assert_verifies(&data);
    }
}

/// Not a test: makes the directory that `YUE_GOLDEN` names, unless it is there.
#[test]
#[ignore = "makes a golden directory of a new format"]
fn process_golden_make() {
    let Ok(wanted) = std::env::var("YUE_GOLDEN") else { return };
    let (name, options) =
        GOLDEN.into_iter().find(|(name, _)| *name == wanted).expect("a directory of that name");
    assert!(!golden(name).exists(), "{name} is there, and stays as it is");
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, &[options, &PAYERS_OPTIONS].concat());
    fill(&mut server.client());
    if name.ends_with("trimmed") {
        let client = &mut server.client();
        let transfer = json!({"type": "transfer", "debit": "world", "credit": "a:1", "amount": "0.01"});
        until_trimmed(&data, |number| {
            drop(expect(&[201], || client.post("/v1/transactions", &operation(1_000 + number, &transfer))))
        });
    }
    let written = answers(&mut server.client());
    stop(server);
    assert_verifies(&data);
    copy(&data, &golden(name).join("data"));
    shrink(&golden(name).join("data"));
    fs::write(golden(name).join("answers.json"), serde_json::to_vec(&written).unwrap()).unwrap();
}

fn fill(client: &mut Client) {
    for body in [
        json!({"address": "world", "asset": "CNY", "normal": "debit", "floor": null}),
        json!({"address": "a:1", "asset": "CNY", "metadata": {"made": "by hand"}, "ceiling": "100000.00"}),
        json!({"address": "b:1", "asset": "CNY", "limits": [{"window": "day", "amount": "5000.00"}]}),
    ] {
        expect(&[201], || client.post("/v1/accounts", &body));
    }
    for (body, status) in transactions() {
        expect(&[status], || client.post("/v1/transactions", &body));
    }
    expect(&[200], || client.send("PATCH", "/v1/accounts/a:1", "{\"floor\": \"-5.00\"}"));
    while expect(&[200], || client.get(&format!("/v1/holds/{}", id(102))))["state"] != "expired" {
        thread::sleep(Duration::from_millis(50));
    }
    open_payer(client, "alice");
    open_payer(client, "bob");
    open_merchant(client, "shop");
    recharge(client, "alice", "wechat", 10_000);
    let half = json!({"id": "half", "name": "half", "kind": "payment_discount", "rule": {"amount_off": "1.00"},
        "budget": "50.00", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z"});
    expect(&[201], || client.post("/v1/promotions", &half));
    for (path, body) in verbs() {
        expect(&[201], || client.post(&path, &body));
        if body["combine_with"].is_string() {
            let said = expect(&[200], || notify(client, "wechat", &word().to_string()));
            assert_eq!(said["effect"], "settled", "{said}");
        }
    }
}

/// Leaves out what RocksDB writes for people.
fn shrink(data: &Path) {
    for folder in ["journal", "index"] {
        for entry in fs::read_dir(data.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("LOG") || name.starts_with("OPTIONS-") || name == "LOCK" {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

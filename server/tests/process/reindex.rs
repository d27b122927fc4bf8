//! An index that the disk has damaged: found by `yue verify`, built anew by `yue reindex`, and as it was.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use yue_engine::journal::{JournalOptions, rocks::JournalReader};

use crate::server::{PATIENCE, Server, yue};

const PAYMENTS: u64 = 150;

fn id(number: u64) -> String {
    format!("0197a0b0-0000-7000-8000-{number:012}")
}

fn payment(number: u64) -> Value {
    // Each tenth is refused.
    let amount = if number.is_multiple_of(10) { "5000.00" } else { "0.25" };
    let transfer = json!({"type": "transfer", "debit": "a:1", "credit": "b:1", "amount": amount});
    json!({"id": id(number), "operations": [transfer], "reference": format!("order {number}")})
}

/// Accounts, payments and refusals, in several segments of the index.
fn fill(data: &Path) {
    let server = Server::start(data, &["--segment-records", "32"]);
    let mut client = server.client();
    for body in [
        json!({"address": "world", "asset": "CNY", "normal": "debit", "floor": null}),
        json!({"address": "a:1", "asset": "CNY"}),
        json!({"address": "b:1", "asset": "CNY"}),
    ] {
        assert_eq!(client.post("/v1/accounts", &body).unwrap().status, 201);
    }
    let funds = json!({"type": "transfer", "debit": "world", "credit": "a:1", "amount": "1000.00"});
    let funded = client.post("/v1/transactions", &json!({"id": id(0), "operations": [funds]})).unwrap();
    assert_eq!(funded.status, 201);
    for number in 1..=PAYMENTS {
        let status = if number.is_multiple_of(10) { 422 } else { 201 };
        assert_eq!(client.post("/v1/transactions", &payment(number)).unwrap().status, status);
    }
    server.terminate();
    assert!(server.wait().success());
}

/// All that is told of the past, and each payment sent again.
fn outcomes(data: &Path) -> Vec<Value> {
    let server = Server::start(data, &[]);
    let mut client = server.client();
    let mut found = Vec::new();
    for path in ["/v1/accounts", "/v1/accounts/a:1/history?limit=1000", "/v1/trial-balance"] {
        found.push(client.get(path).unwrap().body);
    }
    for number in 1..=PAYMENTS {
        found.push(client.get(&format!("/v1/transactions/{}", id(number))).unwrap().body);
        let again = client.post("/v1/transactions", &payment(number)).unwrap();
        found.push(json!([again.status, again.body]));
    }
    server.terminate();
    assert!(server.wait().success());
    found
}

/// Runs `yue VERB` on a directory: whether it ended well, and all that it said.
fn run(verb: &str, data: &Path) -> (bool, String) {
    let output = yue(&[verb, "--data", data.to_str().unwrap()]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[track_caller]
fn check(verb: &str, data: &Path, well: bool, words: &[&str]) {
    let (ended_well, text) = run(verb, data);
    assert_eq!(ended_well, well, "{verb}: {text}");
    for word in words {
        assert!(text.contains(word), "{verb} does not say {word:?}: {text}");
    }
}

fn tables(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("index")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "sst")).collect()
}

fn manifest(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data.join("index")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("MANIFEST-")).max().unwrap()
}

/// What it is, and how it is done.
type Damage = (&'static str, fn(&Path));

fn flip(path: &Path, place: usize) {
    let mut bytes = fs::read(path).unwrap();
    let place = place % bytes.len();
    bytes[place] ^= 1 << (place % 8);
    fs::write(path, bytes).unwrap();
}

/// Goes on until the journal has lost its beginning.
pub(crate) fn until_trimmed(data: &Path, mut go_on: impl FnMut(u64)) {
    let begins = |reader: JournalReader| reader.base().is_some();
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    // The files may change while they are opened.
    while !JournalReader::open(data, &JournalOptions::default()).is_ok_and(begins) {
        assert!(Instant::now() < deadline, "not trimmed after {PATIENCE:?}");
        (0..64).for_each(|_| {
            go_on(number);
            number += 1;
        });
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn process_a_damaged_index_is_found_and_built_anew() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    fill(&data);
    let sound = outcomes(&data);
    check("verify", &data, true, &["SOUND"]);

    // Damage of each kind: in all blocks, in what says which files there are, of everything.
    let damages: [Damage; 4] = [
        ("flips near the tables' beginnings", |data| tables(data).iter().for_each(|path| flip(path, 20))),
        ("flips at the tables' ends", |data| {
            tables(data)
                .iter()
                .for_each(|path| flip(path, usize::try_from(fs::metadata(path).unwrap().len()).unwrap() - 9));
        }),
        ("a manifest that is cut", |data| {
            let path = manifest(data);
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("a table that is missing", |data| fs::remove_file(&tables(data)[0]).unwrap()),
    ];
    for (name, damage) in damages {
        damage(&data);
        println!("{name}");
        check("verify", &data, false, &["NOT SOUND", "yue reindex"]);
        check("reindex", &data, true, &["built anew", "journal    up to record"]);
        check("verify", &data, true, &["SOUND"]);
        assert_eq!(outcomes(&data), sound, "{name}");
        let left = ["index.new", "index.old"].map(|name| data.join(name).exists());
        assert_eq!(left, [false, false], "{name}");
    }
}

#[test]
fn process_reindex_refuses_what_it_can_not_do() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let missing = directory.path().join("missing");
    check("reindex", &missing, false, &["has no journal"]);
    assert!(!missing.exists(), "nothing was made");

    let server = Server::start(&data, &["--segment-records", "64", "--journal-retention", "10"]);
    check("reindex", &data, false, &["in use"]);
    let mut client = server.client();
    for body in [
        json!({"address": "world", "asset": "CNY", "normal": "debit", "floor": null}),
        json!({"address": "a:1", "asset": "CNY"}),
        json!({"address": "b:1", "asset": "CNY"}),
    ] {
        assert_eq!(client.post("/v1/accounts", &body).unwrap().status, 201);
    }
    until_trimmed(&data, |number| {
        let transfer = json!({"type": "transfer", "debit": "world", "credit": "a:1", "amount": "1.00"});
        let body = json!({"id": id(number), "operations": [transfer]});
        assert_eq!(client.post("/v1/transactions", &body).unwrap().status, 201);
    });
    server.terminate();
    assert!(server.wait().success());
    check("verify", &data, true, &["trimmed", "SOUND"]);
    check("reindex", &data, false, &["in the index alone", "from a copy"]);
    check("verify", &data, true, &["SOUND"]);

    // A journal that lost something is none to build from; the index stays.
    let other = directory.path().join("other");
    fill(&other);
    let index = tables(&other);
    let witness = other.join("witness");
    let bytes = fs::read(&witness).unwrap();
    fs::write(&witness, vec![7; bytes.len()]).unwrap();
    check("reindex", &other, false, &["witness"]);
    assert_eq!(tables(&other), index);
    assert!(!other.join("index.new").exists());
    fs::write(&witness, bytes).unwrap();
    check("verify", &other, true, &["SOUND"]);
}

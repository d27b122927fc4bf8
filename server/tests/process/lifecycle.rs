//! Start, stop, and what must not start.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    client::read_answer,
    server::{Server, yue},
};

fn data(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("data")
}

/// A start that must fail, with a message.
fn check_refused(arguments: &[&str], message: &str) {
    let output = yue(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?} bound a port");
    assert!(stderr.contains(message), "{arguments:?}: {stderr}");
}

#[test]
fn process_second_one_on_a_directory_ends_before_it_binds() {
    let directory = TempDir::new().unwrap();
    let data = data(&directory);
    let first = Server::start(&data, &[]);
    let text = data.to_str().unwrap();
    check_refused(&["serve", "--data", text, "--listen", "127.0.0.1:0"], "in use");
    let account = json!({"address": "a:1", "asset": "CNY"});
    assert_eq!(first.client().post("/v1/accounts", &account).unwrap().status, 201);
    first.kill();
    // The lock ends with its process, however that ends.
    let second = Server::start(&data, &[]);
    assert_eq!(second.client().get("/v1/accounts/a:1").unwrap().status, 200);
}

#[test]
fn process_bad_configurations_do_not_start() {
    let directory = TempDir::new().unwrap();
    let data = data(&directory);
    let text = data.to_str().unwrap();
    check_refused(&["serve"], "no data directory");
    check_refused(&["serve", "--data", text, "--listen", "0.0.0.0:0"], "no authentication");
    check_refused(&["serve", "--data", text, "--shards", "0"], "shards");
    check_refused(&["serve", "--data", text, "--config", "/nonexistent"], "/nonexistent");
    check_refused(&["serve", "--data", text, "--log", "a=b=c"], "");
    assert!(!data.exists(), "a refused configuration touches nothing");
    let busy = Server::start(&data, &[]);
    let other = directory.path().join("other");
    check_refused(
        &["serve", "--data", other.to_str().unwrap(), "--listen", &busy.address().to_string()],
        "can't listen",
    );
    let usage = yue(&["serve", "--no-such-option"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn process_damaged_journal_is_refused_before_the_port_is_bound() {
    let directory = TempDir::new().unwrap();
    let data = data(&directory);
    let server = Server::start(&data, &[]);
    let account = json!({"address": "a:1", "asset": "CNY"});
    assert_eq!(server.client().post("/v1/accounts", &account).unwrap().status, 201);
    server.kill();
    // The acknowledged record is lost, and with it the whole journal.
    let journal = data.join("journal");
    assert!(journal.is_dir());
    fs::remove_dir_all(&journal).unwrap();
    let before = listing(&data);
    let text = data.to_str().unwrap();
    check_refused(&["serve", "--data", text, "--listen", "127.0.0.1:0"], "journal");
    assert_eq!(listing(&data), before, "a refused start writes nothing");
}

/// Each file below a directory, with its bytes.
fn listing(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.insert(path.clone(), Vec::new());
            files.extend(listing(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn process_configuration_comes_from_flags_environment_and_file() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("yue.toml");
    fs::write(&file, "data = '/from/file'\nshards = 5\nconnections_max = 50\nassets = ['USD=2']\n").unwrap();
    let mut command = yue(&["config", "--config", file.to_str().unwrap(), "--shards", "7"]);
    let output = command.env("YUE_SHARDS", "6").env("YUE_CONNECTIONS_MAX", "60").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in ["shards = 7", "connections_max = 60", "data = \"/from/file\"", "assets = [\"USD=2\"]"] {
        assert!(printed.lines().any(|other| other == line), "{line} is missing in:\n{printed}");
    }
    let help = yue(&["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("--drain-timeout-ms") && help.contains("YUE_DRAIN_TIMEOUT_MS"), "{help}");
}

#[test]
fn process_sigterm_ends_what_is_in_flight_and_exits_with_0() {
    let directory = TempDir::new().unwrap();
    let data = data(&directory);
    let server = Server::start(&data, &[]);
    for body in [
        json!({"address": "world", "asset": "CNY", "normal": "debit", "floor": null}),
        json!({"address": "a:1", "asset": "CNY"}),
    ] {
        assert_eq!(server.client().post("/v1/accounts", &body).unwrap().status, 201);
    }
    // A request of which half is sent, an idle connection, and a stream of events.
    let connect = || TcpStream::connect(server.address()).unwrap();
    let body = json!({
        "id": "0197a0b0-0000-7000-8000-000000000001",
        "operations": [{"type": "transfer", "debit": "world", "credit": "a:1", "amount": "1.00"}]
    })
    .to_string();
    let mut half = connect();
    write!(half, "POST /v1/transactions HTTP/1.1\r\nHost: yue\r\nContent-Length: {}\r\n\r\n", body.len())
        .unwrap();
    half.write_all(&body.as_bytes()[..20]).unwrap();
    let mut idle = connect();
    let mut events = BufReader::new(connect());
    events.get_mut().write_all(b"GET /v1/events HTTP/1.1\r\nHost: yue\r\n\r\n").unwrap();
    let mut line = String::new();
    while !line.starts_with("event: ") {
        line.clear();
        events.read_line(&mut line).unwrap();
    }
    std::thread::sleep(Duration::from_millis(200));

    server.terminate();
    let stopped = Instant::now();
    let mut rest = String::new();
    events.read_to_string(&mut rest).unwrap();
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0, "an idle connection is closed");
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
    assert!(TcpStream::connect(server.address()).is_err(), "no new connection is taken");
    half.write_all(&body.as_bytes()[20..]).unwrap();
    let answer = read_answer(&mut BufReader::new(half)).unwrap();
    assert_eq!((answer.status, answer.closes), (201, true));
    assert_eq!(server.wait().code(), Some(0));

    let again = Server::start(&data, &[]);
    assert_eq!(again.client().get("/v1/accounts/a:1").unwrap().body["posted"], "1.00");
    again.terminate();
    assert_eq!(again.wait().code(), Some(0));
}

#[test]
fn process_sigterm_does_not_wait_for_ever() {
    let directory = TempDir::new().unwrap();
    let server = Server::start(&data(&directory), &["--drain-timeout-ms", "500"]);
    let mut half = TcpStream::connect(server.address()).unwrap();
    half.write_all(b"POST /v1/transactions HTTP/1.1\r\nHost: yue\r\nContent-Length: 100\r\n\r\n{").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    server.terminate();
    let stopped = Instant::now();
    assert_eq!(server.wait().code(), Some(0));
    let elapsed = stopped.elapsed();
    assert!(elapsed >= Duration::from_millis(450) && elapsed < Duration::from_secs(5), "{elapsed:?}");
}

//! A file system that fills: writes are refused before it is full, reads go on, and so does the next start.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::Answer,
    server::{PATIENCE, Server, yue},
};

/// A file system of its own, in memory.
pub(crate) struct Mount {
    pub(crate) at: PathBuf,
    _directory: TempDir,
}

impl Mount {
    /// `None` where mounting is not permitted.
    pub(crate) fn new(mib: u32) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let at = directory.path().join("data");
        std::fs::create_dir(&at).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"], &at);
        mounted.then_some(Self { at, _directory: directory })
    }

    fn resize(&self, mib: u32) {
        assert!(mount(&["-o", &format!("remount,size={mib}m")], &self.at), "a mount can be changed");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a server that a failed test leaves behind is killed later.
        let _left_behind = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    Command::new("mount").args(arguments).arg(at).output().is_ok_and(|output| output.status.success())
}

/// Transactions with as much metadata as there may be.
fn batch(first: u64, count: u64) -> Value {
    let metadata: serde_json::Map<String, Value> =
        (0..16).map(|key| (key.to_string(), json!("x".repeat(256)))).collect();
    let transaction = |number: u64| {
        json!({
            "id": format!("0197a0b0-0000-7000-8000-{number:012x}"), "metadata": metadata,
            "operations": [{"type": "transfer", "debit": "world", "credit": "a:1", "amount": "1.00"}]
        })
    };
    json!({"transactions": (first..first + count).map(transaction).collect::<Vec<_>>()})
}

fn is_refused(answer: &Answer) -> bool {
    let storage_low = answer.status == 503 && answer.body["code"] == "storage_low";
    assert!(storage_low || answer.status == 200, "{answer:?}");
    let mut results = answer.body["results"].as_array().into_iter().flatten();
    assert!(results.all(|result| result["status"] == "posted"), "{answer:?}");
    storage_low
}

/// Four clients write without a pause, until each is refused for a while.
fn fill(server: &Server, round: u64) {
    std::thread::scope(|scope| {
        for client in 0..4_u64 {
            scope.spawn(move || {
                let mut connection = server.client();
                let (mut number, mut refused) = ((round * 4 + client) << 32, 0);
                while refused < 20 {
                    let answer = connection.post("/v1/transactions/batch", &batch(number, 50)).unwrap();
                    number += 50;
                    if is_refused(&answer) {
                        refused += 1;
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            });
        }
    });
}

fn posted(server: &Server) -> Value {
    let answer = server.client().get("/v1/accounts/a:1").unwrap();
    assert_eq!(answer.status, 200);
    answer.body["posted"].clone()
}

fn check_fills(mib: u32) {
    let Some(mount) = Mount::new(mib) else {
        println!("skipped: this process may not mount a file system");
        return;
    };
    let server = Server::start(&mount.at, &["--log", "warn"]);
    for body in [
        json!({"address": "world", "asset": "CNY", "normal": "debit", "floor": null}),
        json!({"address": "a:1", "asset": "CNY"}),
    ] {
        assert_eq!(server.client().post("/v1/accounts", &body).unwrap().status, 201);
    }
    fill(&server, 0);
    let full = posted(&server);
    assert_eq!(server.client().get("/v1/trial-balance").unwrap().status, 200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));

    // A start needs no more room than there is; again and again, also after an end that is none in good order.
    for _ in 0..3 {
        let server = Server::start(&mount.at, &["--log", "warn"]);
        assert_eq!(posted(&server), full);
        server.kill();
    }
    let server = Server::start(&mount.at, &["--log", "warn"]);
    fill(&server, 1);

    // With more room it takes writes again.
    mount.resize(mib * 2);
    let deadline = Instant::now() + PATIENCE;
    let mut number = 1 << 44;
    while is_refused(&server.client().post("/v1/transactions/batch", &batch(number, 1)).unwrap()) {
        assert!(Instant::now() < deadline, "still refused with more room");
        std::thread::sleep(Duration::from_millis(100));
        number += 1;
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let verified = yue(&["verify", "--data", mount.at.to_str().unwrap()]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn process_a_file_system_of_64_mib_is_not_filled() {
    check_fills(64);
}

#[test]
fn process_a_file_system_of_256_mib_is_not_filled() {
    check_fills(256);
}

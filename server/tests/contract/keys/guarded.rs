//! A ledger behind a gate, and those who have keys for it.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request},
};
use clap::Parser as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use yue_server::{
    app::guarded_app,
    auth::{Gate, Peer, commands},
    cli::{Cli, Command},
    config::HttpLimits,
};

use crate::ledger::{Answer, Ledger};

/// A ledger with keys. The ledger's own calls are without, as on a server that asks for none.
pub(super) struct Guarded {
    pub(super) ledger: Ledger,
    pub(super) gate: Gate,
    pub(super) folder: TempDir,
    pub(super) closed: Router,
}

/// One who has a key.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) bearer: String,
    pub(super) signing: Vec<u8>,
}

/// A request that is still to be signed.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) method: Method,
    pub(super) uri: String,
    pub(super) body: String,
    pub(super) peer: Peer,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// On this machine.
pub(super) fn loopback() -> Peer {
    Peer { loopback: true, ..Peer::default() }
}

pub(super) fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// A nonce that was not used before.
pub(super) fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("nonce-{:010}", NEXT.fetch_add(1, Relaxed))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Draft {
    pub(super) fn new(method: &str, uri: &str, body: &str) -> Self {
        let (uri, body) = (uri.to_owned(), body.to_owned());
        Self { method: method.parse().unwrap(), uri, body, peer: loopback(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn bearer(self, key: &Key) -> Self {
        let value = format!("Bearer {}", key.bearer);
        self.with("authorization", value)
    }

    /// A signature as its owner makes it. Its time is after the gate's start, which was in this second perhaps.
    pub(super) fn signature(&self, key: &Key, purpose: &str) -> String {
        self.signature_at(key, purpose, now_s() + 2, &nonce())
    }

    pub(super) fn signature_at(&self, key: &Key, purpose: &str, ts: i64, nonce: &str) -> String {
        let body = hex(&Sha256::digest(&self.body));
        let text = format!("{purpose}{}\n{}\n{ts}\n{nonce}\n{body}\n", self.method, self.uri);
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.signing).unwrap();
        mac.update(text.as_bytes());
        let sig = hex(&mac.finalize().into_bytes());
        format!("YUE-HMAC-SHA256 key_id=\"{}\",ts=\"{ts}\",nonce=\"{nonce}\",sig=\"{sig}\"", key.id)
    }

    pub(super) fn signed(self, key: &Key) -> Self {
        let signature = self.signature(key, "");
        self.with("authorization", signature)
    }

    pub(super) fn approved(self, key: &Key) -> Self {
        let signature = self.signature(key, "APPROVAL\n");
        self.with("yue-approval", signature)
    }

    pub(super) fn request(&self) -> Request<Body> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.uri);
        let typed = self.headers.iter().any(|(name, _)| *name == "content-type");
        if !self.body.is_empty() && !typed {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.extension(self.peer.clone()).body(Body::from(self.body.clone())).unwrap()
    }
}

impl Guarded {
    pub(super) async fn new() -> Self {
        Self::over(Ledger::with_accounts().await, 1_000)
    }

    pub(super) fn over(ledger: Ledger, nonces_max: usize) -> Self {
        Self::with_limits(ledger, nonces_max, HttpLimits::default())
    }

    pub(super) fn with_limits(ledger: Ledger, nonces_max: usize, limits: HttpLimits) -> Self {
        let folder = TempDir::new().unwrap();
        add(folder.path(), "nobody --scopes audit:read");
        let gate =
            Gate::open(&keys_file(folder.path()), Some(&folder.path().join("audit")), nonces_max).unwrap();
        let closed = guarded_app(ledger.wallet.clone(), limits, Some(gate.clone()));
        Self { ledger, gate, folder, closed }
    }

    /// A new key, of the words of `yue keys add`.
    pub(super) fn key(&self, words: &str) -> Key {
        let key = add(self.folder.path(), words);
        self.gate.reload();
        key
    }

    pub(super) async fn send(&self, draft: &Draft) -> Answer {
        let guarded = Ledger::call(&self.closed, draft.request());
        guarded.await
    }

    pub(super) async fn get(&self, key: &Key, uri: &str) -> Answer {
        self.send(&Draft::new("GET", uri, "").bearer(key)).await
    }

    pub(super) async fn post(&self, key: &Key, uri: &str, body: &Value) -> Answer {
        self.send(&Draft::new("POST", uri, &body.to_string()).bearer(key)).await
    }

    /// The audit trail, line by line.
    pub(super) fn trail(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("audit")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn keys_file(folder: &Path) -> PathBuf {
    folder.join("keys.toml")
}

/// `yue keys` with these words; what it prints.
pub(super) fn command(folder: &Path, words: &str) -> String {
    let file = keys_file(folder);
    let words = ["yue", "keys"].into_iter().chain(words.split(' ')).chain(["--keys", file.to_str().unwrap()]);
    let Command::Keys(arguments) = Cli::try_parse_from(words).unwrap().command else { panic!("keys") };
    commands::run(&arguments).unwrap()
}

fn add(folder: &Path, words: &str) -> Key {
    read(&command(folder, &format!("add {words}")))
}

/// The key that a command has printed.
pub(super) fn read(printed: &str) -> Key {
    let field = |name: &str| {
        let found = printed.lines().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    let signing = field("signing");
    let byte = |index: usize| u8::from_str_radix(&signing[index..index + 2], 16).unwrap();
    let signing = (0..signing.len()).step_by(2).map(byte).collect();
    Key { id: field("key"), bearer: field("bearer"), signing }
}

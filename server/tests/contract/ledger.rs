//! A ledger behind its routes, and the calls that tests make.

use std::sync::LazyLock;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, header},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;
use yue_engine::{
    config::Config,
    engine::Engine,
    model::{
        Address, Amount, Asset, Attachment, Metadata, Operation, OperationKind, RequestedAmount, Transaction,
        TransactionId,
    },
    wallet::{Channel, Secrets, Settings, Wallet},
};
use yue_server::{app::app, config::HttpLimits, openapi::document_json};

use crate::schema;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&document_json()).unwrap());

/// A ledger behind its routes.
pub(crate) struct Ledger {
    pub(crate) router: Router,
    pub(crate) engine: Engine,
    /// For what no route of this release brings about.
    pub(crate) wallet: Wallet,
    directory: TempDir,
}

/// The wallet's settings, but for passwords that are hashed cheaply.
pub(crate) fn settings() -> Settings {
    Settings { argon2_memory_kib: 64, argon2_passes: 1, ..Settings::default() }
}

/// The key of each channel but one.
fn channel_keys() -> Vec<(Channel, Vec<u8>)> {
    [Channel::Wechat, Channel::Alipay, Channel::BankCard]
        .map(|channel| (channel, channel_key(channel)))
        .into()
}

/// A channel's key.
pub(crate) fn channel_key(channel: Channel) -> Vec<u8> {
    format!("key of {}", channel.as_str()).into_bytes()
}

/// What a call was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self::with(|_| (), HttpLimits::default())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config), limits: HttpLimits) -> Self {
        Self::start(TempDir::new().unwrap(), change, settings(), limits)
    }

    /// A ledger whose wallet is set up otherwise.
    pub(crate) fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        Self::start(TempDir::new().unwrap(), |_| (), settings, HttpLimits::default())
    }

    /// Stops, and starts on the same directory.
    pub(crate) fn restart(self) -> Self {
        self.restart_after(std::time::Duration::ZERO)
    }

    /// Stops for a while, and starts on the same directory.
    pub(crate) fn restart_after(self, pause: std::time::Duration) -> Self {
        let Self { router, engine, wallet, directory } = self;
        drop((router, engine, wallet));
        std::thread::sleep(pause);
        Self::start(directory, |_| (), settings(), HttpLimits::default())
    }

    fn start(
        directory: TempDir,
        change: impl FnOnce(&mut Config),
        settings: Settings,
        limits: HttpLimits,
    ) -> Self {
        let mut config = Config::new(directory.path());
        config.shards = 3;
        config.index_cache_bytes = 8 << 20;
        config.assets = vec![Asset { code: "USD".into(), scale: 2 }];
        change(&mut config);
        let secrets = Secrets { pepper: [1; 32], token_key: [2; 32], channel_keys: channel_keys() };
        let engine = Engine::open(config).unwrap();
        let wallet = Wallet::new(engine.clone(), settings, secrets);
        Self { router: app(wallet.clone(), limits), engine, wallet, directory }
    }

    /// Gives a user's wallet money, as a product verb would.
    pub(crate) async fn fund(&self, user: &str, units: u64) {
        let bank = json!({"address": "channels:test", "asset": "CNY", "normal": "debit", "floor": null});
        assert!(self.post("/v1/accounts", &bank).await.status < 300);
        let [debit, credit] = ["channels:test".to_owned(), format!("customers:{user}")]
            .map(|name| Address::parse(&name).unwrap());
        let amount = RequestedAmount::from_units(Amount(units), 2);
        let (document, aliases, cells) = (Box::default(), Vec::new(), Vec::new());
        let transaction = Transaction {
            id: TransactionId(rand::random()),
            operations: smallvec::smallvec![Operation {
                kind: OperationKind::Transfer { debit, credit, amount },
                code: None
            }],
            code: None,
            reference: None,
            metadata: Metadata::default(),
            attachment: Some(Box::new(Attachment { document, aliases, cells })),
        };
        self.engine.submit(transaction).await.unwrap().verdict.unwrap();
    }

    /// A ledger with the accounts that most tests need.
    pub(crate) async fn with_accounts() -> Self {
        let ledger = Self::new();
        for account in [
            json!({"address": "channels:wechat", "asset": "CNY", "normal": "debit", "floor": null}),
            json!({"address": "customers:1", "asset": "CNY"}),
            json!({"address": "customers:2", "asset": "CNY"}),
            json!({"address": "customers:frozen", "asset": "CNY"}),
            json!({"address": "customers:closed", "asset": "CNY"}),
            json!({"address": "customers:limited", "asset": "CNY", "limits": [
                {"window": "day", "amount": "5.00"}, {"window": "lifetime", "code": "rare", "count": 1}
            ]}),
            json!({"address": "merchants:7", "asset": "CNY"}),
            json!({"address": "merchants:capped", "asset": "CNY", "ceiling": "10.00"}),
            json!({"address": "carbon:pool", "asset": "CARBON", "normal": "debit", "floor": null}),
            json!({"address": "customers:1:carbon", "asset": "CARBON"}),
        ] {
            ledger.post("/v1/accounts", &account).await.expect(201);
        }
        for (number, account) in (1..).zip(["customers:1", "customers:frozen", "customers:limited"]) {
            let fund = transfer("channels:wechat", account, "100.00");
            ledger.submit(&format!("0f{number}"), &[fund]).await.expect(201);
        }
        for (account, status) in [("customers:frozen", "frozen"), ("customers:closed", "closed")] {
            ledger.patch(&format!("/v1/accounts/{account}"), &json!({"status": status})).await.expect(200);
        }
        ledger
    }

    /// Sends a request and checks the answer against the OpenAPI document.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Self::call(&self.router, request).await
    }

    /// The same, to other routes.
    pub(crate) async fn call(router: &Router, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.into()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body, text };
        answer.check_problem();
        schema::check(&DOCUMENT, &method, &path, &answer);
        answer
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, uri: &str, body: &Value) -> Answer {
        self.send_json(Method::POST, uri, body.to_string()).await
    }

    pub(crate) async fn patch(&self, uri: &str, body: &Value) -> Answer {
        self.send_json(Method::PATCH, uri, body.to_string()).await
    }

    pub(crate) async fn put(&self, uri: &str, body: &Value) -> Answer {
        self.send_json(Method::PUT, uri, body.to_string()).await
    }

    pub(crate) async fn delete(&self, uri: &str) -> Answer {
        self.send(Request::delete(uri).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send_json(&self, method: Method, uri: &str, body: impl Into<Body>) -> Answer {
        let request =
            Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Submits operations under an id (its last hexadecimal digits).
    pub(crate) async fn submit(&self, digits: &str, operations: &[Value]) -> Answer {
        self.post("/v1/transactions", &json!({"id": id(digits), "operations": operations})).await
    }

    /// The journal's last position.
    pub(crate) async fn position(&self) -> u64 {
        let trial = self.get("/v1/trial-balance").await.expect(200).body;
        for asset in trial["assets"].as_array().unwrap() {
            assert_eq!(asset["balanced"], true, "{trial}");
        }
        trial["position"].as_u64().unwrap()
    }

    /// An account's posted and held amounts.
    pub(crate) async fn balance(&self, address: &str) -> (String, String) {
        let account = self.get(&format!("/v1/accounts/{address}")).await.expect(200).body;
        let text = |field: &str| account[field].as_str().unwrap().to_owned();
        (text("posted"), text("held"))
    }
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The answer, if it is this problem.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        self
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn field(&self) -> &str {
        self.body["field"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// Each error of each test is well-formed problem details.
    fn check_problem(&self) {
        let content_type = self.header("content-type");
        // `/readyz` says 503 in its own words.
        if self.status < 400 || self.body.get("ready").is_some() {
            assert_ne!(content_type, Some("application/problem+json"), "{}", self.text);
            return;
        }
        assert_eq!(content_type, Some("application/problem+json"), "{}", self.text);
        let text = |field: &str| self.body[field].as_str().unwrap_or_default();
        assert_eq!(self.body["status"], self.status, "{}", self.text);
        assert_eq!(text("type"), format!("urn:yue:problem:{}", text("code")), "{}", self.text);
        assert!(!text("title").is_empty() && !text("detail").is_empty(), "{}", self.text);
        assert_eq!(text("outcome"), "not_applied", "{}", self.text);
        let again = matches!(self.status, 408 | 429 | 503);
        let waits = matches!(self.status, 423 | 429 | 503);
        assert_eq!(self.body["retryable"], again, "{}", self.text);
        if let Some(field) = self.body.get("field") {
            assert!(field.as_str().unwrap().starts_with('/'), "{}", self.text);
        }
        assert_eq!(self.header("retry-after").is_some(), waits, "{}", self.text);
    }
}

/// A UUID by its last digits.
pub(crate) fn id(digits: &str) -> String {
    format!("0197a0b0-0000-7000-8000-{digits:0>12}")
}

pub(crate) fn transfer(debit: &str, credit: &str, amount: &str) -> Value {
    json!({"type": "transfer", "debit": debit, "credit": credit, "amount": amount})
}

pub(crate) fn hold(digits: &str, debit: &str, credit: &str, amount: &str) -> Value {
    json!({"type": "hold", "id": id(digits), "debit": debit, "credit": credit, "amount": amount, "expires_in": 900})
}

pub(crate) fn capture(digits: &str, amount: Option<&str>) -> Value {
    json!({"type": "capture", "hold": id(digits), "amount": amount})
}

pub(crate) fn release(digits: &str) -> Value {
    json!({"type": "release", "hold": id(digits)})
}

pub(crate) fn reverse(digits: &str, operation: u8, amount: Option<&str>) -> Value {
    json!({"type": "reverse", "transaction": id(digits), "operation": operation, "amount": amount})
}

//! Who is let in: refusals before the body, connections that outlive them, deadlines.

use std::{io, net::SocketAddr, time::Duration};

use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tower::ServiceExt as _;
use yue_server::{app::App, config::HttpLimits, listener::Listener, openapi::document_json};

use crate::ledger::{Answer, Ledger, id, transfer};

const MALFORMED: [&str; 8] = ["", "x", "-1", "+1", "1.5", "1 ", "3600001", "99999999999999999999"];

impl Ledger {
    async fn post_within(&self, uri: &str, ms: &str, body: &Value) -> Answer {
        self.send(within("POST", uri, ms, body)).await
    }
}

fn within(method: &str, uri: &str, ms: &str, body: &Value) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri).header("yue-deadline-ms", ms);
    let request = request.header("content-type", "application/json");
    request.body(Body::from(if body.is_null() { String::new() } else { body.to_string() })).unwrap()
}

#[tokio::test]
async fn a_deadline_that_has_passed_refuses_and_nothing_happened() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    let body = json!({"id": id("d1"), "operations": [transfer("customers:1", "merchants:7", "1.00")]});
    let late = ledger.post_within("/v1/transactions", "0", &body).await;
    assert_eq!(
        (&late.body["outcome"], &late.body["retryable"]),
        (&json!("not_applied"), &json!(true)),
        "{late:?}"
    );
    late.expect_problem(503, "deadline_exceeded");
    ledger.get(&format!("/v1/transactions/{}", id("d1"))).await.expect_problem(404, "not_found");
    assert_eq!(ledger.position().await, position);
    // The id is free; in time it is posted, and told again.
    ledger.post_within("/v1/transactions", "3600000", &body).await.expect(201);
    ledger.post_within("/v1/transactions", "60000", &body).await.expect(200);
}

/// A user with a device, and a payment of hers that waits for its channel: all that the commands below name. The device.
async fn shop(ledger: &Ledger) -> String {
    ledger.put("/v1/merchants/jd-self", &json!({"enabled": true, "kind": "self_operated"})).await.expect(200);
    ledger.post("/v1/wallets", &json!({"user": "alice", "class": "III"})).await.expect(201);
    ledger.put("/v1/wallets/alice/password", &json!({"password": "283904"})).await.expect(204);
    ledger.fund("alice", 1_00).await;
    let device = json!({
        "password": "283904", "name": "phone", "algorithm": "ed25519",
        "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    });
    let device = ledger.post("/v1/wallets/alice/devices", &device).await.expect(201);
    let token = json!({"password": "283904", "max_amount": "9.00", "expires_in": 300});
    let token = ledger.post("/v1/wallets/alice/payment-tokens", &token).await.expect(201);
    let payment = json!({
        "id": id("d2"), "user": "alice", "merchant": "jd-self", "combine_with": "wechat",
        "items": [{"name": "Kettle", "kind": "goods", "category": "home", "amount": "9.00"}],
        "auth": {"type": "token", "token": token.body["token"]},
    });
    let payment = ledger.post("/v1/payments", &payment).await.expect(201);
    assert_eq!(payment.body["status"], "awaiting_channel");
    device.body["device"].as_str().unwrap().to_owned()
}

/// All commands of the document, so that none is forgotten: with its own example of a body, on things that are there. Those with
/// a body show the first look at the deadline, right behind it; the engine's tests show the others.
#[tokio::test]
async fn every_command_has_a_deadline_and_no_question_does() {
    let ledger = Ledger::with_accounts().await;
    let device = shop(&ledger).await;
    let position = ledger.position().await;
    let document: Value = serde_json::from_str(&document_json()).unwrap();
    let mut commands = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = ["post", "put", "patch", "delete"].into_iter();
        for (method, command) in methods.filter_map(|method| Some((method, item.get(method)?))) {
            let (payment, device) = (id("d2"), device.as_str());
            let uri = [
                ("{address}", "customers:1"),
                ("{channel}", "wechat"),
                ("{date}", "2020-01-01"),
                ("{device}", device),
                ("{id}", &payment),
                ("{merchant}", "jd-self"),
                ("{user}", "alice"),
            ];
            let uri = uri.iter().fold(path.clone(), |uri, (name, value)| uri.replace(name, value));
            let content = command["requestBody"]["content"].as_object().and_then(|it| it.iter().next());
            let (content_type, body) = match content {
                None => ("application/json", String::new()),
                Some((csv, content)) if csv == "text/csv" => {
                    (csv.as_str(), content["example"].as_str().unwrap().into())
                }
                Some((json, content)) => (json.as_str(), content["example"].to_string()),
            };
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&uri);
            let request = request.header("yue-deadline-ms", "0").header("yue-statement-date", "2020-01-01");
            let request = request.header("content-type", content_type).body(Body::from(body)).unwrap();
            let answer = ledger.send(request).await;
            let told = (answer.status, answer.code());
            assert_eq!(told, (503, "deadline_exceeded"), "{method} {uri} {}", answer.text);
            commands += 1;
        }
    }
    assert!(commands >= 24, "{commands} commands");
    assert_eq!(ledger.position().await, position);
    for uri in ["/healthz", "/v1/accounts/customers:1", "/v1/trial-balance"] {
        let request = Request::get(uri).header("yue-deadline-ms", "0");
        ledger.send(request.body(Body::empty()).unwrap()).await.expect(200);
    }
    // What the two without a body name was there.
    ledger.delete(&format!("/v1/wallets/alice/devices/{device}")).await.expect(204);
    ledger.post(&format!("/v1/payments/{}/cancel", id("d2")), &Value::Null).await.expect(200);
}

#[tokio::test]
async fn a_deadline_is_a_number_of_milliseconds() {
    let ledger = Ledger::with_accounts().await;
    let body = json!({"id": id("d3"), "operations": [transfer("customers:1", "merchants:7", "1.00")]});
    for ms in MALFORMED {
        ledger.post_within("/v1/transactions", ms, &body).await.expect_problem(400, "malformed");
    }
    ledger.post("/v1/transactions", &body).await.expect(201);
}

/// What comes while the ledger still recovers has its deadline from then on.
#[tokio::test]
async fn a_recovery_uses_up_a_deadline() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    let app = App::new(HttpLimits::default());
    let routes = yue_server::app::router(app.clone());
    let pay = |digits: &str, ms: &str| {
        let body = json!({"id": id(digits), "operations": [transfer("customers:1", "merchants:7", "1.00")]});
        tokio::spawn(routes.clone().oneshot(within("POST", "/v1/transactions", ms, &body)))
    };
    let (late, in_time) = (pay("d4", "0"), pay("d5", "3600000"));
    // They wait for the engine by now, or will see it at once: the answers are the same.
    sleep(Duration::from_millis(20)).await;
    app.ready(ledger.wallet.clone());
    assert_eq!(late.await.unwrap().unwrap().status(), 503);
    assert_eq!(in_time.await.unwrap().unwrap().status(), 201);
    ledger.get(&format!("/v1/transactions/{}", id("d4"))).await.expect(404);
    assert_ne!(ledger.position().await, position);
}

/// An engine that is always full, behind a port.
struct Full {
    ledger: Ledger,
    app: App,
    address: SocketAddr,
}

impl Full {
    async fn new(limits: HttpLimits) -> Self {
        let ledger = Ledger::with(|config| config.in_flight_commands_max = 0, limits);
        let app = App::new(limits);
        app.ready(ledger.wallet.clone());
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let address = listener.address();
        tokio::spawn(listener.serve(app.clone()));
        Self { ledger, app, address }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.app.stop();
        let _ = &self.ledger;
    }
}

/// One answer: its head, whole.
async fn answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap_or("0").parse().unwrap() {
                return Ok(text);
            }
        }
        let mut buffer = [0; 4096];
        match timeout(Duration::from_secs(10), stream.read(&mut buffer)).await?? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn head(length: usize, more: &str) -> String {
    format!("POST /v1/transactions HTTP/1.1\r\nhost: yue\r\ncontent-length: {length}\r\n{more}\r\n")
}

#[tokio::test]
async fn a_connection_outlives_its_refusals() {
    let full = Full::new(HttpLimits::default()).await;
    let mut stream = full.connect().await;
    for pause_ms in [0, 0, 20] {
        // With the body in one piece, and behind the head.
        stream.write_all(head(5, "").as_bytes()).await.unwrap();
        if pause_ms > 0 {
            sleep(Duration::from_millis(pause_ms)).await;
        }
        stream.write_all(b"{}   ").await.unwrap();
        let refused = answer(&mut stream).await.unwrap();
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        assert!(refused.contains("\r\nretry-after: ") && !refused.contains("connection: close"), "{refused}");
        assert!(refused.contains(r#""code":"overloaded""#) && refused.contains(r#""outcome":"not_applied""#));
    }
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: yue\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 "), "health is never refused");
}

#[tokio::test]
async fn what_is_not_worth_reading_ends_the_connection_after_the_answer() {
    let full = Full::new(HttpLimits::default()).await;
    for (length, more, body) in [
        // Larger than what is read for nothing.
        (200_000, "", "x".repeat(200_000)),
        // It never comes.
        (5, "", String::new()),
        // The client waits for the word to send it, and does not get it.
        (5, "expect: 100-continue\r\n", String::new()),
    ] {
        let mut stream = full.connect().await;
        stream.write_all(head(length, more).as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let refused = answer(&mut stream).await.unwrap();
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        assert!(refused.contains("connection: close"), "{refused}");
    }
}

/// Above their rate refusals wait for their turn; each one comes.
#[tokio::test]
async fn refusals_leave_at_a_bounded_rate() {
    let limits = HttpLimits { refusals_per_second_max: 100, ..HttpLimits::default() };
    let ledger = Ledger::with(|config| config.in_flight_commands_max = 0, limits);
    let started = tokio::time::Instant::now();
    for _ in 0..8 {
        ledger.post("/v1/transactions", &json!({})).await.expect_problem(503, "overloaded");
    }
    // The first two at once, the others 10 ms apart.
    assert!(started.elapsed() >= Duration::from_millis(50), "{:?}", started.elapsed());
    ledger.get("/healthz").await.expect(200);
}

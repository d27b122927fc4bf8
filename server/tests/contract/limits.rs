//! Bounds of the HTTP side: bytes, time, types, methods, routes, overload, and a ledger that still recovers.

use std::{convert::Infallible, pin::Pin, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{Method, Request},
};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tower::ServiceExt as _;
use yue_server::{
    app::{App, router},
    config::HttpLimits,
};

use crate::ledger::{Answer, Ledger, id, transfer};

const WRITES: [(Method, &str); 4] = [
    (Method::POST, "/v1/accounts"),
    (Method::PATCH, "/v1/accounts/customers:1"),
    (Method::POST, "/v1/transactions"),
    (Method::POST, "/v1/transactions/batch"),
];

/// A body without an announced length.
fn endless(bytes: usize) -> Body {
    let chunks = std::iter::repeat_n(Bytes::from(vec![b' '; 64 << 10]), bytes.div_ceil(64 << 10));
    Body::from_stream(stream::iter(chunks.map(Ok::<_, Infallible>)))
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_announced_or_not() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    for (method, uri) in WRITES {
        let most = if uri.ends_with("batch") { 16 << 20 } else { 256 << 10 };
        for body in [Body::from(vec![b' '; most + 1]), endless(most + 1)] {
            ledger.send_json(method.clone(), uri, body).await.expect_problem(413, "too_large");
        }
        // The most that is taken, padded with space.
        ledger.send_json(method, uri, vec![b' '; most]).await.expect_problem(400, "malformed");
    }
    let mut body =
        json!({"id": id("a1"), "operations": [transfer("customers:1", "merchants:7", "1")]}).to_string();
    body.extend(std::iter::repeat_n(' ', (256 << 10) - body.len()));
    ledger.send_json(Method::POST, "/v1/transactions", body).await.expect(201);
    assert_eq!(ledger.position().await, position + 1);
}

/// A body of which so many bytes arrive, and no more.
fn stuck(bytes: usize) -> Body {
    let chunks = std::iter::repeat_n(Bytes::from(vec![b' '; 64 << 10]), bytes / (64 << 10));
    let arrived = stream::iter(chunks.map(Ok::<_, Infallible>));
    Body::from_stream(arrived.chain(stream::pending::<Result<Bytes, Infallible>>()))
}

/// A batch whose body is stuck after so many bytes.
async fn being_read(ledger: &Ledger, bytes: usize) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
    let mut answer = Box::pin(ledger.send_json(Method::POST, "/v1/transactions/batch", stuck(bytes)));
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
    assert!(waited.is_err(), "it is being read");
    answer
}

#[tokio::test]
async fn all_bodies_together_have_a_bound() {
    let limits = HttpLimits { body_memory_bytes_max: 40 << 20, ..HttpLimits::default() };
    let ledger = Ledger::with(|_| (), limits);
    let uri = "/v1/transactions/batch";
    // What has not arrived takes no room, announced or not.
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(being_read(&ledger, 0).await);
    }
    ledger.send_json(Method::POST, uri, endless(16 << 20)).await.expect_problem(400, "malformed");
    // What has arrived does: 16 MiB each.
    let first = being_read(&ledger, 16 << 20).await;
    let second = being_read(&ledger, 16 << 20).await;
    ledger.send_json(Method::POST, uri, endless(9 << 20)).await.expect_problem(503, "overloaded");
    ledger.send_json(Method::POST, uri, " ".repeat(9 << 20)).await.expect_problem(503, "overloaded");
    // A small one has a place that a large one does not get.
    ledger.send_json(Method::POST, uri, endless(1 << 20)).await.expect_problem(400, "malformed");
    ledger.send_json(Method::POST, uri, " ".repeat(1 << 10)).await.expect_problem(400, "malformed");
    drop(first);
    ledger.send_json(Method::POST, uri, endless(9 << 20)).await.expect_problem(400, "malformed");
    drop((second, idle));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let limits = HttpLimits { body_read_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let ledger = Ledger::with(|_| (), limits);
    for (method, uri) in WRITES {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        ledger.send_json(method, uri, never).await.expect_problem(408, "request_timeout");
    }
}

#[tokio::test]
async fn bodies_are_json_by_their_headers() {
    let ledger = Ledger::new();
    let body = || json!({"address": "a:1", "asset": "CNY"}).to_string();
    let send = async |name: Option<(&str, &str)>| {
        let mut request = Request::post("/v1/accounts");
        if let Some((name, value)) = name {
            request = request.header(name, value);
        }
        ledger.send(request.body(Body::from(body())).unwrap()).await
    };
    send(None).await.expect(201);
    for good in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
        send(Some(("content-type", good))).await.expect(200);
    }
    send(Some(("content-encoding", "identity"))).await.expect(200);
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
        "application/problem+json",
    ] {
        send(Some(("content-type", bad))).await.expect_problem(415, "unsupported_media_type");
    }
    send(Some(("content-encoding", "gzip"))).await.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn parameters_that_a_call_does_not_have_are_refused() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    let transaction = json!({"id": id("a1"), "operations": [transfer("customers:1", "merchants:7", "1")]});
    for (method, uri, body) in [
        (Method::POST, "/v1/accounts", json!({"address": "a:1", "asset": "CNY"})),
        (Method::PATCH, "/v1/accounts/customers:1", json!({"floor": "-1"})),
        (Method::POST, "/v1/transactions", transaction.clone()),
        (Method::POST, "/v1/transactions/batch", json!({"transactions": [transaction]})),
    ] {
        let uri = format!("{uri}?dry_run=1");
        let refused = ledger.send_json(method, &uri, body.to_string()).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), "/dry_run", "{uri}");
    }
    assert_eq!(ledger.position().await, position, "nothing was applied");
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/trial-balance"] {
        let refused = ledger.get(&format!("{path}?verbose")).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), "/verbose", "{path}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let ledger = Ledger::with_accounts().await;
    for uri in
        ["/", "/v1", "/v1/", "/v2/accounts", "/v1/accounts/", "/v1/accounts/a/b", "/v1/transactions/a/b"]
    {
        ledger.get(uri).await.expect_problem(404, "not_found");
    }
    for (method, uri, allow) in [
        (Method::DELETE, "/v1/accounts", "POST,GET,HEAD"),
        (Method::PUT, "/v1/accounts/customers:1", "GET,HEAD,PATCH"),
        (Method::GET, "/v1/transactions", "POST"),
        (Method::PATCH, "/v1/transactions/batch", "POST"),
        (Method::POST, "/v1/trial-balance", "GET,HEAD"),
        (Method::POST, "/healthz", "GET,HEAD"),
        (Method::OPTIONS, "/v1/accounts", "POST,GET,HEAD"),
    ] {
        let request = Request::builder().method(method.clone()).uri(uri).body(Body::empty()).unwrap();
        let answer = ledger.send(request).await.expect_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {uri}");
    }
}

/// Refusals come before the body is looked into: it is no JSON here.
async fn check_refuses_writes(ledger: &Ledger, code: &str, seconds: std::ops::RangeInclusive<u64>) {
    for (method, uri) in WRITES {
        let mut waits = std::collections::BTreeSet::new();
        for _ in 0..64 {
            let refused = ledger.send_json(method.clone(), uri, "{").await.expect_problem(503, code);
            waits.insert(refused.header("retry-after").unwrap().parse::<u64>().unwrap());
        }
        assert!(waits.iter().all(|wait| seconds.contains(wait)), "{waits:?}");
        assert!(waits.len() > 1, "Retry-After is not spread: {waits:?}");
    }
    ledger.get("/v1/accounts/customers:1").await.expect_problem(404, "not_found");
    ledger.get("/v1/trial-balance").await.expect(200);
    ledger.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn overload_refuses_writes_and_goes_on_reading() {
    let ledger = Ledger::with(|config| config.in_flight_commands_max = 0, HttpLimits::default());
    check_refuses_writes(&ledger, "overloaded", 1..=3).await;
}

#[tokio::test]
async fn a_full_storage_refuses_writes_and_goes_on_reading() {
    let ledger = Ledger::with(|config| config.storage_reserve_percent = 100, HttpLimits::default());
    // The share is looked at from time to time.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    check_refuses_writes(&ledger, "storage_low", 30..=60).await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_still_recovers_is_alive_and_not_ready() {
    let router = router(App::new(HttpLimits::default()));
    let get = async |uri: &str| {
        let response = router.clone().oneshot(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
        let retry = response.headers().contains_key("retry-after");
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (bytes, retry)
    };
    let (ready, retry) = get("/readyz").await;
    assert_eq!((ready.as_ref(), retry), (br#"{"ready":false,"phase":"starting"}"#.as_slice(), true));
    assert_eq!(get("/healthz").await.0, r#"{"status":"ok"}"#);
    let started = tokio::time::Instant::now();
    let (refused, retry) = get("/v1/accounts").await;
    assert!(String::from_utf8_lossy(&refused).contains("\"code\":\"overloaded\"") && retry);
    assert_eq!(started.elapsed().as_secs(), 5);
    assert!(String::from_utf8_lossy(&get("/metrics").await.0).contains("yue_http_connections"));
}

#[tokio::test]
async fn one_first_part_too_many_is_refused_for_good() {
    let ledger = Ledger::with(|config| config.address_groups_max = 2, HttpLimits::default());
    let open = |address: &str| json!({"address": address, "asset": "CNY"});
    for address in ["customers:1", "merchants:1", "customers:2"] {
        ledger.post("/v1/accounts", &open(address)).await.expect(201);
    }
    let refused = ledger.post("/v1/accounts", &open("channels:1")).await;
    assert_eq!((&refused.body["retryable"], &refused.body["field"]), (&json!(false), &json!("/address")));
    refused.expect_problem(422, "overflow");
    ledger.get("/v1/accounts/channels:1").await.expect_problem(404, "not_found");
    ledger.post("/v1/accounts", &open("customers:1")).await.expect(200);
    ledger.post("/v1/accounts", &open("merchants:2")).await.expect(201);
}

//! `GET /v1/events`

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::Request,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt as _;
use yue_server::config::HttpLimits;

use crate::ledger::{Ledger, hold, id, transfer};

/// An open stream of events.
struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(ledger: &Ledger, uri: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(uri);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = ledger.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event's id, type and data.
    async fn next(&mut self) -> (u64, String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.starts_with(':') {
                    continue;
                }
                let lines: Vec<_> = event.lines().collect();
                let field = |index: usize, name: &str| lines[index].strip_prefix(name).unwrap().to_owned();
                assert_eq!(lines.len(), 3, "{event}");
                let data = serde_json::from_str(&field(2, "data: ")).unwrap();
                return (field(0, "id: ").parse().unwrap(), field(1, "event: "), data);
            }
            let chunk = timeout(Duration::from_secs(20), self.body.next()).await.unwrap().unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn events_follow_the_journal_without_a_gap() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    let mut stream = Stream::open(&ledger, "/v1/events", None).await;
    for expected in 1..=position {
        assert_eq!(stream.next().await.0, expected);
    }
    // What comes while the stream is open, of each type.
    ledger.submit("a1", &[transfer("customers:1", "merchants:7", "1")]).await.expect(201);
    ledger.submit("a2", &[transfer("customers:2", "merchants:7", "1")]).await.expect(422);
    let short = json!({
        "type": "hold", "id": id("c1"), "debit": "customers:1", "credit": "merchants:7", "amount": "1", "expires_in": 1
    });
    ledger.submit("a3", &[short]).await.expect(201);
    ledger.patch("/v1/accounts/customers:1", &json!({"floor": "-1"})).await.expect(200);
    ledger.post("/v1/accounts", &json!({"address": "customers:9", "asset": "CNY"})).await.expect(201);
    let types = [
        "transaction_posted",
        "transaction_rejected",
        "transaction_posted",
        "account_changed",
        "account_opened",
    ];
    let mut shown = Vec::new();
    for (expected, kind) in (position + 1..).zip(types) {
        let (id, event, data) = stream.next().await;
        assert_eq!((id, event.as_str()), (expected, kind));
        shown.push(data);
    }
    for (index, digits) in [(0, "a1"), (1, "a2"), (2, "a3")] {
        assert_eq!(shown[index], ledger.get(&format!("/v1/transactions/{}", id(digits))).await.body);
    }
    assert_eq!((&shown[3]["address"], &shown[3]["floor"]), (&json!("customers:1"), &json!("-1.00")));
    assert_eq!(shown[4], ledger.get("/v1/accounts/customers:9").await.body);
    let (last, event, data) = stream.next().await;
    assert_eq!((last, event.as_str()), (position + 6, "hold_expired"));
    assert_eq!(data, ledger.get(&format!("/v1/holds/{}", id("c1"))).await.body);
    assert_eq!(data["state"], "expired");
}

/// An opening is shown as it was, whatever became of the account.
#[tokio::test]
async fn an_opening_is_told_as_it_was() {
    let ledger = Ledger::with_accounts().await;
    let limit = json!({"window": "day", "code": null, "amount": "50.00", "count": null});
    let opening = json!({
        "address": "customers:9", "asset": "CNY", "floor": "-5", "ceiling": "100", "limits": [limit],
        "metadata": {"tier": "gold"}
    });
    let opened = ledger.post("/v1/accounts", &opening).await.expect(201).body;
    let position = opened["position"].as_u64().unwrap();
    ledger.submit("a1", &[transfer("customers:1", "customers:9", "9")]).await.expect(201);
    ledger.submit("a2", &[hold("c1", "customers:9", "merchants:7", "3")]).await.expect(201);
    ledger
        .patch("/v1/accounts/customers:9", &json!({"status": "frozen", "floor": "0", "limits": []}))
        .await
        .expect(200);
    let now = ledger.get("/v1/accounts/customers:9").await.expect(200).body;
    assert_ne!(now, opened);
    let mut stream = Stream::open(&ledger, &format!("/v1/events?after={}", position - 1), None).await;
    assert_eq!(stream.next().await, (position, "account_opened".to_owned(), opened));
}

#[tokio::test]
async fn an_event_shows_the_account_as_of_its_record() {
    // A small segment is sealed at once: the events are read from memory, and then from the disk.
    for segment_records in [1 << 17, 4] {
        let ledger = Ledger::with(|config| config.segment_records = segment_records, HttpLimits::default());
        for account in [
            json!({"address": "channels:bank", "asset": "CNY", "normal": "debit", "floor": null}),
            json!({"address": "a:1", "asset": "CNY", "limits": [{"window": "lifetime", "amount": "50"}]}),
            json!({"address": "b:1", "asset": "CNY"}),
        ] {
            ledger.post("/v1/accounts", &account).await.expect(201);
        }
        ledger.submit("a1", &[transfer("channels:bank", "a:1", "100")]).await.expect(201);
        let mut shown = Vec::new();
        for (round, change) in [
            json!({"status": "frozen"}),
            json!({"status": "active", "floor": "-5", "ceiling": "1000"}),
            json!({"limits": [{"window": "lifetime", "amount": "60"}, {"window": "day", "count": 9}]}),
            json!({"floor": null, "ceiling": null}),
        ]
        .iter()
        .enumerate()
        {
            shown.push(ledger.patch("/v1/accounts/a:1", change).await.expect(200).body);
            if round > 0 {
                ledger.submit(&format!("b{round}"), &[transfer("a:1", "b:1", "7")]).await.expect(201);
                let held = [hold(&format!("c{round}"), "a:1", "b:1", "3")];
                ledger.submit(&format!("d{round}"), &held).await.expect(201);
            }
        }
        assert_eq!((&shown[3]["posted"], &shown[3]["held"]), (&json!("86.00"), &json!("6.00")));
        assert_eq!(shown[3]["limits"][0]["used"]["amount"], "20.00");
        for _ in 0..2 {
            let mut stream = Stream::open(&ledger, "/v1/events", None).await;
            for expected in &shown {
                let (position, data) = loop {
                    let (position, event, data) = stream.next().await;
                    if event == "account_changed" {
                        break (position, data);
                    }
                };
                assert_eq!((expected, &data["position"]), (&data, &json!(position)));
            }
        }
    }
}

#[tokio::test]
async fn a_stream_resumes_after_a_position() {
    let ledger = Ledger::with_accounts().await;
    for (uri, last, expected) in [
        ("/v1/events?after=3", None, 4),
        ("/v1/events?after=0", None, 1),
        ("/v1/events", Some("5"), 6),
        ("/v1/events?after=3", Some("5"), 6),
    ] {
        let mut stream = Stream::open(&ledger, uri, last).await;
        assert_eq!(stream.next().await.0, expected, "{uri} {last:?}");
    }
    let end = ledger.position().await;
    let mut stream = Stream::open(&ledger, &format!("/v1/events?after={end}"), None).await;
    ledger.submit("a1", &[hold("c1", "customers:1", "merchants:7", "1")]).await.expect(201);
    assert_eq!(stream.next().await.0, end + 1);
    let bad = Request::get("/v1/events").header("Last-Event-ID", "x").body(Body::empty()).unwrap();
    ledger.send(bad).await.expect_problem(400, "malformed");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_kept_alive() {
    let ledger = Ledger::new();
    let mut stream = Stream::open(&ledger, "/v1/events", None).await;
    let opened = tokio::time::Instant::now();
    for seconds in [10, 20, 30] {
        let chunk = stream.body.next().await.unwrap().unwrap();
        assert_eq!((chunk.as_ref(), opened.elapsed().as_secs()), (b": keep-alive\n\n".as_slice(), seconds));
    }
}

#[tokio::test]
async fn streams_are_bounded_in_number() {
    let ledger = Ledger::with(|_| (), HttpLimits { event_streams_max: 2, ..HttpLimits::default() });
    let first = Stream::open(&ledger, "/v1/events", None).await;
    let _second = Stream::open(&ledger, "/v1/events", None).await;
    ledger.get("/v1/events").await.expect_problem(503, "overloaded");
    drop(first);
    let _third = Stream::open(&ledger, "/v1/events", None).await;
}

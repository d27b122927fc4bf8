//! Rates, events, and the audit trail.

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::guarded::{Draft, Guarded, Key, command, read};
use yue_server::{auth::Peer, config::HttpLimits};

use crate::ledger::{Ledger, id, transfer};

#[tokio::test]
async fn a_key_has_its_rate() {
    let guarded = Guarded::new().await;
    let slow = guarded.key("slow --scopes accounts:read --rate 1 --burst 3");
    let quick = guarded.key("quick --scopes accounts:read");
    let mut refused = 0;
    for _ in 0..20 {
        let answer = guarded.get(&slow, "/v1/accounts/customers:1").await;
        if answer.status != 200 {
            let answer = answer.expect_problem(429, "rate_limited");
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=3).contains(&seconds), "{seconds}");
            refused += 1;
        }
        guarded.get(&quick, "/v1/accounts/customers:1").await.expect(200);
    }
    assert!(refused > 0);
    // Nobody can use up the rate of a key that he does not have.
    let other = guarded.key("other --scopes accounts:read --rate 1 --burst 1");
    for _ in 0..20 {
        let forged = Draft::new("GET", "/v1/accounts", "").with("authorization", "Bearer other.x");
        guarded.send(&forged).await.expect_problem(401, "unauthenticated");
        let mut forger = other.clone();
        forger.signing = vec![0; 32];
        let forged = Draft::new("GET", "/v1/accounts", "").signed(&forger);
        guarded.send(&forged).await.expect_problem(401, "signature_invalid");
    }
    guarded.get(&other, "/v1/accounts/customers:1").await.expect(200);
    // Nor can a page of another site, in the browser of somebody who has one.
    let pays = guarded.key("pays --scopes transactions:write --rate 1 --burst 1");
    let body = json!({"id": id("1"), "operations": [transfer("customers:1", "merchants:7", "1.00")]});
    let draft = Draft::new("POST", "/v1/transactions", &body.to_string()).bearer(&pays);
    let lines = guarded.trail().len();
    for _ in 0..20 {
        let from_a_page = draft.clone().with("origin", "https://evil.example");
        guarded.send(&from_a_page).await.expect_problem(400, "malformed");
    }
    assert_eq!(guarded.trail().len(), lines);
    assert_ne!(guarded.send(&draft).await.status, 429);
    // A browser shows the certificate that it has for any page, which may not see the answer.
    let certificate = [0xcd; 32];
    guarded.key(&format!("seen --scopes accounts:read --rate 1 --burst 1 --certificate {}", "cd".repeat(32)));
    let peer = Peer { loopback: false, tls: true, certificate: Some(certificate) };
    let draft = Draft { peer, ..Draft::new("GET", "/v1/accounts/customers:1", "") };
    for _ in 0..20 {
        let from_a_page = draft.clone().with("sec-fetch-site", "cross-site");
        guarded.send(&from_a_page).await.expect_problem(400, "malformed");
    }
    guarded.send(&draft).await.expect(200);
}

/// The events of a stream.
async fn stream(guarded: &Guarded, draft: &Draft) -> Body {
    let response = guarded.closed.clone().oneshot(draft.request()).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// The first events of a stream, until there were so many bytes of them or it waits.
async fn events(guarded: &Guarded, draft: &Draft) -> String {
    let mut body = stream(guarded, draft).await;
    let mut text = String::new();
    while let Ok(Some(Ok(frame))) =
        tokio::time::timeout(std::time::Duration::from_secs(1), body.frame()).await
    {
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    text
}

#[tokio::test]
async fn events_show_what_a_key_may_know() {
    let guarded = Guarded::new().await;
    let bound = guarded.key("bound --scopes audit:read --prefix customers:1");
    let whole = guarded.key("whole --scopes audit:read");
    for number in 0..300 {
        let (debit, digits) = if number % 100 == 0 { ("customers:1", "e") } else { ("channels:wechat", "f") };
        let pay = transfer(debit, "merchants:7", "0.01");
        guarded.ledger.submit(&format!("{digits}{number:03}"), &[pay]).await.expect(201);
    }
    let draft = Draft::new("GET", "/v1/events", "");
    let (seen, all) = (
        events(&guarded, &draft.clone().bearer(&bound)).await,
        events(&guarded, &draft.bearer(&whole)).await,
    );
    assert_eq!(all.matches("event: transaction_posted").count(), 303);
    assert_eq!(seen.matches("event: transaction_posted").count(), 3, "{seen}");
    assert_eq!(seen.matches("event: account_opened").count(), 2, "itself and its points: {seen}");
    assert!(!seen.contains("customers:2") && !seen.contains("channels:wechat"), "{seen}");
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let guarded = Guarded::new().await;
    let folder = guarded.folder.path();
    let old = guarded.key("follower --scopes audit:read");
    let open = async |key: &Key| {
        let draft = || Draft::new("GET", "/v1/events", "");
        [stream(&guarded, &draft().bearer(key)).await, stream(&guarded, &draft().signed(key)).await]
    };
    let before = open(&old).await;
    let new = read(&command(folder, "rotate follower --grace 4"));
    guarded.gate.reload();
    ended(before).await;
    // The old secret is good for a while: its streams end with it, though the keys do not change then.
    let (on_old, on_new) = (open(&old).await, open(&new).await);
    ended(on_old).await;
    guarded.get(&old, "/v1/trial-balance").await.expect_problem(401, "unauthenticated");
    command(folder, "revoke follower");
    guarded.gate.reload();
    ended(on_new).await;
}

#[tokio::test]
async fn one_key_leaves_streams_for_others() {
    let limits = HttpLimits { event_streams_max: 8, ..HttpLimits::default() };
    let guarded = Guarded::with_limits(Ledger::with_accounts().await, 1_000, limits);
    let greedy = guarded.key("greedy --scopes audit:read --prefix customers:1");
    let auditor = guarded.key("auditor --scopes audit:read");
    let draft = || Draft::new("GET", "/v1/events", "");
    let mut open = vec![
        stream(&guarded, &draft().bearer(&greedy)).await,
        stream(&guarded, &draft().signed(&greedy)).await,
    ];
    // A file that is read again changes nothing of that.
    guarded.gate.reload();
    // Looked at before it is read: a stream that is open does not end.
    let status = async || {
        let answer = guarded.closed.clone().oneshot(draft().bearer(&greedy).request()).await;
        answer.unwrap().status()
    };
    assert_eq!(status().await, 503);
    let refused = guarded.send(&draft().bearer(&greedy)).await.expect_problem(503, "overloaded");
    assert!(refused.body["detail"].as_str().unwrap().contains("one key"), "{}", refused.text);
    open.push(stream(&guarded, &draft().bearer(&auditor)).await);
    // What has ended makes room.
    drop(open.remove(0));
    open.push(stream(&guarded, &draft().bearer(&greedy)).await);
    assert_eq!(status().await, 503);
}

/// Reads streams to their ends.
async fn ended(streams: [Body; 2]) {
    for body in streams {
        let end = tokio::time::timeout(std::time::Duration::from_secs(60), body.collect());
        end.await.expect("the stream goes on").unwrap();
    }
}

#[tokio::test]
async fn operators_calls_and_refusals_are_written_down() {
    let guarded = Guarded::new().await;
    let one = guarded.key("one --scopes accounts:write,accounts:read,operator");
    let two = guarded.key("two --scopes operator");
    let issuer = guarded.key("issuer --scopes transactions:write,money:issue");
    let reader = guarded.key("reader --scopes accounts:read");
    let payer = guarded.key("payer --scopes transactions:write");
    let change = Draft::new("PATCH", "/v1/accounts/merchants:7?", "{\"floor\":null}");
    let done = guarded.send(&change.clone().bearer(&one).approved(&two)).await.expect(200);
    let refused = guarded.send(&change.clone().bearer(&one)).await.expect(403);
    let issue = json!({"id": id("1"), "operations": [transfer("channels:wechat", "customers:1", "1.00")]});
    guarded.post(&issuer, "/v1/transactions", &issue).await.expect(201);
    guarded.get(&reader, "/v1/accounts/customers:1").await.expect(200);
    guarded.get(&one, "/v1/accounts/customers:1").await.expect(200);
    guarded.get(&reader, "/v1/trial-balance").await.expect(403);
    guarded.send(&Draft::new("GET", "/v1/accounts", "")).await.expect(401);
    let issue = json!({"id": id("2"), "operations": [transfer("channels:wechat", "customers:1", "1.00")]});
    let pay = json!({"id": id("3"), "operations": [transfer("customers:1", "merchants:7", "1.00")]});
    guarded.post(&payer, "/v1/transactions/batch", &json!({"transactions": [pay, issue]})).await.expect(200);
    guarded.post(&payer, "/v1/transactions/batch", &json!({"transactions": [pay]})).await.expect(200);
    // What is refused for another reason, or was done before, creates nothing.
    let mismatch =
        json!({"id": id("4"), "operations": [transfer("channels:wechat", "channels:wechat", "1.00")]});
    guarded.post(&issuer, "/v1/transactions", &mismatch).await.expect(422);
    let issue = json!({"id": id("1"), "operations": [transfer("channels:wechat", "customers:1", "1.00")]});
    guarded.post(&issuer, "/v1/transactions", &issue).await.expect(200);
    let trail = guarded.trail();
    let row = |line: &Value| {
        let text = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
        let status = line["status"].to_string();
        [text("stage"), text("key"), text("approved_by"), text("method"), text("path"), status, text("code")]
            .join(" ")
    };
    let rows: Vec<String> = trail.iter().map(row).collect();
    let path = "/v1/accounts/merchants:7";
    let expected = [
        format!("begun one two PATCH {path} null -"),
        format!("done one two PATCH {path} 200 -"),
        format!("begun one - PATCH {path} null -"),
        format!("refused one - PATCH {path} 403 approval_required"),
        "done issuer - POST /v1/transactions 201 -".to_owned(),
        "refused reader - GET /v1/trial-balance 403 scope_missing".to_owned(),
        "refused - - GET /v1/accounts 401 unauthenticated".to_owned(),
        "done payer - POST /v1/transactions/batch 200 -".to_owned(),
    ];
    assert_eq!(rows, expected);
    assert_eq!(trail[0]["request"], trail[1]["request"]);
    assert_eq!(trail[1]["request"], done.header("yue-request-id").unwrap());
    assert_eq!(trail[3]["request"], refused.header("yue-request-id").unwrap());
    assert_eq!((&trail[4]["issued"], &trail[1]["issued"]), (&json!(true), &json!(false)));
    let denied: Vec<_> = trail.iter().map(|line| line["denied"] == true).collect();
    assert_eq!(denied, [false, false, false, true, false, true, false, true]);
    let text = std::fs::read_to_string(guarded.folder.path().join("audit")).unwrap();
    for key in [one, two, issuer, reader] {
        let (_, secret) = key.bearer.split_once('.').unwrap();
        assert!(!text.contains(secret), "{text}");
    }
}

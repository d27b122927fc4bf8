//! Keys that are taken out of force while a request comes in.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::Request,
};
use futures_util::stream;
use serde_json::json;
use tokio::{sync::mpsc, task::JoinHandle};
use yue_server::auth::Peer;

use super::guarded::{Draft, Guarded, command};
use crate::ledger::{Answer, Ledger, id, transfer};

/// A request of whose body the first byte was read, when its sender was looked at, and the others are still to come.
struct Begun {
    answer: JoinHandle<Answer>,
    pieces: mpsc::Sender<Bytes>,
    rest: Bytes,
}

impl Begun {
    async fn new(guarded: &Guarded, draft: &Draft) -> Self {
        let (pieces, coming) = mpsc::channel(1);
        let body = stream::unfold(coming, |mut coming| async move {
            let piece: Bytes = coming.recv().await?;
            Some((Ok::<_, Infallible>(piece), coming))
        });
        let (head, _) = draft.request().into_parts();
        let request = Request::from_parts(head, Body::from_stream(body));
        let router = guarded.closed.clone();
        let answer = tokio::spawn(async move { Ledger::call(&router, request).await });
        let whole = Bytes::from(draft.body.clone());
        // Only one waits: there is room for the second once the first was read.
        pieces.send(whole.slice(..1)).await.unwrap();
        pieces.send(whole.slice(1..2)).await.unwrap();
        Self { answer, pieces, rest: whole.slice(2..) }
    }

    async fn end(self) -> Answer {
        let Self { answer, pieces, rest } = self;
        pieces.send(rest).await.unwrap();
        drop(pieces);
        answer.await.unwrap()
    }
}

fn pay(number: &str) -> serde_json::Value {
    json!({"id": id(number), "operations": [transfer("customers:1", "merchants:7", "1.00")]})
}

fn single(number: &str) -> Draft {
    Draft::new("POST", "/v1/transactions", &pay(number).to_string())
}

fn batch(number: &str) -> Draft {
    Draft::new("POST", "/v1/transactions/batch", &json!({"transactions": [pay(number)]}).to_string())
}

fn statement(reference: &str) -> Draft {
    let line = format!("{},{reference},5.00,2026-06-18T00:00:01+08:00", id("1"));
    Draft::new("POST", "/v1/channels/wechat/statements", &format!("order,reference,amount,at\n{line}\n"))
        .with("content-type", "text/csv")
        .with("yue-statement-date", "2026-06-18")
}

fn patch() -> Draft {
    Draft::new("PATCH", "/v1/accounts/merchants:7", "{\"floor\":null}")
}

const SCOPES: &str = "--scopes transactions:write,accounts:write,operator";

#[tokio::test]
async fn a_revoked_key_does_nothing_with_a_request_that_it_has_begun() {
    let guarded = Guarded::new().await;
    let fingerprint = "ab".repeat(32);
    let key = guarded.key(&format!("service {SCOPES} --certificate {fingerprint}"));
    let second = guarded.key("second --scopes operator");
    let by_certificate = |draft: Draft| {
        let certificate = Some([0xab; 32]);
        Draft { peer: Peer { loopback: false, tls: true, certificate }, ..draft }
    };
    let position = guarded.ledger.position().await;
    let mut rows = Vec::new();
    for (draft, code) in [
        (single("1").bearer(&key), "unauthenticated"),
        (batch("2").bearer(&key), "unauthenticated"),
        (statement("r-1").bearer(&key), "unauthenticated"),
        (patch().bearer(&key).approved(&second), "unauthenticated"),
        (by_certificate(single("3")), "unauthenticated"),
        (by_certificate(statement("r-2")), "unauthenticated"),
        (single("4").signed(&key), "signature_invalid"),
        (batch("5").signed(&key), "signature_invalid"),
        (statement("r-3").signed(&key), "signature_invalid"),
    ] {
        rows.push((Begun::new(&guarded, &draft).await, code));
    }
    command(guarded.folder.path(), "revoke service");
    guarded.gate.reload();
    for (begun, code) in rows {
        begun.end().await.expect_problem(401, code);
    }
    assert_eq!(guarded.ledger.position().await, position, "nothing was done");
    let told = guarded.trail().into_iter().filter(|line| line["status"] == 401).count();
    assert_eq!(told, 9, "each is written down");
}

#[tokio::test]
async fn what_changes_a_key_counts_and_other_keys_do_not() {
    let guarded = Guarded::new().await;
    let folder = guarded.folder.path();
    let path = folder.join("keys.toml");
    let keys = ["first", "kept", "bound", "second"].map(|id| guarded.key(&format!("{id} {SCOPES}")));
    let [first, kept, bound, second] = &keys;
    let begin = async |draft: Draft| Begun::new(&guarded, &draft).await;
    // Another key comes, and one gets a further secret.
    let (bearer, signed) = (begin(single("1").bearer(kept)).await, begin(single("2").signed(kept)).await);
    guarded.key("other --scopes audit:read");
    command(folder, "rotate kept --grace 3600");
    guarded.gate.reload();
    for begun in [bearer, signed] {
        begun.end().await.expect(201);
    }
    // The secret ends, or the key has less than it had, or who approves is gone.
    let (ended, bound, approved) = (
        begin(single("3").bearer(first)).await,
        begin(single("4").bearer(bound)).await,
        begin(patch().bearer(kept).approved(second)).await,
    );
    command(folder, "rotate first --grace 0");
    command(folder, "revoke second");
    let text = std::fs::read_to_string(&path).unwrap();
    let narrower = text.replace("id = \"bound\"\n", "id = \"bound\"\nprefix = \"customers:2\"\n");
    assert_ne!(narrower, text);
    std::fs::write(&path, narrower).unwrap();
    guarded.gate.reload();
    ended.end().await.expect_problem(401, "unauthenticated");
    bound.end().await.expect_problem(401, "unauthenticated");
    approved.end().await.expect_problem(401, "signature_invalid");
}

#[tokio::test]
async fn a_secret_that_ends_while_a_body_comes_is_no_secret() {
    let guarded = Guarded::new().await;
    let key = guarded.key(&format!("service {SCOPES}"));
    command(guarded.folder.path(), "rotate service --grace 2");
    guarded.gate.reload();
    let begun = Begun::new(&guarded, &single("1").bearer(&key)).await;
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    begun.end().await.expect_problem(401, "unauthenticated");
}

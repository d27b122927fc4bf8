//! Who is let in.

use serde_json::json;
use yue_server::auth::Peer;

use super::guarded::{Draft, Guarded, Key, command, nonce, now_s, read};
use crate::ledger::{Ledger, id, transfer};

const ACCOUNT: &str = "/v1/accounts/customers:1";

fn get() -> Draft {
    Draft::new("GET", ACCOUNT, "")
}

#[tokio::test]
async fn both_ways_lead_in() {
    let guarded = Guarded::new().await;
    let key = guarded.key("reader --scopes accounts:read,transactions:write");
    for draft in [get().bearer(&key), get().signed(&key)] {
        guarded.send(&draft).await.expect(200);
    }
    let body =
        json!({"id": id("1"), "operations": [transfer("customers:1", "merchants:7", "1.00")]}).to_string();
    guarded.send(&Draft::new("POST", "/v1/transactions", &body).signed(&key)).await.expect(201);
    guarded.send(&Draft::new("POST", "/v1/transactions", &body).bearer(&key)).await.expect(200);
    let list = Draft::new("GET", "/v1/accounts?prefix=customers:1&limit=5", "");
    guarded.send(&list.signed(&key)).await.expect(200);
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        guarded.send(&Draft::new("GET", open, "")).await.expect(200);
    }
    guarded.send(&Draft::new("GET", "/v1/nowhere", "")).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn all_others_are_refused_by_what_is_wrong() {
    let guarded = Guarded::new().await;
    let key = guarded.key("reader --scopes accounts:read,transactions:write");
    let bearer_only = guarded.key("plain --scopes accounts:read --bearer-only");
    let stranger = Key { id: "stranger".into(), ..key.clone() };
    let far = Peer::default();
    let unsigned = Key { signing: vec![0; 32], ..key.clone() };
    let at = |ts: i64| {
        let signature = get().signature_at(&key, "", ts, &nonce());
        get().with("authorization", signature)
    };
    let bearer = |text: &str| get().with("authorization", format!("Bearer {text}"));
    let (_, secret) = key.bearer.split_once('.').unwrap();
    let rows = [
        (get(), "unauthenticated"),
        (get().with("authorization", ""), "unauthenticated"),
        (get().with("authorization", "Basic eDp5"), "unauthenticated"),
        (bearer(""), "unauthenticated"),
        (bearer(secret), "unauthenticated"),
        (bearer(&format!("reader.{secret}x")), "unauthenticated"),
        (bearer(&format!("other.{secret}")), "unauthenticated"),
        (get().bearer(&key).bearer(&key), "unauthenticated"),
        (Draft { peer: far, ..get().bearer(&key) }, "unauthenticated"),
        (get().with("authorization", "YUE-HMAC-SHA256 key_id=\"reader\""), "signature_invalid"),
        (get().signed(&stranger), "signature_invalid"),
        (get().signed(&unsigned), "signature_invalid"),
        (get().signed(&Key { signing: key.signing.clone(), ..bearer_only }), "signature_invalid"),
        (Draft { uri: format!("{ACCOUNT}?x=1"), ..get().signed(&key) }, "signature_invalid"),
        (Draft { uri: "/v1/accounts/customers:2".into(), ..get().signed(&key) }, "signature_invalid"),
        (get().bearer(&key).with("yue-approval", "x"), "signature_invalid"),
        (at(now_s() + 310), "timestamp_skew"),
        (at(now_s() - 310), "timestamp_skew"),
        (at(now_s() - 200), "timestamp_skew"),
    ];
    for (draft, code) in rows {
        let answer = guarded.send(&draft).await.expect_problem(401, code);
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer "), "{code}");
        let told = guarded.trail().pop().unwrap();
        assert_eq!(told["request"], answer.header("yue-request-id").unwrap(), "{code}");
    }
    guarded.send(&Draft { peer: Peer::default(), ..get().signed(&key) }).await.expect(200);
    let tls = Peer { tls: true, ..Peer::default() };
    guarded.send(&Draft { peer: tls, ..get().bearer(&key) }).await.expect(200);
}

#[tokio::test]
async fn who_has_no_key_does_not_hear_which_ids_there_are() {
    let guarded = Guarded::new().await;
    let key = guarded.key("reader --scopes accounts:read,transactions:write");
    let forged = Key { signing: vec![0; 32], bearer: "reader.x".to_owned(), ..key };
    let unknown = Key { id: "stranger".to_owned(), bearer: "stranger.x".to_owned(), ..forged.clone() };
    let post = Draft::new("POST", "/v1/transactions", "{}");
    let patch = Draft::new("POST", "/v1/transactions", "{}")
        .bearer(&guarded.key("writer --scopes transactions:write"));
    let forms: [fn(Draft, &Key) -> Draft; 2] = [Draft::bearer, Draft::signed];
    let mut rows: Vec<_> =
        [get(), post].into_iter().flat_map(|draft| forms.map(|form| (draft.clone(), form))).collect();
    rows.push((patch, Draft::approved));
    for (draft, form) in rows {
        let [known, unknown] = [&forged, &unknown].map(|key| form(draft.clone(), key));
        let (known, unknown) = (guarded.send(&known).await, guarded.send(&unknown).await);
        assert_eq!((known.status, unknown.status), (401, 401));
        for field in ["code", "title", "detail"] {
            assert_eq!(known.body[field], unknown.body[field], "{field}");
        }
    }
}

#[tokio::test]
async fn a_signature_is_over_the_body_and_good_once() {
    let guarded = Guarded::new().await;
    let key = guarded.key("writer --scopes transactions:write,operator --label one");
    let body = |amount: &str| {
        json!({"id": id("1"), "operations": [transfer("customers:1", "merchants:7", amount)]}).to_string()
    };
    let draft = Draft::new("POST", "/v1/transactions", &body("1.00")).signed(&key);
    let changed = Draft { body: body("9.00"), ..draft.clone() };
    guarded.send(&changed).await.expect_problem(401, "signature_invalid");
    guarded.send(&draft).await.expect(201);
    for _ in 0..2 {
        guarded.send(&draft).await.expect_problem(401, "nonce_replayed");
    }
    guarded.send(&changed).await.expect_problem(401, "nonce_replayed");
    assert_eq!(guarded.ledger.balance("merchants:7").await.0, "1.00");
    // Bodies of other kinds are signed as well.
    let batch = Draft::new("POST", "/v1/transactions/batch", "{\"transactions\":[]}").signed(&key);
    guarded.send(&batch).await.expect(200);
    let cut = Draft { body: "{\"transactions\": []}".into(), ..batch.clone() };
    guarded.send(&cut).await.expect_problem(401, "nonce_replayed");
    let statement = Draft::new("POST", "/v1/channels/wechat/statements", "order,reference,amount,at\n")
        .with("content-type", "text/csv")
        .with("yue-statement-date", "2026-06-18");
    let signed = statement.signed(&key);
    guarded
        .send(&Draft { body: String::new(), ..signed.clone() })
        .await
        .expect_problem(401, "signature_invalid");
    guarded.send(&signed).await.expect(200);
}

#[tokio::test]
async fn a_large_body_is_refused_before_its_signature() {
    let guarded = Guarded::new().await;
    let key = guarded.key("writer --scopes transactions:write");
    let draft = Draft::new("POST", "/v1/transactions", &" ".repeat(300 << 10)).signed(&key);
    guarded.send(&draft).await.expect_problem(413, "too_large");
    let draft = Draft::new("POST", "/v1/transactions", "{").signed(&key);
    guarded.send(&draft).await.expect_problem(400, "malformed");
    let draft = Draft::new("POST", "/v1/transactions", "{");
    guarded.send(&draft).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_full_room_for_nonces_refuses() {
    let guarded = Guarded::over(Ledger::with_accounts().await, 4);
    let key = guarded.key("reader --scopes accounts:read");
    let others = ["b", "c"].map(|id| guarded.key(&format!("{id} --scopes accounts:read")));
    for _ in 0..2 {
        guarded.send(&get().signed(&key)).await.expect(200);
    }
    guarded.send(&get().signed(&key)).await.expect_problem(503, "overloaded");
    // One key's room is not all of it.
    for other in &others {
        guarded.send(&get().signed(other)).await.expect(200);
    }
    let late = guarded.key("d --scopes accounts:read");
    for key in others.iter().chain([&key, &late]) {
        guarded.send(&get().signed(key)).await.expect_problem(503, "overloaded");
        guarded.send(&get().bearer(key)).await.expect(200);
    }
}

#[tokio::test]
async fn what_a_rate_refuses_takes_no_room_for_nonces() {
    let guarded = Guarded::over(Ledger::with_accounts().await, 10);
    let slow = guarded.key("slow --scopes accounts:read --rate 1 --burst 1");
    let key = guarded.key("reader --scopes accounts:read");
    let mut refused = 0;
    for _ in 0..50 {
        let status = guarded.send(&get().signed(&slow)).await.status;
        assert!([200, 429].contains(&status), "{status}");
        refused += u32::from(status == 429);
    }
    assert!(refused > 0);
    guarded.send(&get().signed(&key)).await.expect(200);
}

#[tokio::test]
async fn keys_come_rotate_and_go_while_it_runs() {
    let guarded = Guarded::new().await;
    let folder = guarded.folder.path();
    let old = guarded.key("reader --scopes accounts:read");
    let new = read(&command(folder, "rotate reader --grace 3600"));
    guarded.send(&get().bearer(&new)).await.expect_problem(401, "unauthenticated");
    guarded.gate.reload();
    for key in [&old, &new] {
        guarded.send(&get().bearer(key)).await.expect(200);
        guarded.send(&get().signed(key)).await.expect(200);
    }
    // A bad file changes nothing.
    let path = folder.join("keys.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{good}\nx = ")).unwrap();
    guarded.gate.reload();
    guarded.send(&get().bearer(&new)).await.expect(200);
    std::fs::write(&path, good).unwrap();
    command(folder, "revoke reader");
    guarded.gate.reload();
    for key in [&old, &new] {
        guarded.send(&get().bearer(key)).await.expect_problem(401, "unauthenticated");
        guarded.send(&get().signed(key)).await.expect_problem(401, "signature_invalid");
    }
}

#[tokio::test]
async fn a_certificate_stands_for_its_key() {
    let guarded = Guarded::new().await;
    let fingerprint = "ab".repeat(32);
    let key = guarded.key(&format!("service --scopes accounts:read --certificate {fingerprint}"));
    let with = |certificate| Draft { peer: Peer { loopback: false, tls: true, certificate }, ..get() };
    guarded.send(&with(Some([0xab; 32]))).await.expect(200);
    guarded.send(&with(Some([0xac; 32]))).await.expect_problem(401, "unauthenticated");
    guarded.send(&with(None)).await.expect_problem(401, "unauthenticated");
    // What is said aloud goes first.
    let wrong = with(Some([0xab; 32])).with("authorization", "Bearer service.x");
    guarded.send(&wrong).await.expect_problem(401, "unauthenticated");
    guarded.send(&with(None).bearer(&key)).await.expect(200);
}

//! A channel's part: it signs what it says.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{Request, header};
use serde_json::{Value, json};
use yue_engine::wallet::{Channel, sign_notification};

use crate::ledger::{Answer, Ledger, channel_key, id};

/// Unix seconds of now.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What a channel says of an order (its last digits).
pub(crate) fn word(order: &str, result: &str, amount: &str, reference: &str) -> Value {
    json!({
        "notification": format!("n-{reference}"), "order": id(order), "result": result, "amount": amount,
        "reference": reference, "paid_at": "2026-06-18T00:00:00+08:00",
    })
}

/// A notification as it travels.
pub(crate) async fn send(
    ledger: &Ledger,
    channel: &str,
    signatures: &[&str],
    body: impl Into<axum::body::Body>,
) -> Answer {
    let mut request = Request::post(format!("/v1/channels/{channel}/notifications"))
        .header(header::CONTENT_TYPE, "application/json");
    for signature in signatures {
        request = request.header("Yue-Channel-Signature", *signature);
    }
    ledger.send(request.body(body.into()).unwrap()).await
}

/// A notification that its channel has signed now.
pub(crate) async fn notify(ledger: &Ledger, channel: &str, word: &Value) -> Answer {
    let body = word.to_string();
    let key = channel_key(Channel::parse(channel).unwrap());
    let signature = sign_notification(&key, now_s(), body.as_bytes());
    send(ledger, channel, &[&signature], body).await
}

/// A wallet and a recharge of 100 yuan over `wechat` for it.
pub(crate) async fn recharge(ledger: &Ledger, order: &str) -> Value {
    ledger.post("/v1/wallets", &json!({"user": "alice", "class": "III"})).await;
    let body = json!({"id": id(order), "user": "alice", "channel": "wechat", "amount": "100.00"});
    ledger.post("/v1/recharges", &body).await.expect(201).body
}

/// A recharge as it is.
pub(crate) async fn shown(ledger: &Ledger, order: &str) -> Value {
    ledger.get(&format!("/v1/recharges/{}", id(order))).await.expect(200).body
}

/// What the wallet, the channel's account and its suspense have, the books being even.
pub(crate) async fn balances(ledger: &Ledger) -> [String; 3] {
    ledger.position().await;
    let (alice, _) = ledger.balance("customers:alice").await;
    let (channel, _) = ledger.balance("channels:wechat").await;
    let (suspense, _) = ledger.balance("suspense:wechat").await;
    [alice, channel, suspense]
}

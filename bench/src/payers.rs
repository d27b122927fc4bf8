//! Those who pay in the measurements that go through a server.

use std::{
    io, thread,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use uuid::Uuid;
use yue_engine::wallet::sign_notification;

use crate::{client::Client, server::CHANNEL_KEY};

/// Everybody's.
pub(crate) const PASSWORD: &str = "283904";

/// Opens a wallet with a password, or gives an open one its password.
pub(crate) fn open_wallet(client: &mut Client, user: &str) -> io::Result<()> {
    client.expect("POST", "/v1/wallets", &json!({"user": user, "class": "III"}))?;
    client.expect("PUT", &format!("/v1/wallets/{user}/password"), &json!({"password": PASSWORD}))?;
    Ok(())
}

/// Lets a wallet's owner pay without the password, as often as the server allows.
pub(crate) fn allow_small(client: &mut Client, user: &str, daily_count: u32) -> io::Result<()> {
    let small = json!({"password": PASSWORD, "enabled": true, "limit": "1.00", "daily_count": daily_count});
    client.expect("PUT", &format!("/v1/wallets/{user}/small-payment"), &small).map(drop)
}

/// Orders a recharge, and says that it is paid.
pub(crate) fn recharge(client: &mut Client, user: &str, amount: &str) -> io::Result<()> {
    let order = Uuid::now_v7();
    let body = json!({"id": order, "user": user, "channel": "bank-card", "amount": amount});
    client.expect("POST", "/v1/recharges", &body)?;
    let reference = order.simple().to_string();
    let word = json!({
        "notification": reference, "order": order, "result": "paid", "amount": amount, "reference": reference,
        "paid_at": "2026-06-18T00:00:00+08:00",
    })
    .to_string();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
    let signature = sign_notification(CHANNEL_KEY.as_bytes(), now_s, word.as_bytes());
    let headers = format!("Yue-Channel-Signature: {signature}\r\n");
    match client.call_with("POST", "/v1/channels/bank-card/notifications", &headers, &word)? {
        (200, _) => Ok(()),
        (status, answer) => Err(io::Error::other(format!("a notification: {status} {answer}"))),
    }
}

/// Does something for each of so many, each on a connection of its own.
pub(crate) fn each(count: usize, work: impl Fn(usize) -> io::Result<()> + Sync) -> io::Result<()> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

//! What all tests of the wallet need: users who may pay, merchants, many clients at once.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use uuid::Uuid;
use yue_engine::wallet::sign_notification;

use crate::{
    client::{Answer, Client},
    server::{CHANNEL_KEY, PATIENCE, yue},
};

/// Connections at once.
pub(crate) const CLIENTS: usize = 64;
/// Everybody's.
pub(crate) const PASSWORD: &str = "283904";
/// Between two tries of what was refused for the moment.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `work` once for each of `items`, by many clients at once.
pub(crate) fn each<T: Sync>(address: SocketAddr, items: &[T], work: impl Fn(&mut Client, &T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS.min(items.len()) {
            scope.spawn(|| {
                let mut client = Client::new(address);
                while let Some(item) = items.get(next.fetch_add(1, Relaxed)) {
                    work(&mut client, item);
                }
            });
        }
    });
}

/// A call until it is not refused for the moment.
pub(crate) fn patiently(mut call: impl FnMut() -> io::Result<Answer>) -> io::Result<Answer> {
    loop {
        let answer = call()?;
        if answer.status != 503 {
            return Ok(answer);
        }
        thread::sleep(PAUSE);
    }
}

/// A call until it is answered, also while the server is gone for a while: the same id settles what is unknown.
pub(crate) fn steadily(mut call: impl FnMut() -> io::Result<Answer>) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match patiently(&mut call) {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "no answer for {PATIENCE:?}: {error}"),
        }
        thread::sleep(PAUSE);
    }
}

/// A call that is answered, in the end, with one of these statuses.
pub(crate) fn expect(statuses: &[u16], call: impl FnMut() -> io::Result<Answer>) -> Value {
    let answer = steadily(call);
    assert!(statuses.contains(&answer.status), "{answer:?}");
    answer.body
}

/// Opens a merchant of the platform's own, who pays no fee.
pub(crate) fn open_merchant(client: &mut Client, merchant: &str) {
    let terms = json!({"enabled": true, "kind": "self_operated"});
    expect(&[200], || client.put(&format!("/v1/merchants/{merchant}"), &terms));
}

/// Opens a wallet whose owner pays without a password.
pub(crate) fn open_payer(client: &mut Client, user: &str) {
    let wallet = json!({"user": user, "class": "III"});
    expect(&[201, 200], || client.post("/v1/wallets", &wallet));
    let password = json!({"password": PASSWORD});
    expect(&[204], || client.put(&format!("/v1/wallets/{user}/password"), &password));
    let small =
        json!({"password": PASSWORD, "enabled": true, "limit": "1000.00", "daily_count": DAILY_COUNT});
    expect(&[200], || client.put(&format!("/v1/wallets/{user}/small-payment"), &small));
}

/// Payments a day that its owner allows a wallet without a password.
const DAILY_COUNT: u32 = 1_000_000;
/// The server's options that go with [`open_payer`]: as many payments, and the cores' worth of password hashes.
pub(crate) const PAYERS_OPTIONS: [&str; 4] =
    ["--wallet-small-payments-per-day", "1000000", "--wallet-password-hashes-max", "2"];

/// An order over a channel, and the channel's word that it is paid.
pub(crate) fn recharge(client: &mut Client, user: &str, channel: &str, fen: u64) {
    let order = Uuid::now_v7();
    let body = json!({"id": order, "user": user, "channel": channel, "amount": yuan(fen)});
    expect(&[201, 200], || client.post("/v1/recharges", &body));
    let word = json!({
        "notification": format!("n{}", order.simple()), "order": order, "result": "paid", "amount": yuan(fen),
        "reference": order.simple().to_string(), "paid_at": "2026-06-18T00:00:00+08:00",
    });
    let said = expect(&[200], || notify(client, channel, &word.to_string()));
    assert_eq!(said["effect"], "credited", "{said}");
}

/// A notification that its channel has signed now.
pub(crate) fn notify(client: &mut Client, channel: &str, body: &str) -> io::Result<Answer> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let signature = sign_notification(CHANNEL_KEY.as_bytes(), now_s, body.as_bytes());
    let path = format!("/v1/channels/{channel}/notifications");
    client.send_with("POST", &path, &format!("Yue-Channel-Signature: {signature}\r\n"), body)
}

/// Posted and held of an account, in minor units.
pub(crate) fn balance(client: &mut Client, account: &str) -> (i64, i64) {
    let shown = expect(&[200], || client.get(&format!("/v1/accounts/{account}")));
    (units(&shown["posted"]), units(&shown["held"]))
}

/// An amount's text as minor units.
pub(crate) fn units(amount: &Value) -> i64 {
    let text = amount.as_str().unwrap_or_else(|| panic!("{amount} is no amount"));
    text.replace('.', "").parse().unwrap()
}

pub(crate) fn yuan(fen: u64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

/// The offline check of all that is on disk.
pub(crate) fn assert_verifies(data: &Path) {
    let verified = yue(&["verify", "--data", data.to_str().unwrap()]).output().unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// Debits equal credits in each asset.
pub(crate) fn assert_even(client: &mut Client) {
    let trial = expect(&[200], || client.get("/v1/trial-balance"));
    for asset in trial["assets"].as_array().unwrap() {
        assert_eq!(asset["balanced"], true, "{trial}");
    }
}

//! The sandbox channel against the wallet: whatever it does to notifications, the money is where it belongs.

use std::net::SocketAddr;

use clap::Parser as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use yue_engine::wallet::Channel;
use yue_server::{
    cli::{Cli, Command},
    sandbox_channel::{SandboxArguments, SandboxChannel},
};

use crate::ledger::{Ledger, channel_key, id};

const CHANNELS: [&str; 3] = ["wechat", "alipay", "bank-card"];

fn arguments(options: &[&str]) -> SandboxArguments {
    let arguments = ["yue", "sandbox-channel", "--listen=127.0.0.1:0"].iter().chain(options);
    let Command::SandboxChannel(arguments) = Cli::try_parse_from(arguments).unwrap().command else {
        panic!("sandbox-channel")
    };
    arguments
}

/// The wallet behind a port, and the sandbox behind another.
async fn start(ledger: &Ledger, options: &[&str]) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let notify = format!("--notify-url=http://{}", socket.local_addr().unwrap());
    let router = ledger.router.clone();
    tokio::spawn(async move { axum::serve(socket, router).await });
    let options: Vec<&str> = options.iter().copied().chain([notify.as_str()]).collect();
    let keys =
        CHANNELS.map(|name| Channel::parse(name).unwrap()).map(|channel| (channel, channel_key(channel)));
    let sandbox = SandboxChannel::bind(arguments(&options), keys.into()).await.unwrap();
    let address = sandbox.address();
    tokio::spawn(sandbox.serve());
    address
}

/// One request; `None` if the connection ended without an answer.
async fn call(sandbox: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(sandbox).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some((status, serde_json::from_str(body).unwrap()))
}

#[tokio::test]
async fn an_order_is_taken_once() {
    let ledger = Ledger::new();
    let sandbox = start(&ledger, &["--notify-after-ms=100000"]).await;
    let post = async |body: Value| call(sandbox, "POST", "/orders", &body.to_string()).await.unwrap();
    let order = json!({"channel": "wechat", "order": id("b1"), "amount": "5.00"});
    let taken = json!({
        "order": id("b1"), "channel": "wechat", "amount": "5.00", "state": "open", "paid": null, "reference": null,
        "paid_at": null, "done": false,
    });
    assert_eq!(post(order.clone()).await, (201, taken.clone()));
    assert_eq!(post(order.clone()).await, (200, taken.clone()));
    assert_eq!(call(sandbox, "GET", &format!("/orders/{}", id("b1")), "").await, Some((200, taken)));
    for (field, value, status, code) in [
        ("amount", "6.00", 409, "id_reused"),
        ("channel", "alipay", 409, "id_reused"),
        ("channel", "ecny", 401, "signature_invalid"),
        ("channel", "paypal", 400, "malformed"),
        ("amount", "0", 422, "amount_invalid"),
        ("order", "b1", 400, "malformed"),
    ] {
        let mut other = order.clone();
        other[field] = json!(value);
        let (found, problem) = post(other).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{field}");
    }
    let (status, totals) = call(sandbox, "GET", "/totals", "").await.unwrap();
    assert_eq!((status, &totals["orders"], &totals["open"]), (200, &json!(1), &json!(1)));
    for path in ["/", "/orders", "/orders/x", &format!("/orders/{}", id("b2"))] {
        assert_eq!(call(sandbox, "GET", path, "").await.unwrap().0, 404, "{path}");
    }
}

#[tokio::test]
async fn it_plays_on_loopback_only() {
    for (options, why) in [
        (["--listen=0.0.0.0:0", "--seed=1"], "loopback"),
        (["--notify-url=https://127.0.0.1", "--seed=1"], "can't notify"),
        (["--fail-rate=0.6", "--abandon-rate=0.5"], "more than 1"),
        (["--timeout-rate=0.6", "--lose-answer-rate=0.5"], "more than 1"),
    ] {
        let command = ["yue", "sandbox-channel"].into_iter().chain(options);
        let Command::SandboxChannel(arguments) = Cli::try_parse_from(command).unwrap().command else {
            panic!()
        };
        let Err(refused) = SandboxChannel::bind(arguments, Vec::new()).await else { panic!("{options:?}") };
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[tokio::test]
async fn whatever_the_channel_does_the_money_is_where_it_belongs() {
    const ORDERS: usize = 240;
    let ledger = Ledger::new();
    ledger.post("/v1/wallets", &json!({"user": "alice", "class": "III"})).await.expect(201);
    let sandbox = start(
        &ledger,
        &[
            "--seed=7",
            "--notify-after-ms=1",
            "--late-after-ms=50",
            "--timeout-after-ms=10",
            "--fail-rate=0.1",
            "--abandon-rate=0.1",
            "--wrong-amount-rate=0.15",
            "--late-rate=0.2",
            "--duplicate-rate=0.5",
            "--reorder-rate=0.3",
            "--timeout-rate=0.1",
            "--lose-answer-rate=0.1",
        ],
    )
    .await;
    let play = async |number: usize| {
        let (order, channel) = (id(&format!("{number:x}")), CHANNELS[number % CHANNELS.len()]);
        let amount = format!("{}.{:02}", 1 + number, number % 100);
        let recharge = json!({"id": order, "user": "alice", "channel": channel, "amount": amount});
        ledger.post("/v1/recharges", &recharge).await.expect(201);
        let body = json!({"channel": channel, "order": order, "amount": amount}).to_string();
        let answered = call(sandbox, "POST", "/orders", &body).await;
        // Who was not answered asks again.
        let again = call(sandbox, "POST", "/orders", &body).await.unwrap();
        assert_eq!((answered.map_or(201, |(status, _)| status), again.0), (201, 200));
    };
    join_all((0..ORDERS).map(play)).await;
    let totals = loop {
        let (_, totals) = call(sandbox, "GET", "/totals", "").await.unwrap();
        if totals["open"] == 0 {
            break totals;
        }
        tokio::task::yield_now().await;
    };
    // All of it was played.
    for played in [
        "paid",
        "failed",
        "abandoned",
        "wrong_amounts",
        "late",
        "duplicated",
        "reordered",
        "timeouts",
        "lost_answers",
    ] {
        assert!(totals[played].as_u64().unwrap() > 0, "{played}: {totals}");
    }
    let ends = ["paid", "failed", "abandoned"].map(|end| totals[end].as_u64().unwrap());
    assert_eq!(ends.iter().sum::<u64>(), ORDERS as u64);
    assert_eq!(totals["notifications"]["sent"], totals["notifications"]["acknowledged"], "{totals}");
    let mut wrong = 0;
    for number in 0..ORDERS {
        let order = id(&format!("{number:x}"));
        let (_, played) = call(sandbox, "GET", &format!("/orders/{order}"), "").await.unwrap();
        let shown = ledger.get(&format!("/v1/recharges/{order}")).await.expect(200).body;
        let (status, reason) = match played["state"].as_str().unwrap() {
            "paid" if played["paid"] == played["amount"] => ("paid", Value::Null),
            "paid" => ("suspended", json!("amount_differs")),
            "failed" => ("failed", Value::Null),
            "abandoned" => ("pending", Value::Null),
            other => panic!("{other}"),
        };
        wrong += u64::from(status == "suspended");
        assert_eq!((&shown["status"], &shown["reason"]), (&json!(status), &reason), "{played} {shown}");
        if played["state"] == "paid" {
            assert_eq!(shown["reference"], played["reference"]);
        }
    }
    assert_eq!(totals["wrong_amounts"], wrong);
    ledger.position().await;
    for channel in CHANNELS {
        let taken = &totals["channels"][channel];
        assert_eq!(json!(ledger.balance(&format!("channels:{channel}")).await.0), taken["paid"], "{channel}");
        let suspense = ledger.balance(&format!("suspense:{channel}")).await.0;
        assert_eq!(json!(suspense), taken["wrong_amounts"], "{channel}");
    }
}

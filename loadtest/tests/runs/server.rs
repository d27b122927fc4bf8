//! The naive wallet behind HTTP, on a port of its own.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::ledger::Fault;
use crate::wallet::Wallet;

/// Every so many payments get no answer from a silent server.
const SILENT_EVERY: u64 = 40;

/// Serves on a thread for as long as the test runs; gives the URL.
pub(crate) fn start(fault: Fault) -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            serve(&listener, fault).await;
        });
    });
    format!("http://{}", receiver.recv().unwrap())
}

async fn serve(listener: &TcpListener, fault: Fault) {
    let wallet = Arc::new(Mutex::new((Wallet::new(fault), 0)));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let wallet = Arc::clone(&wallet);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&wallet), request));
            // A client that goes away is none of the test's business.
            let _gone = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    shared: Arc<Mutex<(Wallet, u64)>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (response, fault, silent) = {
        let mut shared = shared.lock().unwrap();
        let (wallet, payments) = &mut *shared;
        let single = head.method == Method::POST && head.uri.path() == "/v1/payments";
        let fault = wallet.ledger.fault;
        *payments += u64::from(single);
        let silent = single && fault == Fault::SilentButApplies && *payments % SILENT_EVERY == 0;
        (route(wallet, &head.method, head.uri.path(), head.uri.query(), &body), fault, silent)
    };
    if silent {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    if fault == Fault::Slow {
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    Ok(response)
}

fn route(
    wallet: &mut Wallet,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: &[u8],
) -> Response<Full<Bytes>> {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').skip(1).collect();
    let (status, value) = match (method, parts.as_slice()) {
        (&Method::POST, ["wallets"]) => wallet.open(&parsed),
        (&Method::GET, ["wallets", user]) => wallet.show(user),
        (&Method::PUT, ["wallets", _, "password"]) => (204, Value::Null),
        (&Method::PUT, ["wallets", _, "small-payment"]) => (200, Value::Null),
        (&Method::POST, ["wallets", user, "devices"]) => (201, json!({"device": format!("d-{user}")})),
        (&Method::POST, ["wallets", user, "payment-tokens"]) => wallet.token(user, &parsed),
        (&Method::POST, ["wallets", user, "transfers"]) => wallet.transfer(user, &parsed),
        (&Method::PUT, ["merchants", merchant]) => wallet.set_merchant(merchant, &parsed),
        (&Method::POST, ["promotions"]) => wallet.promote(&parsed),
        (&Method::GET, ["promotions", id]) => wallet.show_promotion(id),
        (&Method::POST, ["recharges"]) => wallet.order(&parsed),
        (&Method::GET, ["recharges", id]) => wallet.show_recharge(id),
        (&Method::POST, ["channels", channel, "notifications"]) => wallet.notify(channel, &parsed),
        (&Method::POST, ["payments"]) => wallet.pay(&parsed),
        (&Method::GET, ["payments", id]) => wallet.show_payment(id),
        (&Method::POST, ["payments", id, "cancel"]) => wallet.cancel(id),
        (&Method::POST, ["payments", id, "refunds"]) => wallet.refund(id, &parsed),
        (&Method::POST, ["accounts"]) => wallet.ledger.open(&parsed),
        (&Method::GET, ["accounts", address, ..]) => wallet.ledger.account(address),
        (&Method::POST, ["transactions"]) => wallet.ledger.transaction(&parsed, true),
        (&Method::POST, ["transactions", "batch"]) => wallet.ledger.batch(&parsed),
        (&Method::GET, ["transactions", _]) => (200, json!({})),
        (&Method::GET, ["trial-balance"]) => wallet.ledger.trial_balance(),
        (&Method::GET, ["events"]) => return events(wallet, query.unwrap_or_default()),
        _ => (404, Value::Null),
    };
    let body = if status == 204 { String::new() } else { value.to_string() };
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

fn events(wallet: &Wallet, query: &str) -> Response<Full<Bytes>> {
    let after = query.strip_prefix("after=").unwrap().parse().unwrap();
    let mut text = String::from(": welcome\n\n");
    for (position, kind, data) in wallet.ledger.events_after(after) {
        text += &format!("id: {position}\nevent: {kind}\ndata: {data}\n\n");
    }
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Full::new(Bytes::from(text)))
        .unwrap()
}

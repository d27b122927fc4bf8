//! The naive ledger behind HTTP, on a port of its own.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::ledger::{Fault, Ledger};

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
    let ledger = Arc::new(Mutex::new((Ledger::new(fault), 0)));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&ledger), request));
            // A client that goes away is none of the test's business.
            let _gone = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    shared: Arc<Mutex<(Ledger, u64)>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (response, fault, silent) = {
        let mut shared = shared.lock().unwrap();
        let (ledger, payments) = &mut *shared;
        let single = head.method == Method::POST && head.uri.path() == "/v1/transactions";
        let fault = ledger.fault();
        *payments += u64::from(single);
        let silent = single && fault == Fault::SilentButApplies && *payments % SILENT_EVERY == 0;
        (route(ledger, &head.method, head.uri.path(), head.uri.query(), &body), fault, silent)
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
    ledger: &mut Ledger,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: &[u8],
) -> Response<Full<Bytes>> {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (status, value) = match (method, parts.as_slice()) {
        (&Method::POST, ["v1", "accounts"]) => ledger.open(&parsed),
        (&Method::GET, ["v1", "accounts", address, ..]) => ledger.account(address),
        (&Method::POST, ["v1", "transactions"]) => ledger.post_single(&parsed),
        (&Method::POST, ["v1", "transactions", "batch"]) => ledger.batch(&parsed),
        (&Method::GET, ["v1", "transactions", id]) => ledger.transaction(id),
        (&Method::GET, ["v1", "holds", id]) => ledger.hold(id),
        (&Method::GET, ["v1", "trial-balance"]) => ledger.trial_balance(),
        (&Method::GET, ["v1", "events"]) => return events(ledger, query.unwrap_or_default()),
        _ => (404, Value::Null),
    };
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(value.to_string())))
        .unwrap()
}

fn events(ledger: &Ledger, query: &str) -> Response<Full<Bytes>> {
    let after = query.strip_prefix("after=").unwrap().parse().unwrap();
    let mut text = String::from(": welcome\n\n");
    for (position, kind, data) in ledger.events_after(after) {
        text += &format!("id: {position}\nevent: {kind}\ndata: {data}\n\n");
    }
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Full::new(Bytes::from(text)))
        .unwrap()
}

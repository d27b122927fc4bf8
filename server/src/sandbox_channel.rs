//! `yue sandbox-channel`: the four channels, played on loopback for rehearsals and tests.
//!
//! Takes orders (`POST /orders`), pays them or not, by seed and rates, and notifies the wallet as a channel does: signed,
//! until it is answered with 200, and perhaps late, twice, out of order or with another amount. `GET /orders/{order}`
//! says how an order stands, `GET /totals` what was done to all of them. Owns nothing that outlives the process. Never
//! part of the wallet: it knows the wallet's contract and the channels' keys, as a channel does.

mod book;
mod notifier;
mod options;
mod plan;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Limited};
use hyper::{Method, Request, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use yue_engine::{
    model::{Amount, RequestedAmount, Timestamp, TransactionId, format_units},
    wallet::{Channel, WalletCode},
};

pub use self::options::{Rate, SandboxArguments};
use self::{
    book::{Book, Order, Taken},
    notifier::Notifier,
    plan::{Answering, End, Plan},
};
use crate::{
    json::{FromText as _, Object, Text, parse},
    problem::{Code, Problem},
    routes::json as answer,
    wire::wallet::{customer::CNY_SCALE, yuan},
};

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// It is for this machine only.
    #[error("refused to listen on {0}: the sandbox is for loopback only")]
    NotLoopback(SocketAddr),
    /// Not `http://host:port`.
    #[error("can't notify {0:?}: not a base such as http://127.0.0.1:8080")]
    NotifyUrl(String),
    /// More than all orders.
    #[error("{0} are more than 1 together")]
    Rates(&'static str),
    /// Nothing could be signed.
    #[error("no channel has a key: set YUE_CHANNEL_KEY_WECHAT and so on, as for the wallet")]
    NoKeys,
    /// The port, or a signal.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// A start that was refused or failed.
pub fn run(arguments: SandboxArguments) -> Result<(), SandboxError> {
    let keys = crate::secrets::channel_keys();
    if keys.is_empty() {
        return Err(SandboxError::NoKeys);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = crate::serve::StopSignal::install()?;
        let sandbox = SandboxChannel::bind(arguments, keys).await?;
        writeln!(io::stdout(), "listening on http://{}", sandbox.address())?;
        tokio::select! {
            () = sandbox.serve() => {}
            () = stop.received() => {}
        }
        Ok(())
    })
}

/// The channels behind a port.
pub struct SandboxChannel {
    socket: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    arguments: SandboxArguments,
    notifier: Notifier,
    book: Mutex<Book>,
}

/// An order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderIn {
    channel: Text<Channel>,
    order: Text<TransactionId>,
    amount: Text<RequestedAmount>,
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("this answer is lost, as was asked for")]
struct Lost;

impl SandboxChannel {
    const BODY_BYTES_MAX: usize = 16 << 10;
    const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

    /// Binds the port.
    ///
    /// # Errors
    /// An address that is not on loopback or is taken, a base that is none, rates above 1.
    pub async fn bind(
        arguments: SandboxArguments,
        keys: Vec<(Channel, Vec<u8>)>,
    ) -> Result<Self, SandboxError> {
        if !arguments.listen.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(arguments.listen));
        }
        if arguments.fail_rate.and(arguments.abandon_rate).is_none() {
            return Err(SandboxError::Rates("fail-rate and abandon-rate"));
        }
        if arguments.timeout_rate.and(arguments.lose_answer_rate).is_none() {
            return Err(SandboxError::Rates("timeout-rate and lose-answer-rate"));
        }
        let notifier = Notifier::new(&arguments.notify_url, keys);
        let notifier = notifier.ok_or_else(|| SandboxError::NotifyUrl(arguments.notify_url.clone()))?;
        let socket = TcpListener::bind(arguments.listen).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, shared: Arc::new(Shared { arguments, notifier, book: Mutex::default() }) })
    }

    /// The address, with the port that was taken if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves for ever.
    pub async fn serve(self) {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => serve_connection(stream, Arc::clone(&self.shared)),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(Self::ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    // Only a delay is lost if it can't be set.
    let _best_effort = stream.set_nodelay(true);
    tokio::spawn(async move {
        let service = service_fn(|request| Arc::clone(&shared).handle(request));
        // An answer that is lost on purpose ends it too.
        let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    });
}

impl Shared {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Response, Lost> {
        let path = request.uri().path().to_owned();
        let answered = match (request.method(), path.as_str()) {
            (&Method::POST, "/orders") => return self.order(request).await,
            (&Method::GET, "/totals") => Ok(answer(StatusCode::OK, &self.book().totals())),
            (&Method::GET, path) => self.shown(path.strip_prefix("/orders/")),
            _ => Err(Problem::not_found("call of the sandbox")),
        };
        Ok(answered.unwrap_or_else(Problem::into_response))
    }

    fn shown(&self, order: Option<&str>) -> Result<Response, Problem> {
        let order = order.and_then(TransactionId::from_text).and_then(|order| self.book().order(order));
        order.map(|order| answer(StatusCode::OK, &order)).ok_or_else(|| Problem::not_found("order"))
    }

    /// Takes an order, and answers it, or not.
    async fn order(self: Arc<Self>, request: Request<Incoming>) -> Result<Response, Lost> {
        let (status, order, plan) = match self.take(request).await {
            Ok(taken) => taken,
            Err(problem) => return Ok(problem.into_response()),
        };
        if status == StatusCode::CREATED {
            tokio::spawn(Arc::clone(&self).play(order.clone(), plan));
        }
        match plan.answering {
            Answering::Prompt => Ok(answer(status, &order)),
            // Who asks again is answered.
            Answering::Silent | Answering::Lost if status == StatusCode::OK => Ok(answer(status, &order)),
            Answering::Silent => {
                sleep(Duration::from_millis(self.arguments.timeout_after_ms)).await;
                Err(Lost)
            }
            Answering::Lost => Err(Lost),
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Result<(StatusCode, Order, Plan), Problem> {
        let body = Limited::new(request.into_body(), SandboxChannel::BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Problem::new(Code::TooLarge, error.to_string()).closes())?.to_bytes();
        let Object(OrderIn { channel: Text(channel), order: Text(order), amount }) =
            parse::<Object<OrderIn>>(&body)?;
        let amount = yuan(&amount.0, "/amount")?;
        if !self.notifier.has_key(channel) {
            let detail = format!("the channel {} has no key to sign with", channel.as_str());
            return Err(Problem::new(Code::Wallet(WalletCode::SignatureInvalid), detail));
        }
        let plan = Plan::draw(&self.arguments, order, amount);
        match self.book().take((channel, order, amount), &plan, self.arguments.orders_max) {
            Taken::New(order) => Ok((StatusCode::CREATED, order, plan)),
            Taken::Again(order) => Ok((StatusCode::OK, order, plan)),
            Taken::Reused(field) => {
                Err(Problem::new(Code::IdReused, "the order was taken with another body").field(field))
            }
            Taken::Full => Err(Problem::new(Code::Overloaded, "the sandbox remembers no more orders")),
        }
    }

    /// What happens to an order from now on.
    async fn play(self: Arc<Self>, order: Order, plan: Plan) {
        let reference = format!("sb{:032x}", order.order.0);
        sleep(self.arguments.notify_after()).await;
        let now = now();
        self.book().decide(order.order, &plan, &reference, now);
        if plan.late {
            sleep(Duration::from_millis(self.arguments.late_after_ms)).await;
        }
        match plan.end {
            End::Abandoned => {}
            End::Failed => self.notify(&order, &plan, ("failed", order.amount), &reference, None).await,
            End::Paid(amount) => self.notify(&order, &plan, ("paid", amount), &reference, Some(now)).await,
        }
        if plan.reordered {
            // Of a first attempt: it was on its way for longer.
            let once = Plan { duplicates: 0, ..plan };
            self.notify(&order, &once, ("failed", order.amount), &format!("{reference}-0"), None).await;
        }
        self.book().done(order.order);
    }

    async fn notify(
        &self,
        order: &Order,
        plan: &Plan,
        (result, amount): (&str, Amount),
        reference: &str,
        paid_at: Option<Timestamp>,
    ) {
        let body = json!({
            "notification": format!("{reference}-n"), "order": order.order.to_string(), "result": result,
            "amount": format_units(amount.units().into(), CNY_SCALE), "reference": reference,
            "paid_at": paid_at.map(|at| at.to_string()),
        });
        let body = Bytes::from(body.to_string());
        let copies = (0..=plan.duplicates).map(|_| async {
            self.notifier.deliver(order.channel, body.clone(), || self.book().sent()).await;
            self.book().acknowledged();
        });
        join_all(copies).await;
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    Timestamp(i64::try_from(since).unwrap_or(i64::MAX))
}

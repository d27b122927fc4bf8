//! Admission: which commands are let in before their bodies are read, and how the others are told.
//!
//! Owns the commands in flight behind the HTTP side, their adaptive bound, and the pace of refusals. Never reads a body,
//! never looks into one, never waits for the engine. Invariants: no more commands than the bound are worked on at once;
//! what only asks (health, metrics, reads of outcomes) is never refused here; and refusals leave at a bounded rate, so
//! that saying no can't take the processors from those who were let in.

mod gate;
mod pace;

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
pub(crate) use gate::Slot;
use gate::{Floor, Gate};
use http_body_util::BodyExt as _;
use pace::Pace;
use tokio::time::{sleep, timeout};
use yue_engine::{engine::Engine, model::Timestamp, view::Unavailable, wallet::Wallet};

use crate::{
    body::{ReceivedBody, discard},
    config::HttpLimits,
    problem::{Code, Problem, ProblemBody, retry_overloaded_s},
    telemetry::Route,
};

/// The header with which a client says how many milliseconds it waits.
pub const DEADLINE_HEADER: &str = "yue-deadline-ms";

/// How a route is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Always: it asks, and is quick.
    Open,
    /// Through the gate.
    Command,
    /// Through the bound of password checks, which has a queue of its own behind it.
    Password,
    /// Long work with bounds of its own, which tells nothing about the commands' latency.
    Long,
}

impl Class {
    /// The class of a route.
    pub(crate) const fn of(route: Route) -> Self {
        match route {
            Route::AccountGet
            | Route::AccountList
            | Route::History
            | Route::Balance
            | Route::TransactionGet
            | Route::HoldGet
            | Route::TrialBalance
            | Route::Head
            | Route::Events
            | Route::WalletGet
            | Route::RechargeGet
            | Route::PaymentGet
            | Route::PromotionGet
            | Route::Healthz
            | Route::Readyz
            | Route::Metrics
            | Route::OpenApi
            | Route::Unknown => Self::Open,
            Route::AccountOpen
            | Route::AccountChange
            | Route::TransactionSubmit
            | Route::WalletOpen
            | Route::WalletChange
            | Route::DeviceRevoke
            | Route::WealthSet
            | Route::WealthRedeem
            | Route::WalletTransfer
            | Route::RechargeCreate
            | Route::ChannelNotify
            | Route::PaymentCreate
            | Route::PaymentCancel
            | Route::PaymentRefund
            | Route::MerchantSet
            | Route::PromotionCreate => Self::Command,
            Route::PasswordSet | Route::TokenCreate | Route::DeviceAdd | Route::SmallPaymentSet => {
                Self::Password
            }
            Route::TransactionBatch | Route::ChannelStatement | Route::WealthDay | Route::DayClose => {
                Self::Long
            }
        }
    }
}

/// What is known of a request when its head is there; travels with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    class: Class,
    due: Option<Due>,
}

/// For how long the sender of a request waits. The engine, which may still recover, says what time that is.
#[derive(Clone, Copy, Debug)]
struct Due {
    arrived: Instant,
    within: Duration,
}

impl Arrival {
    /// Longest time that a deadline may leave: an hour, as for a request that waits for nothing.
    pub(crate) const DEADLINE_MS_MAX: u32 = 3_600_000;

    /// Reads the deadline of a request that is no mere question, and puts it on its way with it.
    ///
    /// # Errors
    /// The header is no number of milliseconds.
    pub(crate) fn note(request: &mut Request, class: Class, arrived: Instant) -> Result<(), Problem> {
        if class == Class::Open {
            return Ok(());
        }
        let due = match request.headers().get(DEADLINE_HEADER) {
            None => None,
            Some(value) => {
                let ms = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let ms = ms.and_then(|text| text.parse::<u32>().ok());
                let ms = ms.filter(|&ms| ms <= Self::DEADLINE_MS_MAX).ok_or_else(|| {
                    let most = Self::DEADLINE_MS_MAX;
                    Problem::new(Code::Malformed, format!("{DEADLINE_HEADER} is no number from 0 to {most}"))
                })?;
                Some(Due { arrived, within: Duration::from_millis(ms.into()) })
            }
        };
        request.extensions_mut().insert(Self { class, due });
        Ok(())
    }

    /// Of a request on its way.
    pub(crate) fn of(request: &Request) -> Self {
        request.extensions().get().copied().unwrap_or(Self { class: Class::Open, due: None })
    }

    /// Until when it may be decided, in the engine's time.
    pub(crate) fn deadline(&self, engine: &Engine) -> Option<Timestamp> {
        let Due { arrived, within } = self.due?;
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Some(engine.now().plus_nanos(nanos(within).saturating_sub(nanos(arrived.elapsed()))))
    }

    /// Refuses what is too late already.
    ///
    /// # Errors
    /// It is.
    pub(crate) fn check(&self, engine: &Engine) -> Result<(), Problem> {
        let late = self.deadline(engine).is_some_and(|deadline| deadline < engine.now());
        if late { Err(Unavailable::Late.into()) } else { Ok(()) }
    }
}

/// A body that has arrived, with its place among the commands that are worked on: for as long as it is kept.
pub(crate) struct Admitted {
    body: ReceivedBody,
    _slot: Option<Slot>,
    deadline: Option<Timestamp>,
}

impl Admitted {
    pub(crate) fn new(body: ReceivedBody, slot: Option<Slot>, deadline: Option<Timestamp>) -> Self {
        Self { body, _slot: slot, deadline }
    }

    /// Until when the command may be decided.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }
}

impl std::ops::Deref for Admitted {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.body
    }
}

/// What the metrics page shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commands that may be worked on at once, now.
    pub limit: usize,
    /// Commands that are worked on.
    pub in_flight: usize,
    /// Requests refused before their bodies were read.
    pub refused: u64,
    /// Refusals that wait for their turn.
    pub waiting: usize,
}

/// See the module.
pub(crate) struct Admission {
    gate: Arc<Gate>,
    pace: Pace,
    refused: AtomicU64,
    started: Instant,
}

impl Admission {
    pub(crate) fn new(limits: &HttpLimits) -> Self {
        Self {
            gate: Arc::new(Gate::new(limits.admission_target)),
            pace: Pace::new(limits.refusals_per_second_max),
            refused: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Whether a request goes on, before its body is read. Cheap: a few loads.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn lets_in(&self, class: Class, wallet: Option<&Wallet>) -> Result<(), Unavailable> {
        let Some(wallet) = wallet.filter(|_| class != Class::Open) else { return Ok(()) };
        wallet.engine().admission()?;
        let (has_room, what) = match class {
            Class::Open | Class::Long => (true, ""),
            Class::Command => (self.gate.has_room(), "the server"),
            Class::Password => (wallet.checks_passwords(), "the queue of passwords"),
        };
        if has_room { Ok(()) } else { Err(Unavailable::Overloaded(what)) }
    }

    /// A place among the commands that are worked on, now that the body is there; none where none is needed.
    ///
    /// # Errors
    /// There is none, or the deadline has passed.
    pub(crate) fn enter(&self, arrival: Arrival, wallet: Option<&Wallet>) -> Result<Option<Slot>, Problem> {
        let engine = wallet.map(Wallet::engine);
        if let Some(engine) = engine {
            arrival.check(engine)?;
        }
        if arrival.class != Class::Command {
            return Ok(None);
        }
        let full = || Problem::new(Code::Overloaded, "more commands are worked on than are let in");
        let slot = Gate::enter(&self.gate).ok_or_else(full)?;
        self.turn_window(engine);
        Ok(Some(slot))
    }

    /// Ends the gate's window, if it is over.
    fn turn_window(&self, engine: Option<&Engine>) {
        if self.gate.is_due(self.started.elapsed()) {
            let floor = engine.map(|engine| {
                let (groups, nanos) = engine.sync_time();
                Floor { groups, nanos }
            });
            self.gate.turn(self.started.elapsed(), floor.unwrap_or_default());
            if let Some(engine) = engine {
                engine.set_account_commands_max(self.gate.account_share());
            }
        }
    }

    /// Waits for a refusal's turn.
    pub(crate) async fn turn(&self) {
        let wait = self.pace.next(self.started.elapsed());
        if !wait.is_zero() {
            let _waiting = self.pace.waits();
            sleep(wait).await;
        }
    }

    /// Refuses a request: what is small of its body is taken off the wire, so that the connection goes on.
    pub(crate) async fn refuse(&self, request: Request, why: Unavailable) -> (Code, Response) {
        self.refused.fetch_add(1, Relaxed);
        let waits = request.headers().contains_key(header::EXPECT);
        // A client that waits for `100 Continue` has not sent the body yet, and does not.
        let closes = waits || !take_off(request.into_body()).await;
        match why {
            Unavailable::StorageLow => {
                let problem = Problem::from(why);
                (problem.code(), if closes { problem.closes() } else { problem }.into_response())
            }
            Unavailable::Overloaded(_) | Unavailable::Stopping | Unavailable::Late => {
                self.turn().await;
                (Code::Overloaded, overloaded(closes))
            }
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            limit: self.gate.limit(),
            in_flight: self.gate.in_flight(),
            refused: self.refused.load(Relaxed),
            waiting: self.pace.waiting(),
        }
    }
}

/// Most bytes of a refused request's body that are read so that its connection goes on.
const TAKE_OFF_BYTES_MAX: u64 = 64 << 10;
/// Time in which they must be there: they were mostly sent with the head.
const TAKE_OFF_TIME_MAX: Duration = Duration::from_millis(200);

/// Whether a body is off the wire. One that is large, or does not come, is left to be thrown away beside its answer.
async fn take_off(mut body: Body) -> bool {
    if body.is_end_stream() {
        return true;
    }
    if body.size_hint().upper().is_none_or(|most| most > TAKE_OFF_BYTES_MAX) {
        discard(body);
        return false;
    }
    let taken = timeout(TAKE_OFF_TIME_MAX, async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    });
    taken.await.unwrap_or(false)
}

/// The answer, made once but for the seconds of its `Retry-After`.
fn overloaded(closes: bool) -> Response {
    static BODY: LazyLock<Bytes> = LazyLock::new(|| {
        let problem = Problem::new(Code::Overloaded, "more commands wait than are let in; nothing was read");
        serde_json::to_vec(&ProblemBody::from(problem)).unwrap_or_default().into()
    });
    let mut response = Response::new(Body::from(BODY.clone()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_overloaded_s()));
    if closes {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

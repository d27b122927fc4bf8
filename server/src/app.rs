//! The table of routes, and what they share.
//!
//! Owns the routes and the state of the process (starting, ready, stopping). Never reads a body or builds an answer:
//! each route is a file in `routes`. Invariant: a handler runs with a recovered engine or not at all.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use axum::{
    Router,
    extract::Request,
    handler::Handler,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use yue_engine::{engine::Engine, model::Caller, wallet::Wallet};

use crate::{
    admission::{Admission, Admitted, Arrival, Class},
    auth::{BodyKind, Gate, InForce, Policy, Standing, StreamOfKey},
    body::{self, BodyLimits, BodyMemory, ReceivedBody},
    config::HttpLimits,
    heads::SignedHead,
    origin,
    problem::{Code, Problem},
    query::Query,
    routes::{
        accounts, batch, docs, events, head, health, history, holds, metrics, transactions, trial_balance,
        wallet,
    },
    telemetry::{Route, Telemetry},
};

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The engine recovers.
    Starting,
    /// Requests are served.
    Ready,
    /// Requests in flight are ended, no new ones are taken.
    Stopping,
}

/// What all routes share, as the caller of a request may use it. Cheap to clone.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
    caller: Caller,
    /// The caller's key, if it is to be looked at again.
    standing: Option<Standing>,
}

struct Shared {
    wallet: OnceLock<Wallet>,
    phase: watch::Sender<Phase>,
    limits: HttpLimits,
    telemetry: Telemetry,
    event_streams: Arc<Semaphore>,
    body_memory: BodyMemory,
    admission: Admission,
    newest_head: ArcSwapOption<SignedHead>,
    /// `None`: everybody who reaches the server may do everything.
    gate: Option<Gate>,
}

impl App {
    /// How long a request waits for a recovery that is nearly done, before it is told to come back. Small
    /// directories recover within it, so that clients do not see a start at all.
    const START_WAIT: Duration = Duration::from_secs(5);

    /// An application whose engine is still to come, open to all.
    #[must_use]
    pub fn new(limits: HttpLimits) -> Self {
        Self::guarded(limits, None)
    }

    /// The same, for those that a gate lets in.
    #[must_use]
    pub fn guarded(limits: HttpLimits, gate: Option<Gate>) -> Self {
        let shared = Arc::new(Shared {
            wallet: OnceLock::new(),
            phase: watch::Sender::new(Phase::Starting),
            limits,
            telemetry: Telemetry::default(),
            event_streams: Arc::new(Semaphore::new(limits.event_streams_max.min(Semaphore::MAX_PERMITS))),
            body_memory: BodyMemory::new(limits.body_memory_bytes_max),
            admission: Admission::new(&limits),
            newest_head: ArcSwapOption::empty(),
            gate,
        });
        Self { shared, caller: Caller::TRUSTED, standing: None }
    }

    /// Hands in the wallet of the recovered engine; requests are served from now on.
    pub fn ready(&self, wallet: Wallet) {
        if self.shared.wallet.set(wallet).is_ok() {
            self.shared.phase.send_if_modified(|phase| {
                let starting = *phase == Phase::Starting;
                if starting {
                    *phase = Phase::Ready;
                }
                starting
            });
        }
    }

    /// Says that the process is about to end.
    pub fn stop(&self) {
        self.shared.phase.send_replace(Phase::Stopping);
    }

    /// Where the process is in its life.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.shared.phase.subscribe()
    }

    /// The engine, if it is recovered.
    #[must_use]
    pub fn recovered(&self) -> Option<&Engine> {
        self.shared.wallet.get().map(Wallet::engine)
    }

    /// The application, as a caller may use it.
    pub(crate) fn for_caller(&self, caller: Caller, standing: Option<Standing>) -> Self {
        Self { shared: Arc::clone(&self.shared), caller, standing }
    }

    /// Refuses a caller whose key was taken out of force since it was looked at. Whoever reads a body asks this when all
    /// of it is there, and before anything is done.
    pub(crate) fn check_standing(&self) -> Result<(), Problem> {
        self.standing.as_ref().map_or(Ok(()), Standing::check)
    }

    /// Takes a head that is in its log.
    pub(crate) fn head_signed(&self, head: SignedHead) {
        self.shared.newest_head.store(Some(Arc::new(head)));
    }

    /// The newest head that was signed, if heads are.
    pub(crate) fn newest_head(&self) -> Option<SignedHead> {
        self.shared.newest_head.load().as_deref().copied()
    }

    /// Whose calls are taken, if not everybody's are.
    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.shared.gate.as_ref()
    }

    /// The engine, for the caller; waits a moment for a recovery that is nearly done.
    pub(crate) async fn engine(&self) -> Result<Engine, Problem> {
        Ok(self.ready_wallet().await?.engine().for_caller(self.caller.clone()))
    }

    /// The wallet, likewise.
    pub(crate) async fn wallet(&self) -> Result<Wallet, Problem> {
        Ok(self.ready_wallet().await?.for_caller(self.caller.clone()))
    }

    /// The wallet, for a command that has its request's deadline.
    pub(crate) async fn wallet_until(&self, arrival: Arrival) -> Result<Wallet, Problem> {
        let wallet = self.wallet().await?;
        let deadline = arrival.deadline(wallet.engine());
        Ok(wallet.until(deadline))
    }

    async fn ready_wallet(&self) -> Result<&Wallet, Problem> {
        if let Some(wallet) = self.shared.wallet.get() {
            return Ok(wallet);
        }
        let mut phase = self.phase();
        // Either end of the wait shows in the next line.
        let _ended = timeout(Self::START_WAIT, phase.wait_for(|phase| *phase != Phase::Starting)).await;
        self.shared
            .wallet
            .get()
            .ok_or_else(|| Problem::new(Code::Overloaded, "the ledger is still recovering"))
    }

    /// The HTTP side's bounds.
    #[must_use]
    pub fn limits(&self) -> &HttpLimits {
        &self.shared.limits
    }

    /// The counters.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.shared.telemetry
    }

    /// How many are let in.
    pub(crate) fn admission(&self) -> &Admission {
        &self.shared.admission
    }

    /// Reads the body of one thing.
    pub(crate) async fn read_body(&self, request: Request) -> Result<Admitted, Problem> {
        self.read(request, self.shared.limits.body_bytes_max).await
    }

    /// Reads the body of a batch.
    pub(crate) async fn read_batch(&self, request: Request) -> Result<Admitted, Problem> {
        self.read(request, self.shared.limits.batch_bytes_max).await
    }

    /// Calls with a body have no parameters. They are told so once the body is read: until then a client writes.
    async fn read(&self, request: Request, bytes_max: usize) -> Result<Admitted, Problem> {
        let limits = BodyLimits { bytes_max, read_timeout: self.shared.limits.body_read_timeout, json: true };
        let no_parameters = Query::parse(request.uri().query(), &[]).map(drop);
        let arrival = Arrival::of(&request);
        let body = body::read(request, limits, &self.shared.body_memory).await?;
        self.check_standing()?;
        no_parameters?;
        let place = self.shared.admission.enter(arrival, self.shared.wallet.get())?;
        let deadline = self.recovered().and_then(|engine| arrival.deadline(engine));
        Ok(Admitted::new(body, place, deadline))
    }

    /// Reads the whole body of a signed request, whatever it is. It takes no place among the commands: whose it is, is
    /// still to be checked, and its route reads it again.
    pub(crate) async fn read_signed(
        &self,
        request: Request,
        kind: BodyKind,
    ) -> Result<ReceivedBody, Problem> {
        let limits = &self.shared.limits;
        let (bytes_max, json) = match kind {
            BodyKind::None => (0, false),
            BodyKind::Json => (limits.body_bytes_max, true),
            BodyKind::Batch => (limits.batch_bytes_max, true),
            BodyKind::Statement => (limits.batch_bytes_max, false),
        };
        let limits = BodyLimits { bytes_max, read_timeout: limits.body_read_timeout, json };
        body::read(request, limits, &self.shared.body_memory).await
    }

    /// Room for one more event stream, of a key if one was asked for.
    pub(crate) fn event_stream(&self, key: Option<&InForce>) -> Result<EventStream, Problem> {
        let most = (self.shared.limits.event_streams_max / KEY_STREAMS_PART).max(1);
        let of_key = key.map(|key| {
            let detail = || format!("the key has {most} event streams, which is all that one key gets");
            key.stream(most).ok_or_else(|| Problem::new(Code::Overloaded, detail()))
        });
        let of_key = of_key.transpose()?;
        let of_all = Arc::clone(&self.shared.event_streams).try_acquire_owned();
        let of_all =
            of_all.map_err(|_| Problem::new(Code::Overloaded, "there are too many event streams"))?;
        Ok(EventStream { _of_all: of_all, _of_key: of_key })
    }
}

/// The part of all event streams that one key may have, at least one: so that none shuts the others out.
const KEY_STREAMS_PART: usize = 4;

/// A place among the event streams.
pub(crate) struct EventStream {
    _of_all: OwnedSemaphorePermit,
    _of_key: Option<StreamOfKey>,
}

/// The routes over a wallet that is there already.
pub fn app(wallet: Wallet, limits: HttpLimits) -> Router {
    guarded_app(wallet, limits, None)
}

/// The same, for those that a gate lets in.
pub fn guarded_app(wallet: Wallet, limits: HttpLimits, gate: Option<Gate>) -> Router {
    let app = App::guarded(limits, gate);
    app.ready(wallet);
    router(app)
}

/// The routes.
pub fn router(app: App) -> Router {
    Router::new()
        .route(
            "/v1/accounts",
            post(route(Route::AccountOpen, accounts::open)).get(route(Route::AccountList, accounts::list)),
        )
        .route(
            "/v1/accounts/{address}",
            get(route(Route::AccountGet, accounts::get)).patch(route(Route::AccountChange, accounts::change)),
        )
        .route("/v1/accounts/{address}/history", get(route(Route::History, history::history)))
        .route("/v1/accounts/{address}/balance", get(route(Route::Balance, history::balance)))
        .route("/v1/transactions", post(route(Route::TransactionSubmit, transactions::submit)))
        .route("/v1/transactions/batch", post(route(Route::TransactionBatch, batch::submit)))
        .route("/v1/transactions/{id}", get(route(Route::TransactionGet, transactions::get)))
        .route("/v1/holds/{id}", get(route(Route::HoldGet, holds::get)))
        .route("/v1/trial-balance", get(route(Route::TrialBalance, trial_balance::get)))
        .route("/v1/head", get(route(Route::Head, head::get)))
        .route("/v1/events", get(route(Route::Events, events::stream)))
        .route("/healthz", get(route(Route::Healthz, health::alive)))
        .route("/readyz", get(route(Route::Readyz, health::ready)))
        .route("/metrics", get(route(Route::Metrics, metrics::page)))
        .route("/openapi.json", get(route(Route::OpenApi, docs::document)))
        .merge(wallet::routes())
        .merge(docs::pages())
        .method_not_allowed_fallback(route(Route::Unknown, no_such_method))
        .fallback(route(Route::Unknown, no_such_route))
        .with_state(app)
}

/// A handler whose answers are counted. Not a layer: a layer would box each request's future once more.
#[derive(Clone)]
pub(crate) struct Counted<F> {
    route: Route,
    handler: F,
}

pub(crate) fn route<F>(route: Route, handler: F) -> Counted<F> {
    Counted { route, handler }
}

impl<F, Answer> Handler<(), App> for Counted<F>
where
    F: Fn(App, Request) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    /// In order: 1. is there room for it at all, asked before anything is read; 2. does a page of another site send it, asked
    /// before anything of its key is used; 3. when it came, from which its deadline counts; 4. who asks; 5. the route, which
    /// takes its place among the commands with its body.
    fn call(self, mut request: Request, app: App) -> Self::Future {
        let started = Instant::now();
        let Self { route, handler } = self;
        let class = Class::of(route);
        if let Err(why) = app.admission().lets_in(class, app.shared.wallet.get()) {
            return Box::pin(async move {
                let (code, response) = app.admission().refuse(request, why).await;
                app.telemetry().refused(code);
                app.telemetry().answered(route, response.status(), started.elapsed());
                response
            });
        }
        let open = app.gate().is_none();
        // Where a certificate is shown, a page that may not see an answer can still use up what its key has.
        let uses_a_key = !open && Policy::of(route).is_some();
        if (class != Class::Open || uses_a_key)
            && let Err(problem) = origin::check(request.headers(), open)
        {
            let (parts, body) = request.into_parts();
            body::leave_unread(&parts.headers, body);
            return Box::pin(finish(app, route, started, async { Err(problem) }));
        }
        let arrived = Arrival::note(&mut request, class, started);
        let Some(gate) = app.gate().cloned() else {
            let answer = handler(app.clone(), request);
            let answer = async move {
                arrived?;
                answer.await
            };
            return Box::pin(finish(app, route, started, answer));
        };
        // Who is unknown is told so, and not what is wrong with the deadline.
        let answer = {
            let app = app.clone();
            let handler = move |app, request| {
                let answer = handler(app, request);
                async move {
                    arrived?;
                    answer.await
                }
            };
            async move { gate.guard(app, route, request, handler).await }
        };
        Box::pin(finish(app, route, started, answer))
    }
}

/// Makes an answer of a problem, and counts it. A refusal for overload waits for its turn.
async fn finish(
    app: App,
    route: Route,
    started: Instant,
    answer: impl Future<Output = Result<Response, Problem>>,
) -> Response {
    let response = match answer.await {
        Ok(response) => response,
        Err(problem) => {
            app.telemetry().refused(problem.code());
            if problem.code() == Code::Overloaded && Class::of(route) != Class::Open {
                app.admission().turn().await;
            }
            problem.into_response()
        }
    };
    app.telemetry().answered(route, response.status(), started.elapsed());
    response
}

async fn no_such_route(_: App, request: Request) -> Result<Response, Problem> {
    Err(Problem::new(Code::NotFound, format!("no route {}", request.uri().path())))
}

/// The router adds `Allow`.
async fn no_such_method(_: App, request: Request) -> Result<Response, Problem> {
    Err(Problem::new(
        Code::MethodNotAllowed,
        format!("no method {} on {}", request.method(), request.uri().path()),
    ))
}

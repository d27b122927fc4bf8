//! The table of routes, and what they share.
//!
//! Owns the routes and the state of the process (starting, ready, stopping). Never reads a body or builds an answer:
//! each route is a file in `routes`. Invariant: a handler runs with a recovered engine or not at all.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

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
use yue_engine::{engine::Engine, wallet::Wallet};

use crate::{
    admission::{Admission, Admitted, Arrival, Class},
    body::{self, BodyLimits, BodyMemory},
    config::HttpLimits,
    problem::{Code, Problem},
    query::Query,
    routes::{
        accounts, batch, docs, events, health, history, holds, metrics, transactions, trial_balance, wallet,
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

/// What all routes share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    wallet: OnceLock<Wallet>,
    phase: watch::Sender<Phase>,
    limits: HttpLimits,
    telemetry: Telemetry,
    event_streams: Arc<Semaphore>,
    body_memory: BodyMemory,
    admission: Admission,
}

impl App {
    /// How long a request waits for a recovery that is nearly done, before it is told to come back. Small
    /// directories recover within it, so that clients do not see a start at all.
    const START_WAIT: Duration = Duration::from_secs(5);

    /// An application whose engine is still to come.
    #[must_use]
    pub fn new(limits: HttpLimits) -> Self {
        Self(Arc::new(Shared {
            wallet: OnceLock::new(),
            phase: watch::Sender::new(Phase::Starting),
            limits,
            telemetry: Telemetry::default(),
            event_streams: Arc::new(Semaphore::new(limits.event_streams_max.min(Semaphore::MAX_PERMITS))),
            body_memory: BodyMemory::new(limits.body_memory_bytes_max),
            admission: Admission::new(&limits),
        }))
    }

    /// Hands in the wallet of the recovered engine; requests are served from now on.
    pub fn ready(&self, wallet: Wallet) {
        if self.0.wallet.set(wallet).is_ok() {
            self.0.phase.send_if_modified(|phase| {
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
        self.0.phase.send_replace(Phase::Stopping);
    }

    /// Where the process is in its life.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    /// The engine, if it is recovered.
    #[must_use]
    pub fn recovered(&self) -> Option<&Engine> {
        self.0.wallet.get().map(Wallet::engine)
    }

    /// The engine; waits a moment for a recovery that is nearly done.
    pub(crate) async fn engine(&self) -> Result<&Engine, Problem> {
        self.wallet().await.map(Wallet::engine)
    }

    /// The wallet, likewise.
    pub(crate) async fn wallet(&self) -> Result<&Wallet, Problem> {
        if let Some(wallet) = self.0.wallet.get() {
            return Ok(wallet);
        }
        let mut phase = self.phase();
        // Either end of the wait shows in the next line.
        let _ended = timeout(Self::START_WAIT, phase.wait_for(|phase| *phase != Phase::Starting)).await;
        self.0.wallet.get().ok_or_else(|| Problem::new(Code::Overloaded, "the ledger is still recovering"))
    }

    /// The HTTP side's bounds.
    #[must_use]
    pub fn limits(&self) -> &HttpLimits {
        &self.0.limits
    }

    /// The counters.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    /// Who is let in.
    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// Reads the body of one thing.
    pub(crate) async fn read_body(&self, request: Request) -> Result<Admitted, Problem> {
        self.read(request, self.0.limits.body_bytes_max).await
    }

    /// Reads the body of a batch.
    pub(crate) async fn read_batch(&self, request: Request) -> Result<Admitted, Problem> {
        self.read(request, self.0.limits.batch_bytes_max).await
    }

    /// Calls with a body have no parameters. They are told so once the body is read: until then a client writes.
    async fn read(&self, request: Request, bytes_max: usize) -> Result<Admitted, Problem> {
        let limits = BodyLimits { bytes_max, read_timeout: self.0.limits.body_read_timeout };
        let no_parameters = Query::parse(request.uri().query(), &[]).map(drop);
        let arrival = Arrival::of(&request);
        let body = body::read(request, limits, &self.0.body_memory).await?;
        no_parameters?;
        let place = self.0.admission.enter(arrival, self.0.wallet.get())?;
        Ok(Admitted::new(body, place, arrival.deadline))
    }

    /// Room for one more event stream, if there is some.
    pub(crate) fn event_stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.event_streams).try_acquire_owned().ok()
    }
}

/// The routes over a wallet that is there already.
pub fn app(wallet: Wallet, limits: HttpLimits) -> Router {
    let app = App::new(limits);
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

    fn call(self, mut request: Request, app: App) -> Self::Future {
        let started = Instant::now();
        let class = Class::of(self.route);
        if let Err(why) = app.admission().lets_in(class, app.0.wallet.get()) {
            return Box::pin(async move {
                let (code, response) = app.admission().refuse(request, why).await;
                app.telemetry().refused(code);
                app.telemetry().answered(self.route, response.status(), started.elapsed());
                response
            });
        }
        let arrived = Arrival::note(&mut request, class, app.recovered());
        let answer = (self.handler)(app.clone(), request);
        Box::pin(async move {
            let answered = match arrived {
                Ok(()) => answer.await,
                Err(problem) => Err(problem),
            };
            let response = match answered {
                Ok(response) => response,
                Err(problem) => {
                    app.telemetry().refused(problem.code());
                    if problem.code() == Code::Overloaded && class != Class::Open {
                        app.admission().turn().await;
                    }
                    problem.into_response()
                }
            };
            app.telemetry().answered(self.route, response.status(), started.elapsed());
            response
        })
    }
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

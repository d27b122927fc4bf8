//! `yue serve`: the order of start and stop.
//!
//! Owns the sequence. Invariant: the port is bound only while this process holds the data directory's lock, and the
//! engine is closed only when no request can reach it any more.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use yue_engine::{
    engine::{Engine, Locked, OpenError},
    wallet::{self, Secrets, Wallet},
};

use crate::{
    app::App,
    auth::{Gate, GateError},
    config::{Security, Settings},
    heads::{self, Exporter, HeadsError, HeadsLog, SecretKey},
    listener::Listener,
    secrets,
    tls::{Tls, TlsError},
};

/// Recoveries up to this long end before the port is bound: a directory that is refused is then refused before anything
/// else is said. Longer ones are watched on `/readyz`.
const QUICK_RECOVERY: Duration = Duration::from_secs(2);

/// How long the end of the process waits for what a stop cut off.
const LEFTOVERS_TIMEOUT: Duration = Duration::from_secs(10);

/// File descriptors that are kept for the journal, the index and the rest beside the connections.
const DESCRIPTORS_RESERVED: u64 = 1_024;

/// Why the server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory is in use, damaged, or can't be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The port can't be bound.
    #[error("can't listen on {address}: {reason}")]
    Bind {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        reason: io::Error,
    },
    /// The wallet's secret can't be read or made.
    #[error("the wallet's secret {path}: {reason}")]
    Secret {
        /// Which file.
        path: String,
        /// Why.
        reason: io::Error,
    },
    /// The keys or the audit trail.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The files of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The signed heads.
    #[error(transparent)]
    Heads(#[from] HeadsError),
    /// The operating system refused something else.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A blocking task ended without an answer.
    #[error("a task of the start ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A start that was refused or failed.
pub fn serve(mut settings: Settings) -> Result<(), ServeError> {
    raise_descriptors(&mut settings);
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(settings.http_threads)
        .thread_name("yue-http")
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(settings));
    // What is left are connections that outlived the drain, and a recovery that a stop overtook. They hold the engine,
    // and must have let go of it before the process runs the destructors of RocksDB's statics: a database that is
    // closed after them aborts the process.
    runtime.shutdown_timeout(LEFTOVERS_TIMEOUT);
    result
}

async fn run(settings: Settings) -> Result<(), ServeError> {
    let mut stop = StopSignal::install()?;
    // 1. The directory is ours.
    let config = settings.engine.clone();
    let secret = settings.wallet_secret.clone();
    let locked = spawn_blocking(move || Engine::lock(config)).await??;
    let heads = open_heads(&settings.security, &locked)?;
    let secrets = spawn_blocking(move || {
        secrets::load(&secret)
            .map_err(|reason| ServeError::Secret { path: secret.display().to_string(), reason })
    })
    .await??;
    // 2. Recovery starts, and mostly ends here.
    let gate = open_gate(&settings.security)?;
    if let Some(gate) = gate.clone() {
        tokio::spawn(gate.follow_file());
    }
    let handshake_timeout = settings.http.header_read_timeout;
    let tls = settings.security.tls.as_ref().map(|files| Tls::open(files, handshake_timeout)).transpose()?;
    let has_keys = gate.is_some();
    let app = App::guarded(settings.http, gate);
    let heads_interval = settings.security.heads_interval;
    let engine = spawn_blocking(move || locked.recover());
    let mut recovery = Recovery { engine, wallet: settings.wallet, secrets };
    let mut recovering = true;
    tokio::select! {
        recovered = timeout(QUICK_RECOVERY, recovery.finish(&app)) => {
            if let Ok(recovered) = recovered {
                recovered?;
                recovering = false;
            }
        }
        () = stop.received() => return Ok(()),
    }
    // 3. The port.
    let listener = Listener::bind(settings.listen, tls)
        .await
        .map_err(|reason| ServeError::Bind { address: settings.listen, reason })?;
    announce(&listener, has_keys)?;
    let serving = tokio::spawn(listener.serve(app.clone()));
    // 4. Requests are served as soon as the recovery is done, until a signal.
    if recovering {
        tokio::select! {
            recovered = recovery.finish(&app) => recovered?,
            () = stop.received() => return Ok(()),
        }
    }
    tracing::info!("ready");
    let engine = app.recovered().cloned();
    let exporter = heads
        .zip(engine.clone())
        .map(|(log, engine)| Exporter::start(log, heads_interval, app.clone(), engine));
    stop.received().await;
    // 5. Not ready; no new connections; requests in flight end; the engine syncs and stops.
    tracing::info!("stopping");
    app.stop();
    serving.await?;
    if let Some(engine) = engine {
        let closing = engine.clone();
        spawn_blocking(move || closing.close()).await?;
        // The last head, once nothing can follow it.
        if let Some(exporter) = exporter {
            heads::export(exporter.end().await?, app.clone(), engine).await?;
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Who is let in, if not everybody is.
fn open_gate(security: &Security) -> Result<Option<Gate>, GateError> {
    let Security { keys, nonces_max, audit_log, .. } = security;
    keys.as_ref().map(|keys| Gate::open(keys, audit_log.as_deref(), *nonces_max)).transpose()
}

/// The log of heads, if there is to be one. A directory that does not have the last head is refused before anything is
/// written to it.
fn open_heads(security: &Security, locked: &Locked) -> Result<Option<HeadsLog>, ServeError> {
    let Some(files) = &security.heads else { return Ok(None) };
    let log = HeadsLog::open(&files.log, SecretKey::read(&files.key)?)?;
    log.check(locked.witnessed()?)?;
    Ok(Some(log))
}

/// An engine on its way, and what makes a wallet of it.
struct Recovery {
    engine: JoinHandle<Result<Engine, OpenError>>,
    wallet: wallet::Settings,
    secrets: Secrets,
}

impl Recovery {
    async fn finish(&mut self, app: &App) -> Result<(), ServeError> {
        let engine = (&mut self.engine).await??;
        app.ready(Wallet::new(engine, self.wallet.clone(), self.secrets.clone()));
        Ok(())
    }
}

/// The first line on stdout is what scripts wait for.
fn announce(listener: &Listener, has_keys: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let scheme = if listener.is_encrypted() { "https" } else { "http" };
    writeln!(stdout, "listening on {scheme}://{}", listener.address())?;
    stdout.flush()?;
    if has_keys {
        tracing::info!(address = %listener.address(), "open to those who have a key");
        return Ok(());
    }
    tracing::warn!(
        address = %listener.address(),
        "open without authentication, on loopback only: everybody on this machine can move money"
    );
    Ok(())
}

/// SIGTERM or SIGINT. Installed before anything else, so that neither ends the process half-way.
pub(crate) struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Raises the soft limit of file descriptors to the hard one, and takes no more connections than fit.
fn raise_descriptors(settings: &mut Settings) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let Some(descriptors) = (if raised.is_ok() { limit.maximum } else { limit.current }) else { return };
    let room = descriptors.saturating_sub(DESCRIPTORS_RESERVED).max(descriptors / 2);
    let room = usize::try_from(room).unwrap_or(usize::MAX).max(1);
    if settings.http.connections_max > room {
        tracing::warn!(
            descriptors,
            "connections-max is lowered to {room}: there are not enough file descriptors"
        );
        settings.http.connections_max = room;
    }
}

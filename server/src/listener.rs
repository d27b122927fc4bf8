//! Connections: accepted, bounded, timed, drained.
//!
//! Owns the sockets. Never knows a route. Invariant: there are never more than `connections_max` connections, and each
//! one ends by itself: by its client, by a time-out, or within the drain time after a stop.

mod guard;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    http::Request,
    response::Response,
};
use guard::{Guarded, Requests, Timeouts};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tower::Service as _;

use crate::{
    app::{App, Phase, router},
    auth::Peer,
    config::HttpLimits,
    tls::Tls,
};

/// Bytes of a request's head that are read at most; also the unit in which bodies are read.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Pause after a failed accept: the process has no file descriptor left, and connections are ending meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Connections that may wait to be accepted; the kernel takes at most `net.core.somaxconn` for it (4,096 since Linux 5.4).
/// One that finds no room comes again after a second, and a festival begins with thousands at once.
const BACKLOG: u32 = 4_096;

/// A bound port.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Listener {
    /// Binds; connections queue from now on.
    ///
    /// # Errors
    /// The port is taken, or may not be bound.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As the standard library's: a port whose last owner's connections are still ending may be taken again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        Ok(Self { address: socket.local_addr()?, socket, tls })
    }

    /// The address, with the port that was taken if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Serves until the application stops, and then drains.
    pub async fn serve(self, app: App) {
        let limits = *app.limits();
        let slots = Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS)));
        let drain = GracefulShutdown::new();
        let protocol = protocol();
        let routes = router(app.clone());
        let mut phase = app.phase();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = phase.wait_for(|phase| *phase == Phase::Stopping) => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                // Closed unread: the cheapest answer there is.
                app.telemetry().connection_refused();
                continue;
            };
            let peer =
                app.gate().map(|_| Peer { loopback: peer.ip().is_loopback(), tls: false, certificate: None });
            let requests = Arc::new(Requests::default());
            let guarded = guarded(stream, Arc::clone(&requests), &limits);
            let routed = Routed { routes: routes.clone(), requests, peer };
            match &self.tls {
                None => {
                    let connection = protocol.serve_connection(TokioIo::new(guarded), routed);
                    serve_connection(drain.watch(connection), app.clone(), slot);
                }
                Some(tls) => {
                    let connection =
                        encrypted(tls.clone(), protocol.clone(), guarded, routed, drain.watcher());
                    serve_connection(connection, app.clone(), slot);
                }
            }
        }
        drop(self.socket);
        if timeout(limits.drain_timeout, drain.shutdown()).await.is_err() {
            tracing::warn!(
                "connections were cut: they had not ended {:?} after the stop",
                limits.drain_timeout
            );
        }
    }
}

fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        // The guard below times the headers: from their first byte, and without a timer's allocation a request.
        .header_read_timeout(None)
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // A client that has said all may close its side and wait. One that is gone is noticed when it is written to: a
        // request is answered soon, and an event stream says something every few seconds.
        .half_close(true)
        // Answers to pipelined requests in one write would mean answers without a bound in memory: hyper then writes
        // nothing while there are requests to read.
        .pipeline_flush(false);
    protocol
}

fn guarded(stream: TcpStream, requests: Arc<Requests>, limits: &HttpLimits) -> Guarded<TcpStream> {
    // Only a delay is lost if it can't be set.
    let _best_effort = stream.set_nodelay(true);
    let timeouts = Timeouts {
        header_read: limits.header_read_timeout,
        write: limits.write_timeout,
        idle: limits.idle_timeout,
    };
    Guarded::new(stream, requests, timeouts)
}

/// A connection with TLS over the guard: the guard sees what is on the wire, so that its times also hold for those who
/// send half a record, or take nothing of what is encrypted for them.
async fn encrypted(
    tls: Tls,
    protocol: http1::Builder,
    guarded: Guarded<TcpStream>,
    mut routed: Routed,
    drain: Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tls.accept(guarded, &mut routed.peer).await?;
    // The handshake was the first thing that was said; the first request's time begins with its own first byte.
    routed.requests.begin();
    routed.requests.end();
    drain.watch(protocol.serve_connection(TokioIo::new(stream), routed)).await?;
    Ok(())
}

fn serve_connection<E: std::fmt::Display>(
    connection: impl Future<Output = Result<(), E>> + Send + 'static,
    app: App,
    slot: OwnedSemaphorePermit,
) {
    app.telemetry().connection_opened();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke");
        }
        app.telemetry().connection_closed();
        drop(slot);
    });
}

/// The routes, with the connection's count of requests.
struct Routed {
    routes: Router,
    requests: Arc<Requests>,
    /// Told to the gate, if there is one.
    peer: Option<Peer>,
}

impl Service<Request<Incoming>> for Routed {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.requests.begin();
        let requests = Arc::clone(&self.requests);
        // A router is always ready.
        let mut request = request.map(Body::new);
        if let Some(peer) = self.peer.clone() {
            request.extensions_mut().insert(peer);
        }
        let answer = self.routes.clone().call(request);
        Box::pin(async move {
            let response = answer.await?;
            // A stream of unknown length goes on after its headers; its connection ends with it.
            if response.body().size_hint().exact().is_some() {
                requests.end();
            }
            Ok(response)
        })
    }
}

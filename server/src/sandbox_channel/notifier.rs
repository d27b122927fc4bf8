//! Notifications on their way to the wallet.
//!
//! Owns the connections to it. Invariant: a notification is sent until it is answered with 200.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};
use yue_engine::wallet::{Channel, sign_notification};

type Sender = http1::SendRequest<Full<Bytes>>;

/// Where notifications go.
pub(super) struct Notifier {
    /// Host and port.
    authority: String,
    keys: Vec<(Channel, Vec<u8>)>,
    idle: Mutex<Vec<Sender>>,
    connections: Semaphore,
}

/// Why a notification was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    #[error("answered with {0}")]
    Status(StatusCode),
    #[error("no answer in {:?}", Notifier::ANSWER_TIME_MAX)]
    Late(#[from] tokio::time::error::Elapsed),
}

impl Notifier {
    const CONNECTIONS_MAX: usize = 64;
    const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
    const BACKOFF_MIN: Duration = Duration::from_millis(50);
    const BACKOFF_MAX: Duration = Duration::from_secs(5);

    /// A notifier to `http://host:port`; `None` if it is anything else.
    pub(super) fn new(base: &str, keys: Vec<(Channel, Vec<u8>)>) -> Option<Self> {
        let base: Uri = base.parse().ok()?;
        let plain =
            base.scheme_str() == Some("http") && matches!(base.path(), "" | "/") && base.query().is_none();
        let (host, port) = (base.host().filter(|_| plain)?, base.port_u16().unwrap_or(80));
        let (idle, connections) = (Mutex::default(), Semaphore::new(Self::CONNECTIONS_MAX));
        Some(Self { authority: format!("{host}:{port}"), keys, idle, connections })
    }

    pub(super) fn has_key(&self, channel: Channel) -> bool {
        self.key(channel).is_some()
    }

    fn key(&self, channel: Channel) -> Option<&[u8]> {
        self.keys.iter().find(|(of, _)| *of == channel).map(|(_, key)| key.as_slice())
    }

    /// Sends a notification until it is taken.
    pub(super) async fn deliver(&self, channel: Channel, body: Bytes, sent: impl Fn()) {
        let mut pause = Self::BACKOFF_MIN;
        loop {
            sent();
            match self.post(channel, body.clone()).await {
                Ok(()) => return,
                Err(failure) => tracing::debug!(%failure, "a notification was not taken"),
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(Self::BACKOFF_MAX);
        }
    }

    async fn post(&self, channel: Channel, body: Bytes) -> Result<(), Failure> {
        // The semaphore is never closed.
        let _slot = self.connections.acquire().await;
        let unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let signature = sign_notification(self.key(channel).unwrap_or_default(), unix_seconds, &body);
        let request = Request::post(format!("/v1/channels/{}/notifications", channel.as_str()))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header("Yue-Channel-Signature", signature)
            .body(Full::new(body))?;
        let mut sender = match self.take_idle() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let status = timeout(Self::ANSWER_TIME_MAX, async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            response.into_body().collect().await?;
            Ok::<_, hyper::Error>(status)
        })
        .await??;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        if status == StatusCode::OK { Ok(()) } else { Err(Failure::Status(status)) }
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(Sender::is_ready)
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the wallet broke");
            }
        });
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_plain_address() {
        for (base, authority) in [
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("http://localhost:8080/", Some("localhost:8080")),
            ("http://localhost", Some("localhost:80")),
            ("http://[::1]:8080", Some("[::1]:8080")),
            ("https://127.0.0.1:8080", None),
            ("http://127.0.0.1:8080/wallet", None),
            ("127.0.0.1:8080", None),
            ("", None),
        ] {
            let found = Notifier::new(base, Vec::new()).map(|notifier| notifier.authority);
            assert_eq!(found.as_deref(), authority, "{base}");
        }
    }
}

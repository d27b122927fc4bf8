//! The options of who may call, and how.
//!
//! Owns which of them fit together. Never opens a file. Invariant: an address that is not loopback is listened on only
//! with keys, and with TLS or the word of whoever runs it that a proxy has it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{ConfigError, Options, in_range};

/// The files of TLS.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificates.
    pub cert: PathBuf,
    /// Their private key.
    pub key: PathBuf,
    /// Who signs clients' certificates, if they count.
    pub client_ca: Option<PathBuf>,
}

/// The files of signed heads.
#[derive(Clone, Debug)]
pub struct HeadsFiles {
    /// What they are signed with.
    pub key: PathBuf,
    /// Where they go.
    pub log: PathBuf,
}

/// Who may call, and how.
#[derive(Clone, Debug)]
pub struct Security {
    /// The keys; without them everybody may do everything.
    pub keys: Option<PathBuf>,
    /// Nonces that are remembered.
    pub nonces_max: usize,
    /// Where operators' calls are written down.
    pub audit_log: Option<PathBuf>,
    /// Signed heads, if they are exported.
    pub heads: Option<HeadsFiles>,
    /// Between two of them.
    pub heads_interval: Duration,
    /// TLS, if it is served.
    pub tls: Option<TlsFiles>,
    /// Whether a proxy in front has TLS.
    pub insecure_plaintext: bool,
}

impl Security {
    /// Nonces of 600 s at 1,700 signed requests a second; about 100 MiB when it is full.
    const NONCES_MAX_DEFAULT: usize = 1 << 20;

    const HEADS_INTERVAL_MS_DEFAULT: u64 = 60_000;

    pub(super) fn of(options: &Options) -> Result<Self, ConfigError> {
        let Options {
            keys,
            nonces_max,
            audit_log,
            heads_key,
            heads_log,
            heads_interval_ms,
            tls_cert,
            tls_key,
            tls_client_ca,
            insecure_plaintext,
            ..
        } = options.clone();
        let tls = match (tls_cert, tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key, client_ca: tls_client_ca.clone() }),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::Needs("--tls-cert", "--tls-key")),
            (None, Some(_)) => return Err(ConfigError::Needs("--tls-key", "--tls-cert")),
        };
        let heads = match (heads_key, heads_log) {
            (Some(key), Some(log)) => Some(HeadsFiles { key, log }),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::Needs("--heads-key", "--heads-log")),
            (None, Some(_)) => return Err(ConfigError::Needs("--heads-log", "--heads-key")),
        };
        let heads_interval_ms = heads_interval_ms.unwrap_or(Self::HEADS_INTERVAL_MS_DEFAULT);
        let heads_interval_ms =
            in_range("heads-interval-ms", heads_interval_ms, 1..=86_400_000, "1 to 86400000")?;
        if tls.is_none() && tls_client_ca.is_some() {
            return Err(ConfigError::Needs("--tls-client-ca", "--tls-cert"));
        }
        if keys.is_none() && audit_log.is_some() {
            return Err(ConfigError::Needs("--audit-log", "--keys"));
        }
        if keys.is_none() && tls_client_ca.is_some() {
            return Err(ConfigError::Needs("--tls-client-ca", "--keys"));
        }
        let nonces_max = nonces_max.unwrap_or(Self::NONCES_MAX_DEFAULT);
        Ok(Self {
            keys,
            nonces_max: in_range("nonces-max", nonces_max, 1..=usize::MAX, "1 or more")?,
            audit_log,
            heads,
            heads_interval: Duration::from_millis(heads_interval_ms),
            tls,
            insecure_plaintext: insecure_plaintext.unwrap_or(false),
        })
    }

    /// Whether an address may be listened on.
    pub(super) fn check(&self, address: SocketAddr) -> Result<SocketAddr, ConfigError> {
        if address.ip().is_loopback() {
            return Ok(address);
        }
        if self.keys.is_none() {
            return Err(ConfigError::NotLoopback(address));
        }
        if self.tls.is_none() && !self.insecure_plaintext {
            return Err(ConfigError::Plaintext(address));
        }
        Ok(address)
    }
}

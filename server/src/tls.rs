//! TLS: the server's certificate, and the clients' that stand for keys.
//!
//! Owns the handshake and its bound. Never decides who a certificate's key is. Invariant: a client's certificate counts
//! only if the client CA has signed it; a client without one goes on, and has to show a key.

use std::{io, path::Path, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
    server::TlsStream,
};

use crate::{auth::Peer, config::TlsFiles};

/// Why TLS can't be served.
#[derive(Debug, thiserror::Error)]
#[error("TLS, {path}: {reason}")]
pub struct TlsError {
    path: String,
    reason: String,
}

impl TlsError {
    fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.display().to_string(), reason: reason.to_string() }
    }
}

/// Makes plain connections encrypted ones. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    handshake_timeout: Duration,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One can't be read, or they don't fit together.
    pub fn open(files: &TlsFiles, handshake_timeout: Duration) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let failed = |error: &dyn ToString| TlsError::new(&files.cert, error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| TlsError::new(path, error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| TlsError::new(path, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key =
            PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::new(&files.key, error))?;
        let mut config =
            builder.with_single_cert(certificates(&files.cert)?, key).map_err(|error| failed(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), handshake_timeout })
    }

    /// The handshake, within its time. What it says of the client goes to `peer`.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        peer: &mut Option<Peer>,
    ) -> io::Result<TlsStream<S>> {
        let accepted = timeout(self.handshake_timeout, self.acceptor.accept(stream)).await;
        let stream = accepted.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if let Some(peer) = peer {
            let (_, session) = stream.get_ref();
            let certificate = session.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
            peer.tls = true;
            peer.certificate = certificate.map(|certificate| Sha256::digest(certificate).into());
        }
        Ok(stream)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| TlsError::new(path, error))?;
    if certificates.is_empty() {
        return Err(TlsError::new(path, "there is no certificate in it"));
    }
    Ok(certificates)
}

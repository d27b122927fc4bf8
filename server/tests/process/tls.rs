//! TLS: what is served over it, who may come by certificate, and that its clients are bounded like others.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};

use crate::{
    client::{Answer, read_any},
    server::{Server, yue},
};

/// A CA, the server's files, and a client's certificate.
struct Certificates {
    ca: CertificateDer<'static>,
    client: (CertificateDer<'static>, Vec<u8>),
    ca_file: PathBuf,
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl Certificates {
    fn make(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &ca).unwrap(), key)
        };
        let ((server, server_key), (client, client_key)) = (signed("localhost"), signed("client"));
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            ca: ca.der().clone(),
            client: (client.der().clone(), client_key.serialize_der()),
            ca_file: write("ca.pem", ca.pem()),
            cert_file: write("server.pem", server.pem()),
            key_file: write("server.key", server_key.serialize_pem()),
        }
    }

    /// A connection of a client that trusts the CA, and shows its certificate if told to.
    fn connect(&self, server: &Server, shows: bool) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = if shows {
            let (certificate, key) = self.client.clone();
            let key = PrivateKeyDer::try_from(key).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        BufReader::new(StreamOwned::new(session, connect(server)))
    }
}

type Tls = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn get(stream: &mut Tls, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: yue\r\n{headers}\r\n");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    read_any(stream).unwrap()
}

/// A server with TLS, and the bearer of a key that the client's certificate stands for as well.
fn start(folder: &TempDir, options: &[&str]) -> (Server, Certificates, String) {
    let certificates = Certificates::make(folder.path());
    let keys = folder.path().join("keys.toml");
    let fingerprint: String =
        Sha256::digest(&certificates.client.0).iter().map(|byte| format!("{byte:02x}")).collect();
    let made = yue(&["keys", "add", "reader", "--scopes", "audit:read", "--certificate", &fingerprint])
        .args(["--keys", keys.to_str().unwrap()])
        .output()
        .unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let bearer = made.lines().find_map(|line| line.strip_prefix("bearer   ")).unwrap().to_owned();
    let files = [&keys, &certificates.cert_file, &certificates.key_file, &certificates.ca_file];
    let [keys, cert, key, ca] = files.map(|path| path.to_str().unwrap());
    let mut all = vec!["--keys", keys, "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca];
    all.extend(options);
    // On all addresses: bearers are taken there, because they are not read along.
    let server = Server::start_encrypted("0.0.0.0:0", &folder.path().join("data"), &all, |server| {
        get(&mut certificates.connect(server, false), "/readyz", "").status == 200
    });
    (server, certificates, bearer)
}

#[test]
fn process_keys_and_certificates_are_taken_over_tls() {
    let folder = TempDir::new().unwrap();
    let (server, certificates, bearer) = start(&folder, &[]);
    let authorization = format!("Authorization: Bearer {bearer}\r\n");
    let mut anonymous = certificates.connect(&server, false);
    assert_eq!(get(&mut anonymous, "/v1/trial-balance", "").status, 401);
    assert_eq!(get(&mut anonymous, "/v1/trial-balance", &authorization).status, 200);
    let mut known = certificates.connect(&server, true);
    assert_eq!(get(&mut known, "/v1/trial-balance", "").status, 200);
    assert_eq!(get(&mut known, "/v1/accounts", "").body["code"], "scope_missing");
    // Who speaks plainly is not answered.
    let mut plain = connect(&server);
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: yue\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ended = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&said));
    server.terminate();
    assert!(server.wait().success());
}

#[test]
fn process_slow_clients_are_cut_under_tls_too() {
    let folder = TempDir::new().unwrap();
    let options = ["--header-read-timeout-ms", "700", "--idle-timeout-ms", "2500"];
    let (server, certificates, _) = start(&folder, &options);
    let ends = |mut stream: TcpStream| {
        let since = Instant::now();
        let _ended = stream.read_to_end(&mut Vec::new());
        since.elapsed()
    };
    // A handshake that never ends.
    let mut slow = connect(&server);
    slow.write_all(&[22, 3, 1]).unwrap();
    let time = ends(slow);
    assert!(time < Duration::from_secs(10), "{time:?}");
    // A head that never ends, and half a record.
    let mut slow = certificates.connect(&server, false);
    assert_eq!(get(&mut slow, "/healthz", "").status, 200);
    slow.get_mut().write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let time = ends(slow.get_ref().sock.try_clone().unwrap());
    assert!(time < Duration::from_secs(10), "{time:?}");
    let mut slow = certificates.connect(&server, false);
    assert_eq!(get(&mut slow, "/healthz", "").status, 200);
    slow.get_mut().sock.write_all(&[23, 3, 3, 0, 100, 1]).unwrap();
    let time = ends(slow.get_ref().sock.try_clone().unwrap());
    assert!(time < Duration::from_secs(10), "{time:?}");
    // One that is idle has the time of the idle.
    let mut idle = certificates.connect(&server, false);
    assert_eq!(get(&mut idle, "/healthz", "").status, 200);
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(get(&mut idle, "/healthz", "").status, 200, "idle, and not slow");
}

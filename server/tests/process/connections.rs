//! Clients that are slow, many, or too eager.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{client::read_answer, server::Server};

fn start(directory: &TempDir, options: &[&str]) -> Server {
    Server::start(&directory.path().join("data"), options)
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// The time until the server closes a connection; it may have said something before.
fn closed_after(mut stream: TcpStream, since: Instant) -> (Duration, String) {
    let mut said = Vec::new();
    // A reset is as good an end as a close.
    let _ended = stream.read_to_end(&mut said);
    (since.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn process_slow_headers_are_cut_after_their_time() {
    let directory = TempDir::new().unwrap();
    let server = start(&directory, &[]);
    let since = Instant::now();
    let mut slow = connect(&server);
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let idle = connect(&server);
    let mut dripping = slow.try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(500));
            if dripping.write_all(b"X: y\r\n").is_err() {
                break;
            }
        }
    });
    let (elapsed, said) = closed_after(slow, since);
    assert!((4_500..7_500).contains(&elapsed.as_millis()), "{elapsed:?} {said:?}");
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    // A connection that waits between requests is not a slow one.
    let mut idle = BufReader::new(idle);
    idle.get_mut().write_all(b"GET /healthz HTTP/1.1\r\nHost: yue\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut idle).unwrap().status, 200);
    drip.join().unwrap();
}

#[test]
fn process_slow_bodies_are_told_and_cut() {
    let directory = TempDir::new().unwrap();
    let server = start(&directory, &["--body-read-timeout-ms", "700"]);
    let since = Instant::now();
    let mut slow = connect(&server);
    slow.write_all(b"POST /v1/transactions HTTP/1.1\r\nHost: yue\r\nContent-Length: 100\r\n\r\n{").unwrap();
    let (elapsed, said) = closed_after(slow, since);
    assert!((600..4_000).contains(&elapsed.as_millis()), "{elapsed:?}");
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("request_timeout"), "{said}");
}

#[test]
fn process_clients_that_do_not_read_are_cut() {
    let directory = TempDir::new().unwrap();
    let server = start(&directory, &["--write-timeout-ms", "700"]);
    // Requests whose answers nobody takes, until both ends' buffers are full.
    let mut deaf = connect(&server);
    let requests = b"GET /openapi.json HTTP/1.1\r\nHost: yue\r\n\r\n".repeat(1_000);
    deaf.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let before = server.resident_mib();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(20) && deaf.write_all(&requests).is_ok() {}
    assert!(since.elapsed() < Duration::from_secs(15), "the connection lives after {:?}", since.elapsed());
    let after = server.resident_mib();
    assert!(after < before + 32, "answers that nobody takes pile up: {before} MiB before, {after} MiB after");
    assert_eq!(server.client().get("/healthz").unwrap().status, 200);
}

#[test]
fn process_connections_beyond_the_cap_are_closed() {
    let directory = TempDir::new().unwrap();
    let server = start(&directory, &["--connections-max", "8"]);
    // The clients that waited for the start are gone, though perhaps not yet.
    std::thread::sleep(Duration::from_millis(300));
    let mut taken: Vec<_> = (0..8).map(|_| server.client()).collect();
    for client in &mut taken {
        assert_eq!(client.get("/healthz").unwrap().status, 200);
    }
    for _ in 0..4 {
        let (elapsed, said) = closed_after(connect(&server), Instant::now());
        assert!(said.is_empty() && elapsed < Duration::from_secs(5), "{said} {elapsed:?}");
    }
    for client in &mut taken {
        assert_eq!(client.get("/healthz").unwrap().status, 200, "those that were taken go on");
    }
    taken.pop();
    let freed = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        server.client().get("/healthz").is_ok_and(|answer| answer.status == 200)
    });
    assert!(freed, "a slot that was given back is not taken again");
}

#[test]
fn process_oversized_bodies_are_answered_while_they_are_sent() {
    let directory = TempDir::new().unwrap();
    let server = start(&directory, &[]);
    // A client that writes all before it reads sees the answer, and not a cut connection.
    let body = " ".repeat(17 << 20);
    let answer = server.client().send("POST", "/v1/transactions/batch", &body).unwrap();
    assert_eq!((answer.status, &answer.body["code"], answer.closes), (413, &json!("too_large"), true));
    let answer = server.client().send("POST", "/v1/transactions", &" ".repeat(300 << 10)).unwrap();
    assert_eq!((answer.status, &answer.body["code"]), (413, &json!("too_large")));
    // A client that asks first is told before it sends.
    let mut asking = connect(&server);
    asking
        .write_all(
            b"POST /v1/transactions HTTP/1.1\r\nHost: yue\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
        )
        .unwrap();
    assert_eq!(read_answer(&mut BufReader::new(asking)).unwrap().status, 413);
}

#[test]
fn process_pipelined_requests_are_answered_in_order() {
    let directory = TempDir::new().unwrap();
    let server = start(&directory, &[]);
    let mut stream = BufReader::new(connect(&server));
    let paths = ["/healthz", "/v1/nowhere", "/readyz", "/v1/accounts/a:1", "/healthz"];
    let requests: String =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: yue\r\n\r\n")).collect();
    stream.get_mut().write_all(requests.as_bytes()).unwrap();
    for status in [200, 404, 200, 404, 200] {
        assert_eq!(read_answer(&mut stream).unwrap().status, status);
    }
}

#[test]
fn process_a_client_that_has_said_all_may_close_its_side() {
    let directory = TempDir::new().unwrap();
    let server = start(&directory, &[]);
    let account = json!({"address": "a:1", "asset": "CNY"}).to_string();
    let opening = format!(
        "POST /v1/accounts HTTP/1.1\r\nHost: yue\r\nContent-Length: {}\r\n\r\n{account}",
        account.len()
    );
    for (request, status) in [(opening.as_str(), 201), ("GET /healthz HTTP/1.1\r\nHost: yue\r\n\r\n", 200)] {
        for _ in 0..20 {
            let mut stream = connect(&server);
            stream.write_all(request.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let answer = read_answer(&mut BufReader::new(stream)).unwrap();
            assert!([status, 200].contains(&answer.status), "{answer:?}");
        }
    }
}

#[test]
fn process_idle_uploads_do_not_keep_others_from_theirs() {
    let directory = TempDir::new().unwrap();
    let server = start(&directory, &["--body-memory-bytes-max", "16777216"]);
    let uploads: Vec<_> = (0..32)
        .map(|_| {
            let mut stream = connect(&server);
            stream
                .write_all(
                    b"POST /v1/transactions/batch HTTP/1.1\r\nHost: yue\r\nContent-Length: 16777216\r\n\r\n{",
                )
                .unwrap();
            stream
        })
        .collect();
    // A batch that is answered shows that the server has seen the uploads before it.
    let padded = format!("{}{}", json!({"transactions": []}), " ".repeat(1 << 20));
    let answer = server.client().send("POST", "/v1/transactions/batch", &padded).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    drop(uploads);
}

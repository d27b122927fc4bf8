//! A blocking HTTP/1.1 client, small enough to be trusted with the outside record.

use std::{
    io::{self, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// One connection, opened when it is needed.
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    /// What each request shows of its sender.
    bearer: Option<String>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) closes: bool,
    /// Whether it repeats the first outcome of an id.
    pub(crate) replayed: bool,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None, bearer: None }
    }

    /// A client that shows a key.
    pub(crate) fn with_bearer(address: SocketAddr, bearer: &str) -> Self {
        Self { bearer: Some(bearer.to_owned()), ..Self::new(address) }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, "")
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> io::Result<Answer> {
        self.send("POST", path, &body.to_string())
    }

    pub(crate) fn put(&mut self, path: &str, body: &Value) -> io::Result<Answer> {
        self.send("PUT", path, &body.to_string())
    }

    /// One request. An error leaves it unknown whether it was taken.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        self.send_with(method, path, "", body)
    }

    /// One request with more header lines, each with its end.
    pub(crate) fn send_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> io::Result<Answer> {
        let bearer = self.bearer.as_ref().map(|bearer| format!("Authorization: Bearer {bearer}\r\n"));
        let bearer = bearer.unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: yue\r\nContent-Type: application/json\r\n{bearer}{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.connection().and_then(|connection| {
            connection.get_mut().write_all(request.as_bytes())?;
            read_answer(connection)
        });
        if answer.as_ref().map_or(true, |answer| answer.closes) {
            self.connection = None;
        }
        answer
    }

    fn connection(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.connection.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_nodelay(true)?;
            self.connection = Some(BufReader::new(stream));
        }
        self.connection.as_mut().ok_or(io::ErrorKind::NotConnected.into())
    }
}

/// Reads one answer with a length.
pub(crate) fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    read_any(connection)
}

/// The same, of whatever answers come by.
pub(crate) fn read_any(connection: &mut impl io::BufRead) -> io::Result<Answer> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_ascii_lowercase();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
    // An answer without a body says no length.
    let length = match (status, header("content-length:")) {
        (204, None) => 0,
        (_, length) => length.and_then(|length| length.parse().ok()).ok_or_else(invalid)?,
    };
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok(Answer {
        status,
        closes: header("connection:") == Some("close"),
        replayed: header("idempotent-replayed:") == Some("true"),
        retry_after: header("retry-after:").and_then(|seconds| seconds.parse().ok()),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

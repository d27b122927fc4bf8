//! A blocking HTTP/1.1 client for the measurements that go through a server.
//!
//! Owns one connection, opened at the first request unless before. Never retries: whoever measures says what an error means.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// More than any request takes but a wealth day.
const TIMEOUT: Duration = Duration::from_secs(600);

/// One connection.
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Opens the connection and uses it, so that the next request is one like any other.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        self.call("GET", "/healthz", "").map(drop)
    }

    /// One request: status and body. An error leaves it unknown whether it was taken.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        self.call_with(method, path, "", body)
    }

    /// As above, with more header lines, each with its end.
    pub(crate) fn call_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> io::Result<(u16, Value)> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: yue\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        let answer = self.exchange(request.as_bytes());
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    /// A request that is answered with a success, until it is: what is refused for the moment is asked again.
    pub(crate) fn expect(&mut self, method: &str, path: &str, body: &Value) -> io::Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        loop {
            match self.call(method, path, &body)? {
                (200..=299, answer) => return Ok(answer),
                (503, _) => std::thread::sleep(Duration::from_millis(20)),
                (status, answer) => {
                    return Err(io::Error::other(format!("{method} {path}: {status} {answer}")));
                }
            }
        }
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, Value)> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_nodelay(true)?;
                self.connection.insert(BufReader::new(stream))
            }
        };
        connection.get_mut().write_all(request)?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if connection.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_ascii_lowercase();
        let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
        let status = number(head.split(' ').nth(1)).ok_or(io::ErrorKind::InvalidData)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let mut body = vec![0; number(length).unwrap_or_default()];
        connection.read_exact(&mut body)?;
        Ok((u16::try_from(status).unwrap_or_default(), serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

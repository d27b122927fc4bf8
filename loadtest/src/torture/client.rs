//! A blocking HTTP/1.1 connection, for the tortured server's clients.
//!
//! Owns: one connection, opened when it is needed. Never sends anything twice. An error leaves it unknown whether the
//! request was taken; the connection is then given up, so that no late answer is taken for another request's.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::wire::{self, Answer, Endpoint};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// One connection.
pub(crate) struct Client {
    endpoint: Endpoint,
    timeout: Duration,
    stream: Option<TcpStream>,
}

impl Client {
    /// Connects with the first request; without an answer for `timeout` a request has failed.
    pub(crate) fn new(endpoint: Endpoint, timeout: Duration) -> Self {
        Self { endpoint, timeout, stream: None }
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        let answer = self.attempt(request);
        if answer.as_ref().map_or(true, |answer| answer.closes) {
            self.stream = None;
        }
        answer
    }

    fn attempt(&mut self, request: &[u8]) -> io::Result<Answer> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(&self.endpoint, self.timeout)?),
        };
        stream.write_all(request)?;
        let mut bytes = Vec::new();
        let mut buffer = [0; READ_BYTES];
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let answer = wire::parse(&bytes);
            if let Some(answer) = answer.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                return Ok(answer);
            }
        }
    }
}

fn connect(endpoint: &Endpoint, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&endpoint.address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

//! One keep-alive connection with at most one request in flight.
//!
//! Owns: a non-blocking socket and its two buffers. Never blocks, never retries, never measures time.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::wire::{self, Answer, Endpoint};

/// Bytes read at once; a bigger answer is put together from several reads.
pub(crate) const SCRATCH_BYTES: usize = 256 * 1024;

/// A connection to the server.
pub(crate) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
}

impl Connection {
    /// Starts to connect. The connection may be written to at once: the bytes leave when it is established.
    pub(crate) fn open(endpoint: &Endpoint, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(endpoint.address)?;
        stream.set_nodelay(true).ok();
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, out: Vec::new(), written: 0, input: Vec::new() })
    }

    /// Sends a request; what does not fit into the socket now is sent by `flush`.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.out.clear();
        self.out.extend_from_slice(request);
        self.written = 0;
        self.input.clear();
        self.flush()
    }

    /// Sends the rest of the request, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A socket that still connects says `NotConnected` or `WouldBlock`.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The answer, if it is all there.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) -> io::Result<Option<Answer>> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let read = scratch.get(..count).unwrap_or_default();
            // The usual case: one read holds the answer, and nothing is copied but the body.
            let answer = if self.input.is_empty() {
                wire::parse(read)
            } else {
                self.input.extend_from_slice(read);
                wire::parse(&self.input)
            };
            match answer {
                Ok(Some(answer)) => return Ok(Some(answer)),
                Ok(None) if self.input.is_empty() => self.input.extend_from_slice(read),
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
            }
            if count < scratch.len() {
                // A short read has emptied the socket; more bytes raise a new event.
                return Ok(None);
            }
        }
    }
}

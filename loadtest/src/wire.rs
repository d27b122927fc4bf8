//! HTTP/1.1 as bytes: requests are written by hand, answers parsed by `httparse`.
//!
//! Owns: the head of a request, and the cut of an answer out of received bytes. Never touches a socket. Written by
//! hand because the harness shares its cores with the server that it measures.

use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};

/// The largest number of header fields in an answer.
const HEADERS_MAX: usize = 32;

/// Why bytes are no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the answer is no HTTP/1.1: {0}")]
    Head(#[from] httparse::Error),
    #[error("the answer's length is missing or no number")]
    Length,
    #[error("a chunk of the answer is malformed")]
    Chunk,
}

/// Where the server is.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// The lines of each request between the request line and the length.
    common: String,
}

impl Endpoint {
    /// From `http://host:port`, with an optional bearer key. The error is for people.
    pub(crate) fn parse(url: &str, key: Option<&str>) -> Result<Self, String> {
        let authority = url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'))
            .filter(|rest| !rest.contains('/'))
            .ok_or_else(|| format!("`{url}` is not of the form http://host:port"))?;
        let with_port =
            if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| format!("`{authority}` does not resolve: {error}"))?
            .next()
            .ok_or_else(|| format!("`{authority}` has no address"))?;
        let mut common = format!("Host: {authority}\r\n");
        if let Some(key) = key {
            common.push_str("Authorization: Bearer ");
            common.push_str(key);
            common.push_str("\r\n");
        }
        Ok(Self { address, common })
    }

    /// Appends a GET request to `out`.
    pub(crate) fn get(&self, out: &mut Vec<u8>, path: &str) {
        for part in ["GET ", path, " HTTP/1.1\r\n", &self.common, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Appends a POST request with a JSON body to `out`.
    pub(crate) fn post(&self, out: &mut Vec<u8>, path: &str, body: &[u8]) {
        self.send(out, "POST", path, "", body);
    }

    /// Appends a PUT request with a JSON body to `out`.
    pub(crate) fn put(&self, out: &mut Vec<u8>, path: &str, body: &[u8]) {
        self.send(out, "PUT", path, "", body);
    }

    /// Appends a POST request with a JSON body and one more header to `out`.
    pub(crate) fn post_with(&self, out: &mut Vec<u8>, path: &str, (name, value): (&str, &str), body: &[u8]) {
        self.send(out, "POST", path, &format!("{name}: {value}\r\n"), body);
    }

    fn send(&self, out: &mut Vec<u8>, method: &str, path: &str, headers: &str, body: &[u8]) {
        for part in [
            method,
            " ",
            path,
            " HTTP/1.1\r\n",
            &self.common,
            headers,
            "Content-Type: application/json\r\nContent-Length: ",
        ] {
            out.extend_from_slice(part.as_bytes());
        }
        // Writing to a Vec does not fail.
        let _infallible = write!(out, "{}\r\n\r\n", body.len());
        out.extend_from_slice(body);
    }
}

/// An answer, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// `Retry-After` in seconds.
    pub(crate) retry_after: Option<u64>,
    /// The server closes the connection after this answer.
    pub(crate) closes: bool,
}

impl Answer {
    /// Whether the server could not say what became of the request.
    pub(crate) fn may_have_taken_effect(&self) -> bool {
        const UNKNOWN: &[u8] = br#""outcome":"unknown""#;
        self.body.windows(UNKNOWN.len()).any(|part| part == UNKNOWN)
    }

    /// The body for a message to people, shortened.
    pub(crate) fn excerpt(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        format!("{} {text}", self.status)
    }
}

/// How long a body is.
enum Framing {
    Length(usize),
    Chunked,
}

/// Reads one answer from the start of `bytes`; `None` if it is not all there yet.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Answer>, WireError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_length) = head.parse(bytes)? else {
        return Ok(None);
    };
    let mut answer = Answer { status: head.code.unwrap_or_default(), ..Answer::default() };
    let mut framing = None;
    for header in head.headers.iter() {
        let value = || std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            framing = Some(Framing::Length(value().parse().map_err(|_| WireError::Length)?));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Some(Framing::Chunked);
        } else if header.name.eq_ignore_ascii_case("retry-after") {
            answer.retry_after = value().parse().ok();
        } else if header.name.eq_ignore_ascii_case("connection") {
            answer.closes = value().eq_ignore_ascii_case("close");
        }
    }
    let rest = bytes.get(head_length..).unwrap_or_default();
    let body = match framing {
        Some(Framing::Length(length)) => rest.get(..length).map(<[u8]>::to_vec),
        Some(Framing::Chunked) => dechunk(rest)?,
        None if answer.status == 204 => Some(Vec::new()),
        None => return Err(WireError::Length),
    };
    Ok(body.map(|body| Answer { body, ..answer }))
}

/// Joins the chunks of a body; `None` if the last one is not there yet.
fn dechunk(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, WireError> {
    let mut body = Vec::new();
    loop {
        let Some((head, size)) = chunk_head(bytes)? else {
            return Ok(None);
        };
        if size == 0 {
            return Ok(bytes.get(head..head + 2).map(|_| body));
        }
        let Some(data) = bytes.get(head..head + size) else {
            return Ok(None);
        };
        body.extend_from_slice(data);
        let Some(next) = bytes.get(head + size + 2..) else {
            return Ok(None);
        };
        bytes = next;
    }
}

/// The length of a chunk's head and the size of its data; `None` if the head is not all there yet.
pub(crate) fn chunk_head(bytes: &[u8]) -> Result<Option<(usize, usize)>, WireError> {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete((head, size))) => {
            Ok(Some((head, usize::try_from(size).map_err(|_| WireError::Chunk)?)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(WireError::Chunk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cut before the end asks for more; the whole gives the answer.
    fn check(bytes: &str, status: u16, body: &str) {
        for end in 0..bytes.len() {
            let part = parse(bytes.as_bytes().get(..end).unwrap()).unwrap();
            assert_eq!(part, None, "cut at {end}");
        }
        let answer = parse(bytes.as_bytes()).unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (status, body.as_bytes()));
    }

    #[test]
    fn an_answer_is_cut_out_by_its_length() {
        check("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}", 201, "{}");
        check("HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n", 204, "");
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
            200,
            "abc0123456789",
        );
    }

    #[test]
    fn headers_that_matter_are_kept() {
        let answer =
            parse(b"HTTP/1.1 503 No\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .unwrap()
                .unwrap();
        assert_eq!(answer.retry_after, Some(2));
        assert!(answer.closes);
    }

    #[test]
    fn requests_carry_host_key_and_length() {
        let endpoint = Endpoint::parse("http://127.0.0.1:8080/", Some("secret")).unwrap();
        let mut out = Vec::new();
        endpoint.post(&mut out, "/v1/transactions", b"{}");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer secret\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        );
        assert!(Endpoint::parse("127.0.0.1:8080", None).is_err());
        assert!(Endpoint::parse("http://127.0.0.1:8080/v1", None).is_err());
    }
}

//! Request bodies, bounded in bytes and in time.
//!
//! Owns the caps. Never parses. Invariant: no more than the cap is ever kept, and what is announced as larger is
//! refused unread.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::problem::{Code, Problem};

/// The bounds of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Most bytes.
    pub(crate) bytes_max: usize,
    /// Time until all of it must be there.
    pub(crate) read_timeout: Duration,
}

/// Time and bytes for which an oversized body is still taken off the wire (and thrown away): a client that writes
/// before it reads would else see a cut connection instead of the answer.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(4);
const DISCARD_BYTES_MAX: usize = 64 << 20;

/// Reads a JSON body's bytes.
pub(crate) async fn read(request: Request, limits: BodyLimits) -> Result<Bytes, Problem> {
    let typed = check_type(request.headers());
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let waits = request.headers().contains_key(header::EXPECT);
    let mut body = request.into_body();
    // A client that waits for `100 Continue` has not sent the body yet, and does not.
    let discard = |body| {
        if !waits {
            discard(body)
        }
    };
    if let Err(problem) = typed {
        discard(body);
        return Err(problem);
    }
    if announced
        .is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limits.bytes_max))
    {
        discard(body);
        return Err(too_large(limits.bytes_max));
    }
    match timeout(limits.read_timeout, collect(&mut body, limits.bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Cut::TooLarge)) => {
            discard(body);
            Err(too_large(limits.bytes_max))
        }
        Ok(Err(Cut::Broken)) => Err(Problem::new(Code::Malformed, "the body ended too early").closes()),
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            format!("the body was not complete after {} s", limits.read_timeout.as_secs_f32()),
        )
        .closes()),
    }
}

enum Cut {
    TooLarge,
    Broken,
}

/// A body that arrives in one piece, as nearly all do, is not copied.
async fn collect(body: &mut Body, bytes_max: usize) -> Result<Bytes, Cut> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Cut::Broken)?.into_data() else { continue };
        if data.len() > bytes_max.saturating_sub(first.len().max(whole.len())) {
            return Err(Cut::TooLarge);
        }
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

fn discard(mut body: Body) {
    tokio::spawn(timeout(DISCARD_TIME_MAX, async move {
        let mut left = DISCARD_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            match frame.data_ref().map_or(Some(left), |data| left.checked_sub(data.len())) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }));
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the body has more than {bytes_max} bytes")).closes()
}

/// JSON, with any parameters; a missing type is taken for JSON.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |what: &str| Err(Problem::new(Code::UnsupportedMediaType, what).closes());
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refused("the body must not be compressed");
    }
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    refused("the body's type must be application/json")
}

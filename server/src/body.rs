//! Request bodies, bounded in bytes and in time.
//!
//! Owns the caps. Never parses. Invariant: no more than a body's cap is ever kept, nor more than all bodies' together,
//! and what is announced as larger is refused unread. Memory is taken for what has arrived, not for what is announced.

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
    http::{HeaderMap, header},
};
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::problem::{Code, Problem};

/// The bounds of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Most bytes.
    pub(crate) bytes_max: usize,
    /// Time until all of it must be there.
    pub(crate) read_timeout: Duration,
    /// Whether it must be JSON by its headers.
    pub(crate) json: bool,
}

/// Room for all bodies that are being read or parsed, in units of [`BodyMemory::UNIT_BYTES`].
pub(crate) struct BodyMemory {
    free: Arc<Semaphore>,
    units: usize,
}

impl BodyMemory {
    const UNIT_BYTES: usize = 1 << 10;
    /// Bodies up to this size, as nearly all are, need no room of their own: all connections together have at most
    /// 160 MiB of them.
    const FREE_BYTES: usize = 16 << 10;

    pub(crate) fn new(bytes_max: usize) -> Self {
        let units = (bytes_max / Self::UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), units }
    }

    /// Makes room for a body that has, or is about to have, so many bytes in memory.
    ///
    /// A body gets more only while no less is left than it has: large ones are refused before small ones. Nobody waits,
    /// because bodies that wait for each other's room would all wait until their time is over.
    fn grow(&self, room: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Cut> {
        let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = if bytes <= Self::FREE_BYTES { 0 } else { bytes.div_ceil(Self::UNIT_BYTES) };
        let Some(more) = wanted.checked_sub(held).filter(|more| *more > 0) else { return Ok(()) };
        let left = self.free.available_permits();
        let is_alone = left + held >= self.units;
        let more = u32::try_from(more).map_err(|_| Cut::NoRoom)?;
        if left < held && !is_alone {
            return Err(Cut::NoRoom);
        }
        let more = Arc::clone(&self.free).try_acquire_many_owned(more).map_err(|_| Cut::NoRoom)?;
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(())
    }
}

/// A body that has arrived, with its room.
pub(crate) struct ReceivedBody {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl ReceivedBody {
    /// The bytes alone: whoever reads them again takes room again.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Deref for ReceivedBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Time and bytes for which an oversized body is still taken off the wire (and thrown away): a client that writes
/// before it reads would else see a cut connection instead of the answer.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(4);
const DISCARD_BYTES_MAX: usize = 64 << 20;

/// Reads a JSON body's bytes.
pub(crate) async fn read(
    request: Request,
    limits: BodyLimits,
    memory: &BodyMemory,
) -> Result<ReceivedBody, Problem> {
    let typed = if limits.json { check_type(request.headers()) } else { Ok(()) };
    let waits = request.headers().contains_key(header::EXPECT);
    let mut body = request.into_body();
    // A client that waits for `100 Continue` has not sent the body yet, and does not.
    let discard = |body| {
        if !waits {
            discard(body);
        }
    };
    if let Err(problem) = typed {
        discard(body);
        return Err(problem);
    }
    // Of `Content-Length`; a body in chunks says nothing.
    let most = body.size_hint().upper().map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    if most.is_some_and(|most| most > limits.bytes_max) {
        discard(body);
        return Err(too_large(limits.bytes_max));
    }
    let bytes_max = most.map_or(limits.bytes_max, |most| most.min(limits.bytes_max));
    match timeout(limits.read_timeout, collect(&mut body, bytes_max, memory)).await {
        Ok(Ok(received)) => Ok(received),
        Ok(Err(Cut::TooLarge)) => {
            discard(body);
            Err(too_large(limits.bytes_max))
        }
        Ok(Err(Cut::NoRoom)) => {
            discard(body);
            Err(Problem::new(Code::Overloaded, "the room for request bodies is full").closes())
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
    NoRoom,
}

/// Takes what arrives, and room for it as it arrives: what is only announced keeps nobody out. A body that arrives in one
/// piece, as nearly all do, is not copied; the others' memory doubles, up to `bytes_max`.
async fn collect(body: &mut Body, bytes_max: usize, memory: &BodyMemory) -> Result<ReceivedBody, Cut> {
    let mut room = None;
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Cut::Broken)?.into_data() else { continue };
        let before = first.len().max(whole.len());
        if data.len() > bytes_max.saturating_sub(before) {
            return Err(Cut::TooLarge);
        }
        if before == 0 {
            memory.grow(&mut room, data.len())?;
            first = data;
            continue;
        }
        let bytes = before + data.len();
        if bytes > whole.capacity() {
            let capacity = bytes.max(whole.capacity().saturating_mul(2)).min(bytes_max);
            memory.grow(&mut room, capacity)?;
            whole.reserve_exact(capacity - whole.len());
        }
        if whole.is_empty() {
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    let bytes = if whole.is_empty() { first } else { whole.into() };
    Ok(ReceivedBody { bytes, _room: room })
}

/// Refuses a body without reading it: a client that writes before it reads is to see the answer, and not a cut connection.
pub(crate) fn leave_unread(headers: &HeaderMap, body: Body) {
    if !body.is_end_stream() && !headers.contains_key(header::EXPECT) {
        discard(body);
    }
}

/// Takes what is left of a refused body off the wire.
pub(crate) fn discard(mut body: Body) {
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

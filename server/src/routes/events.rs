//! `GET /v1/events`

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::stream;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use utoipa::ToSchema;
use yue_engine::{engine::Engine, model::Position};

use crate::{
    app::{App, EventStream, Phase},
    auth::InForce,
    openapi::LedgerProblems,
    problem::{Code, Problem},
    query::{Query, parse_position},
    wire::event,
};

/// Events that are read, and wait to be taken by a client, at once.
const CHUNK_EVENTS_MAX: usize = 128;
/// A comment is sent when there was no event for this long, so that both ends notice a dead connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// One event of the stream, its fields as text.
#[derive(ToSchema)]
#[schema(as = EventMessage)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct Message {
    /// The record's position.
    #[schema(example = "17")]
    id: String,
    /// What happened.
    event: EventType,
    /// JSON: the account, transaction or hold as `GET` shows it; nothing of a wallet's secrets; of a `snapshot` its type and position.
    data: String,
}

/// What happened.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum EventType {
    /// An account was opened.
    AccountOpened,
    /// An account's rules changed.
    AccountChanged,
    /// A transaction took effect.
    TransactionPosted,
    /// A transaction was refused, finally.
    TransactionRejected,
    /// A hold ran out.
    HoldExpired,
    /// A wallet's secrets or settings changed.
    WalletChanged,
    /// The ledger wrote a part of its state into its journal.
    Snapshot,
}

/// Follow the journal
///
/// Server-sent events, without gaps and in order: `id` is the position, `event` one of `account_opened`,
/// `account_changed`, `transaction_posted`, `transaction_rejected`, `hold_expired`, and `data` the account, transaction
/// or hold as `GET` shows it. Of a `snapshot` (the ledger's state in its own journal) `data` has type and position only.
/// Resumes after `Last-Event-ID`, which wins over `after`.
#[utoipa::path(
    get, path = "/v1/events", tag = "audit", operation_id = "follow_events",
    params(
        ("after" = Option<u64>, Query, description = "A position, exclusive; 0 if absent."),
        ("Last-Event-ID" = Option<u64>, Header, description = "A position, exclusive."),
    ),
    responses(
        (status = 200, description = "The events, each in this form, and comments to keep the connection alive.",
            body = Message, content_type = "text/event-stream"),
        LedgerProblems,
    ),
)]
pub(crate) async fn stream(app: App, request: Request) -> Result<Response, Problem> {
    let engine = app.engine().await?;
    let query = Query::parse(request.uri().query(), &["after"])?;
    let after = query.position("after")?;
    let last = match request.headers().get("last-event-id") {
        None => None,
        Some(id) => Some(id.to_str().ok().and_then(parse_position).ok_or_else(|| {
            Problem::new(Code::Malformed, "Last-Event-ID is no position").field("/Last-Event-ID")
        })?),
    };
    let in_force = request.extensions().get::<InForce>().cloned();
    let place = app.event_stream(in_force.as_ref())?;
    let follower = Follower {
        after: last.or(after).unwrap_or(Position::ZERO),
        head: engine.head(),
        engine,
        phase: app.phase(),
        in_force,
        _place: place,
    };
    let chunks = stream::unfold(follower, |mut follower| async move {
        follower.next_chunk().await.map(|chunk| (Ok::<_, Infallible>(chunk), follower))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

/// One stream's place. Holds one chunk at a time: the next one is read when the client has taken this one.
struct Follower {
    engine: Engine,
    after: Position,
    head: watch::Receiver<Position>,
    phase: watch::Receiver<Phase>,
    /// Of the key, if it was asked for one.
    in_force: Option<InForce>,
    _place: EventStream,
}

impl Follower {
    /// The next events, or a comment; `None` when the process ends, or the keys have changed: the client comes back with
    /// `Last-Event-ID`, if its key is still good.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        let Some(mut in_force) = self.in_force.clone() else { return self.next_events().await };
        tokio::select! {
            biased;
            () = in_force.end() => None,
            chunk = self.next_events() => chunk,
        }
    }

    async fn next_events(&mut self) -> Option<Bytes> {
        let quiet_until = Instant::now() + KEEP_ALIVE_INTERVAL;
        loop {
            if *self.phase.borrow_and_update() == Phase::Stopping {
                return None;
            }
            // Marked as seen before the look: what comes after the look wakes the wait below.
            self.head.borrow_and_update();
            // While the index is too far behind there is nothing to tell, as if nothing had happened.
            let seen = self.engine.events_seen(self.after, CHUNK_EVENTS_MAX).await;
            let (events, seen) = seen.unwrap_or_else(|_| (Vec::new(), self.after));
            let skipped = seen > self.after && events.is_empty();
            self.after = seen;
            if !events.is_empty() {
                let mut chunk = Vec::with_capacity(events.len() * 512);
                events.iter().for_each(|view| event::write(&mut chunk, view));
                return Some(chunk.into());
            }
            // Nothing of what was looked at is for this caller: on, but not without a sign of life.
            if skipped && Instant::now() < quiet_until {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                changed = self.head.changed() => changed.ok()?,
                changed = self.phase.changed() => changed.ok()?,
                () = sleep_until(quiet_until) => return Some(Bytes::from_static(b": keep-alive\n\n")),
            }
        }
    }
}

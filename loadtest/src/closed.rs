//! The closed loop: some clients, each sends its next request when it has its answer.
//!
//! Owns: the connections and the loop; used to prepare, to saturate and to audit, never to measure latency under an
//! offered load (an open model does that). Requests must be safe to repeat: a lost connection sends them again.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::connection::{Connection, SCRATCH_BYTES};
use crate::wire::{Answer, Endpoint};

/// How often one request is sent again after a lost connection.
const RECONNECTS_MAX: u32 = 5;
/// The pause after an answer that asks to come again.
const AGAIN_PAUSE: Duration = Duration::from_millis(2);
/// The longest silence before the loop gives up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What happens after an answer.
pub(crate) enum After {
    /// The client goes on.
    Next,
    /// The same request again, after a short pause.
    Again,
}

/// What the clients do.
pub(crate) trait Work {
    /// Writes a client's next request to `out`; `false` if the client is done.
    fn next(&mut self, client: usize, out: &mut Vec<u8>) -> bool;

    /// Takes the answer to the request of this client.
    fn answered(&mut self, client: usize, answer: Answer, latency: Duration) -> Result<After, String>;
}

struct Client {
    connection: Connection,
    request: Vec<u8>,
    sent_at: Instant,
    reconnects: u32,
    active: bool,
}

/// Runs the work with `clients` connections on this thread until each client is done.
pub(crate) fn run(endpoint: &Endpoint, clients: usize, work: &mut impl Work) -> Result<(), String> {
    let mut poll = Poll::new().map_err(text)?;
    let mut pool = Vec::with_capacity(clients);
    for index in 0..clients {
        pool.push(Client {
            connection: Connection::open(endpoint, poll.registry(), Token(index)).map_err(text)?,
            request: Vec::new(),
            sent_at: Instant::now(),
            reconnects: 0,
            active: true,
        });
    }
    let mut active = clients;
    for (index, client) in pool.iter_mut().enumerate() {
        active -= usize::from(!advance(endpoint, &poll, index, client, work)?);
    }
    let mut events = Events::with_capacity(256);
    let mut scratch = vec![0; SCRATCH_BYTES];
    while active > 0 {
        match poll.poll(&mut events, Some(SILENCE_MAX)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(text)?,
        }
        if events.is_empty() {
            return Err(format!("no answer for {} s", SILENCE_MAX.as_secs()));
        }
        for event in &events {
            let Token(index) = event.token();
            let Some(client) = pool.get_mut(index).filter(|client| client.active) else {
                continue;
            };
            if !ready(endpoint, &poll, index, client, work, &mut scratch)? {
                client.active = false;
                active -= 1;
            }
        }
    }
    Ok(())
}

/// Handles readiness; `false` if the client is done.
fn ready(
    endpoint: &Endpoint,
    poll: &Poll,
    index: usize,
    client: &mut Client,
    work: &mut impl Work,
    scratch: &mut [u8],
) -> Result<bool, String> {
    let received = client.connection.flush().and_then(|()| client.connection.receive(scratch));
    match received {
        Ok(None) => Ok(true),
        Ok(Some(answer)) => {
            client.reconnects = 0;
            let latency = client.sent_at.elapsed();
            let closes = answer.closes;
            let after = work.answered(index, answer, latency)?;
            if closes {
                client.connection =
                    Connection::open(endpoint, poll.registry(), Token(index)).map_err(text)?;
            }
            match after {
                After::Next => advance(endpoint, poll, index, client, work),
                After::Again => {
                    std::thread::sleep(AGAIN_PAUSE);
                    resend(endpoint, poll, index, client).map(|()| true)
                }
            }
        }
        Err(error) => reconnect(endpoint, poll, index, client, &error).map(|()| true),
    }
}

/// Sends a client's next request; `false` if there is none.
fn advance(
    endpoint: &Endpoint,
    poll: &Poll,
    index: usize,
    client: &mut Client,
    work: &mut impl Work,
) -> Result<bool, String> {
    client.request.clear();
    if !work.next(index, &mut client.request) {
        client.active = false;
        return Ok(false);
    }
    client.sent_at = Instant::now();
    resend(endpoint, poll, index, client)?;
    Ok(true)
}

fn resend(endpoint: &Endpoint, poll: &Poll, index: usize, client: &mut Client) -> Result<(), String> {
    match client.connection.send(&client.request) {
        Ok(()) => Ok(()),
        Err(error) => reconnect(endpoint, poll, index, client, &error),
    }
}

fn reconnect(
    endpoint: &Endpoint,
    poll: &Poll,
    index: usize,
    client: &mut Client,
    error: &io::Error,
) -> Result<(), String> {
    client.reconnects += 1;
    if client.reconnects > RECONNECTS_MAX {
        return Err(format!("cannot talk to {}: {error}", endpoint.address));
    }
    std::thread::sleep(AGAIN_PAUSE * client.reconnects);
    client.connection = Connection::open(endpoint, poll.registry(), Token(index)).map_err(text)?;
    resend(endpoint, poll, index, client)
}

fn text(error: io::Error) -> String {
    error.to_string()
}

/// The simplest work: one request for each item of a list, each answer given to a function with its item.
pub(crate) struct Each<'a, T, B, A> {
    items: std::slice::Iter<'a, T>,
    in_flight: Vec<Option<&'a T>>,
    build: B,
    answered: A,
}

/// Runs one request for each item, with `clients` connections. `answered` may ask for the same request again.
pub(crate) fn each<'a, T, B, A>(
    endpoint: &Endpoint,
    clients: usize,
    items: &'a [T],
    build: B,
    answered: A,
) -> Result<(), String>
where
    B: FnMut(&T, &mut Vec<u8>),
    A: FnMut(&'a T, Answer) -> Result<After, String>,
{
    let clients = clients.min(items.len());
    let mut work = Each { items: items.iter(), in_flight: vec![None; clients], build, answered };
    run(endpoint, clients, &mut work)
}

impl<'a, T, B, A> Work for Each<'a, T, B, A>
where
    B: FnMut(&T, &mut Vec<u8>),
    A: FnMut(&'a T, Answer) -> Result<After, String>,
{
    fn next(&mut self, client: usize, out: &mut Vec<u8>) -> bool {
        let Some(item) = self.items.next() else {
            return false;
        };
        if let Some(slot) = self.in_flight.get_mut(client) {
            *slot = Some(item);
        }
        (self.build)(item, out);
        true
    }

    fn answered(&mut self, client: usize, answer: Answer, _latency: Duration) -> Result<After, String> {
        match self.in_flight.get(client).copied().flatten() {
            Some(item) => (self.answered)(item, answer),
            None => Err("an answer without a request".to_owned()),
        }
    }
}

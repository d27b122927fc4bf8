//! The clients of a tortured server.
//!
//! Owns: the loop of one client, from the synced intent over the request to the synced acknowledgement. Never gives up an
//! id without an outcome while the server lives: what is unknown is sent again at once, under the same id.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::draw::Shopper;
use super::log::{Acknowledgement, Intent, Log};
use super::record::State;
use super::request::{self, Reply};
use crate::channel::Keys;
use crate::wire::Endpoint;

/// Without an answer for so long a client comes again, over another connection. Some stops are longer.
const TIMEOUT: Duration = Duration::from_millis(600);
/// Before the same request is sent again.
const PAUSE: Duration = Duration::from_millis(4);
/// How long a client goes on asking after the load's end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the record goes.
pub(crate) struct Logs {
    pub(crate) intents: Log,
    pub(crate) acknowledgements: Log,
}

/// What all clients of a cycle share.
pub(crate) struct Load<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) keys: &'a Keys,
    pub(crate) logs: &'a Logs,
    /// The load is over: no new requests.
    pub(crate) stop: &'a AtomicBool,
    /// Requests that were refused since the storage is low.
    pub(crate) storage_low: &'a AtomicU64,
    /// Requests that have their outcome.
    pub(crate) acknowledged: &'a AtomicU64,
}

/// What one client has done in a cycle.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) entries: Vec<(Intent, State)>,
    /// Answers outside the contract.
    pub(crate) unexpected: Vec<String>,
}

impl Load<'_> {
    /// One client, until the load is over or the server gone.
    pub(crate) fn run(&self, shopper: &mut Shopper) -> Result<Done, String> {
        let mut client = Client::new(self.endpoint.clone(), TIMEOUT);
        let mut done = Done::default();
        while !self.stop.load(Relaxed) {
            let intent = shopper.draw();
            self.logs.intents.append(&intent).map_err(|error| error.to_string())?;
            let state = self.send(&mut client, &intent, &mut done.unexpected)?;
            let known = matches!(state, State::Known(_));
            if let State::Known(outcome) = &state {
                shopper.learn(&intent, outcome);
            }
            done.entries.push((intent, state));
            if !known {
                break;
            }
        }
        Ok(done)
    }

    /// Sends an intent until it has its outcome or the server is gone.
    fn send(
        &self,
        client: &mut Client,
        intent: &Intent,
        unexpected: &mut Vec<String>,
    ) -> Result<State, String> {
        let mut state = State::NotTaken;
        let mut over_since = None;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            request::build(intent, self.endpoint, self.keys, &mut bytes);
            match client.call(&bytes).map(|answer| request::judge(intent, &answer)) {
                Ok(Reply::Final(outcome)) => {
                    let line = Acknowledgement { id: intent.id, outcome };
                    self.logs.acknowledgements.append(&line).map_err(|error| error.to_string())?;
                    self.acknowledged.fetch_add(1, Relaxed);
                    return Ok(State::Known(line.outcome));
                }
                Ok(Reply::NotTaken(storage_low)) => {
                    self.storage_low.fetch_add(u64::from(storage_low), Relaxed);
                }
                Ok(Reply::Unknown) => state = State::Unknown,
                Ok(Reply::Unexpected(text)) => {
                    unexpected.push(format!("{intent:?}: {text}"));
                    return Ok(State::Unknown);
                }
                // Nobody took it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    if self.stop.load(Relaxed) {
                        return Ok(state);
                    }
                }
                Err(_) => state = State::Unknown,
            }
            if self.stop.load(Relaxed) {
                let since = *over_since.get_or_insert_with(Instant::now);
                // A storage that is low stays so.
                if state == State::NotTaken || since.elapsed() > PATIENCE {
                    return Ok(state);
                }
            }
            thread::sleep(PAUSE);
        }
    }
}

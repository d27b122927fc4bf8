//! What is asked beside the load: health, and the outcome of what was posted last.
//!
//! Owns: one connection, and when it asks next. Never counts. Every probe counts, those of a stage's first moments too, and
//! those that one which waits keeps from being sent.

use std::io;
use std::time::{Duration, Instant};

use mio::{Registry, Token};
use uuid::Uuid;

use crate::connection::Connection;
use crate::wire::Endpoint;

/// One is sent this often, if the one before is answered.
const EVERY: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Probe {
    token: Token,
    connection: Option<Connection>,
    asked: Option<Asked>,
    asks_health: bool,
    due: Instant,
}

struct Asked {
    at: Instant,
    stage: usize,
}

/// How a probe ended.
pub(super) struct Ended {
    /// In which it was sent.
    pub(super) stage: usize,
    /// `None`: no answer, or another one than 200.
    pub(super) latency: Option<Duration>,
}

impl Ended {
    /// How long those would have waited that were due meanwhile and were not sent: one that waits a second stands for
    /// twenty.
    pub(super) fn omitted(&self) -> impl Iterator<Item = Duration> {
        let latency = self.latency.unwrap_or_default();
        (1_u32..).map_while(move |nth| latency.checked_sub(EVERY * nth)).filter(|rest| !rest.is_zero())
    }
}

impl Probe {
    pub(super) fn new(
        endpoint: &Endpoint,
        registry: &Registry,
        token: Token,
        now: Instant,
    ) -> io::Result<Self> {
        let connection = Some(Connection::open(endpoint, registry, token)?);
        Ok(Self { token, connection, asked: None, asks_health: true, due: now })
    }

    /// Sends the next one if it is due, and gives up one that has waited too long.
    pub(super) fn ask(
        &mut self,
        endpoint: &Endpoint,
        registry: &Registry,
        outcome_of: Option<Uuid>,
        stage: usize,
        now: Instant,
    ) -> Option<Ended> {
        if let Some(asked) = &self.asked {
            let late = now.saturating_duration_since(asked.at) > super::generator::TIMEOUT;
            return if late { self.fail(now) } else { None };
        }
        if now < self.due {
            return None;
        }
        if self.connection.is_none() {
            self.connection = Connection::open(endpoint, registry, self.token).ok();
        }
        let mut request = Vec::new();
        match outcome_of.filter(|_| !self.asks_health) {
            Some(id) => endpoint.get(&mut request, &format!("/v1/transactions/{id}")),
            None => endpoint.get(&mut request, "/healthz"),
        }
        self.asks_health = !self.asks_health;
        self.due = now + EVERY;
        self.asked = Some(Asked { at: now, stage });
        match self.connection.as_mut().map(|connection| connection.send(&request)) {
            Some(Ok(())) => None,
            Some(Err(_)) | None => self.fail(now),
        }
    }

    /// Whether one waits for its answer.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Takes up the answer, if it is there.
    pub(super) fn ready(&mut self, scratch: &mut [u8]) -> Option<Ended> {
        let connection = self.connection.as_mut()?;
        let received = connection.flush().and_then(|()| connection.receive(scratch));
        let now = Instant::now();
        match received {
            Ok(None) => None,
            Ok(Some(answer)) if answer.status == 200 => {
                let Asked { at, stage } = self.asked.take()?;
                Some(Ended { stage, latency: Some(now.saturating_duration_since(at)) })
            }
            Ok(Some(_)) | Err(_) => self.fail(now),
        }
    }

    /// Gives up; it is asked again on a new connection.
    pub(super) fn fail(&mut self, now: Instant) -> Option<Ended> {
        self.connection = None;
        self.due = now + EVERY;
        self.asked.take().map(|asked| Ended { stage: asked.stage, latency: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_waits_stands_for_those_that_were_due() {
        let check = |latency: Option<u64>, expected: &[u64]| {
            let ended = Ended { stage: 0, latency: latency.map(Duration::from_millis) };
            let omitted: Vec<_> = ended.omitted().collect();
            assert_eq!(omitted, expected.iter().map(|&ms| Duration::from_millis(ms)).collect::<Vec<_>>());
        };
        check(None, &[]);
        check(Some(0), &[]);
        check(Some(50), &[]);
        check(Some(51), &[1]);
        check(Some(220), &[170, 120, 70, 20]);
    }
}

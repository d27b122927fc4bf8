//! The connections of a worker.
//!
//! Owns: which connection is idle, which carries which try, and the repair of broken ones. Never knows what a try
//! is for. Invariant: a connection whose answer came too late is closed, so that no answer is taken for another's.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::{Registry, Token};

use crate::connection::{Connection, SCRATCH_BYTES};
use crate::wire::{Answer, Endpoint};

/// The pause before a broken connection is opened again.
const REPAIR_AFTER: Duration = Duration::from_millis(20);

/// The most connections that are opened again at once: more would make the sendings late when a server goes down.
const REPAIRS_MAX: usize = 16;

/// One sending of a request: the connection, and a number that tells it from later ones on the same connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    slot: usize,
    number: u64,
}

struct Slot<T> {
    connection: Option<Connection>,
    attempt: Option<T>,
    number: u64,
}

/// A pool of connections, each with at most one try `T` in flight.
pub(super) struct Pool<T> {
    endpoint: Endpoint,
    slots: Vec<Slot<T>>,
    idle: Vec<usize>,
    broken: VecDeque<(Instant, usize)>,
    scratch: Vec<u8>,
}

impl<T> Pool<T> {
    /// Opens `size` connections, with tokens from 0.
    pub(super) fn open(endpoint: Endpoint, size: usize, registry: &Registry) -> io::Result<Self> {
        let mut slots = Vec::with_capacity(size);
        for index in 0..size {
            slots.push(Slot {
                connection: Some(Connection::open(&endpoint, registry, Token(index))?),
                attempt: None,
                number: 0,
            });
        }
        Ok(Self {
            endpoint,
            slots,
            idle: (0..size).collect(),
            broken: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Whether a request could be sent now.
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Sends a request on an idle connection; `None` if there is none. A connection that breaks in sending is
    /// reported by `ready` or by the time-out, as if the request had been lost on its way.
    pub(super) fn send(&mut self, attempt: T, request: &[u8]) -> Option<Ticket> {
        let index = self.idle.pop()?;
        let slot = self.slots.get_mut(index)?;
        slot.number += 1;
        slot.attempt = Some(attempt);
        if let Some(connection) = &mut slot.connection {
            // An error here raises an event on the socket too.
            connection.send(request).ok();
        }
        Some(Ticket { slot: index, number: slot.number })
    }

    /// Handles readiness of a connection: the try that has ended, with its answer or `None` if it is lost.
    pub(super) fn ready(
        &mut self,
        token: Token,
        registry: &Registry,
        now: Instant,
    ) -> Option<(T, Option<Answer>)> {
        let Token(index) = token;
        let slot = self.slots.get_mut(index)?;
        let connection = slot.connection.as_mut()?;
        match connection.flush().and_then(|()| connection.receive(&mut self.scratch)) {
            Ok(None) => None,
            Ok(Some(answer)) => {
                let attempt = slot.attempt.take();
                if answer.closes || attempt.is_none() {
                    slot.connection = Connection::open(&self.endpoint, registry, token).ok();
                }
                let attempt = attempt?;
                self.idle.push(index);
                Some((attempt, Some(answer)))
            }
            Err(_) => {
                let attempt = slot.attempt.take();
                slot.connection = None;
                self.idle.retain(|idle| *idle != index);
                self.broken.push_back((now + REPAIR_AFTER, index));
                attempt.map(|attempt| (attempt, None))
            }
        }
    }

    /// Gives up on a try that is still in flight, and closes its connection.
    pub(super) fn expire(&mut self, ticket: Ticket, registry: &Registry) -> Option<T> {
        let slot = self.slots.get_mut(ticket.slot).filter(|slot| slot.number == ticket.number)?;
        let attempt = slot.attempt.take()?;
        slot.connection = Connection::open(&self.endpoint, registry, Token(ticket.slot)).ok();
        self.idle.push(ticket.slot);
        Some(attempt)
    }

    /// Opens connections again whose pause is over; some of them, if many are broken.
    pub(super) fn repair(&mut self, registry: &Registry, now: Instant) {
        for _ in 0..REPAIRS_MAX {
            let Some((_, index)) = self.broken.pop_front_if(|(due, _)| *due <= now) else {
                return;
            };
            let opened = Connection::open(&self.endpoint, registry, Token(index));
            match (self.slots.get_mut(index), opened) {
                (Some(slot), Ok(connection)) => {
                    slot.connection = Some(connection);
                    self.idle.push(index);
                }
                (Some(_), Err(_)) => self.broken.push_back((now + REPAIR_AFTER, index)),
                (None, _) => {}
            }
        }
    }
}

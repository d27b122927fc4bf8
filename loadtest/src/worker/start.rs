//! What is sent for the first time: users' arrivals, channels' words, what follows a token.
//!
//! Owns: the way of an operation from its moment to its flight. Never waits: what finds no connection, or nobody who is
//! free to pay, is dropped and counted.

use std::cmp::Reverse;
use std::time::Instant;

use rand::RngExt;

use super::flight::{Flight, FlightKey};
use super::{Action, Worker};
use crate::arrivals::Arrival;
use crate::builds::Built;
use crate::mix::{self, Kind};
use crate::operation::{Operation, Spend};
use crate::phases::PhaseName;
use crate::retry::{STATUS_QUERY_EVERY, Style};

/// Sends in a row before answers are read, when the loop has fallen behind.
const BURST_MAX: usize = 64;
/// Of writes, the part that is sent twice at the same moment with the same id.
const COPIES_SHARE: f64 = 0.05;

impl Worker {
    pub(super) fn send_due(&mut self) {
        for _ in 0..BURST_MAX {
            let now = Instant::now();
            let start = self.start;
            let Some(arrival) = self.arrivals.next_if(|arrival| start + arrival.after <= now) else {
                return;
            };
            self.start_flight(arrival, now);
        }
    }

    fn start_flight(&mut self, arrival: Arrival, now: Instant) {
        let intended = self.start + arrival.after;
        self.phase = arrival.phase;
        let intent = mix::intent(arrival.phase, &mut self.rng);
        let built = if self.pool.has_idle() {
            self.builds.build(intent, &mut self.book, now)
        } else {
            Built::NoPayer
        };
        let (operation, then) = match built {
            Built::Operation(operation) => (operation, None),
            Built::Token(operation, spend) => (operation, Some(spend)),
            Built::NoPayer => {
                let kind = intent.kind();
                self.recorder.offered(kind, arrival.phase, now - intended);
                self.recorder.dropped(kind, arrival.phase);
                return;
            }
        };
        let kind = then.as_ref().map_or(operation.kind, |spend| spend.kind);
        if then.is_some() {
            self.recorder.added(Kind::Token, arrival.phase);
        }
        self.launch(operation, then, intended, arrival.phase, now);
        self.recorder.offered(kind, arrival.phase, intended.elapsed());
    }

    /// Sends an operation for the first time, and perhaps its copy; `then` is what it fetches a token for.
    pub(super) fn launch(
        &mut self,
        operation: Operation,
        then: Option<Spend>,
        intended: Instant,
        phase: PhaseName,
        now: Instant,
    ) {
        let kind = operation.kind;
        self.serial += 1;
        let flight = Flight::new(self.serial, operation, then, intended, phase);
        let key = FlightKey { serial: self.serial, slot: self.flights.insert(flight) };
        self.retries.first_try();
        self.send_try(key, now);
        if kind.writes() && self.rng.random_bool(COPIES_SHARE) && self.pool.has_idle() {
            self.recorder.totals.copies += 1;
            self.send_copy(key, now);
        }
        if kind.pays() && self.retries.style() == Style::Rude {
            self.agenda.push(Reverse((now + STATUS_QUERY_EVERY, key, Action::AskStatus)));
        }
    }

    /// What channels have to say now.
    pub(super) fn send_notifications(&mut self, now: Instant) {
        for _ in 0..BURST_MAX {
            let Some(due) = self.book.next_due().filter(|due| *due <= now && self.pool.has_idle()) else {
                return;
            };
            let Some(notice) = self.book.take_due(now) else {
                return;
            };
            let operation = self.builds.notify(&notice);
            self.recorder.added(Kind::Notification, self.phase);
            self.launch(operation, None, due, self.phase, now);
        }
    }
}

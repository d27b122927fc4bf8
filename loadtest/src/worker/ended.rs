//! What follows when a sending has ended: the book, the count, the next try.
//!
//! Owns: the way of a flight from an answer (or none) to its end. Never touches a socket. Invariant: an operation is
//! counted once and enters the book once, however many copies and retries of it are answered.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::flight::{Attempt, Flight, FlightKey, Role};
use super::{Action, Worker};
use crate::answer::{self, Reply};
use crate::book::Outcome;
use crate::recorder::End;
use crate::wire::Answer;

/// How long the external channel takes until a hold is captured or released.
const CHANNEL_ANSWERS_AFTER: Duration = Duration::from_millis(500);
/// The most examples of one kind of trouble that are kept for the report.
const EXAMPLES_MAX: usize = 20;

impl Worker {
    /// A sending has ended, with its answer or without one.
    pub(super) fn attempt_ended(&mut self, attempt: Attempt, answer: Option<&Answer>, now: Instant) {
        let key = attempt.flight;
        let Some(flight) = self.flights.get_mut(key.slot).filter(|flight| flight.serial == key.serial) else {
            return;
        };
        let reply = match attempt.role {
            Role::Try => {
                flight.waiting -= 1;
                answer.map_or(Reply::Unknown, |answer| answer::judge(&flight.operation, answer))
            }
            Role::StatusQuery => match answer.and_then(answer::judge_status) {
                Some(reply) => reply,
                None => return,
            },
        };
        match reply {
            Reply::Read => self.end(key, End::Done, now),
            Reply::Final(outcome, code) => self.decided(key, outcome, code, now),
            Reply::Overloaded(retry_after_s) => flight.retry_after_s = retry_after_s,
            Reply::Unknown => flight.unknown = true,
            Reply::Unexpected(text) => {
                if self.unexpected.len() < EXAMPLES_MAX {
                    self.unexpected.push(format!("{}: {text}", flight.operation.kind.label()));
                }
                self.end(key, End::Unexpected, now);
            }
        }
        self.proceed(key, now);
    }

    fn decided(&mut self, key: FlightKey, outcome: Outcome, code: Option<&'static str>, now: Instant) {
        let Some(flight) = self.flights.get_mut(key.slot) else {
            return;
        };
        let Some(id) = flight.operation.id else {
            return;
        };
        match flight.outcome.replace(outcome) {
            None => {
                self.book.enter(id, &flight.operation.effect, outcome, now + CHANNEL_ANSWERS_AFTER);
                self.end(key, code.map_or(End::Done, End::Refused), now);
            }
            Some(first) if first == outcome => {}
            Some(first) => {
                if self.disagreements.len() < EXAMPLES_MAX {
                    self.disagreements.push(format!("{id}: first {first:?}, then {outcome:?}"));
                }
            }
        }
    }

    /// Counts an operation's end, once.
    fn end(&mut self, key: FlightKey, end: End, now: Instant) {
        if let Some(flight) = self.flights.get_mut(key.slot).filter(|flight| !flight.ended) {
            flight.ended = true;
            let latency = now.saturating_duration_since(flight.intended);
            self.recorder.ended(flight.operation.kind, flight.phase, end, latency);
        }
    }

    /// Plans what comes next for a flight of which a sending has ended.
    fn proceed(&mut self, key: FlightKey, now: Instant) {
        let Some(flight) = self.flights.get_mut(key.slot) else {
            return;
        };
        if flight.waiting > 0 || (flight.planned && !flight.ended) {
            return;
        }
        if flight.ended {
            self.flights.remove(key.slot);
            return;
        }
        if let Some(pause) = self.retries.next(flight.tries, flight.retry_after_s, &mut self.rng) {
            flight.planned = true;
            self.agenda.push(Reverse((now + pause, key, Action::Retry)));
            return;
        }
        let end = if flight.unknown { End::Unanswered } else { End::Overloaded };
        self.end(key, end, now);
        let flight = self.flights.remove(key.slot);
        self.set_aside(flight);
    }

    /// Keeps an operation without outcome for the audit; one that was refused for overload has not happened.
    pub(super) fn set_aside(&mut self, flight: Flight) {
        if flight.unknown && flight.operation.id.is_some() {
            self.unsettled.push(flight.operation);
        } else {
            self.book.not_taken(&flight.operation.effect);
        }
    }
}

//! What follows when a sending has ended: the book, the count, the next try.
//!
//! Owns: the way of a flight from an answer (or none) to its end. Never touches a socket. Invariant: an operation is
//! counted once and enters the book once, however many copies and retries of it are answered.

use std::cmp::Reverse;
use std::time::Instant;

use uuid::Uuid;

use super::flight::{Attempt, Flight, FlightKey, Role};
use super::{Action, Worker};
use crate::answer::{self, Reply};
use crate::book::Outcome;
use crate::mix::Kind;
use crate::recorder::End;
use crate::wire::Answer;

/// A guess that a lock refused: the wallet does not count it.
const LOCKED: &str = "password_locked";
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
            Reply::Token(token) => self.fetched(key, token, now),
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
        // A guess has no id, and no copies.
        let id = flight.operation.id.unwrap_or(Uuid::nil());
        match flight.outcome.replace(outcome) {
            None => {
                if code != Some(LOCKED) {
                    self.book.enter(id, &flight.operation.effect, outcome, now);
                }
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

    /// A payer has a token: the payment that it was fetched for goes on, or the next one will have it.
    fn fetched(&mut self, key: FlightKey, token: String, now: Instant) {
        let Some(flight) = self.flights.get_mut(key.slot) else {
            return;
        };
        let (intended, phase) = (flight.intended, flight.phase);
        match flight.then.take() {
            Some(spend) => {
                // Its turn goes on with the payment.
                flight.operation.payer = None;
                let operation = self.builds.spend(spend, &token);
                self.launch(operation, None, intended, phase, now);
            }
            None => {
                if let Some(payer) = flight.operation.payer {
                    self.builds.stock(payer, token, now);
                }
            }
        }
        self.end(key, End::Done, now);
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
            let flight = self.flights.remove(key.slot);
            self.not_asked(&flight, End::Unexpected, now);
            self.turn_over(&flight, now);
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
        self.not_asked(&flight, end, now);
        self.turn_over(&flight, now);
        self.set_aside(flight, now);
    }

    /// What a token was fetched for has ended too, if there is no token.
    pub(super) fn not_asked(&mut self, flight: &Flight, end: End, now: Instant) {
        if let Some(spend) = &flight.then {
            let latency = now.saturating_duration_since(flight.intended);
            self.recorder.ended(spend.kind, flight.phase, end, latency);
            self.book.not_taken(&spend.effect, now);
        }
    }

    /// Ends the turn of a payer, or goes on with it to fetch the next token ahead.
    fn turn_over(&mut self, flight: &Flight, now: Instant) {
        let Some(payer) = flight.operation.payer else {
            return;
        };
        if self.builds.fetches_ahead() && flight.operation.kind != Kind::Token && self.pool.has_idle() {
            let operation = self.builds.token(payer);
            self.recorder.added(Kind::Token, flight.phase);
            self.launch(operation, None, now, flight.phase, now);
        } else {
            self.builds.free(payer);
        }
    }

    /// Keeps an operation without outcome for the audit; one that was refused for overload has not happened.
    pub(super) fn set_aside(&mut self, flight: Flight, now: Instant) {
        if flight.unknown && flight.operation.id.is_some() {
            self.unsettled.push(flight.operation);
        } else {
            self.book.not_taken(&flight.operation.effect, now);
        }
    }
}

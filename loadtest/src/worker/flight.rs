//! An operation from its first try to its end.
//!
//! Owns: the state of operations in flight. Never sends and never counts.

use std::time::Instant;

use crate::book::Outcome;
use crate::operation::{Operation, Spend};
use crate::phases::PhaseName;

/// Names a flight; a place that is used again has another serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlightKey {
    pub(super) slot: usize,
    pub(super) serial: u64,
}

/// What a sending is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The request itself, or its deliberate copy.
    Try,
    /// `GET /v1/payments/{id}` of an impatient user.
    StatusQuery,
}

/// One sending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) flight: FlightKey,
    pub(super) role: Role,
}

/// An operation in flight.
pub(super) struct Flight {
    pub(super) serial: u64,
    pub(super) operation: Operation,
    /// What the token is for that it fetches.
    pub(super) then: Option<Spend>,
    /// When the user meant to act.
    pub(super) intended: Instant,
    pub(super) phase: PhaseName,
    pub(super) tries: u32,
    /// Tries and copies without an answer so far.
    pub(super) waiting: u32,
    /// The next try is on the agenda.
    pub(super) planned: bool,
    /// Some try got no answer: the operation may have happened.
    pub(super) unknown: bool,
    /// It is counted; late copies are still compared.
    pub(super) ended: bool,
    pub(super) outcome: Option<Outcome>,
    pub(super) retry_after_s: Option<u64>,
}

impl Flight {
    /// Before its first try.
    pub(super) fn new(
        serial: u64,
        operation: Operation,
        then: Option<Spend>,
        intended: Instant,
        phase: PhaseName,
    ) -> Self {
        Self {
            serial,
            operation,
            then,
            intended,
            phase,
            tries: 0,
            waiting: 0,
            planned: false,
            unknown: false,
            ended: false,
            outcome: None,
            retry_after_s: None,
        }
    }
}

//! Events, as far as the record compares them.
//!
//! Owns: the reading of one event's data. Never judges.

use serde::Deserialize;
use uuid::Uuid;

use super::verb::Leg;

/// An event, as far as the record compares it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) position: u64,
    /// Of a transaction or its refusal.
    pub(crate) transaction: Option<Shown>,
}

/// What an event shows of a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) id: Uuid,
    pub(crate) posted: bool,
    pub(crate) legs: Vec<Moved>,
}

/// One operation: both addresses, and the amount as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) debit: String,
    pub(crate) credit: String,
    pub(crate) amount: String,
}

impl From<&Leg> for Moved {
    fn from(leg: &Leg) -> Self {
        let Leg { debit, credit, amount } = leg;
        Self { debit: debit.address(), credit: credit.address(), amount: amount.to_string() }
    }
}

#[derive(Deserialize)]
struct Data {
    id: Uuid,
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct Operation {
    debit: Option<String>,
    credit: Option<String>,
    amount: Option<String>,
}

impl Event {
    /// From the stream's own words.
    pub(crate) fn read(position: u64, name: &str, data: &str) -> Self {
        Self { position, transaction: transaction(name, data) }
    }
}

/// What an event shows, if it is of a transaction.
fn transaction(name: &str, data: &str) -> Option<Shown> {
    let posted = match name {
        "transaction_posted" => true,
        "transaction_rejected" => false,
        _ => return None,
    };
    let Data { id, operations } = serde_json::from_str(data).ok()?;
    let moved = operations.into_iter().map(|Operation { debit, credit, amount }| Moved {
        debit: debit.unwrap_or_default(),
        credit: credit.unwrap_or_default(),
        amount: amount.unwrap_or_default(),
    });
    Some(Shown { id, posted, legs: moved.collect() })
}

//! The HTTP contract, row by row, against the routes on a real engine in a temporary directory.
//!
//! Each call of these tests is also checked against the OpenAPI document: its status must be described, and its body
//! must fit the schema (`schema.rs`).

#![expect(clippy::inconsistent_digit_grouping, reason = "amounts are fen: the last two digits stand apart")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod accounts;
mod batch;
mod corpus;
mod document;
mod events;
mod hostile;
mod keys;
mod ledger;
mod limits;
mod overload;
mod precedence;
mod reads;
mod refusals;
mod replays;
mod schema;
mod transactions;
mod wallet;

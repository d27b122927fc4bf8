//! The HTTP front door of the ledger: JSON in, JSON out, nothing else.
//!
//! Owns the HTTP contract (routes, statuses, problem bodies), the connections and the process's start and stop.
//! Never decides anything about money and never touches the data directory: both are the engine's. Invariant: what a
//! client is told about a transaction is what the engine said, and a refused request has changed nothing.
//!
//! Start reading at [`app`], the table of routes; [`serve`] is the order of start and stop.

pub mod admission;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod heads;
pub mod listener;
pub mod openapi;
pub mod problem;
pub mod reindex;
pub mod sandbox_channel;
pub mod serve;
pub mod telemetry;
pub mod tls;
pub mod verify;

mod body;
mod cursor;
mod hexadecimal;
mod json;
mod origin;
mod query;
mod routes;
mod secrets;
mod wire;

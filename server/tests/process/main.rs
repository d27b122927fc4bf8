//! The binary as a process: killed under load, started twice, stopped, and plagued by slow clients.
//!
//! Names contain `process_`: the runner gives such tests the machine one at a time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod client;
mod server;

mod attacks;
mod connections;
mod full;
mod heads;
mod kill;
mod lifecycle;
mod reindex;
mod tls;
mod wallet;

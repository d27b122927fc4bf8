//! Yue: an actor-based ledger for stored-value wallets.
//!
//! The library: no HTTP, no JSON. Start at [`Engine`].
pub mod config;
pub mod engine;
pub mod journal;
pub mod metrics;
pub mod model;
pub mod view;

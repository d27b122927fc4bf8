//! Yue: an actor-based ledger for stored-value wallets.
//!
//! The library: no HTTP, no JSON. Start at [`Engine`].
pub mod config;
mod directory;
pub mod engine;
pub mod index;
pub mod journal;
pub mod ledger;
pub mod metrics;
pub mod model;
mod shard;
pub mod view;

pub use config::Config;
pub use engine::Engine;

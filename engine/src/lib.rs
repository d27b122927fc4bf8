//! Yue: an actor-based ledger for stored-value wallets.
//!
//! The library: no HTTP, no JSON. Start at [`Engine`].
pub mod audit;
mod clock;
mod committer;
pub mod config;
mod directory;
pub mod engine;
mod fatal;
mod front;
pub mod index;
pub mod journal;
pub mod ledger;
mod manifest;
pub mod metrics;
pub mod model;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
mod recovery;
pub mod reindex;
mod retention;
mod shard;
#[cfg(feature = "simulation")]
pub mod simulation;
mod storage;
mod threads;
pub mod view;
pub mod wallet;

pub use config::Config;
pub use engine::Engine;

//! Yue: an actor-based ledger for stored-value wallets.
//!
//! The library: no HTTP, no JSON. Start at [`Engine`].
pub mod index;
pub mod journal;
pub mod ledger;
pub mod model;

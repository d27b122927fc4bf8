//! The wallet's contract, one file a resource.

pub(crate) mod channel;
mod customers;
mod notifications;
mod recharges;
mod sandbox;
mod statements;

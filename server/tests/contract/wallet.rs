//! The wallet's contract, one file a resource.

pub(crate) mod channel;
mod customers;
mod days;
mod notifications;
mod recharges;
mod sandbox;
mod statements;

//! The wallet's contract, one file a resource.

pub(crate) mod channel;
mod choices;
mod combinations;
mod customers;
mod days;
mod devices;
mod merchants;
mod notifications;
mod passwords;
mod payments;
mod promotions;
mod recharges;
mod refunds;
mod sandbox;
mod shop;
mod statements;
mod tokens;
mod transfers;
mod user;
pub(crate) mod wealth;

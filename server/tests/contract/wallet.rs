//! The wallet's contract, one file a resource.

mod choices;
mod customers;
mod devices;
mod passwords;
mod tokens;
mod transfers;
mod user;
pub(crate) mod wealth;

//! The wallet's contract, one file a resource.

mod customers;
pub(crate) mod wealth;

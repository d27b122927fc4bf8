//! The wallet's contract, one file a resource.

mod customers;

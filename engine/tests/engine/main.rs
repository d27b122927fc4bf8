//! The whole engine in process, on a real journal and index: promises that only show under concurrency and restarts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a test's failure is a panic")]

mod accounts;
mod audit;
mod contention;
mod damage;
mod golden;
mod history;
mod overload;
mod product;
mod reads;
mod restart;
mod retention;
mod support;
mod wealth;

//! The JSON shapes of the contract, in and out.
//!
//! Owns the translation between JSON and the engine's values. Never calls the engine. Invariant: a request's shape
//! is read straight into the engine's types (no tree of values between), and an answer's shape is the one that the
//! OpenAPI document describes.

pub(crate) mod account;
pub(crate) mod event;
pub(crate) mod hold;
pub(crate) mod limit;
pub(crate) mod list;
pub(crate) mod metadata;
pub(crate) mod operation;
pub(crate) mod texts;
pub(crate) mod totals;
pub(crate) mod transaction;
pub(crate) mod wallet;

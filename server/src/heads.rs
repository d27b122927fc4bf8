//! Signed heads: what the journal's end was, said each minute so that it can be kept elsewhere.
//!
//! Owns the signing key, the form of a head and the log of heads. Never reads or writes the data directory: the engine
//! says what is on disk, and the audit compares. Invariant: a head is signed only after the journal and its witness are
//! on disk up to it, so that no crash leaves a journal that ends before a head.

pub mod commands;
mod export;
mod key;
mod log;
mod signed;

use std::{fmt, path::Path};

pub(crate) use export::{Exporter, export};
pub use key::PublicKey;
pub(crate) use key::SecretKey;
pub(crate) use log::{HeadsLog, Kept, read_kept};
pub(crate) use signed::{HeadOut, SignedHead};

/// What is wrong with a key of heads, or a log of them.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {reason}")]
pub struct HeadsError {
    what: &'static str,
    path: String,
    reason: String,
}

impl HeadsError {
    fn key(path: &Path, reason: impl fmt::Display) -> Self {
        Self { what: "the heads key", path: path.display().to_string(), reason: reason.to_string() }
    }

    fn log(path: &Path, reason: impl fmt::Display) -> Self {
        Self { what: "the heads log", path: path.display().to_string(), reason: reason.to_string() }
    }
}

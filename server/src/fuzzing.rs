//! What fuzzers feed: everything that reads bytes of strangers or of the disk.
//!
//! Owns the properties of the readers, one function a target. Only with the feature `fuzzing`, never in a release: `make
//! fuzz` drives the targets (`fuzz/`), the contract tests repeat the kept corpora. Invariant: a target ends for all bytes; it
//! panics if a property is broken.
#![allow(clippy::panic, reason = "a broken property is shown by a panic")]

mod bodies;
mod journal;
mod statements;
mod values;

/// A target: its name, which is its corpus's folder, and what is called.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 4] = [
    ("bodies", bodies::check),
    ("journal", journal::check),
    ("statements", statements::check),
    ("values", values::check),
];

/// Runs the target of a name.
///
/// # Panics
/// There is none, or a property is broken.
pub fn run(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, check) = found.unwrap_or_else(|| panic!("there is no target {target}"));
    check(bytes);
}

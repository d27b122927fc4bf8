//! `yue verify`: the offline check of a data directory.
//!
//! Owns the report for people. Never checks anything itself: that is the engine's audit.

use crate::cli::VerifyArguments;

/// Why a directory was not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// This build has no audit.
    #[error("this build can't verify {0} yet: the engine has no audit")]
    Missing(String),
}

/// Verifies a directory and prints the report.
///
/// # Errors
/// A directory that is not sound, or can't be read.
pub fn verify(arguments: &VerifyArguments) -> Result<(), VerifyError> {
    // The engine's `audit::verify` goes here.
    Err(VerifyError::Missing(arguments.data.display().to_string()))
}

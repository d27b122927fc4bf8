//! Fail-stop: after a journal error or a broken invariant the process ends and never goes on.
//!
//! Owns the way out. Never returns.

use std::fmt::Display;

/// Ends the process at once: what is not acknowledged is settled by asking again after the restart.
pub(crate) fn fatal(error: &dyn Display) -> ! {
    tracing::error!(%error, "stopping at once: the state on disk or in memory can't be trusted any more");
    #[cfg(feature = "simulation")]
    crate::simulation::fatal(error);
    // The subscriber may not be there, or may not get to write.
    eprintln!("yue: fatal: {error}");
    std::process::abort()
}

/// Aborts the process when a thread that holds it panics: no half-applied state goes on serving.
pub(crate) struct AbortOnPanic(pub(crate) &'static str);

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            fatal(&format_args!("the {} thread panicked", self.0));
        }
    }
}

//! `yue reindex`: the index, built anew from the journal.
//!
//! Owns the report for people. Never builds anything itself: that is the engine's.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use yue_engine::reindex::{self, ReindexError, Report};

use crate::cli::ReindexArguments;

/// Between two lines of progress, so that whoever waits sees that it goes on.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Builds the index of a directory, with progress on standard error and the result on standard output.
///
/// # Errors
/// A directory in use, a journal that is damaged or was trimmed, no room.
pub fn reindex(arguments: &ReindexArguments) -> Result<(), ReindexError> {
    let started = Instant::now();
    let mut told = started;
    let report = reindex::reindex(&arguments.data, &mut |progress| {
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            eprintln!("index: {} of {} records followed", progress.records, progress.of);
        }
    })?;
    let Report { position, groups, segments } = report;
    let text = format!(
        "journal    up to record {position} in {groups} groups, chained, gap-free\n\
         index      built anew from it, in {segments} segments\n\
         took       {:.1} s\n",
        started.elapsed().as_secs_f64()
    );
    // A closed pipe changes nothing about what was done.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

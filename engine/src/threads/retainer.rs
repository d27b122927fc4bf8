//! The thread that keeps the journal short, if it is not kept for ever.
//!
//! Owns its pace. Never decides: that is [`Retention`]'s. Invariant: it is ahead of the index by what the committer's
//! queue holds and no more, however large the state is.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crossbeam::channel::Sender;

use super::{Commit, Shared};
use crate::{
    fatal::fatal,
    index::Index,
    model::Position,
    retention::{Due, Retention},
};

/// Between two looks at what the index has sealed.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Between two looks at whether the index has followed.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(1);

/// Runs until `stop` is set.
pub(super) fn retain(
    shared: &Shared,
    mut retention: Retention,
    index: &Index,
    committer: &Sender<Commit>,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        match retention.due(shared.sealed.load()).unwrap_or_else(|error| fatal(&error)) {
            // The committer outlives this thread.
            Due::Trim(trim) => drop(committer.send(Commit::Trim(trim))),
            Due::Snapshot if !shared.state.storage_low.load(Ordering::Relaxed) => {
                let now = shared.clock.now();
                tracing::info!(sealed = index.sealed().0, "writing a snapshot into the journal");
                let mut synced = Position::ZERO;
                let written = retention.snapshot(now, &mut |part| {
                    while index.applied() < synced {
                        if stop.load(Ordering::Relaxed) {
                            return false;
                        }
                        thread::park_timeout(FOLLOW_INTERVAL);
                    }
                    synced = shared.state.synced();
                    committer.send(Commit::Records(part)).is_ok()
                });
                written.unwrap_or_else(|error| fatal(&error));
            }
            Due::Snapshot | Due::Nothing => thread::park_timeout(LOOK_INTERVAL),
        }
    }
}

//! When the keys file is read again.
//!
//! Owns the looks at the file. Never reads it. A change shows in its time, length or inode; SIGHUP says so at once.

use std::{os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use super::Gate;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

impl Gate {
    /// Reads the keys again whenever their file changes, or the process is told to. Never ends.
    pub(crate) async fn follow_file(self) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            tracing::error!("SIGHUP can't be heard: the keys stay as they are");
            return;
        };
        let mut before = look(&self.0.path);
        loop {
            let told = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(INTERVAL) => false,
            };
            let now = look(&self.0.path);
            if told || now != before {
                before = now;
                self.reload();
            }
        }
    }
}

/// What changes when the file does.
fn look(path: &Path) -> Option<(i64, i64, u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino()))
}

//! The audit trail: who did what as an operator, and who was refused.
//!
//! Owns the lines and their way to the disk. Never writes a key, a body or a query. Invariant: an operator's call is on
//! the disk, if there is a file, before it begins, and its outcome before it is answered.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::rate::Bucket;

/// Refusals that are written a second, and at once: who has no key can have many. What is left out is counted.
const REFUSALS_PER_S: u32 = 100;
const REFUSALS_BURST: u32 = 1_000;

/// One line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) at: String,
    pub(crate) request: &'a str,
    /// `begun`, `done` or `refused`.
    pub(crate) stage: &'static str,
    pub(crate) key: Option<&'a str>,
    pub(crate) approved_by: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<&'static str>,
    /// Whether money was created.
    pub(crate) issued: bool,
    /// Refusals that were left out before this line.
    pub(crate) left_out: u64,
}

/// Where the lines go: to the log, and to a file if there is one.
#[derive(Debug)]
pub(crate) struct Trail {
    file: Option<Arc<Mutex<File>>>,
    refusals: Bucket,
    left_out: AtomicU64,
}

impl Trail {
    /// A trail; its file is made if it is missing, and added to.
    ///
    /// # Errors
    /// The file can't be opened.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = path.map(open).transpose()?.map(|file| Arc::new(Mutex::new(file)));
        let refusals = Bucket::new(REFUSALS_PER_S, REFUSALS_BURST);
        Ok(Self { file, refusals, left_out: AtomicU64::new(0) })
    }

    /// Writes a line that must be on the disk before anything else happens.
    ///
    /// # Errors
    /// It is not on the disk.
    pub(crate) async fn write_synced(&self, line: Line<'_>) -> io::Result<()> {
        let Some((file, bytes)) = self.prepare(line) else { return Ok(()) };
        let written = spawn_blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(&bytes)?;
            file.sync_data()
        });
        written.await.map_err(io::Error::other)?
    }

    /// Writes a line of what is often: without a sync, and of refusals not each one.
    pub(crate) fn write(&self, line: Line<'_>) {
        if line.stage == "refused" && self.refusals.take().is_err() {
            self.left_out.fetch_add(1, Relaxed);
            return;
        }
        let Some((file, bytes)) = self.prepare(line) else { return };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(&bytes) {
            tracing::error!(%error, "a line of the audit trail was not written");
        }
    }

    fn prepare(&self, line: Line<'_>) -> Option<(Arc<Mutex<File>>, Vec<u8>)> {
        let line = Line { left_out: self.left_out.swap(0, Relaxed), ..line };
        // The shape has no fallible parts.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        tracing::info!(target: "yue::audit", line = %String::from_utf8_lossy(&bytes));
        bytes.push(b'\n');
        Some((Arc::clone(self.file.as_ref()?), bytes))
    }
}

//! The audit trail: who did what as an operator, and who was refused.
//!
//! Owns the lines and their way to the disk. Never writes a key, a body or a query. Invariant: an operator's call is on
//! the disk, if there is a file, before it begins, and its outcome before it is answered; and who has no key neither
//! fills the disk nor hides what those with keys are refused.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::rate::Bucket;

/// Refusals that are written a second, and at once: who has no key can have many. As many again of those whose key is
/// known. What is left out is counted.
const REFUSALS_PER_S: u32 = 100;
const REFUSALS_BURST: u32 = 1_000;
/// Bytes of the path that are kept of a refusal: as much as any path of the contract has.
const REFUSED_PATH_BYTES_MAX: usize = 256;

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
    /// Whether something in it was refused for want of a right: all of it, or some of a batch.
    pub(crate) denied: bool,
    /// Refusals that were left out before this line.
    pub(crate) left_out: u64,
}

/// Where the lines go: to the log, and to a file if there is one.
#[derive(Debug)]
pub(crate) struct Trail {
    /// Opened for appending: the lines of several threads do not mix, and none waits for another one's sync.
    file: Option<Arc<File>>,
    /// Of nobody known.
    refusals: Bucket,
    /// Of those whose key is known.
    refusals_of_keys: Bucket,
    left_out: AtomicU64,
}

impl Trail {
    /// A trail; its file is made if it is missing, and added to.
    ///
    /// # Errors
    /// The file can't be opened.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = path.map(open).transpose()?.map(Arc::new);
        let bucket = || Bucket::new(REFUSALS_PER_S, REFUSALS_BURST);
        Ok(Self { file, refusals: bucket(), refusals_of_keys: bucket(), left_out: AtomicU64::new(0) })
    }

    /// Writes a line that must be on the disk before anything else happens.
    ///
    /// # Errors
    /// It is not on the disk.
    pub(crate) async fn write_synced(&self, line: Line<'_>) -> io::Result<()> {
        let Some((file, bytes)) = self.prepare(line) else { return Ok(()) };
        let written = spawn_blocking(move || {
            (&*file).write_all(&bytes)?;
            file.sync_data()
        });
        written.await.map_err(io::Error::other)?
    }

    /// Writes a line of what is often: without a sync, and of refusals not each one.
    pub(crate) fn write(&self, line: Line<'_>) {
        let mut line = line;
        // What created money is told in any case.
        if line.stage == "refused" || (line.denied && !line.issued) {
            let bucket = if line.key.is_some() { &self.refusals_of_keys } else { &self.refusals };
            if bucket.take().is_err() {
                self.left_out.fetch_add(1, Relaxed);
                return;
            }
            line.path = beginning(line.path);
        }
        let Some((file, bytes)) = self.prepare(line) else { return };
        if let Err(error) = (&*file).write_all(&bytes) {
            tracing::error!(%error, "a line of the audit trail was not written");
        }
    }

    fn prepare(&self, line: Line<'_>) -> Option<(Arc<File>, Vec<u8>)> {
        let line = Line { left_out: self.left_out.swap(0, Relaxed), ..line };
        // The shape has no fallible parts.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        tracing::info!(target: "yue::audit", line = %String::from_utf8_lossy(&bytes));
        bytes.push(b'\n');
        Some((Arc::clone(self.file.as_ref()?), bytes))
    }
}

/// As much of a refused call's path as is kept.
fn beginning(path: &str) -> &str {
    path.get(..path.floor_char_boundary(REFUSED_PATH_BYTES_MAX)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<'a>(key: Option<&'a str>, path: &'a str) -> Line<'a> {
        Line {
            at: String::new(),
            request: "r",
            stage: "refused",
            key,
            approved_by: None,
            method: "GET",
            path,
            status: Some(401),
            code: None,
            issued: false,
            denied: false,
            left_out: 0,
        }
    }

    #[test]
    fn a_flood_of_nobodys_hides_no_key_and_fills_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let trail = Trail::open(Some(&path)).unwrap();
        let long = format!("/v1/accounts/{}", "é".repeat(4_000));
        let flood = 20 * REFUSALS_BURST;
        for _ in 0..flood {
            trail.write(refused(None, &long));
        }
        trail.write(refused(Some("checkout"), "/v1/trial-balance"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < 500 * text.lines().count(), "{} bytes", text.len());
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = lines.last().unwrap();
        assert_eq!(last["key"], "checkout");
        let left_out: u64 = lines.iter().map(|line| line["left_out"].as_u64().unwrap()).sum();
        assert_eq!(lines.len() as u64 + left_out, u64::from(flood) + 1);
    }
}

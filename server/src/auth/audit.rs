//! The audit trail: who did what as an operator, and who was refused.
//!
//! Owns the lines and their way to the disk. Never writes a key, a body or a query. Invariants: an operator's call is on
//! the disk, if there is a file, before it begins, and its outcome before it is answered; who has no key neither fills
//! the disk nor hides what those with keys are refused; and what a full disk or a crash left of a line stays as it is, on
//! a line of its own.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write},
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
    file: Option<Arc<Lines>>,
    /// Of nobody known.
    refusals: Bucket,
    /// Of those whose key is known.
    refusals_of_keys: Bucket,
    left_out: AtomicU64,
}

/// The file of the lines. None waits for another one's sync.
#[derive(Debug)]
struct Lines {
    /// Opened for appending.
    file: File,
    /// Whether the file ends within a line. One line at a time: the next one knows what became of it.
    torn: Mutex<bool>,
}

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        // What may be written and not read gets a blank line at the most.
        let torn = match File::open(path) {
            Ok(mut reader) => file.metadata()?.is_file() && is_torn(&mut reader)?,
            Err(_) => true,
        };
        if torn {
            tracing::warn!(path = %path.display(), "the audit trail ends with a torn line: it stays, on a line of its own");
        }
        Ok(Self { file, torn: Mutex::new(torn) })
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut torn = self.torn.lock().unwrap_or_else(PoisonError::into_inner);
        append(&mut &self.file, &mut torn, line)
    }
}

/// Whether a file does not end with a line's end.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Adds a line, on a line of its own whatever came before.
fn append(file: &mut impl Write, torn: &mut bool, line: &[u8]) -> io::Result<()> {
    if *torn {
        file.write_all(b"\n")?;
        *torn = false;
    }
    let mut left = line;
    while !left.is_empty() {
        match file.write(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                left = left.get(written..).unwrap_or_default();
                *torn = !left.is_empty();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Trail {
    /// A trail; its file is made if it is missing, and added to.
    ///
    /// # Errors
    /// The file can't be opened.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(Lines::open).transpose()?.map(Arc::new);
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
            file.append(&bytes)?;
            file.file.sync_data()
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
        if let Err(error) = file.append(&bytes) {
            tracing::error!(%error, "a line of the audit trail was not written");
        }
    }

    fn prepare(&self, line: Line<'_>) -> Option<(Arc<Lines>, Vec<u8>)> {
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

    /// A disk that is full after so many bytes.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = bytes.len().min(self.room);
            if written == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= written;
            self.bytes.extend(bytes.iter().take(written));
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_a_full_disk_tore_stays_alone() {
        let line = b"{\"n\":1}\n";
        // Bytes of the second line that there is room for, and what is there once there is more.
        for (room, expected) in [
            (0, "{\"n\":1}\n{\"n\":1}\n"),
            (1, "{\"n\":1}\n{\n{\"n\":1}\n"),
            (7, "{\"n\":1}\n{\"n\":1}\n{\"n\":1}\n"),
            (8, "{\"n\":1}\n{\"n\":1}\n{\"n\":1}\n"),
        ] {
            let (mut disk, mut torn) = (Disk { bytes: Vec::new(), room: line.len() + room }, false);
            append(&mut disk, &mut torn, line).unwrap();
            assert_eq!(append(&mut disk, &mut torn, line).is_ok(), room == line.len());
            for _ in 0..2 {
                append(&mut disk, &mut torn, line).unwrap_err();
            }
            disk.room = 100;
            append(&mut disk, &mut torn, line).unwrap();
            assert_eq!(String::from_utf8(disk.bytes).unwrap(), expected, "{room}");
        }
    }

    #[test]
    fn a_trail_that_a_crash_tore_goes_on_with_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        for (before, lines) in [("", 1), ("{}\n", 2), ("{}\n{\"at\":", 3), ("\0\0", 2)] {
            std::fs::write(&path, before).unwrap();
            Trail::open(Some(&path)).unwrap().write(refused(Some("checkout"), "/v1/head"));
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(before), "what was there stays: {text}");
            assert_eq!(text.lines().count(), lines, "{text}");
            let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(last["key"], "checkout");
        }
    }
}

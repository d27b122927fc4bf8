//! The log of signed heads: a line each.
//!
//! Owns the file that a server adds to, and the reading of one that somebody kept. Never follows a line with a broken one:
//! what a crash or a full disk left of a line is cut off before the next one. Invariant: a log has heads of one key and
//! one journal, their positions growing.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use yue_engine::{
    journal::{Checkpoint, Head},
    model::Timestamp,
};

use super::{HeadsError, PublicKey, SecretKey, SignedHead};

/// See the module.
#[derive(Debug)]
pub(crate) struct HeadsLog {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    whole: u64,
    /// Something may lie behind them.
    dirty: bool,
    last: Option<SignedHead>,
    key: SecretKey,
}

impl HeadsLog {
    /// The log of a file, which is made if it is missing. What a crash left of a line is cut off.
    ///
    /// # Errors
    /// It can't be read or written, another process has it, or it ends with anything but a head of this key.
    pub(crate) fn open(path: &Path, key: SecretKey) -> Result<Self, HeadsError> {
        let failed = |error: io::Error| HeadsError::log(path, error);
        let refused = |reason: &str| HeadsError::log(path, reason);
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o644).open(path).map_err(failed)?;
        file.try_lock().map_err(|_| refused("another process has it"))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(refused("it is no file"));
        }
        let length = metadata.len();
        let end = last_bytes(&mut file, length).map_err(failed)?;
        let whole = end.iter().rposition(|&byte| byte == b'\n').map_or(0, |line_feed| line_feed + 1);
        let (lines, torn) = end.split_at(whole);
        if !is_torn_line(torn) {
            return Err(refused("it does not end with a signed head: name a file of its own"));
        }
        let last = match lines.strip_suffix(b"\n") {
            None => None,
            Some(lines) => {
                let line = lines.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
                let head = SignedHead::read(line, key.public()).map_err(|error| {
                    HeadsError::log(path, format!("its last line: {error}; begin a new log with a new key"))
                })?;
                Some(head)
            }
        };
        let torn = u64::try_from(torn.len()).unwrap_or(u64::MAX);
        if torn > 0 {
            tracing::warn!(path = %path.display(), bytes = torn, "the heads log ends with a torn line: it is cut off");
        }
        Ok(Self { path: path.to_owned(), file, whole: length - torn, dirty: torn > 0, last, key })
    }

    /// The newest head.
    pub(crate) fn last(&self) -> Option<SignedHead> {
        self.last
    }

    /// Whether a data directory has the newest head, as far as its witness tells.
    ///
    /// # Errors
    /// It has not.
    pub(crate) fn check(&self, witnessed: Head) -> Result<(), HeadsError> {
        let Some(SignedHead { head, .. }) = self.last else { return Ok(()) };
        let remedy = "nothing was written; begin a new heads log only if you mean to go on from here";
        if witnessed.position < head.position {
            let (ends, signed) = (witnessed.position, head.position);
            return Err(HeadsError::log(
                &self.path,
                format!(
                    "the data directory ends at position {ends}, before the signed head of position {signed}: it was \
                     rolled back, or is another one; {remedy}"
                ),
            ));
        }
        if witnessed.position == head.position && witnessed.hash != head.hash {
            let reason = format!(
                "at position {} the data directory has another hash than the signed head: it was rewritten, or is \
                 another one; {remedy}",
                head.position
            );
            return Err(HeadsError::log(&self.path, reason));
        }
        Ok(())
    }

    /// Signs and adds a head, synced, if it is a new one.
    ///
    /// # Errors
    /// It is not on disk; what there is of it is cut off before the next one.
    ///
    /// # Panics
    /// The journal ends before the last head: a broken invariant.
    pub(crate) fn append(&mut self, head: Head, at: Timestamp) -> io::Result<Option<SignedHead>> {
        let signed = self.last.map_or(Checkpoint::default(), |last| last.head);
        assert!(signed.position <= head.position, "the journal ends before its signed head {signed:?}");
        if signed.position == head.position {
            return Ok(None);
        }
        if self.dirty {
            self.file.set_len(self.whole)?;
        }
        self.dirty = true;
        let signed = SignedHead::new(Checkpoint { position: head.position, hash: head.hash }, at, &self.key);
        let mut line = signed.line();
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_all()?;
        self.dirty = false;
        self.whole += u64::try_from(line.len()).unwrap_or(u64::MAX);
        self.last = Some(signed);
        Ok(Some(signed))
    }
}

/// The last line and what may follow it.
fn last_bytes(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(length.saturating_sub(2 * SignedHead::LINE_BYTES_MAX)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(end)
}

/// Whether bytes are what a crash may leave of a line: its beginning, or room that was never filled.
fn is_torn_line(bytes: &[u8]) -> bool {
    let begins = bytes.iter().zip(SignedHead::LINE_BEGIN).all(|(one, other)| one == other);
    let short = u64::try_from(bytes.len()).is_ok_and(|length| length <= SignedHead::LINE_BYTES_MAX);
    short && (begins || bytes.iter().all(|&byte| byte == 0))
}

/// The heads of a log that somebody kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// At least one.
    pub(crate) heads: Vec<Checkpoint>,
    /// The one with the greatest position.
    pub(crate) newest: SignedHead,
    /// Bytes of a last line that has no end, and was skipped.
    pub(crate) torn: usize,
}

/// Reads a log that somebody kept; each line must be signed by the key.
///
/// # Errors
/// It can't be read, a line is no head of the key, or there is none.
pub(crate) fn read_kept(path: &Path, key: PublicKey) -> Result<Kept, HeadsError> {
    let failed = |error: io::Error| HeadsError::log(path, error);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let (mut heads, mut newest) = (Vec::new(), None::<SignedHead>);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = reader.by_ref().take(SignedHead::LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(failed)?;
        let Some(line) = line.strip_suffix(b"\n") else {
            if !reader.fill_buf().map_err(failed)?.is_empty() {
                return Err(HeadsError::log(path, format!("line {number}: it is too long")));
            }
            break;
        };
        let head = SignedHead::read(line, key)
            .map_err(|error| HeadsError::log(path, format!("line {number}: {error}")))?;
        heads.push(head.head);
        newest = newest.filter(|newest| newest.head.position > head.head.position).or(Some(head));
    }
    let newest = newest.ok_or_else(|| HeadsError::log(path, "there is no signed head in it"))?;
    Ok(Kept { heads, newest, torn: line.len() })
}

#[cfg(test)]
mod tests;

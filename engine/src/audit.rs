//! The offline check of a data directory, from outside: what `yue verify` does.
//!
//! Owns no state of the engine. Walks the journal once, rebuilds every balance through the same `apply`, checks the
//! promises that a stored journal can show, and reads the index along with it, each block once, to compare all of its
//! records, ids and history with what was rebuilt. What a trimmed journal no longer has is retold by the index's own
//! records, and must end in the state that the journal's snapshot says; [`Report::trimmed`] tells what could not be
//! known. Never writes. Invariant: a directory that passes is one that the engine would start on, with the same
//! balances and the same past.

mod books;
mod comparison;
mod digest;
mod fit;
mod heads;
mod holds;
mod past;
mod postings;
mod snapshots;
mod walk;

use std::{fs::File, path::Path};

use self::{comparison::Comparison, walk::Walk};
use crate::{
    engine::OpenError,
    index::{IndexError, IndexOptions, has_index},
    journal::{Checkpoint, Hash, JournalError, JournalOptions, rocks::JournalReader},
    model::Position,
    recovery::format_is_known,
};

/// What a check found. Sound if [`Report::findings`] is empty.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The last position of the journal.
    pub position: Position,
    /// The hash of its last group: to be compared with a head that was exported earlier.
    pub head: Hash,
    /// The last position that the witness holds.
    pub witnessed: Position,
    /// Groups walked.
    pub groups: u64,
    /// Transactions posted.
    pub posted: u64,
    /// Transactions refused.
    pub refused: u64,
    /// Accounts.
    pub accounts: u64,
    /// Holds that live at the end.
    pub holds: u64,
    /// Debits, which equal the credits, of each asset, in minor units.
    pub turnover: Vec<(String, u128)>,
    /// The position up to which the index was compared; zero if there is none (a start rebuilds it).
    pub indexed: Position,
    /// What a trimmed journal begins with.
    pub trimmed: Option<Trimmed>,
    /// Snapshots that were compared with the state that was rebuilt.
    pub snapshots: u64,
    /// Rows of history that were compared with what was rebuilt: all accounts', up to `indexed`.
    pub history_rows: u64,
    /// What came of heads that were kept outside.
    pub heads: Heads,
    /// What is wrong, at most [`Report::FINDINGS_MAX`].
    pub findings: Vec<String>,
}

/// Heads that were kept outside of the directory. One that the journal does not have is a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// The journal has them, with their hashes.
    pub held: u64,
    /// They are of a part that was trimmed: nothing is left to compare them with.
    pub trimmed: u64,
}

/// The beginning of a trimmed journal. What was before is in the index alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// The last position that is gone. That the index's records up to here are those that were decided can't be known;
    /// what was compared with them is that all else in the index follows from them, and the state as of the snapshot.
    pub begins_after: Position,
    /// The position as of which the state was taken from a snapshot.
    pub as_of: Position,
    /// Accounts of the snapshot that were compared with what the records up to there make of them; 0 if there is no index
    /// to tell these records: then only the snapshot says what was before.
    pub compared: u64,
}

impl Report {
    /// Most findings that are kept: a broken directory breaks everywhere.
    pub const FINDINGS_MAX: usize = 100;

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether something is wrong, and only with the index: each such finding begins with it. A journal that was never
    /// trimmed builds it anew ([`crate::reindex`]).
    #[must_use]
    pub fn blames_index_alone(&self) -> bool {
        let of_the_index =
            |finding: &String| finding.starts_with("index") || finding.starts_with("the index");
        !self.is_sound() && self.findings.iter().all(of_the_index)
    }

    /// Whether another finding would be dropped.
    fn is_full(&self) -> bool {
        self.findings.len() >= Self::FINDINGS_MAX
    }

    fn find(&mut self, finding: impl FnOnce() -> String) {
        if !self.is_full() {
            self.findings.push(finding());
        }
    }
}

/// Why a directory could not be checked to its end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The journal is damaged, or lost an acknowledged record.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The index can't be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The directory's format is newer, or unreadable.
    #[error(transparent)]
    Format(#[from] OpenError),
    /// The directory can't be read.
    #[error("the data directory: {0}")]
    Io(#[from] std::io::Error),
    /// An engine runs on it.
    #[error("the data directory {0} is in use: stop the server first")]
    InUse(String),
}

/// How far a check is.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// Walking the journal, and the index's records and history beside it.
    Journal {
        /// Records walked.
        records: u64,
        /// Records that were acknowledged.
        of: u64,
    },
    /// Comparing the index's ids.
    Ids {
        /// Ids read.
        ids: u64,
        /// Ids that the journal has up to the index's watermark.
        of: u64,
    },
    /// Looking each id up, because the ids differ.
    Index {
        /// Records looked up.
        records: u64,
        /// Records to look up.
        of: u64,
    },
}

/// Records between two reports of progress.
const PROGRESS_RECORDS: u64 = 1 << 16;

/// Checks a data directory that no engine runs on.
///
/// # Errors
/// What keeps it from being checked to its end: a chain that breaks, an acknowledged record that is missing, files that
/// can't be read. What is readable but wrong is in [`Report::findings`].
pub fn verify(data: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, AuditError> {
    verify_against(data, &[], progress)
}

/// The same, and whether the journal has the heads that somebody kept, in any order. Only they show that a whole
/// directory was rolled back, or its chain computed anew.
///
/// # Errors
/// As [`verify`].
pub fn verify_against(
    data: &Path,
    kept: &[Checkpoint],
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditError> {
    let _lock = lock(data)?;
    let index_options = IndexOptions::default();
    format_is_known(data)?;
    let index = data.join("index");
    let index = has_index(&index)?.then_some(index);
    let comparison = index.map(|index| Comparison::open(&index, &index_options)).transpose()?;
    let journal = JournalReader::open(data, &JournalOptions::default())?;
    let mut walk = Walk::new(&journal, comparison.as_ref(), kept)?;
    if let Some(base) = journal.base() {
        walk.begin(base, progress)?;
    }
    let walked = journal.verify(&mut |group| walk.take(group, progress))?;
    walk.finish(walked, progress)
}

/// Keeps an engine from starting meanwhile; `None` in a directory that never had one.
fn lock(data: &Path) -> Result<Option<File>, AuditError> {
    match File::options().write(true).open(data.join("lock")) {
        Ok(lock) if fs4::fs_std::FileExt::try_lock_exclusive(&lock)? => Ok(Some(lock)),
        Ok(_) => Err(AuditError::InUse(data.display().to_string())),
        // A copy may come without the lock file, but not without a journal.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && data.join("journal").is_dir() => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

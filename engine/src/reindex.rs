//! The index, built anew from the journal, offline: what `yue reindex` does.
//!
//! Owns the folder in which a new index grows and the change of folders at the end. Never reads the old index but for its
//! format, and never writes the journal. Invariant: the folder `index` is the old index, a whole new one, or missing (then a
//! start builds it); it becomes the new one only after the journal has passed the whole check.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::Arc,
};

use crate::{
    audit::AuditError,
    config::Config,
    index::{self, IndexError, IndexOptions},
    journal::{GroupRef, JournalError, JournalOptions, rocks::JournalReader},
    model::Position,
    recovery::{self, format_is_known},
};

/// The index at work.
const INDEX_NAME: &str = "index";
/// The one that is being built. What a process that died has left is deleted by the next one, as below.
const NEW_NAME: &str = "index.new";
/// The one that was replaced, until it is deleted.
const OLD_NAME: &str = "index.old";
/// Records between two reports of progress.
const PROGRESS_RECORDS: u64 = 1 << 16;

/// What was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The last position of the journal, and of the new index.
    pub position: Position,
    /// Groups of the journal that were followed.
    pub groups: u64,
    /// Segments of the new index.
    pub segments: u64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records followed.
    pub records: u64,
    /// Records that were acknowledged.
    pub of: u64,
}

/// Why there is no new index. The old one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReindexError {
    /// The directory is in use, of another format, or can't be read; its journal is damaged; the new index can't be
    /// written.
    #[error(transparent)]
    Directory(#[from] AuditError),
    /// There is nothing to build from.
    #[error("the data directory {0} has no journal")]
    NoJournal(String),
    /// The journal does not have all that the index tells.
    #[error(
        "the journal begins after position {0}: what was before is in the index alone, and can't be built anew. Restore \
         the index folder, or the whole data directory, from a copy; nothing was written"
    )]
    Trimmed(Position),
}

macro_rules! of_the_directory {
    ($($error:ty),+) => {$(
        impl From<$error> for ReindexError {
            fn from(error: $error) -> Self {
                Self::Directory(error.into())
            }
        }
    )+};
}

of_the_directory!(io::Error, JournalError, IndexError, crate::engine::OpenError);

/// Builds the index of a data directory on which no engine runs.
///
/// # Errors
/// See [`ReindexError`]; the old index is as it was.
pub fn reindex(data: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, ReindexError> {
    if !data.join("journal").is_dir() {
        return Err(ReindexError::NoJournal(data.display().to_string()));
    }
    format_is_known(data)?;
    let config = Config::new(data);
    let options = recovery::index_options(&config);
    if let Err(error @ IndexError::Version { .. }) = index::watermark_of(&data.join(INDEX_NAME), &options) {
        return Err(error.into());
    }
    let _lock = lock(data)?;
    let journal = JournalReader::open(data, &JournalOptions::default())?;
    if let Some(base) = journal.base() {
        return Err(ReindexError::Trimmed(base.head.position));
    }
    let folder = data.join(NEW_NAME);
    remove(&folder)?;
    let report = build(&folder, &options, &journal, progress).inspect_err(|_| {
        // What can't be deleted is deleted by the next one.
        let _left = remove(&folder);
    })?;
    replace(data)?;
    Ok(report)
}

/// As an engine's, so that neither starts while the other runs.
fn lock(data: &Path) -> Result<File, AuditError> {
    let lock = File::options().create(true).truncate(false).write(true).open(data.join("lock"))?;
    if fs4::fs_std::FileExt::try_lock_exclusive(&lock)? {
        Ok(lock)
    } else {
        Err(AuditError::InUse(data.display().to_string()))
    }
}

fn build(
    folder: &Path,
    options: &IndexOptions,
    journal: &JournalReader,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ReindexError> {
    let index::Opened { mut follower, mut sealer, index } = index::open(folder, options, &mut |_| ())?;
    let of = journal.witnessed().0;
    let (mut segments, mut told) = (0, 0);
    let mut failed = None;
    let mut take = |group: GroupRef<'_>| {
        let records = group.head().position.0;
        if records / PROGRESS_RECORDS > told {
            told = records / PROGRESS_RECORDS;
            progress(Progress { records, of });
        }
        if let Some(frozen) = follower.step(Arc::new(group.to_group()))? {
            drop(sealer.seal(frozen)?);
            segments += 1;
        }
        Ok::<(), IndexError>(())
    };
    let walked = journal.verify(&mut |group| {
        take(group).map_err(|error| {
            failed = Some(error);
            JournalError::Storage("the index could not follow it".into())
        })
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let walked = walked?;
    if let Some(frozen) = follower.freeze() {
        drop(sealer.seal(frozen)?);
        segments += 1;
    }
    let position = follower.checkpoint().position;
    assert_eq!(position, walked.head.position, "the index has followed the journal to its end");
    drop((follower, sealer, index));
    Ok(Report { position, groups: walked.groups, segments })
}

/// Puts the new index in the old one's place. Between the two renames there is none, which a start builds.
fn replace(data: &Path) -> io::Result<()> {
    let [index, new, old] = [INDEX_NAME, NEW_NAME, OLD_NAME].map(|name| data.join(name));
    let sync = || File::open(data)?.sync_all();
    sync()?;
    remove(&old)?;
    match fs::rename(&index, &old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::rename(&new, &index)?;
    sync()?;
    remove(&old)?;
    sync()
}

/// Deletes a folder, if it is there.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

//! The journal in a RocksDB of its own, beside the witness file.
//!
//! Owns `<data>/journal` (one key a group: the first position, big-endian; key 0 says where a trimmed journal begins)
//! and `<data>/witness`. Never repairs and never retries. Invariant: a directory that is refused is left as it was,
//! byte for byte; one that is opened has been checked by a pass that can't write.
//!
//! Recovery mode `PointInTime` drops whatever follows the first damage in the write-ahead log without an error. The
//! chain and the witness then tell whether something acknowledged was dropped; see
//! `docs/decisions/0002-journal-recovery-mode.md`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rocksdb::{
    BlockBasedOptions, DB, DBCompressionType, DBRawIterator, DBRecoveryMode, InfoLogger, LogLevel, Options,
    ReadOptions, WriteBatch, WriteOptions,
};

use super::{
    Base, Checkpoint, Group, GroupRef, Head, Journal, JournalError, JournalOptions, Report, Trim,
    check::{Known, check, check_follows},
    reclaim::Reclaim,
    walk::{Cursor, Entry, Walk, read_to},
    witness::{Witness, WitnessFile, sync_directory},
};
use crate::{
    manifest::{ManifestError, check_manifest},
    model::Position,
};

/// The name of the store's directory in the data directory.
const DIRECTORY_NAME: &str = "journal";
/// Write-ahead files that are kept to be written over, which spares each sync the file's metadata: the one that a
/// flush frees while the next one is in use, and one more for a flush that is late.
const RECYCLED_FILES: usize = 2;
/// The key of the base: before every group's.
const KEY_BASE: [u8; 8] = [0; 8];
/// The least key that a group can have.
const KEY_FIRST: [u8; 8] = 1_u64.to_be_bytes();
/// A block of a table: small groups share one, a large group has its own.
const BLOCK_BYTES: usize = 64 << 10;
/// Bytes that a walk asks the disk for at once.
const READAHEAD_BYTES: usize = 4 << 20;
/// Bytes by which a manifest grows: RocksDB's own 4 MiB are much on a small file system.
pub(crate) const MANIFEST_ALLOCATED_BYTES: usize = 64 << 10;
/// Bytes of a table after which they go to the disk, so that a flush does not delay a sync of the log at its end.
const TABLE_SYNC_BYTES: u64 = 1 << 20;

/// The journal, open for writing. One process at a time: the caller holds the lock of the data directory.
pub struct RocksJournal {
    db: Arc<DB>,
    witness: WitnessFile,
    base: Option<Base>,
    head: Head,
    write: WriteOptions,
    buffer: Vec<u8>,
    reclaim: Reclaim,
}

/// A journal to read from: a stored one that nobody writes, or one in use.
#[derive(Clone)]
pub struct JournalReader {
    db: Option<Arc<DB>>,
    witness: Option<Witness>,
    base: Option<Base>,
}

impl RocksJournal {
    /// Opens the journal of a data directory, or creates it if there is none. `index` is the index's watermark.
    ///
    /// The chain, the witness and the index are compared by a read-only pass; only what it finds sound is opened for
    /// writing. Records behind the witness, written but never acknowledged, are kept if they are whole.
    ///
    /// # Errors
    /// Acknowledged records are missing or changed, the witness is unreadable, the index is not of this journal: then
    /// no file was changed. The store or the file system fails.
    pub fn open(data: &Path, options: &JournalOptions, index: Checkpoint) -> Result<Self, JournalError> {
        let (reader, torn) = JournalReader::open_noticing(data, options)?;
        let whole = directory_bytes(&data.join(DIRECTORY_NAME))? <= options.full_check_bytes_max;
        let report = reader.check(Some(index), whole, &mut |_| Ok(()))?;
        let found = reader.witness;
        drop(reader);
        if torn {
            tracing::warn!(
                position = report.head.position.0,
                "the journal ended in an incomplete group that was never acknowledged; it was dropped after this position"
            );
        }
        Self::open_checked(data, options, report, found)
    }

    /// Opens for writing what a check has passed.
    fn open_checked(
        data: &Path,
        options: &JournalOptions,
        report: Report,
        found: Option<Witness>,
    ) -> Result<Self, JournalError> {
        fs::create_dir_all(data)?;
        let mut witness = match found {
            Some(found) => WitnessFile::open(data, found)?,
            None => WitnessFile::create(data, Witness::default())?,
        };
        let directory = data.join(DIRECTORY_NAME);
        let created = !directory.exists();
        let db = Arc::new(DB::open(&write_options(options), &directory).map_err(storage)?);
        if created {
            sync_directory(&directory)?;
            sync_directory(data)?;
            if let Some(parent) = data.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_directory(parent)?;
            }
        }
        let last = last_head(&db)?;
        if last != report.head {
            return Err(JournalError::Storage(format!(
                "it ended at position {} when it was checked and ends at {} now that it is open",
                report.head.position, last.position
            )));
        }
        // Recovery has synced these records into a table. From here on they may be shown, so the witness must know them.
        if report.head.position > report.witnessed.position {
            tracing::info!(
                from = report.witnessed.position.0,
                to = report.head.position.0,
                "keeping journal records that were written but not acknowledged"
            );
            witness.write(report.head, found.unwrap_or_default().sealed)?;
        }
        let mut write = WriteOptions::default();
        write.set_sync(true);
        let base = base_of(&db)?;
        Ok(Self {
            db,
            witness,
            base,
            head: report.head,
            write,
            buffer: Vec::new(),
            reclaim: Reclaim::default(),
        })
    }

    /// A handle for reading while this one writes.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        JournalReader { db: Some(Arc::clone(&self.db)), witness: None, base: self.base }
    }
}

impl Journal for RocksJournal {
    fn append(&mut self, group: &Group, sealed: Checkpoint) -> Result<(), JournalError> {
        check_follows(group, self.head);
        self.buffer.clear();
        group.encode_into(&mut self.buffer);
        let mut batch = WriteBatch::default();
        batch.put(group.first.0.to_be_bytes(), &self.buffer);
        self.db.write_opt(batch, &self.write).map_err(storage)?;
        let head = group.head();
        self.witness.write(head, sealed)?;
        self.head = head;
        Ok(())
    }

    fn head(&self) -> Head {
        self.head
    }

    fn read(
        &self,
        after: Position,
        visit: &mut dyn FnMut(Group) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        read_to(RocksCursor::new(&self.db), front(self.base), after, Some(self.head), visit)
    }

    fn base(&self) -> Option<Base> {
        self.base
    }

    fn trim(&mut self, trim: Trim, sealed: Checkpoint) -> Result<(), JournalError> {
        let mut cursor = RocksCursor::new(&self.db);
        let Some(base) = Base::after(front(self.base), &mut cursor, trim, sealed)? else { return Ok(()) };
        drop(cursor);
        self.witness.write(self.head, sealed)?;
        let end = base.head.position.next().0.to_be_bytes();
        let mut batch = WriteBatch::default();
        batch.put(KEY_BASE, base.encode());
        batch.delete_range(KEY_FIRST, end);
        self.db.write_opt(batch, &self.write).map_err(storage)?;
        self.base = Some(base);
        self.reclaim.start(&self.db, end);
        Ok(())
    }
}

impl JournalReader {
    /// Opens the journal of a data directory without write access: no file is made or changed.
    ///
    /// # Errors
    /// There is no journal although there is a witness of one, or it can't be read.
    pub fn open(data: &Path, options: &JournalOptions) -> Result<Self, JournalError> {
        Self::open_noticing(data, options).map(|(reader, _)| reader)
    }

    /// As [`JournalReader::open`]; also tells whether the store dropped an incomplete end.
    fn open_noticing(data: &Path, options: &JournalOptions) -> Result<(Self, bool), JournalError> {
        let witness = WitnessFile::read(data)?;
        let directory = data.join(DIRECTORY_NAME);
        let acknowledged = witness.unwrap_or_default().head.position;
        if !holds_store(&directory)? {
            if acknowledged > Position::ZERO {
                return Err(JournalError::Truncated { found: Position::ZERO, witnessed: acknowledged });
            }
            return Ok((Self { db: None, witness, base: None }, false));
        }
        check_manifest(&directory).map_err(unreadable)?;
        let torn = Arc::new(AtomicBool::new(false));
        let options = read_options(options, Arc::clone(&torn));
        let db = DB::open_for_read_only(&options, &directory, false).map_err(|error| {
            JournalError::Storage(format!(
                "it can't be opened: {error}; the witness holds position {acknowledged}; nothing was written; restore \
                 the data directory from a copy"
            ))
        })?;
        let base = base_of(&db)?;
        Ok((Self { db: Some(Arc::new(db)), witness, base }, torn.load(Ordering::Relaxed)))
    }

    /// The last position that the witness holds.
    #[must_use]
    pub fn witnessed(&self) -> Position {
        self.witness.unwrap_or_default().head.position
    }

    /// As [`Journal::base`].
    #[must_use]
    pub fn base(&self) -> Option<Base> {
        self.base
    }

    /// Walks the whole chain, from the base if it was trimmed, and compares it with the witness; `visit` sees each
    /// group that is sound.
    ///
    /// # Errors
    /// As [`RocksJournal::open`], and what `visit` returns.
    pub fn verify(
        &self,
        visit: &mut dyn FnMut(GroupRef<'_>) -> Result<(), JournalError>,
    ) -> Result<Report, JournalError> {
        self.check(None, true, visit)
    }

    /// As [`Journal::read`].
    ///
    /// # Errors
    /// Storage failures, a broken chain, and what `visit` returns.
    pub fn read(
        &self,
        after: Position,
        visit: &mut dyn FnMut(Group) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        self.db
            .as_ref()
            .map_or(Ok(()), |db| read_to(RocksCursor::new(db), front(self.base), after, None, visit))
    }

    fn check(
        &self,
        index: Option<Checkpoint>,
        whole: bool,
        visit: &mut dyn FnMut(GroupRef<'_>) -> Result<(), JournalError>,
    ) -> Result<Report, JournalError> {
        let known = Known { witness: self.witness, base: self.base, index };
        check(self.db.as_ref().map(|db| RocksCursor::new(db)), known, whole, visit)
    }
}

struct RocksCursor<'a>(DBRawIterator<'a>);

impl<'a> RocksCursor<'a> {
    fn new(db: &'a DB) -> Self {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        options.set_iterate_lower_bound(KEY_FIRST);
        Self(db.raw_iterator_opt(options))
    }
}

impl Cursor for RocksCursor<'_> {
    fn seek(&mut self, position: Position) {
        self.0.seek_for_prev(position.0.to_be_bytes());
        if !self.0.valid() && self.0.status().is_ok() {
            self.0.seek_to_first();
        }
    }

    fn entry(&mut self) -> Result<Option<Entry<'_>>, String> {
        self.0.status().map_err(|error| error.to_string())?;
        Ok(self.0.item())
    }

    fn advance(&mut self) {
        if self.0.valid() {
            self.0.next();
        }
    }
}

fn front(base: Option<Base>) -> Head {
    base.map_or(Head::default(), |base| base.head)
}

fn base_of(db: &DB) -> Result<Option<Base>, JournalError> {
    db.get(KEY_BASE).map_err(storage)?.map(|bytes| Base::decode(&bytes)).transpose()
}

/// The end of an open store, as its last group tells it.
fn last_head(db: &DB) -> Result<Head, JournalError> {
    Walk::last(RocksCursor::new(db))
}

fn unreadable(error: ManifestError) -> JournalError {
    match error {
        ManifestError::Io(error) => JournalError::Io(error),
        ManifestError::Damaged { .. } => JournalError::Storage(format!(
            "{error}; nothing was written; restore the data directory from a copy"
        )),
    }
}

fn storage(error: impl std::fmt::Display) -> JournalError {
    JournalError::Storage(full_disk(error.to_string()))
}

/// Says what helps when a store found no space: nothing is damaged.
pub(crate) fn full_disk(error: String) -> String {
    if error.contains("No space left on device") {
        format!("{error}; nothing acknowledged is lost: free some space on the file system, and start again")
    } else {
        error
    }
}

/// What reading and writing have in common. `torn` is set when the store drops an incomplete end of its log.
fn read_options(options: &JournalOptions, torn: Arc<AtomicBool>) -> Options {
    let mut table = BlockBasedOptions::default();
    table.disable_cache();
    table.set_block_size(BLOCK_BYTES);
    let mut store = Options::default();
    store.set_block_based_table_factory(&table);
    store.set_compression_type(DBCompressionType::None);
    store.set_paranoid_checks(true);
    store.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    store.set_write_buffer_size(options.write_buffer_bytes);
    store.set_max_background_jobs(2);
    store.set_stats_dump_period_sec(0);
    store.set_manifest_preallocation_size(MANIFEST_ALLOCATED_BYTES);
    store.set_info_logger(info_logger(move |message| {
        // The end of a log file that is written over is no damage.
        if message.contains("dropping") && !message.contains("possibly recycled") {
            torn.store(true, Ordering::Relaxed);
        }
    }));
    store
}

/// Sends the store's warnings to our log, and shows them to `also`: no log file is made in the data directory, which
/// must stay as it is when it is refused.
pub(crate) fn info_logger(also: impl Fn(&str) + Send + Sync + 'static) -> InfoLogger {
    InfoLogger::new_callback_logger(LogLevel::Warn, move |level, message| {
        // Options and versions come at each open, whatever level was asked for.
        if !matches!(level, LogLevel::Warn | LogLevel::Error | LogLevel::Fatal) {
            return;
        }
        also(message);
        tracing::warn!(target: "rocksdb", "{}", message.trim_end());
    })
}

fn write_options(options: &JournalOptions) -> Options {
    let mut store = read_options(options, Arc::default());
    store.create_if_missing(true);
    store.set_recycle_log_file_num(RECYCLED_FILES);
    store.set_wal_bytes_per_sync(0);
    store.set_bytes_per_sync(TABLE_SYNC_BYTES);
    // Keys only ascend: tables never overlap, there is nothing to merge, and a write must not wait for a merge.
    store.set_disable_auto_compactions(true);
    store.set_level_zero_slowdown_writes_trigger(i32::MAX);
    store.set_level_zero_stop_writes_trigger(i32::MAX);
    // One writer: no need for a concurrent memtable.
    store.set_allow_concurrent_memtable_write(false);
    store
}

/// Whether a directory has a RocksDB in it; `Err` if it has parts of one. One that was never finished has only a
/// manifest and no `CURRENT`, and is made anew.
fn holds_store(directory: &Path) -> Result<bool, JournalError> {
    let names = file_names(directory)?;
    let has = |suffix: &str| names.iter().any(|(path, _)| path.to_string_lossy().ends_with(suffix));
    if has("/CURRENT") {
        return Ok(true);
    }
    if has(".sst") || has(".log") {
        return Err(JournalError::Broken {
            after: Position::ZERO,
            reason: "its directory has records but no CURRENT file; restore the data directory from a copy"
                .into(),
        });
    }
    Ok(false)
}

fn directory_bytes(directory: &Path) -> Result<u64, JournalError> {
    Ok(file_names(directory)?.iter().map(|(_, bytes)| bytes).sum())
}

fn file_names(directory: &Path) -> Result<Vec<(PathBuf, u64)>, JournalError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        names.push((entry.path(), entry.metadata()?.len()));
    }
    Ok(names)
}

//! The index's store on RocksDB: column families, options.
//!
//! Owns all RocksDB types of the index. Never interprets a value. Invariant: nothing goes through a write-ahead log;
//! [`Store::commit`] writes one batch and flushes all column families as one atomic change of the manifest, so that a
//! crash leaves the state after some commit, never one in between.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRawIterator,
    FlushOptions, Options, ReadOptions, Snapshot, WriteBatch, WriteOptions,
};

use super::Family;
use crate::{
    index::{IndexError, IndexOptions},
    journal::rocks::{MANIFEST_ALLOCATED_BYTES, full_disk, info_logger},
    manifest::{ManifestError, check_manifest},
};

impl Family {
    /// Ids, filters and packed numbers do not shrink; texts do.
    const fn compression(self) -> DBCompressionType {
        match self {
            Self::Records | Self::Openings => DBCompressionType::Lz4,
            Self::Ids
            | Self::Postings
            | Self::Accounts
            | Self::Cells
            | Self::Holds
            | Self::LiveHolds
            | Self::Reversed
            | Self::Filters
            | Self::Meta => DBCompressionType::None,
        }
    }

    /// Families that are mostly asked for what they don't have.
    const fn asked_for_absent(self) -> bool {
        match self {
            Self::Holds | Self::Reversed => true,
            Self::Records
            | Self::Ids
            | Self::Postings
            | Self::Openings
            | Self::Accounts
            | Self::Cells
            | Self::LiveHolds
            | Self::Filters
            | Self::Meta => false,
        }
    }
}

/// The open database.
pub(in crate::index) struct Store {
    db: DB,
}

/// Changes that become durable together.
#[derive(Default)]
pub(in crate::index) struct Batch(WriteBatch);

impl Store {
    /// Opens the database, or makes it.
    pub(in crate::index) fn open(dir: &Path, options: &IndexOptions) -> Result<Self, IndexError> {
        std::fs::create_dir_all(dir).map_err(|error| IndexError::Storage(error.to_string()))?;
        check_manifest(dir).map_err(unreadable)?;
        let (database, families) = Self::options(options);
        let db = DB::open_cf_descriptors(&database, dir, families).map_err(storage)?;
        Ok(Self { db })
    }

    /// Opens an existing database without the right to write.
    pub(in crate::index) fn open_read_only(dir: &Path, options: &IndexOptions) -> Result<Self, IndexError> {
        check_manifest(dir).map_err(unreadable)?;
        let (database, families) = Self::options(options);
        let db = DB::open_cf_descriptors_read_only(&database, dir, families, false).map_err(storage)?;
        Ok(Self { db })
    }

    fn options(options: &IndexOptions) -> (Options, Vec<ColumnFamilyDescriptor>) {
        /// One for flushes and one for compactions: the machine's cores are for payments.
        const BACKGROUND_JOBS_MAX: i32 = 2;
        /// 1 % of absent keys pass.
        const ABSENT_FILTER_BITS: f64 = 10.0;
        let mut database = Options::default();
        database.create_if_missing(true);
        database.create_missing_column_families(true);
        database.set_atomic_flush(true);
        database.set_max_background_jobs(BACKGROUND_JOBS_MAX);
        database.set_info_logger(info_logger(|_| ()));
        database.set_stats_dump_period_sec(0);
        database.set_manifest_preallocation_size(MANIFEST_ALLOCATED_BYTES);
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let families = Family::ALL.map(|family| {
            let mut table = BlockBasedOptions::default();
            table.set_block_cache(&cache);
            if family.asked_for_absent() {
                table.set_bloom_filter(ABSENT_FILTER_BITS, false);
            }
            let mut column = Options::default();
            column.set_block_based_table_factory(&table);
            column.set_compression_type(family.compression());
            column.set_bottommost_compression_type(family.compression());
            column.set_write_buffer_size(options.write_buffer_bytes);
            ColumnFamilyDescriptor::new(family.name(), column)
        });
        (database, Vec::from(families))
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("each family was opened with the database")
    }

    pub(in crate::index) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.db.get_cf(self.family(family), key).map_err(storage)
    }

    pub(in crate::index) fn walk(&self, family: Family) -> Walk<'_> {
        Walk(self.db.raw_iterator_cf(self.family(family)))
    }

    /// A walk over most of a family: reads ahead, and leaves the cache to others.
    pub(in crate::index) fn scan(&self, family: Family) -> Walk<'_> {
        /// Enough for a disk to stream, little enough for a walk over each of many runs of ids.
        const READAHEAD_BYTES: usize = 1 << 20;
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        Walk(self.db.raw_iterator_cf_opt(self.family(family), options))
    }

    /// The database as it is now, whatever is written later.
    pub(in crate::index) fn frozen(&self) -> Frozen<'_> {
        Frozen { store: self, snapshot: self.db.snapshot() }
    }

    pub(in crate::index) fn put(&self, batch: &mut Batch, family: Family, key: &[u8], value: &[u8]) {
        batch.0.put_cf(self.family(family), key, value);
    }

    pub(in crate::index) fn delete(&self, batch: &mut Batch, family: Family, key: &[u8]) {
        batch.0.delete_cf(self.family(family), key);
    }

    /// Deletes the keys from `from` on and before `to`.
    pub(in crate::index) fn delete_range(&self, batch: &mut Batch, family: Family, from: &[u8], to: &[u8]) {
        batch.0.delete_range_cf(self.family(family), from, to);
    }

    /// Writes without making durable: for what nothing refers to before a later [`Store::commit`].
    pub(in crate::index) fn stage(&self, batch: Batch) -> Result<(), IndexError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch.0, &options).map_err(storage)
    }

    /// Writes and makes durable, with all that was staged before.
    pub(in crate::index) fn commit(&self, batch: Batch) -> Result<(), IndexError> {
        self.stage(batch)?;
        let families = Family::ALL.map(|family| self.family(family));
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db.flush_cfs_opt(&families.each_ref(), &options).map_err(storage)
    }
}

/// The database as it was.
pub(in crate::index) struct Frozen<'a> {
    store: &'a Store,
    snapshot: Snapshot<'a>,
}

impl Frozen<'_> {
    pub(in crate::index) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.snapshot.get_cf(self.store.family(family), key).map_err(storage)
    }

    pub(in crate::index) fn walk(&self, family: Family) -> Walk<'_> {
        Walk(self.snapshot.raw_iterator_cf(self.store.family(family)))
    }
}

/// A walk through a family in the order of its keys.
pub(in crate::index) struct Walk<'a>(DBRawIterator<'a>);

impl Walk<'_> {
    pub(in crate::index) fn go_to_first(&mut self) -> Result<(), IndexError> {
        self.0.seek_to_first();
        self.check()
    }

    /// To the first key at or after `key`.
    pub(in crate::index) fn to(&mut self, key: &[u8]) -> Result<(), IndexError> {
        self.0.seek(key);
        self.check()
    }

    /// To the last key at or before `key`.
    pub(in crate::index) fn go_to_at_most(&mut self, key: &[u8]) -> Result<(), IndexError> {
        self.0.seek_for_prev(key);
        self.check()
    }

    pub(in crate::index) fn step(&mut self) -> Result<(), IndexError> {
        self.0.next();
        self.check()
    }

    /// The entry, unless the walk is at an end.
    pub(in crate::index) fn item(&self) -> Option<(&[u8], &[u8])> {
        self.0.item()
    }

    fn check(&self) -> Result<(), IndexError> {
        self.0.status().map_err(storage)
    }
}

fn unreadable(error: ManifestError) -> IndexError {
    match error {
        ManifestError::Io(error) => IndexError::Storage(error.to_string()),
        ManifestError::Damaged { .. } => IndexError::damaged(error.to_string()),
    }
}

#[allow(clippy::needless_pass_by_value)]
fn storage(error: rocksdb::Error) -> IndexError {
    if error.kind() == rocksdb::ErrorKind::Corruption {
        IndexError::damaged(error.into_string())
    } else {
        IndexError::Storage(full_disk(error.into_string()))
    }
}

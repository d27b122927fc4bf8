//! Every limit of the engine, named, with its unit and the reason for its value.
//!
//! Owns the numbers. Never reads files or the environment: that is the server's part.

use std::path::PathBuf;

use crate::model::Asset;

/// How much of the journal is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JournalRetention {
    /// All of it: the journal alone can rebuild everything.
    #[default]
    Forever,
    /// So many records behind the state of the newest snapshot, and all that follows it. What is deleted is in the index
    /// alone from then on.
    Records(u64),
}

/// How an engine is set up. [`Config::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory: `journal/`, `index/`, `witness`, `lock`. Made if it is missing.
    pub data: PathBuf,
    /// Threads that own accounts. May change between starts.
    pub shards: u16,
    /// Assets beside the built-in ones.
    pub assets: Vec<Asset>,
    /// Commands that may wait in one shard's mailbox, in its lane of checkout; more are refused (`overloaded`). At 500,000 a second, 65,536
    /// are 0.13 s of work: a longer queue only adds latency.
    pub mailbox_commands_max: usize,
    /// The same for the lane of recharges: they wait while payments do.
    pub recharge_commands_max: usize,
    /// The same for the lane of batch work.
    pub batch_commands_max: usize,
    /// Commands that may wait in one shard for accounts that are reserved by others.
    pub parked_commands_max: usize,
    /// Commands in flight that may name one account which can refuse them, from admission to answer; more are refused
    /// (`overloaded`), so that a hot payer does not fill its shard's mailbox for its neighbours. A quarter of the mailbox:
    /// the largest batch of one payer fits.
    pub account_commands_max: usize,
    /// Commands that may be in flight in the whole engine, from admission to answer. Bounds memory.
    pub in_flight_commands_max: usize,
    /// Records in one journal group: a group of 8,192 syncs in about 3 ms on a virtual disk.
    pub group_records_max: usize,
    /// Bytes of records in one journal group.
    pub group_bytes_max: usize,
    /// Records by which the index may lag behind the journal; beyond, new writes are refused (`overloaded`). One
    /// second of full load.
    pub index_lag_records_max: u64,
    /// Records in a segment of the index: what a start has to replay at the most, and what stays in memory.
    pub segment_records: u32,
    /// Bytes of the index's block cache.
    pub index_cache_bytes: usize,
    /// A journal up to this size is walked whole at each start; of a larger one, what follows the last checkpoint.
    pub full_check_bytes_max: u64,
    /// How much of the journal is kept. May change between starts; what was deleted does not come back.
    pub journal_retention: JournalRetention,
    /// Share of the file system, in percent, that is kept free: below it new writes are refused (`storage_low`).
    pub storage_reserve_percent: u8,
    /// Milliseconds between two looks at the clock for holds that ran out.
    pub expiry_interval_ms: u64,
    /// Milliseconds that a command waits for a change of its account to land before it is refused (`overloaded`).
    pub change_wait_ms_max: u64,
    /// Milliseconds that a read waits for the index to show what is acknowledged before it is refused (`overloaded`).
    /// The index is at most `index_lag_records_max` behind, about a second of work.
    pub read_wait_ms_max: u64,
    /// First parts of addresses (`customers`, `merchants`); an opening with one more is refused (`overflow`). Each is a
    /// row of the trial balance for each of its assets, which is one answer, and is written with each segment: 4,096
    /// make about half a megabyte.
    pub address_groups_max: usize,
    /// Rows of one page of any list.
    pub page_rows_max: usize,
}

impl Config {
    /// Defaults for a data directory.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            data: data.into(),
            // The committer, the index and the front door want the other half.
            shards: u16::try_from(cores / 2).unwrap_or(u16::MAX).clamp(1, Self::SHARDS_MAX),
            assets: Vec::new(),
            mailbox_commands_max: 65_536,
            recharge_commands_max: 65_536,
            batch_commands_max: 65_536,
            parked_commands_max: 16_384,
            account_commands_max: 16_384,
            in_flight_commands_max: 262_144,
            group_records_max: 16_384,
            group_bytes_max: 4 << 20,
            index_lag_records_max: 1_000_000,
            segment_records: 1 << 17,
            index_cache_bytes: 256 << 20,
            full_check_bytes_max: 4 << 30,
            journal_retention: JournalRetention::Forever,
            storage_reserve_percent: 5,
            expiry_interval_ms: 20,
            change_wait_ms_max: 5_000,
            read_wait_ms_max: 5_000,
            address_groups_max: 4_096,
            page_rows_max: 1_000,
        }
    }

    /// Most shards: reservations name them in a 64-bit set.
    pub const SHARDS_MAX: u16 = 64;
    /// Most accounts: their numbers are `u32`, and the last one is a mark.
    pub const ACCOUNTS_MAX: u32 = u32::MAX - 1;
    /// Most transactions of one batch request.
    pub const BATCH_TRANSACTIONS_MAX: usize = 10_000;
}

//! The index: what follows the journal so that people can ask, and the checkpoint from which the engine starts.
//!
//! Owns a RocksDB of its own, the replica of all accounts that follows the journal, and everything that answers a
//! question about the past: transactions by id, history with running balance, balance at a time, holds, reversed
//! totals, turnover. Never decides, and never is on a payment's way, but for [`Index::find_transaction`],
//! [`Index::find_hold`] and [`Index::reversed`], which answer from memory for all that is young.
//!
//! Invariant: what is on disk is exactly the journal up to the sealed watermark, because a segment and its watermark
//! become durable in one step; what is younger is in memory, and a reader sees both without a gap: a segment leaves
//! memory only after readers can find it on disk. The journal rebuilds all of it.
//!
//! ```text
//! journal group ─▶ Follower::step ─▶ open tail ─(full)─▶ Frozen ─▶ Sealer::seal ─▶ RocksDB ─▶ Sealed
//!                                       └───────────────── Index (readers) ────────────┘
//! ```

mod account_page;
mod account_walk;
mod build;
mod cell;
mod filter;
mod follower;
mod history;
mod hold;
mod id_run;
mod open;
mod posting_block;
mod reader;
mod record_block;
mod run_merge;
mod scan;
mod sealer;
mod snapshot;
mod store;
mod tail;
mod totals;
mod view;
mod wire;

use compact_str::CompactString;

use crate::{
    journal::{GroupError, RecordError},
    model::{AccountNo, Amount, HoldEnd, HoldId, Position, Timestamp, TransactionId},
};

pub use follower::{Follower, Frozen};
pub use open::{Opened, RecoveredAccount, has_index, open, open_read_only, watermark_of};
pub(crate) use posting_block::{PostingRun, StoredPosting};
pub use reader::Index;
pub(crate) use scan::{PostingScan, RecordScan, StoredRecord};
pub use sealer::{Sealed, Sealer};
#[cfg(feature = "simulation")]
pub(crate) use store::memory;

/// The limits and sizes of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexOptions {
    /// Records after which a segment is closed: a restart replays at most this many, and the groups behind them.
    pub segment_records_max: u32,
    /// Postings after which a segment is closed: bounds its memory where transactions have many operations.
    pub segment_postings_max: u32,
    /// Bytes of records after which a segment is closed: bounds its memory where records are large.
    pub segment_bytes_max: u64,
    /// Bytes of the cache of blocks that were read from disk.
    pub block_cache_bytes: usize,
    /// Bytes that a column family collects in memory before RocksDB writes them by itself.
    pub write_buffer_bytes: usize,
    /// Bytes of id filters in memory, 2 an id; beyond, the oldest runs of ids are looked up on disk.
    pub filter_bytes_max: usize,
    /// Whether it lies in this thread's memory instead of RocksDB.
    #[cfg(feature = "simulation")]
    pub in_memory: bool,
}

impl Default for IndexOptions {
    /// For 500,000 transfers a second: about one segment each second, 100 MB of memory a segment.
    fn default() -> Self {
        Self {
            segment_records_max: 1 << 19,
            segment_postings_max: 1 << 21,
            segment_bytes_max: 256 << 20,
            block_cache_bytes: 256 << 20,
            write_buffer_bytes: 64 << 20,
            filter_bytes_max: 1 << 30,
            #[cfg(feature = "simulation")]
            in_memory: false,
        }
    }
}

/// Why the index could not be opened, followed, sealed or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The store below failed.
    #[error("index storage: {0}")]
    Storage(String),
    /// What was read makes no sense.
    #[error(
        "the index is damaged: {0}; stop the engine and run `yue reindex`: a journal that was never trimmed rebuilds it; \
         otherwise restore the folder from a copy"
    )]
    Damaged(String),
    /// Written by a newer release.
    #[error("the index has format {found}, and this release reads up to {known}; nothing was written")]
    Version {
        /// The format on disk.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// A group that does not follow the one before.
    #[error(
        "the index is at position {at}, and was given a group that starts at {first} or has another past"
    )]
    Gap {
        /// The follower's last position.
        at: Position,
        /// The group's first position.
        first: Position,
    },
    /// A journal group or record that can't be read.
    #[error("journal group at {first}: {error}")]
    Group {
        /// The group's first position.
        first: Position,
        /// What is wrong.
        error: GroupError,
    },
}

impl IndexError {
    fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    fn record(first: Position, error: RecordError) -> Self {
        Self::Group { first, error: GroupError::Record(error) }
    }
}

/// Which side of an operation an account was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It was debited.
    Debit,
    /// It was credited.
    Credit,
}

/// Where a page of history ended: the next one starts below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryCursor {
    /// The last row's position.
    pub position: Position,
    /// The last row's operation.
    pub operation: u8,
}

/// A question about an account's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which account.
    pub account: AccountNo,
    /// Only what happened at this time or later.
    pub from: Option<Timestamp>,
    /// Only what happened before this time.
    pub to: Option<Timestamp>,
    /// Only what is below this row.
    pub before: Option<HistoryCursor>,
    /// Most rows.
    pub limit: usize,
}

/// One posted change of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The record's position.
    pub position: Position,
    /// The record's time.
    pub at: Timestamp,
    /// The transaction.
    pub transaction: TransactionId,
    /// The index of its operation.
    pub operation: u8,
    /// `transfer`, `capture` or `reverse`.
    pub kind: &'static str,
    /// The account's side.
    pub direction: Direction,
    /// How much.
    pub amount: Amount,
    /// The account's posted balance after the operation, on its normal side.
    pub balance: i128,
    /// The account on the other side.
    pub counterparty: AccountNo,
    /// The operation's code, or else the transaction's.
    pub code: Option<CompactString>,
}

impl HistoryRow {
    /// Where to go on below this row.
    #[must_use]
    pub fn cursor(&self) -> HistoryCursor {
        HistoryCursor { position: self.position, operation: self.operation }
    }
}

/// A point in the past, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// By position.
    Position(Position),
    /// By the record's time.
    Time(Timestamp),
}

/// An account's balance at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceAt {
    /// On its normal side, in minor units.
    pub posted: i128,
    /// Since when: the last posting at or before the point, or the opening.
    pub position: Position,
    /// That record's time.
    pub at: Timestamp,
}

/// What is known of a hold, also long after it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// The account that a capture debits.
    pub debit: AccountNo,
    /// The account that a capture credits.
    pub credit: AccountNo,
    /// What was held at first.
    pub amount: Amount,
    /// What was captured.
    pub captured: Amount,
    /// When it was decided.
    pub placed_at: Timestamp,
    /// When it runs out.
    pub expires_at: Timestamp,
    /// The operation's code, or else the transaction's.
    pub code: Option<CompactString>,
    /// The record that placed it.
    pub placed: Position,
    /// How and where it ended; `None` while it is held.
    pub ended: Option<(HoldEnd, Position)>,
}

/// What was reversed of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reversed {
    /// All reversals together.
    pub total: Amount,
    /// All reversals up to here are in `total`.
    pub as_of: Position,
}

/// Debits and credits since the beginning, all at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialBalance {
    /// The last record that is in it.
    pub position: Position,
    /// That record's time.
    pub at: Timestamp,
    /// One row for each first address part and asset that has an account, in their order.
    pub rows: Vec<TrialRow>,
}

/// The turnover of the accounts that share the first part of their address and the asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialRow {
    /// The first part of the address.
    pub group: CompactString,
    /// The asset's code.
    pub asset: CompactString,
    /// All debits.
    pub debits: u128,
    /// All credits.
    pub credits: u128,
}

/// An operation whose reversed total changed in a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedReversal {
    /// The original transaction.
    pub transaction: TransactionId,
    /// The index of its operation.
    pub operation: u8,
    /// All reversals together, as of `position`.
    pub total: Amount,
    /// The last reversal in the segment.
    pub position: Position,
}

/// A hold that ended in a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedHold {
    /// Which hold.
    pub id: HoldId,
    /// Where it ended.
    pub ended: Position,
}

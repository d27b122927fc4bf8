//! The write-ahead journal: the only truth on disk.
//!
//! Owns the format of records and groups, the hash chain and the witness. Never decides anything. Invariant: a group
//! that [`Journal::append`] has returned `Ok` for is on disk, chained to all before it, and the witness names it; the
//! first `Err` is the last call (the caller aborts the process).

mod base;
mod bytes;
mod check;
mod codec;
pub mod faulty;
mod group;
mod reclaim;
mod record;
pub mod rocks;
mod snapshot;
mod walk;
mod witness;

pub use base::{Base, Trim};
pub use check::Report;
pub use group::{Checkpoint, Group, GroupError, GroupRef, Hash, Head};
pub use record::{PostedTransaction, Record, RecordError, RefusedTransaction};
pub use snapshot::{
    PartHead, SnapshotAccount, SnapshotCell, SnapshotContent, SnapshotHold, SnapshotMark, SnapshotPart,
    SnapshotReversed, SnapshotTracker, SnapshotTurnover,
};

use std::path::Path;

use crate::model::Position;

/// The end that a data directory's witness holds, whatever the journal says; zero without a witness.
///
/// # Errors
/// The witness is damaged, or can't be read.
pub(crate) fn witnessed(data: &Path) -> Result<Head, JournalError> {
    Ok(witness::WitnessFile::read(data)?.unwrap_or_default().head)
}

/// Why a journal could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store below failed.
    #[error("journal storage: {0}")]
    Storage(String),
    /// A file operation failed.
    #[error("journal file: {0}")]
    Io(#[from] std::io::Error),
    /// The journal ends before a record that was acknowledged.
    #[error(
        "the journal ends at position {found}, but the witness proves that position {witnessed} was acknowledged: \
         acknowledged records are missing; nothing was written"
    )]
    Truncated {
        /// The last position that is there.
        found: Position,
        /// The last position that the witness holds.
        witnessed: Position,
    },
    /// A record is missing, damaged or edited.
    #[error("the journal is damaged after position {after}: {reason}; nothing was written")]
    Broken {
        /// The last position that is sound.
        after: Position,
        /// What is wrong.
        reason: String,
    },
    /// The witness is missing or unreadable although there are records.
    #[error("the journal's witness is damaged: {0}; nothing was written")]
    Witness(String),
    /// The index has seen records that the journal does not have.
    #[error(
        "the journal ends at position {journal}, but the index has followed it up to position {index}: records are \
         missing; nothing was written"
    )]
    IndexAhead {
        /// The last position of the journal.
        journal: Position,
        /// The index's watermark.
        index: Position,
    },
    /// The journal was trimmed, and the index does not have what was before.
    #[error(
        "the journal begins after position {base}: what was before is in the index alone, and the index has followed \
         only up to position {index} (0: it is missing). Without the index's ids a transaction could take effect twice. \
         Restore the index folder, or the whole data directory, from a copy; nothing was written"
    )]
    Trimmed {
        /// The last position that was trimmed.
        base: Position,
        /// The index's watermark.
        index: Position,
    },
    /// The index was made from another journal.
    #[error(
        "the index was made from another journal (the hash at position {at} differs); nothing was written"
    )]
    IndexDiffers {
        /// The index's watermark.
        at: Position,
    },
}

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Bytes up to which each start walks the whole chain; beyond, it walks from the last sealed checkpoint.
    pub full_check_bytes_max: u64,
    /// Bytes of groups that are kept in memory (and in one log file) until they are packed into a table. There are at
    /// most two such buffers, and three log files of about this size.
    pub write_buffer_bytes: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { full_check_bytes_max: 4 << 30, write_buffer_bytes: 64 << 20 }
    }
}

/// An append-only sequence of groups.
pub trait Journal: Send + 'static {
    /// Appends a group that follows [`Journal::head`], syncs it, then writes and syncs the witness with the group's
    /// head and `sealed`, the newest checkpoint of the index.
    ///
    /// # Errors
    /// Any; the state on disk is then unknown and the caller must abort.
    fn append(&mut self, group: &Group, sealed: Checkpoint) -> Result<(), JournalError>;

    /// The last record's position, time and hash.
    fn head(&self) -> Head;

    /// Where the journal begins; `None` if nothing was ever trimmed.
    fn base(&self) -> Option<Base>;

    /// Deletes whole groups from the beginning, in one step that a crash makes happen or not. `sealed` is the newest
    /// checkpoint of the index; it lies at or behind the snapshot's last part, and the witness has it before anything is
    /// deleted. Nothing happens if there is nothing to delete.
    ///
    /// # Errors
    /// As [`Journal::append`].
    fn trim(&mut self, trim: Trim, sealed: Checkpoint) -> Result<(), JournalError>;

    /// Calls `visit` with each group that has a record after `after`, in order.
    ///
    /// # Errors
    /// Storage failures, a broken chain, and what `visit` returns.
    fn read(
        &self,
        after: Position,
        visit: &mut dyn FnMut(Group) -> Result<(), JournalError>,
    ) -> Result<(), JournalError>;
}

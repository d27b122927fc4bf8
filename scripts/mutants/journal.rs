//! Of the journal what a record says.
mod bytes;
mod codec;
mod group;
mod record;
mod snapshot;

pub use group::{Checkpoint, Group, GroupError, GroupRef, Hash, Head};
pub use record::{PostedTransaction, Record, RecordError, RefusedTransaction};
pub use snapshot::{
    PartHead, SnapshotAccount, SnapshotCell, SnapshotContent, SnapshotHold, SnapshotMark, SnapshotPart,
    SnapshotReversed, SnapshotTracker, SnapshotTurnover,
};

//! How much of the journal is kept.
//!
//! Owns the choice of when a snapshot is written and how much may be deleted then. Never writes and never deletes: its
//! driver brings parts and trims to the committer, through the one queue. Invariant: what is asked to be deleted lies
//! before the state of a snapshot whose parts all are synced and sealed in the index.
//!
//! ```text
//! index's disk at its watermark ─▶ parts ─▶ committer ─▶ journal ─▶ index ─(sealed)─▶ trim ─▶ committer
//! ```

use std::sync::Arc;

use crate::{
    config::{Config, JournalRetention},
    index::{Index, IndexError},
    journal::{Checkpoint, Group, Record, SnapshotPart, Trim},
    model::{Position, Timestamp},
    shard::{Batch, ShardNo},
};

/// Bytes of a part: a few of them in a group delay it by less than a sync takes.
const PART_BYTES: usize = 256 << 10;
/// A new snapshot is due when the journal has grown by this part of what is kept.
const KEPT_PER_INTERVAL: u64 = 8;

/// See the module.
pub(crate) struct Retention {
    index: Arc<Index>,
    /// Records that are kept behind the newest snapshot's state.
    kept: u64,
    /// Records between two snapshots, at the least.
    interval_min: u64,
    /// Bytes of a snapshot's part.
    pub(crate) part_bytes: usize,
    /// The state of the last snapshot that this process has written.
    written: Position,
    /// The end of the last snapshot that a trim was asked for.
    trimmed: Position,
    /// Nothing was due at this checkpoint.
    idle: Checkpoint,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// [`Retention::snapshot`].
    Snapshot,
    /// To be asked of the committer.
    Trim(Trim),
}

impl Retention {
    /// `None` if the journal is kept for ever.
    pub(crate) fn new(config: &Config, segment_records: u32, index: &Arc<Index>) -> Option<Self> {
        let JournalRetention::Records(kept) = config.journal_retention else { return None };
        Some(Self {
            index: Arc::clone(index),
            kept,
            interval_min: u64::from(segment_records),
            part_bytes: PART_BYTES,
            written: Position::ZERO,
            trimmed: Position::ZERO,
            idle: Checkpoint::default(),
        })
    }

    /// What is due now that the index has sealed `sealed`.
    pub(crate) fn due(&mut self, sealed: Checkpoint) -> Result<Due, IndexError> {
        if sealed == self.idle {
            return Ok(Due::Nothing);
        }
        let newest = self.index.newest_snapshot()?.filter(|newest| newest.last <= sealed.position);
        let newest = newest.unwrap_or_default();
        if newest.last > self.trimmed {
            self.trimmed = newest.last;
            let up_to = Position(newest.as_of.position.0.saturating_sub(self.kept));
            if up_to > Position::ZERO {
                return Ok(Due::Trim(Trim { up_to, snapshot: newest }));
            }
        }
        // Writing a state costs as much as its size: it is spread over as many records.
        let interval = (self.kept / KEPT_PER_INTERVAL).max(self.interval_min).max(newest.entries);
        let since = self.written.max(newest.as_of.position).0.max(self.kept);
        if sealed.position.0 >= since.saturating_add(interval) {
            return Ok(Due::Snapshot);
        }
        self.idle = sealed;
        Ok(Due::Nothing)
    }

    /// Gives the state as batches for the committer, one a part; `false` from `send` ends it before its last part.
    pub(crate) fn snapshot(
        &mut self,
        now: Timestamp,
        send: &mut dyn FnMut(Batch) -> bool,
    ) -> Result<(), IndexError> {
        let as_of = self.index.snapshot(now, self.part_bytes, &mut |part| send(batch(part)))?;
        self.written = as_of.position;
        Ok(())
    }
}

fn batch(part: SnapshotPart) -> Batch {
    let mut records = Vec::new();
    let stamp = part.decided_at;
    Group::frame(&mut records, &Record::Snapshot(part));
    Batch { shard: ShardNo::NONE, records, count: 1, stamp, foreign: Vec::new() }
}

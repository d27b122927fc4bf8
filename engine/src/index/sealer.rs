//! The sealer: makes a closed segment durable, with the accounts as of its end, and shows it to readers.
//!
//! Owns all writes to the index's disk. Never touches the follower's state. Invariant: a segment, the accounts as of its
//! end and the watermark become durable in one step; only after it readers are led to the disk; only after that what the
//! segment had in memory is dropped.

use std::sync::Arc;

use super::{
    Follower, Frozen, Index, IndexError, IndexOptions, SealedHold, SealedReversal, account_page, build, cell,
    hold,
    id_run::{Run, Runs},
    run_merge::{self, Merge},
    snapshot,
    store::{Batch, Family, operation_key, position_key},
    tail::Tail,
    view::{Segment, View},
    wire,
};
use crate::{
    journal::Checkpoint,
    model::{HoldId, Position, Timestamp, TransactionId},
    planted::{Bug, planted},
};

/// The newest format that this release reads and writes.
pub(super) const FORMAT: u32 = 2;

/// Keys of [`Family::Meta`].
pub(super) const KEY_FORMAT: &[u8] = b"format";
pub(super) const KEY_WATERMARK: &[u8] = b"watermark";
pub(super) const KEY_TOTALS: &[u8] = b"totals";
pub(super) const KEY_SNAPSHOT: &[u8] = b"snapshot";
pub(super) const KEY_RUN: &[u8] = b"run/";
pub(super) const KEY_SEGMENT: &[u8] = b"segment/";

pub(super) const KEY_CHANGE: &[u8] = b"change/";

/// The key of an account as of the record at a position that changed its rules.
pub(super) fn change_key(position: Position) -> Vec<u8> {
    [KEY_CHANGE, &position_key(position)].concat()
}

/// The key of a numbered entry.
pub(super) fn numbered(prefix: &[u8], no: u32) -> Vec<u8> {
    [prefix, &no.to_be_bytes()].concat()
}

/// The bytes of the watermark.
pub(super) fn encode_watermark(checkpoint: Checkpoint, at: Timestamp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    wire::put_u64(&mut bytes, checkpoint.position.0);
    wire::put_i128(&mut bytes, i128::from(at.0));
    bytes.extend_from_slice(&checkpoint.hash.0);
    bytes
}

/// A segment that is on disk: what the shards and the directory may now forget.
pub struct Sealed {
    checkpoint: Checkpoint,
    at: Timestamp,
    tail: Arc<Tail>,
    holds_placed: Vec<HoldId>,
    holds_ended: Vec<SealedHold>,
    reversals: Vec<SealedReversal>,
}

impl Sealed {
    /// The segment's end: for the journal's witness.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// The time of the segment's last record.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The segment's transactions, posted or refused, in order: [`Index::find_transaction`] finds them from now on.
    pub fn transaction_ids(&self) -> impl Iterator<Item = (TransactionId, Position)> {
        build::transaction_ids(&self.tail)
    }

    /// The holds that were placed in the segment, in order.
    #[must_use]
    pub fn holds_placed(&self) -> &[HoldId] {
        &self.holds_placed
    }

    /// The holds that ended in the segment, in order.
    #[must_use]
    pub fn holds_ended(&self) -> &[SealedHold] {
        &self.holds_ended
    }

    /// Every reversal in the segment, in order; an operation that was reversed twice is there twice.
    #[must_use]
    pub fn reversals(&self) -> &[SealedReversal] {
        &self.reversals
    }
}

/// The single writer of the index's disk.
pub struct Sealer {
    index: Arc<Index>,
    filter_bytes_max: usize,
    next_segment: u32,
    next_run: u32,
    merges: Vec<Merge>,
    /// Runs that were merged, until no reader looks into them.
    retired: Vec<Run>,
}

impl Sealer {
    pub(super) fn new(index: Arc<Index>, options: &IndexOptions, strays: &[u32]) -> Self {
        let view = index.view.load_full();
        let known = view.runs.iter().map(|run| run.no);
        let next_run = known.chain(strays.iter().copied()).max().map_or(0, |no| no + 1);
        let stray = |&no: &u32| Run { no, first: 0, last: 0, ids: 0, filter: None, readers: Arc::default() };
        Self {
            filter_bytes_max: options.filter_bytes_max,
            next_segment: view.segments.last().map_or(0, |segment| segment.no + 1),
            next_run,
            merges: Vec::new(),
            retired: strays.iter().map(stray).collect(),
            index,
        }
    }

    /// Makes a segment durable. Segments come in the order in which the follower closed them.
    ///
    /// # Errors
    /// Storage failures; what is on disk is then as before or as after, and the sealer is of no use.
    pub fn seal(&mut self, frozen: Frozen) -> Result<Sealed, IndexError> {
        let sealed = self.index.sealed();
        let first = frozen.tail.first;
        let first_at = frozen.tail.get(0).map(super::tail::TailGroup::first_at);
        let Some(first_at) = first_at.filter(|_| first == sealed.next()) else {
            return Err(IndexError::Gap { at: sealed, first });
        };
        let no = self.next_segment;
        let last = frozen.checkpoint.position;
        let segment = Segment { no, first, last, first_at, last_at: frozen.at };
        let mut batch = Batch::default();
        let run = self.write_packed(&mut batch, &frozen, no)?;
        self.write_state(&mut batch, &frozen);
        self.put_meta(&mut batch, &numbered(KEY_SEGMENT, no), &segment.encode());
        let watermark = encode_watermark(frozen.checkpoint, frozen.at);
        if planted(Bug::IndexWatermarkAhead) {
            let mut early = Batch::default();
            self.put_meta(&mut early, KEY_WATERMARK, &watermark);
            self.index.store.commit(early)?;
        }
        self.put_meta(&mut batch, KEY_WATERMARK, &watermark);
        self.put_meta(&mut batch, KEY_FORMAT, &FORMAT.to_be_bytes());
        if let Some(mark) = &frozen.snapshot {
            self.put_meta(&mut batch, KEY_SNAPSHOT, &snapshot::encode_mark(mark));
        }
        let runs = self.update_runs(&mut batch, run)?;
        self.index.store.commit(batch)?;
        self.show(segment, runs, &frozen.tail);
        self.forget(&frozen);
        self.next_segment += 1;
        let ended =
            |(id, row): &(HoldId, super::HoldRow)| row.ended.map(|(_, ended)| SealedHold { id: *id, ended });
        Ok(Sealed {
            checkpoint: frozen.checkpoint,
            at: frozen.at,
            tail: frozen.tail,
            holds_placed: frozen.holds_placed,
            holds_ended: frozen.holds_ended.iter().filter_map(ended).collect(),
            reversals: frozen.reversals,
        })
    }

    fn put_meta(&self, batch: &mut Batch, key: &[u8], value: &[u8]) {
        self.index.store.put(batch, Family::Meta, key, value);
    }

    /// What is written once.
    fn write_packed(
        &mut self,
        batch: &mut Batch,
        frozen: &Frozen,
        no: u32,
    ) -> Result<Option<Run>, IndexError> {
        let store = &self.index.store;
        build::write_records(store, batch, &frozen.tail, &frozen.openings);
        build::write_postings(store, batch, &frozen.tail, no)?;
        let run = build::write_ids(store, batch, &frozen.tail, self.next_run);
        self.next_run += u32::from(run.is_some());
        Ok(run)
    }

    /// What is written again as it changes: the checkpoint.
    fn write_state(&self, batch: &mut Batch, frozen: &Frozen) {
        let store = &self.index.store;
        for (page, bytes) in &frozen.pages {
            store.put(batch, Family::Accounts, &page.to_be_bytes(), bytes);
        }
        for (no, kind, cell) in frozen.cells.iter().filter(|_| !planted(Bug::CellNotSealed)) {
            store.put(batch, Family::Cells, &cell::key(*no, *kind), &cell::encode(cell));
        }
        for (id, row) in &frozen.holds_live {
            store.put(batch, Family::LiveHolds, &hold::key(*id), &row.encode());
        }
        for (id, row) in &frozen.holds_ended {
            store.put(batch, Family::Holds, &hold::key(*id), &row.encode());
            if row.placed < frozen.tail.first {
                store.delete(batch, Family::LiveHolds, &hold::key(*id));
            }
        }
        let mut bytes = Vec::new();
        for (position, account) in &frozen.account_changes {
            bytes.clear();
            account_page::put(&mut bytes, Some((account, *position, Position::ZERO)));
            self.put_meta(batch, &change_key(*position), &bytes);
        }
        for SealedReversal { transaction, operation, total, .. } in &frozen.reversals {
            bytes.clear();
            wire::put_u64(&mut bytes, total.units());
            store.put(batch, Family::Reversed, &operation_key(transaction.0, *operation), &bytes);
        }
        self.put_meta(batch, KEY_TOTALS, &frozen.totals);
    }

    /// Adds the segment's run, goes on with merges, and deletes runs that nobody looks into any more.
    fn update_runs(&mut self, batch: &mut Batch, run: Option<Run>) -> Result<Runs, IndexError> {
        let index = Arc::clone(&self.index);
        let view = index.view.load_full();
        let mut runs: Vec<Run> = view.runs.iter().cloned().collect();
        drop(view);
        let mut budget = run_merge::budget(&self.merges, run.as_ref().map_or(0, |run| run.ids));
        if let Some(run) = run {
            self.put_run(batch, &run);
            runs.push(run);
        }
        while let Some(merge) = self.merges.first_mut() {
            if !merge.advance(&index.store, &mut budget)? {
                break;
            }
            let (replaced, merged) = self.merges.remove(0).finish(&index.store, batch);
            for old in &replaced {
                index.store.delete(batch, Family::Meta, &numbered(KEY_RUN, old.no));
                runs.retain(|run| run.no != old.no);
            }
            if let Some(merged) = merged {
                self.put_run(batch, &merged);
                runs.push(merged);
            }
            self.retired.extend(replaced);
        }
        // For the next segment on: the runs of this one are not readable before the batch is written.
        self.choose_merges(&runs);
        self.retired.retain(|run| {
            let is_read = Arc::strong_count(&run.readers) > 1;
            if !is_read {
                run_merge::delete(&index.store, batch, run.no);
            }
            is_read
        });
        let mut runs = Runs::new(runs);
        runs.keep_filters(self.filter_bytes_max);
        Ok(runs)
    }

    fn put_run(&self, batch: &mut Batch, run: &Run) {
        self.put_meta(batch, &numbered(KEY_RUN, run.no), &run.encode());
        if let Some(filter) = &run.filter {
            self.index.store.put(batch, Family::Filters, &run.no.to_be_bytes(), &filter.encode());
        }
    }

    fn choose_merges(&mut self, runs: &[Run]) {
        let is_free = |merges: &[Merge], no| !merges.iter().any(|merge| merge.has(no));
        while let Some(chosen) = run_merge::choose(runs.iter().filter(|run| is_free(&self.merges, run.no))) {
            self.merges.push(Merge::new(self.next_run, chosen));
            self.next_run += 1;
        }
        self.merges.sort_by_key(Merge::ids);
    }

    /// Leads readers from memory to the disk.
    fn show(&self, segment: Segment, runs: Runs, sealed: &Arc<Tail>) {
        let view = self.index.view.load_full();
        let segments = view.segments.iter().copied().chain([segment]).collect();
        let (segments, runs) = (Arc::new(segments), Arc::new(runs));
        self.index.view.rcu(|view| View {
            segments: Arc::clone(&segments),
            runs: Arc::clone(&runs),
            tails: view.tails.iter().filter(|tail| !Arc::ptr_eq(tail, sealed)).map(Arc::clone).collect(),
        });
    }

    /// Drops from memory what the disk has now, unless it changed since.
    fn forget(&self, frozen: &Frozen) {
        let sealed = frozen.checkpoint.position;
        for (position, _) in &frozen.account_changes {
            self.index.changes.remove(position);
        }
        for (id, _) in &frozen.holds_ended {
            self.index.holds.remove(id);
        }
        for reversal in &frozen.reversals {
            let key = (reversal.transaction, reversal.operation);
            self.index.reversed.remove_if(&key, |_, (_, changed)| *changed <= sealed);
        }
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("next_segment", &self.next_segment).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("checkpoint", &self.checkpoint()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("applied", &self.applied()).finish_non_exhaustive()
    }
}

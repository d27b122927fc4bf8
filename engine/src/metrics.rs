//! Counters that the engine's threads write and `/metrics` reads.
//!
//! Owns plain atomics. Never blocks, never allocates on the payment's way.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

use crate::model::{Lane, Rejection, RejectionCode};

/// Powers of two: bucket `i` counts values of at most `2^i` units, the last one all above.
pub const BUCKETS: usize = 16;

/// Nanoseconds of the unit of [`Snapshot::sync_time`].
pub const SYNC_TIME_UNIT_NANOS: u64 = 16_000;

/// A copy of all counters.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Transactions posted.
    pub posted: u64,
    /// Transactions refused, by code, in the order of [`RejectionCode::ALL`].
    pub refused: [u64; RejectionCode::ALL.len()],
    /// Answers that repeated an earlier outcome.
    pub replayed: u64,
    /// Commands refused as unavailable.
    pub unavailable: u64,
    /// Holds that ran out.
    pub holds_expired: u64,
    /// Journal groups written.
    pub groups: u64,
    /// Journal records written.
    pub records: u64,
    /// Bytes of records written.
    pub bytes: u64,
    /// Groups with at most `2^i` records.
    pub group_records: [u64; BUCKETS],
    /// Groups whose append and syncs took at most `2^i` times [`SYNC_TIME_UNIT_NANOS`].
    pub sync_time: [u64; BUCKETS],
    /// All append and sync times together, in nanoseconds.
    pub sync_nanos: u64,
    /// Messages waiting in each shard's mailbox, by lane in the order of [`Lane::ALL`].
    pub mailbox_depth: Vec<[usize; Lane::ALL.len()]>,
    /// Commands in flight.
    pub in_flight: usize,
    /// Records that the journal has and the index does not show yet.
    pub index_lag: u64,
    /// The last synced position.
    pub position: u64,
    /// Open accounts.
    pub accounts: u64,
    /// Jumps of the wall clock that were not followed at once.
    pub clock_jumps: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    posted: AtomicU64,
    refused: [AtomicU64; RejectionCode::ALL.len()],
    replayed: AtomicU64,
    unavailable: AtomicU64,
    holds_expired: AtomicU64,
    groups: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    group_records: [AtomicU64; BUCKETS],
    sync_time: [AtomicU64; BUCKETS],
    sync_nanos: AtomicU64,
    in_flight: AtomicUsize,
    clock_jumps: AtomicU64,
}

/// Counts an opening or a change of an account as in flight, as long as it lives.
pub(crate) struct InFlight(Arc<Counters>);

impl InFlight {
    /// Of one that is counted in.
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        Self(Arc::clone(counters))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.left();
    }
}

impl Counters {
    /// Counts commands in; tells how many are in flight with them. A stop sets its flag before it looks at the count,
    /// and who enters counts before it looks at the flag: one of them sees the other.
    pub(crate) fn enter(&self, commands: usize) -> usize {
        self.in_flight.fetch_add(commands, SeqCst) + commands
    }

    pub(crate) fn left(&self) {
        self.in_flight.fetch_sub(1, SeqCst);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }

    pub(crate) fn decided(&self, verdict: Result<(), Rejection>) {
        match verdict {
            Ok(()) => self.posted.fetch_add(1, Relaxed),
            Err(Rejection { code, .. }) => {
                self.refused.get(usize::from(code as u8) - 1).map_or(0, |count| count.fetch_add(1, Relaxed))
            }
        };
    }

    pub(crate) fn replayed(&self) {
        self.replayed.fetch_add(1, Relaxed);
    }

    pub(crate) fn unavailable(&self) {
        self.unavailable.fetch_add(1, Relaxed);
    }

    pub(crate) fn hold_expired(&self) {
        self.holds_expired.fetch_add(1, Relaxed);
    }

    pub(crate) fn clock_jumped(&self) {
        self.clock_jumps.fetch_add(1, Relaxed);
    }

    pub(crate) fn group(&self, records: u32, bytes: usize, nanos: u64) {
        self.groups.fetch_add(1, Relaxed);
        self.records.fetch_add(u64::from(records), Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.sync_nanos.fetch_add(nanos, Relaxed);
        let count = |buckets: &[AtomicU64; BUCKETS], value: u64| {
            let bucket =
                usize::try_from(value.max(1).next_power_of_two().trailing_zeros()).unwrap_or(BUCKETS);
            if let Some(bucket) = buckets.get(bucket.min(BUCKETS - 1)) {
                bucket.fetch_add(1, Relaxed);
            }
        };
        count(&self.group_records, u64::from(records));
        count(&self.sync_time, nanos.div_ceil(SYNC_TIME_UNIT_NANOS));
    }

    /// Groups, and the nanoseconds of their appends and syncs.
    pub(crate) fn sync_time(&self) -> (u64, u64) {
        (self.groups.load(Relaxed), self.sync_nanos.load(Relaxed))
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        Snapshot {
            posted: load(&self.posted),
            refused: self.refused.each_ref().map(load),
            replayed: load(&self.replayed),
            unavailable: load(&self.unavailable),
            holds_expired: load(&self.holds_expired),
            groups: load(&self.groups),
            records: load(&self.records),
            bytes: load(&self.bytes),
            group_records: self.group_records.each_ref().map(load),
            sync_time: self.sync_time.each_ref().map(load),
            sync_nanos: load(&self.sync_nanos),
            in_flight: self.in_flight(),
            clock_jumps: load(&self.clock_jumps),
            ..Snapshot::default()
        }
    }
}

//! Counters that the engine's threads write and `/metrics` reads.
/// A copy of all counters.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Transactions posted.
    pub posted: u64,
    /// Transactions refused, by code, in the order of [`crate::model::RejectionCode::ALL`].
    pub refused: [u64; 18],
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
    /// Buckets of group sizes: count of groups with at most 2^i records.
    pub group_records: [u64; 16],
    /// Buckets of append+sync times: count of groups that took at most 2^i × 16 µs.
    pub sync_time: [u64; 16],
    /// Sum of append+sync times in nanoseconds.
    pub sync_nanos: u64,
    /// Commands waiting in each shard's mailbox.
    pub mailbox_depth: Vec<usize>,
    /// Commands in flight.
    pub in_flight: usize,
    /// Records that the journal has and the index does not show yet.
    pub index_lag: u64,
    /// The last position.
    pub position: u64,
    /// Accounts.
    pub accounts: u64,
}

//! What a run, or all of them together, has reached.
//!
//! Owns counts. Invariant: what is not reached is not tested, so [`Coverage::missing`] names it.

use std::collections::BTreeMap;

use crate::model::RejectionCode;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    refused: BTreeMap<&'static str, u64>,
    refused_across: BTreeMap<&'static str, u64>,
    pub(super) cross_shard_posted: u64,
    pub(super) posted: u64,
    seen: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
}

/// Everything that has to be reached beside the refusals.
const EXPECTED: [&str; 53] = [
    "replayed",
    "id reused",
    "overloaded",
    "deadline passed",
    "account's queue full",
    "parked",
    "batch",
    "client gone",
    "account opened",
    "account exists",
    "account changed",
    "change refused",
    "hold expired",
    "expired at a start",
    "sealed",
    "clock back",
    "midnight",
    "shards changed",
    "index deleted",
    "index older",
    "crash: nothing on its way",
    "crash: batch queued",
    "crash: batch sent, message not",
    "crash: decided, not sent",
    "crash: synced, not told",
    "crash: told in part",
    "crash: reserved",
    "crash: index behind",
    "crash: segment frozen",
    "crash: sealed, not told",
    "crash: replayed only",
    "crash: in the expiry of a start",
    "crash: in the replay of a start",
    "events read",
    "quiet",
    "snapshot",
    "trimmed",
    "crash: snapshot queued",
    "index missing refused",
    "index too old refused",
    "cell written",
    "cells written",
    "cells across shards",
    "cells without operations",
    "cells after a start",
    "cell in a snapshot",
    "attached and refused",
    "conflict: an alias",
    "conflict: no account",
    "conflict: a revision",
    "alias read",
    "alias answered",
    "replayed for another attachment",
];

/// Kinds of faults, by name.
const FAULTS: [&str; 32] = [
    "append: EIO, lost",
    "append: ENOSPC, short write",
    "append: EIO, torn",
    "append: EIO, a hole",
    "append: EIO, durable",
    "append: EIO, the witness torn",
    "append: EIO, durable with the witness",
    "trim: EIO, lost",
    "trim: EIO, durable",
    "index: EIO, lost",
    "index: EIO, durable",
    "index: bit flip",
    "index: EIO, read",
    "slow: the journal",
    "slow: the index",
    "slow: the sealer",
    "the storage is low",
    "refused: a bit flip",
    "refused: the end is lost",
    "refused: a group is lost",
    "refused: a misdirected read",
    "refused: a stale read",
    "refused: an edit",
    "refused: the witness is damaged",
    "refused: the witness is lost",
    "refused: the index is ahead",
    "refused: the index of another journal",
    "borne: a slot of the witness",
    "refused: trimmed, no index",
    "refused: trimmed, the beginning is lost",
    "refused: trimmed, no base",
    "refused: trimmed, another snapshot",
];

impl Coverage {
    pub(super) fn hit(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A fault of a kind was seen.
    pub(super) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// All faults that were seen.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// The kinds of faults.
    #[must_use]
    pub const fn kinds() -> &'static [&'static str] {
        &FAULTS
    }

    pub(super) fn refused(&mut self, code: RejectionCode, across: bool) {
        let counts = if across { &mut self.refused_across } else { &mut self.refused };
        *counts.entry(code.as_str()).or_default() += 1;
    }

    /// Answers of posted transactions, replays included.
    #[must_use]
    pub fn posted(&self) -> u64 {
        self.posted
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.cross_shard_posted += other.cross_shard_posted;
        self.posted += other.posted;
        let pairs = [
            (&mut self.refused, &other.refused),
            (&mut self.refused_across, &other.refused_across),
            (&mut self.seen, &other.seen),
            (&mut self.faults, &other.faults),
        ];
        for (mine, theirs) in pairs {
            for (what, count) in theirs {
                *mine.entry(what).or_default() += count;
            }
        }
    }

    /// What was never reached. `overflow` can't be: amounts are `u64`, and sums `i128`.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let codes = RejectionCode::ALL.into_iter().filter(|&code| code != RejectionCode::Overflow);
        let codes = codes.map(RejectionCode::as_str);
        let refused =
            codes.filter(|code| !self.refused.contains_key(code) && !self.refused_across.contains_key(code));
        let seen = EXPECTED.iter().filter(|what| !self.seen.contains_key(*what)).copied();
        let faults = FAULTS.iter().filter(|what| !self.faults.contains_key(*what)).copied();
        let posted = (self.cross_shard_posted == 0).then_some("posted across shards");
        let across = self.refused_across.is_empty().then_some("refused across shards");
        refused.chain(seen).chain(faults).chain(posted).chain(across).map(str::to_owned).collect()
    }
}

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
}

/// Everything that has to be reached beside the refusals.
const EXPECTED: [&str; 39] = [
    "replayed",
    "id reused",
    "overloaded",
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
    "damage refused",
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
    "quiet",
    "snapshot",
    "trimmed",
    "fault in a trim",
    "trimmed refused",
    "crash: snapshot queued",
    "index missing refused",
    "index too old refused",
];

/// Faults by name, in the order of [`super::Options`].
const FAULTS: [&str; 5] = ["Lost", "Torn", "Unreported", "WitnessTorn", "UnreportedAfterWitness"];

impl Coverage {
    pub(super) fn hit(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
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
        let seen = EXPECTED.iter().chain(&FAULTS).filter(|what| !self.seen.contains_key(*what)).copied();
        let posted = (self.cross_shard_posted == 0).then_some("posted across shards");
        let across = self.refused_across.is_empty().then_some("refused across shards");
        refused.chain(seen).chain(posted).chain(across).map(str::to_owned).collect()
    }
}

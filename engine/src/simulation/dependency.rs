//! What each record may depend on: the journal must have it before.
//!
//! Owns, by shard, how many records of this process were decided and how many of those the journal has. Knows nothing of
//! what records say: whatever a shard knew of another one when it decided counts. Invariant: a shard's records reach the
//! journal in the order of its decisions, so that a number of them stands for all before.

use std::collections::BTreeMap;

use crate::{model::TransactionId, shard::ShardNo};

/// So many records of a shard.
pub(super) type Records = (ShardNo, u64);

#[derive(Default)]
pub(super) struct Dependencies {
    decided: BTreeMap<ShardNo, u64>,
    committed: BTreeMap<ShardNo, u64>,
    /// Up to which of its shard's records a transaction's own record goes.
    place: BTreeMap<TransactionId, Records>,
    /// What lower shards had decided when they passed a command on.
    passed: BTreeMap<TransactionId, Vec<Records>>,
    /// What a shard has heard from others since its last record.
    heard: BTreeMap<ShardNo, Vec<Records>>,
}

impl Dependencies {
    /// A command arrives for the first time, or again.
    pub(super) fn begins(&mut self, id: TransactionId) {
        self.passed.remove(&id);
    }

    /// A shard passes a command on, with what it knows.
    pub(super) fn passes(&mut self, shard: ShardNo, id: TransactionId) {
        let decided = self.decided.get(&shard).copied().unwrap_or_default();
        let heard = self.heard.get(&shard).into_iter().flatten().copied();
        self.passed.entry(id).or_default().extend(heard.chain([(shard, decided)]));
    }

    /// A shard hears of another one's record.
    pub(super) fn hears(&mut self, shard: ShardNo, id: TransactionId) {
        let place = self.place.get(&id);
        self.heard.entry(shard).or_default().extend(place);
    }

    /// A shard decides; gives what must be in the journal before.
    pub(super) fn decides(&mut self, shard: ShardNo, id: Option<TransactionId>) -> Vec<Records> {
        let decided = self.decided.entry(shard).or_default();
        *decided += 1;
        let mut after = self.heard.remove(&shard).unwrap_or_default();
        if let Some(id) = id {
            self.place.insert(id, (shard, *decided));
            after.extend(self.passed.remove(&id).unwrap_or_default());
        }
        after
    }

    /// Whether the journal has all that a shard has decided.
    pub(super) fn is_idle(&self, shard: ShardNo) -> bool {
        self.decided.get(&shard).copied().unwrap_or_default()
            == self.committed.get(&shard).copied().unwrap_or_default()
    }

    /// The journal takes a shard's next record.
    pub(super) fn committed(&mut self, by: ShardNo, after: &[Records]) {
        for &(shard, records) in after {
            let there = self.committed.get(&shard).copied().unwrap_or_default();
            assert!(
                there >= records,
                "a record of shard {} reaches the journal before record {records} of shard {}, on which it may depend",
                by.0,
                shard.0
            );
        }
        *self.committed.entry(by).or_default() += 1;
    }
}

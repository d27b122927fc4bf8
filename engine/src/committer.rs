//! The committer: one a partition, the only writer of the journal.
//!
//! Owns positions, times and the chain's end. A plain state machine: [`Committer::step`] takes what all shards have
//! queued, in the order of the queue, and writes it as one group. Never decides. Invariants: a notice is given out only
//! after the group is on disk; times grow strictly, and none lies before the stamp of its record's decision; the first
//! error is the last step (the caller aborts).

use smallvec::SmallVec;

use crate::{
    journal::{Checkpoint, Group, Head, Journal, JournalError, Trim},
    model::Timestamp,
    planted::{Bug, planted},
    shard::{Batch, ForeignEffect, ShardNo, Synced},
};

pub(crate) struct Committer<J> {
    journal: J,
    shards: u16,
}

/// A group that is on disk, and what it means to each shard that it concerns.
pub(crate) struct Committed {
    pub(crate) group: Group,
    pub(crate) notices: Vec<(ShardNo, Synced)>,
}

impl<J: Journal> Committer<J> {
    pub(crate) fn new(journal: J, shards: u16) -> Self {
        Self { journal, shards }
    }

    /// Writes and syncs the batches as one group. `wall` is the clock's time, `sealed` the index's newest checkpoint.
    ///
    /// # Errors
    /// The journal's; the process must abort.
    ///
    /// # Panics
    /// Without a record in the batches.
    pub(crate) fn step(
        &mut self,
        batches: Vec<Batch>,
        wall: Timestamp,
        sealed: Checkpoint,
    ) -> Result<Committed, JournalError> {
        let head = self.journal.head();
        // The clock may have been set back since a shard read it: no record is older than its decision.
        let stamp = batches.iter().map(|batch| batch.stamp).max().unwrap_or(wall);
        let stamp = if planted(Bug::TimeBeforeDecision) { wall } else { stamp };
        let at = head.at.plus_nanos(1).max(wall).max(stamp);
        let count = batches.iter().map(|batch| batch.count).sum();
        assert!(count > 0, "a group has at least one record");
        let notices = self.notices(head, at, &batches);
        let half = planted(Bug::GroupHalfWritten);
        let count = batches.first().filter(|_| half).map_or(count, |batch| batch.count);
        let mut batches = batches.into_iter().map(|batch| batch.records);
        let mut records = batches.next().unwrap_or_default();
        batches.filter(|_| !half).for_each(|more| records.extend_from_slice(&more));
        let group = Group::new(head, at, count, records);
        let appended = self.journal.append(&group, sealed);
        if planted(Bug::GoesOnAfterError) && appended.is_err() {
            return Ok(Committed { group, notices });
        }
        appended?;
        assert_eq!(self.journal.head(), group.head(), "the journal ends with the group that was appended");
        Ok(Committed { group, notices })
    }

    /// Deletes what a snapshot stands for. `sealed` is the index's newest checkpoint.
    ///
    /// # Errors
    /// The journal's; the process must abort.
    pub(crate) fn trim(&mut self, trim: Trim, sealed: Checkpoint) -> Result<(), JournalError> {
        let before = self.journal.base();
        self.journal.trim(trim, sealed)?;
        if let Some(base) = self.journal.base().filter(|base| before.as_ref() != Some(base)) {
            tracing::info!(
                begins_after = base.head.position.0,
                snapshot = base.snapshot.as_of.position.0,
                "the journal is trimmed"
            );
        }
        Ok(())
    }

    pub(crate) fn head(&self) -> Head {
        self.journal.head()
    }

    /// The journal, for its faults.
    #[cfg(feature = "simulation")]
    pub(crate) fn journal(&mut self) -> &mut J {
        &mut self.journal
    }

    /// What the process leaves when it ends.
    #[cfg(feature = "simulation")]
    pub(crate) fn into_journal(self) -> J {
        self.journal
    }

    fn notices(&self, head: Head, at: Timestamp, batches: &[Batch]) -> Vec<(ShardNo, Synced)> {
        let count: u64 = batches.iter().map(|batch| u64::from(batch.count)).sum();
        let end = head.position.plus(count);
        let mut notices: Vec<(ShardNo, Synced)> = (0..self.shards)
            .map(|shard| (ShardNo(shard), Synced { end, own: SmallVec::new(), foreign: Vec::new() }))
            .collect();
        let mut offset = 0;
        for batch in batches {
            let first = head.position.plus(1 + offset);
            let first_at = at.plus_nanos(i64::try_from(offset).unwrap_or(i64::MAX));
            if let Some((_, notice)) = notices.get_mut(batch.shard.index()) {
                notice.own.push((first, first_at, batch.count));
            }
            for (shard, foreign) in &batch.foreign {
                let position = first.plus(u64::from(foreign.index));
                let at = first_at.plus_nanos(i64::from(foreign.index));
                if let Some((_, notice)) = notices.get_mut(shard.index()) {
                    notice.foreign.push((position, at, ForeignEffect::clone(&foreign.effect)));
                }
            }
            offset += u64::from(batch.count);
        }
        notices.retain(|(_, notice)| !notice.own.is_empty() || !notice.foreign.is_empty());
        notices
    }
}

/// How much of what waits goes into one group.
#[derive(Clone, Copy)]
pub(crate) struct GroupLimits {
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
}

impl GroupLimits {
    /// Whether a group of this size takes no more.
    pub(crate) fn is_full(self, batches: &[Batch]) -> bool {
        let records: usize =
            batches.iter().map(|batch| usize::try_from(batch.count).unwrap_or(usize::MAX)).sum();
        let bytes: usize = batches.iter().map(|batch| batch.records.len()).sum();
        records >= self.records_max || bytes >= self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::{Record, faulty::FaultyJournal},
        model::{AccountChange, AccountNo},
    };

    fn batch(stamp: Timestamp) -> Batch {
        let record =
            Record::AccountChanged { no: AccountNo(0), change: AccountChange::default(), decided_at: stamp };
        let mut records = Vec::new();
        Group::frame(&mut records, &record);
        Batch { shard: ShardNo(0), records, count: 1, stamp, foreign: Vec::new() }
    }

    #[test]
    fn times_grow_and_follow_the_stamps() {
        let mut committer = Committer::new(FaultyJournal::new(), 1);
        let mut check = |wall: i64, stamps: &[i64], expected: i64| {
            let batches = stamps.iter().map(|&stamp| batch(Timestamp(stamp))).collect();
            let committed = committer.step(batches, Timestamp(wall), Checkpoint::default()).unwrap();
            assert_eq!(committed.group.at, Timestamp(expected), "clock {wall}, stamps {stamps:?}");
        };
        check(100, &[90], 100);
        // The clock was set back after the shards had read it.
        check(50, &[120, 110], 120);
        check(50, &[50, 50], 122);
        check(50, &[50], 124);
        check(200, &[50], 200);
    }
}

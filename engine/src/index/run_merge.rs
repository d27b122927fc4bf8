//! Merges runs of ids that overlap, so that a look-up of a random id asks a logarithmic number of filters.
//!
//! Owns which runs are merged and how far a merge is. Runs of about one size that share a point of the id space are
//! merged four at a time; runs of time-ordered ids share none and stay. Merges go on by a bounded amount with each
//! segment, small ones first, so that no segment waits for a large one. Invariant: a merge's output is referred to only when it is
//! complete; until then, and after a crash, its blocks belong to a run that nobody knows.

use super::{
    IndexError,
    id_run::{self, IdBlock, Run, RunBuilder, Runs},
    store::{Batch, Family, Store, Walk},
};
use crate::model::Position;

/// Runs of one merge.
const FAN_IN: usize = 4;
/// Ids that are merged for each id of a new segment and each merge under way. In the long run each size of runs asks for
/// one; more than that keeps the runs few, which each look-up of a random id feels.
const IDS_PER_NEW_ID: u64 = 4;
/// Most ids that are merged for each id of a new segment.
const IDS_PER_NEW_ID_MAX: u64 = 8;
/// Bytes of output that are collected before they are written.
const STAGE_BYTES_MAX: usize = 16 << 20;

/// A merge under way.
pub(super) struct Merge {
    inputs: Vec<Input>,
    builder: RunBuilder,
}

struct Input {
    run: Run,
    /// What was read and not merged, in reverse.
    pending: Vec<(u128, Position)>,
    /// Where to read on; `None` at the end.
    next: Option<u128>,
}

/// The next merge that is worth its while, among runs that are in no merge yet.
pub(super) fn choose<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<Vec<Run>> {
    let mut by_size: Vec<(u32, &Run)> = runs.map(|run| (run.ids.max(1).ilog2() / 2, run)).collect();
    by_size.sort_by_key(|(size, run)| (*size, run.first));
    let mut open: Vec<(u32, &Run)> = Vec::new();
    for (size, run) in by_size {
        open.retain(|(other, earlier)| *other == size && earlier.last >= run.first);
        open.push((size, run));
        if open.len() == FAN_IN {
            return Some(open.into_iter().map(|(_, run)| run.clone()).collect());
        }
    }
    None
}

/// How many ids to merge together with a segment of so many.
pub(super) fn budget(merges: &[Merge], new_ids: u64) -> u64 {
    let under_way = u64::try_from(merges.len()).unwrap_or(u64::MAX);
    new_ids.saturating_mul(under_way.saturating_mul(IDS_PER_NEW_ID).min(IDS_PER_NEW_ID_MAX))
}

impl Merge {
    /// Starts to merge `runs` into the run `no`.
    pub(super) fn new(no: u32, runs: Vec<Run>) -> Self {
        let ids = runs.iter().map(|run| run.ids).sum();
        let inputs = runs.into_iter().map(|run| Input { next: Some(run.first), run, pending: Vec::new() });
        Self { inputs: inputs.collect(), builder: RunBuilder::new(no, ids) }
    }

    /// Ids of all its runs.
    pub(super) fn ids(&self) -> u64 {
        self.inputs.iter().map(|input| input.run.ids).sum()
    }

    /// Whether it merges this run.
    pub(super) fn has(&self, run: u32) -> bool {
        self.inputs.iter().any(|input| input.run.no == run)
    }

    /// Goes on by at most `budget` ids, which is lessened. Whether all ids are merged.
    pub(super) fn advance(&mut self, store: &Store, budget: &mut u64) -> Result<bool, IndexError> {
        let mut walks = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let mut walk = store.walk(Family::Ids);
            if let Some(next) = input.next {
                walk.to(&id_run::key(input.run.no, next))?;
            }
            walks.push(walk);
        }
        let mut batch = Batch::default();
        let mut bytes = 0;
        while *budget > 0 {
            let Some((id, position)) = self.least(&mut walks)? else {
                store.stage(batch)?;
                return Ok(true);
            };
            *budget -= 1;
            self.builder.push(id, position, &mut |key, value| {
                bytes += value.len();
                store.put(&mut batch, Family::Ids, key, value);
            });
            if bytes > STAGE_BYTES_MAX {
                store.stage(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        store.stage(batch)?;
        Ok(false)
    }

    /// Ends a complete merge: the runs that it replaces, and the new one.
    pub(super) fn finish(self, store: &Store, batch: &mut Batch) -> (Vec<Run>, Option<Run>) {
        let run = self.builder.finish(&mut |key, value| store.put(batch, Family::Ids, key, value));
        (self.inputs.into_iter().map(|input| input.run).collect(), run)
    }

    fn least(&mut self, walks: &mut [Walk<'_>]) -> Result<Option<(u128, Position)>, IndexError> {
        let mut least: Option<(u128, &mut Input)> = None;
        for (input, walk) in self.inputs.iter_mut().zip(walks) {
            input.fill(walk)?;
            if let Some(&(id, _)) = input.pending.last()
                && least.as_ref().is_none_or(|(other, _)| id < *other)
            {
                least = Some((id, input));
            }
        }
        Ok(least.and_then(|(_, input)| input.pending.pop()))
    }
}

impl Input {
    fn fill(&mut self, walk: &mut Walk<'_>) -> Result<(), IndexError> {
        if !self.pending.is_empty() || self.next.is_none() {
            return Ok(());
        }
        self.next = None;
        if let Some((key, block)) = walk.item()
            && id_run::key_run(key) == Some(self.run.no)
        {
            self.pending = IdBlock::decode(block)?.entries()?;
            self.pending.reverse();
            self.next = self.pending.first().and_then(|(id, _)| id.checked_add(1));
            walk.step()?;
        }
        Ok(())
    }
}

/// Runs whose blocks are on disk although the catalogue does not have them: of merges that a crash cut short, and of
/// merged runs that readers still used when the process ended.
pub(super) fn strays(store: &Store, runs: &Runs) -> Result<Vec<u32>, IndexError> {
    let mut strays = Vec::new();
    let mut walk = store.walk(Family::Ids);
    walk.go_to_first()?;
    while let Some((key, _)) = walk.item() {
        let no = id_run::key_run(key).ok_or_else(|| IndexError::damaged("a key of ids is too short"))?;
        if !runs.iter().any(|run| run.no == no) {
            strays.push(no);
        }
        let Some(next) = no.checked_add(1) else { break };
        walk.to(&id_run::key(next, 0))?;
    }
    Ok(strays)
}

/// Deletes a run's blocks and filter.
pub(super) fn delete(store: &Store, batch: &mut Batch, run: u32) {
    store.delete_range(batch, Family::Ids, &id_run::key(run, 0), &id_run::key(run.saturating_add(1), 0));
    store.delete(batch, Family::Filters, &run.to_be_bytes());
}

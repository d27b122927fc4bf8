//! Runs of transaction ids, sorted, on disk: from an id to its position.
//!
//! Owns the format of id blocks, and the look-up over all runs. A segment adds one run. A look-up touches a run only if
//! the id is between its first and last id and passes its filter: with time-ordered ids that is no run, or one.
//! Invariant: an id is in at most one run.

use std::sync::Arc;

use super::{
    IndexError,
    filter::Filter,
    store::{Family, Store},
    wire::{self, Wire},
};
use crate::model::Position;

/// Ids of a block.
const BLOCK_IDS: usize = 256;
const ID_BYTES: usize = 16;

/// What is known of a run without reading it.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) no: u32,
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) ids: u64,
    /// `None` if there is no memory for it.
    pub(super) filter: Option<Arc<Filter>>,
    /// Shared by all copies of this run: when nobody else has it, no reader can look into the run any more.
    pub(super) readers: Arc<()>,
}

impl Run {
    /// The run's entry in the catalogue; the filter is stored apart.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.last.to_be_bytes());
        wire::put_u64(&mut bytes, self.ids);
        bytes
    }

    pub(super) fn decode(no: u32, bytes: &[u8], filter: Option<Arc<Filter>>) -> Result<Self, IndexError> {
        let mut wire = Wire(bytes);
        let first = u128::from_be_bytes(wire.array()?);
        let last = u128::from_be_bytes(wire.array()?);
        let ids = wire.u64()?;
        wire.end()?;
        Ok(Self { no, first, last, ids, filter, readers: Arc::default() })
    }

    fn may_contain(&self, id: u128) -> bool {
        id <= self.last
            && id >= self.first
            && self.filter.as_ref().is_none_or(|filter| filter.may_contain(id))
    }

    fn find(&self, store: &Store, id: u128) -> Result<Option<Position>, IndexError> {
        let mut walk = store.walk(Family::Ids);
        walk.go_to_at_most(&key(self.no, id))?;
        match walk.item() {
            Some((found, block)) if key_run(found) == Some(self.no) => IdBlock::decode(block)?.find(id),
            Some(_) | None => Ok(None),
        }
    }
}

/// The key of a block.
pub(super) fn key(run: u32, first: u128) -> [u8; 20] {
    let mut key = [0; 20];
    if let Some(head) = key.first_chunk_mut::<4>() {
        *head = run.to_be_bytes();
    }
    if let Some(tail) = key.last_chunk_mut::<16>() {
        *tail = first.to_be_bytes();
    }
    key
}

/// The run of a block's key.
pub(super) fn key_run(key: &[u8]) -> Option<u32> {
    key.first_chunk().map(|run| u32::from_be_bytes(*run))
}

/// All runs that readers look into.
#[derive(Clone, Default)]
pub(super) struct Runs {
    by_first: Vec<Run>,
    /// For each run the greatest id of it and all before it.
    reach: Vec<u128>,
}

impl Runs {
    pub(super) fn new(mut runs: Vec<Run>) -> Self {
        runs.sort_by_key(|run| (run.first, run.no));
        let reach = runs.iter().scan(0, |greatest, run| {
            *greatest = run.last.max(*greatest);
            Some(*greatest)
        });
        Self { reach: reach.collect(), by_first: runs }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Run> {
        self.by_first.iter()
    }

    /// Where an id is.
    pub(super) fn find(&self, store: &Store, id: u128) -> Result<Option<Position>, IndexError> {
        let started = self.by_first.partition_point(|run| run.first <= id);
        for (run, &reach) in self.by_first.iter().zip(&self.reach).take(started).rev() {
            if reach < id {
                break;
            }
            if run.may_contain(id)
                && let Some(position) = run.find(store, id)?
            {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Keeps the filters of the newest runs, up to so many bytes in all.
    pub(super) fn keep_filters(&mut self, bytes_max: usize) {
        let mut newest: Vec<&mut Run> = self.by_first.iter_mut().collect();
        newest.sort_by_key(|run| std::cmp::Reverse(run.no));
        let mut bytes = 0_usize;
        for run in newest {
            bytes = bytes.saturating_add(run.filter.as_ref().map_or(0, |filter| filter.bytes()));
            if bytes > bytes_max {
                run.filter = None;
            }
        }
    }
}

/// Writes a run, given its ids in order.
pub(super) struct RunBuilder {
    no: u32,
    filter: Filter,
    first: Option<u128>,
    last: u128,
    ids: u64,
    block: Vec<(u128, Position)>,
}

impl RunBuilder {
    /// A run of at most so many ids.
    pub(super) fn new(no: u32, ids: u64) -> Self {
        let block = Vec::with_capacity(BLOCK_IDS);
        Self { no, filter: Filter::with_capacity(ids), first: None, last: 0, ids: 0, block }
    }

    /// Adds the next id. Gives a block to `emit` when one is full.
    pub(super) fn push(&mut self, id: u128, position: Position, emit: &mut impl FnMut(&[u8], &[u8])) {
        self.filter.insert(id);
        self.first.get_or_insert(id);
        self.last = id;
        self.ids += 1;
        self.block.push((id, position));
        if self.block.len() == BLOCK_IDS {
            self.end_block(emit);
        }
    }

    fn end_block(&mut self, emit: &mut impl FnMut(&[u8], &[u8])) {
        if let Some(&(first, _)) = self.block.first() {
            emit(&key(self.no, first), &IdBlock::encode(&self.block));
        }
        self.block.clear();
    }

    /// Ends the run; `None` if it is empty.
    pub(super) fn finish(mut self, emit: &mut impl FnMut(&[u8], &[u8])) -> Option<Run> {
        self.end_block(emit);
        let filter = Some(Arc::new(self.filter));
        let Self { no, last, ids, .. } = self;
        self.first.map(|first| Run { no, first, last, ids, filter, readers: Arc::default() })
    }
}

/// Sorted ids (big-endian), then their positions less the least of them, all of one width.
#[derive(Clone, Copy)]
pub(super) struct IdBlock<'a> {
    ids: &'a [[u8; ID_BYTES]],
    base: u64,
    wide: bool,
    offsets: &'a [u8],
}

impl<'a> IdBlock<'a> {
    fn encode(entries: &[(u128, Position)]) -> Vec<u8> {
        let base = entries.iter().map(|(_, position)| position.0).min().unwrap_or_default();
        let offset = |position: Position| position.0 - base;
        let wide = entries.iter().any(|&(_, position)| u32::try_from(offset(position)).is_err());
        let mut bytes = Vec::with_capacity(entries.len() * (ID_BYTES + 8) + 16);
        wire::put_u64(&mut bytes, u64::try_from(entries.len()).unwrap_or(u64::MAX));
        wire::put_u64(&mut bytes, base);
        bytes.push(u8::from(wide));
        for (id, _) in entries {
            bytes.extend_from_slice(&id.to_be_bytes());
        }
        for &(_, position) in entries {
            match u32::try_from(offset(position)) {
                Ok(narrow) if !wide => bytes.extend_from_slice(&narrow.to_le_bytes()),
                Ok(_) | Err(_) => bytes.extend_from_slice(&offset(position).to_le_bytes()),
            }
        }
        bytes
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, IndexError> {
        let mut wire = Wire(bytes);
        let count = wire.usize()?;
        let base = wire.u64()?;
        let wide = wire.u8()? != 0;
        let ids = wire.take(count.saturating_mul(ID_BYTES))?.as_chunks().0;
        let offsets = wire.take(count.saturating_mul(if wide { 8 } else { 4 }))?;
        wire.end()?;
        Ok(Self { ids, base, wide, offsets })
    }

    fn find(self, id: u128) -> Result<Option<Position>, IndexError> {
        match self.ids.binary_search(&id.to_be_bytes()) {
            Ok(index) => self.position(index).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn position(self, index: usize) -> Result<Position, IndexError> {
        let offset = if self.wide {
            self.offsets.as_chunks().0.get(index).map(|bytes| u64::from_le_bytes(*bytes))
        } else {
            self.offsets.as_chunks().0.get(index).map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
        };
        let position = offset.and_then(|offset| self.base.checked_add(offset));
        position.map(Position).ok_or_else(|| IndexError::damaged("a block of ids leaves its range"))
    }

    /// All entries in order.
    pub(super) fn entries(self) -> Result<Vec<(u128, Position)>, IndexError> {
        let ids = self.ids.iter().map(|id| u128::from_be_bytes(*id));
        ids.enumerate().map(|(index, id)| Ok((id, self.position(index)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back() {
        for positions in [[5_u64, 9, 7], [5, u64::MAX, 6]] {
            let entries: Vec<_> =
                [1_u128, 7 << 90, u128::MAX].into_iter().zip(positions.map(Position)).collect();
            let bytes = IdBlock::encode(&entries);
            let block = IdBlock::decode(&bytes).unwrap();
            assert_eq!(block.entries().unwrap(), entries);
            for (id, position) in entries {
                assert_eq!(block.find(id).unwrap(), Some(position));
                assert_eq!(block.find(id ^ 2).unwrap(), None);
            }
            assert!((0..bytes.len()).all(|cut| IdBlock::decode(&bytes[..cut]).is_err()));
        }
    }
}

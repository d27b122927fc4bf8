//! From a frozen tail to the blocks of a segment.
//!
//! Owns the order of ids and postings on disk. Never reads the disk.

use super::{
    IndexError,
    id_run::{Run, RunBuilder},
    posting_block::{self, StoredPosting},
    record_block,
    store::{Batch, Family, Store, position_key},
    tail::{Posting, Tail, TailGroup},
};
use crate::{
    journal::Record,
    model::{Position, TransactionId},
};

/// Writes all records in blocks, and the openings among them once more in blocks of their own.
pub(super) fn write_records(store: &Store, batch: &mut Batch, tail: &Tail, openings: &[Position]) {
    let mut bytes = Vec::new();
    let mut block = record_block::Builder::default();
    for (position, at, record) in tail.iter().flat_map(TailGroup::records) {
        block.push(position, at, &Record::indexed(record));
        if block.is_full()
            && let Some(first) = block.finish(&mut bytes)
        {
            store.put(batch, Family::Records, &position_key(first), &bytes);
        }
    }
    if let Some(first) = block.finish(&mut bytes) {
        store.put(batch, Family::Records, &position_key(first), &bytes);
    }
    for &position in openings {
        let found =
            tail.group_of(position).and_then(|(_, group)| group.record_bytes(group.record(position)?));
        if let Some((at, record)) = found {
            block.push(position, at, record);
        }
        if block.is_full()
            && let Some(first) = block.finish(&mut bytes)
        {
            store.put(batch, Family::Openings, &position_key(first), &bytes);
        }
    }
    if let Some(first) = block.finish(&mut bytes) {
        store.put(batch, Family::Openings, &position_key(first), &bytes);
    }
}

/// The ids of a tail's transactions, posted or refused, with their aliases, in order.
pub(super) fn transaction_ids(tail: &Tail) -> impl Iterator<Item = (TransactionId, Position)> {
    let records = tail.iter().flat_map(TailGroup::records);
    records.flat_map(|(position, _, record)| Record::transaction_ids(record).map(move |id| (id, position)))
}

/// Writes a run of the tail's transaction ids; `None` if there are none.
pub(super) fn write_ids(store: &Store, batch: &mut Batch, tail: &Tail, no: u32) -> Option<Run> {
    let mut ids: Vec<(u128, Position)> =
        transaction_ids(tail).map(|(id, position)| (id.0, position)).collect();
    // Stable sorting takes advantage of the order that time-ordered ids have.
    ids.sort_by_key(|(id, _)| *id);
    let mut builder = RunBuilder::new(no, u64::try_from(ids.len()).unwrap_or(u64::MAX));
    let mut emit = |key: &[u8], value: &[u8]| store.put(batch, Family::Ids, key, value);
    for (id, position) in ids {
        builder.push(id, position, &mut emit);
    }
    builder.finish(&mut emit)
}

/// Writes the tail's postings, sorted by account.
pub(super) fn write_postings(
    store: &Store,
    batch: &mut Batch,
    tail: &Tail,
    segment: u32,
) -> Result<(), IndexError> {
    let mut builder = posting_block::Builder::new(segment, tail.first);
    let mut emit = |key: &[u8], value: &[u8]| store.put(batch, Family::Postings, key, value);
    let groups: Vec<&TailGroup> = tail.iter().collect();
    let lost = || IndexError::damaged("a posting was lost while sorting");
    for (group, index) in by_account(&groups).ok_or_else(lost)? {
        let group = usize::try_from(group).ok().and_then(|group| groups.get(group)).ok_or_else(lost)?;
        let posting =
            usize::try_from(index).ok().and_then(|index| group.postings.get(index)).ok_or_else(lost)?;
        let &Posting { account, operation, direction, previous, record, .. } = posting;
        let position = group.position(record);
        let stored = StoredPosting { position, operation, direction, balance: posting.balance() };
        builder.push(account, stored, previous, &mut emit);
    }
    builder.finish(&mut emit);
    Ok(())
}

/// Group and index of all postings by account, each account's in order: counts, then places.
fn by_account(groups: &[&TailGroup]) -> Option<Vec<(u32, u32)>> {
    let postings = || groups.iter().flat_map(|group| group.postings.iter());
    let Some(greatest) = postings().map(|posting| posting.account.index()).max() else {
        return Some(Vec::new());
    };
    // First how many each account has, then where its next one goes.
    let mut places = vec![0_u32; greatest + 1];
    for posting in postings() {
        *places.get_mut(posting.account.index())? += 1;
    }
    let mut end = 0_u32;
    for place in &mut places {
        let count = std::mem::replace(place, end);
        end = end.checked_add(count)?;
    }
    let mut sorted = vec![(0, 0); usize::try_from(end).ok()?];
    for (group_index, group) in (0_u32..).zip(groups) {
        for (index, posting) in (0_u32..).zip(&group.postings) {
            let place = places.get_mut(posting.account.index())?;
            *sorted.get_mut(usize::try_from(*place).ok()?)? = (group_index, index);
            *place += 1;
        }
    }
    Some(sorted)
}

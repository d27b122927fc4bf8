//! What a disk would hold, and what may happen to it while nobody has it open.
//!
//! Owns stored groups, a torn end, the witness's blocks. Never judges them. Invariant: as in the real store, damage in the
//! log makes an opening drop it and what follows, and damage in a table is an error.

use std::collections::{BTreeMap, btree_map};

use crate::{
    journal::{
        Base, Group,
        walk::{Cursor, Entry},
        witness::{Blocks, Witness},
    },
    model::Position,
};

/// What a disk holds when the power goes: the part of a journal that outlives its process.
///
/// Like the real store it has a log, which holds what was appended since the last opening, and tables for what is older.
/// Damage in the log makes the next opening drop it and all after it; damage in a table is an error.
#[derive(Clone, Debug)]
pub struct DurableImage {
    pub(super) groups: BTreeMap<u64, Stored>,
    pub(super) torn: Vec<u8>,
    /// The last position that lies in a table.
    pub(super) packed: Position,
    pub(super) witness: Option<Blocks>,
    /// Where a trimmed journal begins.
    pub(super) base: Option<Base>,
}

/// A group's bytes and the checksum that the store keeps beside them.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) bytes: Vec<u8>,
    crc: u32,
}

impl Stored {
    fn new(group: &Group) -> Self {
        let bytes = group.encode();
        Self { crc: crc32fast::hash(&bytes), bytes }
    }

    fn is_sound(&self) -> bool {
        crc32fast::hash(&self.bytes) == self.crc
    }
}

impl DurableImage {
    /// Stored bytes of all groups.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.groups.values().map(|stored| u64::try_from(stored.bytes.len()).unwrap_or(u64::MAX)).sum()
    }

    /// How many groups are stored.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn put(&mut self, group: &Group) {
        self.groups.insert(group.first.0, Stored::new(group));
    }

    /// Drops what an opening drops: the first damaged group of the log and all after it. Tells whether that was any.
    pub(super) fn replay_log(&mut self) -> bool {
        let torn = !self.torn.is_empty();
        self.torn.clear();
        let mut log = self.groups.range(self.packed.0 + 1..);
        let Some(damaged) = log.find_map(|(&first, stored)| (!stored.is_sound()).then_some(first)) else {
            return torn;
        };
        self.groups.split_off(&damaged);
        true
    }

    /// Lets the log begin where another image's does.
    pub fn log_from(&mut self, other: &Self) {
        self.packed = other.packed;
    }

    /// Flips a bit of a stored group, both counted modulo what there is. Nothing happens to an empty journal.
    pub fn flip(&mut self, group: usize, bit: usize) {
        let count = self.groups.len().max(1);
        if let Some(Stored { bytes, .. }) = self.groups.values_mut().nth(group % count) {
            let bit = bit % (bytes.len() * 8);
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Takes the last `count` groups away, acknowledged or not.
    pub fn cut(&mut self, count: usize) {
        for _ in 0..count {
            self.groups.pop_last();
        }
    }

    /// Takes one group away, counted modulo what there is.
    pub fn remove(&mut self, group: usize) {
        let count = self.groups.len().max(1);
        if let Some(&first) = self.groups.keys().nth(group % count) {
            self.groups.remove(&first);
        }
    }

    /// Lets a read of one group find another one, both counted modulo what there is; tells whether they differ.
    pub fn misdirect(&mut self, group: usize, other: usize) -> bool {
        let count = self.groups.len().max(1);
        let found = self.groups.values().nth(other % count).cloned();
        let place = self.groups.values_mut().nth(group % count);
        if let (Some(place), Some(found)) = (place, found) {
            *place = found;
        }
        group % count != other % count
    }

    /// One of the groups, counted modulo what there is.
    #[must_use]
    pub fn group(&self, group: usize) -> Option<Group> {
        let stored = self.groups.values().nth(group % self.groups.len().max(1))?;
        Group::decode(&stored.bytes).ok()
    }

    /// Puts another group in the place of one: an edit by somebody who can compute hashes.
    pub fn replace(&mut self, group: &Group) {
        self.put(group);
    }

    /// Flips a bit of one of the two slots of the witness, within its content.
    pub fn flip_witness(&mut self, slot: usize, bit: usize) {
        let block = self.witness.as_mut().and_then(|blocks| blocks.0.get_mut(slot % 2));
        if let Some(byte) = block.and_then(|block| block.get_mut((bit / 8) % Witness::CONTENT_BYTES)) {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// Takes the first `count` groups away, as no trim would.
    pub fn cut_front(&mut self, count: usize) {
        for _ in 0..count {
            self.groups.pop_first();
        }
    }

    /// Where a trimmed journal begins.
    #[must_use]
    pub const fn base(&self) -> Option<Base> {
        self.base
    }

    /// Says that the journal begins elsewhere: an edit by somebody who can compute hashes.
    pub fn replace_base(&mut self, base: Option<Base>) {
        self.base = base;
    }

    /// Takes the witness away.
    pub fn remove_witness(&mut self) {
        self.witness = None;
    }
}

/// A place among groups in memory.
pub(super) struct MemoryCursor<'a> {
    groups: &'a BTreeMap<u64, Stored>,
    range: btree_map::Range<'a, u64, Stored>,
    here: Option<([u8; 8], &'a [u8])>,
}

impl<'a> MemoryCursor<'a> {
    pub(super) fn new(groups: &'a BTreeMap<u64, Stored>) -> Self {
        let mut cursor = Self { groups, range: groups.range(..), here: None };
        cursor.advance();
        cursor
    }
}

impl Cursor for MemoryCursor<'_> {
    fn seek(&mut self, position: Position) {
        let start = self.groups.range(..=position.0).next_back().map_or(0, |(&first, _)| first);
        self.range = self.groups.range(start..);
        self.advance();
    }

    fn entry(&mut self) -> Result<Option<Entry<'_>>, String> {
        Ok(self.here.as_ref().map(|(key, bytes)| (key.as_slice(), *bytes)))
    }

    fn advance(&mut self) {
        self.here = self.range.next().map(|(first, stored)| (first.to_be_bytes(), stored.bytes.as_slice()));
    }
}

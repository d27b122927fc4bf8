//! The journal of the simulation: in memory, with the faults of real disks on command.
//!
//! Owns an image of what a disk would hold: stored groups, a torn end, the witness's blocks. Never chooses a fault by
//! itself: the caller's seed does. Invariant: it goes through the checks of the stored journal, in `check.rs`,
//! and refuses what that one refuses.

use std::collections::{BTreeMap, btree_map};

use super::{
    Base, Checkpoint, Group, Head, Journal, JournalError, JournalOptions, Trim,
    check::{Known, check, check_follows},
    walk::{Cursor, Entry, read_to},
    witness::{Blocks, Witness},
};
use crate::model::Position;

/// What happens to the next append or trim; a trim happens with the faults that make a group durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write or its sync fails and nothing is durable.
    Lost,
    /// The write fails when this many bytes of the group (fewer than all) are durable.
    Torn {
        /// How many bytes of the group reached the disk.
        bytes: usize,
    },
    /// The group is durable, then the sync reports an error; the witness is not written.
    Unreported,
    /// The group is durable, the witness's block is half written.
    WitnessTorn,
    /// The group and the witness are durable, then an error is reported.
    UnreportedAfterWitness,
}

/// What a disk holds when the power goes: the part of a journal that outlives its process.
///
/// Like the real store it has a log, which holds what was appended since the last opening, and tables for what is older.
/// Damage in the log makes the next opening drop it and all after it; damage in a table is an error.
#[derive(Clone, Debug)]
pub struct DurableImage {
    groups: BTreeMap<u64, Stored>,
    torn: Vec<u8>,
    /// The last position that lies in a table.
    packed: Position,
    witness: Option<Blocks>,
    /// Where a trimmed journal begins.
    base: Option<Base>,
}

/// A group's bytes and the checksum that the store keeps beside them.
#[derive(Clone, Debug)]
struct Stored {
    bytes: Vec<u8>,
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

/// A journal in memory that fails on command.
#[derive(Debug)]
pub struct FaultyJournal {
    disk: DurableImage,
    head: Head,
    last: Witness,
    next: Option<Fault>,
    stale: usize,
    failed: bool,
}

impl Default for FaultyJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        let first = Witness::default();
        let disk = DurableImage {
            groups: BTreeMap::new(),
            torn: Vec::new(),
            packed: Position::ZERO,
            witness: Some(Blocks::new(first)),
            base: None,
        };
        Self { disk, head: Head::default(), last: first, next: None, stale: 0, failed: false }
    }

    /// Opens what a crash left, with the checks of the stored journal. `index` is the index's watermark.
    ///
    /// # Errors
    /// As [`super::rocks::RocksJournal::open`]; the image is then what it was (take a copy to go on with it).
    pub fn reopen(image: DurableImage, index: Checkpoint) -> Result<Self, JournalError> {
        Self::reopen_with(image, &JournalOptions::default(), index)
    }

    /// As [`FaultyJournal::reopen`], with options.
    ///
    /// # Errors
    /// As [`FaultyJournal::reopen`].
    pub fn reopen_with(
        mut image: DurableImage,
        options: &JournalOptions,
        index: Checkpoint,
    ) -> Result<Self, JournalError> {
        let found = image.witness.as_ref().map(Blocks::newest).transpose()?;
        let torn = image.replay_log();
        let whole = image.bytes() <= options.full_check_bytes_max;
        let known = Known { witness: found, base: image.base, index: Some(index) };
        let report = check(Some(MemoryCursor::new(&image.groups)), known, whole, &mut |_| Ok(()))?;
        if torn {
            tracing::warn!(
                position = report.head.position.0,
                "the journal ended in an incomplete group that was never acknowledged; it was dropped after this position"
            );
        }
        image.packed = report.head.position;
        let last = found.unwrap_or_default();
        if found.is_none() {
            image.witness = Some(Blocks::new(last));
        }
        let mut journal = Self { disk: image, head: report.head, last, next: None, stale: 0, failed: false };
        if report.head.position > report.witnessed.position {
            journal.write_witness(report.head, last.sealed);
        }
        Ok(journal)
    }

    /// Makes the next append fail.
    pub const fn fail_next(&mut self, fault: Fault) {
        self.next = Some(fault);
    }

    /// Makes reads miss the last `groups` groups, as stale pages of a cache would, until it is called with 0.
    pub const fn stale_reads(&mut self, groups: usize) {
        self.stale = groups;
    }

    /// The process is gone; what is left.
    #[must_use]
    pub fn crash(self) -> DurableImage {
        self.disk
    }

    /// What would be left by a crash now.
    #[must_use]
    pub const fn durable(&self) -> &DurableImage {
        &self.disk
    }

    /// The disk while the journal is open, for damage at rest.
    pub const fn disk(&mut self) -> &mut DurableImage {
        &mut self.disk
    }

    fn front(&self) -> Head {
        self.disk.base.map_or(Head::default(), |base| base.head)
    }

    fn write_witness(&mut self, head: Head, sealed: Checkpoint) {
        self.last = self.last.next(head, sealed);
        if let Some(blocks) = &mut self.disk.witness {
            blocks.put(self.last);
        }
    }

    /// Does to the disk what `fault` does with a group.
    fn fail(&mut self, group: &Group, sealed: Checkpoint, fault: Fault) {
        match fault {
            Fault::Lost => {}
            Fault::Torn { bytes: durable } => {
                let mut bytes = group.encode();
                bytes.truncate(durable.min(bytes.len() - 1));
                self.disk.torn = bytes;
            }
            Fault::Unreported => self.disk.put(group),
            Fault::WitnessTorn => {
                self.disk.put(group);
                let next = self.last.next(group.head(), sealed);
                self.disk.flip_witness(next.slot(), 200);
            }
            Fault::UnreportedAfterWitness => {
                self.disk.put(group);
                self.write_witness(group.head(), sealed);
            }
        }
    }
}

impl Journal for FaultyJournal {
    /// # Panics
    /// If an append has failed before: the first `Err` is the last call.
    fn append(&mut self, group: &Group, sealed: Checkpoint) -> Result<(), JournalError> {
        assert!(!self.failed, "nothing is appended after an error");
        check_follows(group, self.head);
        if let Some(fault) = self.next.take() {
            self.failed = true;
            self.fail(group, sealed, fault);
            return Err(JournalError::Storage(format!("injected: {fault:?}")));
        }
        self.disk.put(group);
        self.head = group.head();
        self.write_witness(self.head, sealed);
        Ok(())
    }

    fn head(&self) -> Head {
        self.head
    }

    fn read(
        &self,
        after: Position,
        visit: &mut dyn FnMut(Group) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let visible = self.disk.groups.len().saturating_sub(self.stale);
        match self.disk.groups.keys().nth(visible) {
            None => {
                read_to(MemoryCursor::new(&self.disk.groups), self.front(), after, Some(self.head), visit)
            }
            Some(end) => {
                let groups =
                    self.disk.groups.range(..end).map(|(&first, stored)| (first, stored.clone())).collect();
                read_to(MemoryCursor::new(&groups), self.front(), after, Some(self.head), visit)
            }
        }
    }

    fn base(&self) -> Option<Base> {
        self.disk.base
    }

    fn trim(&mut self, trim: Trim, sealed: Checkpoint) -> Result<(), JournalError> {
        assert!(!self.failed, "nothing is trimmed after an error");
        let fault = self.next.take();
        self.failed = fault.is_some();
        let mut cursor = MemoryCursor::new(&self.disk.groups);
        let base = Base::after(self.front(), &mut cursor, trim, sealed)?;
        let durable = match fault {
            Some(Fault::Lost | Fault::Torn { .. }) => false,
            Some(Fault::Unreported | Fault::WitnessTorn | Fault::UnreportedAfterWitness) | None => true,
        };
        self.write_witness(self.head, sealed);
        if let Some(base) = base.filter(|_| durable) {
            self.disk.groups = self.disk.groups.split_off(&base.head.position.next().0);
            self.disk.base = Some(base);
        }
        fault.map_or(Ok(()), |fault| Err(JournalError::Storage(format!("injected: {fault:?}"))))
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

    fn put(&mut self, group: &Group) {
        self.groups.insert(group.first.0, Stored::new(group));
    }

    /// Drops what an opening drops: the first damaged group of the log and all after it. Tells whether that was any.
    fn replay_log(&mut self) -> bool {
        let torn = !self.torn.is_empty();
        self.torn.clear();
        let mut log = self.groups.range(self.packed.0 + 1..);
        let Some(damaged) = log.find_map(|(&first, stored)| (!stored.is_sound()).then_some(first)) else {
            return torn;
        };
        self.groups.split_off(&damaged);
        true
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
struct MemoryCursor<'a> {
    groups: &'a BTreeMap<u64, Stored>,
    range: btree_map::Range<'a, u64, Stored>,
    here: Option<([u8; 8], &'a [u8])>,
}

impl<'a> MemoryCursor<'a> {
    fn new(groups: &'a BTreeMap<u64, Stored>) -> Self {
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

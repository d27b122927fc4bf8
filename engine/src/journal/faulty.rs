//! The journal of the simulation: in memory, with the faults of real disks on command.
//!
//! Owns the open journal; the disk is an [`DurableImage`]. Never chooses a fault by
//! itself: the caller's seed does. Invariant: it goes through the checks of the stored journal, in `check.rs`,
//! and refuses what that one refuses.

mod image;

use std::collections::BTreeMap;

pub use image::DurableImage;
use image::MemoryCursor;

use super::{
    Base, Checkpoint, Group, Head, Journal, JournalError, JournalOptions, Trim,
    check::{Known, check, check_follows},
    walk::read_to,
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
    /// The file system is full when this many bytes of the group (fewer than all) are durable.
    Full {
        /// How many bytes of the group reached the disk.
        bytes: usize,
    },
    /// The write fails when the group is durable but for a hole, which holds what was there before.
    Hole {
        /// Where the hole begins, modulo the group's length.
        at: usize,
    },
    /// The group is durable, then the sync reports an error; the witness is not written.
    Unreported,
    /// The group is durable, the witness's block is half written.
    WitnessTorn,
    /// The group and the witness are durable, then an error is reported.
    UnreportedAfterWitness,
}

impl Fault {
    fn error(self) -> JournalError {
        JournalError::Storage(format!("injected: {self:?}"))
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

    /// What was asked of [`FaultyJournal::fail_next`] and has not happened does not happen.
    pub const fn forget_fault(&mut self) {
        self.next = None;
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
            Fault::Torn { bytes: durable } | Fault::Full { bytes: durable } => {
                let mut bytes = group.encode();
                bytes.truncate(durable.min(bytes.len() - 1));
                self.disk.torn = bytes;
            }
            Fault::Hole { at } => {
                self.disk.put(group);
                if let Some(stored) = self.disk.groups.get_mut(&group.first.0) {
                    let at = at % stored.bytes.len();
                    stored.bytes.iter_mut().skip(at).take(512).for_each(|byte| *byte = !*byte);
                }
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
            return Err(fault.error());
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
            Some(Fault::Lost | Fault::Torn { .. } | Fault::Full { .. } | Fault::Hole { .. }) => false,
            Some(Fault::Unreported | Fault::WitnessTorn | Fault::UnreportedAfterWitness) | None => true,
        };
        self.write_witness(self.head, sealed);
        if let Some(base) = base.filter(|_| durable) {
            self.disk.groups = self.disk.groups.split_off(&base.head.position.next().0);
            self.disk.base = Some(base);
        }
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }
}

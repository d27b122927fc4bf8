//! The index's store of the simulation: maps in memory that outlive a process, and fail on command.
//!
//! Owns the disks of a thread, by directory, and what was staged on them and not yet committed. Never chooses a fault by
//! itself. Invariant: as with RocksDB a crash leaves the state after some commit; what was staged later is there or not.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use crossbeam::{atomic::AtomicCell, queue::SegQueue};
use crossbeam_skiplist::{SkipMap, map::Entry};

use super::Family;
use crate::index::IndexError;

type Bytes = Arc<[u8]>;
type Entries = SkipMap<Bytes, Bytes>;

std::thread_local! {
    static DISKS: RefCell<BTreeMap<PathBuf, Arc<Disk>>> = const { RefCell::new(BTreeMap::new()) };
}

/// What happens to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The next commit fails, and nothing of it is durable.
    CommitLost,
    /// The next commit fails when all of it is durable.
    CommitUnreported,
    /// The next look-up meets a block whose checksum is wrong.
    ReadDamaged,
    /// The next look-up fails.
    ReadFailed,
}

/// What lies in a directory.
#[derive(Default)]
pub(crate) struct Disk {
    families: [Entries; Family::ALL.len()],
    /// What was before each change since the last commit.
    undo: SegQueue<(Family, Bytes, Option<Bytes>)>,
    fault: AtomicCell<Option<Fault>>,
}

/// The disk of a directory, if something was written there.
pub(crate) fn disk(directory: &Path) -> Option<Arc<Disk>> {
    DISKS.with_borrow(|disks| disks.get(directory).cloned())
}

/// Takes a disk out of its directory.
pub(crate) fn take(directory: &Path) -> Option<Arc<Disk>> {
    DISKS.with_borrow_mut(|disks| disks.remove(directory))
}

/// Lays a disk into a directory.
pub(crate) fn place(directory: &Path, disk: Arc<Disk>) {
    DISKS.with_borrow_mut(|disks| disks.insert(directory.to_owned(), disk));
}

/// Forgets all disks of this thread.
pub(crate) fn clear() {
    DISKS.with_borrow_mut(BTreeMap::clear);
}

impl Disk {
    /// The same content on a disk of its own, without what is not committed.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::default();
        for (from, to) in self.families.iter().zip(&copy.families) {
            for entry in from {
                to.insert(Arc::clone(entry.key()), Arc::clone(entry.value()));
            }
        }
        let mut undo = Vec::new();
        while let Some(change) = self.undo.pop() {
            undo.push(change);
        }
        undo.iter().cloned().for_each(|change| self.undo.push(change));
        copy.revert(undo);
        copy
    }

    /// The power goes: what was not committed is lost.
    pub(crate) fn lose_staged(&self) {
        let mut undo = Vec::new();
        while let Some(change) = self.undo.pop() {
            undo.push(change);
        }
        self.revert(undo);
    }

    /// What was staged has reached the disk.
    pub(crate) fn keep_staged(&self) {
        while self.undo.pop().is_some() {}
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.fault.store(Some(fault));
    }

    /// Whether a fault that was asked for has not happened; it does not happen any more.
    pub(crate) fn take_fault(&self) -> bool {
        self.fault.take().is_some()
    }

    fn revert(&self, undo: Vec<(Family, Bytes, Option<Bytes>)>) {
        for (family, key, value) in undo.into_iter().rev() {
            match value {
                Some(value) => drop(self.entries(family).insert(key, value)),
                None => drop(self.entries(family).remove(&key)),
            }
        }
    }

    #[allow(clippy::indexing_slicing, reason = "there are as many as there are families")]
    fn entries(&self, family: Family) -> &Entries {
        &self.families[family as usize]
    }

    fn change(&self, family: Family, key: Bytes, value: Option<Bytes>) {
        let entries = self.entries(family);
        let before = entries.get(&key).map(|entry| Arc::clone(entry.value()));
        self.undo.push((family, Arc::clone(&key), before));
        match value {
            Some(value) => drop(entries.insert(key, value)),
            None => drop(entries.remove(&key)),
        }
    }

    /// A look-up's fault, if it is its turn.
    fn read(&self) -> Result<(), IndexError> {
        match self.fault.load() {
            Some(Fault::ReadDamaged) => {
                self.fault.store(None);
                Err(IndexError::damaged("injected: a block's checksum does not match"))
            }
            Some(Fault::ReadFailed) => {
                self.fault.store(None);
                Err(IndexError::Storage("injected: a read fails".into()))
            }
            Some(Fault::CommitLost | Fault::CommitUnreported) | None => Ok(()),
        }
    }
}

/// The open store.
pub(in crate::index) struct Store(Arc<Disk>);

/// Changes in their order; nothing stands for a deletion.
#[derive(Default)]
pub(in crate::index) struct Batch(Vec<(Family, Bytes, Option<Bytes>)>);

impl Batch {
    pub(in crate::index) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.0.push((family, key.into(), Some(value.into())));
    }

    pub(in crate::index) fn delete(&mut self, family: Family, key: &[u8]) {
        self.0.push((family, key.into(), None));
    }
}

impl Store {
    pub(in crate::index) fn open(directory: &Path) -> Result<Self, IndexError> {
        let disk = disk(directory).unwrap_or_default();
        disk.read()?;
        place(directory, Arc::clone(&disk));
        Ok(Self(disk))
    }

    pub(in crate::index) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.0.read()?;
        Ok(self.0.entries(family).get(key).map(|entry| entry.value().to_vec()))
    }

    pub(in crate::index) fn walk(&self, family: Family) -> Walk<'_> {
        Walk { disk: &self.0, entries: self.0.entries(family), here: None }
    }

    /// Of what is there now: no batch puts what it deletes.
    pub(in crate::index) fn delete_range(&self, batch: &mut Batch, family: Family, from: &[u8], to: &[u8]) {
        let range = (Bound::Included(from), Bound::Excluded(to));
        let keys = self.0.entries(family).range::<[u8], _>(range).map(|entry| Arc::clone(entry.key()));
        batch.0.extend(keys.map(|key| (family, key, None)));
    }

    pub(in crate::index) fn stage(&self, batch: Batch) -> Result<(), IndexError> {
        batch.0.into_iter().for_each(|(family, key, value)| self.0.change(family, key, value));
        Ok(())
    }

    pub(in crate::index) fn commit(&self, batch: Batch) -> Result<(), IndexError> {
        let failed = |fault: Fault| Err(IndexError::Storage(format!("injected: {fault:?}")));
        match self.0.fault.load() {
            Some(fault @ Fault::CommitLost) => {
                self.0.fault.store(None);
                self.0.lose_staged();
                failed(fault)
            }
            Some(fault @ Fault::CommitUnreported) => {
                self.0.fault.store(None);
                self.apply(batch)?;
                failed(fault)
            }
            Some(Fault::ReadDamaged | Fault::ReadFailed) | None => self.apply(batch),
        }
    }

    fn apply(&self, batch: Batch) -> Result<(), IndexError> {
        self.stage(batch)?;
        self.0.keep_staged();
        Ok(())
    }
}

/// A place in a family.
pub(in crate::index) struct Walk<'a> {
    disk: &'a Disk,
    entries: &'a Entries,
    here: Option<Entry<'a, Bytes, Bytes>>,
}

impl Walk<'_> {
    pub(in crate::index) fn to(&mut self, key: &[u8]) -> Result<(), IndexError> {
        self.disk.read()?;
        self.here = self.entries.lower_bound(Bound::Included(key));
        Ok(())
    }

    pub(in crate::index) fn go_to_at_most(&mut self, key: &[u8]) -> Result<(), IndexError> {
        self.disk.read()?;
        self.here = self.entries.upper_bound(Bound::Included(key));
        Ok(())
    }

    pub(in crate::index) fn step(&mut self) -> Result<(), IndexError> {
        self.here = self.here.as_ref().and_then(Entry::next);
        Ok(())
    }

    pub(in crate::index) fn item(&self) -> Option<(&[u8], &[u8])> {
        self.here.as_ref().map(|entry| (entry.key().as_ref(), entry.value().as_ref()))
    }
}

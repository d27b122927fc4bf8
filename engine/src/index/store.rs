//! The index's store: families of keys and values, written together.
//!
//! Owns the families, the keys, and the way to the store below: RocksDB (`rocks`), or the simulation's memory. Never
//! interprets a value. Invariant: [`Store::commit`] makes one batch durable with all that was staged before, so that a
//! crash leaves the state after some commit, never one in between.

#[cfg(feature = "simulation")]
pub(crate) mod memory;
mod rocks;

use std::path::Path;

use super::{IndexError, IndexOptions};
use crate::model::Position;

/// The column families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// First position → block of records.
    Records,
    /// Run, first id → block of ids.
    Ids,
    /// Segment, account, first position → block of postings.
    Postings,
    /// First position → block of account openings.
    Openings,
    /// Page → the states of 64 accounts.
    Accounts,
    /// Account, kind → a cell.
    Cells,
    /// Hold id → an ended hold.
    Holds,
    /// Hold id → a hold that lives at the watermark.
    LiveHolds,
    /// Transaction, operation → reversed total.
    Reversed,
    /// Run → filter of its ids.
    Filters,
    /// Format, watermark, segments, runs, totals.
    Meta,
}

impl Family {
    pub(super) const ALL: [Self; 11] = [
        Self::Records,
        Self::Ids,
        Self::Postings,
        Self::Openings,
        Self::Accounts,
        Self::Cells,
        Self::Holds,
        Self::LiveHolds,
        Self::Reversed,
        Self::Filters,
        Self::Meta,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Ids => "ids",
            Self::Postings => "postings",
            Self::Openings => "openings",
            Self::Accounts => "accounts",
            Self::Cells => "cells",
            Self::Holds => "holds",
            Self::LiveHolds => "live_holds",
            Self::Reversed => "reversed",
            Self::Filters => "filters",
            Self::Meta => "meta",
        }
    }
}

/// The open store.
pub(super) enum Store {
    Rocks(rocks::Store),
    #[cfg(feature = "simulation")]
    Memory(memory::Store),
}

/// Changes that become durable together.
#[derive(Default)]
pub(super) struct Batch {
    rocks: rocks::Batch,
    #[cfg(feature = "simulation")]
    memory: memory::Batch,
}

impl Store {
    /// Opens the store, or makes it.
    pub(super) fn open(dir: &Path, options: &IndexOptions) -> Result<Self, IndexError> {
        #[cfg(feature = "simulation")]
        if options.in_memory {
            return memory::Store::open(dir).map(Self::Memory);
        }
        rocks::Store::open(dir, options).map(Self::Rocks)
    }

    /// Opens an existing store without the right to write.
    pub(super) fn open_read_only(dir: &Path, options: &IndexOptions) -> Result<Self, IndexError> {
        #[cfg(feature = "simulation")]
        if options.in_memory {
            return memory::Store::open(dir).map(Self::Memory);
        }
        rocks::Store::open_read_only(dir, options).map(Self::Rocks)
    }

    pub(super) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match self {
            Self::Rocks(store) => store.get(family, key),
            #[cfg(feature = "simulation")]
            Self::Memory(store) => store.get(family, key),
        }
    }

    pub(super) fn walk(&self, family: Family) -> Walk<'_> {
        match self {
            Self::Rocks(store) => Walk::Rocks(store.walk(family)),
            #[cfg(feature = "simulation")]
            Self::Memory(store) => Walk::Memory(store.walk(family)),
        }
    }

    /// A walk over most of a family: reads ahead, and leaves the cache to others.
    pub(super) fn scan(&self, family: Family) -> Walk<'_> {
        match self {
            Self::Rocks(store) => Walk::Rocks(store.scan(family)),
            #[cfg(feature = "simulation")]
            Self::Memory(store) => Walk::Memory(store.walk(family)),
        }
    }

    /// The store as it is now, whatever is written later.
    pub(super) fn frozen(&self) -> Frozen<'_> {
        match self {
            Self::Rocks(store) => Frozen::Rocks(store.frozen()),
            #[cfg(feature = "simulation")]
            Self::Memory(store) => Frozen::Memory(store),
        }
    }

    pub(super) fn put(&self, batch: &mut Batch, family: Family, key: &[u8], value: &[u8]) {
        match self {
            Self::Rocks(store) => store.put(&mut batch.rocks, family, key, value),
            #[cfg(feature = "simulation")]
            Self::Memory(_) => batch.memory.put(family, key, value),
        }
    }

    pub(super) fn delete(&self, batch: &mut Batch, family: Family, key: &[u8]) {
        match self {
            Self::Rocks(store) => store.delete(&mut batch.rocks, family, key),
            #[cfg(feature = "simulation")]
            Self::Memory(_) => batch.memory.delete(family, key),
        }
    }

    /// Deletes the keys from `from` on and before `to`.
    pub(super) fn delete_range(&self, batch: &mut Batch, family: Family, from: &[u8], to: &[u8]) {
        match self {
            Self::Rocks(store) => store.delete_range(&mut batch.rocks, family, from, to),
            #[cfg(feature = "simulation")]
            Self::Memory(store) => store.delete_range(&mut batch.memory, family, from, to),
        }
    }

    /// Writes without making durable: for what nothing refers to before a later [`Store::commit`].
    pub(super) fn stage(&self, batch: Batch) -> Result<(), IndexError> {
        match self {
            Self::Rocks(store) => store.stage(batch.rocks),
            #[cfg(feature = "simulation")]
            Self::Memory(store) => store.stage(batch.memory),
        }
    }

    /// Writes and makes durable, with all that was staged before.
    pub(super) fn commit(&self, batch: Batch) -> Result<(), IndexError> {
        match self {
            Self::Rocks(store) => store.commit(batch.rocks),
            #[cfg(feature = "simulation")]
            Self::Memory(store) => store.commit(batch.memory),
        }
    }
}

/// The store as it was.
pub(super) enum Frozen<'a> {
    Rocks(rocks::Frozen<'a>),
    /// One thread: nothing is written while somebody reads.
    #[cfg(feature = "simulation")]
    Memory(&'a memory::Store),
}

impl Frozen<'_> {
    pub(super) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match self {
            Self::Rocks(frozen) => frozen.get(family, key),
            #[cfg(feature = "simulation")]
            Self::Memory(store) => store.get(family, key),
        }
    }

    pub(super) fn walk(&self, family: Family) -> Walk<'_> {
        match self {
            Self::Rocks(frozen) => Walk::Rocks(frozen.walk(family)),
            #[cfg(feature = "simulation")]
            Self::Memory(store) => Walk::Memory(store.walk(family)),
        }
    }
}

/// A walk through a family in the order of its keys.
pub(super) enum Walk<'a> {
    Rocks(rocks::Walk<'a>),
    #[cfg(feature = "simulation")]
    Memory(memory::Walk<'a>),
}

impl Walk<'_> {
    pub(super) fn go_to_first(&mut self) -> Result<(), IndexError> {
        match self {
            Self::Rocks(walk) => walk.go_to_first(),
            #[cfg(feature = "simulation")]
            Self::Memory(walk) => walk.to(&[]),
        }
    }

    /// To the first key at or after `key`.
    pub(super) fn to(&mut self, key: &[u8]) -> Result<(), IndexError> {
        match self {
            Self::Rocks(walk) => walk.to(key),
            #[cfg(feature = "simulation")]
            Self::Memory(walk) => walk.to(key),
        }
    }

    /// To the last key at or before `key`.
    pub(super) fn go_to_at_most(&mut self, key: &[u8]) -> Result<(), IndexError> {
        match self {
            Self::Rocks(walk) => walk.go_to_at_most(key),
            #[cfg(feature = "simulation")]
            Self::Memory(walk) => walk.go_to_at_most(key),
        }
    }

    pub(super) fn step(&mut self) -> Result<(), IndexError> {
        match self {
            Self::Rocks(walk) => walk.step(),
            #[cfg(feature = "simulation")]
            Self::Memory(walk) => walk.step(),
        }
    }

    /// The entry, unless the walk is at an end.
    pub(super) fn item(&self) -> Option<(&[u8], &[u8])> {
        match self {
            Self::Rocks(walk) => walk.item(),
            #[cfg(feature = "simulation")]
            Self::Memory(walk) => walk.item(),
        }
    }
}

/// Keys of blocks that start at a position.
pub(super) fn position_key(position: Position) -> [u8; 8] {
    position.0.to_be_bytes()
}

/// The position of such a key.
pub(super) fn key_position(key: &[u8]) -> Result<Position, IndexError> {
    let bytes = key.try_into().map_err(|_| IndexError::damaged("a key is no position"))?;
    Ok(Position(u64::from_be_bytes(bytes)))
}

/// Keys of a transaction's operation.
pub(super) fn operation_key(transaction: u128, operation: u8) -> [u8; 17] {
    let mut key = [operation; 17];
    if let Some(id) = key.first_chunk_mut::<16>() {
        *id = transaction.to_be_bytes();
    }
    key
}

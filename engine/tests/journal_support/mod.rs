//! Small journals, and the digest of a directory, for the journal's tests.
#![allow(dead_code, clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use yue_engine::{
    journal::{Checkpoint, Group, Head, Journal, JournalError, JournalOptions, Record, rocks::RocksJournal},
    model::{AccountNo, Amount, HoldId, Position, Timestamp},
};

/// A directory in memory if the machine has that: these tests look at bytes, not at the disk.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn options() -> JournalOptions {
    JournalOptions { write_buffer_bytes: 1 << 20, ..JournalOptions::default() }
}

/// A group of `count` records behind `head`.
pub(crate) fn group(head: Head, count: u32) -> Group {
    let mut records = Vec::new();
    for index in 0..count {
        let record = Record::HoldExpired {
            hold: HoldId(u128::from(head.position.0) << 8 | u128::from(index)),
            debit: AccountNo(1),
            credit: AccountNo(2),
            held: Amount(500),
            decided_at: Timestamp(1_000),
        };
        Group::frame(&mut records, &record);
    }
    Group::new(head, Timestamp(head.at.0 + 10), count, records)
}

/// Appends groups of these sizes and returns them.
pub(crate) fn append(journal: &mut impl Journal, counts: &[u32], sealed: Checkpoint) -> Vec<Group> {
    counts
        .iter()
        .map(|&count| {
            let group = group(journal.head(), count);
            journal.append(&group, sealed).unwrap();
            group
        })
        .collect()
}

pub(crate) fn open(data: &Path) -> Result<RocksJournal, JournalError> {
    RocksJournal::open(data, &options(), Checkpoint::default())
}

pub(crate) fn read(journal: &impl Journal, after: u64) -> Result<Vec<Group>, JournalError> {
    let mut groups = Vec::new();
    journal.read(Position(after), &mut |group| {
        groups.push(group);
        Ok(())
    })?;
    Ok(groups)
}

fn files(directory: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            files(&path, found);
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

/// Every name and every byte below a directory.
pub(crate) fn image(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(directory, &mut found);
    found
}

/// Makes a directory what it was when its image was taken.
pub(crate) fn restore(directory: &Path, image: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(directory).unwrap();
    fs::create_dir_all(directory.join("journal")).unwrap();
    for (path, bytes) in image {
        if !path.is_dir() {
            fs::write(path, bytes).unwrap();
        }
    }
}

/// The files of the store with this ending, oldest first.
pub(crate) fn store_files(data: &Path, ending: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(data.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    paths.sort();
    paths
}

/// Opens what must be refused, and checks that not a byte or a name has changed.
pub(crate) fn refused(data: &Path, index: Checkpoint) -> JournalError {
    let before = image(data);
    let error = RocksJournal::open(data, &options(), index).err().expect("the journal must be refused");
    assert!(before == image(data), "files changed although the journal was refused: {error}");
    error
}

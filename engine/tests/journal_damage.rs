//! The stored journal, cut and flipped byte by byte: it comes back whole up to the witness, or it is refused and left
//! as it was.
//!
//! The log, in which the groups are, is tried at each of its bytes; the other files at some, and with `JOURNAL_DAMAGE_STEP=1` at
//! each, but for the options file.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod journal_support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use journal_support::{append, directory, image, open, options, read, restore, store_files};
use tempfile::TempDir;
use yue_engine::{
    journal::{
        Checkpoint, Group, Hash, Journal, JournalError, JournalOptions,
        rocks::{JournalReader, RocksJournal},
    },
    model::Position,
};

const NO_INDEX: Checkpoint = Checkpoint { position: Position::ZERO, hash: Hash([0; 32]) };
const COUNTS: [u32; 5] = [1, 3, 1, 2, 2];
/// Groups that the witness of [`Sample::behind`] knows.
const WITNESSED: usize = 3;

struct Sample {
    data: TempDir,
    groups: Vec<Group>,
    /// Groups in front of the ones that are tried.
    before: usize,
    /// Where each group that is tried ends in the log.
    ends: Vec<usize>,
    image: BTreeMap<PathBuf, Vec<u8>>,
    log: PathBuf,
    /// The witness of all groups, and one from before the last two.
    witnesses: [Vec<u8>; 2],
}

impl Sample {
    /// A log of its own file, or one that was written over an older one.
    fn new(recycled: bool) -> Self {
        let data = directory();
        let witness = data.path().join("witness");
        let smallest = JournalOptions { write_buffer_bytes: 64 << 10, ..options() };
        let mut journal = RocksJournal::open(data.path(), &smallest, NO_INDEX).unwrap();
        let newest_log = || store_files(data.path(), ".log").pop().unwrap();
        let mut groups = Vec::new();
        if recycled {
            // Until the newest file is an old one: it is longer than what it was given.
            let written_over = |last: &Group| !fs::read(newest_log()).unwrap().ends_with(&last.hash.0);
            while !groups.last().is_some_and(written_over) {
                groups.extend(append(&mut journal, &[200], NO_INDEX));
                assert!(groups.len() < 1_000, "no log file was written over");
            }
        }
        let (before, log, mut behind) = (groups.len(), newest_log(), Vec::new());
        for (index, count) in COUNTS.into_iter().enumerate() {
            if index == WITNESSED {
                behind = fs::read(&witness).unwrap();
            }
            groups.extend(append(&mut journal, &[count], NO_INDEX));
        }
        // As a crash leaves it (closing would cut the log to what was written), at one moment of a flush.
        let image = loop {
            let image = image(data.path());
            if image == journal_support::image(data.path()) {
                break image;
            }
        };
        assert_eq!(log, newest_log());
        drop(journal);
        let witnesses = [image[&witness].clone(), behind];
        // A group's hash is the last that the log has of it.
        let end =
            |group: &Group| image[&log].windows(32).position(|bytes| bytes == group.hash.0).unwrap() + 32;
        let ends: Vec<_> = groups[before..].iter().map(end).collect();
        assert_eq!(image[&log].len() > ends[COUNTS.len() - 1], recycled);
        Self { data, groups, before, ends, image, log, witnesses }
    }

    /// The directory with other bytes in one file, and with one of the two witnesses.
    fn put(&self, path: &Path, bytes: &[u8], witness: usize) {
        restore(self.data.path(), &self.image);
        fs::write(path, bytes).unwrap();
        fs::write(self.data.path().join("witness"), &self.witnesses[witness]).unwrap();
    }
}

/// Opens a damaged directory. `Ok` has all up to the witness and perhaps more; `Err` has changed nothing.
fn outcome(data: &Path, groups: &[Group], witnessed: usize, name: &str) -> Result<usize, JournalError> {
    let before = image(data);
    let verified = JournalReader::open(data, &options()).and_then(|reader| reader.verify(&mut |_| Ok(())));
    assert!(before == image(data), "{name}: verifying changed a file");
    match open(data) {
        Ok(mut journal) => {
            let found = read(&journal, 0).unwrap();
            assert!(
                found.len() >= witnessed && found == groups[..found.len()],
                "{name}: {} groups",
                found.len()
            );
            assert_eq!(verified.unwrap().groups, found.len() as u64, "{name}");
            assert_eq!(journal.head(), found.last().unwrap().head(), "{name}");
            let more = append(&mut journal, &[1, 2], NO_INDEX);
            drop(journal);
            let reader = JournalReader::open(data, &options()).unwrap();
            let report = reader.verify(&mut |_| Ok(())).unwrap();
            assert_eq!((report.head, report.groups), (more[1].head(), found.len() as u64 + 2), "{name}");
            Ok(found.len())
        }
        Err(error) => {
            assert!(before == image(data), "{name}: files changed although the journal was refused: {error}");
            assert!(verified.is_err(), "{name}: {error}");
            Err(error)
        }
    }
}

fn step(otherwise: usize) -> usize {
    std::env::var("JOURNAL_DAMAGE_STEP").ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

impl Sample {
    /// The places in the log to damage: each, and some behind.
    fn places(&self) -> Vec<usize> {
        let start = if self.before == 0 { 0 } else { self.ends[0] - 100 };
        let end = self.image[&self.log].len().min(self.ends[COUNTS.len() - 1] + 100);
        (start..end).collect()
    }

    /// Groups that end at or before a place of the log.
    fn whole(&self, place: usize) -> usize {
        self.before + self.ends.iter().filter(|&&end| end <= place).count()
    }

    /// Tries the log with other bytes, with either witness: what is whole comes back, or less than the witness knows is
    /// refused.
    fn check(&self, name: &str, bytes: &[u8], whole: usize) {
        for (witness, witnessed) in [(0, self.groups.len()), (1, self.before + WITNESSED)] {
            let name = format!("{name}, {witnessed} groups witnessed");
            self.put(&self.log, bytes, witness);
            match outcome(self.data.path(), &self.groups, witnessed, &name) {
                Ok(found) => assert_eq!(found, whole, "{name}"),
                Err(JournalError::Truncated { found, .. }) => {
                    assert!(whole < witnessed, "{name}: nothing acknowledged was damaged");
                    let last =
                        self.groups[..whole].last().map_or(Position::ZERO, |group| group.head().position);
                    assert_eq!(found, last, "{name}");
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
}

fn check_cuts(recycled: bool) {
    let sample = Sample::new(recycled);
    let sound = &sample.image[&sample.log];
    for length in sample.places() {
        sample.check(&format!("cut at {length} of {}", sound.len()), &sound[..length], sample.whole(length));
    }
}

#[test]
fn the_log_cut_at_every_byte() {
    check_cuts(false);
}

#[test]
fn a_log_written_over_an_older_one_cut_at_every_byte() {
    check_cuts(true);
}

fn check_flips(recycled: bool) {
    let sample = Sample::new(recycled);
    let sound = &sample.image[&sample.log];
    for offset in sample.places() {
        let mut bytes = sound.clone();
        bytes[offset] ^= 1 << (offset % 8);
        sample.check(&format!("flip at {offset} of {}", sound.len()), &bytes, sample.whole(offset));
    }
}

#[test]
fn the_log_flipped_at_every_byte() {
    check_flips(false);
}

#[test]
fn a_log_written_over_an_older_one_flipped_at_every_byte() {
    check_flips(true);
}

#[test]
fn the_log_with_a_hole() {
    // A page that the disk never wrote, in front of one that it did: zeros, or what the file had before.
    for recycled in [false, true] {
        let sample = Sample::new(recycled);
        let sound = &sample.image[&sample.log];
        for group in 1..COUNTS.len() {
            for fill in [0, 0xa5] {
                let mut bytes = sound.clone();
                bytes[sample.ends[group - 1]..sample.ends[group]].fill(fill);
                sample.check(&format!("hole of {fill} at group {group}"), &bytes, sample.before + group);
            }
        }
    }
}

#[test]
fn every_other_file_flipped() {
    // Reopened, the first groups lie in a table; the rest in the log.
    let data = directory();
    let mut groups = Vec::new();
    for counts in [&COUNTS[..2], &COUNTS[2..4], &COUNTS[4..]] {
        let mut journal = RocksJournal::open(data.path(), &options(), NO_INDEX).unwrap();
        groups.extend(append(&mut journal, counts, NO_INDEX));
    }
    let sound = image(data.path());
    assert_eq!(store_files(data.path(), ".sst").len(), 2);
    let mut refused = BTreeMap::<&str, [usize; 2]>::new();
    for (path, bytes) in sound.iter().filter(|(path, _)| path.parent().unwrap().ends_with("journal")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let kind = name.split(['.', '-']).find(|part| !part.starts_with('0')).unwrap();
        // Long, and not read to open a journal.
        let rarely = kind == "OPTIONS";
        let mut damage = |bytes: &[u8], name: &str| {
            restore(data.path(), &sound);
            fs::write(path, bytes).unwrap();
            let outcome = outcome(data.path(), &groups, groups.len(), name);
            refused.entry(kind).or_default()[usize::from(outcome.is_err())] += 1;
        };
        for offset in (0..bytes.len()).step_by(if rarely { 1001 } else { step(13) }) {
            let mut bytes = bytes.clone();
            bytes[offset] ^= 1 << (offset % 8);
            damage(&bytes, &format!("{name} flipped at {offset}"));
        }
        for length in (0..bytes.len()).step_by(if rarely { 1001 } else { step(101) }) {
            damage(&bytes[..length], &format!("{name} cut at {length}"));
        }
        if kind == "MANIFEST" {
            // Kinds of record: RocksDB itself reads for ever on some of them.
            for offset in (0..bytes.len() - 1).filter(|&offset| bytes[offset..].starts_with(&[0, 1])) {
                let mut bytes = bytes.clone();
                bytes[offset + 1] = 5;
                damage(&bytes, &format!("{name} with a record of a recycled log at {offset}"));
            }
        }
    }
    println!("[kept, refused] by kind of file: {refused:?}");
    for kind in ["sst", "log", "MANIFEST", "CURRENT"] {
        assert!(refused[kind][1] > 0, "{kind}: no damage was noticed");
    }
}

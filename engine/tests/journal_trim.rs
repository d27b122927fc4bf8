//! Trims of the stored and of the simulated journal, and what is refused of a journal that was trimmed.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod journal_support;

use journal_support::{append, directory, group, image, options, read, refused, store_files};
use yue_engine::{
    journal::{
        Base, Checkpoint, Group, Head, Journal, JournalError, JournalOptions, PartHead, Record,
        SnapshotContent, SnapshotMark, SnapshotPart, Trim,
        faulty::{DurableImage, Fault, FaultyJournal},
        rocks::{JournalReader, RocksJournal},
    },
    model::{Position, Timestamp},
};

/// A group of one part of a snapshot.
fn part_group(after: Head, as_of: Checkpoint, part: u32, last: bool) -> Group {
    let head = PartHead { as_of, part, last, entries: 0 };
    let content = SnapshotContent::default();
    let mut records = Vec::new();
    Group::frame(
        &mut records,
        &Record::Snapshot(SnapshotPart { head, decided_at: Timestamp(1_000), content }),
    );
    Group::new(after, Timestamp(after.at.0 + 10), 1, records)
}

/// Appends a snapshot of two parts with business between them; gives its mark and the checkpoint behind it.
fn write_snapshot(journal: &mut impl Journal, as_of: Checkpoint) -> (SnapshotMark, Checkpoint) {
    let first = part_group(journal.head(), as_of, 0, false);
    journal.append(&first, Checkpoint::default()).unwrap();
    append(journal, &[2], Checkpoint::default());
    let last = part_group(journal.head(), as_of, 1, true);
    journal.append(&last, Checkpoint::default()).unwrap();
    append(journal, &[1], Checkpoint::default());
    let end = journal.head();
    let sealed = Checkpoint { position: end.position, hash: end.hash };
    (SnapshotMark { as_of, first: first.first, last: last.first, entries: 0 }, sealed)
}

/// Groups that end at 1, 4, 6, 10, 13; a snapshot as of 10.
fn filled(journal: &mut impl Journal) -> (Vec<Group>, SnapshotMark, Checkpoint) {
    let groups = append(journal, &[1, 3, 2, 4, 3], Checkpoint::default());
    let (mark, sealed) = write_snapshot(journal, groups[3].checkpoint());
    (groups, mark, sealed)
}

fn base(journal: &impl Journal) -> u64 {
    journal.base().map_or(0, |base| base.head.position.0)
}

fn check_trims(journal: &mut impl Journal) -> (SnapshotMark, Checkpoint) {
    let (groups, snapshot, sealed) = filled(journal);
    let all = read(journal, 0).unwrap();
    let check = |journal: &mut dyn FnMut(Trim) -> u64, up_to: u64, expected: u64| {
        assert_eq!(journal(Trim { up_to: Position(up_to), snapshot }), expected, "up to {up_to}");
    };
    let mut trim = |trim: Trim| {
        journal.trim(trim, sealed).unwrap();
        base(journal)
    };
    check(&mut trim, 0, 0);
    check(&mut trim, 1, 1);
    check(&mut trim, 3, 1);
    check(&mut trim, 5, 4);
    check(&mut trim, 4, 4);
    check(&mut trim, 2, 4);
    check(&mut trim, 9, 6);
    assert_eq!(journal.base().unwrap().checkpoint(), groups[2].checkpoint());
    assert_eq!(read(journal, 6).unwrap(), all[3..]);
    assert_eq!(read(journal, 11).unwrap(), all[4..]);
    assert!(matches!(read(journal, 5), Err(JournalError::Broken { .. })));
    assert!(matches!(read(journal, 0), Err(JournalError::Broken { .. })));
    (snapshot, sealed)
}

#[test]
fn whole_groups_are_trimmed_from_the_front() {
    let data = directory();
    let mut journal = journal_support::open(data.path()).unwrap();
    let (_, sealed) = check_trims(&mut journal);
    drop(journal);
    let mut journal = RocksJournal::open(data.path(), &options(), sealed).unwrap();
    let left = read(&journal, 6).unwrap();
    assert_eq!(left[0].first, Position(7));
    append(&mut journal, &[2, 1], sealed);
    drop(journal);
    let reader = JournalReader::open(data.path(), &options()).unwrap();
    let report = reader.verify(&mut |_| Ok(())).unwrap();
    assert_eq!((report.from, report.groups), (Position(6), 8));

    let mut journal = FaultyJournal::new();
    let (_, sealed) = check_trims(&mut journal);
    let mut journal = FaultyJournal::reopen(journal.crash(), sealed).unwrap();
    append(&mut journal, &[2], sealed);
    FaultyJournal::reopen(journal.crash(), sealed).unwrap();
}

#[test]
fn an_index_that_does_not_reach_the_beginning_is_refused_and_nothing_is_written() {
    let data = directory();
    let mut journal = journal_support::open(data.path()).unwrap();
    let (groups, snapshot, sealed) = filled(&mut journal);
    let old = groups[1].checkpoint();
    journal.trim(Trim { up_to: Position(6), snapshot }, sealed).unwrap();
    drop(journal);
    for index in [Checkpoint::default(), old] {
        let error = refused(data.path(), index);
        let JournalError::Trimmed { base, index: found } = error else { panic!("{error}") };
        assert_eq!((base, found), (Position(6), index.position));
        assert!(error.to_string().contains("a transaction could take effect twice"), "{error}");
    }
    for index in [groups[2].checkpoint(), groups[3].checkpoint(), sealed] {
        drop(RocksJournal::open(data.path(), &options(), index).unwrap());
    }
    // Also where only what follows a checkpoint is walked.
    let short = JournalOptions { full_check_bytes_max: 0, ..options() };
    let before = image(data.path());
    for index in [Checkpoint::default(), old] {
        let error = RocksJournal::open(data.path(), &short, index).err().unwrap();
        assert!(matches!(error, JournalError::Trimmed { .. }), "{error}");
    }
    assert!(before == image(data.path()));
    for index in [groups[2].checkpoint(), groups[4].checkpoint(), sealed] {
        drop(RocksJournal::open(data.path(), &short, index).unwrap());
    }
}

/// What a trim by anybody else leaves is refused.
#[test]
fn a_front_without_its_snapshot_is_refused() {
    let mut journal = FaultyJournal::new();
    let (groups, snapshot, sealed) = filled(&mut journal);
    let whole = journal.durable().clone();
    journal.trim(Trim { up_to: Position(6), snapshot }, sealed).unwrap();
    let trimmed = journal.crash();
    let short = JournalOptions { full_check_bytes_max: 0, ..JournalOptions::default() };
    let check = |image: &DurableImage, spoil: &dyn Fn(&mut DurableImage), both: bool| {
        let mut image = image.clone();
        spoil(&mut image);
        let opened = FaultyJournal::reopen(image.clone(), sealed).map(|journal| journal.head());
        let error = opened.expect_err("a journal without its front");
        assert!(matches!(error, JournalError::Broken { .. }), "{error}");
        let opened = FaultyJournal::reopen_with(image, &short, sealed);
        assert_eq!(opened.is_err(), both, "walked from the checkpoint: {:?}", opened.map(|it| it.head()));
    };
    let base = trimmed.base().unwrap();
    let forged = |head: Head, snapshot: SnapshotMark| {
        move |image: &mut DurableImage| image.replace_base(Some(Base { head, snapshot }))
    };
    check(&whole, &|image| image.cut_front(1), true);
    check(&whole, &|image| image.cut_front(5), true);
    check(&trimmed, &|image| image.cut_front(1), true);
    check(&trimmed, &|image| image.replace_base(None), true);
    // A base that fits the chain, but names no whole snapshot: seen where the whole chain is walked.
    for snapshot in [
        SnapshotMark { last: Position(16), ..snapshot },
        SnapshotMark { first: snapshot.first.next(), ..snapshot },
        SnapshotMark { entries: 1, ..snapshot },
        SnapshotMark { as_of: groups[4].checkpoint(), ..snapshot },
    ] {
        check(&trimmed, &forged(base.head, snapshot), false);
    }
    // The front is cut behind the state that the snapshot says.
    let behind = groups[4].head();
    let cut = |image: &mut DurableImage| {
        image.cut_front(5);
        forged(behind, SnapshotMark { as_of: groups[4].checkpoint(), ..snapshot })(image);
    };
    check(&whole, &cut, false);
}

#[test]
fn a_trim_that_fails_has_happened_or_not() {
    let check = |fault: Fault, expected: u64| {
        let mut journal = FaultyJournal::new();
        let (_, snapshot, sealed) = filled(&mut journal);
        journal.fail_next(fault);
        assert!(journal.trim(Trim { up_to: Position(6), snapshot }, sealed).is_err());
        let mut journal = FaultyJournal::reopen(journal.crash(), sealed).unwrap();
        assert_eq!(base(&journal), expected, "{fault:?}");
        journal.trim(Trim { up_to: Position(6), snapshot }, sealed).unwrap();
        assert_eq!(base(&journal), 6);
        let next = group(journal.head(), 1);
        journal.append(&next, sealed).unwrap();
        FaultyJournal::reopen(journal.crash(), sealed).unwrap();
    };
    check(Fault::Lost, 0);
    check(Fault::Torn { bytes: 9 }, 0);
    check(Fault::Unreported, 6);
    check(Fault::UnreportedAfterWitness, 6);
}

#[test]
#[should_panic(expected = "the index has what is deleted")]
fn what_the_index_has_not_sealed_is_not_trimmed() {
    let mut journal = FaultyJournal::new();
    let (groups, snapshot, _) = filled(&mut journal);
    drop(journal.trim(Trim { up_to: Position(6), snapshot }, groups[4].checkpoint()));
}

#[test]
fn the_room_of_what_is_trimmed_comes_back() {
    let data = directory();
    let mut journal = journal_support::open(data.path()).unwrap();
    let big = [2_000; 40];
    let groups = append(&mut journal, &big, Checkpoint::default());
    let (snapshot, sealed) = write_snapshot(&mut journal, groups[39].checkpoint());
    let bytes = |data: &std::path::Path| -> u64 {
        store_files(data, ".sst").iter().map(|path| path.metadata().unwrap().len()).sum()
    };
    let before = bytes(data.path());
    journal.trim(Trim { up_to: groups[39].head().position, snapshot }, sealed).unwrap();
    // Waits for the run that gives the room back.
    drop(journal);
    assert!(bytes(data.path()) * 10 < before, "{} of {before} bytes are left", bytes(data.path()));
    let mut journal = RocksJournal::open(data.path(), &options(), sealed).unwrap();
    assert_eq!(base(&journal), groups[39].head().position.0);
    assert_eq!(read(&journal, base(&journal)).unwrap().len(), 4);
    append(&mut journal, &big, sealed);
    drop(journal);
    drop(RocksJournal::open(data.path(), &options(), sealed).unwrap());
}

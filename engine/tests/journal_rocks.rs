//! The stored journal: what it keeps, what it refuses, and that it leaves alone what it refuses.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation
)]

mod journal_support;

use std::fs;

use journal_support::{append, directory, group, image, open, options, read, refused, restore, store_files};
use yue_engine::{
    journal::{
        Checkpoint, Group, Hash, Head, Journal, JournalError, JournalOptions,
        rocks::{JournalReader, RocksJournal},
    },
    model::{Position, Timestamp},
};

const NO_INDEX: Checkpoint = Checkpoint { position: Position::ZERO, hash: Hash([0; 32]) };
const COUNTS: [u32; 6] = [1, 3, 2, 1, 4, 2];

fn edit(data: &std::path::Path, change: impl FnOnce(&rocksdb::DB)) {
    let db = rocksdb::DB::open(&rocksdb::Options::default(), data.join("journal")).unwrap();
    change(&db);
    db.flush().unwrap();
}

#[test]
fn keeps_what_was_appended() {
    let data = directory();
    let data = data.path().join("made/on/the/way");
    let mut journal = open(&data).unwrap();
    assert_eq!(journal.head(), Head::default());
    let mut groups = append(&mut journal, &COUNTS, NO_INDEX);
    for _ in 0..3 {
        assert_eq!(read(&journal, 0).unwrap(), groups);
        assert_eq!(journal.head(), groups.last().unwrap().head());
        drop(journal);
        journal = open(&data).unwrap();
        groups.extend(append(&mut journal, &[5], groups[1].checkpoint()));
    }
    assert_eq!(journal.head().position, Position(13 + 3 * 5));
    let mut seen = Vec::new();
    journal
        .reader()
        .read(Position(2), &mut |group| {
            seen.push(group.first.0);
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [2, 5, 7, 8, 12, 14, 19, 24]);
    for after in 0..30 {
        let expected: Vec<_> =
            groups.iter().filter(|group| group.head().position.0 > after).cloned().collect();
        assert_eq!(read(&journal, after).unwrap(), expected, "after {after}");
    }
    drop(journal);
    let before = image(&data);
    let reader = JournalReader::open(&data, &options()).unwrap();
    let mut visited = 0;
    let report = reader
        .verify(&mut |group| {
            visited += group.count;
            Ok(())
        })
        .unwrap();
    assert_eq!((report.groups, report.records, visited), (9, 28, 28));
    assert_eq!(report.head, groups.last().unwrap().head());
    assert_eq!(report.witnessed, groups.last().unwrap().checkpoint());
    drop(reader);
    assert!(before == image(&data), "reading changes no file");
}

#[test]
fn a_visit_can_stop_a_read() {
    let data = directory();
    let mut journal = open(data.path()).unwrap();
    append(&mut journal, &COUNTS, NO_INDEX);
    let mut visits = 0;
    let result = journal.read(Position::ZERO, &mut |_| {
        visits += 1;
        Err(JournalError::Storage("enough".into()))
    });
    assert!(matches!(result, Err(JournalError::Storage(_))));
    assert_eq!(visits, 1);
}

#[test]
#[should_panic(expected = "behind the last record")]
fn a_gap_is_never_appended() {
    let data = directory();
    let mut journal = open(data.path()).unwrap();
    let late = group(Head { position: Position(5), ..Head::default() }, 1);
    let _ = journal.append(&late, NO_INDEX);
}

#[test]
#[should_panic(expected = "later than the last record")]
fn time_never_goes_back() {
    let data = directory();
    let mut journal = open(data.path()).unwrap();
    append(&mut journal, &[3], NO_INDEX);
    let late = group(Head { at: Timestamp(journal.head().at.0 - 10), ..journal.head() }, 1);
    let _ = journal.append(&late, NO_INDEX);
}

#[test]
fn the_witness_is_needed() {
    let data = directory();
    let witness = data.path().join("witness");
    let mut journal = open(data.path()).unwrap();
    append(&mut journal, &COUNTS, NO_INDEX);
    drop(journal);
    let sound = image(data.path());

    fs::remove_file(&witness).unwrap();
    assert!(matches!(refused(data.path(), NO_INDEX), JournalError::Witness(_)));

    restore(data.path(), &sound);
    let mut bytes = sound[&witness].clone();
    bytes[40] ^= 1;
    fs::write(&witness, &bytes).unwrap();
    assert_eq!(open(data.path()).unwrap().head().position, Position(13), "one slot is enough");

    restore(data.path(), &sound);
    bytes[4096 + 40] ^= 1;
    fs::write(&witness, &bytes).unwrap();
    assert!(matches!(refused(data.path(), NO_INDEX), JournalError::Witness(_)));

    restore(data.path(), &sound);
    fs::remove_dir_all(data.path().join("journal")).unwrap();
    let error = refused(data.path(), NO_INDEX);
    assert!(
        matches!(error, JournalError::Truncated { found: Position(0), witnessed: Position(13) }),
        "{error}"
    );
    fs::create_dir(data.path().join("journal")).unwrap();
    assert!(matches!(refused(data.path(), NO_INDEX), JournalError::Truncated { .. }));
}

#[test]
fn records_that_were_not_acknowledged_are_kept_and_then_needed() {
    let data = directory();
    let witness = data.path().join("witness");
    let mut journal = open(data.path()).unwrap();
    append(&mut journal, &COUNTS[..4], NO_INDEX);
    let older = fs::read(&witness).unwrap();
    append(&mut journal, &COUNTS[4..], NO_INDEX);
    drop(journal);
    fs::write(&witness, older).unwrap();
    assert_eq!(open(data.path()).unwrap().head().position, Position(13));
    let report = JournalReader::open(data.path(), &options()).unwrap().verify(&mut |_| Ok(())).unwrap();
    assert_eq!(report.witnessed.position, Position(13));
}

#[test]
fn an_edited_journal_is_refused() {
    let data = directory();
    let mut journal = open(data.path()).unwrap();
    let groups = append(&mut journal, &COUNTS, NO_INDEX);
    drop(journal);
    let sound = image(data.path());
    let key = |group: &Group| group.first.0.to_be_bytes();
    let forged = |group: &Group, after: Head| {
        let mut records = group.records.clone();
        *records.last_mut().unwrap() ^= 1;
        Group::new(after, group.at, group.count, records)
    };
    let check = |name: &str, after: u64, change: &dyn Fn(&rocksdb::DB)| {
        restore(data.path(), &sound);
        edit(data.path(), |db| change(db));
        match refused(data.path(), NO_INDEX) {
            JournalError::Broken { after: Position(found), reason } => {
                assert_eq!(found, after, "{name}: {reason}");
                assert!(reason.contains("witness holds position 13"), "{name}: {reason}");
            }
            error => panic!("{name}: {error}"),
        }
        let verified = JournalReader::open(data.path(), &options()).unwrap().verify(&mut |_| Ok(()));
        assert!(matches!(verified, Err(JournalError::Broken { .. })), "{name}");
    };
    check("a record edited", 4, &|db| {
        let mut bytes = groups[2].encode();
        bytes[80] ^= 1;
        db.put(key(&groups[2]), bytes).unwrap();
    });
    check("a record edited, the hash too", 6, &|db| {
        db.put(key(&groups[2]), forged(&groups[2], groups[1].head()).encode()).unwrap();
    });
    check("the last record edited, the hash too", 11, &|db| {
        db.put(key(&groups[5]), forged(&groups[5], groups[4].head()).encode()).unwrap();
    });
    check("the chain rewritten to the end", 11, &|db| {
        let mut head = groups[0].head();
        for group in &groups[1..] {
            let other = forged(group, head);
            head = other.head();
            db.put(key(group), other.encode()).unwrap();
        }
    });
    check("a group deleted", 1, &|db| db.delete(key(&groups[1])).unwrap());
    check("the first group deleted", 0, &|db| db.delete(key(&groups[0])).unwrap());
    check("a group under another key", 4, &|db| {
        db.delete(key(&groups[2])).unwrap();
        db.put(6_u64.to_be_bytes(), groups[2].encode()).unwrap();
    });
    check("a foreign key", 13, &|db| db.put([0xff; 9], b"x").unwrap());
    check("wrong count", 11, &|db| {
        let group = Group::new(groups[4].head(), groups[5].at, 3, groups[5].records.clone());
        db.put(key(&groups[5]), group.encode()).unwrap();
    });
    check("time goes back", 11, &|db| {
        let group = Group::new(groups[4].head(), groups[4].head().at, 2, groups[5].records.clone());
        db.put(key(&groups[5]), group.encode()).unwrap();
    });
    check("beyond the last position", 13, &|db| {
        let after = Head { position: Position(u64::MAX - 1), ..groups[5].head() };
        db.put([0xff; 8], Group::new(after, Timestamp(i64::MAX), 1, vec![]).encode()).unwrap();
    });
    restore(data.path(), &sound);
    edit(data.path(), |db| db.delete(key(&groups[5])).unwrap());
    let error = refused(data.path(), NO_INDEX);
    assert!(
        matches!(error, JournalError::Truncated { found: Position(11), witnessed: Position(13) }),
        "{error}"
    );
}

#[test]
fn the_index_must_be_of_this_journal() {
    let data = directory();
    let mut journal = open(data.path()).unwrap();
    let mut groups = append(&mut journal, &COUNTS[..3], NO_INDEX);
    let sealed = groups[2].checkpoint();
    groups.extend(append(&mut journal, &COUNTS[3..], sealed));
    drop(journal);
    let walked = JournalOptions { full_check_bytes_max: 0, ..options() };
    for options in [options(), walked.clone()] {
        let open = |index| RocksJournal::open(data.path(), &options, index);
        for index in groups.iter().map(Group::checkpoint).chain([NO_INDEX]) {
            assert_eq!(open(index).unwrap().head(), groups[5].head(), "{index:?}");
        }
        let ahead = Checkpoint { position: Position(14), hash: Hash([1; 32]) };
        assert!(matches!(open(ahead), Err(JournalError::IndexAhead { .. })));
        for group in &groups {
            let other = Checkpoint { hash: Hash([1; 32]), ..group.checkpoint() };
            assert!(matches!(open(other), Err(JournalError::IndexDiffers { .. })), "{other:?}");
        }
        let inside = Checkpoint { position: Position(3), ..groups[1].checkpoint() };
        assert!(matches!(open(inside), Err(JournalError::IndexDiffers { .. })));
    }
    assert!(matches!(
        refused(data.path(), Checkpoint { position: Position(99), hash: Hash([1; 32]) }),
        JournalError::IndexAhead { journal: Position(13), index: Position(99) }
    ));

    // The short walk begins behind the sealed checkpoint, but where the journal begins is looked at, too.
    let sound = image(data.path());
    let key = |group: &Group| group.first.0.to_be_bytes();
    edit(data.path(), |db| db.delete(key(&groups[0])).unwrap());
    let error = RocksJournal::open(data.path(), &walked, sealed).err().unwrap();
    assert!(matches!(error, JournalError::Broken { after: Position(0), .. }), "{error}");
    assert!(JournalReader::open(data.path(), &walked).unwrap().verify(&mut |_| Ok(())).is_err());
    assert!(matches!(refused(data.path(), sealed), JournalError::Broken { after: Position(0), .. }));
    restore(data.path(), &sound);
    for group in &groups[2..] {
        edit(data.path(), |db| db.delete(key(group)).unwrap());
    }
    for index in [sealed, groups[0].checkpoint(), groups[4].checkpoint(), NO_INDEX] {
        let error = RocksJournal::open(data.path(), &walked, index).err().unwrap();
        assert!(
            matches!(error, JournalError::Truncated { found: Position(4), witnessed: Position(13) }),
            "{index:?}: {error}"
        );
    }
}

#[test]
fn a_store_without_its_files_is_refused() {
    let data = directory();
    let mut journal = open(data.path()).unwrap();
    append(&mut journal, &COUNTS[..4], NO_INDEX);
    drop(journal);
    append(&mut open(data.path()).unwrap(), &COUNTS[4..], NO_INDEX);
    let sound = image(data.path());
    for path in sound.keys().filter(|path| path.starts_with(data.path().join("journal")) && path.is_file()) {
        restore(data.path(), &sound);
        fs::remove_file(path).unwrap();
        let before = image(data.path());
        match open(data.path()) {
            // OPTIONS and IDENTITY hold no record.
            Ok(journal) => assert_eq!(read(&journal, 0).unwrap().len(), COUNTS.len(), "{}", path.display()),
            Err(_) => assert!(before == image(data.path()), "{}", path.display()),
        }
    }
    restore(data.path(), &sound);
    assert_eq!(store_files(data.path(), ".sst").len(), 1);
    for ending in [".sst", ".log", "CURRENT"] {
        restore(data.path(), &sound);
        for path in store_files(data.path(), ending) {
            fs::remove_file(path).unwrap();
        }
        refused(data.path(), NO_INDEX);
    }
}

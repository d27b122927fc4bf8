//! The simulated journal's faults, and that it refuses what the stored one refuses.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

mod journal_support;

use journal_support::{append, group, read};
use yue_engine::{
    journal::{
        Checkpoint, Group, Hash, Journal, JournalError, JournalOptions,
        faulty::{DurableImage, Fault, FaultyJournal},
    },
    model::{Position, Timestamp},
};

const COUNTS: [u32; 4] = [1, 3, 2, 4];

fn filled() -> (FaultyJournal, Vec<Group>) {
    let mut journal = FaultyJournal::new();
    let groups = append(&mut journal, &COUNTS, Checkpoint::default());
    (journal, groups)
}

fn reopen(image: DurableImage) -> Result<FaultyJournal, JournalError> {
    FaultyJournal::reopen(image, Checkpoint::default())
}

#[test]
fn a_failed_append_leaves_what_its_fault_says() {
    let check = |fault: Fault, kept: bool| {
        let (mut journal, mut groups) = filled();
        let next = group(journal.head(), 2);
        journal.fail_next(fault);
        assert!(journal.append(&next, Checkpoint::default()).is_err());
        assert_eq!(journal.head(), groups[3].head(), "{fault:?}");
        let mut journal = reopen(journal.crash()).unwrap();
        if kept {
            groups.push(next);
        }
        assert_eq!(read(&journal, 0).unwrap(), groups, "{fault:?}");
        // What an opening has kept must be there from then on.
        groups.extend(append(&mut journal, &[1], Checkpoint::default()));
        let mut image = journal.crash();
        assert_eq!(read(&reopen(image.clone()).unwrap(), 0).unwrap(), groups, "{fault:?}");
        image.cut(2);
        assert!(matches!(reopen(image), Err(JournalError::Truncated { .. })), "{fault:?}");
    };
    check(Fault::Lost, false);
    check(Fault::Torn { bytes: 0 }, false);
    check(Fault::Torn { bytes: 70 }, false);
    check(Fault::Torn { bytes: usize::MAX }, false);
    check(Fault::Unreported, true);
    check(Fault::WitnessTorn, true);
    check(Fault::UnreportedAfterWitness, true);
}

#[test]
#[should_panic(expected = "not later than a journal can say")]
fn nothing_is_written_beyond_the_end_of_time() {
    let (mut journal, _) = filled();
    let last = Timestamp(Timestamp::LATEST.0 - 1);
    let fits = group(journal.head(), 2);
    let fits = Group::new(journal.head(), last, 2, fits.records);
    journal.append(&fits, Checkpoint::default()).unwrap();
    let beyond = group(journal.head(), 1);
    drop(journal.append(&beyond, Checkpoint::default()));
}

#[test]
#[should_panic(expected = "nothing is appended after an error")]
fn the_first_error_is_the_last_call() {
    let (mut journal, _) = filled();
    journal.fail_next(Fault::Lost);
    let _ = journal.append(&group(journal.head(), 1), Checkpoint::default());
    let _ = journal.append(&group(journal.head(), 1), Checkpoint::default());
}

#[test]
fn damage_at_rest_is_refused() {
    let (journal, groups) = filled();
    let in_log = journal.crash();
    let in_tables = reopen(in_log.clone()).unwrap().crash();
    for (image, packed) in [(&in_log, false), (&in_tables, true)] {
        for index in 0..COUNTS.len() {
            let before = groups[index].first.0 - 1;
            for bit in [0, 9, 70, 110, 200, 430, 800] {
                let mut image = image.clone();
                image.flip(index, bit);
                match reopen(image).expect_err("acknowledged records are damaged") {
                    JournalError::Broken { after, .. } if packed => assert_eq!(after, Position(before)),
                    JournalError::Truncated { found, witnessed } if !packed => {
                        assert_eq!((found, witnessed), (Position(before), Position(10)));
                    }
                    error => panic!("group {index}, bit {bit}: {error}"),
                }
            }
            let mut cut = image.clone();
            cut.cut(index + 1);
            assert!(matches!(reopen(cut), Err(JournalError::Truncated { .. })), "cut {index}");
            let mut gap = image.clone();
            gap.remove(index);
            assert!(reopen(gap).is_err(), "gap {index}");
            let mut edited = image.clone();
            let (after, old) =
                (if index == 0 { Default::default() } else { groups[index - 1].head() }, &groups[index]);
            let mut records = old.records.clone();
            *records.last_mut().unwrap() ^= 1;
            edited.replace(&Group::new(after, old.at, old.count, records));
            assert!(matches!(reopen(edited), Err(JournalError::Broken { .. })), "edit {index}");
        }
        let mut blind = image.clone();
        blind.remove_witness();
        assert!(matches!(reopen(blind), Err(JournalError::Witness(_))));
    }
    for bit in 0..120 * 8 {
        let mut one = in_log.clone();
        one.flip_witness(bit, bit);
        assert_eq!(reopen(one.clone()).unwrap().head(), groups[3].head(), "one slot is enough");
        one.flip_witness(bit + 1, bit);
        assert!(matches!(reopen(one), Err(JournalError::Witness(_))));
    }
}

#[test]
fn damage_behind_the_witness_is_dropped_with_the_log() {
    let (mut journal, groups) = filled();
    journal.fail_next(Fault::Unreported);
    let last = group(journal.head(), 2);
    assert!(journal.append(&last, Checkpoint::default()).is_err());
    let mut image = journal.crash();
    image.flip(4, 500);
    assert_eq!(read(&reopen(image).unwrap(), 0).unwrap(), groups);
}

#[test]
fn a_stale_read_is_noticed() {
    let (mut journal, groups) = filled();
    journal.stale_reads(1);
    assert!(matches!(read(&journal, 0), Err(JournalError::Broken { after: Position(6), .. })));
    assert!(matches!(read(&journal, 6), Err(JournalError::Broken { .. })));
    journal.stale_reads(0);
    assert_eq!(read(&journal, 4).unwrap(), groups[2..]);
    assert_eq!(read(&journal, 10).unwrap(), []);
}

#[test]
fn the_index_must_be_of_this_journal() {
    let (journal, groups) = filled();
    let image = journal.crash();
    let partial = JournalOptions { full_check_bytes_max: 0, ..JournalOptions::default() };
    for options in [JournalOptions::default(), partial] {
        let reopen =
            |index| FaultyJournal::reopen_with(image.clone(), &options, index).map(|journal| journal.head());
        for group in &groups {
            assert_eq!(reopen(group.checkpoint()).unwrap(), groups[3].head());
            let other = Checkpoint { hash: Hash([1; 32]), ..group.checkpoint() };
            assert!(matches!(reopen(other), Err(JournalError::IndexDiffers { .. })));
        }
        let ahead = Checkpoint { position: Position(11), hash: Hash([1; 32]) };
        assert!(matches!(reopen(ahead), Err(JournalError::IndexAhead { .. })));
    }
}

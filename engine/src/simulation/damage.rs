//! Damage at rest: what must be refused, and what must be borne.
//!
//! Owns copies of a directory's content between two processes, and what happens to them. Never touches what the next process
//! starts on. Invariant: a copy that lost or changed something acknowledged is not opened.

use super::{life::Life, random::Random};
use crate::{
    journal::{
        Checkpoint, Group, Head, Journal, JournalError, Record,
        faulty::{DurableImage, FaultyJournal},
    },
    model::{AccountChange, AccountNo, Position, Timestamp},
};

/// What is done to a copy, with its index's watermark; `false` if that changes nothing.
type Spoil = fn(&mut Random, &mut DurableImage, &mut Checkpoint) -> bool;

const SPOILS: [(&str, Spoil); 10] = [
    ("refused: a bit flip", |random, image, _| {
        image.flip(random.below(1 << 20), random.below(1 << 20));
        true
    }),
    ("refused: the end is lost", |random, image, _| {
        image.cut(1 + random.below(3));
        true
    }),
    ("refused: a group is lost", |random, image, _| {
        image.remove(random.below(1 << 20));
        true
    }),
    ("refused: a misdirected read", |random, image, _| {
        image.misdirect(random.below(1 << 20), random.below(1 << 20))
    }),
    ("refused: an edit", |random, image, _| {
        let Some(group) = image.group(random.below(1 << 20)) else { return false };
        let head = Head {
            position: Position(group.first.0 - 1),
            at: Timestamp(group.at.0 - 1),
            hash: group.previous,
        };
        image.replace(&Group::new(head, group.at, group.count, edited(&group)));
        true
    }),
    ("refused: the witness is damaged", |random, image, _| {
        (0..2).for_each(|slot| image.flip_witness(slot, random.below(400)));
        true
    }),
    ("refused: the witness is lost", |_, image, _| {
        image.remove_witness();
        true
    }),
    ("refused: the index is ahead", |random, _, index| {
        *index = Checkpoint { position: Position(1 << 40), ..*index };
        index.hash.0[0] ^= u8::try_from(random.below(256)).unwrap_or(1);
        true
    }),
    ("refused: the index of another journal", |random, _, index| {
        index.hash.0[random.below(32)] ^= 1 << random.below(8);
        true
    }),
    ("borne: a slot of the witness", |random, image, _| {
        image.flip_witness(random.below(2), random.below(400));
        true
    }),
];

/// As many records, which say something else.
fn edited(group: &Group) -> Vec<u8> {
    let record = Record::AccountChanged {
        no: AccountNo(0),
        change: AccountChange::default(),
        decided_at: Timestamp::ZERO,
    };
    let mut records = Vec::new();
    (0..group.count).for_each(|_| Group::frame(&mut records, &record));
    records
}

impl Life {
    /// A damaged copy of what is left must be refused, or be as good as whole.
    pub(super) fn damage(&mut self, image: &DurableImage) {
        if !self.random.once_in(3) {
            return;
        }
        let index = self.watermark();
        let whole = FaultyJournal::reopen(image.clone(), index).expect("a sound image opens");
        let (known, head) = (self.auditor.end(), whole.head());
        let (name, spoil) = *self.random.pick(&SPOILS);
        if known.0 == 0 || head.position != known || !self.faults.allows(name) {
            return;
        }
        // In the store's tables, or still in its log.
        let packed = self.random.once_in(2);
        // As an opening leaves it: the witness is whole and names the end.
        let mut damaged = whole.crash();
        if !packed {
            damaged.log_from(image);
        }
        let mut checkpoint = index;
        if !spoil(&mut self.random, &mut damaged, &mut checkpoint) {
            return;
        }
        match FaultyJournal::reopen(damaged, checkpoint) {
            Ok(journal) => {
                assert!(name.starts_with("borne: "), "{name}: opened at {:?}", journal.head());
                assert_eq!(journal.head(), head, "{name}");
            }
            Err(error) => assert!(name.starts_with("refused: "), "{name}: {error}"),
        }
        self.auditor.coverage.fault(name);
    }

    /// A trimmed journal is refused without its index, its snapshot or what says where it begins.
    pub(super) fn refuse_trimmed(&mut self, image: &DurableImage) {
        let Some(base) = image.base() else { return };
        let index = self.watermark();
        assert!(index.position >= base.head.position, "the index has what was trimmed");
        let kinds = [
            "refused: trimmed, no index",
            "refused: trimmed, the beginning is lost",
            "refused: trimmed, no base",
            "refused: trimmed, another snapshot",
        ];
        let kind = self.retained.below(kinds.len());
        let Some(&name) = kinds.get(kind).filter(|name| self.faults.allows(name)) else { return };
        let (mut damaged, mut checkpoint) = (image.clone(), index);
        match kind {
            0 => checkpoint = Checkpoint::default(),
            1 => damaged.cut_front(1),
            2 => damaged.replace_base(None),
            _ => {
                let mut other = base;
                other.snapshot.last = base.snapshot.last.next();
                damaged.replace_base(Some(other));
            }
        }
        let error = FaultyJournal::reopen(damaged, checkpoint)
            .expect_err("a trimmed journal is opened without what it needs");
        assert!(kind != 0 || matches!(error, JournalError::Trimmed { .. }), "{error}");
        self.auditor.coverage.fault(name);
    }
}

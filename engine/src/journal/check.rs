//! The check of a journal before it is used: its chain, and its agreement with the witness and the index.
//!
//! Owns the rules by which a journal is refused, for every implementation. Never writes. Invariant: a journal that
//! passes holds all that was acknowledged, in the form in which it was acknowledged.

use super::{
    Base, Checkpoint, Group, GroupRef, Head, JournalError, Record, SnapshotTracker,
    walk::{Cursor, Walk, broken},
    witness::Witness,
};
use crate::{
    model::{Position, Timestamp},
    planted::{Bug, planted},
};

/// What a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The end of the journal.
    pub head: Head,
    /// The end that the witness holds; before [`Report::head`] if the last groups were not acknowledged.
    pub witnessed: Checkpoint,
    /// Where the walk began: 0, the base of a trimmed journal, or a checkpoint.
    pub from: Position,
    /// Groups that were checked.
    pub groups: u64,
    /// Records that were checked.
    pub records: u64,
    /// Stored bytes that were checked.
    pub bytes: u64,
}

/// What the caller of [`super::Journal::append`] owes.
///
/// # Panics
/// If the group does not follow `head`: a broken invariant.
pub(super) fn check_follows(group: &Group, head: Head) {
    assert_eq!(group.first, head.position.next(), "a group begins behind the last record");
    assert_eq!(group.previous, head.hash, "a group is chained to the last one");
    assert!(group.at > head.at, "a group is later than the last record");
    assert!(group.count > 0, "a group has a record");
    assert!(group.head().at <= Timestamp::LATEST, "a group is not later than a journal can say");
    debug_assert!(
        Group::decode(&group.encode()).is_ok_and(|stored| stored == *group),
        "a group can be read back"
    );
}

/// A place of the chain that somebody else remembers.
#[derive(Clone, Copy)]
struct Mark {
    checkpoint: Checkpoint,
    whose: Whose,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Witness,
    Sealed,
    Index,
    Snapshot,
}

/// What a journal is checked against.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) witness: Option<Witness>,
    /// Where it begins, if it was trimmed.
    pub(super) base: Option<Base>,
    /// The index's watermark; `None` if the index is somebody else's business.
    pub(super) index: Option<Checkpoint>,
}

/// Checks that the chain holds, and that it goes through everything that the witness and the index remember.
///
/// Walks from the beginning if `whole`, or else from the older one of the witness's and the index's checkpoints.
pub(super) fn check<C: Cursor>(
    cursor: Option<C>,
    known: Known,
    whole: bool,
    visit: &mut dyn FnMut(GroupRef<'_>) -> Result<(), JournalError>,
) -> Result<Report, JournalError> {
    let acknowledged = known.witness.unwrap_or_default().head.position;
    check_chain(cursor, known, whole, visit).map_err(|error| {
        let JournalError::Broken { after, reason } = error else { return error };
        let hint =
            format!("(the witness holds position {acknowledged}; restore the data directory from a copy)");
        broken(after, format!("{reason} {hint}"))
    })
}

fn check_chain<C: Cursor>(
    cursor: Option<C>,
    known: Known,
    whole: bool,
    visit: &mut dyn FnMut(GroupRef<'_>) -> Result<(), JournalError>,
) -> Result<Report, JournalError> {
    let Known { witness, base, .. } = known;
    let front = base.map_or(Head::default(), |base| base.head);
    let index = known.index.unwrap_or(Checkpoint { position: front.position, hash: front.hash });
    let witnessed = witness.unwrap_or_default();
    let head = Checkpoint { position: witnessed.head.position, hash: witnessed.head.hash };
    let mut marks = vec![
        Mark { checkpoint: witnessed.sealed, whose: Whose::Sealed },
        Mark { checkpoint: index, whose: Whose::Index },
        Mark { checkpoint: head, whose: Whose::Witness },
    ];
    marks.extend(base.map(|base| Mark { checkpoint: base.snapshot.as_of, whose: Whose::Snapshot }));
    for mark in &marks {
        if mark.checkpoint.position == front.position && mark.checkpoint.hash != front.hash {
            return Err(differs(mark.whose, front.position, front.position));
        }
    }
    if witnessed.sealed.position > head.position {
        return Err(JournalError::Witness("its sealed checkpoint lies beyond its end".into()));
    }
    if witnessed.sealed.position == index.position && witnessed.sealed != index {
        return Err(differs(Whose::Index, front.position, index.position));
    }
    if witness.is_some() && head.position < front.position {
        return Err(JournalError::Witness("it ends before the journal begins".into()));
    }
    if index.position < front.position {
        return Err(JournalError::Trimmed { base: front.position, index: index.position });
    }
    marks.sort_by_key(|mark| mark.checkpoint.position);
    let from = if whole {
        Checkpoint { position: front.position, hash: front.hash }
    } else if index.position < witnessed.sealed.position || witnessed.sealed.position < front.position {
        index
    } else {
        witnessed.sealed
    };
    let whose = if from == index { Whose::Index } else { Whose::Sealed };
    let mut report = Report { from: from.position, witnessed: head, ..Report::default() };
    let Some(cursor) = cursor else {
        finish(report, witness.is_some(), head, index)?;
        return Ok(report);
    };
    let mut walk = match Walk::from_checkpoint(cursor, front, from)? {
        Ok(walk) => walk,
        Err(there) => return Err(no_start(there, from, whose, head)),
    };
    let mut marks = marks.into_iter().filter(|mark| mark.checkpoint.position > from.position).peekable();
    // A walk that begins behind the snapshot can't see it; a whole one must.
    let mut stands = base.filter(|_| from.position == front.position).map(Standing::new);
    loop {
        let before = walk.head().position;
        let Some(group) = walk.step()? else { break };
        let end = group.head();
        while let Some(mark) = marks.next_if(|mark| mark.checkpoint.position <= end.position) {
            if (end.position, end.hash) != (mark.checkpoint.position, mark.checkpoint.hash) {
                return Err(differs(mark.whose, before, mark.checkpoint.position));
            }
        }
        report.groups += 1;
        report.records += u64::from(group.count);
        report.bytes += u64::try_from(group.records.len()).unwrap_or(u64::MAX);
        if let Some(stands) = &mut stands {
            stands.look(&group)?;
        }
        visit(group)?;
    }
    report.head = walk.head();
    finish(report, witness.is_some(), head, index)?;
    stands.map_or(Ok(()), |stands| stands.finish())?;
    Ok(report)
}

/// Whether the snapshot that stands for what was trimmed is there.
struct Standing {
    base: Base,
    tracker: SnapshotTracker,
    found: bool,
}

impl Standing {
    fn new(base: Base) -> Self {
        Self { base, tracker: SnapshotTracker::default(), found: false }
    }

    fn look(&mut self, group: &GroupRef<'_>) -> Result<(), JournalError> {
        let wanted = self.base.snapshot;
        if self.found || group.head().position < wanted.first || group.first > wanted.last {
            return Ok(());
        }
        for (index, frame) in (0..).zip(group.frames()) {
            let position = group.first.plus(index);
            let part = frame.and_then(|bytes| Ok(Record::snapshot_part(bytes)?));
            let part = part.map_err(|error| broken(position, error.to_string()))?;
            self.found |= part.and_then(|part| self.tracker.take(position, part)) == Some(wanted);
        }
        Ok(())
    }

    fn finish(self) -> Result<(), JournalError> {
        if self.found {
            return Ok(());
        }
        Err(broken(
            self.base.head.position,
            "the snapshot that stands for what was trimmed is not in what is left",
        ))
    }
}

/// The end of the walk against what must have been there.
fn finish(
    report: Report,
    has_witness: bool,
    witnessed: Checkpoint,
    index: Checkpoint,
) -> Result<(), JournalError> {
    let found = report.head.position;
    if !has_witness && found > Position::ZERO {
        return Err(JournalError::Witness(format!(
            "it is missing, but the journal has records up to position {found}; restore it from a copy"
        )));
    }
    if witnessed.position > found && !planted(Bug::WitnessNotChecked) {
        return Err(JournalError::Truncated { found, witnessed: witnessed.position });
    }
    if index.position > found {
        return Err(JournalError::IndexAhead { journal: found, index: index.position });
    }
    Ok(())
}

/// The group of the checkpoint at which the walk was to begin is not there.
fn no_start(there: Head, from: Checkpoint, whose: Whose, witnessed: Checkpoint) -> JournalError {
    if there.position < from.position {
        return match whose {
            Whose::Index if from.position > witnessed.position => {
                JournalError::IndexAhead { journal: there.position, index: from.position }
            }
            Whose::Index | Whose::Sealed | Whose::Witness | Whose::Snapshot => {
                JournalError::Truncated { found: there.position, witnessed: witnessed.position }
            }
        };
    }
    differs(whose, Position::ZERO, from.position)
}

fn differs(whose: Whose, after: Position, at: Position) -> JournalError {
    match whose {
        Whose::Witness => broken(after, format!("the witness holds another hash of position {at}")),
        Whose::Sealed => {
            broken(after, format!("the witness holds another hash of the checkpoint at position {at}"))
        }
        Whose::Index => JournalError::IndexDiffers { at },
        Whose::Snapshot => broken(after, format!("the snapshot has another hash of position {at}")),
    }
}

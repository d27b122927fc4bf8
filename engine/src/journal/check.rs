//! The check of a journal before it is used: its chain, and its agreement with the witness and the index.
//!
//! Owns the rules by which a journal is refused, for every implementation. Never writes. Invariant: a journal that
//! passes holds all that was acknowledged, in the form in which it was acknowledged.

use super::{Checkpoint, Group, GroupError, GroupRef, Hash, Head, JournalError, witness::Witness};
use crate::model::{Position, Timestamp};

/// A group's key and its stored form.
pub(super) type Entry<'a> = (&'a [u8], &'a [u8]);

/// A place among the stored groups.
pub(super) trait Cursor {
    /// Goes to the last group that starts at or before `position`; to the first group if there is none such.
    fn seek(&mut self, position: Position);

    /// The group here; `None` behind the last one, `Err` if the store fails.
    fn entry(&mut self) -> Result<Option<Entry<'_>>, String>;

    /// Goes to the next group.
    fn advance(&mut self);
}

/// What a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The end of the journal.
    pub head: Head,
    /// The end that the witness holds; before [`Report::head`] if the last groups were not acknowledged.
    pub witnessed: Checkpoint,
    /// Where the walk began: 0, or a checkpoint.
    pub from: Position,
    /// Groups that were checked.
    pub groups: u64,
    /// Records that were checked.
    pub records: u64,
    /// Stored bytes that were checked.
    pub bytes: u64,
}

/// A walk along the chain, link by link.
pub(super) struct Walk<C> {
    cursor: C,
    head: Head,
    moved: bool,
}

impl<C: Cursor> Walk<C> {
    /// From the first group on.
    pub(super) fn from_start(mut cursor: C) -> Self {
        cursor.seek(Position::ZERO);
        Self { cursor, head: Head::default(), moved: true }
    }

    /// From behind the group that ends at `checkpoint`; `Err` holds the end of the group that was there instead.
    fn from_checkpoint(mut cursor: C, checkpoint: Checkpoint) -> Result<Result<Self, Head>, JournalError> {
        if checkpoint == Checkpoint::default() {
            return Ok(Ok(Self::from_start(cursor)));
        }
        cursor.seek(checkpoint.position);
        let head = match cursor.entry().map_err(|error| storage(Position::ZERO, &error))? {
            None => return Ok(Err(Head::default())),
            Some((_, bytes)) => GroupRef::decode(bytes)
                .and_then(whole_frames)
                .map_err(|error| broken(Position::ZERO, format!("the group at its checkpoint: {error}")))?
                .head(),
        };
        if (head.position, head.hash) == (checkpoint.position, checkpoint.hash) {
            Ok(Ok(Self { cursor, head, moved: false }))
        } else {
            Ok(Err(head))
        }
    }

    /// From the group that has the record after `after`; its link to the group before it is taken as it is.
    pub(super) fn after(mut cursor: C, after: Position) -> Result<Self, JournalError> {
        if after == Position::ZERO {
            return Ok(Self::from_start(cursor));
        }
        let wanted = Position(after.0.saturating_add(1));
        cursor.seek(wanted);
        let head = match cursor.entry().map_err(|error| storage(after, &error))? {
            None => Head { position: after, ..Head::default() },
            Some((_, bytes)) => {
                let group = GroupRef::decode(bytes).map_err(|error| broken(after, error.to_string()))?;
                let head = group.head();
                if head.position <= after {
                    // The last group, most likely; whatever follows must follow it.
                    return Ok(Self { cursor, head, moved: false });
                }
                if group.first > wanted {
                    return Err(broken(
                        after,
                        format!("position {wanted} is missing, {} follows", group.first),
                    ));
                }
                let before = Position(group.first.0.saturating_sub(1));
                Head { position: before, hash: group.previous, at: Timestamp(group.at.0.saturating_sub(1)) }
            }
        };
        Ok(Self { cursor, head, moved: true })
    }

    /// The end of the last group, whose links are not looked at.
    pub(super) fn last(mut cursor: C) -> Result<Head, JournalError> {
        cursor.seek(Position(u64::MAX));
        match cursor.entry().map_err(|error| storage(Position::ZERO, &error))? {
            None => Ok(Head::default()),
            Some((_, bytes)) => GroupRef::decode(bytes)
                .map(|group| group.head())
                .map_err(|error| broken(Position::ZERO, format!("the last group: {error}"))),
        }
    }

    /// The end of what was walked.
    pub(super) const fn head(&self) -> Head {
        self.head
    }

    /// The next group, checked; `None` at the end.
    pub(super) fn step(&mut self) -> Result<Option<GroupRef<'_>>, JournalError> {
        if !self.moved {
            self.cursor.advance();
        }
        self.moved = false;
        let after = self.head.position;
        let Some((key, bytes)) = self.cursor.entry().map_err(|error| storage(after, &error))? else {
            self.moved = true;
            return Ok(None);
        };
        let group = GroupRef::decode(bytes)
            .and_then(whole_frames)
            .map_err(|error| broken(after, error.to_string()))?;
        let expected = after.next();
        if key != group.first.0.to_be_bytes() {
            return Err(broken(
                after,
                format!("the group of position {} lies under another key", group.first),
            ));
        }
        if group.first != expected {
            return Err(broken(after, format!("position {expected} is missing, {} follows", group.first)));
        }
        if group.previous != self.head.hash {
            return Err(broken(
                after,
                "the next group was written after another one (its previous hash differs)",
            ));
        }
        if group.at <= self.head.at {
            return Err(broken(after, "the next group is not later than the one before"));
        }
        self.head = group.head();
        Ok(Some(group))
    }
}

/// Calls `visit` with each group that has a record after `after`, and checks that the last one is `end`, if that is
/// known.
pub(super) fn read_to(
    cursor: impl Cursor,
    after: Position,
    end: Option<Head>,
    visit: &mut dyn FnMut(Group) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let mut walk = Walk::after(cursor, after)?;
    while let Some(group) = walk.step()? {
        visit(group.to_group())?;
    }
    match end {
        Some(end) if after < end.position && walk.head() != end => Err(broken(
            walk.head().position,
            format!("it was read to here only, and ends at position {}", end.position),
        )),
        Some(_) | None => Ok(()),
    }
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

fn whole_frames(group: GroupRef<'_>) -> Result<GroupRef<'_>, GroupError> {
    let mut count = 0_u32;
    for frame in group.frames() {
        frame?;
        count = count.checked_add(1).ok_or(GroupError::Frame)?;
    }
    if count == group.count { Ok(group) } else { Err(GroupError::Frame) }
}

fn broken(after: Position, reason: impl Into<String>) -> JournalError {
    JournalError::Broken { after, reason: reason.into() }
}

fn storage(after: Position, error: &str) -> JournalError {
    broken(after, format!("the store cannot read on: {error}"))
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
}

/// Checks that the chain holds, and that it goes through everything that the witness and the index remember.
///
/// Walks from the beginning if `whole`, or else from the older one of the witness's and the index's checkpoints.
pub(super) fn check<C: Cursor>(
    cursor: Option<C>,
    witness: Option<Witness>,
    index: Checkpoint,
    whole: bool,
    visit: &mut dyn FnMut(GroupRef<'_>) -> Result<(), JournalError>,
) -> Result<Report, JournalError> {
    let acknowledged = witness.unwrap_or_default().head.position;
    check_chain(cursor, witness, index, whole, visit).map_err(|error| {
        let JournalError::Broken { after, reason } = error else { return error };
        let hint =
            format!("(the witness holds position {acknowledged}; restore the data directory from a copy)");
        broken(after, format!("{reason} {hint}"))
    })
}

fn check_chain<C: Cursor>(
    cursor: Option<C>,
    witness: Option<Witness>,
    index: Checkpoint,
    whole: bool,
    visit: &mut dyn FnMut(GroupRef<'_>) -> Result<(), JournalError>,
) -> Result<Report, JournalError> {
    let witnessed = witness.unwrap_or_default();
    let head = Checkpoint { position: witnessed.head.position, hash: witnessed.head.hash };
    let mut marks = [
        Mark { checkpoint: witnessed.sealed, whose: Whose::Sealed },
        Mark { checkpoint: index, whose: Whose::Index },
        Mark { checkpoint: head, whose: Whose::Witness },
    ];
    for mark in marks {
        if mark.checkpoint.position == Position::ZERO && mark.checkpoint.hash != Hash::default() {
            return Err(differs(mark.whose, Position::ZERO, Position::ZERO));
        }
    }
    if witnessed.sealed.position > head.position {
        return Err(JournalError::Witness("its sealed checkpoint lies beyond its end".into()));
    }
    if witnessed.sealed.position == index.position && witnessed.sealed != index {
        return Err(differs(Whose::Index, Position::ZERO, index.position));
    }
    marks.sort_by_key(|mark| mark.checkpoint.position);
    let base = if whole {
        Checkpoint::default()
    } else if index.position < witnessed.sealed.position {
        index
    } else {
        witnessed.sealed
    };
    let whose = if base == index { Whose::Index } else { Whose::Sealed };
    let mut report = Report { from: base.position, witnessed: head, ..Report::default() };
    let Some(cursor) = cursor else {
        finish(report, witness.is_some(), head, index)?;
        return Ok(report);
    };
    let mut walk = match Walk::from_checkpoint(cursor, base)? {
        Ok(walk) => walk,
        Err(there) => return Err(no_base(there, base, whose, head)),
    };
    let mut marks = marks.into_iter().filter(|mark| mark.checkpoint.position > base.position).peekable();
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
        visit(group)?;
    }
    report.head = walk.head();
    finish(report, witness.is_some(), head, index)?;
    Ok(report)
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
    if witnessed.position > found {
        return Err(JournalError::Truncated { found, witnessed: witnessed.position });
    }
    if index.position > found {
        return Err(JournalError::IndexAhead { journal: found, index: index.position });
    }
    Ok(())
}

/// The group of the checkpoint at which the walk was to begin is not there.
fn no_base(there: Head, base: Checkpoint, whose: Whose, witnessed: Checkpoint) -> JournalError {
    if there.position < base.position {
        return match whose {
            Whose::Index if base.position > witnessed.position => {
                JournalError::IndexAhead { journal: there.position, index: base.position }
            }
            Whose::Index | Whose::Sealed | Whose::Witness => {
                JournalError::Truncated { found: there.position, witnessed: witnessed.position }
            }
        };
    }
    differs(whose, Position::ZERO, base.position)
}

fn differs(whose: Whose, after: Position, at: Position) -> JournalError {
    match whose {
        Whose::Witness => broken(after, format!("the witness holds another hash of position {at}")),
        Whose::Sealed => {
            broken(after, format!("the witness holds another hash of the checkpoint at position {at}"))
        }
        Whose::Index => JournalError::IndexDiffers { at },
    }
}

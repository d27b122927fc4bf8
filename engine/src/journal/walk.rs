//! A walk along the chain of groups, for every implementation of the journal.
//!
//! Owns what makes one group follow another. Never writes, and never looks into a record. Invariant: what a walk gives is
//! chained to the place at which it began.

use super::{Checkpoint, Group, GroupError, GroupRef, Head, JournalError};
use crate::{
    model::{Position, Timestamp},
    planted::{Bug, planted},
};

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

/// A walk along the chain, link by link.
pub(super) struct Walk<C> {
    cursor: C,
    head: Head,
    moved: bool,
}

impl<C: Cursor> Walk<C> {
    /// From the first group on, which must follow `front`.
    pub(super) fn from_front(mut cursor: C, front: Head) -> Self {
        cursor.seek(Position::ZERO);
        Self { cursor, head: front, moved: true }
    }

    /// From behind the group that ends at `checkpoint`, which is not before `front`; `Err` holds the end of the group
    /// that was there instead. The first group must follow `front`.
    pub(super) fn from_checkpoint(
        cursor: C,
        front: Head,
        checkpoint: Checkpoint,
    ) -> Result<Result<Self, Head>, JournalError> {
        let mut walk = Self::from_front(cursor, front);
        if checkpoint.position == front.position {
            return Ok(Ok(walk));
        }
        walk.step()?;
        let mut cursor = walk.cursor;
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
    pub(super) fn after(mut cursor: C, front: Head, after: Position) -> Result<Self, JournalError> {
        if after == front.position {
            return Ok(Self::from_front(cursor, front));
        }
        if after < front.position {
            let reason = format!("it begins after position {}: what was before is trimmed", front.position);
            return Err(broken(after, reason));
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
        if group.previous != self.head.hash && !planted(Bug::ChainNotChecked) {
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
    front: Head,
    after: Position,
    end: Option<Head>,
    visit: &mut dyn FnMut(Group) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let mut walk = Walk::after(cursor, front, after)?;
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

fn whole_frames(group: GroupRef<'_>) -> Result<GroupRef<'_>, GroupError> {
    let mut count = 0_u32;
    for frame in group.frames() {
        frame?;
        count = count.checked_add(1).ok_or(GroupError::Frame)?;
    }
    if count == group.count { Ok(group) } else { Err(GroupError::Frame) }
}

pub(super) fn broken(after: Position, reason: impl Into<String>) -> JournalError {
    JournalError::Broken { after, reason: reason.into() }
}

fn storage(after: Position, error: &str) -> JournalError {
    broken(after, format!("the store cannot read on: {error}"))
}

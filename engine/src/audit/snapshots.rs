//! The snapshots that the journal has, as books.
//!
//! Owns the states that they say. Where a journal was trimmed, the books go on from one of them. Never compares anything.

use std::collections::BTreeMap;

use super::{Report, books::Books, digest::DigestKey};
use crate::{
    journal::{JournalError, Record, SnapshotContent, SnapshotMark, SnapshotTracker, rocks::JournalReader},
    model::Position,
};

/// States by position.
#[derive(Default)]
pub(super) struct Snapshots(BTreeMap<Position, Books>);

impl Snapshots {
    /// Reads the snapshot that stands for what was trimmed, and the one that the index holds to be the newest. An index
    /// that is older than the journal's beginning may know one that is gone.
    pub(super) fn load(
        journal: &JournalReader,
        newest: Option<SnapshotMark>,
        key: DigestKey,
        report: &mut Report,
    ) -> Result<Self, JournalError> {
        let base = journal.base();
        let begins_after = base.map_or(Position::ZERO, |base| base.head.position);
        let newest = newest.filter(|newest| newest.as_of.position >= begins_after);
        let mut snapshots = Self::default();
        for mark in base.map(|base| base.snapshot).into_iter().chain(newest) {
            if snapshots.0.contains_key(&mark.as_of.position) {
                continue;
            }
            let (mut books, mut entries) = (Books::new(key), 0);
            let whole = read(journal, mark, &mut |content| {
                entries += content.entries();
                books.load(content, mark.as_of.position, report);
            })?;
            if !whole {
                report.find(|| format!("the snapshot at {} to {} is not whole", mark.first, mark.last));
                continue;
            }
            if entries != mark.entries {
                report.find(|| format!("the snapshot at {} has another count of entries", mark.first));
            }
            snapshots.0.insert(mark.as_of.position, books);
        }
        Ok(snapshots)
    }

    /// The state of this position, if a snapshot says it.
    pub(super) fn remove(&mut self, position: Position) -> Option<Books> {
        self.0.remove(&position)
    }
}

/// Calls `visit` with what each part of a snapshot says; `false` if they are not all there.
fn read(
    journal: &JournalReader,
    mark: SnapshotMark,
    visit: &mut dyn FnMut(SnapshotContent),
) -> Result<bool, JournalError> {
    let mut tracker = SnapshotTracker::default();
    let mut whole = false;
    let mut past = false;
    let read = journal.read(Position(mark.first.0.saturating_sub(1)), &mut |group| {
        for (index, frame) in (0..).zip(group.frames()) {
            let position = group.first.plus(index);
            if position < mark.first || position > mark.last {
                continue;
            }
            let broken = |reason: String| JournalError::Broken { after: Position(position.0 - 1), reason };
            let bytes = frame.map_err(|error| broken(error.to_string()))?;
            let record = Record::decode(bytes).map_err(|error| broken(error.to_string()))?;
            if let Record::Snapshot(part) = record {
                whole = tracker.take(position, part.head) == Some(mark);
                visit(part.content);
            }
        }
        past = group.head().position >= mark.last;
        if past { Err(JournalError::Storage("the snapshot is read".into())) } else { Ok(()) }
    });
    if !past {
        read?;
    }
    Ok(whole)
}

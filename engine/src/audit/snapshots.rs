//! The journal's snapshots against the books and the index.
//!
//! Owns the states that snapshots say. Where a journal was trimmed, the books begin with one of them.

use std::collections::BTreeMap;

use super::{Report, books::Books, comparison::Comparison};
use crate::{
    journal::{
        Base, JournalError, Record, SnapshotContent, SnapshotMark, SnapshotTracker, rocks::JournalReader,
    },
    model::Position,
};

/// States by position.
#[derive(Default)]
pub(super) struct Snapshots(BTreeMap<Position, (SnapshotMark, Books)>);

impl Snapshots {
    /// Reads the snapshot that stands for what was trimmed, and the one that the index holds to be the newest.
    pub(super) fn load(
        journal: &JournalReader,
        newest: Option<SnapshotMark>,
        report: &mut Report,
    ) -> Result<Self, JournalError> {
        let base = journal.base().map(|base| base.snapshot);
        let mut snapshots = Self::default();
        for mark in base.into_iter().chain(newest) {
            if snapshots.0.contains_key(&mark.as_of.position) {
                continue;
            }
            let Some(content) = content_of(journal, mark)? else {
                report.find(|| format!("the snapshot at {} to {} is not whole", mark.first, mark.last));
                continue;
            };
            if content.entries() != mark.entries {
                report.find(|| format!("the snapshot at {} has another count of entries", mark.first));
            }
            let mut books = Books::default();
            books.load(content, mark.as_of.position, report);
            snapshots.0.insert(mark.as_of.position, (mark, books));
        }
        Ok(snapshots)
    }

    /// The books with which the check of a trimmed journal begins; compared with the index's balances then.
    pub(super) fn begin(
        &mut self,
        base: Base,
        comparison: Option<&Comparison>,
        report: &mut Report,
    ) -> Result<Option<Books>, crate::index::IndexError> {
        let Some((mark, books)) = self.0.remove(&base.snapshot.as_of.position) else { return Ok(None) };
        let mut compared = 0;
        if let Some(comparison) = comparison {
            compared = comparison.balances(&books, mark.as_of.position, report)?;
        }
        let (begins_after, as_of) = (base.head.position, mark.as_of.position);
        report.trimmed = Some(super::Trimmed { begins_after, as_of, compared });
        Ok(Some(books))
    }

    /// Compares the snapshot of this position, if there is one, with the books.
    pub(super) fn compare(&mut self, position: Position, books: &Books, report: &mut Report) {
        if let Some((_, stated)) = self.0.remove(&position) {
            report.snapshots += 1;
            stated.compare(books, position, report);
        }
    }
}

/// What a snapshot's parts say; `None` if they are not all there.
fn content_of(journal: &JournalReader, mark: SnapshotMark) -> Result<Option<SnapshotContent>, JournalError> {
    let mut tracker = SnapshotTracker::default();
    let mut content = SnapshotContent::default();
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
                content.append(part.content);
            }
        }
        past = group.head().position >= mark.last;
        if past { Err(JournalError::Storage("the snapshot is read".into())) } else { Ok(()) }
    });
    if !past {
        read?;
    }
    Ok(whole.then_some(content))
}

//! The walk through what was decided: what the index alone still tells, if the journal was trimmed, then the journal.
//!
//! Owns the books, the index's past and the snapshots beside them, and the report. Never writes. Invariant: the books end
//! with what the journal says; where only the index tells of a record, a snapshot in the journal has the last word.

use super::{
    AuditError, PROGRESS_RECORDS, Progress, Report, Trimmed, books::Books, comparison::Comparison,
    digest::DigestKey, heads::KeptHeads, past::Past, snapshots::Snapshots,
};
use crate::{
    journal::{self, Base, Checkpoint, GroupRef, JournalError, Record, rocks::JournalReader},
    model::Position,
};

/// See the module.
pub(super) struct Walk<'a> {
    journal: &'a JournalReader,
    comparison: Option<&'a Comparison>,
    watermark: Checkpoint,
    snapshots: Snapshots,
    heads: KeptHeads,
    /// `None` where there is no index, or none that reaches the journal.
    past: Option<Past<'a>>,
    books: Books,
    /// The state of this position is taken from a snapshot.
    stated_at: Option<Position>,
    /// Nobody tells what was decided before.
    begins: Position,
    report: Report,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        journal: &'a JournalReader,
        comparison: Option<&'a Comparison>,
        kept: &[Checkpoint],
    ) -> Result<Self, AuditError> {
        let watermark = comparison.map_or(Checkpoint::default(), Comparison::watermark);
        let mut report = Report { indexed: watermark.position, ..Report::default() };
        let newest = comparison.map(Comparison::newest_snapshot).transpose()?.flatten();
        let key = DigestKey::random();
        let snapshots = Snapshots::load(journal, newest, key, &mut report)?;
        let begins_after = journal.base().map_or(Position::ZERO, |base| base.head.position);
        let past = comparison.filter(|_| watermark.position >= begins_after);
        let past = past.map(|comparison| comparison.past(key)).transpose()?;
        Ok(Self {
            journal,
            comparison,
            watermark,
            snapshots,
            heads: KeptHeads::new(kept),
            past,
            books: Books::new(key),
            stated_at: None,
            begins: Position::ZERO,
            report,
        })
    }

    /// Begins with what a trimmed journal no longer has.
    pub(super) fn begin(&mut self, base: Base, progress: &mut dyn FnMut(Progress)) -> Result<(), AuditError> {
        let (begins_after, as_of) = (base.head.position, base.snapshot.as_of.position);
        self.report.trimmed = Some(Trimmed { begins_after, as_of, compared: 0 });
        self.stated_at = Some(as_of);
        if let Some(past) = &mut self.past {
            let of = self.journal.witnessed().0;
            let books = &mut self.books;
            past.retell(begins_after, &mut self.report, &mut |(position, at), record, report| {
                books.take((position, at), record, report);
                if position.0.is_multiple_of(PROGRESS_RECORDS) {
                    progress(Progress::Journal { records: position.0, of });
                }
            })?;
        } else {
            self.begins = as_of;
            let index = self.watermark.position;
            self.report.find(|| {
                format!("the journal begins after {begins_after}, and the index ends at {index} (0: it is missing)")
            });
        }
        self.heads.begin(begins_after);
        self.arrive(base.checkpoint());
        Ok(())
    }

    /// Goes on by a group of the journal.
    pub(super) fn take(
        &mut self,
        group: GroupRef<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), JournalError> {
        let head = group.head();
        for (index, frame) in (0_u32..).zip(group.frames()) {
            let position = group.first.plus(u64::from(index));
            let at = group.at.plus_nanos(i64::from(index));
            let broken = |reason: String| JournalError::Broken { after: Position(position.0 - 1), reason };
            let bytes = frame.map_err(|error| broken(error.to_string()))?;
            let record = Record::decode(bytes).map_err(|error| broken(error.to_string()))?;
            if position > self.begins {
                self.books.take((position, at), &record, &mut self.report);
            }
            if let Some(past) = &mut self.past {
                past.take((position, at, bytes), &record, &mut self.report);
            }
            if position.0.is_multiple_of(PROGRESS_RECORDS) {
                progress(Progress::Journal { records: position.0, of: self.journal.witnessed().0 });
            }
        }
        self.arrive(Checkpoint { position: head.position, hash: head.hash });
        Ok(())
    }

    /// At the end of a group.
    fn arrive(&mut self, head: Checkpoint) {
        let at = head.position;
        self.heads.arrive(head);
        if let Some(stated) = self.snapshots.remove(at) {
            if self.stated_at == Some(at) {
                self.begin_with(stated, at);
            } else if at > self.begins {
                self.report.snapshots += 1;
                stated.compare(&self.books, at, &mut self.report);
            }
        }
        if at == self.watermark.position && at > Position::ZERO {
            if head.hash != self.watermark.hash {
                self.report.find(|| format!("the index was built from another journal, up to {at}"));
            }
            if let (Some(comparison), Some(past)) = (self.comparison, &self.past) {
                comparison.state(&self.books, &mut self.report);
                past.ends(&self.books, &mut self.report);
            }
        }
    }

    /// Goes on with the state that the journal's snapshot says, once the one that the index tells was compared with it.
    fn begin_with(&mut self, stated: Books, at: Position) {
        if self.past.is_some() {
            stated.compare(&self.books, at, &mut self.report);
            if let Some(trimmed) = &mut self.report.trimmed {
                trimmed.compared = u64::try_from(stated.ledger.accounts().count()).unwrap_or(u64::MAX);
            }
        }
        self.books = stated;
    }

    /// When all was walked.
    pub(super) fn finish(
        self,
        walked: journal::Report,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, AuditError> {
        let Self { journal, watermark, heads, past, books, mut report, .. } = self;
        if watermark.position > walked.head.position {
            report.find(|| format!("the index is at {}, behind the journal's end", watermark.position));
        }
        (report.position, report.head) = (walked.head.position, walked.head.hash);
        (report.witnessed, report.groups) = (walked.witnessed.position, walked.groups);
        heads.finish(&mut report);
        books.finish(&mut report);
        if let Some(past) = past {
            past.finish(journal, &mut report, progress)?;
        }
        Ok(report)
    }
}

//! The index's past against the journal: every record, opening, id, posting, hold and reversed total.
//!
//! Owns a place in each of the index's families, which go along with the walk through the journal. Each block is read
//! once, and memory is bounded by one segment's postings and the numbers of accounts and live holds. Invariant: what
//! passes is the journal's, all of it, and nothing else; where the journal was trimmed, all else in the index is what the
//! index's own records make of it.

use super::{
    AuditError, Progress, Report,
    books::Books,
    digest::{Digest, DigestKey},
    holds::Holds,
    postings::Postings,
};
use crate::{
    index::{Index, IndexError, PostingScan, RecordScan, StoredRecord},
    journal::{GroupError, JournalError, Record, rocks::JournalReader},
    model::{Position, Timestamp, TransactionId},
};

/// See the module.
pub(super) struct Past<'a> {
    index: &'a Index,
    end: Position,
    /// Up to here only the index has the records.
    retold: Position,
    records: RecordScan<'a>,
    openings: RecordScan<'a>,
    postings: PostingScan<'a>,
    /// In reverse.
    segments: Vec<(u32, Position)>,
    history: Postings,
    holds: Holds,
    key: DigestKey,
    ids: Digest,
    failed: Option<IndexError>,
}

/// Takes a record with its place.
type Visit<'a> = &'a mut dyn FnMut((Position, Timestamp), &Record, &mut Report);

impl<'a> Past<'a> {
    /// Ids that are compared between two reports of progress.
    const IDS_AT_ONCE: u64 = 1 << 16;

    /// Before the first record; `end` is the index's watermark.
    pub(super) fn new(index: &'a Index, end: Position, key: DigestKey) -> Result<Self, IndexError> {
        let mut segments = index.segments();
        segments.reverse();
        Ok(Self {
            index,
            end,
            retold: Position::ZERO,
            records: index.scan_records()?,
            openings: index.scan_openings()?,
            postings: index.scan_postings()?,
            segments,
            history: Postings::default(),
            holds: Holds::default(),
            key,
            ids: Digest::default(),
            failed: None,
        })
    }

    /// Begins with the index's own records up to a position that the journal no longer has, which must have no gap, and
    /// calls `visit` with each.
    pub(super) fn retell(
        &mut self,
        up_to: Position,
        report: &mut Report,
        visit: Visit<'_>,
    ) -> Result<(), IndexError> {
        let mut records = self.index.scan_records()?;
        let mut last = (Position::ZERO, Timestamp(i64::MIN));
        while let Some((position, at, bytes)) = records.record()?.filter(|it| it.0 <= up_to) {
            let record = Record::decode(bytes)
                .map_err(|error| IndexError::Group { first: position, error: GroupError::Record(error) })?;
            if position != last.0.next() || at <= last.1 {
                report.find(|| format!("index: record {position} does not follow {}", last.0));
            }
            visit((position, at), &record, report);
            self.follow((position, at, bytes), &record, report)?;
            last = (position, at);
            records.advance();
        }
        if last.0 != up_to {
            report.find(|| {
                format!("index: its records go to {}, and the journal begins after {up_to}", last.0)
            });
        }
        (self.records, self.retold) = (records, up_to);
        Ok(())
    }

    /// Goes on by a record of the journal. What keeps the index from being read is told by [`Past::finish`].
    pub(super) fn take(&mut self, stored: StoredRecord<'_>, record: &Record, report: &mut Report) {
        if stored.0 > self.end || self.failed.is_some() {
            return;
        }
        if let Err(error) = self.compare(stored, record, report) {
            self.failed = Some(error);
        }
    }

    fn compare(
        &mut self,
        stored: StoredRecord<'_>,
        record: &Record,
        report: &mut Report,
    ) -> Result<(), IndexError> {
        let (position, at, bytes) = stored;
        compare_record(&mut self.records, (position, at, &Record::indexed(bytes)), "record", report)?;
        self.follow(stored, record, report)
    }

    /// Compares all that the index makes of a record.
    fn follow(
        &mut self,
        stored: StoredRecord<'_>,
        record: &Record,
        report: &mut Report,
    ) -> Result<(), IndexError> {
        let (position, _, _) = stored;
        self.holds.take(position, record, &self.key);
        match record {
            Record::AccountOpened { no, opening, .. } => {
                compare_record(&mut self.openings, stored, "opening", report)?;
                self.history.open(*no, opening.normal);
            }
            Record::Posted(posted) => {
                let aliases = posted.attachment.iter().flat_map(|attachment| &attachment.aliases);
                for &id in std::iter::once(&posted.id).chain(aliases) {
                    self.ids.add_id(&self.key, id, position);
                }
                self.history.take(position, posted);
            }
            Record::Refused(refused) => self.ids.add_id(&self.key, refused.transaction.id, position),
            Record::AccountChanged { .. } | Record::HoldExpired { .. } | Record::Snapshot(_) => {}
        }
        if let Some((segment, _)) = self.segments.pop_if(|(_, last)| *last == position) {
            report.history_rows += self.history.end_segment(segment, &mut self.postings, report)?;
        }
        Ok(())
    }

    /// At the index's watermark: every history ends where the account is.
    pub(super) fn ends(&self, books: &Books, report: &mut Report) {
        self.history.ends(&books.ledger, |no| self.index.newest_posting(no), report);
    }

    /// When the whole journal was walked: the index has no more than it, and the same ids.
    pub(super) fn finish(
        mut self,
        journal: &JournalReader,
        report: &mut Report,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), AuditError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        for (scan, what) in [(&mut self.records, "records"), (&mut self.openings, "openings")] {
            if let Some((position, _, _)) = scan.record()? {
                report.find(|| format!("index: there are {what} beyond its watermark, from {position} on"));
            }
        }
        if !self.postings.is_at_end() {
            report.find(|| "index: there are postings beyond its watermark".into());
        }
        self.holds.finish(self.index, &self.key, report)?;
        if self.indexed_ids(report, progress)? != self.ids {
            self.name_ids(journal, report, progress)?;
        }
        Ok(())
    }

    /// All ids of the index, each of which must be there once.
    fn indexed_ids(
        &self,
        report: &mut Report,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Digest, IndexError> {
        let mut scan = self.index.scan_ids();
        let mut found = Digest::default();
        let mut last = None;
        while let Some((id, position)) = scan.next()? {
            if let Some((before, earlier)) = last.replace((id, position))
                && before == id
            {
                report.find(|| format!("transaction {id} is at {earlier} and at {position}"));
            }
            found.add_id(&self.key, id, position);
            if found.count.is_multiple_of(Self::IDS_AT_ONCE) {
                progress(Progress::Ids { ids: found.count, of: self.ids.count });
            }
        }
        Ok(found)
    }

    /// The ids differ: looks each of the journal's up, one by one, to name those that are not found.
    fn name_ids(
        &self,
        journal: &JournalReader,
        report: &mut Report,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), AuditError> {
        let before = report.findings.len();
        let mut records = self.index.scan_records()?;
        while let Some((position, _, bytes)) = records.record()?.filter(|it| it.0 <= self.retold) {
            for id in Record::transaction_ids(bytes) {
                self.look_up(id, position, report)?;
            }
            records.advance();
        }
        let mut failed = None;
        journal.read(self.retold, &mut |group| {
            for (offset, frame) in (0..).zip(group.frames()) {
                let position = group.first.plus(offset);
                if position <= self.retold || position > self.end || failed.is_some() || report.is_full() {
                    return Ok(());
                }
                let bytes = frame
                    .map_err(|error| JournalError::Broken { after: position, reason: error.to_string() })?;
                for id in Record::transaction_ids(bytes) {
                    if let Err(error) = self.look_up(id, position, report) {
                        failed = Some(error);
                    }
                }
            }
            progress(Progress::Index { records: group.head().position.0, of: self.end.0 });
            Ok(())
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        if report.findings.len() == before {
            report.find(|| "index: it has ids that the journal does not have".into());
        }
        Ok(())
    }

    fn look_up(&self, id: TransactionId, position: Position, report: &mut Report) -> Result<(), IndexError> {
        let found = self.index.find_transaction(id)?;
        if found != Some(position) {
            report.find(|| {
                let found = found.map_or("nowhere".to_owned(), |found| found.to_string());
                format!("index: transaction {id} is at {position}, and is found {found}")
            });
        }
        Ok(())
    }
}

/// Compares a record with the one that the scan is at, and goes on behind it.
fn compare_record(
    scan: &mut RecordScan<'_>,
    stored: StoredRecord<'_>,
    what: &str,
    report: &mut Report,
) -> Result<(), IndexError> {
    let (position, _, _) = stored;
    while let Some(found) = scan.record()? {
        let there = found.0;
        if there > position {
            break;
        }
        let is_same = found == stored;
        scan.advance();
        if there == position {
            if !is_same {
                report.find(|| format!("index: {what} {position} is another one than the journal's"));
            }
            return Ok(());
        }
        report.find(|| format!("index: {what} {there} is not the journal's"));
    }
    report.find(|| format!("index: {what} {position} is missing"));
    Ok(())
}

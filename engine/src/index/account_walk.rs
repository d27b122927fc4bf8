//! The walk through one account's postings, newest first: through the tails and then the segments.
//!
//! Owns the ways to find a posting. In memory and on disk alike each posting names the position of the one before, so
//! that a walk passes over all that is not the account's. Never reads a record.

use super::{
    HistoryCursor, IndexError,
    posting_block::{self, PostingRun, StoredPosting},
    store::{Family, Store, Walk},
    tail::TailGroup,
    view::{Segment, View},
};
use crate::model::{AccountNo, Position};

/// Where a walk is.
enum Place<'a> {
    /// At this posting of this group.
    Tail(&'a TailGroup, usize),
    /// At the last posting of this part of a segment.
    Segment(PostingRun),
    /// Nowhere, or past the oldest posting.
    End,
}

/// A walk through one account's postings.
pub(super) struct AccountWalk<'a> {
    store: &'a Store,
    view: &'a View,
    account: AccountNo,
    /// What is before this position is of no interest.
    least: Position,
    place: Place<'a>,
    blocks: Option<Walk<'a>>,
}

impl<'a> AccountWalk<'a> {
    pub(super) fn new(store: &'a Store, view: &'a View, account: AccountNo, least: Position) -> Self {
        Self { store, view, account, least, place: Place::End, blocks: None }
    }

    /// Goes to the newest posting below a place, given the position of the account's newest one of all.
    pub(super) fn newest_below(
        &mut self,
        below: HistoryCursor,
        newest: Position,
    ) -> Result<Option<StoredPosting>, IndexError> {
        if below <= (HistoryCursor { position: self.least, operation: 0 }) {
            return Ok(None);
        }
        if newest < below.position {
            return self.jump(newest);
        }
        if below.operation > 0 && self.go_to(below.position)? {
            // The usual case of a cursor: the account has postings at the position itself.
            let mut next = self.here();
            while let Some(posting) = next {
                if posting.position < below.position || posting.operation < below.operation {
                    return Ok(next);
                }
                next = self.older()?;
            }
            return Ok(None);
        }
        if self.view.sealed().next() < below.position
            && let Some(found) = self.search_tails(below.position, newest)?
        {
            return Ok(found);
        }
        self.search_segments(below.position)
    }

    /// Goes to the next older posting.
    pub(super) fn older(&mut self) -> Result<Option<StoredPosting>, IndexError> {
        let previous = match &mut self.place {
            Place::End => return Ok(None),
            &mut Place::Tail(group, index) => match self.before_in_record(group, index) {
                Ok(place) => {
                    self.place = place;
                    return Ok(self.here());
                }
                Err(previous) => previous,
            },
            Place::Segment(run) => {
                run.postings.pop();
                if !run.postings.is_empty() {
                    return Ok(self.here());
                }
                run.previous
            }
        };
        self.jump(previous)
    }

    /// Where the walk is.
    fn here(&self) -> Option<StoredPosting> {
        match &self.place {
            Place::End => None,
            Place::Tail(group, index) => group.postings.get(*index).map(|posting| StoredPosting {
                position: group.position(posting.record),
                operation: posting.operation,
                direction: posting.direction,
                balance: posting.balance(),
            }),
            Place::Segment(run) => run.postings.last().copied(),
        }
    }

    /// Goes to the newest posting at a position that another posting names, or to the end.
    fn jump(&mut self, position: Position) -> Result<Option<StoredPosting>, IndexError> {
        self.place = Place::End;
        if position == Position::ZERO || position < self.least || self.go_to(position)? {
            return Ok(self.here());
        }
        Err(IndexError::damaged(format!("account {} has no posting at {position}", self.account.0)))
    }

    /// Goes to the newest posting at a position; whether there is one.
    fn go_to(&mut self, position: Position) -> Result<bool, IndexError> {
        self.place = Place::End;
        if let Some((_, tail)) = self.view.tail_of(position) {
            if let Some((_, group)) = tail.group_of(position)
                && let Some(record) = group.record(position)
            {
                self.place =
                    self.last_of_record(group, record, group.postings_before(record.saturating_add(1)));
            }
        } else if let Some(segment) = self.view.segment_of(position) {
            let run = self.read_run(segment, position)?;
            if run.postings.last().is_some_and(|posting| posting.position == position) {
                self.place = Place::Segment(run);
            }
        }
        Ok(self.here().is_some())
    }

    /// The account's last posting of a record, before an index.
    fn last_of_record(&self, group: &'a TailGroup, record: u32, end: usize) -> Place<'a> {
        let before = group.postings.iter().enumerate().take(end).rev();
        let mut same = before.take_while(|(_, posting)| posting.record == record);
        let found = same.find(|(_, posting)| posting.account == self.account);
        found.map_or(Place::End, |(index, _)| Place::Tail(group, index))
    }

    /// The account's posting before this one: in the same record, or else the position of its record.
    fn before_in_record(&self, group: &'a TailGroup, index: usize) -> Result<Place<'a>, Position> {
        match group.postings.get(index) {
            Some(posting) if posting.previous == group.position(posting.record) => {
                Ok(self.last_of_record(group, posting.record, index))
            }
            Some(posting) => Err(posting.previous),
            None => Err(Position::ZERO),
        }
    }

    /// The position of the account's posting before those at a position in a tail.
    fn position_before(&mut self, position: Position) -> Result<Position, IndexError> {
        self.jump(position)?;
        while let Place::Tail(group, index) = self.place {
            match self.before_in_record(group, index) {
                Ok(place) => self.place = place,
                Err(previous) => return Ok(previous),
            }
        }
        Err(IndexError::damaged(format!("account {} has a broken chain at {position}", self.account.0)))
    }

    /// Looks in the tails for the newest posting before a position, for which `newest` is too new. `None`: look on disk.
    ///
    /// Two ways at once: back from the account's newest posting along the links, which is short for an account with
    /// little to do, and back from the position through everybody's postings, which is short for a busy one.
    fn search_tails(
        &mut self,
        before: Position,
        newest: Position,
    ) -> Result<Option<Option<StoredPosting>>, IndexError> {
        /// A link costs about as much as this many postings in a row.
        const POSTINGS_PER_LINK: usize = 256;
        let mut everybody = postings_before(self.view, before);
        let mut link = newest;
        loop {
            // Here `link` is at `before` or beyond it.
            link = self.position_before(link)?;
            if link < before {
                return self.jump(link).map(Some);
            }
            for _ in 0..POSTINGS_PER_LINK {
                let Some((group, index)) = everybody.next() else { return Ok(None) };
                if group.postings.get(index).is_some_and(|posting| posting.account == self.account) {
                    self.place = Place::Tail(group, index);
                    return Ok(Some(self.here()));
                }
            }
        }
    }

    /// Looks on disk for the newest posting before a position.
    fn search_segments(&mut self, before: Position) -> Result<Option<StoredPosting>, IndexError> {
        self.place = Place::End;
        let started = self.view.segments.partition_point(|segment| segment.first < before);
        let view = self.view;
        for segment in view.segments.iter().take(started).rev() {
            if segment.last < self.least {
                break;
            }
            let last = Position(before.0.saturating_sub(1)).min(segment.last);
            let run = self.read_run(segment, last)?;
            if !run.postings.is_empty() {
                self.place = Place::Segment(run);
                break;
            }
            if run.previous != Position::ZERO {
                // Its first posting in the segment is beyond the place, and says where the one before is.
                return self.jump(run.previous);
            }
        }
        Ok(self.here())
    }

    /// The account's postings of the block that has its newest one up to a position, up to there.
    fn read_run(&mut self, segment: &Segment, up_to: Position) -> Result<PostingRun, IndexError> {
        let blocks = self.blocks.get_or_insert_with(|| self.store.walk(Family::Postings));
        blocks.go_to_at_most(&posting_block::key(segment.no, self.account, up_to))?;
        match blocks.item() {
            Some((key, block)) if posting_block::key_segment(key) == Some(segment.no) => {
                let mut run = posting_block::find_run(block, self.account)?;
                let end = run.postings.partition_point(|posting| posting.position <= up_to);
                run.postings.truncate(end);
                Ok(run)
            }
            Some(_) | None => Ok(PostingRun::default()),
        }
    }
}

/// Everybody's postings in the tails before a position, newest first.
fn postings_before(view: &View, before: Position) -> impl Iterator<Item = (&TailGroup, usize)> {
    view.tails.iter().rev().flat_map(move |tail| {
        let groups = (0..tail.groups_before(before)).rev().filter_map(|index| tail.get(index));
        groups.flat_map(move |group| {
            let end = group.record(before).map_or(0, |record| group.postings_before(record));
            (0..end).rev().map(move |index| (group, index))
        })
    })
}

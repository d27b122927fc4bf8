//! The follower: applies the journal, group by group, and keeps the tail.
//!
//! Owns the replica of all accounts, the open tail, and what changed since the last segment was closed. One thread, no
//! clock, no disk. Invariant: a group is visible to readers whole or not at all, and [`Index::applied`] names it only
//! when all of it is visible.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Direction, HoldRow, Index, IndexError, IndexOptions, SealedReversal, TrialBalance,
    account_page::{self, PAGE_ACCOUNTS},
    tail::{self, Posting, Tail, TailGroup},
    totals::Totals,
    view::{AccountHead, View},
};
use crate::{
    journal::{Checkpoint, Group, PostedTransaction, Record, SnapshotMark, SnapshotTracker},
    ledger::{Account, Ledger},
    model::{
        AccountNo, AccountOpening, Amount, Cell, CellKind, HoldEnd, HoldId, NormalSide, Position, PostedKind,
        Timestamp,
    },
};

/// What the follower knows of an account besides the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Posted on the normal side.
    pub(super) balance: i128,
    pub(super) changed: Position,
    pub(super) posted: Position,
    /// Its row of the trial balance.
    pub(super) row: u32,
    pub(super) normal: NormalSide,
}

impl Mark {
    pub(super) const ABSENT: Self = Self {
        balance: 0,
        changed: Position::ZERO,
        posted: Position::ZERO,
        row: 0,
        normal: NormalSide::Credit,
    };
}

/// What changed since the last segment was closed.
#[derive(Debug, Default)]
struct Changes {
    records: u64,
    postings: u64,
    bytes: u64,
    /// By page: whether an account of it changed.
    dirty: Vec<bool>,
    pages: Vec<u32>,
    openings: Vec<Position>,
    account_changes: Vec<Position>,
    holds_placed: Vec<HoldId>,
    holds_ended: Vec<HoldId>,
    reversals: Vec<SealedReversal>,
    cells: BTreeSet<(AccountNo, CellKind)>,
    /// The newest snapshot that is complete.
    snapshot: Option<SnapshotMark>,
}

/// A closed segment on its way to the sealer.
pub struct Frozen {
    pub(super) tail: Arc<Tail>,
    pub(super) checkpoint: Checkpoint,
    pub(super) at: Timestamp,
    pub(super) pages: Vec<(u32, Vec<u8>)>,
    pub(super) openings: Vec<Position>,
    pub(super) totals: Vec<u8>,
    /// Accounts as of the records that changed their rules.
    pub(super) account_changes: Vec<(Position, Account)>,
    pub(super) holds_placed: Vec<HoldId>,
    /// Holds that were placed in the segment and live at its end.
    pub(super) holds_live: Vec<(HoldId, HoldRow)>,
    pub(super) holds_ended: Vec<(HoldId, HoldRow)>,
    pub(super) reversals: Vec<SealedReversal>,
    /// Cells that were written in the segment, as they are at its end.
    pub(super) cells: Vec<(AccountNo, CellKind, Cell)>,
    pub(super) snapshot: Option<SnapshotMark>,
}

impl Frozen {
    /// The segment's end.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }
}

/// The single writer of the index's memory.
pub struct Follower {
    index: Arc<Index>,
    options: IndexOptions,
    ledger: Ledger,
    marks: Vec<Mark>,
    totals: Totals,
    tail: Arc<Tail>,
    changes: Changes,
    checkpoint: Checkpoint,
    at: Timestamp,
    /// A snapshot may begin in one segment and end in a later one.
    snapshots: SnapshotTracker,
}

/// The state that a follower starts from.
pub(super) struct Start {
    pub(super) ledger: Ledger,
    pub(super) marks: Vec<Mark>,
    pub(super) totals: Totals,
    pub(super) checkpoint: Checkpoint,
    pub(super) at: Timestamp,
}

/// The parts of a group while it is taken apart.
struct Parts {
    postings: Vec<Posting>,
    record: u32,
    position: Position,
}

impl Follower {
    pub(super) fn new(index: Arc<Index>, options: &IndexOptions, start: Start) -> Self {
        let tail = index.view.load().tails.last().map(Arc::clone).expect("a view has an open tail");
        let Start { ledger, marks, totals, checkpoint, at } = start;
        let changes = Changes::default();
        let snapshots = SnapshotTracker::default();
        Self { index, options: *options, ledger, marks, totals, tail, changes, checkpoint, at, snapshots }
    }

    /// The end of what was applied.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// The time of the last record.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// All accounts and live holds as of [`Follower::checkpoint`]. Ended holds and reversed totals are not here.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The last record that changed an account; zero if it is not open.
    #[must_use]
    pub fn changed(&self, account: AccountNo) -> Position {
        self.marks.get(account.index()).map_or(Position::ZERO, |mark| mark.changed)
    }

    /// Turnover by first address part and asset.
    #[must_use]
    pub fn trial_balance(&self) -> TrialBalance {
        let mut rows = self.totals.rows.clone();
        rows.sort_by(|one, other| (&one.group, &one.asset).cmp(&(&other.group, &other.asset)));
        TrialBalance { position: self.checkpoint.position, at: self.at, rows }
    }

    /// Applies the next group. Gives the segment that the group closes, if it does; the caller bounds how many wait for
    /// the sealer.
    ///
    /// # Errors
    /// The group does not follow, or does not decode. The follower is of no use then.
    ///
    /// # Panics
    /// A record does not fit the accounts: the ledger is broken.
    pub fn step(&mut self, group: Arc<Group>) -> Result<Option<Frozen>, IndexError> {
        let first = group.first;
        if first != self.checkpoint.position.next() || group.previous != self.checkpoint.hash {
            return Err(IndexError::Gap { at: self.checkpoint.position, first });
        }
        let damaged = |error| IndexError::Group { first, error };
        let spans = tail::spans(&group).map_err(damaged)?;
        let mut parts = Parts { postings: Vec::with_capacity(2 * spans.len()), record: 0, position: first };
        for frame in group.frames() {
            let record =
                Record::decode(frame.map_err(damaged)?).map_err(|error| IndexError::record(first, error))?;
            self.ledger.apply(&record);
            self.note(&record, &mut parts)?;
            parts.record += 1;
            parts.position = parts.position.next();
        }
        let head = group.head();
        self.changes.records += u64::from(group.count);
        self.changes.postings += u64::try_from(parts.postings.len()).unwrap_or(u64::MAX);
        self.changes.bytes += u64::try_from(group.records.len()).unwrap_or(u64::MAX);
        (self.checkpoint, self.at) = (group.checkpoint(), head.at);
        self.publish(TailGroup::new(group, spans, parts.postings));
        let full = self.changes.records >= u64::from(self.options.segment_records_max)
            || self.changes.postings >= u64::from(self.options.segment_postings_max)
            || self.changes.bytes >= self.options.segment_bytes_max;
        Ok(if full { self.freeze() } else { None })
    }

    /// For a planted bug: the free legs of a group that is about to be replayed are added once more.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn plant_a_second_leg(&mut self, group: &Group) {
        use crate::planted::{Bug, planted};
        let records = group.frames().flatten().filter_map(|frame| Record::decode(frame).ok());
        for record in records.filter(|_| planted(Bug::FreeLegTwiceInRecovery)) {
            crate::ledger::effects(&record, |no, delta| {
                if delta.net > 0 && self.ledger.owns(no) {
                    self.ledger.apply_delta(no, delta);
                }
            });
        }
    }

    /// First the group, then the accounts' heads that lead to it, then the position that says it is there.
    fn publish(&self, group: TailGroup) {
        let last = group.last();
        self.tail.push(group);
        if let Some(group) = self.tail.len().checked_sub(1).and_then(|index| self.tail.get(index)) {
            for posting in &group.postings {
                if let Some(head) = self.index.heads.get(posting.account.index()) {
                    head.posting.store(group.position(posting.record).0, Ordering::Release);
                }
            }
        }
        self.index.applied.store(last.0, Ordering::Release);
        self.index.head.send_replace(last);
    }

    fn note(&mut self, record: &Record, parts: &mut Parts) -> Result<(), IndexError> {
        match record {
            Record::AccountOpened { no, opening, .. } => self.note_opening(*no, opening, parts.position),
            Record::AccountChanged { no, .. } => self.note_change(*no, parts.position),
            Record::Posted(posted) => self.note_posted(posted, parts)?,
            Record::Refused(_) => (),
            Record::HoldExpired { hold, debit, credit, .. } => {
                self.touch(*debit, parts.position);
                self.touch(*credit, parts.position);
                self.end_hold(*hold, HoldEnd::Expired, Amount::ZERO, parts.position)?;
            }
            Record::Snapshot(part) => {
                let complete = self.snapshots.take(parts.position, part.head);
                self.changes.snapshot = complete.or(self.changes.snapshot);
            }
        }
        Ok(())
    }

    fn note_opening(&mut self, no: AccountNo, opening: &AccountOpening, position: Position) {
        let row = self.totals.row(opening);
        open_mark(&mut self.marks, &self.index, no, position);
        if let Some(mark) = self.marks.get_mut(no.index()) {
            *mark = Mark { row, normal: opening.normal, ..Mark::ABSENT };
        }
        self.changes.openings.push(position);
        self.touch(no, position);
    }

    /// Keeps the account as of the record: later records change it again.
    fn note_change(&mut self, no: AccountNo, position: Position) {
        self.touch(no, position);
        let account = self.ledger.account(no).expect("a change is to an open account");
        self.index.changes.insert(position, account.clone());
        self.changes.account_changes.push(position);
    }

    fn note_posted(&mut self, posted: &PostedTransaction, parts: &mut Parts) -> Result<(), IndexError> {
        let cells = posted.attachment.iter().flat_map(|attachment| &attachment.cells);
        self.changes.cells.extend(cells.map(|write| (write.account, write.kind)));
        for (index, operation) in (0_u8..).zip(&posted.operations) {
            let (debit, credit) = operation.kind.accounts();
            self.touch(debit, parts.position);
            self.touch(credit, parts.position);
            if let Some(amount) = operation.kind.moved() {
                self.post(debit, Direction::Debit, amount, index, parts);
                self.post(credit, Direction::Credit, amount, index, parts);
            }
            match operation.kind {
                PostedKind::Transfer { .. } => (),
                PostedKind::Hold { id, debit, credit, amount, expires_in } => {
                    let row = HoldRow {
                        debit,
                        credit,
                        amount,
                        captured: Amount::ZERO,
                        placed_at: posted.decided_at,
                        expires_at: posted.decided_at.plus_seconds(expires_in),
                        code: posted.code_of(usize::from(index)).cloned(),
                        placed: parts.position,
                        ended: None,
                    };
                    self.index.holds.insert(id, row);
                    self.changes.holds_placed.push(id);
                }
                PostedKind::Capture { hold, amount, .. } => {
                    self.end_hold(hold, HoldEnd::Captured, amount, parts.position)?;
                }
                PostedKind::Release { hold, .. } => {
                    self.end_hold(hold, HoldEnd::Released, Amount::ZERO, parts.position)?;
                }
                PostedKind::Reverse { transaction, operation, total, .. } => {
                    let position = parts.position;
                    self.index.reversed.insert((transaction, operation), (total, position));
                    self.changes.reversals.push(SealedReversal { transaction, operation, total, position });
                }
            }
        }
        Ok(())
    }

    /// Counts a leg.
    fn post(
        &mut self,
        no: AccountNo,
        direction: Direction,
        amount: Amount,
        operation: u8,
        parts: &mut Parts,
    ) {
        let mark = self.marks.get_mut(no.index()).expect("a posting is to an open account");
        let grows = (direction == Direction::Credit) == (mark.normal == NormalSide::Credit);
        mark.balance += if grows { i128::from(amount.units()) } else { -i128::from(amount.units()) };
        let posting = Posting::new(no, (parts.record, operation), direction, mark.balance, mark.posted);
        mark.posted = parts.position;
        let row = mark.row;
        parts.postings.push(posting);
        self.totals.add(row, direction, amount);
    }

    /// Notes that an account changed.
    fn touch(&mut self, no: AccountNo, position: Position) {
        if let Some(mark) = self.marks.get_mut(no.index()) {
            mark.changed = position;
        }
        let page = no.0 / PAGE_ACCOUNTS;
        let index = no.index() / AccountNo(PAGE_ACCOUNTS).index();
        if self.changes.dirty.len() <= index {
            self.changes.dirty.resize(index + 1, false);
        }
        if let Some(dirty) = self.changes.dirty.get_mut(index)
            && !std::mem::replace(dirty, true)
        {
            self.changes.pages.push(page);
        }
    }

    fn end_hold(
        &mut self,
        id: HoldId,
        end: HoldEnd,
        captured: Amount,
        position: Position,
    ) -> Result<(), IndexError> {
        let mut row = self.index.holds.get_mut(&id).ok_or_else(|| {
            IndexError::damaged(format!("hold {id} ends at {position} and was never placed"))
        })?;
        row.captured = captured;
        row.ended = Some((end, position));
        self.changes.holds_ended.push(id);
        Ok(())
    }

    /// Closes the segment also if it is not full, for a stop in good order; `None` if nothing is in it.
    #[must_use]
    pub fn freeze(&mut self) -> Option<Frozen> {
        if self.changes.records == 0 {
            return None;
        }
        let dirty = std::mem::take(&mut self.changes.dirty);
        let mut changes = std::mem::replace(&mut self.changes, Changes { dirty, ..Changes::default() });
        self.changes.dirty.fill(false);
        changes.pages.sort_unstable();
        let pages = changes.pages.iter().map(|&page| (page, self.page(page))).collect();
        let row = |id: HoldId| self.index.holds.get(&id).map(|row| (id, row.clone()));
        let live = |(_, row): &(HoldId, HoldRow)| row.ended.is_none();
        let changed = |&position: &Position| {
            self.index.changes.get(&position).map(|account| (position, account.clone()))
        };
        let frozen = Frozen {
            tail: Arc::clone(&self.tail),
            checkpoint: self.checkpoint,
            at: self.at,
            pages,
            openings: changes.openings,
            totals: self.totals.encode(),
            account_changes: changes.account_changes.iter().filter_map(changed).collect(),
            holds_live: changes.holds_placed.iter().filter_map(|&id| row(id)).filter(live).collect(),
            holds_placed: changes.holds_placed,
            holds_ended: changes.holds_ended.iter().filter_map(|&id| row(id)).collect(),
            reversals: changes.reversals,
            cells: changes
                .cells
                .into_iter()
                .filter_map(|(no, kind)| Some((no, kind, self.ledger.cell(no, kind)?.clone())))
                .collect(),
            snapshot: changes.snapshot,
        };
        // The replica needs them no more: each record says all that its effect needs.
        for (id, _) in &frozen.holds_ended {
            self.ledger.forget_hold(*id);
        }
        for reversal in &frozen.reversals {
            self.ledger.forget_reversed(reversal.transaction, reversal.operation);
        }
        self.tail = Arc::new(Tail::new(self.checkpoint.position.next()));
        self.index.view.rcu(|view| {
            let mut view = View::clone(view);
            view.tails.push(Arc::clone(&self.tail));
            view
        });
        Some(frozen)
    }

    fn page(&self, page: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024);
        for no in (page * PAGE_ACCOUNTS..).take(AccountNo(PAGE_ACCOUNTS).index()).map(AccountNo) {
            let account = self.ledger.account(no).zip(self.marks.get(no.index()));
            account_page::put(
                &mut bytes,
                account.map(|(account, mark)| (account, mark.changed, mark.posted)),
            );
        }
        bytes
    }
}

/// Makes room for an account in the follower's and the readers' arrays, and opens it to readers.
pub(super) fn open_mark(marks: &mut Vec<Mark>, index: &Index, no: AccountNo, opened: Position) {
    if marks.len() <= no.index() {
        marks.resize(no.index() + 1, Mark::ABSENT);
    }
    // Numbers may reach the journal out of order.
    while index.heads.count() <= no.index() {
        index.heads.push(AccountHead::default());
    }
    if let Some(head) = index.heads.get(no.index()) {
        head.opened.store(opened.0, Ordering::Release);
    }
}

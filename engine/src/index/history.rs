//! History of an account and its balance at a time.
//!
//! Owns what a row shows, and the way from a time to a position. Never looks at a record that it does not show.
//! Invariant: nothing is shown beyond the position that was applied when the question came, so that all of a transaction
//! is shown or nothing.

use std::sync::atomic::Ordering;

use super::{
    BalanceAt, Direction, HistoryCursor, HistoryQuery, HistoryRow, Index, IndexError, Point,
    account_walk::AccountWalk, posting_block::StoredPosting, reader::RecordReader, view::View,
};
use crate::{
    journal::Record,
    model::{AccountNo, Position, Timestamp},
};

impl Index {
    /// An account's posted changes, newest first.
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryRow>, IndexError> {
        let HistoryQuery { account, from, to, before, limit } = *query;
        let Some((end, newest)) = self.account_end(account) else { return Ok(Vec::new()) };
        let view = self.view.load();
        let mut records = RecordReader::new(&self.store, &view);
        let mut below = HistoryCursor { position: end, operation: 0 };
        if let Some(to) = to {
            below.position = below.position.min(first_at_or_after(&view, &mut records, to)?);
        }
        below = below.min(before.unwrap_or(below));
        let least = match from {
            Some(from) => first_at_or_after(&view, &mut records, from)?,
            None => Position::ZERO,
        };
        let opened = self.opened(account).unwrap_or_default();
        let mut walk = AccountWalk::new(&self.store, &view, account, least.max(opened));
        let mut rows = Vec::new();
        let mut next = walk.newest_below(below, newest)?;
        while let Some(posting) = next.filter(|posting| posting.position >= least) {
            if rows.len() >= limit {
                break;
            }
            rows.push(row(&mut records, posting)?);
            next = walk.older()?;
        }
        Ok(rows)
    }

    /// An account's balance at a point; `None` before its opening.
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn balance_at(&self, account: AccountNo, point: Point) -> Result<Option<BalanceAt>, IndexError> {
        let Some((end, newest)) = self.account_end(account) else { return Ok(None) };
        let view = self.view.load();
        let mut records = RecordReader::new(&self.store, &view);
        let after = match point {
            Point::Position(position) => Position(position.0.saturating_add(1)),
            Point::Time(Timestamp(i64::MAX)) => end,
            Point::Time(at) => first_at_or_after(&view, &mut records, at.plus_nanos(1))?,
        };
        let below = HistoryCursor { position: after.min(end), operation: 0 };
        let Some(opened) = self.opened(account).filter(|&opened| opened < below.position) else {
            return Ok(None);
        };
        let mut walk = AccountWalk::new(&self.store, &view, account, opened);
        let (posted, position) = match walk.newest_below(below, newest)? {
            Some(posting) => (posting.balance, posting.position),
            None => (0, opened),
        };
        Ok(Some(BalanceAt { posted, position, at: records.at(position)? }))
    }

    /// The position after the last applied one, and an account's newest posting, which may be beyond. To be called
    /// before the view is loaded, so that the view has all that it says.
    fn account_end(&self, account: AccountNo) -> Option<(Position, Position)> {
        let end = self.applied().next();
        let head = self.heads.get(account.index())?;
        Some((end, Position(head.posting.load(Ordering::Acquire))))
    }
}

/// The first position whose time is not before `at`; the position after the last one if all are.
fn first_at_or_after(
    view: &View,
    records: &mut RecordReader<'_>,
    at: Timestamp,
) -> Result<Position, IndexError> {
    for tail in view.tails.iter().rev() {
        if let Some(group) = tail.groups_before_time(at).checked_sub(1).and_then(|index| tail.get(index)) {
            // The records of a group are a nanosecond apart.
            let steps = if group.last_at() < at {
                return Ok(group.last().next());
            } else {
                u64::try_from(at.0 - group.first_at().0).unwrap_or_default()
            };
            return Ok(group.first().plus(steps));
        }
    }
    let started = view.segments.partition_point(|segment| segment.first_at < at);
    let Some(segment) = started.checked_sub(1).and_then(|index| view.segments.get(index)) else {
        return Ok(Position(1));
    };
    let (mut low, mut high) = (segment.first, segment.last.next());
    // Invariant: all before `low` are before `at`, none from `high` on is.
    while low < high {
        let middle = Position(u64::midpoint(low.0, high.0));
        let block = records.block(middle)?;
        let missing = || IndexError::damaged(format!("record {middle} is missing"));
        let [(first, first_at), (last, last_at)] = block.ends().ok_or_else(missing)?;
        if middle < first || last < middle {
            return Err(missing());
        }
        if last_at < at {
            low = last.next();
        } else if first_at >= at {
            high = first;
        } else {
            let found = block.iter().find(|&(_, record_at, _)| record_at >= at);
            return found.map(|(position, _, _)| position).ok_or_else(missing);
        }
    }
    Ok(low)
}

/// Shows a posting, with what its record says.
fn row(records: &mut RecordReader<'_>, posting: StoredPosting) -> Result<HistoryRow, IndexError> {
    let StoredPosting { position, operation, direction, balance } = posting;
    let wrong = || IndexError::damaged(format!("record {position} is not what its posting says"));
    let Some((at, Record::Posted(posted))) = records.get(position)? else { return Err(wrong()) };
    let kind = &posted.operations.get(usize::from(operation)).ok_or_else(wrong)?.kind;
    let amount = kind.moved().ok_or_else(wrong)?;
    let (debit, credit) = kind.accounts();
    let counterparty = match direction {
        Direction::Debit => credit,
        Direction::Credit => debit,
    };
    let code = posted.code_of(usize::from(operation)).cloned();
    let (transaction, kind) = (posted.id, kind.name());
    Ok(HistoryRow {
        position,
        at,
        transaction,
        operation,
        kind,
        direction,
        amount,
        balance,
        counterparty,
        code,
    })
}

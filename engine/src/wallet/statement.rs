//! A channel's statement against the books: what both have, what only one of them has, and what differs.
//!
//! Owns the comparison: `books` says what the books have, `booking` what is booked of a difference. Money that came in is
//! compared, and, if the statement lists any of them, refunds of the channel's part, whose lines have the refund's id as
//! their order. Never reads a file: lines come in portions, and what is kept of them is a bit each.

mod booking;
mod books;
#[cfg(test)]
mod tests;

use compact_str::CompactString;
use futures_util::future::{join_all, try_join_all};
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use self::books::{Booked, Flow};
#[cfg(test)]
use super::document::Form;
use super::{Channel, Date, SuspenseReason, Wallet, WalletCode, WalletError, document::Document, names};
use crate::{
    model::{Amount, Lane, Position, Timestamp},
    view::{Direction, HistoryCursor, HistoryEntry, HistoryQuery, Unavailable},
};

/// A line of a statement.
#[derive(Clone, Debug)]
pub struct StatementLine {
    /// The order, as the channel has it.
    pub order: CompactString,
    /// The channel's reference of the money.
    pub reference: CompactString,
    /// How much.
    pub amount: Amount,
    /// When.
    pub at: Timestamp,
}

/// What a statement and the books differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The books have it, and the statement does not.
    Missing,
    /// The statement has it, and the books do not.
    Extra,
    /// Both have it, with different amounts.
    AmountDiffers,
}

/// One difference.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Which kind.
    pub kind: DifferenceKind,
    /// The order.
    pub order: CompactString,
    /// The channel's reference.
    pub reference: CompactString,
    /// What the statement has.
    pub listed: Option<Amount>,
    /// What the books have.
    pub booked: Option<Amount>,
    /// Why it is in suspense.
    pub reason: SuspenseReason,
}

/// What came of a statement.
#[derive(Clone, Debug, Default)]
pub struct StatementView {
    /// Lines that the books have, with the same amount.
    pub matched: u64,
    /// Money of the books that the statement does not have.
    pub missing: u64,
    /// Lines that the books did not have.
    pub extra: u64,
    /// Lines that the books have with another amount.
    pub amount_differs: u64,
    /// The first differences, at most [`super::Settings::differences_shown_max`].
    pub differences: Vec<Difference>,
}

/// The record of a difference's booking.
#[derive(Serialize, Deserialize)]
struct DifferenceBooked {
    channel: Channel,
    date: Date,
    order: CompactString,
    reference: CompactString,
    reason: SuspenseReason,
    /// Fen that the statement has.
    listed: u64,
}

impl Document for DifferenceBooked {
    const TAG: u8 = 43;
    const LANE: Lane = Lane::Batch;
}

/// The record that a difference was none: a later statement says otherwise.
#[derive(Serialize, Deserialize)]
struct DifferenceUndone {
    channel: Channel,
    date: Date,
    order: CompactString,
    reference: CompactString,
}

impl Document for DifferenceUndone {
    const TAG: u8 = 47;
    const LANE: Lane = Lane::Batch;
}

/// The record that another day's statement has the money of a transaction.
#[derive(Serialize, Deserialize)]
struct ListedOnDate {
    date: Date,
}

impl Document for ListedOnDate {
    const TAG: u8 = 44;
    const LANE: Lane = Lane::Batch;
}

/// A statement that is being compared.
#[derive(Debug)]
pub struct Reconciliation {
    wallet: Wallet,
    channel: Channel,
    date: Date,
    /// The positions of the transactions that the statement has.
    listed: RoaringTreemap,
    /// Whether the statement has refunds: some channels list them apart, and then nothing is said of those of the books.
    lists_refunds: bool,
    view: StatementView,
}

/// What a line is to the books.
enum Finding {
    Matched(Booked),
    /// An earlier run has booked it.
    KnownExtra,
    Extra,
    ListedTwice(Booked),
    AmountDiffers(Booked),
}

impl Wallet {
    /// A turn at a statement, to be taken before its lines are read.
    ///
    /// # Errors
    /// Too many wait.
    pub async fn statement_turn(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        self.inner.statements.turn().await
    }

    /// Starts to compare a channel's statement of a day.
    ///
    /// # Errors
    /// The day is still to come, or overload.
    pub async fn reconcile(&self, channel: Channel, date: Date) -> Result<Reconciliation, WalletError> {
        self.own_platform()?;
        if date > Date::of(self.engine().now()) {
            return Err(WalletError::field(WalletCode::DayNotOver, "/date"));
        }
        self.ensure_channel(channel).await?;
        let (wallet, listed, view) = (self.clone(), RoaringTreemap::new(), StatementView::default());
        Ok(Reconciliation { wallet, channel, date, listed, lists_refunds: false, view })
    }
}

impl Reconciliation {
    /// Lines that are looked up at once.
    pub const PORTION_LINES_MAX: usize = 256;

    /// Compares some lines, and books what the books lack.
    ///
    /// # Errors
    /// Overload; the statement is to be sent again.
    pub async fn lines(&mut self, lines: Vec<StatementLine>) -> Result<(), WalletError> {
        let known = try_join_all(lines.iter().map(|line| self.booked(line))).await?;
        let findings: Vec<Finding> =
            lines.iter().zip(known).map(|(line, booked)| self.find(line, booked)).collect();
        let settled =
            join_all(lines.iter().zip(findings).map(|(line, finding)| self.settle(line, finding))).await;
        for (line, finding) in lines.into_iter().zip(settled) {
            let (kind, booked, reason) = match finding? {
                Finding::Matched(booked) => {
                    // Perhaps booked only since the look.
                    self.listed.insert(booked.position.0);
                    self.view.matched += 1;
                    continue;
                }
                Finding::KnownExtra | Finding::Extra => {
                    (DifferenceKind::Extra, None, SuspenseReason::NotNotified)
                }
                Finding::ListedTwice(booked) => {
                    (DifferenceKind::Extra, Some(booked.amount), SuspenseReason::ListedTwice)
                }
                Finding::AmountDiffers(booked) => {
                    (DifferenceKind::AmountDiffers, Some(booked.amount), SuspenseReason::AmountDiffers)
                }
            };
            let StatementLine { order, reference, amount, at: _ } = line;
            self.differs(Difference { kind, order, reference, listed: Some(amount), booked, reason });
        }
        Ok(())
    }

    /// Looks for money of the day that the statement does not have, and ends.
    ///
    /// # Errors
    /// Overload; the statement is to be sent again.
    pub async fn finish(mut self) -> Result<StatementView, WalletError> {
        const PAGE_ROWS: usize = 1_000;
        let account = names::channel(self.channel);
        let (mut cursor, mut last): (Option<HistoryCursor>, _) = (None, Position::ZERO);
        loop {
            let (from, to) = (Some(self.date.start()), Some(self.date.end()));
            let query = HistoryQuery { from, to, cursor, limit: PAGE_ROWS };
            let Some(page) = self.wallet.engine().history(&account, query).await? else { break };
            // A transaction's rows stand together, perhaps on two pages.
            let mut unlisted: Vec<&HistoryEntry> = Vec::new();
            for row in page.items.iter().filter(|row| self.is_compared(row)) {
                if row.position != last && !self.listed.contains(row.position.0) {
                    unlisted.push(row);
                }
                last = row.position;
            }
            let missing = join_all(unlisted.into_iter().map(|row| self.missing(row.transaction))).await;
            for difference in missing {
                if let Some(difference) = difference? {
                    self.differs(difference);
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(self.view)
    }

    fn differs(&mut self, difference: Difference) {
        let count = match difference.kind {
            DifferenceKind::Missing => &mut self.view.missing,
            DifferenceKind::Extra => &mut self.view.extra,
            DifferenceKind::AmountDiffers => &mut self.view.amount_differs,
        };
        *count += 1;
        if self.view.differences.len() < self.wallet.settings().differences_shown_max {
            self.view.differences.push(difference);
        }
    }

    /// Whether a row of the channel's account is of money that the statement should have.
    fn is_compared(&self, row: &HistoryEntry) -> bool {
        match row.direction {
            Direction::Debit => true,
            Direction::Credit => self.lists_refunds,
        }
    }

    fn find(&mut self, line: &StatementLine, booked: Option<Booked>) -> Finding {
        let Some(booked) = booked else { return Finding::Extra };
        self.lists_refunds |= booked.flow == Flow::Out;
        let first = self.listed.insert(booked.position.0);
        if booked.found_by == Some(self.date) {
            Finding::KnownExtra
        } else if !first {
            Finding::ListedTwice(booked)
        } else if booked.amount != line.amount {
            Finding::AmountDiffers(booked)
        } else {
            Finding::Matched(booked)
        }
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let date = Date::parse("2026-06-18").unwrap();
    let (order, reference) = (CompactString::const_new("elsewhere"), CompactString::const_new("r-1"));
    let (channel, reason) = (Channel::Ecny, SuspenseReason::ListedTwice);
    vec![
        Form::document(&DifferenceBooked {
            channel,
            date,
            order: order.clone(),
            reference: reference.clone(),
            reason,
            listed: 300,
        }),
        Form::document(&DifferenceUndone { channel, date, order, reference }),
        Form::document(&ListedOnDate { date }),
    ]
}

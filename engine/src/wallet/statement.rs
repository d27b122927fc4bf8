//! A channel's statement against the books: what both have, what only one of them has, and what differs.
//!
//! Owns the comparison and the bookings of its differences: surplus and shortage go to suspense, each with its reason.
//! Never reads a file: lines come in portions, and what is kept of them is a bit each. Invariant: a difference is booked
//! once for its channel, date, order, reference and reason, however often the statement comes.

use compact_str::{CompactString, format_compact};
use futures_util::future::{join_all, try_join_all};
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
use super::{
    Channel, Date, SuspenseReason, Wallet, WalletCode, WalletError,
    document::{Document, peek},
    names,
    payment::captured_money,
    recharge::RechargeDecided,
    step::Draft,
    suspense::{Money, Suspended, money_alias, suspense_id},
};
use crate::{
    model::{Amount, Lane, Position, PostedKind, Timestamp, TransactionId},
    view::{Direction, HistoryCursor, HistoryEntry, HistoryQuery, PostedOperationView, TransactionView},
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
}

impl Document for DifferenceBooked {
    const TAG: u8 = 43;
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

/// Money of a channel that the books have.
struct Booked {
    id: TransactionId,
    position: Position,
    at: Timestamp,
    amount: Amount,
    /// The statement that it was found by.
    found_by: Option<Date>,
}

/// A statement that is being compared.
#[derive(Debug)]
pub struct Reconciliation {
    wallet: Wallet,
    channel: Channel,
    date: Date,
    /// The positions of the transactions that the statement has.
    listed: RoaringTreemap,
    view: StatementView,
}

/// What a line is to the books.
enum Finding {
    Matched,
    /// It matches a transaction of another day.
    OtherDay(TransactionId),
    /// An earlier run has booked it.
    KnownExtra,
    Extra,
    ListedTwice(Amount),
    AmountDiffers(Amount),
}

impl Wallet {
    /// Starts to compare a channel's statement of a day.
    ///
    /// # Errors
    /// The day is still to come, or overload.
    pub async fn reconcile(&self, channel: Channel, date: Date) -> Result<Reconciliation, WalletError> {
        if date > Date::of(self.engine().now()) {
            return Err(WalletError::field(WalletCode::DayNotOver, "/date"));
        }
        self.ensure_channel(channel).await?;
        let (wallet, listed, view) = (self.clone(), RoaringTreemap::new(), StatementView::default());
        Ok(Reconciliation { wallet, channel, date, listed, view })
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
                Finding::Matched | Finding::OtherDay(_) => {
                    self.view.matched += 1;
                    continue;
                }
                Finding::KnownExtra | Finding::Extra => {
                    (DifferenceKind::Extra, None, SuspenseReason::NotNotified)
                }
                Finding::ListedTwice(booked) => {
                    (DifferenceKind::Extra, Some(booked), SuspenseReason::ListedTwice)
                }
                Finding::AmountDiffers(booked) => {
                    (DifferenceKind::AmountDiffers, Some(booked), SuspenseReason::AmountDiffers)
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
            for row in page.items.iter().filter(|row| row.direction == Direction::Debit) {
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

    /// The transaction that booked a line's money: for its order, or to suspense.
    async fn booked(&self, line: &StatementLine) -> Result<Option<Booked>, WalletError> {
        let engine = self.wallet.engine();
        let alias = money_alias(self.channel, &line.order, &line.reference);
        let view = match engine.transaction(alias).await? {
            Some(view) => Some(view),
            None => engine.transaction(suspense_id(self.channel, &line.reference)).await?,
        };
        let Some(view) = view else { return Ok(None) };
        let found_by = document_of::<Suspended>(&view).and_then(|suspended| suspended.statement);
        let (id, position, at) = (view.request.id, view.position, view.at);
        Ok(self.taken_by(&view).map(|amount| Booked { id, position, at, amount, found_by }))
    }

    /// What a transaction has debited the channel's account with, on balance; `None` if nothing. Money that went back in
    /// the same record came, too.
    fn taken_by(&self, view: &TransactionView) -> Option<Amount> {
        if let Some(suspended) = document_of::<Suspended>(view) {
            return view.verdict.is_ok().then(|| suspended.money.amount());
        }
        let account = names::channel(self.channel);
        let of = |operation: &PostedOperationView| match operation.kind {
            PostedKind::Transfer { amount, .. } | PostedKind::Capture { amount, .. } => {
                let units = i128::from(amount.units());
                let side = |is_its: bool| if is_its { units } else { 0 };
                side(operation.debit == account) - side(operation.credit == account)
            }
            PostedKind::Hold { .. } | PostedKind::Release { .. } | PostedKind::Reverse { .. } => 0,
        };
        let taken: i128 = view.verdict.as_ref().ok()?.iter().map(of).sum();
        u64::try_from(taken).ok().filter(|&units| units > 0).map(Amount)
    }

    fn find(&mut self, line: &StatementLine, booked: Option<Booked>) -> Finding {
        let Some(booked) = booked else { return Finding::Extra };
        let first = self.listed.insert(booked.position.0);
        if booked.found_by == Some(self.date) {
            Finding::KnownExtra
        } else if !first {
            Finding::ListedTwice(booked.amount)
        } else if booked.amount != line.amount {
            Finding::AmountDiffers(booked.amount)
        } else if Date::of(booked.at) != self.date {
            Finding::OtherDay(booked.id)
        } else {
            Finding::Matched
        }
    }

    /// Books what a finding asks for.
    async fn settle(&self, line: &StatementLine, finding: Finding) -> Result<Finding, WalletError> {
        let StatementLine { order, reference, amount, at } = line;
        match finding {
            Finding::Matched | Finding::KnownExtra => {}
            Finding::OtherDay(transaction) => {
                // Its own day's statement need not have it.
                let draft = Draft::new(self.listed_id(transaction), ListedOnDate { date: self.date });
                self.wallet.submit(draft).await?;
            }
            Finding::Extra => {
                let money = Money {
                    channel: self.channel,
                    order: order.clone(),
                    reference: reference.clone(),
                    units: amount.units(),
                    paid_at: at.0,
                };
                let booked =
                    self.wallet.suspend(&money, SuspenseReason::NotNotified, Some(self.date)).await?;
                if booked.is_none() {
                    // The notification came between the look and the booking.
                    return Ok(Finding::Matched);
                }
            }
            Finding::ListedTwice(_) => {
                let (more, less) = (*amount, Amount::ZERO);
                self.book((order, reference), more, less, SuspenseReason::ListedTwice).await?;
            }
            Finding::AmountDiffers(booked) => {
                self.book((order, reference), *amount, booked, SuspenseReason::AmountDiffers).await?;
            }
        }
        Ok(finding)
    }

    /// Money of the day that is not in the statement, booked as a shortage; `None` if it need not be there.
    async fn missing(&self, transaction: TransactionId) -> Result<Option<Difference>, WalletError> {
        let engine = self.wallet.engine();
        let Some(view) = engine.transaction(transaction).await? else { return Ok(None) };
        // What ledger callers book is no order of the wallet's, and bookings of statements are in none.
        let own = view.request.attachment.is_some() && document_of::<DifferenceBooked>(&view).is_none();
        let suspended = document_of::<Suspended>(&view);
        let found_by_statement = suspended.as_ref().is_some_and(|suspended| suspended.statement.is_some());
        let Some(booked) = self.taken_by(&view).filter(|_| own && !found_by_statement) else {
            return Ok(None);
        };
        if engine.transaction(self.listed_id(transaction)).await?.is_some() {
            return Ok(None);
        }
        let money = suspended.map(|suspended| suspended.money).or_else(|| credited_money(&view));
        let money = money.or_else(|| captured_money(view.request.attachment.as_deref()));
        let (order, reference) = match money {
            Some(money) => (money.order, money.reference),
            None => (format_compact!("{transaction}"), CompactString::default()),
        };
        let reason = SuspenseReason::NotInStatement;
        self.book((&order, &reference), Amount::ZERO, booked, reason).await?;
        let kind = DifferenceKind::Missing;
        Ok(Some(Difference { kind, order, reference, listed: None, booked: Some(booked), reason }))
    }

    /// Books a difference: a surplus from the channel to suspense, a shortage the other way.
    async fn book(
        &self,
        (order, reference): (&CompactString, &CompactString),
        listed: Amount,
        booked: Amount,
        reason: SuspenseReason,
    ) -> Result<(), WalletError> {
        let Self { channel, date, .. } = *self;
        let name = format_compact!(
            "{}\n{}\n{order}\n{reference}\n{}",
            channel.as_str(),
            date.number(),
            reason.as_str()
        );
        let id = names::derive("statement", name.as_bytes(), 0);
        let (order, reference) = (order.clone(), reference.clone());
        let mut draft = Draft::new(id, DifferenceBooked { channel, date, order, reference, reason });
        let (receivable, suspense) = (names::channel(channel), names::suspense(channel));
        match (listed.checked_sub(booked), booked.checked_sub(listed)) {
            (Some(surplus), _) => draft.transfer(&receivable, &suspense, surplus, Wallet::SUSPENSE),
            (None, Some(shortage)) => draft.transfer(&suspense, &receivable, shortage, Wallet::SUSPENSE),
            (None, None) => &mut draft,
        };
        let settled = self.wallet.submit(draft).await?.ok_or_else(Wallet::overtaken)?;
        settled.posted()
    }

    fn listed_id(&self, transaction: TransactionId) -> TransactionId {
        names::derive("statement-listed", &transaction.0.to_be_bytes(), 0)
    }
}

fn document_of<D: Document>(view: &TransactionView) -> Option<D> {
    peek(&view.request.attachment.as_deref()?.document)
}

/// The money of a recharge's credit.
fn credited_money(view: &TransactionView) -> Option<Money> {
    match document_of(view)? {
        RechargeDecided::Credited { money, .. } => Some(money),
        RechargeDecided::Failed { .. } => None,
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let date = Date::parse("2026-06-18").unwrap();
    let (order, reference) = (CompactString::const_new("elsewhere"), CompactString::const_new("r-1"));
    let (channel, reason) = (Channel::Ecny, SuspenseReason::ListedTwice);
    vec![
        Form::document(&DifferenceBooked { channel, date, order, reference, reason }),
        Form::document(&ListedOnDate { date }),
    ]
}

//! What is booked of a statement's differences: a surplus from the channel to suspense, a shortage the other way.
//!
//! Invariants: a difference is booked once for its channel, date, order, reference and reason, however often the statement
//! comes; a shortage of money that its own day's statement lacks is undone, once, when a statement has the money.
//! Statements of two days may be compared at the same time: each writes first what it has seen, and then looks for what
//! the other one wrote, so that one of them sees both.

use compact_str::{CompactString, format_compact};

use super::{
    Booked, Difference, DifferenceBooked, DifferenceKind, DifferenceUndone, Finding, Flow, ListedOnDate,
    Reconciliation, StatementLine,
};
use crate::{
    model::{Amount, TransactionId},
    wallet::{Date, SuspenseReason, Wallet, WalletError, names, step::Draft, suspense::Money},
};

/// Which difference.
struct Named<'a> {
    date: Date,
    order: &'a CompactString,
    reference: &'a CompactString,
    reason: SuspenseReason,
}

impl Reconciliation {
    /// Books what a finding asks for.
    pub(super) async fn settle(
        &self,
        line: &StatementLine,
        finding: Finding,
    ) -> Result<Finding, WalletError> {
        let StatementLine { order, reference, amount, at } = line;
        let named = |reason| Named { date: self.date, order, reference, reason };
        match &finding {
            Finding::KnownExtra => {}
            Finding::Matched(booked) => self.listed(booked).await?,
            Finding::Extra => {
                let money = Money {
                    channel: self.channel,
                    order: order.clone(),
                    reference: reference.clone(),
                    units: amount.units(),
                    paid_at: at.0,
                };
                let reason = SuspenseReason::NotNotified;
                if self.wallet.suspend(&money, reason, Some(self.date)).await?.is_none() {
                    // The notification came between the look and the booking.
                    if let Some(booked) = self.booked(line).await? {
                        return Ok(Finding::Matched(booked));
                    }
                }
            }
            Finding::ListedTwice(booked) => {
                let (more, less) = (*amount, Amount::ZERO);
                self.book(named(SuspenseReason::ListedTwice), booked.flow, more, less).await?;
            }
            Finding::AmountDiffers(booked) => {
                self.listed(booked).await?;
                let reason = SuspenseReason::AmountDiffers;
                self.book(named(reason), booked.flow, *amount, booked.amount).await?;
            }
        }
        Ok(finding)
    }

    /// The statement has the money: if it is of another day, its own day's statement need not have it.
    async fn listed(&self, booked: &Booked) -> Result<(), WalletError> {
        if Date::of(booked.at) != self.date {
            let id = listed_id(booked.transaction);
            self.wallet.submit(Draft::new(id, ListedOnDate { date: self.date })).await?;
        }
        self.undo_missing(booked).await
    }

    /// Money of the day that is not in the statement, booked as a difference; `None` if it need not be there.
    pub(super) async fn missing(
        &self,
        transaction: TransactionId,
    ) -> Result<Option<Difference>, WalletError> {
        let engine = self.wallet.engine();
        let Some(view) = engine.transaction(transaction).await? else { return Ok(None) };
        let booked = self.booked_by(&view).filter(|booked| booked.found_by.is_none());
        let Some(booked) = booked else { return Ok(None) };
        if self.is_listed_elsewhere(&booked).await? || !self.book_missing(&booked).await? {
            return Ok(None);
        }
        let reason = SuspenseReason::NotInStatement;
        let Booked { order, reference, amount, .. } = booked;
        let kind = DifferenceKind::Missing;
        Ok(Some(Difference { kind, order, reference, listed: None, booked: Some(amount), reason }))
    }

    /// Books money as missing, unless another day's statement has had it meanwhile. Whether it is missing.
    pub(super) async fn book_missing(&self, booked: &Booked) -> Result<bool, WalletError> {
        self.book(self.missing_name(booked), booked.flow, Amount::ZERO, booked.amount).await?;
        Ok(!self.is_listed_elsewhere(booked).await?)
    }

    /// Whether another day's statement has the money, so that it is missing in none.
    async fn is_listed_elsewhere(&self, booked: &Booked) -> Result<bool, WalletError> {
        let listed = self.wallet.engine().transaction(listed_id(booked.transaction)).await?.is_some();
        if listed {
            self.undo_missing(booked).await?;
        }
        Ok(listed)
    }

    /// How the difference is named that money was missing on its own day.
    fn missing_name<'a>(&self, booked: &'a Booked) -> Named<'a> {
        let Booked { order, reference, at, .. } = booked;
        Named { date: Date::of(*at), order, reference, reason: SuspenseReason::NotInStatement }
    }

    /// Takes back what was booked of money that was missing on its own day, if anything was.
    async fn undo_missing(&self, booked: &Booked) -> Result<(), WalletError> {
        let booking = self.difference_id(&self.missing_name(booked));
        let Some(shortage) = self.wallet.find::<DifferenceBooked>(booking).await? else { return Ok(()) };
        shortage.posted()?;
        let DifferenceBooked { channel, date, order, reference, .. } = shortage.document;
        let id = names::derive("statement-undone", &booking.0.to_be_bytes(), 0);
        let mut draft = Draft::new(id, DifferenceUndone { channel, date, order, reference });
        let sum = (booked.amount, Draft::<DifferenceUndone>::CNY_SCALE);
        draft.reverse((booking, 0), sum, Wallet::SUSPENSE);
        let settled = self.wallet.submit(draft).await?.ok_or_else(Wallet::overtaken)?;
        settled.posted()
    }

    /// Books a difference between what is listed and what is booked of money that went one way.
    async fn book(
        &self,
        named: Named<'_>,
        flow: Flow,
        listed: Amount,
        booked: Amount,
    ) -> Result<(), WalletError> {
        let id = self.difference_id(&named);
        let Named { date, order, reference, reason } = named;
        let (channel, order, reference) = (self.channel, order.clone(), reference.clone());
        let mut draft = Draft::new(id, DifferenceBooked { channel, date, order, reference, reason });
        let (receivable, suspense) = (names::channel(channel), names::suspense(channel));
        // More that went out is less that the channel owes.
        let (more, less) = match flow {
            Flow::In => (listed, booked),
            Flow::Out => (booked, listed),
        };
        match (more.checked_sub(less), less.checked_sub(more)) {
            (Some(surplus), _) => draft.transfer(&receivable, &suspense, surplus, Wallet::SUSPENSE),
            (None, Some(shortage)) => draft.transfer(&suspense, &receivable, shortage, Wallet::SUSPENSE),
            (None, None) => &mut draft,
        };
        let settled = self.wallet.submit(draft).await?.ok_or_else(Wallet::overtaken)?;
        settled.posted()
    }

    fn difference_id(&self, Named { date, order, reference, reason }: &Named<'_>) -> TransactionId {
        let (channel, reason) = (self.channel.as_str(), reason.as_str());
        let name = format_compact!("{channel}\n{}\n{order}\n{reference}\n{reason}", date.number());
        names::derive("statement", name.as_bytes(), 0)
    }
}

/// The id of the record that another day's statement has a transaction's money.
fn listed_id(transaction: TransactionId) -> TransactionId {
    names::derive("statement-listed", &transaction.0.to_be_bytes(), 0)
}

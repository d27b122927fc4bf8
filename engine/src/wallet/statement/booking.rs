//! What is booked of a statement's differences: a surplus from the channel to suspense, a shortage the other way.
//!
//! Invariants: a difference stands once for its channel, date, order, reference and reason, however often the statement
//! comes; what a later statement does not say any more is taken back, and bookings are numbered, so that it can be booked
//! again. A refused booking is on record as well, and the next number follows.
//! Statements of two days may be compared at the same time: each writes first what it has seen, and then looks for what
//! the other one wrote, so that one of them sees both.

use compact_str::{CompactString, format_compact};

use super::{
    Booked, Difference, DifferenceBooked, DifferenceKind, DifferenceUndone, Finding, Flow, ListedOnDate,
    Reconciliation, StatementLine,
};
use crate::{
    model::{Amount, TransactionId},
    wallet::{Date, SuspenseReason, Wallet, WalletError, names, step::Draft},
};

/// Which difference.
struct Named<'a> {
    date: Date,
    order: &'a CompactString,
    reference: &'a CompactString,
    reason: SuspenseReason,
    /// What the statement has.
    listed: Amount,
}

impl Reconciliation {
    /// Books what a finding asks for.
    pub(super) async fn settle(
        &self,
        line: &StatementLine,
        finding: Finding,
    ) -> Result<Finding, WalletError> {
        let StatementLine { order, reference, amount, at: _ } = line;
        match &finding {
            Finding::KnownExtra => {}
            Finding::Matched(booked) => {
                self.listed(booked).await?;
                self.undo(&self.named(booked, SuspenseReason::AmountDiffers, *amount), booked).await?;
            }
            Finding::Extra => {
                let money = self.money(line);
                let reason = SuspenseReason::NotNotified;
                if self.wallet.suspend(&money, reason, Some(self.date)).await?.is_none() {
                    // The notification came between the look and the booking.
                    if let Some(booked) = self.booked(line).await? {
                        return Ok(Finding::Matched(booked));
                    }
                }
            }
            Finding::ListedTwice(booked) => {
                let reason = SuspenseReason::ListedTwice;
                let named = Named { date: self.date, order, reference, reason, listed: *amount };
                self.book(&named, booked.flow, Amount::ZERO).await?;
            }
            Finding::AmountDiffers(booked) => {
                self.listed(booked).await?;
                let named = self.named(booked, SuspenseReason::AmountDiffers, *amount);
                self.correct(&named, booked).await?;
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
        self.correct(&self.missing_name(booked), booked).await?;
        if self.is_listed_elsewhere(booked).await? {
            return Ok(false);
        }
        // What an earlier statement of the day had is not listed any more.
        self.undo(&self.named(booked, SuspenseReason::AmountDiffers, Amount::ZERO), booked).await?;
        Ok(true)
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
        self.named(booked, SuspenseReason::NotInStatement, Amount::ZERO)
    }

    /// How a difference is named of money that the books have: by its own day, whichever day's statement has it.
    fn named<'a>(&self, booked: &'a Booked, reason: SuspenseReason, listed: Amount) -> Named<'a> {
        let Booked { order, reference, at, .. } = booked;
        Named { date: Date::of(*at), order, reference, reason, listed }
    }

    /// Takes back what was booked of money that was missing on its own day, if anything was.
    async fn undo_missing(&self, booked: &Booked) -> Result<(), WalletError> {
        self.undo(&self.missing_name(booked), booked).await
    }

    /// Takes back what is booked under a name, if anything is.
    async fn undo(&self, named: &Named<'_>, booked: &Booked) -> Result<(), WalletError> {
        let (standing, _) = self.standing(named).await?;
        let Some((booking, document)) = standing else { return Ok(()) };
        self.take_back(booking, document, booked).await
    }

    /// Books a difference of money that the books have, in the place of another amount of an earlier statement.
    async fn correct(&self, named: &Named<'_>, booked: &Booked) -> Result<(), WalletError> {
        let listed = named.listed.units();
        for _ in 0..Wallet::TRIES_MAX {
            match self.standing(named).await?.0 {
                Some((_, document)) if document.listed == listed => return Ok(()),
                // Of an earlier statement, or of one that is compared at the same time.
                Some((booking, document)) => self.take_back(booking, document, booked).await?,
                None => self.book(named, booked.flow, booked.amount).await?,
            }
        }
        Err(Wallet::overtaken())
    }

    /// The booking under a name that was not taken back, and the number of the next one. Each that was taken back is
    /// followed by another number, so that what one statement corrects a later one can book again.
    async fn standing(
        &self,
        named: &Named<'_>,
    ) -> Result<(Option<(TransactionId, DifferenceBooked)>, u32), WalletError> {
        let mut number = 0;
        loop {
            let id = self.difference_id(named, number);
            let Some(booking) = self.wallet.find::<DifferenceBooked>(id).await? else {
                return Ok((None, number));
            };
            if booking.verdict.is_ok() {
                let undone = self.wallet.posted_attempt::<DifferenceUndone>(|no| undone_id(id, no)).await?;
                if undone.0.is_none() {
                    return Ok((Some((id, booking.document)), number));
                }
            }
            number += 1;
        }
    }

    /// Reverses a booking, once.
    async fn take_back(
        &self,
        booking: TransactionId,
        document: DifferenceBooked,
        booked: &Booked,
    ) -> Result<(), WalletError> {
        let (posted, attempt) =
            self.wallet.posted_attempt::<DifferenceUndone>(|no| undone_id(booking, no)).await?;
        if posted.is_some() {
            return Ok(());
        }
        let DifferenceBooked { channel, date, order, reference, listed, .. } = document;
        let id = undone_id(booking, attempt);
        let mut draft = Draft::new(id, DifferenceUndone { channel, date, order, reference });
        let sum = (Amount(booked.amount.units().abs_diff(listed)), Draft::<DifferenceUndone>::CNY_SCALE);
        draft.reverse((booking, 0), sum, Wallet::SUSPENSE);
        let settled = self.wallet.submit(draft).await?.ok_or_else(Wallet::overtaken)?;
        settled.posted()
    }

    /// Books a difference between what is listed and what is booked of money that went one way, unless it is.
    async fn book(&self, named: &Named<'_>, flow: Flow, booked: Amount) -> Result<(), WalletError> {
        let (standing, number) = self.standing(named).await?;
        if standing.is_some() {
            return Ok(());
        }
        let id = self.difference_id(named, number);
        let Named { date, order, reference, reason, listed } = named;
        let (channel, order, reference) = (self.channel, (*order).clone(), (*reference).clone());
        let (date, reason, units) = (*date, *reason, listed.units());
        let document = DifferenceBooked { channel, date, order, reference, reason, listed: units };
        let mut draft = Draft::new(id, document);
        let (receivable, suspense) = (names::channel(channel), names::suspense(channel));
        // More that went out is less that the channel owes.
        let (more, less) = match flow {
            Flow::In => (*listed, booked),
            Flow::Out => (booked, *listed),
        };
        match (more.checked_sub(less), less.checked_sub(more)) {
            (Some(surplus), _) => draft.transfer(&receivable, &suspense, surplus, Wallet::SUSPENSE),
            (None, Some(shortage)) => draft.transfer(&suspense, &receivable, shortage, Wallet::SUSPENSE),
            (None, None) => &mut draft,
        };
        let settled = self.wallet.submit(draft).await?.ok_or_else(Wallet::overtaken)?;
        settled.posted()
    }

    /// The id of a booking of a difference. A line that is listed again has no amount of its own in the books: each
    /// other amount is another difference.
    fn difference_id(&self, named: &Named<'_>, number: u32) -> TransactionId {
        let Named { date, order, reference, reason, listed } = named;
        let again = if *reason == SuspenseReason::ListedTwice { listed.units() } else { 0 };
        let (channel, reason) = (self.channel.as_str(), reason.as_str());
        let name = format_compact!("{channel}\n{}\n{order}\n{reference}\n{reason}\n{again}", date.number());
        names::derive("statement", name.as_bytes(), number)
    }
}

/// The id of an attempt to take a booking back.
fn undone_id(booking: TransactionId, attempt: u32) -> TransactionId {
    names::derive("statement-undone", &booking.0.to_be_bytes(), attempt)
}

/// The id of the record that another day's statement has a transaction's money.
fn listed_id(transaction: TransactionId) -> TransactionId {
    names::derive("statement-listed", &transaction.0.to_be_bytes(), 0)
}

//! A day of the wealth product: its income to every wallet with shares, then the sweep of idle balances.
//!
//! In steps, each once for ever: 1. the day's record fixes the rate, by its position the shares that count, and how many
//! wallets a transaction credits; 2. the income of all shares together is funded; 3. wallets are credited, many in a transaction, in the order of their
//! addresses; one that takes no part is owed its income, and is paid it on the first day on which it takes part again;
//! 4. idle balance above what its owner keeps becomes shares; 5. what cutting to the fen left over goes to
//! the platform's rounding, with the sums that answer the day from then on. A run that ended anywhere is taken up at its
//! first undecided step: what each step does follows from the day's record and the balances at its position alone.
//!
//! Owns the run of a process: one at a time, which outlives the call that began it; calls for the same day wait for it.
//! Never keeps more than a page of wallets. Invariant: funded = credited + remainder, to the fen.

mod credits;
mod income;
mod owed;
mod step;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use income::IncomeRate;

#[cfg(test)]
use super::document::Form;
use super::{AccountKind, Date, Wallet, WalletCode, WalletError, document::Document, names};
use crate::{
    model::{Amount, Lane, Position, RejectionCode, Transaction, TransactionId},
    view::Unavailable,
};

/// What a day of the wealth product came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WealthDay {
    /// Which day.
    pub date: Date,
    /// Fen that all wallets together have got.
    pub credited: Amount,
    /// Fen that were funded beyond that, for what was cut.
    pub remainder: Amount,
    /// Wallets that got something.
    pub wallets: u64,
    /// Whether this answer repeats an earlier one.
    pub replayed: bool,
}

/// Step 1.
#[derive(Clone, Serialize, Deserialize)]
struct Began {
    date: Date,
    rate: IncomeRate,
    /// Wallets that one of the day's transactions credits: a setting may change before the day ends.
    wallets_per_transaction: u32,
}

impl Document for Began {
    const TAG: u8 = 61;
    const LANE: Lane = Lane::Batch;
}

/// Step 2.
#[derive(Clone, Serialize, Deserialize)]
struct Funded {
    shares: u128,
    units: u64,
}

impl Document for Funded {
    const TAG: u8 = 62;
    const LANE: Lane = Lane::Batch;
}

/// Step 5.
#[derive(Clone, Serialize, Deserialize)]
struct Ended {
    rate: IncomeRate,
    credited: u64,
    remainder: u64,
    wallets: u64,
}

impl Document for Ended {
    const TAG: u8 = 65;
    const LANE: Lane = Lane::Batch;
}

/// The run of a process, if there is one.
#[derive(Default)]
pub(super) struct Running(ArcSwapOption<Run>);

struct Run {
    date: Date,
    rate: IncomeRate,
    outcome: watch::Receiver<Option<Result<WealthDay, WalletError>>>,
}

/// Ends the run of a process, however it ends.
struct Occupied(Wallet);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.inner.wealth_days.0.store(None);
    }
}

/// The code of income.
const INCOME: &str = "wealth.income";

impl Wallet {
    /// Today in Asia/Shanghai.
    #[must_use]
    pub fn today(&self) -> Date {
        Date::of(self.engine().now())
    }

    /// Pays a day's income and sweeps idle balances; the same day again is answered with what it came to. Goes on when
    /// the caller goes away.
    ///
    /// # Errors
    /// The day has another rate, another day is being paid, the caller may not create the money of its income, or the
    /// engine was overloaded for long: the same call takes the day up where it is.
    pub async fn pay_wealth_day(&self, date: Date, rate: IncomeRate) -> Result<WealthDay, WalletError> {
        self.own_platform()?;
        if let Some(ended) = self.ended(date).await? {
            same_rate(ended.rate, rate)?;
            return Ok(ended.answer(date, true));
        }
        self.may_issue()?;
        let (sender, outcome) = watch::channel(None);
        let run = Arc::new(Run { date, rate, outcome });
        let running = &self.inner.wealth_days.0;
        let before = running.compare_and_swap(&None::<Arc<Run>>, Some(Arc::clone(&run)));
        if let Some(before) = Option::clone(&before) {
            if before.date != date {
                return Err(Unavailable::Overloaded("the run of another wealth day").into());
            }
            same_rate(before.rate, rate)?;
            return Ok(WealthDay { replayed: true, ..before.wait().await? });
        }
        let occupied = Occupied(self.clone());
        tokio::spawn(async move {
            let outcome = occupied.0.run_wealth_day(date, rate).await;
            // Who asks from here on finds the outcome on disk, or begins another run.
            drop(occupied);
            sender.send_replace(Some(outcome));
        });
        run.wait().await
    }

    async fn ended(&self, date: Date) -> Result<Option<Ended>, WalletError> {
        let id = |attempt| step_id("wealth.day.end", date, &[], attempt);
        Ok(self.posted_attempt::<Ended>(id).await?.0.map(|settled| settled.document))
    }

    async fn run_wealth_day(&self, date: Date, rate: IncomeRate) -> Result<WealthDay, WalletError> {
        // The run before this one may have ended since the caller looked.
        if let Some(ended) = self.ended(date).await? {
            same_rate(ended.rate, rate)?;
            return Ok(ended.answer(date, true));
        }
        let (position, began) = self.begin(date, rate).await?;
        for (address, kind) in [
            (names::wealth_reserve(), AccountKind::OPEN_DEBIT),
            (names::wealth_clearing(), AccountKind::OPEN_CREDIT),
            (names::platform(names::Platform::Rounding), AccountKind::OPEN_CREDIT),
        ] {
            self.ensure(address, kind).await?;
        }
        let funded = self.fund(date, rate, position).await?;
        tracing::info!(%date, %position, shares = funded.shares, funded = funded.units, "a wealth day is funded");
        let paid = self.credit_all(&began, position).await?;
        tracing::info!(%date, wallets = paid.wallets, credited = paid.units, "a wealth day's income is paid");
        let owed = self.pay_owed(date).await?;
        tracing::info!(%date, owed, "wallets that take part again have what they were owed");
        let swept = self.sweep_all(date).await?;
        tracing::info!(%date, swept, "a wealth day's idle balances are swept");
        let Some(remainder) = funded.units.checked_sub(paid.units) else {
            tracing::error!(%date, paid = paid.units, funded = funded.units, "a wealth day has paid more than was funded");
            return Err(WalletError::refused(WalletCode::Ledger(RejectionCode::Overflow)));
        };
        let ended = Ended { rate, credited: paid.units, remainder, wallets: paid.wallets };
        let step = self.settle("wealth.day.end", date, &ended, |draft| {
            let rounding = names::platform(names::Platform::Rounding);
            draft.transfer(&names::wealth_clearing(), &rounding, Amount(remainder), INCOME);
        });
        Ok(step.await?.document.answer(date, false))
    }

    /// Step 1: where the day's shares are counted, and in which portions they are paid.
    async fn begin(&self, date: Date, rate: IncomeRate) -> Result<(Position, Began), WalletError> {
        let most = self.settings().wealth_credits_per_transaction.clamp(1, Transaction::OPERATIONS_MAX);
        let wallets_per_transaction = u32::try_from(most).unwrap_or(1);
        let began = Began { date, rate, wallets_per_transaction };
        let began = self.settle("wealth.day", date, &began, |_| {}).await?;
        same_rate(began.document.rate, rate)?;
        Ok((began.position, began.document))
    }

    /// Step 2: what all shares together earn.
    async fn fund(&self, date: Date, rate: IncomeRate, position: Position) -> Result<Funded, WalletError> {
        let id = |attempt| step_id("wealth.day.fund", date, &[], attempt);
        if let (Some(settled), _) = self.posted_attempt::<Funded>(id).await? {
            return Ok(settled.document);
        }
        let mut shares: u128 = 0;
        let mut wallets = credits::Walk::new(position);
        while let Some(wallet) = wallets.next(self).await? {
            shares = shares.saturating_add(wallet.shares);
        }
        let overflow = || WalletError::refused(WalletCode::Ledger(RejectionCode::Overflow));
        let units = rate.of(shares).ok_or_else(overflow)?;
        let funded = Funded { shares, units };
        let step = self.settle("wealth.day.fund", date, &funded, |draft| {
            let (reserve, clearing) = (names::wealth_reserve(), names::wealth_clearing());
            draft.transfer(&reserve, &clearing, Amount(units), INCOME);
        });
        Ok(step.await?.document)
    }
}

impl Run {
    async fn wait(&self) -> Result<WealthDay, WalletError> {
        let mut outcome = self.outcome.clone();
        let outcome = outcome.wait_for(Option::is_some).await;
        // The runtime ends, and the run with it.
        let outcome = outcome.map_err(|_| WalletError::Unavailable(Unavailable::Stopping))?;
        outcome.clone().unwrap_or(Err(WalletError::Unknown))
    }
}

impl Ended {
    fn answer(&self, date: Date, replayed: bool) -> WealthDay {
        let (credited, remainder) = (Amount(self.credited), Amount(self.remainder));
        WealthDay { date, credited, remainder, wallets: self.wallets, replayed }
    }
}

fn same_rate(first: IncomeRate, rate: IncomeRate) -> Result<(), WalletError> {
    if first == rate { Ok(()) } else { Err(WalletError::IdReused { field: "/income_per_10k".to_owned() }) }
}

/// The id of an attempt at a step of a day, or of one of its parts.
fn step_id(verb: &str, date: Date, part: &[u8], attempt: u32) -> TransactionId {
    // A date as text has one length.
    let mut id = date.to_string().into_bytes();
    id.extend(part);
    names::derive(verb, &id, attempt)
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let date = Date::parse("2026-06-18").unwrap();
    let rate = IncomeRate::parse("1.5").unwrap();
    let mut forms = vec![
        Form::document(&Began { date, rate, wallets_per_transaction: 60 }),
        Form::document(&Funded { shares: u128::from(u64::MAX) + 1, units: 300 }),
        Form::document(&Ended { rate, credited: 300, remainder: 1, wallets: 2 }),
    ];
    forms.extend([credits::forms(), owed::forms(), sweep::forms()].concat());
    forms
}

//! A day's income, wallet by wallet.
//!
//! Which wallets a transaction credits, and with how much, follows from the day's record, from the balances at its position
//! and from where the transaction before it ended, which its document says: a run that is taken up goes through the same ones.

use std::collections::{BTreeSet, VecDeque};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::{Deserialize, Serialize};

use super::{Began, Date, INCOME, step_id};
#[cfg(test)]
use crate::wallet::{document::Form, fixture::part};
use crate::{
    model::{AccountStatus, Address, Amount, Lane, Position, RejectionCode},
    wallet::{
        AccountKind, Part, Wallet, WalletCode, WalletError,
        document::Document,
        names,
        step::{Draft, Settled},
    },
};

/// Transactions after which the progress of a day is told.
const PROGRESS_EVERY: u32 = 1_000;

/// The record of a few wallets' income.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Credited {
    /// The last wallet: the next transaction begins behind it.
    through: Part,
    /// Fen.
    units: u64,
    wallets: u32,
    /// Wallets that take no part, and fen of their income, in the order of the wallets: they are owed it.
    suspended: Vec<(Part, u64)>,
}

impl Document for Credited {
    const TAG: u8 = 63;
    const LANE: Lane = Lane::Batch;
}

/// What was paid so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paid {
    /// Fen.
    pub(super) units: u64,
    pub(super) wallets: u64,
}

impl Paid {
    fn add(&mut self, credited: &Credited) -> Result<(), WalletError> {
        let overflow = || WalletError::refused(WalletCode::Ledger(RejectionCode::Overflow));
        self.units = self.units.checked_add(credited.units).ok_or_else(overflow)?;
        self.wallets += u64::from(credited.wallets);
        Ok(())
    }
}

/// A wallet's shares at the day's position.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    user: Part,
    /// Fen.
    pub(super) shares: u128,
    /// Whether it takes part now.
    active: bool,
}

/// All wallets that were open at a position, in the order of their addresses.
pub(super) struct Walk {
    position: Position,
    /// Where the next page starts; `None` at the end.
    next: Option<Option<Address>>,
    page: VecDeque<Shares>,
}

impl Walk {
    pub(super) fn new(position: Position) -> Self {
        Self { position, next: Some(None), page: VecDeque::new() }
    }

    /// Goes on behind a wallet.
    fn jump(&mut self, user: &Part) {
        self.page.clear();
        self.next = Some(Some(names::wealth(user)));
    }

    pub(super) async fn next(&mut self, wallet: &Wallet) -> Result<Option<Shares>, WalletError> {
        while self.page.is_empty() {
            let Some(after) = self.next.take() else { return Ok(None) };
            let after = after.as_ref().map(Address::as_str);
            let of_wealth = |address: &Address| names::wealth_owner(address.as_str()).is_some();
            let page = wallet.engine().balances_at(names::CUSTOMERS, after, self.position, of_wealth).await?;
            self.next = page.next.map(Some);
            // What a ledger caller has opened under such a name is nobody's wealth.
            let managed = page.items.into_iter().filter(|balance| balance.managed);
            self.page.extend(managed.filter_map(|balance| {
                Some(Shares {
                    user: names::wealth_owner(balance.address.as_str())?,
                    shares: u128::try_from(balance.posted).unwrap_or_default(),
                    active: balance.status == AccountStatus::Active,
                })
            }));
            // Others get their turn after each page.
            tokio::task::yield_now().await;
        }
        Ok(self.page.pop_front())
    }

    /// The next wallets that get something; none at the end.
    pub(super) async fn chunk(
        &mut self,
        wallet: &Wallet,
        began: &Began,
    ) -> Result<Vec<(Shares, u64)>, WalletError> {
        let most = usize::try_from(began.wallets_per_transaction).unwrap_or(1);
        let mut chunk = Vec::with_capacity(most);
        while chunk.len() < most
            && let Some(shares) = self.next(wallet).await?
        {
            // The income of all shares together fits, so does that of some.
            match began.rate.of(shares.shares) {
                Some(units) if units > 0 => chunk.push((shares, units)),
                Some(_) | None => {}
            }
        }
        Ok(chunk)
    }
}

impl Wallet {
    /// Step 3: every wallet's income.
    pub(super) async fn credit_all(&self, began: &Began, position: Position) -> Result<Paid, WalletError> {
        let date = began.date;
        let most = self.settings().wealth_credits_in_flight.max(1);
        let mut walk = Walk::new(position);
        let mut paid = Paid::default();
        let mut in_flight = FuturesUnordered::new();
        for no in 0_u32.. {
            let id = |attempt| step_id("wealth.credit", date, &no.to_be_bytes(), attempt);
            let (posted, attempt) = self.posted_attempt::<Credited>(id).await?;
            if let Some(Settled { document, .. }) = posted {
                walk.jump(&document.through);
                paid.add(&document)?;
                continue;
            }
            let chunk = walk.chunk(self, began).await?;
            if chunk.is_empty() {
                break;
            }
            in_flight.push(self.credit(date, no, attempt, chunk));
            if in_flight.len() >= most
                && let Some(credited) = in_flight.next().await
            {
                paid.add(&credited?)?;
            }
            if no % PROGRESS_EVERY == PROGRESS_EVERY - 1 {
                tracing::info!(%date, wallets = paid.wallets, credited = paid.units, "a wealth day's income");
            }
        }
        while let Some(credited) = in_flight.next().await {
            paid.add(&credited?)?;
        }
        Ok(paid)
    }

    /// Credits a few wallets in one transaction. One that takes no part can't be credited: it is owed its income.
    pub(super) async fn credit(
        &self,
        date: Date,
        no: u32,
        first_attempt: u32,
        chunk: Vec<(Shares, u64)>,
    ) -> Result<Credited, WalletError> {
        let inactive = chunk.iter().enumerate().filter(|(_, (shares, _))| !shares.active);
        let mut suspended: BTreeSet<usize> = inactive.map(|(index, _)| index).collect();
        for attempt in first_attempt.. {
            let id = step_id("wealth.credit", date, &no.to_be_bytes(), attempt);
            let document = document(&chunk, &suspended)?;
            for (user, _) in &document.suspended {
                self.ensure(names::wealth_owed(user), AccountKind::OWED).await?;
            }
            let make = || {
                let mut draft = Draft::new(id, document.clone());
                for (index, (shares, units)) in chunk.iter().enumerate() {
                    let to = if suspended.contains(&index) {
                        names::wealth_owed(&shares.user)
                    } else {
                        names::wealth(&shares.user)
                    };
                    draft.transfer(&names::wealth_clearing(), &to, Amount(*units), INCOME);
                }
                draft
            };
            let settled = self.submit_patiently(make).await?.ok_or_else(Self::overtaken)?;
            // Frozen or closed since it was looked at. In suspense already: it is the product's own account that takes
            // no part, and the day goes on when that does.
            let Err(rejection) = settled.verdict else { return Ok(settled.document) };
            if !suspended.insert(usize::from(rejection.operation)) {
                settled.posted()?;
            }
        }
        Err(Self::overtaken())
    }
}

fn document(chunk: &[(Shares, u64)], suspended: &BTreeSet<usize>) -> Result<Credited, WalletError> {
    let overflow = || WalletError::refused(WalletCode::Ledger(RejectionCode::Overflow));
    let units = chunk.iter().try_fold(0_u64, |sum, (_, units)| sum.checked_add(*units));
    let named = suspended.iter().filter_map(|&index| chunk.get(index));
    Ok(Credited {
        through: chunk.last().map(|(shares, _)| shares.user.clone()).ok_or_else(overflow)?,
        units: units.ok_or_else(overflow)?,
        wallets: u32::try_from(chunk.len()).map_err(|_| overflow())?,
        suspended: named.map(|(shares, units)| (shares.user.clone(), *units)).collect(),
    })
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let suspended = vec![(part("bob"), 2)];
    vec![Form::document(&Credited { through: part("carol"), units: 300, wallets: 3, suspended })]
}

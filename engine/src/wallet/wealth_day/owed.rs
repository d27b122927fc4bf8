//! Income that was owed: of days on which its wallet took no part.
//!
//! It waits in an account of the wallet's own, so that what is owed is a balance like any other. Each wallet is a
//! transaction of its own, at most once a day. Never pays what a day has just put there for a wallet that takes no part.

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::{Deserialize, Serialize};

use super::{Date, INCOME, step_id};
#[cfg(test)]
use crate::wallet::{document::Form, fixture::part};
use crate::{
    model::{AccountStatus, Address, Amount, Lane},
    wallet::{Part, Wallet, WalletError, document::Document, names, step::Draft},
};

/// The record of income that was owed; how much is its one operation.
#[derive(Clone, Serialize, Deserialize)]
struct OwedPaid {
    user: Part,
}

impl Document for OwedPaid {
    const TAG: u8 = 66;
    const LANE: Lane = Lane::Batch;
}

impl Wallet {
    /// Pays wallets that take part again what they are owed. Gives the number of wallets.
    pub(super) async fn pay_owed(&self, date: Date) -> Result<u64, WalletError> {
        let most = self.settings().wealth_credits_in_flight.max(1);
        let mut paid: u64 = 0;
        let mut in_flight = FuturesUnordered::new();
        let mut after: Option<Address> = None;
        loop {
            let after_text = after.as_ref().map(Address::as_str);
            let owed = |address: &Address| names::wealth_owed_owner(address.as_str());
            let page = self.engine().addresses(names::WEALTH_OWED, after_text, owed);
            for user in page.items {
                in_flight.push(self.pay_owed_to(date, user));
                if in_flight.len() >= most
                    && let Some(one) = in_flight.next().await
                {
                    paid += u64::from(one?);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
            // Others get their turn after each page.
            tokio::task::yield_now().await;
        }
        while let Some(one) = in_flight.next().await {
            paid += u64::from(one?);
        }
        Ok(paid)
    }

    /// Pays a wallet what it is owed, if it is owed something and takes part.
    async fn pay_owed_to(&self, date: Date, user: Part) -> Result<bool, WalletError> {
        let (from, to) = (names::wealth_owed(&user), names::wealth(&user));
        let active = |address: &Address| {
            self.engine().account(address).filter(|account| account.status == AccountStatus::Active)
        };
        let (Some(owed), Some(_)) = (active(&from), active(&to)) else { return Ok(false) };
        let Some(units) = u64::try_from(owed.available).ok().filter(|&units| units > 0) else {
            return Ok(false);
        };
        let make = || {
            let id = step_id("wealth.owed", date, user.as_str().as_bytes(), 0);
            let mut draft = Draft::new(id, OwedPaid { user: user.clone() });
            draft.transfer(&from, &to, Amount(units), INCOME);
            draft
        };
        let settled = self.submit_patiently(make).await?.ok_or_else(Self::overtaken)?;
        // Frozen since it was looked at: another day.
        Ok(settled.verdict.is_ok())
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    vec![Form::document(&OwedPaid { user: part("alice") })]
}

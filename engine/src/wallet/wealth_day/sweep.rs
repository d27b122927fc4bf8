//! The sweep: idle balance above what its owner keeps becomes shares.
//!
//! Each wallet is a transaction of its own, at most once a day: its balance can refuse, and then refuses for nobody else.
//! It writes the owner's settings again as they were: a sweep is decided on the settings that it was made from, and never
//! follows the owner's word that ends it. What a payment takes in the same moment may leave less than was to be kept.

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::{Deserialize, Serialize};

use super::{Date, step_id};
#[cfg(test)]
use crate::wallet::{document::Form, fixture::part};
use crate::{
    model::{AccountStatus, Address, Amount, Lane},
    wallet::{
        Class, Part, Settings, Wallet, WalletError,
        customer::Profile,
        document::{Document, Held},
        names,
        step::Draft,
        wealth_settings::WealthSettings,
    },
};

/// The record of a wallet's sweep; what it moved is its one operation.
#[derive(Clone, Serialize, Deserialize)]
struct Swept {
    user: Part,
}

impl Document for Swept {
    const TAG: u8 = 64;
    const LANE: Lane = Lane::Batch;
}

impl Wallet {
    /// Step 4: every wallet's idle balance. Gives the number of wallets that had some.
    pub(super) async fn sweep_all(&self, date: Date) -> Result<u64, WalletError> {
        let most = self.settings().wealth_sweeps_in_flight.max(1);
        let mut swept: u64 = 0;
        let mut in_flight = FuturesUnordered::new();
        let mut after: Option<Address> = None;
        loop {
            let after_text = after.as_ref().map(Address::as_str);
            let candidate = |address: &Address| {
                let user = names::customer_owner(address.as_str())?;
                self.cell::<WealthSettings>(address.clone()).content.enabled.then_some(user)
            };
            let page = self.engine().addresses(names::CUSTOMERS, after_text, candidate);
            for user in page.items {
                in_flight.push(self.sweep(date, user));
                if in_flight.len() >= most
                    && let Some(one) = in_flight.next().await
                {
                    swept += u64::from(one?);
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
            swept += u64::from(one?);
        }
        Ok(swept)
    }

    /// Sweeps a wallet, if there is something to sweep.
    async fn sweep(&self, date: Date, user: Part) -> Result<bool, WalletError> {
        for _ in 0..Self::TRIES_MAX {
            let Some((settings, idle)) = self.idle(&user) else { return Ok(false) };
            let make = || {
                let id = step_id("wealth.sweep", date, user.as_str().as_bytes(), 0);
                let mut draft: Draft<Swept> = Draft::new(id, Swept { user: user.clone() });
                let (from, to) = (names::customer(&user), names::wealth(&user));
                draft.transfer(&from, &to, idle, Settings::WEALTH_BUY).write(&settings);
                draft
            };
            // A refusal is for this day: a payment came first.
            if let Some(settled) = self.submit_patiently(make).await? {
                return Ok(settled.verdict.is_ok());
            }
        }
        Err(Self::overtaken())
    }

    /// What a wallet has above what it keeps, with the settings that say so.
    fn idle(&self, user: &Part) -> Option<(Held<WealthSettings>, Amount)> {
        let address = names::customer(user);
        let settings: Held<WealthSettings> = self.cell(address.clone());
        let profile: Held<Profile> = self.cell(address.clone());
        if !settings.content.enabled || profile.content.class != Class::III {
            return None;
        }
        let active = |account: &Address| {
            self.engine().account(account).filter(|account| account.status == AccountStatus::Active)
        };
        active(&names::wealth(user))?;
        let idle = active(&address)?.available - i128::from(settings.content.keep);
        let idle = u64::try_from(idle).ok().filter(|&idle| idle > 0)?;
        Some((settings, Amount(idle)))
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    vec![Form::document(&Swept { user: part("alice") })]
}

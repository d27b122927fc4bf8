//! Shares of the wealth product: redeeming them, and what they have earned.
//!
//! A share is a yuan in `customers:{user}:wealth`. Money gets there by the sweep (`wealth.buy`) and as income
//! (`wealth.income`), and leaves by redemption alone (`wealth.redeem`), to the same user's balance. Invariant: since the
//! ledger meters what was bought and what has left, the income of a wallet's whole life is what is there, and was
//! redeemed, and was not bought; nobody writes it down.

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::part;
use super::{Part, Settings, Wallet, WalletError, document::Document, names, step::Draft};
use crate::{
    model::{Amount, Limit, LimitWindow, Position, RequestedAmount, Timestamp, TransactionId},
    view::AccountView,
};

/// Shares that became balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// The caller's id.
    pub id: TransactionId,
    /// Whose.
    pub user: Part,
    /// How much.
    pub amount: Amount,
    /// Its record.
    pub position: Position,
    /// Its record's time.
    pub at: Timestamp,
    /// Whether this answer repeats an earlier one.
    pub replayed: bool,
}

/// The record of a redemption.
#[derive(Clone, Serialize, Deserialize)]
struct Redeemed {
    user: Part,
    units: u64,
}

impl Document for Redeemed {
    const TAG: u8 = 60;
}

impl Wallet {
    /// Turns shares into balance at once, within the limit of a day.
    ///
    /// # Errors
    /// No such wallet, an amount that is none; finally: not that many shares, the day's limit, a wallet that takes no
    /// part.
    pub async fn redeem(
        &self,
        id: TransactionId,
        user: &Part,
        amount: &RequestedAmount,
    ) -> Result<Redemption, WalletError> {
        self.own_user(user)?;
        let units = amount.to_units(Draft::<Redeemed>::CNY_SCALE);
        let step = names::derive("wealth.redemption", &id.0.to_be_bytes(), 0);
        let mut settled = self.find::<Redeemed>(step).await?;
        if settled.is_none() {
            let amount = units.unwrap_or_default();
            WalletError::check_amount(amount, "/amount")?;
            self.profile(user)?;
            let mut draft = Draft::new(step, Redeemed { user: user.clone(), units: amount.units() });
            draft.transfer(&names::wealth(user), &names::customer(user), amount, Settings::WEALTH_REDEEM);
            settled = self.submit(draft).await?;
        }
        let settled = settled.ok_or_else(Self::overtaken)?;
        let Redeemed { user: first, units: redeemed } = &settled.document;
        if first != user {
            return Err(WalletError::IdReused { field: "/user".to_owned() });
        }
        if units != Some(Amount(*redeemed)) {
            return Err(WalletError::IdReused { field: "/amount".to_owned() });
        }
        settled.posted()?;
        Ok(Redemption {
            id,
            user: user.clone(),
            amount: Amount(*redeemed),
            position: settled.position,
            at: settled.at,
            replayed: settled.replayed,
        })
    }
}

/// Fen that a wallet's shares have earned in all: of its balance and its shares at one moment.
pub(super) fn income_total(balance: &AccountView, wealth: &AccountView) -> i128 {
    let metered = |account: &AccountView, code: Option<&str>| {
        let of_life = |limit: &Limit| limit.window == LimitWindow::Lifetime && limit.code.as_deref() == code;
        let mut meters =
            account.limits.iter().filter(|limit| is_meter(&limit.limit) && of_life(&limit.limit));
        meters.next().map_or(0, |limit| i128::try_from(limit.used_amount).unwrap_or(i128::MAX))
    };
    wealth.posted + metered(wealth, None) - metered(balance, Some(Settings::WEALTH_BUY))
}

/// Whether a limit is there to sum up, and not to refuse.
pub(super) fn is_meter(limit: &Limit) -> bool {
    limit.amount == Some(u64::MAX)
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    vec![Form::document(&Redeemed { user: part("alice"), units: 300 })]
}

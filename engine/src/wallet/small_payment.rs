//! Small payments without a password, if the wallet's owner allowed them.
//!
//! Owns the small payments' cell: what the owner allowed, and what is used of it today. A payment's use is written with
//! the payment.

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::part;
use super::{
    Part, Wallet, WalletCode, WalletError,
    auth::Demand,
    document::{CellContent, Document, Held},
    hashing::Password,
    names,
    step::Draft,
};
use crate::{
    ledger::WindowStart,
    model::{Address, Amount, CellKind, CellWrite, LimitWindow, RejectionCode, Timestamp},
};

/// What an owner allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SmallPayments {
    /// Whether any.
    pub enabled: bool,
    /// Most of one payment.
    pub limit: Amount,
    /// Most of them in a day.
    pub daily_count: u32,
}

/// What an owner allows, and what is used of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SmallCell {
    enabled: bool,
    /// In fen.
    limit: u64,
    daily_count: u32,
    /// The day that `used` is of, in Asia/Shanghai.
    day: i32,
    used: u32,
}

impl CellContent for SmallCell {
    const KIND: CellKind = CellKind(4);
}

impl SmallCell {
    pub(super) fn allowed(&self) -> SmallPayments {
        let Self { enabled, limit, daily_count, .. } = *self;
        SmallPayments { enabled, limit: Amount(limit), daily_count }
    }

    fn allow(&mut self, allowed: SmallPayments) {
        (self.enabled, self.limit, self.daily_count) =
            (allowed.enabled, allowed.limit.0, allowed.daily_count);
    }

    /// Counts a payment, if it is allowed. A clock that shows an earlier day than the counted one is taken to be in
    /// the counted one.
    fn take(&mut self, amount: Amount, most: SmallPayments, now: Timestamp) -> bool {
        let WindowStart(day) = WindowStart::of(LimitWindow::Day, now);
        if day > self.day {
            (self.day, self.used) = (day, 0);
        }
        let own = self.allowed();
        let (limit, daily_count) = (own.limit.min(most.limit), own.daily_count.min(most.daily_count));
        let allowed = own.enabled && most.enabled && amount <= limit && self.used < daily_count;
        self.used = self.used.saturating_add(1);
        allowed
    }
}

/// The record of an owner's choice.
#[derive(Serialize, Deserialize)]
struct SmallPaymentsSet {
    user: Part,
}

impl Document for SmallPaymentsSet {
    const TAG: u8 = 12;
}

impl Wallet {
    /// Sets what may be paid without a password. What is used today stays used.
    ///
    /// # Errors
    /// `amount_invalid` or `limit_exceeded` above what the platform allows; `password_wrong`, `password_locked`,
    /// `password_invalid` if none is set; no such wallet; overload.
    pub async fn set_small_payments(
        &self,
        user: &Part,
        password: Password,
        allowed: SmallPayments,
    ) -> Result<(), WalletError> {
        self.own_user(user)?;
        let above = |field| WalletError::field(WalletCode::Ledger(RejectionCode::LimitExceeded), field);
        if allowed.limit.0 > self.settings().small_payment_units_max {
            return Err(above("/limit"));
        }
        if allowed.daily_count > self.settings().small_payment_count_max {
            return Err(above("/daily_count"));
        }
        self.check_password(user, password).await?;
        for _ in 0..Self::TRIES_MAX {
            let mut cell: Held<SmallCell> = self.cell(names::customer(user));
            if cell.content.allowed() == allowed {
                return Ok(());
            }
            cell.content.allow(allowed);
            let id = names::derive_revision("small-payment", user, cell.revision());
            let mut draft = Draft::new(id, SmallPaymentsSet { user: user.clone() });
            draft.write(&cell);
            if self.submit(draft).await?.is_some_and(|settled| !settled.replayed) {
                return Ok(());
            }
        }
        Err(Self::overtaken())
    }

    /// The write that counts a small payment, if the owner allows it.
    pub(super) fn small_write(&self, demand: &Demand<'_>) -> Option<CellWrite<Address>> {
        let mut cell: Held<SmallCell> = self.cell(names::customer(demand.user));
        // What the owner has set may be older than what the platform allows.
        let (limit, daily_count) =
            (Amount(self.settings().small_payment_units_max), self.settings().small_payment_count_max);
        let most = SmallPayments { enabled: true, limit, daily_count };
        cell.content.take(demand.amount, most, self.engine().now()).then(|| cell.write())
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let user = part("alice");
    let cell = SmallCell { enabled: true, limit: 20_000, daily_count: 5, day: 20_256, used: 3 };
    vec![Form::document(&SmallPaymentsSet { user }), Form::cell(&cell)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: SmallPayments =
        SmallPayments { enabled: true, limit: Amount(u64::MAX), daily_count: u32::MAX };

    fn cell_of(allowed: SmallPayments) -> SmallCell {
        let mut cell = SmallCell::default();
        cell.allow(allowed);
        cell
    }

    #[test]
    fn the_days_count_starts_anew_at_midnight_in_shanghai() {
        let allowed = SmallPayments { enabled: true, limit: Amount(500), daily_count: 2 };
        let mut cell = cell_of(allowed);
        // 2025-06-17T15:59:59Z and 16:00:00Z: midnight in Shanghai.
        let before = Timestamp(1_750_175_999_000_000_000);
        let after = before.plus_seconds(1);
        let mut take = |units, now| {
            let mut taken = cell.clone();
            let allowed = taken.take(Amount(units), ALL, now);
            if allowed {
                cell = taken;
            }
            allowed
        };
        assert!(!take(501, before));
        assert!(take(500, before));
        assert!(take(1, before));
        assert!(!take(1, before));
        assert!(take(1, after));
        // A clock that goes back gives no second day.
        assert!(take(1, before));
        assert!(!take(1, before));
        assert!(!take(1, after));
    }

    #[test]
    fn nothing_is_allowed_that_was_not_switched_on() {
        assert!(!SmallCell::default().take(Amount(1), ALL, Timestamp::ZERO));
        let allowed = SmallPayments { enabled: false, limit: Amount(500), daily_count: 2 };
        assert!(!cell_of(allowed).take(Amount(1), ALL, Timestamp::ZERO));
    }

    /// Also if the owner was allowed more before.
    #[test]
    fn the_platforms_most_is_the_most() {
        let allowed = SmallPayments { enabled: true, limit: Amount(500), daily_count: 2 };
        let check = |most, amounts: &[(u64, bool)]| {
            let mut cell = cell_of(allowed);
            for &(units, expected) in amounts {
                assert_eq!(cell.take(Amount(units), most, Timestamp::ZERO), expected, "{units} of {most:?}");
            }
        };
        check(ALL, &[(500, true), (500, true), (1, false)]);
        check(SmallPayments { limit: Amount(499), ..ALL }, &[(499, true)]);
        check(SmallPayments { limit: Amount(499), ..ALL }, &[(500, false)]);
        check(SmallPayments { daily_count: 1, ..ALL }, &[(1, true), (1, false)]);
    }
}

//! Payment passwords: setting one, checking one, the lock.
//!
//! Owns the password cell. Never counts in memory: an attempt is on disk before the password is looked at, so neither a
//! crash nor many tries at once gain a try. Invariant: of the attempts since the last right one, at most
//! `password_attempts_max` were looked at; then nothing is until the lock has passed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::part;
use super::{
    Part, Wallet, WalletCode, WalletError,
    code::Refusal,
    document::{CellContent, Document, Held},
    hashing::{Hashed, Password},
    names,
    step::Draft,
};
use crate::{
    model::{CellKind, Timestamp},
    view::Unavailable,
};

/// A wallet's password and what was tried.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct PasswordCell {
    pub(super) hashed: Hashed,
    /// How often it was set; what was given out for an earlier one is void.
    pub(super) epoch: u64,
    /// Attempts at this password.
    made: u64,
    /// Those up to this one count no more: it was right, or their lock has passed.
    forgiven: u64,
    /// In nanoseconds; set with the last attempt that is allowed.
    locked_until: Option<i64>,
}

impl CellContent for PasswordCell {
    const KIND: CellKind = CellKind(2);
}

impl PasswordCell {
    /// Attempts that were not right, or are being looked at.
    fn tried(&self) -> u32 {
        u32::try_from(self.made.saturating_sub(self.forgiven)).unwrap_or(u32::MAX)
    }

    /// Attempt `no` was right: it and those before it count no more; later ones do. Of several right ones in flight the
    /// last one counts, and none twice.
    fn forgive(&mut self, no: u64, attempts_max: u32) {
        self.forgiven = self.forgiven.max(no);
        if self.tried() < attempts_max {
            self.locked_until = None;
        }
    }

    /// When the lock ends, if there is one.
    pub(super) fn locked_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.locked_until.map(Timestamp).filter(|&until| now < until)
    }

    fn refuse_locked(&self, now: Timestamp) -> Result<(), WalletError> {
        let Some(until) = self.locked_until(now) else { return Ok(()) };
        let nanos = until.0.saturating_sub(now.0);
        let seconds = nanos.saturating_add(Timestamp::NANOS_PER_SECOND - 1) / Timestamp::NANOS_PER_SECOND;
        let retry_after_s = Some(u64::try_from(seconds).unwrap_or_default());
        Err(WalletError::Refused(Box::new(Refusal {
            retry_after_s,
            ..Refusal::new(WalletCode::PasswordLocked)
        })))
    }
}

/// The record of a write to a password's cell.
#[derive(Serialize, Deserialize)]
struct PasswordWritten {
    user: Part,
    what: What,
}

impl Document for PasswordWritten {
    const TAG: u8 = 10;
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum What {
    Set,
    Attempt,
    Right,
}

impl Wallet {
    /// How long a right password's attempt is tried to be forgotten while the engine is overloaded.
    const FORGETTING_MAX: Duration = Duration::from_secs(2);
    const FORGETTING_PAUSE: Duration = Duration::from_millis(20);

    /// Sets a wallet's password. Once one is set, the old one has to be shown; without it, only the same password is
    /// taken again.
    ///
    /// # Errors
    /// `password_invalid` if the new one is trivial; `password_wrong`, `password_locked`; no such wallet; overload.
    pub async fn set_password(
        &self,
        user: &Part,
        new: Password,
        old: Option<Password>,
    ) -> Result<(), WalletError> {
        self.own_user(user)?;
        if new.is_trivial() {
            return Err(WalletError::field(WalletCode::PasswordInvalid, "/password"));
        }
        self.profile(user)?;
        self.unlocked(user)?;
        let (wallet, user) = (self.clone(), user.clone());
        self.in_turn(async move { wallet.replace_password(&user, new, old).await }).await
    }

    async fn replace_password(
        &self,
        user: &Part,
        new: Password,
        old: Option<Password>,
    ) -> Result<(), WalletError> {
        let address = names::customer(user);
        let mut hashed = None;
        for _ in 0..Self::TRIES_MAX {
            let before: Held<PasswordCell> = self.cell(address.clone());
            if before.exists() {
                self.attempt(user, old.unwrap_or(new)).await?;
                if old.is_none_or(|old| old == new) {
                    return Ok(());
                }
            }
            let hashed = match &hashed {
                Some(hashed) => hashed,
                None => &*hashed.insert(self.hashed(new).await?),
            };
            // Attempts since then do not matter; another password does.
            for _ in 0..Self::TRIES_MAX {
                let mut cell: Held<PasswordCell> = self.cell(address.clone());
                if cell.content.epoch != before.content.epoch {
                    break;
                }
                let epoch = cell.content.epoch.saturating_add(1);
                cell.content = PasswordCell { hashed: hashed.clone(), epoch, ..PasswordCell::default() };
                if self.write_password(user, &cell, What::Set).await? {
                    return Ok(());
                }
            }
        }
        Err(Self::overtaken())
    }

    /// Checks a password in its turn; gives the epoch in which it was right.
    ///
    /// # Errors
    /// `password_wrong` with the attempts that are left, `password_locked`; `password_invalid` if none was set; no such
    /// wallet; overload.
    pub(super) async fn check_password(&self, user: &Part, password: Password) -> Result<u64, WalletError> {
        self.profile(user)?;
        self.unlocked(user)?;
        let (wallet, user) = (self.clone(), user.clone());
        self.in_turn(async move { wallet.attempt(&user, password).await }).await
    }

    /// Whoever guesses at a locked wallet takes nobody's turn.
    fn unlocked(&self, user: &Part) -> Result<(), WalletError> {
        let cell: Held<PasswordCell> = self.cell(names::customer(user));
        cell.content.refuse_locked(self.engine().now())
    }

    /// Counts an attempt, and then looks at it.
    async fn attempt(&self, user: &Part, password: Password) -> Result<u64, WalletError> {
        let counted = self.count_attempt(user).await?;
        let tried = counted.tried();
        let PasswordCell { hashed, epoch, made, .. } = counted;
        if !self.matches(hashed, password).await? {
            let attempts_left = Some(self.settings().password_attempts_max.saturating_sub(tried));
            let refusal = Refusal { attempts_left, ..Refusal::new(WalletCode::PasswordWrong) };
            return Err(WalletError::Refused(Box::new(refusal)));
        }
        // The owner was right: with the attempt left on record, five calls while the engine is overloaded would lock the
        // wallet of somebody who never was wrong.
        let mut waited = Duration::ZERO;
        loop {
            match self.forget_attempts(user, epoch, made).await {
                Err(WalletError::Unavailable(Unavailable::Overloaded(_)))
                    if waited < Self::FORGETTING_MAX =>
                {
                    tokio::time::sleep(Self::FORGETTING_PAUSE).await;
                    waited += Self::FORGETTING_PAUSE;
                }
                other => return other.map(|()| epoch),
            }
        }
    }

    /// The cell with one more attempt, which is on disk now.
    async fn count_attempt(&self, user: &Part) -> Result<PasswordCell, WalletError> {
        for _ in 0..Self::TRIES_MAX {
            let mut cell: Held<PasswordCell> = self.cell(names::customer(user));
            if !cell.exists() {
                return Err(WalletError::detailed(
                    WalletCode::PasswordInvalid,
                    "the wallet has no payment password yet",
                ));
            }
            let now = self.engine().now();
            cell.content.refuse_locked(now)?;
            if cell.content.locked_until.take().is_some() {
                cell.content.forgiven = cell.content.made;
            }
            cell.content.made = cell.content.made.saturating_add(1);
            if cell.content.tried() >= self.settings().password_attempts_max {
                let seconds = u32::try_from(self.settings().password_lock_s).unwrap_or(u32::MAX);
                cell.content.locked_until = Some(now.plus_seconds(seconds).0);
            }
            if self.write_password(user, &cell, What::Attempt).await? {
                return Ok(cell.content);
            }
        }
        Err(Self::overtaken())
    }

    /// The attempt of number `no` was right.
    async fn forget_attempts(&self, user: &Part, epoch: u64, no: u64) -> Result<(), WalletError> {
        for _ in 0..Self::TRIES_MAX {
            let mut cell: Held<PasswordCell> = self.cell(names::customer(user));
            if cell.content.epoch != epoch {
                return Ok(());
            }
            cell.content.forgive(no, self.settings().password_attempts_max);
            if self.write_password(user, &cell, What::Right).await? {
                return Ok(());
            }
        }
        Err(Self::overtaken())
    }

    /// Whether this call wrote it. The record's id is that of the cell's revision, so that whoever comes second waits
    /// until the first is on disk, and then sees it.
    async fn write_password(
        &self,
        user: &Part,
        cell: &Held<PasswordCell>,
        what: What,
    ) -> Result<bool, WalletError> {
        let id = names::derive_revision("password", user, cell.revision());
        let mut draft = Draft::new(id, PasswordWritten { user: user.clone(), what });
        draft.write(cell);
        Ok(self.submit(draft).await?.is_some_and(|settled| !settled.replayed))
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let written = |what| Form::document(&PasswordWritten { user: part("alice"), what });
    let cell = PasswordCell {
        hashed: Hashed::default(),
        epoch: 1,
        made: 7,
        forgiven: 2,
        locked_until: Some(1_750_176_000_000_000_001),
    };
    let mut forms: Vec<Form> = [What::Set, What::Attempt, What::Right].map(written).into();
    forms.push(Form::cell(&cell));
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five attempts in flight; the right ones come back in any order, and perhaps after a lock has passed.
    #[test]
    fn right_passwords_in_flight_forgive_what_was_before_them_once() {
        let check = |right: &[u64], tried: u32, locked: bool| {
            let mut cell = PasswordCell { made: 5, locked_until: Some(1), ..PasswordCell::default() };
            for &no in right {
                cell.forgive(no, 5);
            }
            assert_eq!((cell.tried(), cell.locked_until.is_some()), (tried, locked), "{right:?}");
        };
        check(&[], 5, true);
        check(&[1], 4, false);
        check(&[1, 2], 3, false);
        check(&[2, 1], 3, false);
        check(&[2, 2], 3, false);
        check(&[3, 5, 4], 0, false);
    }
}

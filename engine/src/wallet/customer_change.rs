//! Changing a wallet: its status, its class.
//!
//! Several records, so a crash can come between them: the same change again finishes what is missing. Of two changes at
//! once one is the last, and all parts follow that one.

use super::{
    Class, CustomerView, Part, Wallet, WalletCode, WalletError,
    customer::{Profile, ProfileSet},
    document::Held,
    names,
    step::Draft,
    wealth_settings::WealthSettings,
};
use crate::model::{AccountChange, AccountStatus, Address, Limit, Patch, RejectionCode};

/// A change to a wallet; what is not mentioned stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CustomerChange {
    /// Whether it takes part.
    pub status: Option<AccountStatus>,
    /// How well the owner is known.
    pub class: Option<Class>,
}

impl Wallet {
    /// Changes a user's wallet: first the class, then the status.
    ///
    /// # Errors
    /// No such wallet; `account_closed`: it is closed for ever; `account_not_empty`: it has money and can't be closed;
    /// overload: the same change again goes on where this one stopped.
    pub async fn change_customer(
        &self,
        user: &Part,
        change: CustomerChange,
    ) -> Result<CustomerView, WalletError> {
        self.own_user(user)?;
        self.profile(user)?;
        let closed = self.status_of(&names::customer(user))? == AccountStatus::Closed;
        let closes = change.status == Some(AccountStatus::Closed);
        if closed && (change.class.is_some() || change.status.is_some() && !closes) {
            return Err(WalletError::refused(WalletCode::Ledger(RejectionCode::AccountClosed)));
        }
        if let Some(class) = change.class {
            // A crash in between leaves the limits of the lower class: never more than the class that is shown allows.
            if class < self.profile(user)?.content.class {
                self.set_limits(user, class).await?;
            }
            self.write_class(user, class).await?;
            self.follow_class(user).await?;
        }
        match change.status {
            Some(AccountStatus::Closed) => {
                let closed = self.close_customer(user).await;
                let code = WalletCode::Ledger(RejectionCode::AccountClosed);
                match closed {
                    // A copy was quicker: what is left to do is done by both.
                    Err(WalletError::Refused(refusal)) if refusal.code == code => {
                        self.close_customer(user).await?;
                    }
                    other => other?,
                }
            }
            Some(status) => {
                self.set_status(&names::customer(user), status).await?;
                self.follow_status(user).await?;
            }
            None => {}
        }
        self.customer(user).await
    }

    /// The class, and with it whether there can be wealth.
    async fn write_class(&self, user: &Part, class: Class) -> Result<(), WalletError> {
        for _ in 0..Self::TRIES_MAX {
            let mut profile = self.profile(user)?;
            if profile.content.class == class {
                return Ok(());
            }
            profile.content.class = class;
            let id = names::derive_revision("wallet.class", user, profile.revision());
            let mut draft = Draft::new(id, ProfileSet { user: user.clone(), class });
            draft.write(&profile);
            let mut wealth: Held<WealthSettings> = self.cell(names::customer(user));
            if class != Class::III && wealth.content.enabled {
                wealth.content.enabled = false;
                draft.write(&wealth);
            }
            if self.submit(draft).await?.is_some_and(|settled| !settled.replayed) {
                return Ok(());
            }
        }
        Err(Self::overtaken())
    }

    /// Gives the account the limits of the profile's class, whoever wrote that last.
    pub(super) async fn follow_class(&self, user: &Part) -> Result<(), WalletError> {
        for _ in 0..Self::TRIES_MAX {
            let profile: Held<Profile> = self.profile(user)?;
            self.set_limits(user, profile.content.class).await?;
            if self.profile(user)?.content.class == profile.content.class {
                return Ok(());
            }
        }
        Err(Self::overtaken())
    }

    /// Gives the account the limits of a class.
    async fn set_limits(&self, user: &Part, class: Class) -> Result<(), WalletError> {
        let address = names::customer(user);
        let limits = self.settings().limits_of(class);
        let account = self.engine().account(&address);
        let has: Option<Vec<Limit>> =
            account.map(|account| account.limits.into_iter().map(|view| view.limit).collect());
        if has.as_ref() != Some(&limits) {
            let change = AccountChange { limits: Patch::Set(limits), ..AccountChange::default() };
            self.change_account(&address, change).await?;
        }
        Ok(())
    }

    /// Refuses what a frozen account of the platform's, a channel's or a merchant's would refuse, without a record: what
    /// decides an order is decided once, and a freeze ends.
    pub(super) fn not_frozen<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a Address>,
    ) -> Result<(), WalletError> {
        let frozen = |address: &&Address| {
            let account = self.engine().account(address);
            account.is_some_and(|account| account.status == AccountStatus::Frozen)
        };
        match addresses.into_iter().find(frozen) {
            Some(_) => Err(WalletError::refused(WalletCode::Ledger(RejectionCode::AccountFrozen))),
            None => Ok(()),
        }
    }

    /// Gives the user's shares the status of the balance, whoever set that last. The points' account stays active: they
    /// are no money, and a capture or a refund moves them together with that of others.
    async fn follow_status(&self, user: &Part) -> Result<(), WalletError> {
        let own = names::customer(user);
        for _ in 0..Self::TRIES_MAX {
            let status = self.status_of(&own)?;
            self.set_status(&names::wealth(user), status).await?;
            if self.status_of(&own)? == status {
                return Ok(());
            }
        }
        Err(Self::overtaken())
    }

    /// Closes a wallet without money. One with money is refused as it is: a crash must not leave it frozen, nor a copy of
    /// the call take the other's freeze for what was before. Then it is frozen, so that no money can come while one
    /// account after the other closes; points that are left are no money, and stay behind.
    async fn close_customer(&self, user: &Part) -> Result<(), WalletError> {
        let (own, wealth) = (names::customer(user), names::wealth(user));
        let before = self.status_of(&own)?;
        if before != AccountStatus::Closed {
            let has_money = |address| {
                let account = self.engine().account(address);
                account.is_some_and(|account| account.posted != 0 || account.held != 0)
            };
            // Income of the wealth product that could not be credited is still to come.
            let owed = names::wealth_owed(user);
            if [&own, &wealth, &owed].into_iter().any(has_money) {
                return Err(WalletError::refused(WalletCode::AccountNotEmpty));
            }
            self.set_status(&own, AccountStatus::Frozen).await?;
            self.set_status(&wealth, AccountStatus::Frozen).await?;
            let shares = self.engine().account(&wealth);
            let closed = if shares.is_some_and(|shares| shares.posted == 0 && shares.held == 0) {
                self.set_status(&own, AccountStatus::Closed).await
            } else {
                Err(WalletError::refused(WalletCode::AccountNotEmpty))
            };
            if let Err(error) = closed {
                self.set_status(&own, before).await?;
                self.follow_status(user).await?;
                return Err(error);
            }
        }
        self.set_status(&wealth, AccountStatus::Closed).await
    }

    /// Refuses what a wallet that is frozen or closed would start; the ledger looks at the accounts that move alone.
    pub(super) fn takes_part(&self, user: &Part) -> Result<(), WalletError> {
        let code = match self.status_of(&names::customer(user))? {
            AccountStatus::Active => return Ok(()),
            AccountStatus::Frozen => RejectionCode::AccountFrozen,
            AccountStatus::Closed => RejectionCode::AccountClosed,
        };
        Err(WalletError::refused(WalletCode::Ledger(code)))
    }

    pub(super) fn status_of(&self, address: &Address) -> Result<AccountStatus, WalletError> {
        let account = self.engine().account(address);
        account.map(|account| account.status).ok_or_else(|| WalletError::refused(WalletCode::NotFound))
    }

    async fn set_status(&self, address: &Address, status: AccountStatus) -> Result<(), WalletError> {
        if self.status_of(address)? == status {
            return Ok(());
        }
        let change = AccountChange { status: Patch::Set(status), ..AccountChange::default() };
        self.change_account(address, change).await?;
        Ok(())
    }
}

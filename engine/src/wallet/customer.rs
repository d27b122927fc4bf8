//! Users' wallets: opening, showing.
//!
//! A wallet is its accounts and its profile cell; it is there once the cell is. Opening resumes after a crash: each part
//! is opened once.

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::part;
use super::{
    AccountKind, DeviceView, Part, SmallPayments, Wallet, WalletCode, WalletError, WealthView,
    device::Devices,
    document::{CellContent, Document, Held},
    names,
    password::PasswordCell,
    small_payment::SmallCell,
    step::Draft,
    wealth,
    wealth_settings::WealthSettings,
};
use crate::{
    model::{AccountStatus, Amount, CellKind, Timestamp},
    view::{AccountError, LimitView},
};

/// How well the owner is known; decides on limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// One outside check.
    #[default]
    I,
    /// Three of them.
    II,
    /// Five of them, or in person.
    III,
}

/// What is known of a wallet's owner.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Profile {
    pub(super) class: Class,
}

impl CellContent for Profile {
    const KIND: CellKind = CellKind(1);
}

/// The record of a wallet's opening or change.
#[derive(Serialize, Deserialize)]
pub(super) struct ProfileSet {
    pub(super) user: Part,
    pub(super) class: Class,
}

impl Document for ProfileSet {
    const TAG: u8 = 1;
}

/// A wallet at one moment.
#[derive(Clone, Debug)]
pub struct CustomerView {
    /// Whose.
    pub user: Part,
    /// How well the owner is known.
    pub class: Class,
    /// Whether it takes part.
    pub status: AccountStatus,
    /// Fen.
    pub posted: i128,
    /// Fen set aside.
    pub held: i128,
    /// Fen that can be spent.
    pub available: i128,
    /// Fen in the wealth product.
    pub wealth: i128,
    /// Fen that the wealth product has ever earned.
    pub income_total: i128,
    /// What the owner chose of the wealth product.
    pub wealth_settings: WealthView,
    /// Carbon points.
    pub carbon: i128,
    /// Whether there is a payment password.
    pub password_set: bool,
    /// When the payment password can be tried again, if it is locked.
    pub locked_until: Option<Timestamp>,
    /// What may be paid without a password.
    pub small_payments: SmallPayments,
    /// Devices that may spend.
    pub devices: Vec<DeviceView>,
    /// Spending limits with what is used.
    pub limits: Vec<LimitView>,
}

/// What came of an opening.
#[derive(Clone, Debug)]
pub struct OpenedCustomer {
    /// The wallet.
    pub view: CustomerView,
    /// Whether this call opened it.
    pub opened: bool,
}

impl Wallet {
    /// Opens a user's wallet.
    ///
    /// # Errors
    /// It was opened with another class, the user's account belongs to the ledger's own callers, or overload.
    pub async fn open_customer(&self, user: &Part, class: Class) -> Result<OpenedCustomer, WalletError> {
        self.own_user(user)?;
        let address = names::customer(user);
        for _ in 0..Self::TRIES_MAX {
            let mut profile: Held<Profile> = self.cell(address.clone());
            if profile.exists() {
                if profile.content.class != class {
                    return Err(WalletError::field(WalletCode::AccountExists, "/class"));
                }
                // An opening may have ended between the profile and its limits.
                if self.status_of(&address)? != AccountStatus::Closed {
                    self.follow_class(user).await?;
                }
                return Ok(OpenedCustomer { view: self.customer(user).await?, opened: false });
            }
            self.open_accounts(user, class).await?;
            profile.content.class = class;
            let mut draft = Draft::new(
                names::derive("wallet", user.as_str().as_bytes(), 0),
                ProfileSet { user: user.clone(), class },
            );
            draft.write(&profile);
            if self.submit(draft).await?.is_some_and(|settled| !settled.replayed) {
                self.follow_class(user).await?;
                return Ok(OpenedCustomer { view: self.customer(user).await?, opened: true });
            }
        }
        Err(Self::overtaken())
    }

    async fn open_accounts(&self, user: &Part, class: Class) -> Result<(), WalletError> {
        let managed = || self.engine().account(&names::customer(user)).is_some_and(|account| account.managed);
        let limits = self.settings().limits_of(class);
        match self.open_managed(names::customer(user), AccountKind::OWED, limits).await {
            Ok(()) => {}
            // What an opening that was cut short has left, perhaps of another class: the limits follow the profile.
            Err(AccountError::Exists { .. }) if managed() => {}
            Err(AccountError::Unavailable(why)) => return Err(why.into()),
            Err(_) => return Err(WalletError::field(WalletCode::AccountExists, "/user")),
        }
        let points = AccountKind { asset: AccountKind::CARBON, ..AccountKind::OPEN_CREDIT };
        let limits = self.settings().wealth_limits();
        self.ensure_with(names::wealth(user), AccountKind::OWED, limits).await?;
        self.ensure(names::carbon(user), points).await
    }

    /// A user's wallet at one moment.
    ///
    /// # Errors
    /// There is none, or overload.
    pub async fn customer(&self, user: &Part) -> Result<CustomerView, WalletError> {
        self.own_user(user)?;
        const KINDS: &[CellKind] =
            &[Profile::KIND, PasswordCell::KIND, Devices::KIND, SmallCell::KIND, WealthSettings::KIND];
        let addresses = vec![names::customer(user), names::wealth(user), names::carbon(user)];
        let moment = self.engine().moment(addresses, KINDS).await?;
        let ([Some(own), Some(wealth), Some(carbon)], [profile, password, devices, small, settings]) =
            (moment.accounts.as_slice(), moment.cells.as_slice())
        else {
            return Err(WalletError::refused(WalletCode::NotFound));
        };
        let address = || names::customer(user);
        let profile: Held<Profile> = Held::read(address(), profile.as_ref());
        if !profile.exists() {
            return Err(WalletError::refused(WalletCode::NotFound));
        }
        let password: Held<PasswordCell> = Held::read(address(), password.as_ref());
        let devices: Held<Devices> = Held::read(address(), devices.as_ref());
        let small: Held<SmallCell> = Held::read(address(), small.as_ref());
        let settings: Held<WealthSettings> = Held::read(address(), settings.as_ref());
        let WealthSettings { enabled, keep } = settings.content;
        Ok(CustomerView {
            user: user.clone(),
            class: profile.content.class,
            status: own.status,
            posted: own.posted,
            held: own.held,
            available: own.available,
            wealth: wealth.posted,
            income_total: wealth::income_total(own, wealth),
            wealth_settings: WealthView { enabled, keep: Amount(keep) },
            carbon: carbon.posted,
            password_set: password.exists(),
            locked_until: password.content.locked_until(self.engine().now()),
            small_payments: small.content.allowed(),
            devices: devices.content.view(),
            limits: own.limits.iter().filter(|limit| !wealth::is_meter(&limit.limit)).cloned().collect(),
        })
    }

    /// The profile of a wallet that is there.
    pub(super) fn profile(&self, user: &Part) -> Result<Held<Profile>, WalletError> {
        let profile: Held<Profile> = self.cell(names::customer(user));
        if profile.exists() { Ok(profile) } else { Err(WalletError::refused(WalletCode::NotFound)) }
    }

    /// Fen that a user can spend now, as of the last synced change.
    pub(super) fn available(&self, user: &Part) -> Amount {
        let account = self.engine().account(&names::customer(user));
        let units = account.map_or(0, |account| account.available.max(0));
        Amount(u64::try_from(units).unwrap_or(u64::MAX))
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let user = part("alice");
    vec![
        Form::document(&ProfileSet { user, class: Class::III }),
        Form::cell(&Profile { class: Class::I }),
        Form::cell(&Profile { class: Class::II }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{AccountChange, Address, Patch, TransactionId},
        wallet::{
            CustomerChange,
            fixture::{Fixture, settings},
        },
    };

    /// What a crash leaves between an opening's records.
    #[tokio::test]
    async fn a_half_opened_wallet_is_opened_with_any_class() {
        for class in [Class::I, Class::II, Class::III] {
            let fixture = Fixture::new(settings()).await;
            let (wallet, carol) = (&fixture.wallet, part("carol"));
            wallet.open_accounts(&carol, Class::II).await.unwrap();
            let opened = wallet.open_customer(&carol, class).await.unwrap();
            assert!(opened.opened, "{class:?}");
            assert_eq!(opened.view.class, class);
            let limits: Vec<_> = opened.view.limits.iter().map(|view| view.limit.clone()).collect();
            let whole = part("dave");
            let whole = wallet.open_customer(&whole, class).await.unwrap().view.limits;
            assert_eq!(limits, whole.into_iter().map(|view| view.limit).collect::<Vec<_>>(), "{class:?}");
            assert!(!wallet.open_customer(&carol, class).await.unwrap().opened);
            // It ended before its limits followed.
            let change = AccountChange { limits: Patch::Set(Vec::new()), ..AccountChange::default() };
            wallet.engine().change_account(&names::customer(&carol), change).await.unwrap();
            let again = wallet.open_customer(&carol, class).await.unwrap();
            let followed: Vec<_> = again.view.limits.iter().map(|view| view.limit.clone()).collect();
            assert_eq!(followed, limits, "{class:?}");
        }
    }

    #[tokio::test]
    async fn a_wallet_is_not_closed_while_income_is_owed() {
        let fixture = Fixture::new(settings()).await;
        let (wallet, carol) = (&fixture.wallet, part("carol"));
        wallet.open_customer(&carol, Class::III).await.unwrap();
        let (owed, own, bank) =
            (names::wealth_owed(&carol), names::customer(&carol), Address::parse("platform:bank").unwrap());
        wallet.ensure(owed.clone(), AccountKind::OWED).await.unwrap();
        fixture.fund_account(&owed, 1).await;
        let closing = CustomerChange { status: Some(AccountStatus::Closed), class: None };
        let refused = wallet.change_customer(&carol, closing).await;
        let code = refused.map(drop).unwrap_err();
        assert_eq!(code, WalletError::refused(WalletCode::AccountNotEmpty));
        let document = ProfileSet { user: carol.clone(), class: Class::III };
        let mut draft = Draft::new(TransactionId(1), document);
        draft.transfer(&owed, &own, Amount(1), "income").transfer(&own, &bank, Amount(1), "spent");
        wallet.submit(draft).await.unwrap().unwrap().posted().unwrap();
        assert_eq!(wallet.change_customer(&carol, closing).await.unwrap().status, AccountStatus::Closed);
    }
}

//! The product on top of the ledger: what a stored-value wallet does, each verb as ledger transactions.
//!
//! Owns no state: what a verb needs to remember is in the documents and cells of its transactions' records, and what
//! can be derived from them is derived. Never touches a shard, the journal or the index but through [`Engine`]. One
//! file a verb. Invariants: a verb's ids are derived from its own id, so that it takes effect once, for ever; it is
//! composed from what is on disk, and what was overtaken meanwhile (a cell's revision, an alias) is composed again.

mod access;
mod auth;
mod code;
mod customer;
mod customer_change;
mod date;
mod day;
mod device;
mod device_key;
mod document;
#[cfg(test)]
mod fixture;
mod hashers;
mod hashing;
mod merchant;
mod names;
mod notification;
mod password;
mod payment;
mod promotion;
mod queue;
mod recharge;
mod refund;
mod settings;
mod signature;
mod small_payment;
mod statement;
mod step;
mod suspense;
mod token;
mod transfer;
mod wealth;
mod wealth_day;
mod wealth_settings;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use self::queue::Queue;

use crate::{
    engine::Engine,
    model::{AccountChange, AccountOpening, AccountStatus, Address, Caller, Limit, NormalSide, Timestamp},
    view::{AccountError, Unavailable},
};

pub use auth::Auth;
pub use code::{Refusal, WalletCode, WalletError};
pub use customer::{Class, CustomerView, OpenedCustomer};
pub use customer_change::CustomerChange;
pub use date::Date;
pub use day::{AccountClass, ClassTotals, ClosedDay};
pub use device::{AddedDevice, DeviceView};
pub use device_key::{DeviceKey, KeyAlgorithm};
pub use hashing::Password;
pub use merchant::{FeeRate, MerchantKind, MerchantTerms};
pub use names::{Channel, Part};
pub use notification::Notified;
pub use payment::{
    ChannelResult, Item, ItemKind, ItemView, Leg, LegSource, LegState, OnExhausted, Payment, PaymentRequest,
    PaymentStatus, PaymentView,
};
pub use promotion::{PromotionKind, PromotionRule, PromotionTerms, PromotionView};
pub use recharge::{OrderedRecharge, RechargeRequest, RechargeStatus, RechargeView};
pub use refund::{RefundLeg, RefundRequest, RefundView};
pub use settings::{Secrets, Settings};
pub use signature::sign_notification;
pub use small_payment::SmallPayments;
pub use statement::{Difference, DifferenceKind, Reconciliation, StatementLine, StatementView};
pub use suspense::SuspenseReason;
pub use token::PaymentToken;
pub use transfer::{TransferOrder, TransferView};
pub use wealth::Redemption;
pub use wealth_day::{IncomeRate, WealthDay};
pub use wealth_settings::WealthView;

/// A wallet on a ledger. Cheap to clone.
#[derive(Clone)]
pub struct Wallet {
    inner: Arc<Inner>,
    caller: Caller,
    deadline: Option<Arc<Deadline>>,
}

/// Until when the first step of a verb may be decided. Later steps have none: a verb that has begun goes on.
struct Deadline {
    at: Timestamp,
    begun: AtomicBool,
}

struct Inner {
    engine: Engine,
    settings: Settings,
    secrets: Secrets,
    turns: hashing::Turns,
    day_closes: Queue,
    statements: Queue,
    wealth_days: wealth_day::Running,
}

impl Wallet {
    /// Statements that are taken in and compared at once: each needs room on the disk.
    const STATEMENTS_MAX: usize = 4;
    /// Callers that wait for a turn at long work; more are refused.
    const LONG_WORK_WAITING_MAX: usize = 64;

    /// The wallet of a running ledger.
    #[must_use]
    pub fn new(engine: Engine, settings: Settings, secrets: Secrets) -> Self {
        let turns = hashing::Turns::new(&settings);
        let wealth_days = wealth_day::Running::default();
        let day_closes = Queue::new(1, Self::LONG_WORK_WAITING_MAX, "the close of a day");
        let statements =
            Queue::new(Self::STATEMENTS_MAX, Self::LONG_WORK_WAITING_MAX, "the queue of statements");
        let inner = Inner { engine, settings, secrets, turns, day_closes, statements, wealth_days };
        Self { inner: Arc::new(inner), caller: Caller::TRUSTED, deadline: None }
    }

    /// Whether accounts of this name are opened by the wallet alone: whoever opened one before it could take what users,
    /// merchants or the platform have in it.
    #[must_use]
    pub fn keeps(address: &Address) -> bool {
        names::is_the_wallets(address.as_str())
    }

    /// A handle for one call, which is refused as [`Unavailable::Late`] if its first transaction is not decided by then:
    /// nothing of it happened. What has begun is never taken back.
    #[must_use]
    pub fn until(&self, deadline: Option<Timestamp>) -> Self {
        let deadline = deadline.map(|at| Arc::new(Deadline { at, begun: AtomicBool::new(false) }));
        Self { inner: Arc::clone(&self.inner), caller: self.caller.clone(), deadline }
    }

    /// The deadline of the verb's next transaction.
    fn deadline(&self) -> Option<Timestamp> {
        let deadline = self.deadline.as_deref().filter(|deadline| !deadline.begun.load(Ordering::Relaxed));
        deadline.map(|deadline| deadline.at)
    }

    /// Refuses a verb that is too late to begin.
    fn in_time(&self) -> Result<(), Unavailable> {
        let late = self.deadline().is_some_and(|deadline| deadline < self.engine().now());
        if late { Err(Unavailable::Late) } else { Ok(()) }
    }

    /// A transaction of the verb is on disk.
    fn has_begun(&self) {
        if let Some(deadline) = &self.deadline {
            deadline.begun.store(true, Ordering::Relaxed);
        }
    }

    /// The ledger below.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// How it is set up.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    fn secrets(&self) -> &Secrets {
        &self.inner.secrets
    }

    fn turns(&self) -> &hashing::Turns {
        &self.inner.turns
    }

    /// Opens an account that wallet verbs alone move, unless it is there. A channel's or a merchant's that a ledger caller
    /// has opened before is taken as it is, if it holds the asset on the side that the wallet needs; no other is: what it
    /// holds would not be the wallet's, and its rules not those that guard it.
    async fn ensure(&self, address: Address, kind: AccountKind) -> Result<(), WalletError> {
        self.ensure_with(address, kind, Vec::new()).await
    }

    async fn ensure_with(
        &self,
        address: Address,
        kind: AccountKind,
        limits: Vec<Limit>,
    ) -> Result<(), WalletError> {
        if let Some(account) = self.engine().account(&address) {
            let fits = account.asset.code == kind.asset && account.normal == kind.normal;
            let usable = account.status != AccountStatus::Closed;
            let ours = account.managed || names::may_be_the_ledgers(&account.address);
            return if fits && usable && ours {
                Ok(())
            } else {
                Err(WalletError::refused(WalletCode::AccountExists))
            };
        }
        match self.open_managed(address, kind, limits).await {
            Ok(()) => Ok(()),
            Err(AccountError::Unavailable(why)) => Err(why.into()),
            Err(_) => Err(WalletError::refused(WalletCode::AccountExists)),
        }
    }

    /// Opens an account that wallet verbs alone move.
    async fn open_managed(
        &self,
        address: Address,
        kind: AccountKind,
        limits: Vec<Limit>,
    ) -> Result<(), AccountError> {
        let AccountKind { asset, normal, floor, ceiling } = kind;
        let metadata = crate::model::Metadata::default();
        let asset = asset.into();
        let opening =
            AccountOpening { address, asset, normal, floor, ceiling, limits, metadata, managed: true };
        self.in_time()?;
        self.engine().open_account(opening).await?;
        self.has_begun();
        Ok(())
    }

    /// Changes an account of the wallet's.
    async fn change_account(&self, address: &Address, change: AccountChange) -> Result<(), AccountError> {
        self.in_time()?;
        self.engine().change_account(address, change).await?;
        self.has_begun();
        Ok(())
    }
}

/// The rules of an account that the wallet opens.
#[derive(Clone, Copy, Debug)]
struct AccountKind {
    asset: &'static str,
    normal: NormalSide,
    floor: Option<i128>,
    ceiling: Option<i128>,
}

impl AccountKind {
    const CNY: &str = "CNY";
    const CARBON: &str = "CARBON";
    const SLOT: &str = "SLOT";

    /// Money that the platform owes somebody and that may not run out.
    const OWED: Self = Self { asset: Self::CNY, normal: NormalSide::Credit, floor: Some(0), ceiling: None };
    /// Money on the credit side that may turn: income, suspense, clearing, merchants.
    const OPEN_CREDIT: Self =
        Self { asset: Self::CNY, normal: NormalSide::Credit, floor: None, ceiling: None };
    /// Money on the debit side: receivables, expenses.
    const OPEN_DEBIT: Self = Self { asset: Self::CNY, normal: NormalSide::Debit, floor: None, ceiling: None };
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wallet").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        fixture::{Fixture, part, settings},
        *,
    };
    use crate::model::Amount;

    #[tokio::test]
    async fn a_verb_that_is_late_does_not_begin() {
        let fixture = Fixture::new(settings()).await;
        let engine = fixture.wallet.engine();
        let late = fixture.wallet.until(Some(engine.now().plus_nanos(-1)));
        let position = *engine.head().borrow();
        let (alice, password) = (part("alice"), Fixture::password);
        let frozen = CustomerChange { status: Some(AccountStatus::Frozen), class: None };
        let small = SmallPayments { enabled: true, limit: Amount(100), daily_count: 1 };
        for (name, result) in [
            ("open", late.open_customer(&part("carol"), Class::III).await.map(drop)),
            ("change", late.change_customer(&alice, frozen).await.map(drop)),
            ("password", late.set_password(&alice, password(), Some(password())).await),
            ("token", late.create_token(&alice, password(), Amount(1), 60).await.map(drop)),
            ("small", late.set_small_payments(&alice, password(), small).await),
            ("merchant", late.set_merchant(&part("m"), &MerchantTerms::default()).await),
        ] {
            let late = matches!(result, Err(WalletError::Unavailable(Unavailable::Late)));
            assert!(late, "{name}: {result:?}");
        }
        // What waits for its turn at the passwords is looked at again then, before it costs anything.
        let turn = late.in_turn(async { panic!("it began") }).await;
        assert!(matches!(turn, Err::<(), _>(WalletError::Unavailable(Unavailable::Late))), "{turn:?}");
        assert_eq!(*engine.head().borrow(), position);
        let in_time = fixture.wallet.until(Some(engine.now().plus_nanos(3_600_000_000_000)));
        in_time.create_token(&alice, password(), Amount(1), 60).await.unwrap();
    }
}

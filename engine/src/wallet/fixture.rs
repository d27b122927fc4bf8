//! A wallet on a small ledger, for the tests of its verbs.
//!
//! Owns the names that they share. Never decides what is right.

use super::{
    AccountKind, Auth, Channel, ChannelResult, Class, Item, ItemKind, MerchantTerms, OnExhausted, Part,
    Password, PaymentRequest, PromotionKind, PromotionRule, PromotionTerms, Secrets, Settings, TransferOrder,
    Wallet, document::Document, names, step::Draft,
};
use crate::{
    Config, Engine,
    model::{AccountChange, AccountStatus, Address, Amount, Patch, Timestamp, TransactionId},
};

/// The wallet is dropped before its directory.
pub(super) struct Fixture {
    pub(super) wallet: Wallet,
    data: tempfile::TempDir,
}

/// The record of money out of nowhere.
#[derive(serde::Serialize, serde::Deserialize)]
struct Funded;

impl Document for Funded {
    const TAG: u8 = 255;
}

/// An id as clients choose them.
pub(super) const ID: TransactionId = TransactionId(0x0197_7f1e_0000_7000_8000_0000_0000_002a);

pub(super) fn part(name: &str) -> Part {
    Part::parse(name).unwrap()
}

/// Hashes in no time.
pub(super) fn settings() -> Settings {
    Settings { argon2_memory_kib: 8, argon2_passes: 1, ..Settings::default() }
}

/// A small ledger.
pub(super) fn config(data: &std::path::Path) -> Config {
    let mut config = Config::new(data);
    config.shards = 2;
    config.segment_records = 64;
    config.index_cache_bytes = 4 << 20;
    config
}

fn open(config: Config, settings: Settings) -> Wallet {
    let secrets = Secrets { pepper: [1; 32], token_key: [2; 32], channel_keys: Vec::new() };
    Wallet::new(Engine::open(config).unwrap(), settings, secrets)
}

impl Fixture {
    pub(super) const PASSWORD: &str = "283904";

    /// With users `alice` and `bob`, who have a password, and the merchant `shop`.
    pub(super) async fn new(settings: Settings) -> Self {
        Self::with(settings, |_| {}).await
    }

    /// On a ledger that is configured otherwise.
    pub(super) async fn with(settings: Settings, adjust: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = config(data.path());
        adjust(&mut config);
        let wallet = open(config, settings);
        for user in ["alice", "bob"] {
            wallet.open_customer(&part(user), Class::III).await.unwrap();
            wallet.set_password(&part(user), Self::password(), None).await.unwrap();
        }
        let terms = MerchantTerms { enabled: true, ..MerchantTerms::default() };
        wallet.set_merchant(&part("shop"), &terms).await.unwrap();
        Self { wallet, data }
    }

    /// As after the end of the process and a start.
    pub(super) fn restart(self) -> Self {
        let settings = self.wallet.settings().clone();
        self.restart_with(settings)
    }

    /// As after a start with other settings.
    pub(super) fn restart_with(self, settings: Settings) -> Self {
        let Self { wallet, data } = self;
        drop(wallet);
        Self { wallet: open(config(data.path()), settings), data }
    }

    pub(super) fn password() -> Password {
        Password::parse(Self::PASSWORD).unwrap()
    }

    pub(super) async fn fund(&self, user: &str, units: u64) {
        self.fund_account(&names::customer(&part(user)), units).await;
    }

    pub(super) async fn fund_account(&self, account: &crate::model::Address, units: u64) {
        let bank = Address::parse("platform:bank").unwrap();
        self.wallet.ensure(bank.clone(), AccountKind::OPEN_DEBIT).await.unwrap();
        let mut draft = Draft::new(TransactionId(uuid::Uuid::now_v7().as_u128()), Funded);
        draft.transfer(&bank, account, Amount(units), "fund");
        let settled = self.wallet.submit(draft).await.unwrap().unwrap();
        assert_eq!(settled.verdict, Ok(()));
    }

    /// Leave to spend up to 1,000 yuan once.
    pub(super) async fn token(&self, user: &str) -> Auth {
        let most = Amount(100_000);
        Auth::Token(self.wallet.create_token(&part(user), Self::password(), most, 60).await.unwrap().token)
    }

    pub(super) async fn set_status(&self, account: &str, status: AccountStatus) {
        let change = AccountChange { status: Patch::Set(status), ..AccountChange::default() };
        let address = crate::model::Address::parse(account).unwrap();
        self.wallet.engine().change_account(&address, change).await.unwrap();
    }

    pub(super) async fn promotion(&self, name: &str, rule: PromotionRule, budget: u64) {
        let terms = PromotionTerms {
            name: name.into(),
            kind: PromotionKind::PaymentDiscount,
            rule,
            budget: Amount(budget),
            per_user: None,
            starts_at: Timestamp::ZERO,
            ends_at: Timestamp(i64::MAX),
            merchants: Default::default(),
            categories: Default::default(),
            channels: Default::default(),
        };
        assert!(self.wallet.make_promotion(&part(name), &terms).await.unwrap());
    }

    pub(super) fn available(&self, account: &str) -> i128 {
        let address = crate::model::Address::parse(account).unwrap();
        self.wallet.engine().account(&address).unwrap().available
    }

    /// A word of WeChat on an order.
    pub(super) fn word(&self, order: TransactionId, paid: bool, units: u64) -> ChannelResult {
        ChannelResult {
            channel: Channel::Wechat,
            notification: format!("{order}"),
            order,
            paid,
            amount: Amount(units),
            reference: format!("of-{order}"),
            paid_at: self.wallet.engine().now(),
        }
    }
}

/// One piece of goods for `shop`.
pub(super) fn purchase(user: &str, units: u64) -> PaymentRequest {
    let item =
        Item { name: "tea".into(), kind: ItemKind::Goods, category: "food".into(), amount: Amount(units) };
    PaymentRequest {
        user: part(user),
        merchant: part("shop"),
        items: vec![item],
        combine_with: None,
        promotion: None,
        on_exhausted: OnExhausted::Refuse,
    }
}

pub(super) fn transfer(id: u128, units: u64) -> TransferOrder {
    TransferOrder { id: TransactionId(id), user: part("alice"), to: part("bob"), amount: Amount(units) }
}

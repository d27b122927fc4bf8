//! Users' wallets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{AccountStatus, format_units},
    view::LimitView,
    wallet::{Class, CustomerChange, CustomerView, Part},
};

use super::{choices::SmallOut, class, device::DeviceOut};
use crate::{
    json::Text,
    wire::texts::{account_status, limit_window, unsigned_units},
};

/// The decimals of yuan.
pub(crate) const CNY_SCALE: u8 = 2;

/// A request to open a wallet.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WalletOpening)]
pub(crate) struct CustomerIn {
    /// Whose: one address part.
    #[schema(value_type = String, max_length = 32, pattern = "^[a-z0-9][a-z0-9._-]{0,31}$", example = "alice")]
    pub(crate) user: Text<Part>,
    /// How well the owner is known.
    #[schema(value_type = WalletClass, example = "III")]
    pub(crate) class: Text<Class>,
}

/// How well a wallet's owner is known: decides on limits.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum WalletClass {
    /// 1,000 yuan of payments in its life.
    I,
    /// 100,000 yuan of payments a year.
    II,
    /// 200,000 yuan of payments a year, and wealth products.
    #[expect(clippy::upper_case_acronyms, reason = "the contract's name")]
    III,
}

/// A change to a wallet; what is not mentioned stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WalletChange)]
pub(crate) struct CustomerChangeIn {
    /// Whether it takes part; a closed wallet stays closed.
    #[schema(value_type = Option<crate::wire::account::Status>)]
    status: Option<Text<AccountStatus>>,
    /// How well the owner is known.
    #[schema(value_type = Option<WalletClass>)]
    class: Option<Text<Class>>,
}

impl From<CustomerChangeIn> for CustomerChange {
    fn from(CustomerChangeIn { status, class }: CustomerChangeIn) -> Self {
        Self { status: status.map(|Text(status)| status), class: class.map(|Text(class)| class) }
    }
}

/// What a balance is made of.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WalletBalance)]
pub(crate) struct BalanceOut {
    /// The balance.
    #[schema(example = "100.00")]
    posted: String,
    /// Set aside by payments that wait for their channel.
    #[schema(example = "25.00")]
    held: String,
    /// `posted` − `held`.
    #[schema(example = "75.00")]
    available: String,
}

/// What is in the wealth product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WalletWealth)]
pub(crate) struct WealthOut {
    /// The shares, one yuan each.
    #[schema(example = "0.00")]
    amount: String,
    /// What they have ever earned.
    #[schema(example = "0.00")]
    income_total: String,
    /// Whether idle balance moves there.
    enabled: bool,
    /// What stays in the balance.
    #[schema(example = "0.00")]
    keep: String,
}

/// Whether there is a payment password.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WalletPassword)]
pub(crate) struct PasswordOut {
    /// Whether one is set.
    set: bool,
    /// When it can be tried again, after too many wrong ones.
    #[schema(required = true, format = DateTime)]
    locked_until: Option<String>,
}

/// A spending limit of a wallet and what is used of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WalletLimit)]
pub(crate) struct WalletLimitOut {
    /// The span over which it counts, in Asia/Shanghai.
    #[schema(value_type = crate::wire::account::Window)]
    window: &'static str,
    /// Most that may be paid and transferred in a window; `null` if only the number counts.
    #[schema(required = true, example = "200000.00")]
    limit: Option<String>,
    /// What is used of it in the window of now.
    #[schema(example = "12.50")]
    used: String,
}

/// A wallet at one moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Wallet)]
pub(crate) struct CustomerOut {
    /// Whose.
    #[schema(example = "alice")]
    user: String,
    /// How well the owner is known.
    #[schema(value_type = WalletClass)]
    class: &'static str,
    /// Whether it takes part.
    #[schema(value_type = crate::wire::account::Status)]
    status: &'static str,
    /// Money.
    balance: BalanceOut,
    /// What is in the wealth product.
    wealth: WealthOut,
    /// Carbon points.
    #[schema(example = "0")]
    carbon: String,
    /// Whether there is a payment password.
    password: PasswordOut,
    /// What may be paid without a password.
    small_payment: SmallOut,
    /// Devices that may spend.
    devices: Vec<DeviceOut>,
    /// Spending limits and what is used of them.
    limits: Vec<WalletLimitOut>,
}

impl CustomerOut {
    /// The shape of a wallet.
    pub(crate) fn new(view: &CustomerView) -> Self {
        let yuan = |units: i128| format_units(units, CNY_SCALE);
        Self {
            user: view.user.to_string(),
            class: class(view.class),
            status: account_status(view.status),
            balance: BalanceOut {
                posted: yuan(view.posted),
                held: yuan(view.held),
                available: yuan(view.available),
            },
            wealth: WealthOut {
                amount: yuan(view.wealth),
                income_total: yuan(view.income_total),
                enabled: view.wealth_settings.enabled,
                keep: yuan(view.wealth_settings.keep.0.into()),
            },
            carbon: format_units(view.carbon, 0),
            password: PasswordOut {
                set: view.password_set,
                locked_until: view.locked_until.map(|until| until.to_string()),
            },
            small_payment: SmallOut::new(&view.small_payments),
            devices: view.devices.iter().map(DeviceOut::new).collect(),
            limits: view.limits.iter().map(WalletLimitOut::new).collect(),
        }
    }
}

impl WalletLimitOut {
    fn new(view: &LimitView) -> Self {
        let LimitView { limit, used_amount, .. } = view;
        Self {
            window: limit_window(limit.window),
            limit: limit.amount.map(|units| format_units(units.into(), CNY_SCALE)),
            used: unsigned_units(*used_amount, CNY_SCALE),
        }
    }
}

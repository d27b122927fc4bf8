//! Users' wallets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::format_units,
    wallet::{Class, CustomerView, Part},
};

use super::class;
use crate::{json::Text, wire::limit::LimitOut, wire::texts::account_status};

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
    III,
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
    /// Carbon points.
    #[schema(example = "0")]
    carbon: String,
    /// Spending limits and what is used of them.
    limits: Vec<LimitOut>,
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
            carbon: format_units(view.carbon, 0),
            limits: view.limits.iter().map(|limit| LimitOut::new(limit, CNY_SCALE)).collect(),
        }
    }
}

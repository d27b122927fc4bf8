//! The wealth product.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{Position, RequestedAmount, Timestamp, TransactionId, format_units},
    wallet::{Date, IncomeRate, Part, Redemption, WealthDay},
};

use super::customer::CNY_SCALE;
use crate::{
    json::Text,
    wire::texts::{NewTransactionId, display},
};

/// Shares to be turned into balance.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WealthRedemptionRequest)]
pub(crate) struct RedemptionIn {
    /// The idempotency key.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: Text<NewTransactionId>,
    /// How much.
    #[schema(value_type = String, example = "50.00")]
    pub(crate) amount: Text<RequestedAmount>,
}

/// Shares that became balance.
#[derive(Serialize, ToSchema)]
#[schema(as = WealthRedemption)]
pub(crate) struct RedemptionOut {
    /// The caller's id.
    #[schema(value_type = String, format = "uuid")]
    #[serde(serialize_with = "display")]
    id: TransactionId,
    /// Whose.
    #[schema(value_type = String, example = "alice")]
    #[serde(serialize_with = "display")]
    user: Part,
    /// How much.
    #[schema(example = "50.00")]
    amount: String,
    /// Its record's place in the journal.
    position: u64,
    /// Its record's time.
    #[schema(value_type = String, format = "date-time")]
    #[serde(serialize_with = "display")]
    at: Timestamp,
}

/// A day of the wealth product.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WealthDayRequest)]
pub(crate) struct WealthDayIn {
    /// Which day, in Asia/Shanghai: today or before.
    #[schema(value_type = String, format = "date", example = "2025-06-18")]
    pub(crate) date: Text<Date>,
    /// Yuan that 10,000 shares earned on it.
    #[schema(value_type = String, example = "0.5432")]
    pub(crate) income_per_10k: Text<IncomeRate>,
}

/// What a day came to: `credited` and `remainder` together are what was funded.
#[derive(Serialize, ToSchema)]
#[schema(as = WealthDay)]
pub(crate) struct WealthDayOut {
    /// What all wallets together got.
    #[schema(example = "123.45")]
    credited: String,
    /// What cutting each wallet's income to the fen left over.
    #[schema(example = "0.02")]
    remainder: String,
    /// Wallets that got something.
    #[schema(example = 42)]
    wallets: u64,
}

impl RedemptionOut {
    pub(crate) fn new(redemption: Redemption) -> Self {
        let Redemption { id, user, amount, position: Position(position), at, replayed: _ } = redemption;
        Self { id, user, amount: format_units(i128::from(amount.units()), CNY_SCALE), position, at }
    }
}

impl WealthDayOut {
    pub(crate) fn new(day: &WealthDay) -> Self {
        let yuan = |units: u64| format_units(i128::from(units), CNY_SCALE);
        Self {
            credited: yuan(day.credited.units()),
            remainder: yuan(day.remainder.units()),
            wallets: day.wallets,
        }
    }
}

//! Holds.

use serde::Serialize;
use utoipa::ToSchema;
use yue_engine::{
    model::{Address, HoldEnd, Timestamp, format_units},
    view::HoldView,
};

use super::texts::display;

/// A hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hold)]
pub(crate) struct HoldOut {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: String,
    /// Where it is in its life.
    #[schema(value_type = HoldState)]
    state: &'static str,
    /// What was set aside.
    #[schema(example = "25.00")]
    amount: String,
    /// What a capture moved.
    #[schema(example = "0.00")]
    captured: String,
    /// When it runs out.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime, example = "2026-06-18T00:15:00.000000000Z")]
    expires_at: Timestamp,
    /// The account that a capture debits.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, example = "customers:42")]
    debit: Address,
    /// The account that a capture credits.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, example = "merchants:7")]
    credit: Address,
    /// What it counts.
    #[schema(example = "CNY")]
    asset: String,
}

/// Where a hold is in its life.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum HoldState {
    /// Set aside.
    Held,
    /// Moved, in part or whole; the rest was given back.
    Captured,
    /// Given back by a client.
    Released,
    /// Given back by time.
    Expired,
}

impl HoldOut {
    /// The shape of a hold.
    pub(crate) fn new(view: &HoldView) -> Self {
        let units = |amount: yue_engine::model::Amount| format_units(amount.units().into(), view.asset.scale);
        Self {
            id: view.id.to_string(),
            state: match view.ended {
                None => "held",
                Some(HoldEnd::Captured) => "captured",
                Some(HoldEnd::Released) => "released",
                Some(HoldEnd::Expired) => "expired",
            },
            amount: units(view.amount),
            captured: units(view.captured),
            expires_at: view.expires_at,
            debit: view.debit.clone(),
            credit: view.credit.clone(),
            asset: view.asset.code.to_string(),
        }
    }
}

//! The trial balance.

use serde::Serialize;
use utoipa::ToSchema;
use yue_engine::{
    model::{Asset, Timestamp},
    view::{AssetTotals, TrialBalance},
};

use super::texts::{display, unsigned_units};

/// Turnover of all accounts at one position.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrialBalance)]
pub(crate) struct TrialBalanceOut {
    /// Everything up to here is in it, nothing after.
    #[schema(example = 17)]
    position: u64,
    /// That record's time.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime, example = "2026-06-18T00:00:00.000000000Z")]
    at: Timestamp,
    /// Per asset.
    assets: Vec<AssetTotalsOut>,
    /// Per first part of the address, and asset.
    groups: Vec<GroupTotalsOut>,
}

/// An asset's turnover.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssetTotals)]
pub(crate) struct AssetTotalsOut {
    /// The asset.
    #[schema(example = "CNY")]
    asset: String,
    /// All debits.
    #[schema(example = "1000.00")]
    debits: String,
    /// All credits.
    #[schema(example = "1000.00")]
    credits: String,
    /// Whether they are equal: always.
    balanced: bool,
}

/// A group's turnover in an asset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupTotals)]
pub(crate) struct GroupTotalsOut {
    /// The first part of the addresses.
    #[schema(example = "customers")]
    prefix: String,
    /// The asset.
    #[schema(example = "CNY")]
    asset: String,
    /// All debits.
    #[schema(example = "400.00")]
    debits: String,
    /// All credits.
    #[schema(example = "600.00")]
    credits: String,
}

impl AssetTotalsOut {
    /// The shape of an asset's turnover.
    pub(crate) fn new(asset: &Asset, debits: u128, credits: u128) -> Self {
        Self {
            asset: asset.code.to_string(),
            debits: unsigned_units(debits, asset.scale),
            credits: unsigned_units(credits, asset.scale),
            balanced: debits == credits,
        }
    }
}

impl TrialBalanceOut {
    /// The shape of a trial balance.
    pub(crate) fn new(view: &TrialBalance) -> Self {
        let asset = |totals: &AssetTotals| AssetTotalsOut::new(&totals.asset, totals.debits, totals.credits);
        let group = |totals: &yue_engine::view::GroupTotals| GroupTotalsOut {
            prefix: totals.prefix.to_string(),
            asset: totals.asset.code.to_string(),
            debits: unsigned_units(totals.debits, totals.asset.scale),
            credits: unsigned_units(totals.credits, totals.asset.scale),
        };
        Self {
            position: view.position.0,
            at: view.at,
            assets: view.assets.iter().map(asset).collect(),
            groups: view.groups.iter().map(group).collect(),
        }
    }
}

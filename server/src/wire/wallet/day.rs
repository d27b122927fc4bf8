//! Closed days.

use serde::Serialize;
use utoipa::ToSchema;
use yue_engine::{
    model::{Asset, Timestamp, format_units},
    wallet::{AccountClass, ClassTotals, ClosedDay},
};

use crate::wire::{
    texts::{display, unsigned_units},
    totals::AssetTotalsOut,
};

/// What an account is to the platform, by the first part of its address.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
#[schema(as = AccountClass)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClassName {
    /// `channels`, `reserve`: debit-normal.
    Assets,
    /// `customers`, `merchants`, `suspense`, `wealth`: credit-normal.
    Liabilities,
    /// `platform`, `promos`: credit-normal.
    IncomeAndExpense,
    /// Whatever ledger callers have opened beside these: credit-normal.
    Other,
}

/// The books at the end of a day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClosedDay)]
pub(crate) struct DayOut {
    /// The day of Asia/Shanghai.
    #[schema(format = Date, example = "2026-06-18")]
    date: String,
    /// The cut: the last record of the day or before, 0 if there was none.
    #[schema(example = 17)]
    position: u64,
    /// The day's end: nothing at or after it is in the totals.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime, example = "2026-06-18T16:00:00.000000000Z")]
    at: Timestamp,
    /// Turnover of all accounts, per asset.
    assets: Vec<AssetTotalsOut>,
    /// Turnover per class and asset.
    classes: Vec<DayClassOut>,
}

/// A class's turnover in an asset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DayClass)]
pub(crate) struct DayClassOut {
    /// The class.
    #[schema(value_type = ClassName)]
    class: &'static str,
    /// The asset.
    #[schema(example = "CNY")]
    asset: String,
    /// All debits.
    #[schema(example = "400.00")]
    debits: String,
    /// All credits.
    #[schema(example = "600.00")]
    credits: String,
    /// What is left, on the side on which the class grows; negative on the other one.
    #[schema(example = "200.00")]
    balance: String,
}

impl DayOut {
    /// The shape of a closed day.
    pub(crate) fn new(day: &ClosedDay) -> Self {
        let mut assets: Vec<(&Asset, u128, u128)> = Vec::new();
        for ClassTotals { asset, debits, credits, .. } in &day.classes {
            match assets.iter_mut().find(|(other, ..)| *other == asset) {
                Some((_, all_debits, all_credits)) => {
                    *all_debits += debits;
                    *all_credits += credits;
                }
                None => assets.push((asset, *debits, *credits)),
            }
        }
        assets.sort_by(|(one, ..), (other, ..)| one.code.cmp(&other.code));
        let asset = |(asset, debits, credits)| AssetTotalsOut::new(asset, debits, credits);
        Self {
            date: day.date.to_string(),
            position: day.position.0,
            at: day.at,
            assets: assets.into_iter().map(asset).collect(),
            classes: day.classes.iter().map(DayClassOut::new).collect(),
        }
    }
}

impl DayClassOut {
    fn new(totals: &ClassTotals) -> Self {
        let ClassTotals { class, asset, debits, credits } = totals;
        let (class, grows, shrinks) = match class {
            AccountClass::Assets => ("assets", debits, credits),
            AccountClass::Liabilities => ("liabilities", credits, debits),
            AccountClass::IncomeAndExpense => ("income_and_expense", credits, debits),
            AccountClass::Other => ("other", credits, debits),
        };
        let signed = |units: u128| i128::try_from(units).unwrap_or(i128::MAX);
        let balance = if grows >= shrinks { signed(grows - shrinks) } else { -signed(shrinks - grows) };
        Self {
            class,
            asset: asset.code.to_string(),
            debits: unsigned_units(*debits, asset.scale),
            credits: unsigned_units(*credits, asset.scale),
            balance: format_units(balance, asset.scale),
        }
    }
}

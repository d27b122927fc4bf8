//! Accounts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{
        AccountChange, AccountOpening, AccountStatus, Address, Asset, Floor, NormalSide, Patch,
        RejectionCode, Timestamp, format_units, parse_signed_units,
    },
    view::{AccountView, BalanceView, Direction, HistoryEntry},
};

use super::{
    limit::{LimitOut, LimitsIn},
    metadata::{MetadataIn, MetadataOut},
    texts::{AssetCode, DecimalText, account_status, display, normal_side},
};
use crate::{
    json::{Nullable, Text},
    problem::{Code, Problem},
};

/// A request to open an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountOpening)]
pub(crate) struct OpeningIn {
    /// The account's name: 1 to 4 parts joined by `:`.
    #[schema(value_type = String, max_length = 64, example = "customers:42",
        pattern = "^[a-z0-9][a-z0-9._-]{0,31}(:[a-z0-9][a-z0-9._-]{0,31}){0,3}$")]
    pub(crate) address: Text<Address>,
    /// What it counts.
    #[schema(value_type = String, example = "CNY")]
    pub(crate) asset: Text<AssetCode>,
    /// The side on which it grows; `credit` if absent.
    #[schema(value_type = Option<Side>)]
    normal: Option<Text<NormalSide>>,
    /// Least available; `"0"` if absent, `null` is unlimited, negative an overdraft.
    #[serde(default)]
    #[schema(value_type = Option<String>, default = "0", example = "0")]
    floor: Nullable<Text<DecimalText>>,
    /// Most posted; `null` is unlimited.
    #[schema(value_type = Option<String>, example = json!(null))]
    ceiling: Option<Text<DecimalText>>,
    /// Spending limits.
    #[schema(value_type = Option<Vec<super::limit::LimitIn>>, max_items = 16)]
    limits: Option<LimitsIn>,
    /// The client's own data.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    metadata: Option<MetadataIn>,
}

impl OpeningIn {
    /// The opening of an account of `asset`.
    pub(crate) fn into_opening(self, asset: &Asset) -> Result<AccountOpening, Problem> {
        Ok(AccountOpening {
            address: self.address.0,
            asset: asset.code.clone(),
            normal: self.normal.map_or(NormalSide::Credit, |Text(normal)| normal),
            floor: match self.floor {
                Nullable::Absent => Some(0),
                Nullable::Null => None,
                Nullable::Value(Text(text)) => Some(signed_units(&text, asset.scale, "/floor")?),
            },
            ceiling: match self.ceiling {
                None => None,
                Some(Text(text)) => Some(signed_units(&text, asset.scale, "/ceiling")?),
            },
            limits: self.limits.map_or_else(|| Ok(Vec::new()), |limits| limits.into_limits(asset.scale))?,
            metadata: self.metadata.map(|MetadataIn(metadata)| metadata).unwrap_or_default(),
            managed: false,
        })
    }
}

/// A change to an account; what is not mentioned stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountChange)]
pub(crate) struct ChangeIn {
    /// `closed` is for ever and asks for balance zero and no holds.
    #[schema(value_type = Option<Status>)]
    status: Option<Text<AccountStatus>>,
    /// Least available; `null` is unlimited.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "-100.00")]
    floor: Nullable<Text<DecimalText>>,
    /// Most posted; `null` is unlimited.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "10000.00")]
    ceiling: Nullable<Text<DecimalText>>,
    /// All limits at once. A limit that was there before keeps what is used.
    #[schema(value_type = Option<Vec<super::limit::LimitIn>>, max_items = 16)]
    limits: Option<LimitsIn>,
}

impl ChangeIn {
    /// The change of an account whose asset has `scale` decimals.
    pub(crate) fn into_change(self, scale: u8) -> Result<AccountChange, Problem> {
        Ok(AccountChange {
            status: self.status.map_or(Patch::Keep, |Text(status)| Patch::Set(status)),
            floor: match self.floor {
                Nullable::Absent => Patch::Keep,
                Nullable::Null => Patch::<Floor>::Set(None),
                Nullable::Value(Text(text)) => Patch::Set(Some(signed_units(&text, scale, "/floor")?)),
            },
            ceiling: match self.ceiling {
                Nullable::Absent => Patch::Keep,
                Nullable::Null => Patch::Set(None),
                Nullable::Value(Text(text)) => Patch::Set(Some(signed_units(&text, scale, "/ceiling")?)),
            },
            limits: match self.limits {
                None => Patch::Keep,
                Some(limits) => Patch::Set(limits.into_limits(scale)?),
            },
        })
    }
}

fn amount_invalid(detail: String, field: &str) -> Problem {
    Problem::new(Code::Refused(RejectionCode::AmountInvalid), detail).field(field)
}

fn signed_units(text: &DecimalText, scale: u8, field: &str) -> Result<i128, Problem> {
    parse_signed_units(&text.0, scale)
        .ok_or_else(|| amount_invalid(format!("not a decimal number with at most {scale} decimals"), field))
}

/// The side on which an account grows.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum Side {
    /// Liabilities and income, such as customers' money.
    Credit,
    /// Assets and expenses, such as a channel's receivable.
    Debit,
}

/// Whether an account takes part.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum Status {
    /// Takes part.
    Active,
    /// Refuses new transfers, holds and reversals.
    Frozen,
    /// Refuses everything, for ever.
    Closed,
}

/// The span of a limit, in Asia/Shanghai.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum Window {
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
    /// The account's life.
    Lifetime,
}

/// An account at one moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(crate) struct AccountOut {
    /// Its name.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, example = "customers:42")]
    address: Address,
    /// What it counts.
    #[schema(example = "CNY")]
    asset: String,
    /// The side on which it grows.
    #[schema(value_type = Side)]
    normal: &'static str,
    /// Whether it takes part.
    #[schema(value_type = Status)]
    status: &'static str,
    /// The balance, in its normal sense.
    #[schema(example = "100.00")]
    posted: String,
    /// Set aside by holds.
    #[schema(example = "25.00")]
    held: String,
    /// `posted` − `held`.
    #[schema(example = "75.00")]
    available: String,
    /// Least available; `null` is unlimited.
    #[schema(required = true, example = "0.00")]
    floor: Option<String>,
    /// Most posted; `null` is unlimited.
    #[schema(required = true, example = json!(null))]
    ceiling: Option<String>,
    /// Spending limits and what is used of them.
    limits: Vec<LimitOut>,
    /// Its last change.
    #[schema(example = 17)]
    position: u64,
    /// When it was opened.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime, example = "2026-06-18T00:00:00.000000000Z")]
    opened_at: Timestamp,
    /// The client's own data.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    metadata: MetadataOut,
}

impl AccountOut {
    /// The shape of an account.
    pub(crate) fn new(view: &AccountView) -> Self {
        let scale = view.asset.scale;
        let units = |units: i128| format_units(units, scale);
        Self {
            address: view.address.clone(),
            asset: view.asset.code.to_string(),
            normal: normal_side(view.normal),
            status: account_status(view.status),
            posted: units(view.posted),
            held: units(view.held),
            available: units(view.available),
            floor: view.floor.map(units),
            ceiling: view.ceiling.map(units),
            limits: view.limits.iter().map(|limit| LimitOut::new(limit, scale)).collect(),
            position: view.position.0,
            opened_at: view.opened_at,
            metadata: MetadataOut(view.metadata.clone()),
        }
    }
}

/// An account's balance at a point in the past.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Balance)]
pub(crate) struct BalanceOut {
    /// The account.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, example = "customers:42")]
    address: Address,
    /// What it counts.
    #[schema(example = "CNY")]
    asset: String,
    /// The balance, in the account's normal sense.
    #[schema(example = "100.00")]
    posted: String,
    /// The account's last change at or before the point.
    #[schema(example = 17)]
    position: u64,
    /// When that was.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime, example = "2026-06-18T00:00:00.000000000Z")]
    at: Timestamp,
}

impl BalanceOut {
    /// The shape of a balance.
    pub(crate) fn new(address: Address, view: &BalanceView) -> Self {
        Self {
            address,
            asset: view.asset.code.to_string(),
            posted: format_units(view.posted, view.asset.scale),
            position: view.position.0,
            at: view.at,
        }
    }
}

/// One posted change of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub(crate) struct HistoryOut {
    /// The journal's record.
    #[schema(example = 17)]
    position: u64,
    /// When that was.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime, example = "2026-06-18T00:00:00.000000000Z")]
    at: Timestamp,
    /// The transaction's id.
    #[schema(value_type = String, format = "uuid")]
    transaction: String,
    /// Index of the operation in it.
    operation: u8,
    /// `transfer`, `capture` or `reverse`.
    #[schema(value_type = String, example = "transfer")]
    r#type: &'static str,
    /// The side of this account.
    #[schema(value_type = Side)]
    direction: &'static str,
    /// How much.
    #[schema(example = "5.00")]
    amount: String,
    /// The posted balance after it.
    #[schema(example = "95.00")]
    balance: String,
    /// The account on the other side.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, example = "merchants:7")]
    counterparty: Address,
    /// The operation's code, or else the transaction's.
    #[schema(required = true, value_type = Option<String>)]
    code: Option<compact_str::CompactString>,
}

impl HistoryOut {
    /// The shape of a row of an account whose asset has `scale` decimals.
    pub(crate) fn new(entry: &HistoryEntry, scale: u8) -> Self {
        Self {
            position: entry.position.0,
            at: entry.at,
            transaction: entry.transaction.to_string(),
            operation: entry.operation,
            r#type: entry.kind,
            direction: match entry.direction {
                Direction::Debit => "debit",
                Direction::Credit => "credit",
            },
            amount: format_units(entry.amount.units().into(), scale),
            balance: format_units(entry.balance, scale),
            counterparty: entry.counterparty.clone(),
            code: entry.code.clone(),
        }
    }
}

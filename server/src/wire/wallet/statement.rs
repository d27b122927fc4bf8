//! Channels' statements: CSV in, differences out.

mod reader;

use serde::Serialize;
use utoipa::ToSchema;
use yue_engine::{
    model::{Amount, format_units},
    wallet::{Channel, Date, Difference, DifferenceKind, StatementView},
};

pub(crate) use self::reader::StatementReader;
use super::{customer::CNY_SCALE, recharge::ChannelName};
use crate::json::FromText;

impl FromText for Date {
    const EXPECTED: &'static str = "a day such as 2026-06-18";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// What a statement and the books differ in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
#[schema(as = DifferenceKind)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KindName {
    /// The books have it, and the statement does not: a shortage.
    Missing,
    /// The statement has it, and the books did not: a surplus.
    Extra,
    /// Both have it, with different amounts.
    AmountDiffers,
}

/// What came of a statement. Each difference is in `suspense:{channel}`, booked once however often the statement comes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statement)]
pub(crate) struct StatementOut {
    /// Whose.
    #[schema(value_type = ChannelName)]
    channel: &'static str,
    /// Of which day of Asia/Shanghai.
    #[schema(format = Date, example = "2026-06-18")]
    date: String,
    /// Lines that the books have, with the same amount.
    matched: u64,
    /// Money that the books have and the statement does not.
    missing: u64,
    /// Lines that the books did not have.
    extra: u64,
    /// Lines that the books have with another amount.
    amount_differs: u64,
    /// The first 1,000 differences.
    rows: Vec<DifferenceOut>,
    /// Whether there are more differences than rows.
    truncated: bool,
}

/// A difference.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatementDifference)]
pub(crate) struct DifferenceOut {
    /// Which kind.
    #[schema(value_type = KindName)]
    kind: &'static str,
    /// The order.
    order: String,
    /// The channel's reference of the money.
    reference: String,
    /// What the statement has.
    #[schema(required = true, example = "100.00")]
    listed: Option<String>,
    /// What the books have.
    #[schema(required = true, example = "90.00")]
    booked: Option<String>,
    /// Why it is in suspense: `not_in_statement`, `not_notified`, `listed_twice`, `amount_differs`.
    #[schema(value_type = String, example = "amount_differs")]
    reason: &'static str,
}

impl StatementOut {
    /// The shape of an answer.
    pub(crate) fn new(channel: Channel, date: Date, view: &StatementView) -> Self {
        let StatementView { matched, missing, extra, amount_differs, differences } = view;
        let shown = u64::try_from(differences.len()).unwrap_or(u64::MAX);
        Self {
            channel: channel.as_str(),
            date: date.to_string(),
            matched: *matched,
            missing: *missing,
            extra: *extra,
            amount_differs: *amount_differs,
            rows: differences.iter().map(DifferenceOut::new).collect(),
            truncated: missing + extra + amount_differs > shown,
        }
    }
}

impl DifferenceOut {
    fn new(difference: &Difference) -> Self {
        let yuan = |amount: Amount| format_units(amount.units().into(), CNY_SCALE);
        Self {
            kind: match difference.kind {
                DifferenceKind::Missing => "missing",
                DifferenceKind::Extra => "extra",
                DifferenceKind::AmountDiffers => "amount_differs",
            },
            order: difference.order.to_string(),
            reference: difference.reference.to_string(),
            listed: difference.listed.map(yuan),
            booked: difference.booked.map(yuan),
            reason: difference.reason.as_str(),
        }
    }
}

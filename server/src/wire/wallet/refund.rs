//! Refunds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{RequestedAmount, Timestamp, TransactionId, format_units},
    wallet::{RefundRequest, RefundView},
};

use super::{
    customer::CNY_SCALE,
    payment::{ITEMS_MAX, SourceName, source},
    yuan_or_zero,
};
use crate::{
    json::{Ranged, Text},
    wire::texts::{Label, NewTransactionId, display},
};

/// The index of an item.
type ItemIndex = Ranged<0, 23>;
const _: () = assert!(ITEMS_MAX == 24, "the greatest index follows the number of items");

/// A part of a payment to refund.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RefundRequest)]
pub(crate) struct RefundIn {
    /// The refund's own id: a UUID, version 7 advised, not version 8.
    #[schema(value_type = String, format = "uuid")]
    id: Text<NewTransactionId>,
    /// How much of the price, the promotion's share included.
    #[schema(value_type = String, example = "10.00")]
    amount: Text<RequestedAmount>,
    /// Of this item alone, from 0; of all items in their order by default.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 23, example = 0)]
    item: Option<ItemIndex>,
    /// For people.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    reason: Option<Text<Label<256>>>,
}

/// What went back to a source.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RefundLeg)]
pub(crate) struct RefundLegOut {
    /// Where it had come from, and went back to.
    #[schema(value_type = SourceName)]
    source: &'static str,
    /// How much.
    #[schema(example = "10.00")]
    amount: String,
    /// `refunded`
    #[schema(value_type = String, example = "refunded")]
    state: &'static str,
}

/// A refund.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refund)]
pub(crate) struct RefundOut {
    /// Its id.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    id: TransactionId,
    /// Of which payment.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    payment: TransactionId,
    /// How much of the price.
    #[schema(example = "10.00")]
    amount: String,
    /// Of which item alone.
    #[schema(required = true, example = 0)]
    item: Option<u8>,
    /// For people.
    #[schema(required = true)]
    reason: Option<String>,
    /// What went where.
    legs: Vec<RefundLegOut>,
    /// When.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl RefundIn {
    /// The engine's request.
    pub(crate) fn into_request(self, payment: TransactionId) -> (TransactionId, RefundRequest) {
        let request = RefundRequest {
            payment,
            amount: yuan_or_zero(&self.amount.0),
            item: self.item.and_then(|Ranged(item)| u8::try_from(item).ok()),
            reason: self.reason.map(|Text(Label(reason))| reason),
        };
        (self.id.0.0, request)
    }
}

impl RefundOut {
    /// The shape of a refund.
    pub(crate) fn new(view: &RefundView) -> Self {
        let yuan = |amount: yue_engine::model::Amount| format_units(amount.units().into(), CNY_SCALE);
        let leg = |leg: &yue_engine::wallet::RefundLeg| RefundLegOut {
            source: source(leg.source),
            amount: yuan(leg.amount),
            state: "refunded",
        };
        Self {
            id: view.id,
            payment: view.request.payment,
            amount: yuan(view.request.amount),
            item: view.request.item,
            reason: view.request.reason.as_ref().map(ToString::to_string),
            legs: view.legs.iter().map(leg).collect(),
            at: view.at,
        }
    }
}

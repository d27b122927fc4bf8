//! Payments.

mod words;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{Amount, RequestedAmount, Timestamp, TransactionId, format_units},
    wallet::{
        Auth, Channel, Item, ItemKind, ItemView, Leg, OnExhausted, Part, Payment, PaymentRequest, PaymentView,
    },
};

pub(crate) use self::words::{
    ItemKindName, LegStateName, OnExhaustedName, SourceName, StatusName, source, state, status,
};

use super::{
    auth::{AuthIn, AuthSchema},
    customer::CNY_SCALE,
    list::List,
    merchant::Category,
    recharge::ChannelName,
    refund::RefundOut,
    yuan_or_zero,
};
use crate::{
    json::{Object, Text},
    wire::texts::{Label, NewTransactionId, display},
};

/// Most items of a payment: with all their pieces they fit one transaction.
pub(crate) const ITEMS_MAX: usize = 24;

fn fen(amount: Amount) -> String {
    format_units(amount.units().into(), CNY_SCALE)
}

/// One item of a payment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentItem)]
pub(crate) struct ItemIn {
    /// For people.
    #[schema(value_type = String, min_length = 1, max_length = 256, example = "Kettle")]
    name: Text<Label<256>>,
    /// Goods or shipping.
    #[schema(value_type = ItemKindName)]
    kind: Text<ItemKind>,
    /// What merchants and promotions go by.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "home")]
    category: Category,
    /// Its price.
    #[schema(value_type = String, example = "80.00")]
    amount: Text<RequestedAmount>,
}

/// A payment to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentRequest)]
pub(crate) struct PaymentIn {
    /// The payment's id, for the channel too: a UUID, version 7 advised, not version 8.
    #[schema(value_type = String, format = "uuid")]
    id: Text<NewTransactionId>,
    /// Who pays.
    #[schema(value_type = String, example = "alice")]
    user: Text<Part>,
    /// Who is paid.
    #[schema(value_type = String, example = "jd-self")]
    merchant: Text<Part>,
    /// For what.
    #[schema(value_type = Vec<ItemIn>, min_items = 1, max_items = 24)]
    items: List<Object<ItemIn>, 1, ITEMS_MAX>,
    /// What allows it.
    #[schema(value_type = Option<AuthSchema>)]
    auth: Option<AuthIn>,
    /// Who pays what the balance is short of.
    #[schema(value_type = Option<ChannelName>)]
    combine_with: Option<Text<Channel>>,
    /// Who gives something off.
    #[schema(value_type = Option<String>)]
    promotion: Option<Text<Part>>,
    /// What is done when the promotion is spent; `refuse` by default.
    #[schema(value_type = Option<OnExhaustedName>)]
    on_promotion_exhausted: Option<Text<OnExhausted>>,
}

/// A payment to make, as the engine takes it.
pub(crate) struct PaymentOrder {
    pub(crate) id: TransactionId,
    pub(crate) request: PaymentRequest,
    pub(crate) auth: Option<Auth>,
}

impl PaymentIn {
    /// The engine's request.
    pub(crate) fn into_order(self) -> PaymentOrder {
        let List(items) = self.items;
        let items = items.into_iter().map(|Object(item)| {
            let amount = yuan_or_zero(&item.amount.0);
            let (Text(Label(name)), Text(Label(category))) = (item.name, item.category);
            Item { name, kind: item.kind.0, category, amount }
        });
        let request = PaymentRequest {
            user: self.user.0,
            merchant: self.merchant.0,
            items: items.collect(),
            combine_with: self.combine_with.map(|Text(channel)| channel),
            promotion: self.promotion.map(|Text(promotion)| promotion),
            on_exhausted: self.on_promotion_exhausted.map(|Text(then)| then).unwrap_or_default(),
        };
        PaymentOrder { id: self.id.0.0, request, auth: self.auth.map(|AuthIn(auth)| auth) }
    }
}

/// A payment's part from one source.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentLeg)]
pub(crate) struct LegOut {
    /// Where from.
    #[schema(value_type = SourceName)]
    source: &'static str,
    /// How much.
    #[schema(example = "80.00")]
    amount: String,
    /// What came of it.
    #[schema(value_type = LegStateName)]
    state: &'static str,
}

/// A payment's part from one source, with what is left of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentLegView)]
pub(crate) struct LegViewOut {
    /// Where from.
    #[schema(value_type = SourceName)]
    source: &'static str,
    /// How much.
    #[schema(example = "80.00")]
    amount: String,
    /// What came of it.
    #[schema(value_type = LegStateName)]
    state: &'static str,
    /// What can be refunded of it.
    #[schema(example = "70.00")]
    refundable: String,
}

/// An item with what is left of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentItemView)]
pub(crate) struct ItemViewOut {
    /// For people.
    #[schema(value_type = String)]
    name: CompactString,
    /// Goods or shipping.
    #[schema(value_type = ItemKindName)]
    kind: &'static str,
    /// What merchants and promotions go by.
    #[schema(value_type = String)]
    category: CompactString,
    /// Its price.
    #[schema(example = "80.00")]
    amount: String,
    /// The promotion's share of it.
    #[schema(example = "0.00")]
    discount: String,
    /// What can be refunded of it.
    #[schema(example = "70.00")]
    refundable: String,
}

/// A payment as it was answered first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub(crate) struct PaymentOut {
    /// Its id.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    id: TransactionId,
    /// `paid`, or `awaiting_channel`.
    #[schema(value_type = StatusName)]
    status: &'static str,
    /// What it is made up of.
    legs: Vec<LegOut>,
    /// What its items cost together.
    #[schema(example = "80.00")]
    amount: String,
    /// What the promotion gave.
    #[schema(example = "0.00")]
    discount: String,
    /// Until when it waits for its channel.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    /// When it was decided on.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// A payment as it is now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentView)]
pub(crate) struct PaymentViewOut {
    /// Its id.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    id: TransactionId,
    /// Who pays.
    #[schema(example = "alice")]
    user: String,
    /// Who is paid.
    #[schema(example = "jd-self")]
    merchant: String,
    /// What came of it.
    #[schema(value_type = StatusName)]
    status: &'static str,
    /// What it is made up of.
    legs: Vec<LegViewOut>,
    /// What it was for.
    items: Vec<ItemViewOut>,
    /// What its items cost together.
    #[schema(example = "80.00")]
    amount: String,
    /// The promotion that was asked for.
    #[schema(required = true)]
    promotion: Option<String>,
    /// What it gave.
    #[schema(example = "0.00")]
    discount: String,
    /// What can be refunded.
    #[schema(example = "70.00")]
    refundable: String,
    /// What was refunded, in order.
    refunds: Vec<RefundOut>,
    /// Until when it waits, or waited, for its channel.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    /// When it was decided on.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl PaymentOut {
    /// The shape of a payment's first answer.
    pub(crate) fn new(payment: &Payment) -> Self {
        let leg = |leg: &Leg| LegOut {
            source: source(leg.source),
            amount: fen(leg.amount),
            state: state(leg.state),
        };
        Self {
            id: payment.id,
            status: status(payment.status),
            legs: payment.legs.iter().map(leg).collect(),
            amount: fen(payment.total),
            discount: fen(payment.discount),
            expires_at: payment.expires_at.map(|at| at.to_string()),
            at: payment.at,
        }
    }
}

impl PaymentViewOut {
    /// The shape of a payment.
    pub(crate) fn new(view: &PaymentView) -> Self {
        let leg = |leg: &Leg| LegViewOut {
            source: source(leg.source),
            amount: fen(leg.amount),
            state: state(leg.state),
            refundable: fen(leg.refundable),
        };
        let item = |view: &ItemView| ItemViewOut {
            name: view.item.name.clone(),
            kind: match view.item.kind {
                ItemKind::Goods => "goods",
                ItemKind::Shipping => "shipping",
            },
            category: view.item.category.clone(),
            amount: fen(view.item.amount),
            discount: fen(view.discount),
            refundable: fen(view.refundable),
        };
        Self {
            id: view.id,
            user: view.request.user.to_string(),
            merchant: view.request.merchant.to_string(),
            status: status(view.status),
            legs: view.legs.iter().map(leg).collect(),
            items: view.items.iter().map(item).collect(),
            amount: fen(view.total),
            promotion: view.request.promotion.as_ref().map(Part::to_string),
            discount: fen(view.discount),
            refundable: fen(view.refundable),
            refunds: view.refunds.iter().map(RefundOut::new).collect(),
            expires_at: view.expires_at.map(|at| at.to_string()),
            at: view.at,
        }
    }
}

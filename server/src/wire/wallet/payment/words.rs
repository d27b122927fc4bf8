//! The closed sets of words in payments; what each means is said where the wallet defines it.

use utoipa::ToSchema;
use yue_engine::wallet::{ItemKind, LegSource, LegState, OnExhausted, PaymentStatus};

use crate::json::FromText;

impl FromText for ItemKind {
    const EXPECTED: &'static str = "goods or shipping";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "goods" => Some(Self::Goods),
            "shipping" => Some(Self::Shipping),
            _ => None,
        }
    }
}

impl FromText for OnExhausted {
    const EXPECTED: &'static str = "refuse or full_price";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "refuse" => Some(Self::Refuse),
            "full_price" => Some(Self::FullPrice),
            _ => None,
        }
    }
}

/// What is paid for.
#[derive(ToSchema)]
#[schema(as = ItemKind)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum ItemKindName {
    Goods,
    Shipping,
}

/// What is done when the promotion's budget, or the payer's share of it, is spent.
#[derive(ToSchema)]
#[schema(as = OnPromotionExhausted)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum OnExhaustedName {
    Refuse,
    FullPrice,
}

/// What came of a payment.
#[derive(ToSchema)]
#[schema(as = PaymentStatus)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum StatusName {
    AwaitingChannel,
    Paid,
    Cancelled,
    Expired,
    Returning,
    Returned,
}

/// Where a leg comes from: a channel is named as it is.
#[derive(ToSchema)]
#[schema(as = LegSource)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum SourceName {
    Balance,
    Promotion,
    BankCard,
    Wechat,
    Alipay,
    Ecny,
}

/// What came of a leg.
#[derive(ToSchema)]
#[schema(as = LegState)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum LegStateName {
    Held,
    Awaiting,
    Paid,
    Released,
    Cancelled,
    Returning,
    Returned,
}

/// The contract's word for a source.
pub(crate) fn source(source: LegSource) -> &'static str {
    match source {
        LegSource::Balance => "balance",
        LegSource::Promotion => "promotion",
        LegSource::Channel(channel) => channel.as_str(),
    }
}

/// The contract's word for what came of a payment.
pub(crate) fn status(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::AwaitingChannel => "awaiting_channel",
        PaymentStatus::Paid => "paid",
        PaymentStatus::Cancelled => "cancelled",
        PaymentStatus::Expired => "expired",
        PaymentStatus::Returning => "returning",
        PaymentStatus::Returned => "returned",
    }
}

/// The contract's word for what came of a leg.
pub(crate) fn state(state: LegState) -> &'static str {
    match state {
        LegState::Held => "held",
        LegState::Awaiting => "awaiting",
        LegState::Paid => "paid",
        LegState::Released => "released",
        LegState::Cancelled => "cancelled",
        LegState::Returning => "returning",
        LegState::Returned => "returned",
    }
}

//! Recharges.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{RequestedAmount, Timestamp, TransactionId, format_units},
    wallet::{Channel, Part, RechargeRequest, RechargeStatus, RechargeView},
};

use super::{customer::CNY_SCALE, yuan_or_zero};
use crate::{
    json::Text,
    wire::texts::{NewTransactionId, display},
};

/// A request to recharge a wallet.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RechargeOrder)]
pub(crate) struct RechargeIn {
    /// The order's id, for the channel too: a UUID, version 7 advised, not version 8.
    #[schema(value_type = String, format = "uuid")]
    id: Text<NewTransactionId>,
    /// Whose wallet.
    #[schema(value_type = String, example = "alice")]
    user: Text<Part>,
    /// Who takes the money in.
    #[schema(value_type = ChannelName)]
    channel: Text<Channel>,
    /// How much.
    #[schema(value_type = String, example = "100.00")]
    amount: Text<RequestedAmount>,
    /// A promotion that adds a bonus: it must run now, and gives it when the money comes, if its budget has it then.
    #[schema(value_type = Option<String>)]
    promotion: Option<Text<Part>>,
}

/// A channel.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
#[schema(as = Channel)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChannelName {
    /// Bank cards.
    BankCard,
    /// WeChat Pay.
    Wechat,
    /// Alipay.
    Alipay,
    /// Digital RMB.
    Ecny,
}

/// Where a recharge is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
#[schema(as = RechargeStatus)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatusName {
    /// The channel has not said anything.
    Pending,
    /// The money is in the wallet.
    Paid,
    /// The channel says that no money comes.
    Failed,
    /// Money came that is not credited: `reason` says why. It is in `suspense:{channel}`.
    Suspended,
}

/// A recharge as it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recharge)]
pub(crate) struct RechargeOut {
    /// The order's id.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    id: TransactionId,
    /// Whose wallet.
    #[schema(example = "alice")]
    user: String,
    /// Who takes the money in.
    #[schema(value_type = ChannelName)]
    channel: &'static str,
    /// What was ordered.
    #[schema(example = "100.00")]
    amount: String,
    /// The promotion that was asked for.
    #[schema(required = true)]
    promotion: Option<String>,
    /// Where it is.
    #[schema(value_type = StatusName)]
    status: &'static str,
    /// What the promotion added.
    #[schema(required = true, example = "5.00")]
    bonus: Option<String>,
    /// The channel's reference of the money.
    #[schema(required = true)]
    reference: Option<String>,
    /// When the channel took the money.
    #[schema(required = true, format = DateTime)]
    paid_at: Option<String>,
    /// Why the money is in suspense: `amount_differs`, `other_channel`, `paid_after_failed`, `unknown_order` or
    /// `not_notified` (a copy of the notification credits it), or the code of the rule that refused it, such as
    /// `ceiling_exceeded`.
    #[schema(required = true, example = "amount_differs")]
    reason: Option<&'static str>,
    /// When it was ordered.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime)]
    ordered_at: Timestamp,
}

impl RechargeIn {
    /// The engine's request.
    pub(crate) fn into_request(self) -> RechargeRequest {
        RechargeRequest {
            id: self.id.0.0,
            user: self.user.0,
            channel: self.channel.0,
            amount: yuan_or_zero(&self.amount.0),
            promotion: self.promotion.map(|Text(promotion)| promotion),
        }
    }
}

impl RechargeOut {
    /// The shape of a recharge.
    pub(crate) fn new(view: &RechargeView) -> Self {
        let RechargeRequest { id, user, channel, amount, promotion } = &view.request;
        Self {
            id: *id,
            user: user.to_string(),
            channel: channel.as_str(),
            amount: format_units(amount.units().into(), CNY_SCALE),
            promotion: promotion.as_ref().map(Part::to_string),
            status: match view.status {
                RechargeStatus::Pending => "pending",
                RechargeStatus::Paid => "paid",
                RechargeStatus::Failed => "failed",
                RechargeStatus::Suspended => "suspended",
            },
            bonus: view.bonus.map(|bonus| format_units(bonus.units().into(), CNY_SCALE)),
            reference: view.reference.as_ref().map(ToString::to_string),
            paid_at: view.paid_at.map(|at| at.to_string()),
            reason: view.reason.map(|reason| reason.as_str()),
            ordered_at: view.ordered_at,
        }
    }
}

//! What channels say.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{RequestedAmount, Timestamp, TransactionId},
    wallet::{Channel, ChannelResult, Notified},
};

use super::{yuan, yuan_or_zero};
use crate::{
    json::{FromText, Text},
    problem::{Code, Problem},
    wire::texts::{Label, display},
};

/// A channel's word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Paid,
    Failed,
}

impl FromText for Word {
    const EXPECTED: &'static str = "paid or failed";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "paid" => Some(Self::Paid),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

/// What came of an order at the channel.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
#[schema(as = NotificationResult)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WordName {
    /// The money came.
    Paid,
    /// No money comes.
    Failed,
}

/// What a channel says of an order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Notification)]
pub(crate) struct NotificationIn {
    /// The notification's own id.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "n-1")]
    notification: Text<Label<64>>,
    /// The recharge or payment.
    #[schema(value_type = String, format = "uuid")]
    order: Text<TransactionId>,
    /// What came of it.
    #[schema(value_type = WordName)]
    result: Text<Word>,
    /// How much came.
    #[schema(value_type = String, example = "100.00")]
    amount: Text<RequestedAmount>,
    /// The channel's reference of the money; may be absent where none came.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "4200001")]
    reference: Option<Text<Label<64>>>,
    /// When the channel took the money; may be absent where none came.
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-06-18T00:00:00+08:00")]
    paid_at: Option<Text<Timestamp>>,
}

impl NotificationIn {
    /// The engine's form of it, as the channel's word of `now`.
    pub(crate) fn into_result(self, channel: Channel, now: Timestamp) -> Result<ChannelResult, Problem> {
        let paid = self.result.0 == Word::Paid;
        let missing = |field: &str| {
            Problem::new(Code::Malformed, format!("missing field `{field}` of what was paid"))
                .field(format!("/{field}"))
        };
        let reference = self.reference.map(|Text(Label(reference))| reference);
        let paid_at = self.paid_at.map(|Text(at)| at);
        if paid && reference.is_none() {
            return Err(missing("reference"));
        }
        if paid && paid_at.is_none() {
            return Err(missing("paid_at"));
        }
        let Text(Label(notification)) = self.notification;
        Ok(ChannelResult {
            channel,
            notification: notification.into(),
            order: self.order.0,
            paid,
            // Where none came, it is often said so.
            amount: if paid { yuan(&self.amount.0, "/amount")? } else { yuan_or_zero(&self.amount.0) },
            reference: reference.map(CompactString::into_string).unwrap_or_default(),
            paid_at: paid_at.unwrap_or(now),
        })
    }
}

/// What a notification meant.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
#[schema(as = NotificationEffect)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EffectName {
    /// The recharge's money is in the wallet.
    Credited,
    /// The payment took it.
    Settled,
    /// The recharge has failed.
    Failed,
    /// The money is in `suspense:{channel}`.
    Suspended,
    /// Nothing: something else was decided before, or there is nothing to decide.
    Unchanged,
}

/// What a notification meant; a copy is answered in the same way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotificationAnswer)]
pub(crate) struct NotifiedOut {
    /// The notification's own id.
    #[schema(example = "n-1")]
    notification: String,
    /// The order.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    order: TransactionId,
    /// What it meant.
    #[schema(value_type = EffectName)]
    effect: &'static str,
    /// Why the money is in suspense, or why nothing changed: `unknown_order`, `amount_differs`, `other_channel`,
    /// `paid_again`, `paid_after_failed`, `paid_late`, `not_notified`, or the code of the rule that refused the money.
    #[schema(required = true, example = "amount_differs")]
    reason: Option<&'static str>,
}

impl NotifiedOut {
    /// The shape of an answer.
    pub(crate) fn new(result: &ChannelResult, notified: Notified) -> Self {
        let (effect, reason) = match notified {
            Notified::Credited => ("credited", None),
            Notified::Settled => ("settled", None),
            Notified::Failed => ("failed", None),
            Notified::Suspended(reason) => ("suspended", Some(reason)),
            Notified::Unchanged(reason) => ("unchanged", reason),
        };
        let reason = reason.map(|reason| reason.as_str());
        Self { notification: result.notification.clone(), order: result.order, effect, reason }
    }
}

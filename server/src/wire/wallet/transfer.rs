//! Transfers between users.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{Position, RequestedAmount, Timestamp, TransactionId, format_units},
    wallet::{Auth, Part, TransferOrder, TransferView},
};

use super::{auth::AuthIn, customer::CNY_SCALE, yuan_or_zero};
use crate::{
    json::Text,
    wire::texts::{NewTransactionId, display},
};

/// A request to move money to another user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WalletTransfer)]
pub(crate) struct TransferIn {
    /// The caller's id; the transfer takes effect once for it.
    #[schema(value_type = String, format = "uuid")]
    id: Text<NewTransactionId>,
    /// The user who receives.
    #[schema(value_type = String, max_length = 32, pattern = "^[a-z0-9][a-z0-9._-]{0,31}$", example = "bob")]
    to: Text<Part>,
    /// How much.
    #[schema(value_type = String, example = "8.88")]
    amount: Text<RequestedAmount>,
    /// What the owner shows; needed unless the id is known.
    #[schema(value_type = Option<super::auth::AuthSchema>)]
    auth: Option<AuthIn>,
}

impl TransferIn {
    /// The order and its authorisation.
    pub(crate) fn read(self, user: Part) -> (TransferOrder, Option<Auth>) {
        let Self { id: Text(NewTransactionId(id)), to: Text(to), amount: Text(amount), auth } = self;
        let amount = yuan_or_zero(&amount);
        (TransferOrder { id, user, to, amount }, auth.map(|AuthIn(auth)| auth))
    }
}

/// A transfer that happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WalletTransferred)]
pub(crate) struct TransferOut {
    /// The caller's id.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    id: TransactionId,
    /// Who paid.
    #[schema(example = "alice")]
    user: String,
    /// Who received.
    #[schema(example = "bob")]
    to: String,
    /// How much.
    #[schema(example = "8.88")]
    amount: String,
    /// The journal's record.
    position: u64,
    /// When.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl TransferOut {
    /// The shape of a transfer.
    pub(crate) fn new(view: &TransferView) -> Self {
        let TransferView { order, position: Position(position), at, .. } = view;
        Self {
            id: order.id,
            user: order.user.to_string(),
            to: order.to.to_string(),
            amount: format_units(order.amount.0.into(), CNY_SCALE),
            position: *position,
            at: *at,
        }
    }
}

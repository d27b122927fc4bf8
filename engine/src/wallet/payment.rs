//! Payments: from balance alone, or together with a channel.

use super::{Channel, Wallet, WalletError};
use crate::model::{Amount, Timestamp, TransactionId};

/// What a channel says of an order, its signature checked.
#[derive(Clone, Debug)]
pub struct ChannelResult {
    /// Who says it.
    pub channel: Channel,
    /// The notification's own id.
    pub notification: String,
    /// The recharge or payment.
    pub order: TransactionId,
    /// Whether the money came.
    pub paid: bool,
    /// How much.
    pub amount: Amount,
    /// The channel's reference of the money.
    pub reference: String,
    /// When.
    pub paid_at: Timestamp,
}

impl Wallet {
    /// Applies a channel's word to the payment that waits for it; `false` if there is no such payment.
    pub(super) async fn payment_notified(&self, result: &ChannelResult) -> Result<bool, WalletError> {
        let _ = result;
        Ok(false)
    }
}

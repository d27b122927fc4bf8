//! Whose wallets a caller may use.
//!
//! Owns the binding of a caller's prefix to the wallet's verbs: a verb of a user is for callers that cover the user's
//! account, a refund for those that cover the merchant's, and the platform's own verbs for those that are bound to
//! nothing. Knows one scope: whoever has money created for the platform must be let create it; for all else a verb has
//! one route, and the route has its scope. Invariant: what lies outside a caller's prefix is answered by its name alone,
//! whether it is there or not.

use std::sync::Arc;

use super::{Part, Wallet, WalletCode, WalletError, names};
use crate::model::{Address, Caller, TransactionId};

impl Wallet {
    /// The same wallet, as a caller may use it.
    #[must_use]
    pub fn for_caller(&self, caller: Caller) -> Self {
        Self { inner: Arc::clone(&self.inner), caller, deadline: self.deadline.clone() }
    }

    fn own(&self, address: &Address) -> Result<(), WalletError> {
        if self.caller.covers(address.as_str()) {
            Ok(())
        } else {
            Err(WalletError::refused(WalletCode::NotFound))
        }
    }

    /// Whether the caller may use a user's wallet.
    pub(super) fn own_user(&self, user: &Part) -> Result<(), WalletError> {
        self.own(&names::customer(user))
    }

    /// Whether the caller may speak for a merchant.
    pub(super) fn own_merchant(&self, merchant: &Part) -> Result<(), WalletError> {
        self.own(&names::merchant(merchant))
    }

    /// Whether the caller may know a promotion.
    pub(super) fn own_promotion(&self, promotion: &Part) -> Result<(), WalletError> {
        self.own(&names::promotion(promotion))
    }

    /// Whether the caller may use the verbs of the platform.
    pub(super) fn own_platform(&self) -> Result<(), WalletError> {
        if self.caller.is_bound() { Err(WalletError::refused(WalletCode::NotFound)) } else { Ok(()) }
    }

    /// Whether the caller may have the platform pay from an account that can't run out: that creates money. From here on
    /// it counts as done: the verb may go on when its caller has gone.
    pub(super) fn may_issue(&self) -> Result<(), WalletError> {
        self.caller.may_issue()?;
        self.caller.note_issued(|| true);
        Ok(())
    }

    /// Whether the caller may cancel a payment: it is his user's.
    pub(super) async fn own_payment(&self, payment: TransactionId) -> Result<(), WalletError> {
        match self.parties(payment).await? {
            Some((user, _)) => self.own_user(&user),
            None => Ok(()),
        }
    }

    /// Whether the caller may refund a payment: the merchant pays for it.
    pub(super) async fn own_sale(&self, payment: TransactionId) -> Result<(), WalletError> {
        match self.parties(payment).await? {
            Some((_, merchant)) => self.own_merchant(&merchant),
            None => Ok(()),
        }
    }

    /// Payer and merchant of a payment, if there is one and somebody wants to know.
    async fn parties(&self, payment: TransactionId) -> Result<Option<(Part, Part)>, WalletError> {
        if !self.caller.is_bound() {
            return Ok(None);
        }
        let placed = self.placed(payment).await?;
        Ok(placed.map(|(_, settled)| {
            let request = settled.document.request;
            (request.user, request.merchant)
        }))
    }
}

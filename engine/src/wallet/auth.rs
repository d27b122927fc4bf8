//! Whether somebody may spend from a wallet: by token, device or the owner's leave for small amounts.
//!
//! Owns what an authorisation costs: a token's alias, a device's counter, a small payment's count go into the record of
//! the payment itself, so that none is used twice. Never stores an authorisation.

use super::{Part, Wallet, WalletCode, WalletError, document::Document, names, step::Draft};
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
    /// A copy of a request that has just paid finds its own token or counter used up: nothing is asked of it, since its
    /// first step (`derive(verb, id, 0)`) is answered from the record.
    ///
    /// # Errors
    /// `auth_required` without one, `auth_invalid` if it does not fit; never final.
    pub(super) async fn authorise(
        &self,
        demand: Demand<'_>,
        auth: Option<&Auth>,
    ) -> Result<Authorised, WalletError> {
        let authorised = match auth {
            None => None,
            Some(Auth::Token(token)) => self.by_token(&demand, token).await,
            Some(Auth::Device { device, counter, signature }) => {
                Authorised::cell(self.device_write(&demand, device, *counter, signature))
            }
            Some(Auth::Small) => Authorised::cell(self.small_write(&demand)),
        };
        if let Some(authorised) = authorised {
            return Ok(authorised);
        }
        let first_step = names::derive(demand.verb, &demand.id.0.to_be_bytes(), 0);
        if self.engine().transaction(first_step).await.is_some() {
            return Ok(Authorised::default());
        }
        let code = if auth.is_some() { WalletCode::AuthInvalid } else { WalletCode::AuthRequired };
        Err(WalletError::refused(code))
    }

    async fn by_token(&self, demand: &Demand<'_>, token: &str) -> Option<Authorised> {
        let alias = self.token_alias(demand, token)?;
        let used = self.engine().transaction(alias).await.is_some();
        (!used).then(|| Authorised { aliases: vec![alias], ..Authorised::default() })
    }
}

impl Authorised {
    fn cell(write: Option<CellWrite<Address>>) -> Option<Self> {
        write.map(|write| Self { cells: vec![write], ..Self::default() })
    }
}

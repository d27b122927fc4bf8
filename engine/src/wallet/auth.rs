//! Whether somebody may spend from a wallet: by token, device or the owner's leave for small amounts.
//!
//! Owns what an authorisation costs: a token's alias, a device's counter, a small payment's count go into the record of
//! the payment itself, so that none is used twice. Never stores an authorisation.

use super::{Part, Wallet, WalletCode, WalletError, document::Document, step::Draft};
use crate::model::{Address, Amount, CellWrite, TransactionId};

/// What a caller shows to spend.
#[derive(Clone)]
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
    /// The step that is about to be decided with it.
    pub(super) step: TransactionId,
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
    /// A copy of a request that has just paid finds its own token or counter used up: nothing is asked of it, since the
    /// very step that it is about to decide is on record, and it is answered from there. An earlier step of the verb is
    /// no such leave: one that was refused has used up nothing, and what follows it is to be authorised like the first.
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
            Some(Auth::Token(token)) => self.by_token(&demand, token).await?,
            Some(Auth::Device { device, counter, signature }) => {
                Authorised::cell(self.device_write(&demand, device, *counter, signature))
            }
            Some(Auth::Small) => Authorised::cell(self.small_write(&demand)),
        };
        if let Some(authorised) = authorised {
            return Ok(authorised);
        }
        if self.engine().transaction(demand.step).await?.is_some() {
            return Ok(Authorised::default());
        }
        let code = if auth.is_some() { WalletCode::AuthInvalid } else { WalletCode::AuthRequired };
        Err(WalletError::refused(code))
    }

    async fn by_token(&self, demand: &Demand<'_>, token: &str) -> Result<Option<Authorised>, WalletError> {
        let Some(alias) = self.token_alias(demand, token) else { return Ok(None) };
        let used = self.engine().transaction(alias).await?.is_some();
        Ok((!used).then(|| Authorised { aliases: vec![alias], ..Authorised::default() }))
    }
}

impl Authorised {
    fn cell(write: Option<CellWrite<Address>>) -> Option<Self> {
        write.map(|write| Self { cells: vec![write], ..Self::default() })
    }
}

/// Of which kind: what it shows could be shown again.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(…)",
            Self::Device { .. } => "Device(…)",
            Self::Small => "Small",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_could_be_shown_again_is_logged() {
        let token = Auth::Token("secret".into());
        let device = Auth::Device { device: "secret".into(), counter: 9, signature: b"secret".into() };
        let [token, device] = [token, device].map(|auth| format!("{auth:?}"));
        assert_eq!((token.as_str(), device.as_str()), ("Token(…)", "Device(…)"));
        let given =
            crate::wallet::PaymentToken { token: "secret".into(), expires_at: crate::model::Timestamp::ZERO };
        assert!(!format!("{given:?}").contains("secret"));
        let hashed = format!("{:?}", crate::wallet::hashing::Hashed::default());
        assert_eq!(hashed, "Hashed(…)");
    }
    use crate::wallet::{
        fixture::{Fixture, part, settings, transfer},
        names,
    };

    /// A copy may look for its id before the first one is on disk, and at its authorisation after.
    #[tokio::test]
    async fn a_copy_of_what_was_paid_needs_no_second_authorisation() {
        let fixture = Fixture::new(settings()).await;
        let wallet = &fixture.wallet;
        fixture.fund("alice", 500).await;
        let auth = fixture.token("alice").await;
        wallet.transfer(transfer(7, 100), Some(&auth)).await.unwrap();
        let (user, to) = (part("alice"), part("bob"));
        let demand = |id: u128| {
            let (id, step) = (TransactionId(id), names::derive("transfer", &id.to_be_bytes(), 0));
            Demand { verb: "transfer", id, step, user: &user, counterparty: &to, amount: Amount(100) }
        };
        for auth in [None, Some(&auth), Some(&Auth::Small)] {
            let again = wallet.authorise(demand(7), auth).await.unwrap();
            assert!(again.aliases.is_empty() && again.cells.is_empty());
        }
        for (auth, code) in [(None, WalletCode::AuthRequired), (Some(&auth), WalletCode::AuthInvalid)] {
            let refused = wallet.authorise(demand(8), auth).await.unwrap_err();
            assert_eq!(refused, WalletError::refused(code));
        }
    }
}

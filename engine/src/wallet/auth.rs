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
    /// The transaction that it is for: of a payment this attempt's.
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
    /// A copy of a request that has just paid finds its own token or counter used up: nothing is asked of it, since this
    /// very step is answered from the record. An earlier attempt's record is no leave to pay: its authorisation was not
    /// used up.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Config, Engine,
        model::{Attachment, Metadata, Operation, OperationKind, RequestedAmount, Transaction},
        wallet::{Class, Password, Secrets, Settings, TransferOrder, WalletError, names},
    };

    /// A copy may look for its id before the first one is on disk, and at its authorisation after.
    #[tokio::test]
    async fn a_copy_of_what_was_paid_needs_no_second_authorisation() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(Config::new(directory.path())).unwrap();
        let settings = Settings { argon2_memory_kib: 8, argon2_passes: 1, ..Settings::default() };
        let secrets = Secrets { pepper: [1; 32], token_key: [2; 32], channel_keys: Vec::new() };
        let wallet = Wallet::new(engine.clone(), settings, secrets);
        let [user, to] = ["alice", "bob"].map(|name| Part::parse(name).unwrap());
        for user in [&user, &to] {
            wallet.open_customer(user, Class::II).await.unwrap();
        }
        let bank = names::platform("bank");
        wallet.ensure(bank.clone(), crate::wallet::AccountKind::OPEN_DEBIT).await.unwrap();
        let amount = RequestedAmount::from_units(Amount(500), 2);
        let kind = OperationKind::Transfer { debit: bank, credit: names::customer(&user), amount };
        let attachment = Attachment { document: Box::default(), aliases: Vec::new(), cells: Vec::new() };
        let fund = Transaction {
            id: TransactionId(1),
            operations: smallvec::smallvec![Operation { kind, code: None }],
            code: None,
            reference: None,
            metadata: Metadata::default(),
            attachment: Some(Box::new(attachment)),
        };
        engine.submit(fund).await.unwrap().verdict.unwrap();
        let password = Password::parse("283904").unwrap();
        wallet.set_password(&user, password, None).await.unwrap();
        let token = wallet.create_token(&user, password, Amount(100), 60).await.unwrap();
        let auth = Auth::Token(token.token);
        let (id, amount) = (TransactionId(7), Amount(100));
        let order = TransferOrder { id, user: user.clone(), to: to.clone(), amount };
        wallet.transfer(order, Some(&auth)).await.unwrap();
        let demand = |id: TransactionId| {
            let step = names::derive("transfer", &id.0.to_be_bytes(), 0);
            Demand { verb: "transfer", id, step, user: &user, counterparty: &to, amount }
        };
        for auth in [None, Some(&auth), Some(&Auth::Small)] {
            let again = wallet.authorise(demand(id), auth).await.unwrap();
            assert!(again.aliases.is_empty() && again.cells.is_empty());
        }
        for (auth, code) in [(None, WalletCode::AuthRequired), (Some(&auth), WalletCode::AuthInvalid)] {
            let refused = wallet.authorise(demand(TransactionId(8)), auth).await.unwrap_err();
            assert_eq!(refused, WalletError::refused(code));
        }
    }
}

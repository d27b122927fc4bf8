//! Transfers between users.
//!
//! One transaction: the authorisation's cost and the money in one record. What the ledger refuses (status, limits,
//! funds) is final; what is refused before (no such wallet, the authorisation) leaves the id free.

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::part;
use super::{
    Auth, Part, Wallet, WalletCode, WalletError,
    auth::Demand,
    document::Document,
    names,
    step::{Draft, Settled},
};
use crate::model::{Amount, Position, RejectionCode, Timestamp, TransactionId};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct TransferOrder {
    /// The caller's id.
    pub id: TransactionId,
    /// Who pays.
    pub user: Part,
    /// Who receives.
    pub to: Part,
    /// How much.
    pub amount: Amount,
}

/// A transfer that happened.
#[derive(Clone, Debug)]
pub struct TransferView {
    /// What was asked for.
    pub order: TransferOrder,
    /// Its record.
    pub position: Position,
    /// When.
    pub at: Timestamp,
    /// Whether this answer repeats an earlier one.
    pub replayed: bool,
}

/// The record of a transfer.
#[derive(Serialize, Deserialize)]
struct TransferMade {
    user: Part,
    to: Part,
    units: u64,
}

impl Document for TransferMade {
    const TAG: u8 = 50;
}

const VERB: &str = "transfer";
const CODE: &str = "spend.transfer";

impl Wallet {
    /// Moves money to another user.
    ///
    /// # Errors
    /// The id belongs to another body; no such wallet; `account_not_found` if the receiver has none, `same_account`;
    /// `auth_required`, `auth_invalid`; finally: `account_frozen`, `account_closed`, `limit_exceeded`,
    /// `insufficient_funds`; overload.
    pub async fn transfer(
        &self,
        order: TransferOrder,
        auth: Option<&Auth>,
    ) -> Result<TransferView, WalletError> {
        self.own_user(&order.user)?;
        let id = names::derive(VERB, &order.id.0.to_be_bytes(), 0);
        if let Some(settled) = self.find(id).await? {
            return transferred(order, &settled);
        }
        self.profile(&order.user)?;
        WalletError::check_amount(order.amount, "/amount")?;
        let refused = |code| Err(WalletError::field(WalletCode::Ledger(code), "/to"));
        if order.to == order.user {
            return refused(RejectionCode::SameAccount);
        }
        if self.profile(&order.to).is_err() {
            return refused(RejectionCode::AccountNotFound);
        }
        let TransferOrder { id: order_id, user, to, amount } = &order;
        let demand = Demand { verb: VERB, id: *order_id, step: id, user, counterparty: to, amount: *amount };
        for _ in 0..Self::TRIES_MAX {
            let authorised = self.authorise(demand, auth).await?;
            let document = TransferMade { user: user.clone(), to: to.clone(), units: amount.0 };
            let mut draft = Draft::new(id, document);
            draft.transfer(&names::customer(user), &names::customer(to), *amount, CODE);
            authorised.apply(&mut draft);
            if let Some(settled) = self.submit(draft).await? {
                return transferred(order, &settled);
            }
        }
        Err(Self::overtaken())
    }
}

/// The answer of a record to an order.
fn transferred(order: TransferOrder, settled: &Settled<TransferMade>) -> Result<TransferView, WalletError> {
    let TransferMade { user, to, units } = &settled.document;
    let fields =
        [(*user == order.user, "/user"), (*to == order.to, "/to"), (*units == order.amount.0, "/amount")];
    if let Some((_, field)) = fields.into_iter().find(|(same, _)| !same) {
        return Err(WalletError::IdReused { field: field.into() });
    }
    settled.posted()?;
    let Settled { position, at, replayed, .. } = *settled;
    Ok(TransferView { order, position, at, replayed })
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    vec![Form::document(&TransferMade { user: part("alice"), to: part("bob"), units: 300 })]
}

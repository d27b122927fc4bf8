//! Whether a wallet's idle balance moves to the wealth product, and what it keeps.
//!
//! Owns the wealth settings' cell. Never moves money.

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::part;
use super::{
    Class, Part, Wallet, WalletCode, WalletError,
    document::{CellContent, Document, Held},
    names,
    step::Draft,
};
use crate::model::{Amount, CellKind};

/// What an owner chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WealthSettings {
    /// Whether idle balance moves.
    pub(super) enabled: bool,
    /// Fen that stay.
    pub(super) keep: u64,
}

impl CellContent for WealthSettings {
    const KIND: CellKind = CellKind(5);
}

/// The record of an owner's choice.
#[derive(Serialize, Deserialize)]
struct WealthSet {
    user: Part,
}

impl Document for WealthSet {
    const TAG: u8 = 13;
}

/// What an owner chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WealthView {
    /// Whether idle balance moves.
    pub enabled: bool,
    /// What stays.
    pub keep: Amount,
}

impl Wallet {
    /// Sets whether idle balance moves to the wealth product.
    ///
    /// # Errors
    /// `class_not_allowed` below class III, unless it is switched off; no such wallet; overload.
    pub async fn set_wealth(&self, user: &Part, wanted: WealthView) -> Result<(), WalletError> {
        self.own_user(user)?;
        for _ in 0..Self::TRIES_MAX {
            let profile = self.profile(user)?;
            if wanted.enabled && profile.content.class != Class::III {
                return Err(WalletError::refused(WalletCode::ClassNotAllowed));
            }
            let mut cell: Held<WealthSettings> = self.cell(names::customer(user));
            let content = WealthSettings { enabled: wanted.enabled, keep: wanted.keep.0 };
            if cell.content == content {
                return Ok(());
            }
            cell.content = content;
            let id = names::derive_revision("wealth-settings", user, cell.revision());
            let mut draft = Draft::new(id, WealthSet { user: user.clone() });
            // The profile too, as it is: else the class could be lowered in between.
            draft.write(&cell).write(&profile);
            if self.submit(draft).await?.is_some_and(|settled| !settled.replayed) {
                return Ok(());
            }
        }
        Err(Self::overtaken())
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let cell = WealthSettings { enabled: true, keep: 300 };
    vec![Form::document(&WealthSet { user: part("alice") }), Form::cell(&cell)]
}

//! What a wallet's owner has said of the wealth product.

use serde::{Deserialize, Serialize};

use super::document::CellContent;
use crate::model::CellKind;

/// Whether idle balance is swept into the wealth product, and how much stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WealthSettings {
    /// Whether it is.
    pub(super) enabled: bool,
    /// Fen that stay in the balance.
    pub(super) keep: u64,
}

impl CellContent for WealthSettings {
    const KIND: CellKind = CellKind(5);
}

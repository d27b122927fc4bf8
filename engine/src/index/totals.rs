//! Debits and credits since the beginning, by first address part and asset.
//!
//! Owns the rows of the trial balance and their byte form. Never forgets a row.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::{Direction, IndexError, TrialRow, wire};
use crate::model::{AccountOpening, Amount};

/// The trial balance's rows, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) rows: Vec<TrialRow>,
    by_name: BTreeMap<(CompactString, CompactString), u32>,
}

impl Totals {
    /// The row of accounts like this.
    pub(super) fn row(&mut self, opening: &AccountOpening) -> u32 {
        self.row_of(opening.address.group().into(), opening.asset.clone())
    }

    /// The row with this name; made if it is new.
    pub(super) fn row_of(&mut self, group: CompactString, asset: CompactString) -> u32 {
        let next = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        *self.by_name.entry((group, asset)).or_insert_with_key(|(group, asset)| {
            self.rows.push(TrialRow { group: group.clone(), asset: asset.clone(), debits: 0, credits: 0 });
            next
        })
    }

    /// Counts a leg.
    pub(super) fn add(&mut self, row: u32, direction: Direction, amount: Amount) {
        let row = usize::try_from(row).ok().and_then(|row| self.rows.get_mut(row));
        let row = row.expect("an account's row was made with its opening");
        match direction {
            Direction::Debit => row.debits += u128::from(amount.units()),
            Direction::Credit => row.credits += u128::from(amount.units()),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in &self.rows {
            wire::put_bytes(&mut bytes, row.group.as_bytes());
            wire::put_bytes(&mut bytes, row.asset.as_bytes());
            wire::put_u128(&mut bytes, row.debits);
            wire::put_u128(&mut bytes, row.credits);
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut totals = Self::default();
        let mut wire = wire::Wire(bytes);
        while !wire.0.is_empty() {
            let row = totals.row_of(wire.text()?.into(), wire.text()?.into());
            let (debits, credits) = (wire.u128()?, wire.u128()?);
            if let Some(row) = usize::try_from(row).ok().and_then(|row| totals.rows.get_mut(row)) {
                (row.debits, row.credits) = (debits, credits);
            }
        }
        Ok(totals)
    }
}

//! The byte form of a cell: its revision, then its content to the end.

use super::IndexError;
use crate::model::{AccountNo, Cell, CellKind};

/// The key of a cell: account, kind.
pub(super) fn key(account: AccountNo, kind: CellKind) -> [u8; 5] {
    let [a, b, c, d] = account.0.to_be_bytes();
    [a, b, c, d, kind.0]
}

/// The account and kind of a key.
pub(super) fn key_cell(key: &[u8]) -> Result<(AccountNo, CellKind), IndexError> {
    match *key {
        [a, b, c, d, kind] => Ok((AccountNo(u32::from_be_bytes([a, b, c, d])), CellKind(kind))),
        _ => Err(IndexError::damaged("a key is no cell")),
    }
}

pub(super) fn encode(cell: &Cell) -> Vec<u8> {
    [cell.revision.to_be_bytes().as_slice(), &cell.value].concat()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Cell, IndexError> {
    let (revision, value) =
        bytes.split_first_chunk().ok_or_else(|| IndexError::damaged("a cell has no revision"))?;
    Ok(Cell { revision: u64::from_be_bytes(*revision), value: value.into() })
}

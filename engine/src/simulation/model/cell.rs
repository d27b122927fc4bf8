//! Cells: each revision once, one after the other.

use super::Model;
use crate::model::{AccountNo, Cell, CellKind, CellWrite};

impl Model {
    /// How often a cell was written.
    pub(in crate::simulation) fn revision(&self, account: AccountNo, kind: CellKind) -> u64 {
        self.cells.get(&(account, kind)).map_or(0, |cell| cell.revision)
    }

    /// Whether a write was made from what is there.
    pub(super) fn is_next(&self, write: &CellWrite<AccountNo>) -> bool {
        u128::from(write.revision) == u128::from(self.revision(write.account, write.kind)) + 1
    }

    pub(super) fn write(&mut self, write: &CellWrite<AccountNo>) {
        assert!(self.is_next(write), "{write:?} is written out of order");
        let cell = Cell { revision: write.revision, value: write.value.as_ref().into() };
        self.cells.insert((write.account, write.kind), cell);
    }
}

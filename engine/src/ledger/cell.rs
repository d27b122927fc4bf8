use std::collections::BTreeMap;

use crate::{
    model::{AccountNo, Cell, CellKind, CellWrite},
    planted::{Bug, planted},
};

/// The cells of the accounts that live here.
///
/// An ordered map, so that iteration is the same in each run and a table of millions never stops its shard to grow.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells(BTreeMap<(AccountNo, CellKind), Cell>);

impl Cells {
    pub(super) fn get(&self, account: AccountNo, kind: CellKind) -> Option<&Cell> {
        self.0.get(&(account, kind))
    }

    pub(super) fn insert(&mut self, account: AccountNo, kind: CellKind, cell: Cell) {
        self.0.insert((account, kind), cell);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (AccountNo, CellKind, &Cell)> {
        self.0.iter().map(|(&(account, kind), cell)| (account, kind, cell))
    }

    /// Whether a write was made from the newest revision.
    pub(super) fn follows(&self, write: &CellWrite<AccountNo>) -> bool {
        if planted(Bug::RevisionNotChecked) {
            return true;
        }
        let newest = self.get(write.account, write.kind).map_or(0, |cell| cell.revision);
        newest.checked_add(1) == Some(write.revision)
    }

    /// # Panics
    /// The write does not follow the newest revision: the ledger is broken.
    pub(super) fn apply(&mut self, write: &CellWrite<AccountNo>) {
        assert!(self.follows(write), "a cell of account {} is written out of order", write.account.0);
        let cell = Cell { revision: write.revision, value: write.value.as_ref().into() };
        self.insert(write.account, write.kind, cell);
    }
}

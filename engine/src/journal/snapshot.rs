//! Snapshots: the state of the whole ledger at one position, written into the journal as records like all others.
//!
//! Owns what a part of a snapshot says, and what makes parts a snapshot. Never decides when one is written. Invariant: a
//! [`SnapshotMark`] stands for parts that all are there, in order, each of the same state.

use compact_str::CompactString;

use super::Checkpoint;
use crate::{
    ledger::{Account, Hold},
    model::{AccountNo, AccountOpening, Amount, Cell, CellKind, HoldId, Position, Timestamp, TransactionId},
};

/// One of the records that a snapshot is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// Which part of which snapshot.
    pub head: PartHead,
    /// The writer's time.
    pub decided_at: Timestamp,
    /// What it says. Empty where the index keeps the record: it has the state itself.
    pub content: SnapshotContent,
}

/// What a part says about its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartHead {
    /// The end of the group behind which the ledger had this state.
    pub as_of: Checkpoint,
    /// From 0.
    pub part: u32,
    /// Whether the snapshot ends here.
    pub last: bool,
    /// Entries of the snapshot up to and with this part.
    pub entries: u64,
}

/// The state of some accounts, holds, operations and cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotContent {
    /// Accounts, with what is used of their limits.
    pub accounts: Vec<SnapshotAccount>,
    /// Holds that live.
    pub holds: Vec<SnapshotHold>,
    /// Operations that were reversed, in part or whole.
    pub reversed: Vec<SnapshotReversed>,
    /// Turnover since the beginning.
    pub turnover: Vec<SnapshotTurnover>,
    /// The accounts' cells.
    pub cells: Vec<SnapshotCell>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotAccount {
    /// Its dense number.
    pub no: AccountNo,
    /// What the client asked for.
    pub opening: AccountOpening,
    /// The asset's scale.
    pub scale: u8,
    /// The record that opened it.
    pub opened: Position,
    /// That record's time.
    pub opened_at: Timestamp,
    /// The last record that changed it.
    pub changed: Position,
    /// Its state.
    pub account: Account,
}

/// A hold that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHold {
    /// Which hold.
    pub id: HoldId,
    /// Its state.
    pub hold: Hold,
    /// The record that placed it.
    pub placed: Position,
}

/// What was reversed of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotReversed {
    /// The original transaction.
    pub transaction: TransactionId,
    /// The index of its operation.
    pub operation: u8,
    /// All reversals together.
    pub total: Amount,
}

/// A row of the trial balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotTurnover {
    /// The first part of the accounts' addresses.
    pub group: CompactString,
    /// The asset's code.
    pub asset: CompactString,
    /// All debits.
    pub debits: u128,
    /// All credits.
    pub credits: u128,
}

/// A cell of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotCell {
    /// Whose cell.
    pub account: AccountNo,
    /// Which one.
    pub kind: CellKind,
    /// Its state.
    pub cell: Cell,
}

/// A snapshot whose parts are all in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMark {
    /// The state's place.
    pub as_of: Checkpoint,
    /// The position of the first part.
    pub first: Position,
    /// The position of the last part.
    pub last: Position,
    /// Accounts, holds, reversed operations, rows of turnover and cells in it.
    pub entries: u64,
}

impl SnapshotContent {
    /// How many entries there are.
    #[must_use]
    pub fn entries(&self) -> u64 {
        let Self { accounts, holds, reversed, turnover, cells } = self;
        let count = accounts.len() + holds.len() + reversed.len() + turnover.len() + cells.len();
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

/// Finds whole snapshots among the parts that come along.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotTracker {
    open: Option<(PartHead, Position)>,
}

impl SnapshotTracker {
    /// Takes the part at a position; gives the snapshot that it completes. A part that does not continue what was begun
    /// ends it: a process that died while it wrote one leaves such a beginning.
    pub fn take(&mut self, position: Position, head: PartHead) -> Option<SnapshotMark> {
        let first = match self.open.take() {
            _ if head.part == 0 => position,
            Some((before, first))
                if before.as_of == head.as_of
                    && before.part.checked_add(1) == Some(head.part)
                    && before.entries <= head.entries =>
            {
                first
            }
            Some(_) | None => return None,
        };
        if head.as_of.position >= first {
            return None;
        }
        if head.last {
            return Some(SnapshotMark { as_of: head.as_of, first, last: position, entries: head.entries });
        }
        self.open = Some((head, first));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_snapshots_count() {
        let part = |as_of: u64, part: u32, last: bool| PartHead {
            as_of: Checkpoint { position: Position(as_of), ..Checkpoint::default() },
            part,
            last,
            entries: u64::from(part) + 1,
        };
        let check = |parts: &[(u64, PartHead)], expected: &[(u64, u64)]| {
            let mut tracker = SnapshotTracker::default();
            let found = parts.iter().filter_map(|&(position, head)| tracker.take(Position(position), head));
            let found: Vec<_> = found.map(|mark| (mark.first.0, mark.last.0)).collect();
            assert_eq!(found, expected, "{parts:?}");
        };
        check(&[(9, part(8, 0, true))], &[(9, 9)]);
        check(&[(9, part(9, 0, true))], &[]);
        check(&[(9, part(8, 0, false)), (12, part(8, 1, true))], &[(9, 12)]);
        check(&[(12, part(8, 1, true))], &[]);
        check(&[(9, part(8, 0, false)), (10, part(7, 1, true))], &[]);
        check(&[(9, part(8, 0, false)), (12, part(8, 2, true)), (13, part(8, 1, true))], &[]);
        // A process died after the first part; the next one begins anew.
        check(&[(9, part(8, 0, false)), (12, part(8, 0, false)), (13, part(8, 1, true))], &[(12, 13)]);
    }
}

use super::TransactionId;

/// What a product verb journals with its money, in the same record: what was asked for, further ids, and cells. The
/// ledger's own callers have none.
///
/// A cell is a small document that belongs to an account, with a revision. A write names the revision that it was made
/// from; if that is not the newest one when the transaction is decided, nothing happens and nothing is journalled, so
/// that the verb reads again and tries again. With an alias it is the same: it may lead to one transaction only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment<Account> {
    /// What was asked for, in the verb's own form; opaque to the ledger.
    pub document: Box<[u8]>,
    /// Ids that lead to this transaction beside its own, for ever. A refused transaction takes none.
    pub aliases: Vec<TransactionId>,
    /// The cells that it writes, each once.
    pub cells: Vec<CellWrite<Account>>,
}

/// Which of an account's cells; the product gives the numbers their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKind(pub u8);

/// A new state of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellWrite<Account> {
    /// Whose cell.
    pub account: Account,
    /// Which one.
    pub kind: CellKind,
    /// The revision that this write makes: one more than the one that it was made from, from 1.
    pub revision: u64,
    /// The new content.
    pub value: Box<[u8]>,
}

/// A cell as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// How often it was written.
    pub revision: u64,
    /// Its content.
    pub value: std::sync::Arc<[u8]>,
}

impl<Account> Attachment<Account> {
    /// Most bytes of a document or a cell.
    pub const BYTES_MAX: usize = 16 * 1024;
    /// Most aliases.
    pub const ALIASES_MAX: usize = 4;
    /// Most cells.
    pub const CELLS_MAX: usize = 8;
}

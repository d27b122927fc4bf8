//! What reads answer: plain values, taken at one moment.
//!
//! Never holds a reference into the engine.

use std::sync::Arc;

use compact_str::CompactString;

pub use crate::index::{Direction, HistoryCursor, Point};
use crate::model::{
    AccountStatus, Address, Amount, Asset, Cell, Denial, Floor, HoldEnd, HoldId, Limit, Metadata, NormalSide,
    Position, PostedKind, Rejection, Timestamp, Transaction, TransactionId,
};

/// What came of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The transaction.
    pub id: TransactionId,
    /// Its record's position.
    pub position: Position,
    /// Its record's time.
    pub at: Timestamp,
    /// The stamp that governs its holds' expiry and its limits' windows.
    pub decided_at: Timestamp,
    /// `Ok` if it was posted.
    pub verdict: Result<(), Rejection>,
    /// Whether this answer repeats an earlier one.
    pub replayed: bool,
}

/// Why a transaction has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The id belongs to another body.
    #[error("the id was used with another body; {field} differs")]
    IdReused {
        /// JSON Pointer of the first field that differs.
        field: String,
    },
    /// Nothing was applied; try again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// An operation would move an account that product verbs alone move.
    #[error("operation {operation} would move an account of the wallet")]
    Managed {
        /// The index of the operation.
        operation: u8,
    },
    /// The caller may not do an operation.
    #[error("operation {operation}: {denial}")]
    Denied {
        /// The index of the operation.
        operation: u8,
        /// Why.
        denial: Denial,
    },
    /// A cell or an alias of the attachment is another transaction's by now: read again, and make it anew.
    #[error("something else came first")]
    Conflict,
    /// The engine stopped, or the index fell behind, before the outcome was known; the same id again settles it.
    #[error("the outcome is not known yet; the same id again settles it")]
    Unknown,
}

/// A temporary refusal: nothing was applied, the id stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// A queue is full.
    #[error("{0} is full")]
    Overloaded(&'static str),
    /// The file system is nearly full.
    #[error("the storage is nearly full; writes are refused, reads go on")]
    StorageLow,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
    /// The caller's deadline had passed before the command was given to the journal; nothing happened.
    #[error("the deadline passed before the command was given to the journal")]
    Late,
}

/// Why an account could not be opened or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The address belongs to an account that was opened with another body.
    #[error("the account exists and was opened with another body; {field} differs")]
    Exists {
        /// JSON Pointer of the first field that differs.
        field: String,
    },
    /// No such asset.
    #[error("no such asset")]
    AssetUnknown,
    /// The address's first part is a new one, and there are as many as there may be.
    #[error("the first part of the address is a new one, and there are as many as there may be")]
    GroupsFull,
    /// No such account.
    #[error("no such account")]
    NotFound,
    /// To close an account, its balance must be zero and no hold may name it.
    #[error("the account has a balance or holds")]
    NotEmpty,
    /// A closed account stays as it is.
    #[error("the account is closed for ever")]
    Closed,
    /// The balance breaks the new floor.
    #[error("the available balance is below the floor")]
    BelowFloor,
    /// The balance breaks the new ceiling.
    #[error("the balance is above the ceiling")]
    AboveCeiling,
    /// The caller may not do this.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// Nothing was applied; try again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// An account at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Its name.
    pub address: Address,
    /// What it counts.
    pub asset: Asset,
    /// The side on which it grows.
    pub normal: NormalSide,
    /// Whether it takes part.
    pub status: AccountStatus,
    /// Minor units, in its normal sense.
    pub posted: i128,
    /// Minor units set aside by holds.
    pub held: i128,
    /// `posted` − `held`.
    pub available: i128,
    /// Least available.
    pub floor: Floor,
    /// Most posted.
    pub ceiling: Option<i128>,
    /// Limits and what is used in the window of now.
    pub limits: Vec<LimitView>,
    /// Its last change.
    pub position: Position,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The client's own data.
    pub metadata: Metadata,
    /// Whether wallet verbs alone move it.
    pub managed: bool,
}

/// Several accounts of one shard at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// In the order asked for; `None` is not open.
    pub accounts: Vec<Option<AccountView>>,
    /// Cells of the first account in the order asked for.
    pub cells: Vec<Option<Cell>>,
}

/// A limit and what is used of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitView {
    /// The limit.
    pub limit: Limit,
    /// Minor units used in the window.
    pub used_amount: u128,
    /// Operations counted in the window.
    pub used_count: u64,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<C>,
}

/// A transaction, or a refusal, that is in the journal.
#[derive(Clone, Debug)]
pub struct TransactionView {
    /// Its place.
    pub position: Position,
    /// Its time.
    pub at: Timestamp,
    /// The stamp that governs its holds' expiry and its limits' windows.
    pub decided_at: Timestamp,
    /// What was asked for; of an attachment without the cells.
    pub request: Transaction,
    /// What it did, if posted.
    pub verdict: Result<Vec<PostedOperationView>, Rejection>,
}

/// One operation of a posted transaction, with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedOperationView {
    /// What it did, by account number.
    pub kind: PostedKind,
    /// Overrides the transaction's code.
    pub code: Option<CompactString>,
    /// The account on the debit side.
    pub debit: Address,
    /// The account on the credit side.
    pub credit: Address,
    /// The accounts' asset.
    pub asset: Asset,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldView {
    /// Its id.
    pub id: HoldId,
    /// `None` while it is held.
    pub ended: Option<HoldEnd>,
    /// What was set aside.
    pub amount: Amount,
    /// What a capture moved.
    pub captured: Amount,
    /// When it runs out.
    pub expires_at: Timestamp,
    /// The account that a capture debits.
    pub debit: Address,
    /// The account that a capture credits.
    pub credit: Address,
    /// The accounts' asset.
    pub asset: Asset,
}

/// Which part of an account's history is asked for. `from` inclusive, `to` exclusive.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistoryQuery {
    /// The earliest time.
    pub from: Option<Timestamp>,
    /// The time before which it ends.
    pub to: Option<Timestamp>,
    /// Continue after this row.
    pub cursor: Option<HistoryCursor>,
    /// Most rows.
    pub limit: usize,
}

/// One posted change of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The record.
    pub position: Position,
    /// Its time.
    pub at: Timestamp,
    /// The transaction.
    pub transaction: TransactionId,
    /// The operation in it.
    pub operation: u8,
    /// `transfer`, `capture` or `reverse`.
    pub kind: &'static str,
    /// The side of this account.
    pub direction: Direction,
    /// How much.
    pub amount: Amount,
    /// The posted balance after it.
    pub balance: i128,
    /// The account on the other side.
    pub counterparty: Address,
    /// The operation's code, or else the transaction's.
    pub code: Option<CompactString>,
}

/// A balance at a point: that of the account's last change at or before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceView {
    /// Minor units, in the account's normal sense.
    pub posted: i128,
    /// The account's asset.
    pub asset: Asset,
    /// The last change's place (the opening's, if there was none).
    pub position: Position,
    /// The last change's time.
    pub at: Timestamp,
}

/// An account's balance as it was at a position, and whether it takes part now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastBalance {
    /// Its name.
    pub address: Address,
    /// Minor units at the position, in the account's normal sense.
    pub posted: i128,
    /// Now.
    pub status: AccountStatus,
    /// Whether wallet verbs alone move it.
    pub managed: bool,
}

/// Turnover of all accounts at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialBalance {
    /// Everything up to here is in it, nothing after.
    pub position: Position,
    /// That record's time.
    pub at: Timestamp,
    /// Per asset.
    pub assets: Vec<AssetTotals>,
    /// Per first address part and asset.
    pub groups: Vec<GroupTotals>,
}

/// An asset's turnover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetTotals {
    /// The asset.
    pub asset: Asset,
    /// All debits, in minor units.
    pub debits: u128,
    /// All credits, in minor units.
    pub credits: u128,
}

/// A group's turnover in an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTotals {
    /// The first address part.
    pub prefix: CompactString,
    /// The asset.
    pub asset: Asset,
    /// All debits, in minor units.
    pub debits: u128,
    /// All credits, in minor units.
    pub credits: u128,
}

/// A journal record as an event.
#[derive(Clone, Debug)]
pub struct EventView {
    /// Its place.
    pub position: Position,
    /// Its time.
    pub at: Timestamp,
    /// What it says.
    pub event: Event,
}

/// What an event says.
#[derive(Clone, Debug)]
pub enum Event {
    /// An account was opened; as it was then.
    AccountOpened(Arc<AccountView>),
    /// An account was changed; as it was right after the change.
    AccountChanged(Arc<AccountView>),
    /// A transaction was posted.
    TransactionPosted(TransactionView),
    /// A transaction was refused.
    TransactionRefused(TransactionView),
    /// A hold ran out.
    HoldExpired(HoldView),
    /// A product verb wrote down something that moves no money; it is nobody else's to read.
    WalletChanged,
    /// A part of the ledger's state was written into the journal; nothing changed.
    Snapshot,
}

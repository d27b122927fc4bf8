//! What a journal record says; `codec.rs` has its bytes.

use super::SnapshotPart;
use crate::model::{
    AccountChange, AccountNo, AccountOpening, Amount, Attachment, HoldId, Metadata, Position,
    PostedOperation, Rejection, Timestamp, Transaction, TransactionId,
};
use compact_str::CompactString;
use smallvec::SmallVec;

/// A decided fact: one journal record, one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An account came to be.
    AccountOpened {
        /// Its dense number.
        no: AccountNo,
        /// What the client asked for.
        opening: AccountOpening,
        /// The asset's scale at the time.
        scale: u8,
        /// The command's stamp in its shard.
        decided_at: Timestamp,
    },
    /// An account's rules changed.
    AccountChanged {
        /// Which account.
        no: AccountNo,
        /// What changed.
        change: AccountChange,
        /// The command's stamp in its shard.
        decided_at: Timestamp,
    },
    /// A transaction took effect.
    Posted(PostedTransaction),
    /// A transaction was refused, finally.
    Refused(RefusedTransaction),
    /// A hold ran out; what it held is available again.
    HoldExpired {
        /// Which hold.
        hold: HoldId,
        /// The account that a capture would have debited.
        debit: AccountNo,
        /// The account that a capture would have credited.
        credit: AccountNo,
        /// What was held.
        held: Amount,
        /// The shard's stamp.
        decided_at: Timestamp,
    },
    /// A part of the whole ledger's state at one position. It changes nothing.
    Snapshot(SnapshotPart),
}

/// A transaction that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedTransaction {
    /// The client's id.
    pub id: TransactionId,
    /// The command's stamp in its shard.
    pub decided_at: Timestamp,
    /// What each operation did, in order.
    pub operations: SmallVec<[PostedOperation; 2]>,
    /// As in the request.
    pub code: Option<CompactString>,
    /// As in the request.
    pub reference: Option<CompactString>,
    /// As in the request.
    pub metadata: Metadata,
    /// As in the request, its accounts resolved.
    pub attachment: Option<Box<Attachment<AccountNo>>>,
}

/// A transaction that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedTransaction {
    /// The whole request, so that a copy can be compared; of an attachment the document only.
    pub transaction: Transaction,
    /// Why.
    pub rejection: Rejection,
    /// The position up to which the deciding shard had other shards' effects.
    pub seen: Position,
    /// The command's stamp in its shard.
    pub decided_at: Timestamp,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed record")]
pub struct RecordError;

impl PostedTransaction {
    /// The code of an operation: its own, or else the transaction's.
    #[must_use]
    pub fn code_of(&self, operation: usize) -> Option<&CompactString> {
        self.operations.get(operation).and_then(|operation| operation.code.as_ref()).or(self.code.as_ref())
    }
}

impl Record {
    /// The command's stamp in its shard; governs expiry and windows.
    #[must_use]
    pub const fn decided_at(&self) -> Timestamp {
        match self {
            Self::AccountOpened { decided_at, .. }
            | Self::AccountChanged { decided_at, .. }
            | Self::HoldExpired { decided_at, .. } => *decided_at,
            Self::Posted(posted) => posted.decided_at,
            Self::Refused(refused) => refused.decided_at,
            Self::Snapshot(part) => part.decided_at,
        }
    }
}

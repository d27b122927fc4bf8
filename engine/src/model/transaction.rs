use std::{collections::BTreeMap, fmt};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    AccountNo, Address, Amount, Attachment, CellWrite, Position, Rejection, RequestedAmount, Timestamp,
};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u128);

        /// As a hyphenated lower-case UUID.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                uuid::Uuid::from_u128(self.0).hyphenated().fmt(f)
            }
        }
    };
}

id! {
    /// A transaction's client-chosen UUID; it takes effect once, for ever.
    TransactionId
}
id! {
    /// A hold's client-chosen UUID, unique among holds for ever.
    HoldId
}

/// A client's own data on a transaction or an account: at most 16 pairs, keys 64, values 256 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "nearly all are empty, and every transaction carries one")]
pub struct Metadata(Option<Box<BTreeMap<CompactString, CompactString>>>);

/// What is wrong with metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Too many pairs.
    #[error("metadata has more than {} pairs", Metadata::PAIRS_MAX)]
    Pairs,
    /// Too long a key, or an empty one.
    #[error("a metadata key is 1 to {} bytes", Metadata::KEY_BYTES_MAX)]
    Key(String),
    /// Too long a value.
    #[error("a metadata value is at most {} bytes", Metadata::VALUE_BYTES_MAX)]
    Value(String),
}

impl Metadata {
    /// Most pairs.
    pub const PAIRS_MAX: usize = 16;
    /// Most bytes of a key.
    pub const KEY_BYTES_MAX: usize = 64;
    /// Most bytes of a value.
    pub const VALUE_BYTES_MAX: usize = 256;

    /// Takes pairs.
    ///
    /// # Errors
    /// Too many pairs, too long a key or value.
    pub fn new(pairs: BTreeMap<CompactString, CompactString>) -> Result<Self, MetadataError> {
        if pairs.len() > Self::PAIRS_MAX {
            return Err(MetadataError::Pairs);
        }
        for (key, value) in &pairs {
            if key.is_empty() || key.len() > Self::KEY_BYTES_MAX {
                return Err(MetadataError::Key(key.to_string()));
            }
            if value.len() > Self::VALUE_BYTES_MAX {
                return Err(MetadataError::Value(key.to_string()));
            }
        }
        Ok(Self((!pairs.is_empty()).then(|| Box::new(pairs))))
    }

    /// The pairs in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&CompactString, &CompactString)> {
        self.0.iter().flat_map(|pairs| pairs.iter())
    }

    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |pairs| pairs.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn get(&self, key: &str) -> Option<&CompactString> {
        self.0.as_ref().and_then(|pairs| pairs.get(key))
    }
}

/// A client's request: operations that happen together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The idempotency key.
    pub id: TransactionId,
    /// 1 to [`Transaction::OPERATIONS_MAX`], in order of effect; none only beside an attachment.
    pub operations: SmallVec<[Operation; 2]>,
    /// The kind of business, for limits and statements; an operation's own code overrides it.
    pub code: Option<CompactString>,
    /// The client's reference.
    pub reference: Option<CompactString>,
    /// The client's own data.
    pub metadata: Metadata,
    /// What a product verb puts beside it; not part of the body that copies are compared by.
    pub attachment: Option<Box<Attachment<Address>>>,
}

/// One operation of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it does.
    pub kind: OperationKind,
    /// Overrides the transaction's code.
    pub code: Option<CompactString>,
}

/// What an operation asks for, with addresses and amounts as the client wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Moves an amount.
    Transfer {
        /// The account that is debited.
        debit: Address,
        /// The account that is credited.
        credit: Address,
        /// How much.
        amount: RequestedAmount,
    },
    /// Sets an amount aside.
    Hold {
        /// The hold's own id.
        id: HoldId,
        /// The account that a capture debits.
        debit: Address,
        /// The account that a capture credits.
        credit: Address,
        /// How much.
        amount: RequestedAmount,
        /// Seconds until it runs out, 1 to [`Transaction::EXPIRES_IN_S_MAX`].
        expires_in: u32,
    },
    /// Moves what a hold has set aside, and releases the rest.
    Capture {
        /// Which hold.
        hold: HoldId,
        /// How much; all of it if `None`.
        amount: Option<RequestedAmount>,
    },
    /// Gives back what a hold has set aside.
    Release {
        /// Which hold.
        hold: HoldId,
    },
    /// Moves a posted transfer or capture back.
    Reverse {
        /// The original transaction.
        transaction: TransactionId,
        /// The index of its operation.
        operation: u8,
        /// How much; what is left if `None`.
        amount: Option<RequestedAmount>,
    },
}

impl OperationKind {
    /// The contract's name of the type.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Transfer { .. } => "transfer",
            Self::Hold { .. } => "hold",
            Self::Capture { .. } => "capture",
            Self::Release { .. } => "release",
            Self::Reverse { .. } => "reverse",
        }
    }
}

impl Transaction {
    /// Most operations.
    pub const OPERATIONS_MAX: usize = 64;
    /// Most seconds of a hold: 30 days.
    pub const EXPIRES_IN_S_MAX: u32 = 2_592_000;
    /// Most bytes of a code.
    pub const CODE_BYTES_MAX: usize = 64;
    /// Most bytes of a reference.
    pub const REFERENCE_BYTES_MAX: usize = 256;

    /// The code of an operation: its own, or else the transaction's.
    #[must_use]
    pub fn code_of(&self, operation: usize) -> Option<&CompactString> {
        self.operations.get(operation).and_then(|operation| operation.code.as_ref()).or(self.code.as_ref())
    }

    /// JSON Pointer of the first field in which another body of the same id differs; `None` if they are the same.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        for (index, (mine, theirs)) in self.operations.iter().zip(&other.operations).enumerate() {
            if let Some(field) = mine.difference(theirs) {
                return Some(format!("/operations/{index}/{field}"));
            }
        }
        if self.operations.len() != other.operations.len() {
            return Some(format!("/operations/{}", self.operations.len().min(other.operations.len())));
        }
        if self.code != other.code {
            return Some("/code".into());
        }
        if self.reference != other.reference {
            return Some("/reference".into());
        }
        let keys = self.metadata.iter().chain(other.metadata.iter()).map(|(key, _)| key);
        let mut differing = keys.filter(|key| self.metadata.get(key) != other.metadata.get(key));
        differing.next().map(|key| format!("/metadata/{}", key.replace('~', "~0").replace('/', "~1")))
    }
}

impl Operation {
    fn difference(&self, other: &Self) -> Option<&'static str> {
        use OperationKind as Kind;
        let differing =
            |pairs: &[(bool, &'static str)]| pairs.iter().find(|(same, _)| !same).map(|&(_, name)| name);
        let kind = match (&self.kind, &other.kind) {
            (
                Kind::Transfer { debit, credit, amount },
                Kind::Transfer { debit: debit2, credit: credit2, amount: amount2 },
            ) => differing(&[
                (debit == debit2, "debit"),
                (credit == credit2, "credit"),
                (amount == amount2, "amount"),
            ]),
            (
                Kind::Hold { id, debit, credit, amount, expires_in },
                Kind::Hold {
                    id: id2,
                    debit: debit2,
                    credit: credit2,
                    amount: amount2,
                    expires_in: expires_in2,
                },
            ) => differing(&[
                (id == id2, "id"),
                (debit == debit2, "debit"),
                (credit == credit2, "credit"),
                (amount == amount2, "amount"),
                (expires_in == expires_in2, "expires_in"),
            ]),
            (Kind::Capture { hold, amount }, Kind::Capture { hold: hold2, amount: amount2 }) => {
                differing(&[(hold == hold2, "hold"), (amount == amount2, "amount")])
            }
            (Kind::Release { hold }, Kind::Release { hold: hold2 }) => differing(&[(hold == hold2, "hold")]),
            (
                Kind::Reverse { transaction, operation, amount },
                Kind::Reverse { transaction: transaction2, operation: operation2, amount: amount2 },
            ) => differing(&[
                (transaction == transaction2, "transaction"),
                (operation == operation2, "operation"),
                (amount == amount2, "amount"),
            ]),
            (
                Kind::Transfer { .. }
                | Kind::Hold { .. }
                | Kind::Capture { .. }
                | Kind::Release { .. }
                | Kind::Reverse { .. },
                _,
            ) => Some("type"),
        };
        kind.or((self.code != other.code).then_some("code"))
    }
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldEnd {
    /// Moved, in part or whole.
    Captured,
    /// Given back by a client.
    Released,
    /// Given back by time.
    Expired,
}

/// A request whose names are resolved and whose first pass of rules is done; what a shard decides on.
#[derive(Clone, Debug)]
pub struct Command {
    /// The request.
    pub transaction: Transaction,
    /// Its operations, resolved; empty if the first pass refused it.
    pub operations: SmallVec<[ResolvedOperation; 2]>,
    /// The cells that its attachment writes, resolved.
    pub cells: Vec<CellWrite<AccountNo>>,
    /// The first pass's refusal.
    pub refused: Option<Rejection>,
}

/// The accounts of a hold and, if the index knew it at the time of asking, how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldReference {
    /// The hold.
    pub id: HoldId,
    /// The account that a capture debits; its shard owns the hold.
    pub debit: AccountNo,
    /// The account that a capture credits.
    pub credit: AccountNo,
    /// How it ended, if it did; final.
    pub ended: Option<HoldEnd>,
}

/// An operation with dense account numbers and exact amounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedOperation {
    /// See [`OperationKind::Transfer`].
    Transfer {
        /// The account that is debited.
        debit: AccountNo,
        /// The account that is credited.
        credit: AccountNo,
        /// How much.
        amount: Amount,
    },
    /// See [`OperationKind::Hold`].
    Hold {
        /// The hold's own id.
        id: HoldId,
        /// The account that a capture debits.
        debit: AccountNo,
        /// The account that a capture credits.
        credit: AccountNo,
        /// How much.
        amount: Amount,
        /// Seconds until it runs out.
        expires_in: u32,
    },
    /// See [`OperationKind::Capture`].
    Capture {
        /// Which hold.
        hold: HoldReference,
        /// How much; all of it if `None`.
        amount: Option<Amount>,
    },
    /// See [`OperationKind::Release`].
    Release {
        /// Which hold.
        hold: HoldReference,
    },
    /// See [`OperationKind::Reverse`].
    Reverse {
        /// The original transaction.
        transaction: TransactionId,
        /// The index of its operation.
        operation: u8,
        /// The account that the reversal debits: the original's credit.
        debit: AccountNo,
        /// The account that the reversal credits: the original's debit; its shard owns the reversed total.
        credit: AccountNo,
        /// How much; what is left if `None`.
        amount: Option<Amount>,
        /// The original's amount.
        original: Amount,
        /// When the original was decided, for its limits' windows.
        original_at: Timestamp,
        /// The original's code, for its limits.
        original_code: Option<CompactString>,
        /// What was reversed as of `reversed_as_of`, as the index had it.
        reversed: Amount,
        /// The index's watermark at that time.
        reversed_as_of: Position,
    },
}

/// One operation of a posted transaction: all that [`crate::ledger::Ledger::apply`] needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedOperation {
    /// What it did.
    pub kind: PostedKind,
    /// The operation's own code.
    pub code: Option<CompactString>,
}

/// What an operation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostedKind {
    /// Moved an amount.
    Transfer {
        /// The account that was debited.
        debit: AccountNo,
        /// The account that was credited.
        credit: AccountNo,
        /// How much.
        amount: Amount,
    },
    /// Set an amount aside; it runs out `expires_in` seconds after the record's `decided_at`.
    Hold {
        /// The hold's own id.
        id: HoldId,
        /// The account that a capture debits.
        debit: AccountNo,
        /// The account that a capture credits.
        credit: AccountNo,
        /// How much.
        amount: Amount,
        /// Seconds until it runs out.
        expires_in: u32,
    },
    /// Moved `amount` of what was `held` and released the rest.
    Capture {
        /// Which hold.
        hold: HoldId,
        /// The account that was debited.
        debit: AccountNo,
        /// The account that was credited.
        credit: AccountNo,
        /// What was held.
        held: Amount,
        /// What moved.
        amount: Amount,
        /// Whether the request named the amount.
        explicit: bool,
    },
    /// Gave back what was `held`.
    Release {
        /// Which hold.
        hold: HoldId,
        /// The account that a capture would have debited.
        debit: AccountNo,
        /// The account that a capture would have credited.
        credit: AccountNo,
        /// What was held.
        held: Amount,
    },
    /// Moved an amount back.
    Reverse {
        /// The original transaction.
        transaction: TransactionId,
        /// The index of its operation.
        operation: u8,
        /// The account that was debited.
        debit: AccountNo,
        /// The account that was credited.
        credit: AccountNo,
        /// How much.
        amount: Amount,
        /// Whether the request named the amount.
        explicit: bool,
        /// All reversals of the original operation together, this one included.
        total: Amount,
        /// When the original was decided.
        original_at: Timestamp,
        /// The original's code.
        original_code: Option<CompactString>,
    },
}

impl PostedKind {
    /// The contract's name of the type.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Transfer { .. } => "transfer",
            Self::Hold { .. } => "hold",
            Self::Capture { .. } => "capture",
            Self::Release { .. } => "release",
            Self::Reverse { .. } => "reverse",
        }
    }

    /// The account on the debit side and the one on the credit side.
    #[must_use]
    pub const fn accounts(&self) -> (AccountNo, AccountNo) {
        match *self {
            Self::Transfer { debit, credit, .. }
            | Self::Hold { debit, credit, .. }
            | Self::Capture { debit, credit, .. }
            | Self::Release { debit, credit, .. }
            | Self::Reverse { debit, credit, .. } => (debit, credit),
        }
    }

    /// What it moved between the two accounts' posted balances; `None` if it moved nothing.
    #[must_use]
    pub const fn moved(&self) -> Option<Amount> {
        match *self {
            Self::Transfer { amount, .. } | Self::Capture { amount, .. } | Self::Reverse { amount, .. } => {
                Some(amount)
            }
            Self::Hold { .. } | Self::Release { .. } => None,
        }
    }
}

impl ResolvedOperation {
    /// The account on the debit side and the one on the credit side.
    #[must_use]
    pub const fn accounts(&self) -> (AccountNo, AccountNo) {
        match *self {
            Self::Transfer { debit, credit, .. }
            | Self::Hold { debit, credit, .. }
            | Self::Reverse { debit, credit, .. } => (debit, credit),
            Self::Capture { hold, .. } | Self::Release { hold } => (hold.debit, hold.credit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(amount: &str) -> Transaction {
        let address = |text| Address::parse(text).unwrap();
        Transaction {
            id: TransactionId(7),
            operations: SmallVec::from_elem(
                Operation {
                    kind: OperationKind::Transfer {
                        debit: address("a:1"),
                        credit: address("b:1"),
                        amount: RequestedAmount::parse(amount),
                    },
                    code: None,
                },
                1,
            ),
            code: None,
            reference: None,
            metadata: Metadata::default(),
            attachment: None,
        }
    }

    #[test]
    fn names_the_differing_field() {
        let check = |change: fn(&mut Transaction), expected: Option<&str>| {
            let mut other = transfer("1.0");
            change(&mut other);
            assert_eq!(transfer("1.00").difference(&other).as_deref(), expected);
        };
        check(|_| (), None);
        check(|other| *other = transfer("2"), Some("/operations/0/amount"));
        check(|other| other.operations.push(transfer("1").operations.remove(0)), Some("/operations/1"));
        check(|other| other.code = Some("pay".into()), Some("/code"));
        check(|other| other.operations[0].code = Some("pay".into()), Some("/operations/0/code"));
        check(
            |other| other.operations[0].kind = OperationKind::Release { hold: HoldId(1) },
            Some("/operations/0/type"),
        );
        check(
            |other| other.metadata = Metadata::new(BTreeMap::from([("a/b".into(), "c".into())])).unwrap(),
            Some("/metadata/a~1b"),
        );
    }
}

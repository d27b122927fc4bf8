//! The ledger's vocabulary: values that cross every boundary, with no behaviour beyond their own validity.
//!
//! Owns parsing and formatting of addresses and amounts. Never does I/O and never reads a clock.

mod account;
mod address;
mod amount;
mod asset;
mod attachment;
mod caller;
mod lane;
mod rejection;
mod time;
mod transaction;

pub use account::{
    AccountChange, AccountNo, AccountOpening, AccountStatus, Floor, Limit, LimitWindow, NormalSide, Patch,
};
pub use address::{Address, AddressError};
pub use amount::{Amount, RequestedAmount, format_units, parse_signed_units};
pub use asset::{Asset, AssetError, AssetNo, Assets};
pub use attachment::{Attachment, Cell, CellKind, CellWrite};
pub use caller::{AddressPrefix, Caller, Denial, Scope, Scopes};
pub use lane::Lane;
pub use rejection::{Rejection, RejectionCode};
pub use time::{Position, Timestamp};
pub use transaction::{
    Command, HoldEnd, HoldId, HoldReference, Metadata, MetadataError, Operation, OperationKind, PostedKind,
    PostedOperation, ResolvedOperation, Transaction, TransactionId,
};

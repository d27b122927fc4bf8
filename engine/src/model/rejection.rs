use std::fmt;

/// Why a transaction was refused, finally. Declared in the order in which the rules are checked; the order is also
/// that of the documentation and of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RejectionCode {
    /// Zero, signed, more decimals than the asset's, above `u64`, or no number.
    AmountInvalid = 1,
    /// The transaction to reverse does not exist, was refused, or has no transfer or capture at that operation.
    TransactionNotFound = 2,
    /// The hold was never placed.
    HoldNotFound = 3,
    /// The hold's id is taken.
    HoldExists = 4,
    /// No such account.
    AccountNotFound = 5,
    /// The two accounts hold different assets.
    AssetMismatch = 6,
    /// Debit and credit are one account.
    SameAccount = 7,
    /// The account is closed for ever.
    AccountClosed = 8,
    /// The account is frozen.
    AccountFrozen = 9,
    /// The hold was captured before.
    HoldCaptured = 10,
    /// The hold was released before.
    HoldReleased = 11,
    /// The hold ran out.
    HoldExpired = 12,
    /// More than was held.
    CaptureExceedsHold = 13,
    /// All reversals together would exceed the original.
    ReversalExceedsOriginal = 14,
    /// A spending limit of the debit account.
    LimitExceeded = 15,
    /// The account's floor.
    InsufficientFunds = 16,
    /// The account's ceiling.
    CeilingExceeded = 17,
    /// A total would leave its range.
    Overflow = 18,
}

impl RejectionCode {
    /// All codes in the order in which they are checked.
    pub const ALL: [Self; 18] = [
        Self::AmountInvalid,
        Self::TransactionNotFound,
        Self::HoldNotFound,
        Self::HoldExists,
        Self::AccountNotFound,
        Self::AssetMismatch,
        Self::SameAccount,
        Self::AccountClosed,
        Self::AccountFrozen,
        Self::HoldCaptured,
        Self::HoldReleased,
        Self::HoldExpired,
        Self::CaptureExceedsHold,
        Self::ReversalExceedsOriginal,
        Self::LimitExceeded,
        Self::InsufficientFunds,
        Self::CeilingExceeded,
        Self::Overflow,
    ];

    /// The stable name of the HTTP contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AmountInvalid => "amount_invalid",
            Self::TransactionNotFound => "transaction_not_found",
            Self::HoldNotFound => "hold_not_found",
            Self::HoldExists => "hold_exists",
            Self::AccountNotFound => "account_not_found",
            Self::AssetMismatch => "asset_mismatch",
            Self::SameAccount => "same_account",
            Self::AccountClosed => "account_closed",
            Self::AccountFrozen => "account_frozen",
            Self::HoldCaptured => "hold_captured",
            Self::HoldReleased => "hold_released",
            Self::HoldExpired => "hold_expired",
            Self::CaptureExceedsHold => "capture_exceeds_hold",
            Self::ReversalExceedsOriginal => "reversal_exceeds_original",
            Self::LimitExceeded => "limit_exceeded",
            Self::InsufficientFunds => "insufficient_funds",
            Self::CeilingExceeded => "ceiling_exceeded",
            Self::Overflow => "overflow",
        }
    }

    /// The code behind a journalled number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&code| code as u8 == number)
    }
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A final refusal: of the lowest operation that has one, the code that is checked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// Why.
    pub code: RejectionCode,
    /// Index of the operation, from 0.
    pub operation: u8,
}

//! Why a wallet verb is refused.
//!
//! Owns the codes; the HTTP side gives each its status. Never decides.

use crate::{
    model::{Amount, Denial, Position, RejectionCode},
    view::{AccountError, SubmitError, Unavailable},
};

/// A stable code of the wallet's contract, beside the ledger's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WalletCode {
    /// A rule of the ledger: `insufficient_funds`, `limit_exceeded`, `account_frozen` and so on.
    Ledger(RejectionCode),
    /// No such wallet, payment, recharge, merchant, promotion, device.
    NotFound,
    /// The address or id belongs to something that was opened otherwise.
    AccountExists,
    /// A wallet with money can't be closed.
    AccountNotEmpty,
    /// Not six digits, or a trivial row of them.
    PasswordInvalid,
    /// The password is wrong.
    PasswordWrong,
    /// Too many wrong passwords.
    PasswordLocked,
    /// The wallet's class may not do this.
    ClassNotAllowed,
    /// The payment needs an authorisation.
    AuthRequired,
    /// The authorisation does not fit the payment, or is used up.
    AuthInvalid,
    /// The channel's signature is missing, wrong or too old.
    SignatureInvalid,
    /// A category of goods that balance does not pay.
    CategoryNotPayable,
    /// The merchant does not take balance.
    MerchantNotEnabled,
    /// The promotion's budget, or the payer's share of it, is spent.
    PromotionExhausted,
    /// The promotion is not for this payment or payer.
    PromotionNotApplicable,
    /// The payment is not waiting for its channel any more.
    PaymentNotCancellable,
    /// More than what is left of the payment, or of its item.
    RefundExceedsPaid,
    /// The payment is too old.
    RefundWindowClosed,
    /// The payment has as many refunds as it may have.
    RefundCountExceeded,
    /// The day is not over yet.
    DayNotOver,
}

impl WalletCode {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ledger(code) => code.as_str(),
            Self::NotFound => "not_found",
            Self::AccountExists => "account_exists",
            Self::AccountNotEmpty => "account_not_empty",
            Self::PasswordInvalid => "password_invalid",
            Self::PasswordWrong => "password_wrong",
            Self::PasswordLocked => "password_locked",
            Self::ClassNotAllowed => "class_not_allowed",
            Self::AuthRequired => "auth_required",
            Self::AuthInvalid => "auth_invalid",
            Self::SignatureInvalid => "signature_invalid",
            Self::CategoryNotPayable => "category_not_payable",
            Self::MerchantNotEnabled => "merchant_not_enabled",
            Self::PromotionExhausted => "promotion_exhausted",
            Self::PromotionNotApplicable => "promotion_not_applicable",
            Self::PaymentNotCancellable => "payment_not_cancellable",
            Self::RefundExceedsPaid => "refund_exceeds_paid",
            Self::RefundWindowClosed => "refund_window_closed",
            Self::RefundCountExceeded => "refund_count_exceeded",
            Self::DayNotOver => "day_not_over",
        }
    }

    /// A line for people, the same for each refusal of this code.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ledger(_) => "A rule of the ledger",
            Self::NotFound => "Not found",
            Self::AccountExists => "It was opened with another body",
            Self::AccountNotEmpty => "The wallet has a balance, wealth or money set aside",
            Self::PasswordInvalid => "A payment password is six digits that are not trivial",
            Self::PasswordWrong => "The payment password is wrong",
            Self::PasswordLocked => "The payment password is locked",
            Self::ClassNotAllowed => "The wallet's class may not do this",
            Self::AuthRequired => "An authorisation is needed",
            Self::AuthInvalid => "The authorisation is not valid for this",
            Self::SignatureInvalid => "The signature is not valid",
            Self::CategoryNotPayable => "Balance does not pay this category",
            Self::MerchantNotEnabled => "The merchant does not take balance",
            Self::PromotionExhausted => "The promotion's budget, or the payer's share of it, is spent",
            Self::PromotionNotApplicable => "The promotion is not for this",
            Self::PaymentNotCancellable => "The payment can't be cancelled any more",
            Self::RefundExceedsPaid => "The refund exceeds what is left of the payment",
            Self::RefundWindowClosed => "The payment is too old for a refund",
            Self::RefundCountExceeded => "The payment has had all its refunds",
            Self::DayNotOver => "The day is not over yet",
        }
    }
}

/// A refusal and what the caller may want to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: WalletCode,
    /// What is to be said of this case, beside the code's title.
    pub detail: Option<&'static str>,
    /// JSON Pointer of the field that is to blame, where there is one.
    pub field: Option<String>,
    /// Wrong passwords that are left before the lock.
    pub attempts_left: Option<u32>,
    /// Seconds until another try has a chance.
    pub retry_after_s: Option<u64>,
    /// The journal's record of the refusal, if it is final.
    pub position: Option<Position>,
    /// Whether this answer repeats an earlier one.
    pub replayed: bool,
}

/// Why a verb did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// The id belongs to another body.
    #[error("the id was used with another body; {field} differs")]
    IdReused {
        /// JSON Pointer of the first field that differs.
        field: String,
    },
    /// A rule.
    #[error("{}", .0.detail.unwrap_or(.0.code.title()))]
    Refused(Box<Refusal>),
    /// The caller may not do this; nothing was applied.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// Nothing was applied; try again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The engine stopped before the outcome was known; the same id again settles it.
    #[error("the engine stopped before the outcome was known; the same id again settles it")]
    Unknown,
}

impl WalletError {
    /// A refusal of which there is no more to say.
    #[must_use]
    pub fn refused(code: WalletCode) -> Self {
        Self::Refused(Box::new(Refusal::new(code)))
    }

    /// A refusal that its code's title does not tell enough of.
    #[must_use]
    pub fn detailed(code: WalletCode, detail: &'static str) -> Self {
        Self::Refused(Box::new(Refusal { detail: Some(detail), ..Refusal::new(code) }))
    }

    /// A refusal that blames a field.
    #[must_use]
    pub fn field(code: WalletCode, field: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refusal { field: Some(field.into()), ..Refusal::new(code) }))
    }

    /// Refuses an amount of nothing, which stands for what is no amount as well: a known id is told that its body differs
    /// before anybody looks at that.
    pub(super) fn check_amount(amount: Amount, field: impl Into<String>) -> Result<(), Self> {
        if amount == Amount::ZERO {
            return Err(Self::field(WalletCode::Ledger(RejectionCode::AmountInvalid), field));
        }
        Ok(())
    }
}

impl Refusal {
    /// A refusal of which there is no more to say.
    #[must_use]
    pub const fn new(code: WalletCode) -> Self {
        Self {
            code,
            detail: None,
            field: None,
            attempts_left: None,
            retry_after_s: None,
            position: None,
            replayed: false,
        }
    }
}

impl From<AccountError> for WalletError {
    fn from(error: AccountError) -> Self {
        let code = match error {
            AccountError::Unavailable(why) => return why.into(),
            AccountError::Denied(denial) => return denial.into(),
            AccountError::Exists { .. } | AccountError::AssetUnknown => WalletCode::AccountExists,
            AccountError::NotFound => WalletCode::NotFound,
            AccountError::NotEmpty => WalletCode::AccountNotEmpty,
            AccountError::Closed => WalletCode::Ledger(RejectionCode::AccountClosed),
            AccountError::BelowFloor => WalletCode::Ledger(RejectionCode::InsufficientFunds),
            AccountError::AboveCeiling => WalletCode::Ledger(RejectionCode::CeilingExceeded),
            AccountError::GroupsFull => WalletCode::Ledger(RejectionCode::Overflow),
        };
        Self::refused(code)
    }
}

impl From<SubmitError> for WalletError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::IdReused { field } => Self::IdReused { field },
            SubmitError::Unavailable(why) => Self::Unavailable(why),
            SubmitError::Unknown => Self::Unknown,
            SubmitError::Denied { denial, .. } => Self::Denied(denial),
            // A verb handles a conflict itself, and its transactions may move managed accounts.
            SubmitError::Conflict | SubmitError::Managed { .. } => {
                Self::Unavailable(Unavailable::Overloaded("a wallet's turn"))
            }
        }
    }
}

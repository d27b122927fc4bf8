use axum::http::StatusCode;
use yue_engine::{model::RejectionCode, wallet::WalletCode};

/// A stable error code of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is not what the contract describes.
    Malformed,
    /// The body is larger, or has more elements, than the call takes.
    TooLarge,
    /// The id was used with another body.
    IdReused,
    /// A rule of the ledger.
    Refused(RejectionCode),
    /// The address was opened with another body.
    AccountExists,
    /// No such asset.
    AssetUnknown,
    /// The account has a balance or holds.
    AccountNotEmpty,
    /// An operation would move an account that wallet verbs alone move.
    WalletAccount,
    /// Nobody says who asks, or with a key that is none.
    Unauthenticated,
    /// A signature's time is too far off, or lies before the server's start.
    TimestampSkew,
    /// A signature's nonce was used before.
    NonceReplayed,
    /// The key may not do this.
    ScopeMissing,
    /// An operator's adjustment needs a second operator's approval.
    ApprovalRequired,
    /// No such thing, or no such route.
    NotFound,
    /// The route has no such method.
    MethodNotAllowed,
    /// The body is no JSON by its headers.
    UnsupportedMediaType,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The key has had its requests for now.
    RateLimited,
    /// A bound is reached; nothing was applied.
    Overloaded,
    /// The file system is nearly full; nothing was applied.
    StorageLow,
    /// The request's own deadline had passed before anything was done; nothing was applied.
    DeadlineExceeded,
    /// A rule of the wallet.
    Wallet(WalletCode),
}

impl Code {
    /// All codes in the order of the contract.
    pub const ALL: [Self; 54] = {
        let mut all = [Self::Malformed; 54];
        let [malformed, too_large, id_reused, rest @ ..] = &mut all;
        (*malformed, *too_large, *id_reused) = (Self::Malformed, Self::TooLarge, Self::IdReused);
        let (refusals, others) = rest.split_at_mut(RejectionCode::ALL.len());
        let mut index = 0;
        while index < refusals.len() {
            #[expect(clippy::indexing_slicing, reason = "both have the same length; checked when compiled")]
            {
                refusals[index] = Self::Refused(RejectionCode::ALL[index]);
            }
            index += 1;
        }
        others.copy_from_slice(&[
            Self::AccountExists,
            Self::AssetUnknown,
            Self::AccountNotEmpty,
            Self::WalletAccount,
            Self::Unauthenticated,
            Self::TimestampSkew,
            Self::NonceReplayed,
            Self::ScopeMissing,
            Self::ApprovalRequired,
            Self::NotFound,
            Self::MethodNotAllowed,
            Self::UnsupportedMediaType,
            Self::RequestTimeout,
            Self::RateLimited,
            Self::Overloaded,
            Self::StorageLow,
            Self::DeadlineExceeded,
            Self::Wallet(WalletCode::PasswordInvalid),
            Self::Wallet(WalletCode::PasswordWrong),
            Self::Wallet(WalletCode::PasswordLocked),
            Self::Wallet(WalletCode::ClassNotAllowed),
            Self::Wallet(WalletCode::AuthRequired),
            Self::Wallet(WalletCode::AuthInvalid),
            Self::Wallet(WalletCode::SignatureInvalid),
            Self::Wallet(WalletCode::CategoryNotPayable),
            Self::Wallet(WalletCode::MerchantNotEnabled),
            Self::Wallet(WalletCode::PromotionExhausted),
            Self::Wallet(WalletCode::PromotionNotApplicable),
            Self::Wallet(WalletCode::PaymentNotCancellable),
            Self::Wallet(WalletCode::RefundExceedsPaid),
            Self::Wallet(WalletCode::RefundWindowClosed),
            Self::Wallet(WalletCode::RefundCountExceeded),
            Self::Wallet(WalletCode::DayNotOver),
        ]);
        all
    };

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::IdReused => "id_reused",
            Self::Refused(code) => code.as_str(),
            Self::AccountExists => "account_exists",
            Self::AssetUnknown => "asset_unknown",
            Self::AccountNotEmpty => "account_not_empty",
            Self::WalletAccount => "wallet_account",
            Self::Unauthenticated => "unauthenticated",
            Self::TimestampSkew => "timestamp_skew",
            Self::NonceReplayed => "nonce_replayed",
            Self::ScopeMissing => "scope_missing",
            Self::ApprovalRequired => "approval_required",
            Self::RateLimited => "rate_limited",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::RequestTimeout => "request_timeout",
            Self::Overloaded => "overloaded",
            Self::StorageLow => "storage_low",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Wallet(code) => code.as_str(),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::IdReused | Self::AccountExists => StatusCode::CONFLICT,
            Self::Refused(_) | Self::AssetUnknown | Self::AccountNotEmpty => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthenticated | Self::TimestampSkew | Self::NonceReplayed => StatusCode::UNAUTHORIZED,
            Self::WalletAccount | Self::ScopeMissing | Self::ApprovalRequired => StatusCode::FORBIDDEN,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded | Self::StorageLow | Self::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Wallet(code) => wallet_status(code),
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::RequestTimeout
                | Self::RateLimited
                | Self::Overloaded
                | Self::StorageLow
                | Self::DeadlineExceeded
        )
    }

    /// A line for people, the same for each problem of this code.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Malformed => "The request is malformed",
            Self::TooLarge => "The request is too large",
            Self::IdReused => "The id was used with another body",
            Self::Refused(code) => refusal_title(code),
            Self::AccountExists => "The account was opened with another body",
            Self::AssetUnknown => "No such asset",
            Self::AccountNotEmpty => "The account has a balance or holds",
            Self::WalletAccount => "The account is moved by the wallet alone",
            Self::Unauthenticated => "The request carries no key that is valid here",
            Self::TimestampSkew => "The signature's time is too far off",
            Self::NonceReplayed => "The signature's nonce was used before",
            Self::ScopeMissing => "The key may not do this",
            Self::ApprovalRequired => "A second operator must approve this",
            Self::RateLimited => "The key has had its requests for now",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "The route has no such method",
            Self::UnsupportedMediaType => "The body must be JSON",
            Self::RequestTimeout => "The body did not arrive in time",
            Self::Overloaded => "The server is overloaded",
            Self::StorageLow => "The storage is nearly full",
            Self::DeadlineExceeded => "The deadline passed before anything was done",
            Self::Wallet(code) => code.title(),
        }
    }
}

/// 422 unless it is about who asks.
const fn wallet_status(code: WalletCode) -> StatusCode {
    match code {
        WalletCode::NotFound => StatusCode::NOT_FOUND,
        WalletCode::AccountExists => StatusCode::CONFLICT,
        WalletCode::PasswordWrong | WalletCode::AuthRequired | WalletCode::AuthInvalid => {
            StatusCode::FORBIDDEN
        }
        WalletCode::PasswordLocked => StatusCode::LOCKED,
        WalletCode::SignatureInvalid => StatusCode::UNAUTHORIZED,
        WalletCode::Ledger(_)
        | WalletCode::AccountNotEmpty
        | WalletCode::PasswordInvalid
        | WalletCode::ClassNotAllowed
        | WalletCode::CategoryNotPayable
        | WalletCode::MerchantNotEnabled
        | WalletCode::PromotionExhausted
        | WalletCode::PromotionNotApplicable
        | WalletCode::PaymentNotCancellable
        | WalletCode::RefundExceedsPaid
        | WalletCode::RefundWindowClosed
        | WalletCode::RefundCountExceeded
        | WalletCode::DayNotOver => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

const fn refusal_title(code: RejectionCode) -> &'static str {
    match code {
        RejectionCode::AmountInvalid => "The amount is not valid",
        RejectionCode::TransactionNotFound => "There is no such operation to reverse",
        RejectionCode::HoldNotFound => "The hold was never placed",
        RejectionCode::HoldExists => "The hold's id is taken",
        RejectionCode::AccountNotFound => "No such account",
        RejectionCode::AssetMismatch => "The accounts hold different assets",
        RejectionCode::SameAccount => "Debit and credit are one account",
        RejectionCode::AccountClosed => "The account is closed for ever",
        RejectionCode::AccountFrozen => "The account is frozen",
        RejectionCode::HoldCaptured => "The hold was captured before",
        RejectionCode::HoldReleased => "The hold was released before",
        RejectionCode::HoldExpired => "The hold ran out",
        RejectionCode::CaptureExceedsHold => "The capture is above what was held",
        RejectionCode::ReversalExceedsOriginal => "All reversals together would exceed the original",
        RejectionCode::LimitExceeded => "A spending limit of the debit account would be exceeded",
        RejectionCode::InsufficientFunds => "The account has too little available",
        RejectionCode::CeilingExceeded => "The account's ceiling would be exceeded",
        RejectionCode::Overflow => "A total would leave its range",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_in_the_contracts_order() {
        let names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let contract = "malformed too_large id_reused amount_invalid transaction_not_found hold_not_found \
             hold_exists account_not_found asset_mismatch same_account account_closed account_frozen hold_captured \
             hold_released hold_expired capture_exceeds_hold reversal_exceeds_original limit_exceeded \
             insufficient_funds ceiling_exceeded overflow account_exists asset_unknown account_not_empty wallet_account \
             unauthenticated timestamp_skew nonce_replayed scope_missing approval_required \
             not_found method_not_allowed unsupported_media_type request_timeout rate_limited overloaded storage_low \
             deadline_exceeded password_invalid password_wrong password_locked class_not_allowed auth_required auth_invalid \
             signature_invalid category_not_payable merchant_not_enabled promotion_exhausted \
             promotion_not_applicable payment_not_cancellable refund_exceeds_paid refund_window_closed \
             refund_count_exceeded day_not_over";
        assert_eq!(names, contract.split_whitespace().collect::<Vec<_>>());
    }
}

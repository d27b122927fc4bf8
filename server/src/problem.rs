//! Errors as RFC 9457 problem details.
//!
//! Owns the stable codes, their statuses and the shape of an error's body. Never decides that something is wrong.
//! Invariant: a code has one status, and the order of [`Code::ALL`] is that of the contract, the documentation and
//! the tests.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use yue_engine::{
    model::RejectionCode,
    view::{AccountError, SubmitError, Unavailable},
};

/// Name of the header that marks the answer to a request whose outcome was known already.
pub const REPLAYED_HEADER: &str = "idempotent-replayed";

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
    /// No such thing, or no such route.
    NotFound,
    /// The route has no such method.
    MethodNotAllowed,
    /// The body is no JSON by its headers.
    UnsupportedMediaType,
    /// The body did not arrive in time.
    RequestTimeout,
    /// A bound is reached; nothing was applied.
    Overloaded,
    /// The file system is nearly full; nothing was applied.
    StorageLow,
}

impl Code {
    /// All codes in the order of the contract.
    pub const ALL: [Self; 30] = {
        let mut all = [Self::Malformed; 30];
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
            Self::NotFound,
            Self::MethodNotAllowed,
            Self::UnsupportedMediaType,
            Self::RequestTimeout,
            Self::Overloaded,
            Self::StorageLow,
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
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::RequestTimeout => "request_timeout",
            Self::Overloaded => "overloaded",
            Self::StorageLow => "storage_low",
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
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded | Self::StorageLow => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(self, Self::RequestTimeout | Self::Overloaded | Self::StorageLow)
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
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "The route has no such method",
            Self::UnsupportedMediaType => "The body must be JSON",
            Self::RequestTimeout => "The body did not arrive in time",
            Self::Overloaded => "The server is overloaded",
            Self::StorageLow => "The storage is nearly full",
        }
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

/// Whether a failed request took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It took none.
    NotApplied,
    /// It took effect.
    Applied,
    /// Not known; the same id again settles it.
    Unknown,
}

/// Problem details (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:yue:problem:` and the code.
    #[schema(value_type = String, example = "urn:yue:problem:insufficient_funds")]
    r#type: String,
    /// A line for people, the same for each problem of this code.
    #[schema(value_type = String, example = "The account has too little available")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// The stable code that programs act on.
    #[schema(value_type = String, example = "insufficient_funds")]
    code: &'static str,
    /// What is wrong in this request, for people.
    #[schema(value_type = String)]
    detail: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Whether the request took effect.
    outcome: Effect,
    /// Index of the operation that was refused, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 0)]
    operation: Option<u8>,
    /// JSON Pointer of the field that is wrong or differs, where there is one; for a query `/` and the parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// The journal's record of a refused transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    position: Option<u64>,
}

/// An error on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem(Box<Details>);

#[derive(Clone, Debug)]
struct Details {
    code: Code,
    detail: String,
    operation: Option<u8>,
    field: Option<String>,
    position: Option<u64>,
    replayed: bool,
    closes: bool,
}

impl Problem {
    /// Most bytes of a detail: it may quote the client.
    const DETAIL_BYTES_MAX: usize = 400;
    /// Seconds after which an overloaded server is worth another try; spread, so that clients do not come back at once.
    const RETRY_OVERLOADED_S: std::ops::RangeInclusive<u32> = 1..=3;
    /// Seconds after which a full storage is worth another try: somebody has to make room.
    const RETRY_STORAGE_LOW_S: std::ops::RangeInclusive<u32> = 30..=60;

    /// A problem with a code and a text for people.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > Self::DETAIL_BYTES_MAX {
            detail.truncate(detail.floor_char_boundary(Self::DETAIL_BYTES_MAX));
            detail.push('…');
        }
        Self(Box::new(Details {
            code,
            detail,
            operation: None,
            field: None,
            position: None,
            replayed: false,
            closes: false,
        }))
    }

    /// Something that is not there.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("no such {what}"))
    }

    /// Names the field, as a JSON Pointer.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>) -> Self {
        self.0.field = Some(pointer.into());
        self
    }

    /// Names the operation.
    #[must_use]
    pub fn operation(mut self, index: u8) -> Self {
        self.0.operation = Some(index);
        self
    }

    /// Names the journal's record of the refusal.
    #[must_use]
    pub fn position(mut self, position: u64) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Marks an answer that repeats an earlier one.
    #[must_use]
    pub fn replayed(mut self, replayed: bool) -> Self {
        self.0.replayed = replayed;
        self
    }

    /// Ends the connection after the answer: the rest of the request is not worth reading.
    #[must_use]
    pub fn closes(mut self) -> Self {
        self.0.closes = true;
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The text for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The field, as a JSON Pointer.
    #[must_use]
    pub fn field_pointer(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    fn retry_after_s(&self) -> Option<u32> {
        match self.0.code {
            Code::Overloaded => Some(rand::random_range(Self::RETRY_OVERLOADED_S)),
            Code::StorageLow => Some(rand::random_range(Self::RETRY_STORAGE_LOW_S)),
            Code::Malformed
            | Code::TooLarge
            | Code::IdReused
            | Code::Refused(_)
            | Code::AccountExists
            | Code::AssetUnknown
            | Code::AccountNotEmpty
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::UnsupportedMediaType
            | Code::RequestTimeout => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after_s = self.retry_after_s();
        let Details { code, detail, operation, field, position, replayed, closes } = *self.0;
        let body = ProblemBody {
            r#type: format!("urn:yue:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            code: code.as_str(),
            detail,
            retryable: code.retryable(),
            // What this server answers with an error it has not applied; where it can't know, it is not there to
            // answer (it aborts).
            outcome: Effect::NotApplied,
            operation,
            field,
            position,
        };
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if replayed {
            headers.insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
        }
        if closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        let code = match unavailable {
            Unavailable::Overloaded(_) | Unavailable::Stopping => Code::Overloaded,
            Unavailable::StorageLow => Code::StorageLow,
        };
        Self::new(code, unavailable.to_string())
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let detail = error.to_string();
        match error {
            SubmitError::IdReused { field } => Self::new(Code::IdReused, detail).field(field),
            SubmitError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        let (code, field) = match error {
            AccountError::Exists { field } => (Code::AccountExists, Some(field)),
            AccountError::AssetUnknown => (Code::AssetUnknown, Some("/asset".to_owned())),
            AccountError::NotFound => (Code::NotFound, None),
            AccountError::NotEmpty => (Code::AccountNotEmpty, Some("/status".to_owned())),
            AccountError::Closed => (Code::Refused(RejectionCode::AccountClosed), None),
            AccountError::BelowFloor => {
                (Code::Refused(RejectionCode::InsufficientFunds), Some("/floor".to_owned()))
            }
            AccountError::AboveCeiling => {
                (Code::Refused(RejectionCode::CeilingExceeded), Some("/ceiling".to_owned()))
            }
            AccountError::Unavailable(unavailable) => return unavailable.into(),
        };
        let problem = Self::new(code, detail);
        match field {
            Some(field) => problem.field(field),
            None => problem,
        }
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
             insufficient_funds ceiling_exceeded overflow account_exists asset_unknown account_not_empty not_found \
             method_not_allowed unsupported_media_type request_timeout overloaded storage_low";
        assert_eq!(names, contract.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn details_are_clipped() {
        let problem = Problem::new(Code::Malformed, "é".repeat(1000));
        assert!(problem.detail().len() <= Problem::DETAIL_BYTES_MAX + '…'.len_utf8());
    }
}

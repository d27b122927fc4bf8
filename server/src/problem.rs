//! Errors as RFC 9457 problem details.
//!
//! Owns the stable codes, their statuses and the shape of an error's body. Never decides that something is wrong.
//! Invariant: a code has one status, and the order of [`Code::ALL`] is that of the contract, the documentation and
//! the tests.

mod code;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
pub use code::Code;
use serde::Serialize;
use utoipa::ToSchema;
use yue_engine::{
    model::{Denial, RejectionCode},
    view::{AccountError, SubmitError, Unavailable},
    wallet::{Refusal, WalletCode, WalletError},
};

/// Name of the header that marks the answer to a request whose outcome was known already.
pub const REPLAYED_HEADER: &str = "idempotent-replayed";

/// Name of the header that names a request which the audit trail tells of.
pub(crate) const REQUEST_ID_HEADER: &str = "yue-request-id";

/// The ways in that are there for those whom the gate did not let in (RFC 9110).
const CHALLENGE: &str = "Bearer realm=\"yue\", YUE-HMAC-SHA256 realm=\"yue\"";

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
    /// Wrong passwords that are left before the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    attempts_left: Option<u32>,
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
    outcome: Effect,
    attempts_left: Option<u32>,
    retry_after_s: Option<u64>,
    request: Option<HeaderValue>,
}

impl Problem {
    /// Most bytes of a detail: it may quote the client.
    const DETAIL_BYTES_MAX: usize = 400;
    /// Seconds after which an overloaded server is worth another try; spread, so that clients do not come back at once.
    const RETRY_OVERLOADED_S: std::ops::RangeInclusive<u64> = 1..=3;
    /// Seconds after which a full storage is worth another try: somebody has to make room.
    const RETRY_STORAGE_LOW_S: std::ops::RangeInclusive<u64> = 30..=60;

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
            outcome: Effect::NotApplied,
            attempts_left: None,
            retry_after_s: None,
            request: None,
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

    /// Of a request that may have taken effect.
    #[must_use]
    pub fn unknown(mut self) -> Self {
        self.0.outcome = Effect::Unknown;
        self
    }

    /// Says after how many seconds another try has a chance.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Names a request that the gate has looked at.
    #[must_use]
    pub(crate) fn request(mut self, id: Option<HeaderValue>) -> Self {
        self.0.request = id;
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

    fn retry_after_s(&self) -> Option<u64> {
        match self.0.code {
            Code::Overloaded | Code::DeadlineExceeded => Some(retry_overloaded_s()),
            Code::StorageLow => Some(rand::random_range(Self::RETRY_STORAGE_LOW_S)),
            Code::Malformed
            | Code::TooLarge
            | Code::IdReused
            | Code::Refused(_)
            | Code::AccountExists
            | Code::AssetUnknown
            | Code::AccountNotEmpty
            | Code::WalletAccount
            | Code::Unauthenticated
            | Code::TimestampSkew
            | Code::NonceReplayed
            | Code::ScopeMissing
            | Code::ApprovalRequired
            | Code::RateLimited
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::UnsupportedMediaType
            | Code::RequestTimeout
            | Code::Wallet(_) => self.0.retry_after_s,
        }
    }
}

/// Seconds after which an overloaded server is worth another try, for one client.
pub(crate) fn retry_overloaded_s() -> u64 {
    rand::random_range(Problem::RETRY_OVERLOADED_S)
}

impl From<Problem> for ProblemBody {
    fn from(problem: Problem) -> Self {
        let Details { code, detail, operation, field, position, outcome, attempts_left, .. } = *problem.0;
        Self {
            r#type: format!("urn:yue:problem:{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            code: code.as_str(),
            detail,
            retryable: code.retryable(),
            outcome,
            operation,
            field,
            position,
            attempts_left,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let retry_after_s = self.retry_after_s();
        let Details { code, replayed, closes, .. } = *self.0;
        let request = self.0.request.take();
        let body = ProblemBody::from(self);
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(id) = request {
            // The other 401s are those of the channels' own signatures.
            if code.status() == StatusCode::UNAUTHORIZED {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
            }
            headers.insert(REQUEST_ID_HEADER, id);
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
            Unavailable::Late => Code::DeadlineExceeded,
        };
        Self::new(code, unavailable.to_string())
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        let code = match denial {
            Denial::Scope(_) => Code::ScopeMissing,
            Denial::Approval => Code::ApprovalRequired,
        };
        Self::new(code, denial.to_string())
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let detail = error.to_string();
        match error {
            SubmitError::IdReused { field } => Self::new(Code::IdReused, detail).field(field),
            SubmitError::Managed { operation } => Self::new(Code::WalletAccount, detail).operation(operation),
            SubmitError::Denied { operation, denial } => Self::from(denial).operation(operation),
            SubmitError::Unavailable(unavailable) => unavailable.into(),
            // Ledger callers attach nothing that could be overtaken.
            SubmitError::Conflict => Self::new(Code::Overloaded, detail),
            SubmitError::Unknown => Self::new(Code::Overloaded, detail).unknown(),
        }
    }
}

impl From<WalletError> for Problem {
    fn from(error: WalletError) -> Self {
        let detail = error.to_string();
        match error {
            WalletError::IdReused { field } => Self::new(Code::IdReused, detail).field(field),
            WalletError::Denied(denial) => denial.into(),
            WalletError::Unavailable(unavailable) => unavailable.into(),
            WalletError::Unknown => SubmitError::Unknown.into(),
            WalletError::Refused(refusal) => {
                let Refusal { code, detail: _, field, attempts_left, retry_after_s, position, replayed } =
                    *refusal;
                #[expect(clippy::wildcard_enum_match_arm, reason = "the wallet's own codes are passed on")]
                let code = match code {
                    WalletCode::Ledger(code) => Code::Refused(code),
                    WalletCode::NotFound => Code::NotFound,
                    WalletCode::AccountExists => Code::AccountExists,
                    WalletCode::AccountNotEmpty => Code::AccountNotEmpty,
                    own => Code::Wallet(own),
                };
                let mut problem = Self::new(code, detail).replayed(replayed);
                problem.0.field = field;
                problem.0.position = position.map(|position| position.0);
                (problem.0.attempts_left, problem.0.retry_after_s) = (attempts_left, retry_after_s);
                problem
            }
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        let (code, field) = match error {
            AccountError::Exists { field } => (Code::AccountExists, Some(field)),
            AccountError::AssetUnknown => (Code::AssetUnknown, Some("/asset".to_owned())),
            AccountError::GroupsFull => (Code::Refused(RejectionCode::Overflow), Some("/address".to_owned())),
            AccountError::NotFound => (Code::NotFound, None),
            AccountError::NotEmpty => (Code::AccountNotEmpty, Some("/status".to_owned())),
            AccountError::Closed => (Code::Refused(RejectionCode::AccountClosed), None),
            AccountError::BelowFloor => {
                (Code::Refused(RejectionCode::InsufficientFunds), Some("/floor".to_owned()))
            }
            AccountError::AboveCeiling => {
                (Code::Refused(RejectionCode::CeilingExceeded), Some("/ceiling".to_owned()))
            }
            AccountError::Denied(denial) => return denial.into(),
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
    use super::*;

    #[test]
    fn details_are_clipped() {
        let problem = Problem::new(Code::Malformed, "é".repeat(1000));
        assert!(problem.detail().len() <= Problem::DETAIL_BYTES_MAX + '…'.len_utf8());
    }
}

//! Payment passwords and what they yield.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{RequestedAmount, Timestamp},
    wallet::{Password, PaymentToken, WalletCode},
};

use crate::{
    json::{FromText, Ranged, Text},
    problem::{Code, Problem},
    wire::texts::display,
};

/// A password as written. What is none is no malformed body: its own code says so.
pub(crate) struct PasswordText(Option<Password>);

impl FromText for PasswordText {
    const EXPECTED: &'static str = "six digits as a string";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(Password::parse(text)))
    }
}

impl PasswordText {
    /// The password, or which field is none.
    pub(crate) fn read(self, field: &str) -> Result<Password, Problem> {
        self.0.ok_or_else(|| {
            let code = WalletCode::PasswordInvalid;
            Problem::new(Code::Wallet(code), code.title()).field(field)
        })
    }
}

/// A request to set the payment password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordSetting)]
pub(crate) struct PasswordIn {
    /// The new one: six digits, no trivial row of them.
    #[schema(value_type = String, pattern = "^[0-9]{6}$", example = "283904")]
    pub(crate) password: Text<PasswordText>,
    /// The old one, once one is set.
    #[schema(value_type = Option<String>, pattern = "^[0-9]{6}$")]
    pub(crate) old_password: Option<Text<PasswordText>>,
}

/// A request for a payment token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentTokenRequest)]
pub(crate) struct TokenIn {
    /// The payment password.
    #[schema(value_type = String, pattern = "^[0-9]{6}$", example = "283904")]
    pub(crate) password: Text<PasswordText>,
    /// Most that the token pays.
    #[schema(value_type = String, example = "100.00")]
    pub(crate) max_amount: Text<RequestedAmount>,
    /// Seconds until it ends.
    #[schema(value_type = u32, minimum = 1, maximum = 300, example = 300)]
    pub(crate) expires_in: Ranged<1, { u32::MAX }>,
}

/// A payment token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentToken)]
pub(crate) struct TokenOut {
    /// For the `auth` of one payment or transfer.
    token: String,
    /// It pays before this.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl TokenOut {
    /// The shape of a token.
    pub(crate) fn new(PaymentToken { token, expires_at }: PaymentToken) -> Self {
        Self { token, expires_at }
    }
}

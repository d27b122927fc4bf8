//! What a wallet's owner chooses: small payments, wealth.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    model::{Amount, RejectionCode, RequestedAmount, format_units, parse_signed_units},
    wallet::{Password, SmallPayments, WealthView},
};

use super::{customer::CNY_SCALE, password::PasswordText, yuan};
use crate::{
    json::{Ranged, Text},
    problem::{Code, Problem},
    wire::texts::DecimalText,
};

/// A request to allow small payments, or not.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SmallPaymentsSetting)]
pub(crate) struct SmallIn {
    /// The payment password.
    #[schema(value_type = String, pattern = "^[0-9]{6}$", example = "283904")]
    password: Text<PasswordText>,
    /// Whether any are allowed.
    enabled: bool,
    /// Most of one payment.
    #[schema(value_type = String, example = "200.00")]
    limit: Text<RequestedAmount>,
    /// Most of them in a day of Asia/Shanghai.
    #[schema(value_type = u32, minimum = 1, example = 10)]
    daily_count: Ranged<1, { u32::MAX }>,
}

impl SmallIn {
    /// The password and what it allows.
    pub(crate) fn read(self) -> Result<(Password, SmallPayments), Problem> {
        let Self { password: Text(password), enabled, limit: Text(limit), daily_count: Ranged(daily_count) } =
            self;
        let limit = yuan(&limit, "/limit")?;
        Ok((password.read("/password")?, SmallPayments { enabled, limit, daily_count }))
    }
}

/// What may be paid without a password.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SmallPayments)]
pub(crate) struct SmallOut {
    /// Whether any.
    enabled: bool,
    /// Most of one payment.
    #[schema(example = "200.00")]
    limit: String,
    /// Most of them in a day of Asia/Shanghai.
    daily_count: u32,
}

impl SmallOut {
    /// The shape of what is allowed.
    pub(crate) fn new(allowed: &SmallPayments) -> Self {
        let SmallPayments { enabled, limit, daily_count } = *allowed;
        Self { enabled, limit: format_units(limit.0.into(), CNY_SCALE), daily_count }
    }
}

/// A request about idle balance.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WealthSetting)]
pub(crate) struct WealthIn {
    /// Whether idle balance moves to the wealth product.
    enabled: bool,
    /// What stays in the balance; may be zero.
    #[schema(value_type = String, example = "500.00")]
    keep: Text<DecimalText>,
}

impl WealthIn {
    /// What is chosen.
    pub(crate) fn read(self) -> Result<WealthView, Problem> {
        let Self { enabled, keep: Text(DecimalText(keep)) } = self;
        let units = parse_signed_units(&keep, CNY_SCALE).and_then(|units| u64::try_from(units).ok());
        let units = units.filter(|_| !keep.starts_with('-')).ok_or_else(|| {
            let detail = format!("what is kept is zero or more, with at most {CNY_SCALE} decimals");
            Problem::new(Code::Refused(RejectionCode::AmountInvalid), detail).field("/keep")
        })?;
        Ok(WealthView { enabled, keep: Amount(units) })
    }
}

/// What is chosen about idle balance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WealthSettings)]
pub(crate) struct WealthSettingOut {
    /// Whether idle balance moves to the wealth product.
    enabled: bool,
    /// What stays in the balance.
    #[schema(example = "500.00")]
    keep: String,
}

impl WealthSettingOut {
    /// The shape of a choice.
    pub(crate) fn new(view: &WealthView) -> Self {
        Self { enabled: view.enabled, keep: format_units(view.keep.0.into(), CNY_SCALE) }
    }
}

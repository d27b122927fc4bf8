//! Spending limits.

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;
use yue_engine::{
    model::{Amount, Limit, LimitWindow, RejectionCode, RequestedAmount, format_units},
    view::LimitView,
};

use super::texts::{DecimalText, Label, limit_window, unsigned_units};
use crate::{
    json::{Object, Ranged, Text, read_elements},
    problem::{Code, Problem},
};

/// A limit of a request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Limit)]
pub(crate) struct LimitIn {
    /// The span over which it counts, in Asia/Shanghai.
    #[schema(value_type = super::account::Window)]
    window: Text<LimitWindow>,
    /// Counts only operations with this code; `null` counts all.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "transfer")]
    code: Option<Text<Label<64>>>,
    /// Most that may be debited in a window. One of `amount` and `count` must be there.
    #[schema(value_type = Option<String>, example = "5000.00")]
    amount: Option<Text<DecimalText>>,
    /// Most operations in a window.
    #[schema(value_type = Option<u32>, minimum = 1)]
    count: Option<Ranged<1, { u32::MAX }>>,
}

/// The limits of a request, before their asset is known.
pub(crate) struct LimitsIn(Vec<LimitIn>);

impl<'de> Deserialize<'de> for LimitsIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut limits = Vec::<LimitIn>::new();
        read_elements(deserializer, "an array of at most 16 limits", |OneLimit(limit)| {
            if limits.len() >= Limit::PER_ACCOUNT_MAX {
                return Err(format!("more than {} limits", Limit::PER_ACCOUNT_MAX));
            }
            if limits.iter().any(|other| other.window.0 == limit.window.0 && other.code() == limit.code()) {
                return Err("two limits have the same window and code".into());
            }
            limits.push(limit);
            Ok(())
        })?;
        Ok(Self(limits))
    }
}

struct OneLimit(LimitIn);

impl<'de> Deserialize<'de> for OneLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(limit) = Object::<LimitIn>::deserialize(deserializer)?;
        if limit.amount.is_none() && limit.count.is_none() {
            return Err(de::Error::custom("a limit has an amount, a count or both"));
        }
        Ok(Self(limit))
    }
}

impl LimitIn {
    fn code(&self) -> Option<&CompactString> {
        self.code.as_ref().map(|Text(Label(code))| code)
    }
}

impl LimitsIn {
    /// The limits on an account of an asset with `scale` decimals.
    pub(crate) fn into_limits(self, scale: u8) -> Result<Vec<Limit>, Problem> {
        let read = |(index, limit): (usize, LimitIn)| {
            let amount = match &limit.amount {
                None => None,
                Some(Text(DecimalText(text))) => Some(limit_units(text, scale).ok_or_else(|| {
                    let detail = format!("a limit's amount is above zero, with at most {scale} decimals");
                    Problem::new(Code::Refused(RejectionCode::AmountInvalid), detail)
                        .field(format!("/limits/{index}/amount"))
                })?),
            };
            Ok(Limit {
                window: limit.window.0,
                amount: amount.map(Amount::units),
                count: limit.count.map(|Ranged(count)| count),
                code: limit.code.map(|Text(Label(code))| code),
            })
        };
        self.0.into_iter().enumerate().map(read).collect()
    }
}

fn limit_units(text: &str, scale: u8) -> Option<Amount> {
    RequestedAmount::parse(text).to_units(scale)
}

/// A limit of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitInUse)]
pub(crate) struct LimitOut {
    /// The span over which it counts, in Asia/Shanghai.
    #[schema(value_type = super::account::Window)]
    window: &'static str,
    /// Counts only operations with this code; `null` counts all.
    #[schema(required = true, value_type = Option<String>)]
    code: Option<CompactString>,
    /// Most that may be debited in a window.
    #[schema(required = true, example = "5000.00")]
    amount: Option<String>,
    /// Most operations in a window.
    #[schema(required = true)]
    count: Option<u32>,
    /// What is used of it in the window of now.
    used: LimitUsed,
}

/// What is used of a limit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitUsed {
    /// The sum of the debits that count.
    #[schema(example = "12.50")]
    amount: String,
    /// The number of the operations that count.
    count: u64,
}

impl LimitOut {
    pub(super) fn new(view: &LimitView, scale: u8) -> Self {
        let Limit { window, code, amount, count } = &view.limit;
        Self {
            window: limit_window(*window),
            code: code.clone(),
            amount: amount.map(|units| format_units(units.into(), scale)),
            count: *count,
            used: LimitUsed { amount: unsigned_units(view.used_amount, scale), count: view.used_count },
        }
    }
}

//! The JSON shapes of the wallet.

pub(crate) mod auth;
pub(crate) mod choices;
pub(crate) mod customer;
pub(crate) mod day;
pub(crate) mod device;
pub(crate) mod list;
pub(crate) mod merchant;
pub(crate) mod notification;
pub(crate) mod password;
pub(crate) mod payment;
pub(crate) mod promotion;
pub(crate) mod recharge;
pub(crate) mod refund;
pub(crate) mod statement;
pub(crate) mod transfer;
pub(crate) mod wealth;

use yue_engine::{
    model::{Amount, RejectionCode, RequestedAmount},
    wallet::{Channel, Class, IncomeRate, Part},
};

use crate::{
    json::FromText,
    problem::{Code, Problem},
};

/// The fen of an amount of yuan.
pub(crate) fn yuan(amount: &RequestedAmount, field: &str) -> Result<Amount, Problem> {
    amount.to_units(customer::CNY_SCALE).ok_or_else(|| {
        let detail = "an amount is above zero, with at most 2 decimals";
        Problem::new(Code::Refused(RejectionCode::AmountInvalid), detail).field(field)
    })
}

/// The fen of an amount of yuan; zero for what is none, which the verb refuses when it comes to it.
pub(crate) fn yuan_or_zero(amount: &RequestedAmount) -> Amount {
    amount.to_units(customer::CNY_SCALE).unwrap_or_default()
}

impl FromText for Part {
    const EXPECTED: &'static str = "a name of one address part: [a-z0-9][a-z0-9._-]{0,31}";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl FromText for Channel {
    const EXPECTED: &'static str = "bank-card, wechat, alipay or ecny";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl FromText for Class {
    const EXPECTED: &'static str = "I, II or III";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "I" => Some(Self::I),
            "II" => Some(Self::II),
            "III" => Some(Self::III),
            _ => None,
        }
    }
}

impl FromText for IncomeRate {
    const EXPECTED: &'static str =
        "yuan for 10,000 shares: a decimal string from \"0\" to \"10000\" of at most eight decimals";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// The contract's word for a class.
pub(crate) const fn class(class: Class) -> &'static str {
    match class {
        Class::I => "I",
        Class::II => "II",
        Class::III => "III",
    }
}

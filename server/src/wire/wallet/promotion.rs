//! Promotions.

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;
use yue_engine::{
    model::{RequestedAmount, Timestamp, format_units},
    wallet::{Channel, Part, PromotionKind, PromotionRule, PromotionTerms, PromotionView},
};

use super::{
    customer::CNY_SCALE,
    list::List,
    merchant::{CATEGORIES_MAX, Category},
    recharge::ChannelName,
    yuan,
};
use crate::{
    json::{FromText, Object, Ranged, Text},
    problem::{Code, Problem},
    wire::texts::{Label, display},
};

/// Most merchants that a promotion names: they are in memory.
const MERCHANTS_MAX: usize = 64;

impl FromText for PromotionKind {
    const EXPECTED: &'static str = "payment_discount or recharge_bonus";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "payment_discount" => Some(Self::PaymentDiscount),
            "recharge_bonus" => Some(Self::RechargeBonus),
            _ => None,
        }
    }
}

/// What a promotion is for.
#[derive(ToSchema)]
#[schema(as = PromotionKind)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum KindName {
    /// Off a payment's price.
    PaymentDiscount,
    /// On top of a recharge.
    RechargeBonus,
}

/// How much a promotion gives, as read.
pub(crate) enum RuleIn {
    AmountOff(RequestedAmount),
    PercentOff(u32, RequestedAmount),
    FullReduction(RequestedAmount, RequestedAmount),
}

/// The fields of all rules together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFields {
    amount_off: Option<Text<RequestedAmount>>,
    percent_off: Option<Ranged<1, 100>>,
    at_most: Option<Text<RequestedAmount>>,
    full: Option<Text<RequestedAmount>>,
    reduce: Option<Text<RequestedAmount>>,
}

impl<'de> Deserialize<'de> for RuleIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(fields) = Object::<RuleFields>::deserialize(deserializer)?;
        match fields {
            RuleFields {
                amount_off: Some(Text(off)),
                percent_off: None,
                at_most: None,
                full: None,
                reduce: None,
            } => Ok(Self::AmountOff(off)),
            RuleFields {
                amount_off: None,
                percent_off: Some(Ranged(percent)),
                at_most: Some(Text(at_most)),
                full: None,
                reduce: None,
            } => Ok(Self::PercentOff(percent, at_most)),
            RuleFields {
                amount_off: None,
                percent_off: None,
                at_most: None,
                full: Some(Text(full)),
                reduce: Some(Text(reduce)),
            } => Ok(Self::FullReduction(full, reduce)),
            RuleFields { .. } => {
                Err(de::Error::custom("a rule is amount_off, percent_off with at_most, or full with reduce"))
            }
        }
    }
}

impl RuleIn {
    fn into_rule(self) -> Result<PromotionRule, Problem> {
        match self {
            Self::AmountOff(off) => yuan(&off, "/rule/amount_off").map(PromotionRule::AmountOff),
            Self::PercentOff(percent, at_most) => Ok(PromotionRule::PercentOff {
                percent: u8::try_from(percent).unwrap_or(u8::MAX),
                at_most: yuan(&at_most, "/rule/at_most")?,
            }),
            Self::FullReduction(full, reduce) => {
                let (full, reduce) = (yuan(&full, "/rule/full")?, yuan(&reduce, "/rule/reduce")?);
                if reduce > full {
                    return Err(Problem::new(Code::Malformed, "a reduction is not above its full amount")
                        .field("/rule/reduce"));
                }
                Ok(PromotionRule::FullReduction { full, reduce })
            }
        }
    }
}

/// How much a promotion gives.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PromotionRule)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum RuleOut {
    /// So much off, never more than the price.
    #[schema(title = "AmountOff")]
    AmountOff {
        /// Yuan.
        #[schema(example = "5.00")]
        amount_off: String,
    },
    /// A share off, cut to the fen.
    #[schema(title = "PercentOff")]
    PercentOff {
        /// 1 to 100.
        #[schema(minimum = 1, maximum = 100, example = 10)]
        percent_off: u8,
        /// Never more than this.
        #[schema(example = "50.00")]
        at_most: String,
    },
    /// From a price on, so much off.
    #[schema(title = "FullReduction")]
    FullReduction {
        /// The price.
        #[schema(example = "300.00")]
        full: String,
        /// Off; not more than `full`.
        #[schema(example = "50.00")]
        reduce: String,
    },
}

/// A promotion to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PromotionMaking)]
pub(crate) struct PromotionIn {
    /// Its name in addresses, and its idempotency key: one address part.
    #[schema(value_type = String, max_length = 32, pattern = "^[a-z0-9][a-z0-9._-]{0,31}$", example = "618-half")]
    id: Text<Part>,
    /// For people.
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    name: Text<Label<256>>,
    /// What it is for.
    #[schema(value_type = KindName)]
    kind: Text<PromotionKind>,
    /// How much it gives.
    #[schema(value_type = RuleOut)]
    rule: RuleIn,
    /// How much it can give altogether; funded from `platform:promotion`.
    #[schema(value_type = String, example = "10000.00")]
    budget: Text<RequestedAmount>,
    /// How often it can be had by one payer; without bound by default.
    #[schema(value_type = Option<u32>, minimum = 1, example = 1)]
    per_user: Option<Ranged<1, { u32::MAX }>>,
    /// From then on.
    #[schema(value_type = String, format = DateTime)]
    starts_at: Text<Timestamp>,
    /// Before then.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Text<Timestamp>,
    /// For these merchants only; for all if there are none.
    #[schema(value_type = Option<Vec<String>>, max_items = 64)]
    merchants: Option<List<Text<Part>, 0, MERCHANTS_MAX>>,
    /// For these categories of goods only; for all if there are none.
    #[schema(value_type = Option<Vec<String>>, max_items = 64)]
    categories: Option<List<Category, 0, CATEGORIES_MAX>>,
    /// For recharges over, or payments combined with, these channels only; for all if there are none.
    #[schema(value_type = Option<Vec<ChannelName>>, max_items = 4)]
    channels: Option<List<Text<Channel>, 0, { Channel::ALL.len() }>>,
}

/// A promotion as it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Promotion)]
pub(crate) struct PromotionOut {
    /// Its name in addresses.
    #[schema(example = "618-half")]
    id: String,
    /// For people.
    name: String,
    /// What it is for.
    #[schema(value_type = KindName)]
    kind: &'static str,
    /// How much it gives.
    rule: RuleOut,
    /// How much it can give altogether.
    #[schema(example = "10000.00")]
    budget: String,
    /// What was given, and what payments that wait for their channel have set aside.
    #[schema(example = "5.00")]
    spent: String,
    /// What can be given still.
    #[schema(example = "9995.00")]
    left: String,
    /// How often it can be had by one payer.
    #[schema(required = true, example = 1)]
    per_user: Option<u32>,
    /// From then on.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime)]
    starts_at: Timestamp,
    /// Before then.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    /// For these merchants only; for all if there are none.
    merchants: Vec<String>,
    /// For these categories of goods only; for all if there are none.
    categories: Vec<String>,
    /// For these channels only; for all if there are none.
    #[schema(value_type = Vec<ChannelName>)]
    channels: Vec<&'static str>,
}

impl PromotionIn {
    /// The engine's terms.
    pub(crate) fn into_terms(self) -> Result<(Part, PromotionTerms), Problem> {
        let Self { starts_at: Text(starts_at), ends_at: Text(ends_at), .. } = self;
        if ends_at <= starts_at {
            return Err(Problem::new(Code::Malformed, "a promotion ends after it starts").field("/ends_at"));
        }
        let merchants = self.merchants.map(|List(merchants)| merchants).unwrap_or_default();
        let categories = self.categories.map(|List(categories)| categories).unwrap_or_default();
        let channels = self.channels.map(|List(channels)| channels).unwrap_or_default();
        let terms = PromotionTerms {
            name: self.name.0.0,
            kind: self.kind.0,
            rule: self.rule.into_rule()?,
            budget: yuan(&self.budget.0, "/budget")?,
            per_user: self.per_user.map(|Ranged(times)| times),
            starts_at,
            ends_at,
            merchants: merchants.into_iter().map(|Text(merchant)| merchant).collect(),
            categories: categories.into_iter().map(|Text(Label(category))| category).collect(),
            channels: channels.into_iter().map(|Text(channel)| channel).collect(),
        };
        Ok((self.id.0, terms))
    }
}

impl PromotionOut {
    /// The shape of a promotion.
    pub(crate) fn new(view: &PromotionView) -> Self {
        let PromotionView { promotion, terms, left, spent } = view;
        let yuan = |amount: yue_engine::model::Amount| format_units(amount.units().into(), CNY_SCALE);
        Self {
            id: promotion.to_string(),
            name: terms.name.to_string(),
            kind: match terms.kind {
                PromotionKind::PaymentDiscount => "payment_discount",
                PromotionKind::RechargeBonus => "recharge_bonus",
            },
            rule: match terms.rule {
                PromotionRule::AmountOff(off) => RuleOut::AmountOff { amount_off: yuan(off) },
                PromotionRule::PercentOff { percent, at_most } => {
                    RuleOut::PercentOff { percent_off: percent, at_most: yuan(at_most) }
                }
                PromotionRule::FullReduction { full, reduce } => {
                    RuleOut::FullReduction { full: yuan(full), reduce: yuan(reduce) }
                }
            },
            budget: yuan(terms.budget),
            spent: yuan(*spent),
            left: yuan(*left),
            per_user: terms.per_user,
            starts_at: terms.starts_at,
            ends_at: terms.ends_at,
            merchants: terms.merchants.iter().map(ToString::to_string).collect(),
            categories: terms.categories.iter().map(ToString::to_string).collect(),
            channels: terms.channels.iter().map(|channel| channel.as_str()).collect(),
        }
    }
}

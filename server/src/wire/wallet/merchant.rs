//! Merchants.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::wallet::{FeeRate, MerchantKind, MerchantTerms, Part};

use super::list::List;
use crate::{
    json::{FromText, Text},
    wire::texts::Label,
};

/// Most categories that a merchant refuses, or that a promotion is for: they are in memory.
pub(crate) const CATEGORIES_MAX: usize = 64;

/// A category of goods.
pub(crate) type Category = Text<Label<64>>;

impl FromText for FeeRate {
    const EXPECTED: &'static str = "a rate from \"0\" to less than \"1\", with at most six decimals";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl FromText for MerchantKind {
    const EXPECTED: &'static str = "self_operated or third_party";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "self_operated" => Some(Self::SelfOperated),
            "third_party" => Some(Self::ThirdParty),
            _ => None,
        }
    }
}

/// Whose shop it is.
#[derive(ToSchema)]
#[schema(as = MerchantKind)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum KindName {
    /// The platform's own: pays no fee.
    SelfOperated,
    /// Somebody else's.
    ThirdParty,
}

/// On which terms a merchant takes balance.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MerchantTerms)]
pub(crate) struct MerchantIn {
    /// Whether it takes balance at all.
    enabled: bool,
    /// Whose shop it is.
    #[schema(value_type = KindName)]
    kind: Text<MerchantKind>,
    /// Categories of goods that are not paid with balance here; none by default.
    #[schema(value_type = Option<Vec<String>>, max_items = 64)]
    refused_categories: Option<List<Category, 0, CATEGORIES_MAX>>,
    /// What the platform keeps of a third party's payments; nothing by default.
    #[schema(value_type = Option<String>, example = "0.006")]
    fee_rate: Option<Text<FeeRate>>,
}

/// A merchant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Merchant)]
pub(crate) struct MerchantOut {
    /// Its name.
    #[schema(example = "jd-self")]
    merchant: String,
    /// Whether it takes balance at all.
    enabled: bool,
    /// Whose shop it is.
    #[schema(value_type = KindName)]
    kind: &'static str,
    /// Categories of goods that are not paid with balance here, sorted.
    refused_categories: Vec<String>,
    /// What the platform keeps of a third party's payments.
    #[schema(example = "0.006")]
    fee_rate: String,
}

impl MerchantIn {
    /// The engine's terms.
    pub(crate) fn into_terms(self) -> MerchantTerms {
        let Self { enabled, kind: Text(kind), refused_categories, fee_rate } = self;
        let categories = refused_categories.map(|List(categories)| categories).unwrap_or_default();
        MerchantTerms {
            enabled,
            kind,
            refused_categories: categories.into_iter().map(|Text(Label(category))| category).collect(),
            fee_rate: fee_rate.map(|Text(rate)| rate).unwrap_or_default(),
        }
    }
}

impl MerchantOut {
    /// The shape of a merchant.
    pub(crate) fn new(merchant: &Part, terms: &MerchantTerms) -> Self {
        Self {
            merchant: merchant.to_string(),
            enabled: terms.enabled,
            kind: match terms.kind {
                MerchantKind::SelfOperated => "self_operated",
                MerchantKind::ThirdParty => "third_party",
            },
            refused_categories: terms.refused_categories.iter().map(ToString::to_string).collect(),
            fee_rate: terms.fee_rate.to_string(),
        }
    }
}

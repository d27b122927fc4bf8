//! Merchants: who takes balance, for what, and what the platform keeps of it.
//!
//! A merchant is its account and its terms, a cell. A change of terms is for payments that are composed after it.

use std::collections::BTreeSet;

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::{Fixture, part, settings};
use super::{
    AccountKind, Part, Wallet, WalletCode, WalletError,
    document::{CellContent, Document, Held},
    names,
    step::Draft,
};
use crate::model::{Amount, CellKind};

/// Whose shop it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MerchantKind {
    /// The platform's own: pays no fee.
    #[default]
    SelfOperated,
    /// Somebody else's.
    ThirdParty,
}

/// The share of a payment that the platform keeps: from 0 to less than 1, with at most six decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeRate {
    millionths: u32,
}

impl FeeRate {
    const DECIMALS: u32 = 6;
    const WHOLE: u32 = 1_000_000;

    /// Reads a decimal such as `0.006`; `None` if it is not from 0 to less than 1, or has more than six decimals.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let scale = u8::try_from(Self::DECIMALS).ok()?;
        let millionths = crate::model::parse_signed_units(text, scale).filter(|_| !text.starts_with('-'))?;
        u32::try_from(millionths)
            .ok()
            .filter(|&rate| rate < Self::WHOLE)
            .map(|millionths| Self { millionths })
    }

    /// The fee on an amount, cut to the fen.
    #[must_use]
    pub fn of(self, amount: Amount) -> Amount {
        let fee = u128::from(amount.units()) * u128::from(self.millionths) / u128::from(Self::WHOLE);
        // A share of less than 1 of a `u64`.
        Amount(u64::try_from(fee).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for FeeRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Decimal::new(i64::from(self.millionths), Self::DECIMALS).normalize().fmt(f)
    }
}

/// On which terms a merchant takes balance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerchantTerms {
    /// Whether it takes balance at all.
    pub enabled: bool,
    /// Whose shop it is.
    pub kind: MerchantKind,
    /// Categories of goods that are not paid with balance here.
    pub refused_categories: BTreeSet<CompactString>,
    /// What the platform keeps of a third party's payments.
    pub fee_rate: FeeRate,
}

impl CellContent for MerchantTerms {
    const KIND: CellKind = CellKind(6);
}

impl MerchantTerms {
    /// The platform's share of a payment.
    pub(super) fn fee(&self, amount: Amount) -> Amount {
        match self.kind {
            MerchantKind::SelfOperated => Amount::ZERO,
            MerchantKind::ThirdParty => self.fee_rate.of(amount),
        }
    }
}

/// The record of new terms.
#[derive(Serialize, Deserialize)]
struct MerchantSet {
    merchant: Part,
    terms: MerchantTerms,
}

impl Document for MerchantSet {
    const TAG: u8 = 30;
}

impl Wallet {
    /// Sets a merchant's terms; the account is opened with the first ones.
    ///
    /// # Errors
    /// The merchant's account is no CNY account on the credit side, or overload.
    pub async fn set_merchant(&self, merchant: &Part, terms: &MerchantTerms) -> Result<(), WalletError> {
        self.own_merchant(merchant)?;
        self.ensure(names::platform(names::Platform::Fees), AccountKind::OPEN_CREDIT).await?;
        self.ensure(names::merchant(merchant), AccountKind::OPEN_CREDIT).await?;
        for _ in 0..Self::TRIES_MAX {
            let mut cell: Held<MerchantTerms> = self.cell(names::merchant(merchant));
            if cell.exists() && cell.content == *terms {
                return Ok(());
            }
            cell.content = terms.clone();
            let step = u32::try_from(cell.revision()).map_err(|_| Self::overtaken())?;
            let document = MerchantSet { merchant: merchant.clone(), terms: terms.clone() };
            let mut draft =
                Draft::new(names::derive("merchant", merchant.as_str().as_bytes(), step), document);
            draft.write(&cell);
            // A copy of another body may have had this revision: then the next round makes the next one.
            if self.submit(draft).await?.is_some_and(|settled| settled.document.terms == *terms) {
                return Ok(());
            }
        }
        Err(Self::overtaken())
    }

    /// The terms of a merchant that takes balance.
    pub(super) fn merchant_terms(&self, merchant: &Part) -> Result<MerchantTerms, WalletError> {
        let cell: Held<MerchantTerms> = self.cell(names::merchant(merchant));
        if cell.content.enabled {
            Ok(cell.content)
        } else {
            Err(WalletError::field(WalletCode::MerchantNotEnabled, "/merchant"))
        }
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    let terms = |kind| MerchantTerms {
        enabled: true,
        kind,
        refused_categories: ["gold", "cards"].map(Into::into).into(),
        fee_rate: FeeRate { millionths: 6_000 },
    };
    vec![
        Form::document(&MerchantSet { merchant: part("shop"), terms: terms(MerchantKind::ThirdParty) }),
        Form::cell(&terms(MerchantKind::SelfOperated)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{AccountOpening, Address, Metadata},
        wallet::Channel,
    };

    /// As in a ledger that is older than the rule that nobody else opens such accounts.
    #[tokio::test]
    async fn accounts_of_the_ledgers_callers_take_nothing_but_what_was_theirs() {
        let fixture = Fixture::new(settings()).await;
        let check = async |address: Address, kind: AccountKind, expected: Result<(), WalletError>| {
            let AccountKind { asset, normal, floor, ceiling } = kind;
            let (limits, metadata) = (Vec::new(), Metadata::default());
            let squatted = AccountOpening {
                address: address.clone(),
                asset: asset.into(),
                normal,
                floor,
                ceiling,
                limits,
                metadata,
                managed: false,
            };
            fixture.wallet.engine().open_account(squatted).await.unwrap();
            assert_eq!(fixture.wallet.ensure(address.clone(), kind).await, expected, "{address}");
        };
        let refused = || Err(WalletError::refused(WalletCode::AccountExists));
        check(names::suspense(Channel::Ecny), AccountKind::OPEN_CREDIT, refused()).await;
        check(names::platform(names::Platform::Promotion), AccountKind::OPEN_CREDIT, refused()).await;
        check(names::carbon(&part("carol")), AccountKind::OPEN_CREDIT, refused()).await;
        check(names::channel(Channel::Ecny), AccountKind::OPEN_DEBIT, Ok(())).await;
        check(names::merchant(&part("bakery")), AccountKind::OPEN_CREDIT, Ok(())).await;
    }

    #[test]
    fn a_fee_is_cut_to_the_fen() {
        let check = |rate: &str, units: u64, fee: u64| {
            assert_eq!(FeeRate::parse(rate).map(|rate| rate.of(Amount(units))), Some(Amount(fee)), "{rate}");
        };
        check("0.006", 10_000, 60);
        check("0.006", 166, 0);
        check("0.006", 167, 1);
        check("0.999999", u64::MAX, 18_446_725_626_965_477_905);
        check("0", u64::MAX, 0);
        assert_eq!(FeeRate::parse("0.0060").map(|rate| rate.to_string()), Some("0.006".into()));
        assert_eq!(FeeRate::parse("0").map(|rate| rate.to_string()), Some("0".into()));
        for wrong in ["1", "-0.1", "-0", "0.0000001", "", "0.5%", "1e-3"] {
            assert_eq!(FeeRate::parse(wrong), None, "{wrong}");
        }
    }
}

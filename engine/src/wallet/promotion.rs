//! Promotions: a budget that can't be oversold, and whom it is for.
//!
//! A promotion is its budget account `promos:{promotion}`, funded when it is made, and its terms, a cell that is written
//! once. What was granted is what left the account. A cap a payer is an account of the payer's in asset SLOT whose
//! ceiling is the cap. Never grants by itself: payments and recharges do, in their own transactions.

mod rule;

use std::collections::BTreeSet;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::part;
use super::{
    AccountKind, Channel, Part, Wallet, WalletCode, WalletError,
    document::{CellContent, Document, Held},
    names,
    step::Draft,
};
use crate::{
    model::{Amount, CellKind, NormalSide, Timestamp},
    view::AccountError,
};

pub use rule::PromotionRule;

/// What a promotion is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromotionKind {
    /// Off a payment's price.
    PaymentDiscount,
    /// On top of a recharge.
    RechargeBonus,
}

/// A promotion's terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionTerms {
    /// For people.
    pub name: CompactString,
    /// What it is for.
    pub kind: PromotionKind,
    /// How much it gives.
    pub rule: PromotionRule,
    /// How much it can give altogether.
    pub budget: Amount,
    /// How often it can be had by one payer.
    pub per_user: Option<u32>,
    /// From then on.
    pub starts_at: Timestamp,
    /// Before then.
    pub ends_at: Timestamp,
    /// These merchants only; all if empty.
    pub merchants: BTreeSet<Part>,
    /// These categories of goods only; all if empty.
    pub categories: BTreeSet<CompactString>,
    /// These channels only; all if empty.
    pub channels: BTreeSet<Channel>,
}

impl PromotionTerms {
    /// JSON Pointer of the first field in which others differ.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            (self.name == other.name, "/name"),
            (self.kind == other.kind, "/kind"),
            (self.rule == other.rule, "/rule"),
            (self.budget == other.budget, "/budget"),
            (self.per_user == other.per_user, "/per_user"),
            (self.starts_at == other.starts_at, "/starts_at"),
            (self.ends_at == other.ends_at, "/ends_at"),
            (self.merchants == other.merchants, "/merchants"),
            (self.categories == other.categories, "/categories"),
            (self.channels == other.channels, "/channels"),
        ];
        fields.into_iter().find(|(same, _)| !same).map(|(_, field)| field)
    }

    /// Whether it is for this kind of business, now and over this channel.
    fn runs(&self, kind: PromotionKind, channel: Option<Channel>, now: Timestamp) -> bool {
        let over = self.channels.is_empty() || channel.is_some_and(|one| self.channels.contains(&one));
        self.kind == kind && self.starts_at <= now && now < self.ends_at && over
    }

    /// What it adds to a recharge that was ordered while it ran; `None` if that is nothing.
    pub(super) fn bonus(&self, amount: Amount) -> Option<Bonus> {
        let bonus = Bonus { amount: self.rule.on(amount), slot: self.per_user.is_some() };
        (bonus.amount > Amount::ZERO).then_some(bonus)
    }

    /// Whether an item of this category gets it.
    pub(super) fn is_for(&self, category: &CompactString) -> bool {
        self.categories.is_empty() || self.categories.contains(category)
    }
}

/// The cell: nothing until the promotion is made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Terms(Option<PromotionTerms>);

impl CellContent for Terms {
    const KIND: CellKind = CellKind(7);
}

/// The record of a promotion's making.
#[derive(Serialize, Deserialize)]
struct PromotionMade {
    promotion: Part,
    terms: PromotionTerms,
}

impl Document for PromotionMade {
    const TAG: u8 = 31;
}

/// A promotion at one moment.
#[derive(Clone, Debug)]
pub struct PromotionView {
    /// Its name in addresses.
    pub promotion: Part,
    /// Its terms.
    pub terms: PromotionTerms,
    /// What can be granted still.
    pub left: Amount,
    /// What was granted, and what payments that wait for their channel have set aside.
    pub spent: Amount,
}

/// What a recharge gets from a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bonus {
    /// From `promos:{promotion}` to the user, code `bonus`.
    pub(super) amount: Amount,
    /// Whether a slot of the payer's goes with it; see [`Wallet::ensure_slots`].
    pub(super) slot: bool,
}

impl Wallet {
    /// Makes a promotion; `true` if this call did.
    ///
    /// # Errors
    /// The id belongs to another promotion or to an account of the ledger's callers, the caller may not create the money
    /// of its budget, or overload.
    pub async fn make_promotion(
        &self,
        promotion: &Part,
        terms: &PromotionTerms,
    ) -> Result<bool, WalletError> {
        self.own_platform()?;
        for _ in 0..Self::TRIES_MAX {
            let mut cell: Held<Terms> = self.cell(names::promotion(promotion));
            if let Some(first) = &cell.content.0 {
                return match terms.difference(first) {
                    Some(field) => Err(WalletError::IdReused { field: field.into() }),
                    None => Ok(false),
                };
            }
            self.may_issue()?;
            self.open_budget(promotion).await?;
            let funding = AccountKind::OPEN_DEBIT;
            self.ensure(names::platform(names::Platform::Promotion), funding).await?;
            let grants = AccountKind { asset: AccountKind::SLOT, ..AccountKind::OPEN_CREDIT };
            self.ensure(names::grants(promotion), grants).await?;
            cell.content = Terms(Some(terms.clone()));
            let document = PromotionMade { promotion: promotion.clone(), terms: terms.clone() };
            // A refusal is a record, too: while the funding account takes no part.
            let id = |attempt| names::derive("promotion", promotion.as_str().as_bytes(), attempt);
            let (_, attempt) = self.posted_attempt::<PromotionMade>(id).await?;
            let mut draft = Draft::new(id(attempt), document);
            let (from, to) = (names::platform(names::Platform::Promotion), names::promotion(promotion));
            draft.transfer(&from, &to, terms.budget, "promotion").write(&cell);
            if let Some(settled) = self.submit(draft).await? {
                settled.posted()?;
                if !settled.replayed {
                    return Ok(true);
                }
            }
        }
        Err(Self::overtaken())
    }

    /// A budget is nobody else's: an account that a ledger caller has opened is not taken for it.
    async fn open_budget(&self, promotion: &Part) -> Result<(), WalletError> {
        match self.open_managed(names::promotion(promotion), AccountKind::OWED, Vec::new()).await {
            Ok(()) => Ok(()),
            Err(AccountError::Unavailable(why)) => Err(why.into()),
            Err(_) => Err(WalletError::field(WalletCode::AccountExists, "/id")),
        }
    }

    /// A promotion as of its last synced change.
    ///
    /// # Errors
    /// There is none.
    pub fn promotion(&self, promotion: &Part) -> Result<PromotionView, WalletError> {
        self.own_promotion(promotion)?;
        let not_found = || WalletError::refused(WalletCode::NotFound);
        let terms = self.promotion_terms(promotion).ok_or_else(not_found)?;
        let account = self.engine().account(&names::promotion(promotion)).ok_or_else(not_found)?;
        let left = Amount(u64::try_from(account.available.max(0)).unwrap_or(u64::MAX));
        let spent = terms.budget.checked_sub(left).unwrap_or(Amount::ZERO);
        Ok(PromotionView { promotion: promotion.clone(), terms, left, spent })
    }

    /// The terms of a promotion, if there is one.
    pub(super) fn promotion_terms(&self, promotion: &Part) -> Option<PromotionTerms> {
        let cell: Held<Terms> = self.cell(names::promotion(promotion));
        cell.content.0
    }

    /// The terms of a promotion that is for a payment to this merchant, now.
    pub(super) fn discount_for(
        &self,
        promotion: &Part,
        merchant: &Part,
        combine_with: Option<Channel>,
        now: Timestamp,
    ) -> Result<PromotionTerms, WalletError> {
        let terms = self.promotion_terms(promotion).filter(|terms| {
            let there = terms.merchants.is_empty() || terms.merchants.contains(merchant);
            there && terms.runs(PromotionKind::PaymentDiscount, combine_with, now)
        });
        terms.ok_or_else(Self::not_applicable)
    }

    /// What a recharge over a channel gets from a promotion, now. That the budget, or the payer's share of it, is spent
    /// shows when the bonus is posted.
    ///
    /// # Errors
    /// `promotion_not_applicable`.
    pub(super) fn bonus_for(
        &self,
        amount: Amount,
        promotion: &Part,
        channel: Channel,
        now: Timestamp,
    ) -> Result<Bonus, WalletError> {
        let terms = self
            .promotion_terms(promotion)
            .filter(|terms| terms.runs(PromotionKind::RechargeBonus, Some(channel), now));
        terms.and_then(|terms| terms.bonus(amount)).ok_or_else(Self::not_applicable)
    }

    /// Opens the account that counts a payer's grants of a promotion with a cap: a grant debits it by one, against
    /// [`names::grants`], code `slot`.
    pub(super) async fn ensure_slots(&self, user: &Part, promotion: &Part) -> Result<(), WalletError> {
        let Some(per_user) = self.promotion_terms(promotion).and_then(|terms| terms.per_user) else {
            return Ok(());
        };
        let kind = AccountKind {
            asset: AccountKind::SLOT,
            normal: NormalSide::Debit,
            floor: None,
            ceiling: Some(i128::from(per_user)),
        };
        self.ensure(names::slots(user, promotion), kind).await
    }

    pub(super) fn not_applicable() -> WalletError {
        WalletError::field(WalletCode::PromotionNotApplicable, "/promotion")
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    use PromotionRule::{AmountOff, FullReduction, PercentOff};
    let terms = |(kind, rule)| PromotionTerms {
        name: "half".into(),
        kind,
        rule,
        budget: Amount(100_000),
        per_user: Some(2),
        starts_at: Timestamp(1_750_176_000_000_000_001),
        ends_at: Timestamp(i64::MAX),
        merchants: [part("shop")].into(),
        categories: ["food".into()].into(),
        channels: Channel::ALL.into(),
    };
    let all = [
        (PromotionKind::PaymentDiscount, AmountOff(Amount(8))),
        (PromotionKind::PaymentDiscount, PercentOff { percent: 50, at_most: Amount(9) }),
        (PromotionKind::RechargeBonus, FullReduction { full: Amount(100), reduce: Amount(10) }),
    ];
    let made = |all| Form::document(&PromotionMade { promotion: part("half"), terms: terms(all) });
    let [first, ..] = all;
    all.into_iter().map(made).chain([Form::cell(&Terms(Some(terms(first))))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::AccountStatus,
        wallet::fixture::{Fixture, settings},
    };

    /// What could not be funded while an account was frozen can be made later.
    #[tokio::test]
    async fn a_refused_funding_takes_no_name() {
        let fixture = Fixture::new(settings()).await;
        fixture.promotion("other", PromotionRule::AmountOff(Amount(1)), 100).await;
        let terms = fixture.wallet.promotion_terms(&part("other")).unwrap();
        fixture.set_status("platform:promotion", AccountStatus::Frozen).await;
        for _ in 0..2 {
            assert!(fixture.wallet.make_promotion(&part("half"), &terms).await.is_err());
        }
        fixture.set_status("platform:promotion", AccountStatus::Active).await;
        assert_eq!(fixture.wallet.make_promotion(&part("half"), &terms).await, Ok(true));
        assert_eq!(fixture.wallet.make_promotion(&part("half"), &terms).await, Ok(false));
        assert_eq!(fixture.available("promos:half"), 100);
    }
}

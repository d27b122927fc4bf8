//! One attempt to pay: what it is made up of, and what follows if it is refused.
//!
//! Owns the record of a payment's first step. Invariant: whether a refusal is final follows from the record alone.

use serde::{Deserialize, Serialize};

use super::{
    Payment, PaymentRequest,
    compose::{self, Piece, Plan, Role, Source},
    view,
};
#[cfg(test)]
use crate::wallet::{document::Form, fixture::part};
use crate::{
    model::{Address, Amount, HoldId, Rejection, RejectionCode, TransactionId},
    wallet::{
        AccountKind, Auth, Channel, Part, Wallet, WalletCode, WalletError,
        auth::Demand,
        document::{Document, Held},
        names,
        promotion::PromotionTerms,
        step::{Draft, Settled},
        suspense::order_id,
        wealth_settings::WealthSettings,
    },
};

/// What an attempt may draw on beside the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Means {
    promotion: bool,
    wealth: bool,
    balance: bool,
}

/// Which attempt comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) no: u32,
    means: Means,
}

impl Next {
    pub(super) fn first(request: &PaymentRequest) -> Self {
        Self { no: 0, means: Means { promotion: request.promotion.is_some(), wealth: true, balance: true } }
    }
}

/// The record of an attempt.
#[derive(Serialize, Deserialize)]
pub(in crate::wallet) struct Placed {
    pub(in crate::wallet) request: PaymentRequest,
    pub(in crate::wallet) plan: Plan,
    means: Means,
    /// Whether its refusal is final, except for a promotion that the payment can do without.
    last: bool,
    /// Seconds that it waits for the channel, if the channel has a part.
    pub(super) wait_s: u32,
}

impl Document for Placed {
    const TAG: u8 = 20;
}

/// The codes of a payment's operations.
pub(super) mod code {
    pub(crate) const SPEND: &str = "spend.payment";
    pub(crate) const PROMOTION: &str = "promotion";
    pub(crate) const SLOT: &str = "slot";
    pub(crate) const FEE: &str = "fee";
    pub(crate) const CARBON: &str = "carbon";
    pub(crate) const REDEEM: &str = "wealth.redeem";
    pub(crate) const TICKET: &str = "ticket";
    pub(crate) const SUSPENSE: &str = "suspense";
}

impl Placed {
    /// The channel that it waits for, if the channel has a part.
    pub(super) fn waits_for(&self) -> Option<Channel> {
        self.request.combine_with.filter(|_| self.plan.sum(Source::Channel) > Amount::ZERO)
    }

    /// The attempt that follows this one; `None` if what came of it is final.
    pub(super) fn after(&self, no: u32, verdict: &Result<(), Rejection>) -> Option<Next> {
        let Err(Rejection { code, operation }) = *verdict else { return None };
        let means = match self.plan.role(operation) {
            role @ (Role::Slot | Role::Piece(Source::Promotion))
                if is_spent(role, code) && self.request.on_exhausted == super::OnExhausted::FullPrice =>
            {
                Means { promotion: false, ..self.means }
            }
            Role::Redemption if !self.last => Means { wealth: false, ..self.means },
            Role::Piece(Source::Balance) if !self.last && code == RejectionCode::InsufficientFunds => {
                self.means
            }
            Role::Slot | Role::Redemption | Role::Piece(_) | Role::Other => return None,
        };
        Some(Next { no: no + 1, means })
    }

    /// The answer to the payment whose last attempt this is.
    pub(super) fn answer(&self, id: TransactionId, settled: &Settled<Self>) -> Result<Payment, WalletError> {
        if let Err(Rejection { code, operation }) = settled.verdict {
            let own = if is_spent(self.plan.role(operation), code) {
                WalletCode::PromotionExhausted
            } else {
                WalletCode::Ledger(code)
            };
            return Err(settled.refusal(own));
        }
        let status = match self.waits_for() {
            Some(_) => view::PaymentStatus::AwaitingChannel,
            None => view::PaymentStatus::Paid,
        };
        Ok(Payment {
            id,
            status,
            legs: view::legs(self, status),
            total: self.plan.total(),
            discount: self.plan.sum(Source::Promotion),
            expires_at: view::expires_at(self, settled.decided_at),
            at: settled.at,
            replayed: settled.replayed,
        })
    }

    /// The accounts of a piece that does not come from the channel.
    pub(super) fn accounts_of(&self, source: Source) -> Option<(Address, Address, &'static str)> {
        let PaymentRequest { user, merchant, promotion, combine_with, .. } = &self.request;
        let (from, code) = match source {
            Source::Promotion => (names::promotion(promotion.as_ref()?), code::PROMOTION),
            Source::Balance => (names::customer(user), code::SPEND),
            Source::Channel => (names::channel((*combine_with)?), code::SPEND),
        };
        Some((from, names::merchant(merchant), code))
    }

    /// The accounts of the slot, if the payer's cap counts this payment.
    fn slot(&self) -> Option<(Address, Address)> {
        let promotion = self.request.promotion.as_ref().filter(|_| self.plan.slot)?;
        Some((names::slots(&self.request.user, promotion), names::grants(promotion)))
    }

    /// The holds that it waits with, in the order of its operations; never none.
    pub(super) fn holds(
        &self,
        payment: TransactionId,
        attempt: TransactionId,
    ) -> Vec<(HoldId, &'static str)> {
        let slot = self.slot().map(|_| code::SLOT);
        let own = self.plan.pieces.iter().filter(|piece| piece.source != Source::Channel);
        let codes: Vec<&'static str> = slot
            .into_iter()
            .chain(own.filter_map(|piece| self.accounts_of(piece.source).map(|(_, _, code)| code)))
            .collect();
        let codes = if codes.is_empty() { vec![code::TICKET] } else { codes };
        // The attempt's id keeps apart the holds of one that was refused.
        let mut seed = [0; 32];
        let (ours, attempts) = seed.split_at_mut(16);
        ours.copy_from_slice(&payment.0.to_be_bytes());
        attempts.copy_from_slice(&attempt.0.to_be_bytes());
        (0..).zip(codes).map(|(piece, code)| (names::derive_hold("payment", &seed, piece), code)).collect()
    }
}

/// Whether a refusal says that there is no more of the promotion: of the payer's grants, which a ceiling counts, or of its
/// budget. A ceiling that the budget's piece meets is the merchant's.
fn is_spent(role: Role, code: RejectionCode) -> bool {
    match role {
        Role::Slot => matches!(
            code,
            RejectionCode::InsufficientFunds | RejectionCode::CeilingExceeded | RejectionCode::LimitExceeded
        ),
        Role::Piece(Source::Promotion) => {
            matches!(code, RejectionCode::InsufficientFunds | RejectionCode::LimitExceeded)
        }
        Role::Redemption | Role::Piece(Source::Balance | Source::Channel) | Role::Other => false,
    }
}

impl Wallet {
    /// Composes an attempt from what is on disk now.
    pub(super) async fn compose_attempt(
        &self,
        payment: TransactionId,
        step: TransactionId,
        Next { no, means }: Next,
        request: &PaymentRequest,
        auth: Option<&Auth>,
    ) -> Result<Draft<Placed>, WalletError> {
        let PaymentRequest { user, merchant, items, combine_with, promotion, .. } = request;
        if !self.profile_exists(user) {
            return Err(WalletError::field(WalletCode::NotFound, "/user"));
        }
        self.takes_part(user)?;
        for (index, item) in items.iter().enumerate() {
            WalletError::check_amount(item.amount, format!("/items/{index}/amount"))?;
        }
        let total = request
            .total()
            .ok_or_else(|| WalletError::field(WalletCode::Ledger(RejectionCode::AmountInvalid), "/items"))?;
        let terms = self.merchant_terms(merchant)?;
        let refused = items.iter().position(|item| terms.refused_categories.contains(&item.category));
        if let Some(index) = refused {
            let field = format!("/items/{index}/category");
            return Err(WalletError::field(WalletCode::CategoryNotPayable, field));
        }
        let now = self.engine().now();
        let promotion = promotion.as_ref().filter(|_| means.promotion);
        let discounted = match promotion {
            Some(promotion) => Some(self.discount_for(promotion, merchant, *combine_with, now)?),
            None => None,
        };
        let shares = discounts(items, discounted.as_ref())?;
        let discount: Amount = shares.iter().copied().sum();
        let slot = discounted.is_some_and(|terms| terms.per_user.is_some());
        let (verb, counterparty) = ("payment", merchant);
        let demand = Demand { verb, id: payment, step, user, counterparty, amount: total };
        let authorised = self.authorise(demand, auth).await?;

        let need = total.checked_sub(discount).unwrap_or_default();
        let further = no + 1 < self.settings().payment_attempts_max;
        let funds = Funds {
            // The last attempt of a combination leaves the balance alone: nobody can be quicker then.
            balance: if combine_with.is_some() && !further { Amount::ZERO } else { self.available(user) },
            shares: if means.wealth && further { self.redeemable(user) } else { Amount::ZERO },
        };
        let (own, redeemed) = funds.for_need(need, combine_with.is_some());
        let amounts: Vec<Amount> = items.iter().map(|item| item.amount).collect();
        let per_point = self.settings().carbon_units_per_point;
        let plan = Plan {
            redeemed,
            slot,
            pieces: compose::pieces(&amounts, &shares, own),
            fee: terms.fee(total),
            points: need.units().checked_div(per_point).unwrap_or_default(),
        };
        // Of a balance that was enough somebody else was quicker on a part: another attempt may find shares instead.
        let is_short = need > funds.balance;
        let last = !further || (combine_with.is_none() && redeemed == Amount::ZERO && is_short);
        let wait_s = self.settings().channel_wait_s;
        let placed = Placed { request: request.clone(), plan, means, last, wait_s };
        self.ensure_accounts(&placed).await?;
        let mut draft = Draft::new(step, placed);
        match draft.document.waits_for() {
            Some(_) => set_aside(&mut draft, payment, step),
            None => pay_at_once(&mut draft),
        }
        authorised.apply(&mut draft);
        if combine_with.is_some() {
            draft.alias(order_id(payment));
        }
        Ok(draft)
    }

    async fn ensure_accounts(&self, placed: &Placed) -> Result<(), WalletError> {
        let PaymentRequest { user, promotion, .. } = &placed.request;
        let ours = AccountKind { asset: AccountKind::CARBON, ..AccountKind::OPEN_DEBIT };
        self.ensure(names::platform(names::Platform::Carbon), ours).await?;
        if let Some(promotion) = promotion.as_ref().filter(|_| placed.plan.slot) {
            self.ensure_slots(user, promotion).await?;
        }
        if let Some(channel) = placed.waits_for() {
            self.ensure(names::channel(channel), AccountKind::OPEN_DEBIT).await?;
            self.ensure(names::suspense(channel), AccountKind::OPEN_CREDIT).await?;
            let slots = AccountKind { asset: AccountKind::SLOT, ..AccountKind::OPEN_DEBIT };
            let issued = AccountKind { asset: AccountKind::SLOT, ..AccountKind::OPEN_CREDIT };
            if placed.plan.pieces.iter().all(|piece| piece.source == Source::Channel) && !placed.plan.slot {
                self.ensure(names::tickets(user), slots).await?;
                self.ensure(names::platform(names::Platform::Tickets), issued).await?;
            }
        }
        Ok(())
    }

    /// Fen of the wealth product that can be redeemed for a payment.
    fn redeemable(&self, user: &Part) -> Amount {
        let settings: Held<WealthSettings> = self.cell(names::customer(user));
        if !settings.content.enabled {
            return Amount::ZERO;
        }
        let account = self.engine().account(&names::wealth(user));
        let units = account.map_or(0, |account| account.available.max(0));
        Amount(u64::try_from(units).unwrap_or(u64::MAX))
    }

    fn profile_exists(&self, user: &Part) -> bool {
        self.profile(user).is_ok()
    }
}

/// What a payer has.
struct Funds {
    balance: Amount,
    shares: Amount,
}

impl Funds {
    /// What is paid from balance, and how much is redeemed for it. With a channel the shares are left alone unless they
    /// make the channel needless: what a cancellation gives back is then as it was.
    fn for_need(&self, need: Amount, combined: bool) -> (Amount, Amount) {
        let short = need.checked_sub(self.balance).unwrap_or_default();
        if short <= self.shares {
            (need, short)
        } else if combined {
            (self.balance, Amount::ZERO)
        } else {
            // The ledger refuses it, and that is on record.
            (need, Amount::ZERO)
        }
    }
}

/// Each item's share of what the promotion gives.
fn discounts(items: &[super::Item], terms: Option<&PromotionTerms>) -> Result<Vec<Amount>, WalletError> {
    let Some(terms) = terms else { return Ok(vec![Amount::ZERO; items.len()]) };
    let part = |item: &super::Item| if terms.is_for(&item.category) { item.amount } else { Amount::ZERO };
    let parts: Vec<Amount> = items.iter().map(part).collect();
    let discount = terms.rule.on(parts.iter().copied().sum());
    if discount == Amount::ZERO {
        return Err(Wallet::not_applicable());
    }
    Ok(compose::spread(discount, &parts))
}

fn pay_at_once(draft: &mut Draft<Placed>) {
    let Placed { request, plan, .. } = &draft.document;
    let (user, plan) = (request.user.clone(), plan.clone());
    draft.transfer(&names::wealth(&user), &names::customer(&user), plan.redeemed, code::REDEEM);
    if let Some((debit, credit)) = draft.document.slot() {
        draft.transfer_whole(&debit, &credit, 1, code::SLOT);
    }
    for &Piece { source, amount, .. } in &plan.pieces {
        if let Some((debit, credit, code)) = draft.document.accounts_of(source) {
            draft.transfer(&debit, &credit, amount, code);
        }
    }
    let placed = &draft.document;
    let (merchant, points) = (names::merchant(&placed.request.merchant), names::carbon(&user));
    fee_and_points(draft, &plan, (&merchant, &points));
}

/// What the platform takes and gives once all is paid.
pub(super) fn fee_and_points<D: Document>(
    draft: &mut Draft<D>,
    plan: &Plan,
    (merchant, points): (&Address, &Address),
) {
    draft.transfer(merchant, &names::platform(names::Platform::Fees), plan.fee, code::FEE);
    draft.transfer_whole(&names::platform(names::Platform::Carbon), points, plan.points, code::CARBON);
}

fn set_aside(draft: &mut Draft<Placed>, payment: TransactionId, step: TransactionId) {
    let placed = &draft.document;
    let wait_s = placed.wait_s;
    let user = placed.request.user.clone();
    let slot = placed.slot().map(|accounts| (accounts, (Amount(1), 0)));
    let own = placed.plan.pieces.iter().filter(|piece| piece.source != Source::Channel);
    let pieces = own.filter_map(|piece| {
        let (debit, credit, _) = placed.accounts_of(piece.source)?;
        Some(((debit, credit), (piece.amount, Draft::<Placed>::CNY_SCALE)))
    });
    let mut sums: Vec<_> = slot.into_iter().chain(pieces).collect();
    if sums.is_empty() {
        sums.push(((names::tickets(&user), names::platform(names::Platform::Tickets)), (Amount(1), 0)));
    }
    let holds = placed.holds(payment, step);
    for (((debit, credit), sum), (hold, code)) in sums.into_iter().zip(holds) {
        draft.hold(hold, (&debit, &credit), sum, wait_s, code);
    }
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    use super::{Item, ItemKind, OnExhausted};
    let item =
        |kind, units| Item { name: "tea".into(), kind, category: "food".into(), amount: Amount(units) };
    let piece = |source| Piece { item: 0, source, amount: Amount(300) };
    let placed = |on_exhausted| Placed {
        request: PaymentRequest {
            user: part("alice"),
            merchant: part("shop"),
            items: vec![item(ItemKind::Goods, 890), item(ItemKind::Shipping, 10)],
            combine_with: Some(Channel::Wechat),
            promotion: Some(part("half")),
            on_exhausted,
        },
        plan: Plan {
            redeemed: Amount(1),
            slot: true,
            pieces: [Source::Promotion, Source::Balance, Source::Channel].map(piece).into(),
            fee: Amount(5),
            points: 6,
        },
        means: Means { promotion: true, wealth: false, balance: true },
        last: false,
        wait_s: 900,
    };
    [OnExhausted::Refuse, OnExhausted::FullPrice].map(|one| Form::document(&placed(one))).into()
}

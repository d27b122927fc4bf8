//! The naive model's payments: how they are made up, what ends their wait, what is refunded.

use std::cmp::Reverse;

use yue_engine::{
    model::AccountStatus,
    wallet::{Channel, PaymentRequest, PaymentStatus, PromotionKind, PromotionTerms},
};

use super::{
    books::{Op, Refused},
    channels::receivable,
    naive::{Expected, Naive, WAIT_S, again, budget, carbon, given, own, says, wealth},
    verbs::{Answer, MERCHANTS, Shown, USERS, full_price},
};

const SECOND_NS: i64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum From {
    Promotion,
    Balance,
    Channel,
}

/// A part of an item from one source.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) item: usize,
    pub(crate) from: From,
    pub(crate) amount: u64,
    pub(crate) refunded: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Pay {
    pub(crate) request: PaymentRequest,
    /// What was answered first.
    outcome: Result<String, String>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) fee: u64,
    pub(crate) points: u64,
    /// Of a payment that waits: until when, and with what.
    pub(crate) until: Option<i64>,
    pub(crate) holds: Vec<String>,
    pub(crate) slot: bool,
    /// When it was decided on.
    pub(crate) at: i64,
    pub(crate) paid_at: Option<i64>,
    pub(crate) end: Option<(End, Result<(), &'static str>)>,
    /// The reference of money that came too late, and went back.
    pub(crate) late: Option<String>,
    pub(crate) refunds: Vec<(u128, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Captured(String),
    Failed,
    Cancelled,
}

/// What a payment is made up of.
struct Composed {
    redeemed: u64,
    slot: Option<(String, String)>,
    pieces: Vec<Piece>,
    fee: u64,
    points: u64,
}

impl Pay {
    /// The channel that has a part, if it was placed at all.
    pub(crate) fn channel(&self) -> Option<Channel> {
        self.request.combine_with.filter(|_| self.outcome.is_ok() && self.sum(From::Channel) > 0)
    }

    pub(crate) fn is_placed(&self) -> bool {
        self.outcome.is_ok()
    }

    pub(crate) fn sum(&self, from: From) -> u64 {
        self.pieces.iter().filter(|piece| piece.from == from).map(|piece| piece.amount).sum()
    }

    pub(crate) fn total(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.amount).sum()
    }

    pub(crate) fn refundable(&self) -> u64 {
        let left = self.pieces.iter().map(|piece| piece.amount - piece.refunded).sum();
        if self.paid_at.is_some() { left } else { 0 }
    }

    pub(crate) fn paid_at(&self) -> Option<i64> {
        self.paid_at
    }

    pub(crate) fn status(&self, now: i64) -> PaymentStatus {
        let Some(until) = self.until else { return PaymentStatus::Paid };
        let without_money = match &self.end {
            None if now < until => return PaymentStatus::AwaitingChannel,
            Some((End::Captured(_), Ok(()))) => return PaymentStatus::Paid,
            None | Some((_, Err("hold_expired"))) => PaymentStatus::Expired,
            Some(_) => PaymentStatus::Cancelled,
        };
        if self.late.is_some() { PaymentStatus::Returned } else { without_money }
    }

    fn legs(&self, status: PaymentStatus, refunded: bool) -> Vec<String> {
        let state = |from: From| match (status, from) {
            (PaymentStatus::Paid, _) => "Paid",
            (PaymentStatus::AwaitingChannel, From::Channel) => "Awaiting",
            (PaymentStatus::AwaitingChannel, _) => "Held",
            (PaymentStatus::Returned, From::Channel) => "Returned",
            (_, From::Channel) => "Cancelled",
            (_, From::Balance | From::Promotion) => "Released",
        };
        let name = |from: From| match from {
            From::Balance => "balance",
            From::Promotion => "promotion",
            From::Channel => self.request.combine_with.map_or("", Channel::as_str),
        };
        let leg = |from: From| {
            let back: u64 = self.pieces.iter().filter(|it| it.from == from).map(|it| it.refunded).sum();
            let (amount, back) = (self.sum(from), if refunded { back } else { 0 });
            let left = if status == PaymentStatus::Paid { amount - back } else { 0 };
            (amount > 0).then(|| format!("{} {amount} {} {left}", name(from), state(from)))
        };
        [From::Balance, From::Channel, From::Promotion].into_iter().filter_map(leg).collect()
    }
}

impl Naive {
    pub(crate) fn pay(
        &mut self,
        id: u128,
        request: &PaymentRequest,
        shown: &Shown,
        actual: &Answer,
    ) -> Expected {
        if let Some(first) = self.payments.get(&id) {
            return again_payment(&first.request, request, &first.outcome);
        }
        let Some(user) = USERS.iter().position(|name| *name == request.user.as_str()) else { unreachable!() };
        if !self.users.contains_key(&user) {
            return says("not_found /user", None);
        }
        let takes_no_part = match self.status(user) {
            AccountStatus::Active => None,
            AccountStatus::Frozen => Some("account_frozen"),
            AccountStatus::Closed => Some("account_closed"),
        };
        if let Some(code) = takes_no_part {
            // A freeze that came while it was composed is the ledger's refusal, which is final.
            let is_final = actual.said == code && actual.replayed == Some(false);
            if is_final {
                let mut refused = blank(request);
                refused.outcome = Err(code.into());
                self.payments.insert(id, refused);
            }
            return says(code, is_final.then_some(false));
        }
        let (mut with_promotion, mut with_wealth) = (true, true);
        loop {
            let composed = match self.compose(user, request, shown, with_promotion, with_wealth) {
                Ok(composed) => composed,
                Err(refused) => return says(refused, None),
            };
            let outcome = self.place(id, user, request, &composed, actual);
            let Err((code, operation)) = outcome else {
                let amount = request.total().unwrap().units();
                let cost = self.authorise(user, amount, shown).expect("it was composed");
                self.pay_cost(cost);
                return says(self.payments[&id].outcome.clone().unwrap(), Some(false));
            };
            let redemptions = usize::from(composed.redeemed > 0);
            let lead = redemptions + usize::from(composed.slot.is_some());
            let piece = operation.checked_sub(lead).and_then(|index| composed.pieces.get(index));
            let of_slot = operation >= redemptions && operation < lead;
            let of_promotion = of_slot || piece.is_some_and(|piece| piece.from == From::Promotion);
            let spent = ["insufficient_funds", "limit_exceeded"].contains(&code)
                || (of_slot && code == "ceiling_exceeded");
            if of_promotion && spent && full_price(request) {
                with_promotion = false;
            } else if operation < redemptions {
                with_wealth = false;
            } else {
                let code = if of_promotion && spent { "promotion_exhausted" } else { code };
                let mut refused = blank(request);
                refused.outcome = Err(code.into());
                self.payments.insert(id, refused);
                return says(code, Some(false));
            }
        }
    }

    /// What it is made up of, if nothing speaks against it.
    fn compose(
        &mut self,
        user: usize,
        request: &PaymentRequest,
        shown: &Shown,
        with_promotion: bool,
        with_wealth: bool,
    ) -> Result<Composed, String> {
        let total = request.total().ok_or("amount_invalid /items")?.units();
        let merchant = MERCHANTS.iter().position(|name| *name == request.merchant.as_str()).unwrap();
        let terms = self.merchants.get(&merchant).filter(|terms| terms.enabled);
        let terms = terms.ok_or("merchant_not_enabled /merchant")?.clone();
        if let Some(index) =
            request.items.iter().position(|item| terms.refused.contains(item.category.as_str()))
        {
            return Err(format!("category_not_payable /items/{index}/category"));
        }
        let amounts: Vec<u64> = request.items.iter().map(|item| item.amount.units()).collect();
        let mut discounts = vec![0; amounts.len()];
        let promotion = request.promotion.as_ref().filter(|_| with_promotion);
        if let Some(promotion) = promotion {
            let terms = self.runs(promotion.as_str(), PromotionKind::PaymentDiscount, request.combine_with);
            let here = |terms: &PromotionTerms| {
                terms.merchants.is_empty() || terms.merchants.contains(&request.merchant)
            };
            let terms = terms.filter(here);
            discounts = terms.map(|terms| shares(&terms, request)).unwrap_or_default();
            if discounts.iter().sum::<u64>() == 0 {
                return Err("promotion_not_applicable /promotion".into());
            }
        }
        self.authorise(user, total, shown)?;
        let slot = promotion.and_then(|promotion| self.slot_of(user, promotion.as_str()));
        let need = total - discounts.iter().sum::<u64>();
        let balance = u64::try_from(self.books.account(&own(user)).available().max(0)).unwrap();
        let shares = match self.users[&user].wealth.0 && with_wealth {
            true => u64::try_from(self.books.account(&wealth(user)).posted).unwrap(),
            false => 0,
        };
        let short = need.saturating_sub(balance);
        let redeemed = if short <= shares { short } else { 0 };
        let own_part = if request.combine_with.is_some() && short > shares { balance } else { need };
        let fee = if terms.third_party { u128::from(total) * u128::from(terms.fee) / 1_000_000 } else { 0 };
        Ok(Composed {
            redeemed,
            slot,
            pieces: pieces(&amounts, &discounts, own_part),
            fee: u64::try_from(fee).unwrap(),
            points: need / 100,
        })
    }

    /// Pays at once, or sets aside what it waits with.
    fn place(
        &mut self,
        id: u128,
        user: usize,
        request: &PaymentRequest,
        composed: &Composed,
        actual: &Answer,
    ) -> Result<(), Refused> {
        let waits = composed.pieces.iter().any(|piece| piece.from == From::Channel);
        let mut payment = blank(request);
        (payment.pieces, payment.at) = (composed.pieces.clone(), self.now);
        (payment.fee, payment.points, payment.slot) =
            (composed.fee, composed.points, composed.slot.is_some());
        let mut moves = vec![];
        if let Some((debit, credit)) = composed.slot.clone() {
            moves.push((debit, credit, 1, "slot"));
        }
        let own_pieces = composed.pieces.iter().filter(|piece| piece.from != From::Channel);
        moves.extend(own_pieces.map(|piece| moved(request, piece)));
        let mut ops = vec![];
        if waits {
            // To the moment, but for what records of a process that died have moved the stamps by.
            let until = self.now + WAIT_S * SECOND_NS;
            let told = actual.until.filter(|told| (until..until + 1_000).contains(told));
            payment.until = Some(told.unwrap_or(until));
            if moves.is_empty() {
                self.open_tickets(user);
                moves.push((
                    format!("customers:{}:tickets", USERS[user]),
                    "platform:tickets".into(),
                    1,
                    "ticket",
                ));
            }
            for (index, (debit, credit, amount, code)) in moves.into_iter().enumerate() {
                let key = format!("{id}/{index}");
                payment.holds.push(key.clone());
                let until = payment.until.unwrap();
                ops.push(Op::Hold { key, debit, credit, amount, code, until });
            }
        } else {
            if composed.redeemed > 0 {
                let (debit, credit) = (wealth(user), own(user));
                ops.push(Op::Move { debit, credit, amount: composed.redeemed, code: "wealth.redeem" });
            }
            let op = |(debit, credit, amount, code)| Op::Move { debit, credit, amount, code };
            ops.extend(moves.into_iter().map(op));
            ops.extend(self.fee_and_points(user, &payment));
            payment.paid_at = Some(self.now);
        }
        self.books.post(&ops, self.now)?;
        let (total, off) = (payment.total(), payment.sum(From::Promotion));
        let status = if waits { PaymentStatus::AwaitingChannel } else { PaymentStatus::Paid };
        payment.outcome = Ok(format!("{status:?} {total} off {off} {:?}", payment.legs(status, false)));
        self.payments.insert(id, payment);
        Ok(())
    }

    fn open_tickets(&mut self, user: usize) {
        let account = super::books::Account::new(true, None, None);
        self.books.open(&format!("customers:{}:tickets", USERS[user]), account);
    }

    pub(crate) fn fee_and_points(&self, user: usize, payment: &Pay) -> Vec<Op> {
        let merchant = format!("merchants:{}", payment.request.merchant);
        let mut ops = vec![];
        if payment.fee > 0 {
            let credit = "platform:fees".to_owned();
            ops.push(Op::Move { debit: merchant, credit, amount: payment.fee, code: "fee" });
        }
        if payment.points > 0 {
            let (debit, credit) = ("platform:carbon".to_owned(), carbon(user));
            ops.push(Op::Move { debit, credit, amount: payment.points, code: "carbon" });
        }
        ops
    }

    pub(crate) fn user_of(&self, id: u128) -> usize {
        let user = self.payments[&id].request.user.clone();
        USERS.iter().position(|name| *name == user.as_str()).unwrap()
    }

    /// A payment as it must be shown; `None` if it must not be.
    pub(crate) fn payment_text(&self, id: u128) -> Option<String> {
        let payment = self.payments.get(&id).filter(|payment| payment.is_placed())?;
        let status = payment.status(self.now);
        let of_item = |item: usize| payment.pieces.iter().filter(move |piece| piece.item == item);
        let items = (0..payment.request.items.len()).map(|item| {
            let off: u64 = of_item(item).filter(|it| it.from == From::Promotion).map(|it| it.amount).sum();
            let left: u64 = of_item(item).map(|it| it.amount - it.refunded).sum();
            (off, if status == PaymentStatus::Paid { left } else { 0 })
        });
        let items: Vec<(u64, u64)> = items.collect();
        let (total, off, left) = (payment.total(), payment.sum(From::Promotion), payment.refundable());
        let (legs, refunds) = (payment.legs(status, true), &payment.refunds);
        Some(format!("{status:?} {total} off {off} {legs:?} {items:?} left {left} refunds {refunds:?}"))
    }
}

impl Pay {}

fn blank(request: &PaymentRequest) -> Pay {
    Pay {
        request: request.clone(),
        outcome: Ok(String::new()),
        pieces: vec![],
        fee: 0,
        points: 0,
        until: None,
        holds: vec![],
        slot: false,
        at: 0,
        paid_at: None,
        end: None,
        late: None,
        refunds: vec![],
    }
}

/// From where to where a piece goes, and under which code.
pub(crate) fn moved(request: &PaymentRequest, piece: &Piece) -> (String, String, u64, &'static str) {
    let (from, code) = match piece.from {
        From::Promotion => (budget(request.promotion.as_ref().unwrap().as_str()), "promotion"),
        From::Balance => (format!("customers:{}", request.user), "spend.payment"),
        From::Channel => (receivable(request.combine_with.unwrap()), "spend.payment"),
    };
    (from, format!("merchants:{}", request.merchant), piece.amount, code)
}

/// The pieces of items: the promotion's shares, then own money in the items' order, then the channel.
fn pieces(amounts: &[u64], discounts: &[u64], mut own: u64) -> Vec<Piece> {
    let mut pieces = vec![];
    for (item, (&amount, &off)) in amounts.iter().zip(discounts).enumerate() {
        let balance = own.min(amount - off);
        own -= balance;
        let sources =
            [(From::Promotion, off), (From::Balance, balance), (From::Channel, amount - off - balance)];
        for (from, amount) in sources.into_iter().filter(|(_, amount)| *amount > 0) {
            pieces.push(Piece { item, from, amount, refunded: 0 });
        }
    }
    pieces.sort_by_key(|piece| (piece.from, piece.item));
    pieces
}

/// Each item's share of what a promotion gives, pro rata; the fen that are left go to the greatest rests.
fn shares(terms: &PromotionTerms, request: &PaymentRequest) -> Vec<u64> {
    let part = |item: &yue_engine::wallet::Item| {
        let is_for = terms.categories.is_empty() || terms.categories.contains(&item.category);
        if is_for { u128::from(item.amount.units()) } else { 0 }
    };
    let parts: Vec<u128> = request.items.iter().map(part).collect();
    let all: u128 = parts.iter().sum();
    let whole = u128::from(given(terms.rule, u64::try_from(all).unwrap()));
    if all == 0 {
        return vec![0; parts.len()];
    }
    let mut shares: Vec<u128> = parts.iter().map(|part| whole * part / all).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&index| (Reverse(whole * parts[index] % all), index));
    let left = whole - shares.iter().sum::<u128>();
    order.into_iter().take(usize::try_from(left).unwrap()).for_each(|index| shares[index] += 1);
    shares.into_iter().map(|share| u64::try_from(share).unwrap()).collect()
}

fn again_payment(
    first: &PaymentRequest,
    body: &PaymentRequest,
    outcome: &Result<String, String>,
) -> Expected {
    let mut items = None;
    if first.items != body.items {
        let pairs = first.items.iter().zip(&body.items).enumerate();
        let differs = pairs.filter(|(_, (one, other))| one != other).map(|(index, (one, other))| {
            let fields = [
                (one.name != other.name, "name"),
                (one.kind != other.kind, "kind"),
                (one.category != other.category, "category"),
                (one.amount != other.amount, "amount"),
            ];
            let (_, field) = fields.into_iter().find(|(differs, _)| *differs).unwrap();
            format!("/items/{index}/{field}")
        });
        let shorter = first.items.len().min(body.items.len());
        items = Some(differs.into_iter().next().unwrap_or_else(|| format!("/items/{shorter}")));
    }
    let items = items.as_deref();
    let fields = [
        (first.user != body.user, "/user"),
        (first.merchant != body.merchant, "/merchant"),
        (items.is_some(), items.unwrap_or_default()),
        (first.combine_with != body.combine_with, "/combine_with"),
        (first.promotion != body.promotion, "/promotion"),
        (first.on_exhausted != body.on_exhausted, "/on_promotion_exhausted"),
    ];
    again(&fields, outcome)
}

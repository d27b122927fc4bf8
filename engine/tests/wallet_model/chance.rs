//! Which verb comes next: few names and hostile amounts, so that much collides.

use yue_engine::{
    model::{AccountStatus, Amount, Timestamp},
    simulation::Random,
    wallet::{Channel, Class, Date, PromotionKind, PromotionRule, PromotionTerms},
};

use super::{
    naive::Naive,
    payments::From,
    verbs::{CATEGORIES, DEVICE_NAMES, MERCHANTS, RATES, Terms, USERS, Verb, part},
};

const HOUR_NS: i64 = 3_600 * 1_000_000_000;

pub(crate) struct Chance<'a> {
    pub(crate) random: &'a mut Random,
    pub(crate) model: &'a Naive,
    pub(crate) next_id: &'a mut u128,
}

impl Chance<'_> {
    pub(crate) fn verb(&mut self) -> Verb {
        // Open wallets and merchants first, or all else is refused.
        if self.model.users.len() < 3 && self.random.once_in(3) {
            return self.open();
        }
        if self.model.merchants.len() < 3 && self.random.once_in(10) {
            return self.merchant();
        }
        match self.random.weighted(&[2, 4, 4, 9, 4, 1, 4, 2, 4, 15, 26, 56, 11, 24, 12, 3, 6, 2]) {
            0 => self.open(),
            1 => self.change(),
            2 => self.set_password(),
            3 => self.token(),
            4 => {
                let (user, password) = self.user_and_password();
                let (name, key) = (self.random.below(DEVICE_NAMES.len()), self.below_u8(4));
                Verb::AddDevice { user, password, name, key }
            }
            5 => self.revoke(),
            6 => self.small(),
            7 => self.merchant(),
            8 => self.promotion(),
            9 => self.recharge(),
            10 => self.notify(),
            11 => self.pay(),
            12 => Verb::Cancel { id: self.payment_id() },
            13 => self.refund(),
            14 => self.transfer(),
            15 => {
                let (enabled, keep) = (!self.random.once_in(4), *self.random.pick(&[0, 1, 50_00]));
                Verb::Wealth { user: self.user(), enabled, keep }
            }
            16 => self.redeem(),
            _ => {
                let back = i64::try_from(self.random.below(3)).unwrap() * 24 * HOUR_NS;
                let date = Date::of(Timestamp(self.model.now - back));
                Verb::WealthDay { date, rate: self.random.below(RATES.len()) }
            }
        }
    }

    pub(crate) fn user(&mut self) -> usize {
        // Skewed: the first ones have much to do.
        self.random.below(USERS.len()).min(self.random.below(USERS.len()))
    }

    pub(crate) fn below_u8(&mut self, end: usize) -> u8 {
        u8::try_from(self.random.below(end)).unwrap()
    }

    /// A new id, or one that was used, of whichever verb.
    pub(crate) fn id(&mut self, known: Vec<u128>) -> u128 {
        let reused = self.random.once_in(12) && !known.is_empty();
        if reused {
            let recent = known.len().saturating_sub(20);
            return if self.random.once_in(2) {
                *self.random.pick(&known[recent..])
            } else {
                *self.random.pick(&known)
            };
        }
        *self.next_id += 1;
        *self.next_id
    }

    /// One of the keys of a map, mostly a late one.
    pub(crate) fn known(&mut self, all: &[u128]) -> u128 {
        if all.is_empty() || self.random.once_in(60) {
            return 999_999_999;
        }
        let recent = all.len().saturating_sub(10);
        if self.random.once_in(5) { *self.random.pick(all) } else { *self.random.pick(&all[recent..]) }
    }

    pub(crate) fn payment_id(&mut self) -> u128 {
        let waiting: Vec<u128> = self.waiting();
        if !waiting.is_empty() && !self.random.once_in(4) {
            return *self.random.pick(&waiting);
        }
        self.placed_id()
    }

    /// Mostly of a payment that was not refused.
    pub(crate) fn placed_id(&mut self) -> u128 {
        let any = self.random.once_in(15);
        let placed = |(_, payment): &(&u128, &super::payments::Pay)| any || payment.is_placed();
        let all: Vec<u128> = self.model.payments.iter().filter(placed).map(|(id, _)| *id).collect();
        self.known(&all)
    }

    pub(crate) fn waiting(&self) -> Vec<u128> {
        let waits = |(_, payment): &(&u128, &super::payments::Pay)| {
            payment.status(self.model.now) == yue_engine::wallet::PaymentStatus::AwaitingChannel
        };
        let recent = self.model.payments.iter().rev().take(60);
        recent.filter(waits).map(|(id, _)| *id).collect()
    }

    pub(crate) fn class(&mut self) -> Class {
        *self.random.pick(&[Class::I, Class::II, Class::III, Class::III])
    }

    pub(crate) fn open(&mut self) -> Verb {
        Verb::Open { user: self.user(), class: self.class() }
    }

    pub(crate) fn change(&mut self) -> Verb {
        use AccountStatus::{Active, Closed, Frozen};
        let user = self.user();
        let active = self.model.users.contains_key(&user) && self.model.status(user) == Active;
        let statuses =
            if active { [Active, Frozen, Frozen, Closed] } else { [Active, Active, Active, Closed] };
        let often = if active { 3 } else { 1 };
        let status = self.random.once_in(often).then(|| *self.random.pick(&statuses));
        // A wallet that is closed is so for ever: the first three stay.
        let status = status.filter(|status| *status != Closed || user >= 3 || self.random.once_in(3));
        let status = status.map(|status| if status == Closed && user < 2 { Frozen } else { status });
        let class = (status.is_none() || self.random.once_in(4)).then(|| self.class());
        Verb::Change { user, status, class }
    }

    pub(crate) fn user_and_password(&mut self) -> (usize, usize) {
        let user = self.user();
        let right = self.model.users.get(&user).and_then(|user| user.password);
        let any = 1 + self.random.below(3);
        // Who is wrong once is so again, until the lock.
        let guessed = self.model.users.get(&user).is_some_and(|user| user.tried.last() > Some(&0));
        let password =
            if self.random.once_in(if guessed { 2 } else { 10 }) { any } else { right.unwrap_or(any) };
        let password = if guessed && self.random.once_in(2) { 1 + any % 3 } else { password };
        (user, password)
    }

    pub(crate) fn set_password(&mut self) -> Verb {
        let (user, old) = self.user_and_password();
        let old = (!self.random.once_in(4)).then_some(old);
        Verb::SetPassword { user, new: self.random.below(4), old }
    }

    pub(crate) fn token(&mut self) -> Verb {
        let (user, password) = self.user_and_password();
        let most = *self.random.pick(&[100, 50_00, 500_00, 500_00, u64::MAX]);
        let seconds = *self.random.pick(&[1, 60, 300, 300, 9_999]);
        Verb::Token { user, password, most, seconds }
    }

    pub(crate) fn revoke(&mut self) -> Verb {
        let user = self.user();
        let devices = self.model.users.get(&user).map(|user| user.devices.clone()).unwrap_or_default();
        let none = "0197a0b0-0000-7000-8000-0000000000ab".to_owned();
        let device = if devices.is_empty() { none } else { self.random.pick(&devices).id.clone() };
        Verb::Revoke { user, device }
    }

    pub(crate) fn small(&mut self) -> Verb {
        let (user, password) = self.user_and_password();
        let limit =
            *self.random.pick(&[0, 100, 30_00, self.model.rules.small_most, self.model.rules.small_most + 1]);
        let count = *self.random.pick(&[1, 2, 3, self.model.rules.small_count_most + 1]);
        Verb::Small { user, password, enabled: !self.random.once_in(5), limit, count }
    }

    pub(crate) fn merchant(&mut self) -> Verb {
        let refused = CATEGORIES.into_iter().filter(|_| self.random.once_in(20)).collect();
        let terms = Terms {
            enabled: !self.random.once_in(15),
            third_party: self.random.once_in(2),
            refused,
            fee: *self.random.pick(&[0, 6_000, 33_333, 999_999]),
        };
        Verb::Merchant { merchant: self.random.below(MERCHANTS.len()), terms }
    }

    pub(crate) fn promotion(&mut self) -> Verb {
        let known: Vec<String> = self.model.promotions.keys().cloned().collect();
        if !known.is_empty() && self.random.once_in(4) {
            // The same again, or with another budget.
            let id = self.random.pick(&known).clone();
            let mut terms = self.model.promotions[&id].clone();
            if self.random.once_in(2) {
                terms.budget = Amount(terms.budget.units() + 1);
            }
            return Verb::Promotion { id, terms: Box::new(terms) };
        }
        let amount = |units: u64| Amount(units);
        let rules = [
            PromotionRule::AmountOff(amount(5_00)),
            PromotionRule::PercentOff { percent: 15, at_most: amount(10_00) },
            PromotionRule::PercentOff { percent: 100, at_most: amount(30_00) },
            PromotionRule::FullReduction { full: amount(30_00), reduce: amount(5_01) },
        ];
        let start = self.model.now + *self.random.pick(&[-HOUR_NS, -HOUR_NS, 0, HOUR_NS]);
        let lasts = *self.random.pick(&[HOUR_NS, 960 * HOUR_NS, 9_600 * HOUR_NS]);
        let kinds =
            [PromotionKind::PaymentDiscount, PromotionKind::PaymentDiscount, PromotionKind::RechargeBonus];
        let some = |random: &mut Random| random.once_in(4);
        let random = &mut *self.random;
        let terms = PromotionTerms {
            name: "618".into(),
            kind: *random.pick(&kinds),
            rule: *random.pick(&rules),
            budget: amount(*random.pick(&[1, 12_34, 40_00, 300_00])),
            per_user: *random.pick(&[None, Some(1), Some(1), Some(2), Some(5)]),
            starts_at: Timestamp(start),
            ends_at: Timestamp(start + lasts),
            merchants: MERCHANTS.into_iter().filter(|_| some(random) && some(random)).map(part).collect(),
            categories: CATEGORIES
                .into_iter()
                .filter(|_| some(random) && some(random))
                .map(Into::into)
                .collect(),
            channels: Channel::ALL.into_iter().filter(|_| random.once_in(40)).collect(),
        };
        let no = known.len();
        Verb::Promotion { id: format!("p{no}"), terms: Box::new(terms) }
    }

    pub(crate) fn a_promotion(&mut self, kind: PromotionKind) -> Option<String> {
        let now = self.model.now;
        let running = |terms: &PromotionTerms| {
            terms.kind == kind && (terms.starts_at.0..terms.ends_at.0).contains(&now)
        };
        let all: Vec<&String> =
            self.model.promotions.iter().filter(|(_, terms)| running(terms)).map(|(id, _)| id).collect();
        let any: Vec<&String> = self.model.promotions.keys().collect();
        let from = if self.random.once_in(30) { any } else { all };
        (!from.is_empty()).then(|| (*self.random.pick(&from)).clone())
    }

    pub(crate) fn channel(&mut self) -> Channel {
        Channel::ALL[self.random.below(4).min(self.random.below(4))]
    }

    pub(crate) fn recharge(&mut self) -> Verb {
        let known: Vec<u128> = self.model.recharges.keys().copied().collect();
        let id = self.id(known);
        if let Some(first) = self.model.recharges.get(&id).filter(|_| !self.random.once_in(3)) {
            let (user, channel, amount, promotion) = first.body();
            return Verb::Recharge { id, user, channel, amount, promotion };
        }
        let promotion =
            self.random.once_in(3).then(|| self.a_promotion(PromotionKind::RechargeBonus)).flatten();
        let amount = *self.random.pick(&[1, 99, 30_00, 100_00, 100_00, 250_00, 999_99]);
        Verb::Recharge { id, user: self.user(), channel: self.channel(), amount, promotion }
    }

    pub(crate) fn notify(&mut self) -> Verb {
        let recharges: Vec<u128> = self.model.recharges.keys().copied().collect();
        let recharge = self.random.once_in(2);
        // An order that may come yet.
        let order = match (self.random.once_in(40), recharge) {
            (true, _) => *self.next_id + 1 + u128::try_from(self.random.below(3)).unwrap(),
            (false, true) => self.known(&recharges),
            (false, false) => self.payment_id(),
        };
        let payment = self.model.payments.get(&order);
        let ordered = self.model.recharges.get(&order).map(|it| (it.channel, it.amount));
        let waits = payment.and_then(|it| Some((it.channel()?, it.sum(From::Channel))));
        let (mut channel, amount) = ordered.or(waits).unwrap_or((Channel::Wechat, 100_00));
        if self.random.once_in(25) {
            channel = self.channel();
        }
        let amount = if self.random.once_in(12) { amount.saturating_sub(1).max(1) } else { amount };
        let number = if self.random.once_in(5) { self.random.below(3) } else { 0 };
        // Now and then a channel gives two orders the same reference.
        let of = if self.random.once_in(12) { 7 } else { order };
        Verb::Notify {
            channel,
            order,
            paid: !self.random.once_in(6),
            amount,
            reference: format!("r{of}-{number}"),
            paid_at: 1_700_000_000_000_000_000 + i64::try_from(number).unwrap(),
        }
    }
}

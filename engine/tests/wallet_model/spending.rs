//! Which payment, refund, transfer or redemption comes next.

use yue_engine::{
    model::{Amount, TransactionId},
    wallet::{OnExhausted, PaymentRequest, PromotionKind, RefundRequest},
};

use super::{
    chance::Chance,
    naive::{Token, own, wealth},
    payments::Pay,
    verbs::{MERCHANTS, Shown, USERS, Verb, item, part},
};

impl Chance<'_> {
    pub(crate) fn amount_near(&mut self, user: usize) -> u64 {
        let available = match self.model.users.contains_key(&user) {
            true => self.model.books.account(&own(user)).available(),
            false => 0,
        };
        let available = u64::try_from(available.clamp(0, 1 << 40)).unwrap();
        let near =
            [available, available + 1, available.saturating_sub(1), available / 3 + 1, available / 10 + 1];
        let small = [1, 99, 1_00, 12_34, 30_00];
        let amount =
            if self.random.once_in(2) { *self.random.pick(&small) } else { *self.random.pick(&near) };
        amount.max(1)
    }

    pub(crate) fn shown(&mut self, user: usize) -> Shown {
        let mine = |(_, token): &(usize, &Token)| {
            token.user == user && !token.void && !token.used && self.model.now < token.until
        };
        let fresh: Vec<usize> = self.model.tokens.iter().enumerate().filter(mine).map(|(no, _)| no).collect();
        let devices = self.model.users.get(&user).map(|user| user.devices.clone()).unwrap_or_default();
        let small = self.model.users.get(&user).is_some_and(|user| user.small.0);
        if self.random.once_in(20) {
            return Shown::Nothing;
        }
        if self.random.once_in(12) {
            // Any token: used, void, another's, too old, none.
            return Shown::Token(self.random.below(self.model.tokens.len() + 1));
        }
        if !fresh.is_empty() && self.random.once_in(2) {
            return Shown::Token(*self.random.pick(&fresh));
        }
        if !devices.is_empty() && (!small || self.random.once_in(2)) {
            let device = self.random.pick(&devices).clone();
            let key = if self.random.once_in(15) { self.below_u8(4) } else { device.key };
            let counter = device.counter + *self.random.pick(&[1, 1, 1, 5, 0]);
            let good = !self.random.once_in(15);
            return Shown::Device { device: device.id, key, counter, good };
        }
        Shown::Small
    }

    /// Whether what is shown is known to be worth nothing, so that the payment would be one more refusal of the kind.
    pub(crate) fn needs_token(&mut self, user: usize, shown: &Shown) -> bool {
        let refused = self.model.users.contains_key(&user) && self.model.authorise(user, 1, shown).is_err();
        refused && !self.random.once_in(5)
    }

    pub(crate) fn likely_password(&mut self, user: usize) -> usize {
        let right = self.model.users[&user].password.unwrap_or(1);
        // Some forget theirs altogether.
        let forgotten = self.model.users[&user].tried.last() > Some(&0) && self.random.once_in(2);
        if forgotten { 1 + right % 3 } else { right }
    }

    pub(crate) fn pay(&mut self) -> Verb {
        let known: Vec<u128> = self.model.payments.keys().copied().collect();
        let id = self.id(known);
        let user = self.user();
        let mut request = match self.model.payments.get(&id) {
            Some(first) => first.request.clone(),
            None => self.request(user),
        };
        if self.model.payments.contains_key(&id) && self.random.once_in(3) {
            match self.random.below(4) {
                0 => request.user = part(USERS[user]),
                1 => request.items[0].amount = Amount(77),
                2 => request.items.push(item("more", 0, 5)),
                _ => request.on_exhausted = OnExhausted::FullPrice,
            }
        }
        let payer = USERS.iter().position(|name| *name == request.user.as_str()).unwrap();
        let auth = self.shown(payer);
        if self.needs_token(payer, &auth) {
            return Verb::Token {
                user: payer,
                password: self.likely_password(payer),
                most: 500_00,
                seconds: 300,
            };
        }
        Verb::Pay { id, request, auth }
    }

    pub(crate) fn request(&mut self, user: usize) -> PaymentRequest {
        let count = 1 + self.random.below(4).min(self.random.below(4));
        let items = (0..count).map(|no| {
            let amount = if self.random.once_in(400) { u64::MAX } else { self.amount_near(user) };
            let category = self.random.below(3).min(self.random.below(3));
            item(if no == 2 { "way" } else { "thing" }, category, amount)
        });
        let items = items.collect();
        let combine_with = self.random.once_in(2).then(|| self.channel());
        let promotion =
            self.random.once_in(2).then(|| self.a_promotion(PromotionKind::PaymentDiscount)).flatten();
        let on_exhausted = *self.random.pick(&[OnExhausted::Refuse, OnExhausted::FullPrice]);
        PaymentRequest {
            user: part(USERS[user]),
            merchant: part(MERCHANTS[self.random.below(3)]),
            items,
            combine_with,
            promotion: promotion.map(|id| part(&id)),
            on_exhausted,
        }
    }

    pub(crate) fn refund(&mut self) -> Verb {
        let known: Vec<u128> = self.model.refunds.keys().copied().collect();
        let id = self.id(known);
        if let Some((first, _)) = self.model.refunds.get(&id).filter(|_| !self.random.once_in(3)) {
            let (payment, amount, item, reason) = first.clone();
            let (payment, amount, reason) = (TransactionId(payment), Amount(amount), reason.map(Into::into));
            return Verb::Refund { id, request: RefundRequest { payment, amount, item, reason } };
        }
        let payment = self.placed_id();
        let left = self.model.payments.get(&payment).map_or(0, Pay::refundable);
        let amounts =
            [1, left, left.saturating_add(1), left / 2 + 1, left / 7 + 1, left / 7 + 1, left / 60 + 1];
        let amount = Amount((*self.random.pick(&amounts)).max(1));
        let item = self.random.once_in(4).then(|| self.below_u8(3));
        let reason = self.random.once_in(3).then(|| "too small".into());
        let payment = TransactionId(payment);
        Verb::Refund { id, request: RefundRequest { payment, amount, item, reason } }
    }

    pub(crate) fn transfer(&mut self) -> Verb {
        let known: Vec<u128> = self.model.transfers.keys().copied().collect();
        let id = self.id(known);
        let first =
            self.model.transfers.get(&id).map(|(first, _)| *first).filter(|_| !self.random.once_in(3));
        let user = self.user();
        let fresh = (user, self.random.below(USERS.len()), self.amount_near(user));
        let (user, to, amount) = first.unwrap_or(fresh);
        let auth = self.shown(user);
        if self.needs_token(user, &auth) {
            return Verb::Token { user, password: self.likely_password(user), most: 500_00, seconds: 300 };
        }
        Verb::Transfer { id, user, to, amount, auth }
    }

    pub(crate) fn redeem(&mut self) -> Verb {
        let id = if self.random.once_in(10) { *self.next_id } else { *self.next_id + 1 };
        *self.next_id = id;
        let user = self.user();
        let shares = match self.model.users.contains_key(&user) {
            true => self.model.books.account(&wealth(user)).posted,
            false => 0,
        };
        let most = self.model.rules.redemption_a_day;
        let units = u64::try_from(shares).unwrap_or(0);
        let amounts = [1, units, units + 1, units / 5 + 1, most, most + 1, most / 2];
        let amount = *self.random.pick(&amounts);
        let texts = [format!("{}.{:02}", amount / 100, amount % 100), "0.001".into()];
        let text = if self.random.once_in(20) { texts[1].clone() } else { texts[0].clone() };
        Verb::Redeem { id, user, amount: text }
    }
}

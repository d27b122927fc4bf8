//! What is compared: balances, wallets, payments, recharges, promotions, as they are shown and as the model says that they
//! must be.

use std::pin::Pin;

use yue_engine::{
    model::{Address, Limit, TransactionId},
    wallet::CustomerView,
};

use super::{
    naive::{Naive, budget, carbon, own, wealth},
    verbs::{DEVICE_NAMES, USERS, Verb, part, payment_text, recharge_text},
    world::{Life, World},
};

/// What is asked of the wallet, as text.
type Read = Pin<Box<dyn Future<Output = String>>>;

fn limit_text(limit: &Limit, used: (u128, u64)) -> String {
    let Limit { window, code, amount, count } = limit;
    format!("{window:?} {} {amount:?} {count:?} used {used:?}", code.as_deref().unwrap_or("all"))
}

pub(crate) fn customer_text(view: &CustomerView) -> String {
    let small = view.small_payments;
    let devices: Vec<_> =
        view.devices.iter().map(|it| (it.device.clone(), it.name.clone(), it.counter)).collect();
    let limits: Vec<_> =
        view.limits.iter().map(|it| limit_text(&it.limit, (it.used_amount, it.used_count))).collect();
    format!(
        "{:?} {:?} posted {} held {} available {} wealth {} income {} {} keep {} carbon {} password {} locked {:?} small \
         {} {} {} devices {devices:?} limits {limits:?}",
        view.class,
        view.status,
        view.posted,
        view.held,
        view.available,
        view.wealth,
        view.income_total,
        view.wealth_settings.enabled,
        view.wealth_settings.keep.units(),
        view.carbon,
        view.password_set,
        view.locked_until.map(|at| at.0),
        small.enabled,
        small.limit.units(),
        small.daily_count,
    )
}

pub(crate) fn expected_customer(model: &Naive, user: usize) -> String {
    let Some(known) = model.users.get(&user) else { return "Not found".into() };
    let account = model.books.account(&own(user));
    let devices: Vec<_> = known
        .devices
        .iter()
        .map(|it| (it.id.clone(), DEVICE_NAMES[it.name].to_owned(), it.counter))
        .collect();
    // What a wallet shows are the limits of its class, and not the ledger's meters.
    let is_meter = |limit: &Limit| limit.amount == Some(u64::MAX);
    let limits = account.limits.iter().filter(|limit| !is_meter(&limit.0));
    let limits: Vec<_> = limits.map(|limit| limit_text(&limit.0, account.used(limit, model.now))).collect();
    let (enabled, most, count) = known.small;
    format!(
        "{:?} {:?} posted {} held {} available {} wealth {} income {} {} keep {} carbon {} password {} locked {:?} small \
         {enabled} {most} {count} devices {devices:?} limits {limits:?}",
        known.class,
        account.status,
        account.posted,
        account.held,
        account.available(),
        model.books.account(&wealth(user)).posted,
        known.income,
        known.wealth.0,
        known.wealth.1,
        model.books.account(&carbon(user)).posted,
        known.password.is_some(),
        known.locked_until.filter(|until| model.now < *until),
    )
}

impl World {
    pub(crate) fn compare_touched(&mut self, verb: &Verb) {
        let (users, payments, recharges) = self.touched(verb);
        self.compare(&users, &payments, &recharges);
    }

    /// The users, payments and recharges that a verb may have changed.
    pub(crate) fn touched(&self, verb: &Verb) -> (Vec<usize>, Vec<u128>, Vec<u128>) {
        let name = |user: &str| USERS.iter().position(|it| *it == user);
        let (mut users, mut payments, mut recharges) = (vec![], vec![], vec![]);
        match verb {
            Verb::Open { user, .. }
            | Verb::Change { user, .. }
            | Verb::SetPassword { user, .. }
            | Verb::Token { user, .. }
            | Verb::AddDevice { user, .. }
            | Verb::Revoke { user, .. }
            | Verb::Small { user, .. }
            | Verb::Wealth { user, .. }
            | Verb::Redeem { user, .. } => users.push(*user),
            Verb::Merchant { .. } | Verb::Promotion { .. } => {}
            Verb::Recharge { id, user, .. } => {
                users.push(*user);
                recharges.push(*id);
            }
            Verb::Notify { order, .. } => {
                users.extend(self.model.recharges.get(order).map(|it| it.user));
                users.extend(self.model.payments.get(order).and_then(|it| name(it.request.user.as_str())));
                payments.push(*order);
                recharges.push(*order);
            }
            Verb::Pay { id, request, .. } => {
                users.extend(name(request.user.as_str()));
                payments.push(*id);
            }
            Verb::Cancel { id } => payments.push(*id),
            Verb::Refund { request, .. } => payments.push(request.payment.0),
            Verb::Transfer { user, to, .. } => users.extend([*user, *to]),
            Verb::WealthDay { .. } => users.extend(self.model.users.keys()),
        }
        for id in &payments {
            users.extend(self.model.payments.get(id).and_then(|it| name(it.request.user.as_str())));
        }
        users.sort_unstable();
        users.dedup();
        (users, payments, recharges)
    }

    pub(crate) fn compare_all(&mut self) {
        let payments: Vec<u128> = self.model.payments.keys().copied().collect();
        let recharges: Vec<u128> = self.model.recharges.keys().copied().collect();
        self.compare(&(0..USERS.len()).collect::<Vec<_>>(), &payments, &recharges);
        let Self { life, machine, .. } = self;
        let Life { wallet, runtime } = life.as_ref().unwrap();
        let engine = wallet.engine().clone();
        let read = Box::pin(async move { engine.trial_balance().await.unwrap() });
        let [totals] = runtime.block_on(machine.drive(vec![read], None)).unwrap().try_into().unwrap();
        for asset in totals.assets {
            assert_eq!(asset.debits, asset.credits, "the trial balance of {}", asset.asset.code);
        }
    }

    pub(crate) fn compare(&mut self, users: &[usize], payments: &[u128], recharges: &[u128]) {
        if let Some(difference) = self.difference(users, payments, recharges) {
            panic!("{difference}");
        }
    }

    pub(crate) fn difference(
        &mut self,
        users: &[usize],
        payments: &[u128],
        recharges: &[u128],
    ) -> Option<String> {
        let difference = self.difference_of_accounts();
        if difference.is_some() {
            return difference;
        }
        let Self { life, machine, model, .. } = self;
        let Life { wallet, runtime } = life.as_ref().unwrap();
        let mut calls: Vec<(String, String, Read)> = vec![];
        for &user in users {
            let (wallet, name) = (wallet.clone(), part(USERS[user]));
            let read = Box::pin(async move {
                wallet
                    .customer(&name)
                    .await
                    .map_or_else(|error| error.to_string(), |view| customer_text(&view))
            });
            calls.push((format!("user {}", USERS[user]), expected_customer(model, user), read));
        }
        for &id in payments {
            let wallet = wallet.clone();
            let expected = model.payment_text(id).unwrap_or_else(|| "Not found".into());
            let read = Box::pin(async move {
                let found = wallet.payment(TransactionId(id)).await;
                found.map_or_else(|error| error.to_string(), |view| payment_text(&view))
            });
            calls.push((format!("payment {id}"), expected, read));
        }
        for &id in recharges.iter().filter(|id| model.recharges.contains_key(id)) {
            let (wallet, expected) = (wallet.clone(), model.recharge_text(id));
            let read = Box::pin(async move {
                let found = wallet.recharge_view(TransactionId(id)).await;
                found.map_or_else(|error| error.to_string(), |view| recharge_text(&view.unwrap()))
            });
            calls.push((format!("recharge {id}"), expected, read));
        }
        let (expected, calls): (Vec<_>, Vec<_>) =
            calls.into_iter().map(|(what, expected, call)| ((what, expected), call)).unzip();
        let answers = runtime.block_on(machine.drive(calls, None)).unwrap();
        let differs = expected.into_iter().zip(answers).find(|((_, expected), answer)| expected != answer);
        differs.map(|((what, expected), answer)| {
            format!("{what} is not as the model says\n  wallet: {answer}\n   model: {expected}")
        })
    }

    /// Every account that the model has, and the promotions on theirs.
    pub(crate) fn difference_of_accounts(&self) -> Option<String> {
        let wallet = &self.life.as_ref().unwrap().wallet;
        for (address, expected) in &self.model.books.accounts {
            let found = wallet.engine().account(&Address::parse(address).unwrap());
            let (posted, held) = found.as_ref().map_or((0, 0), |it| (it.posted, it.held));
            // A hold on the side that grows is room, and not money set aside.
            let held = if expected.debit_normal { expected.held } else { held };
            let found = (posted, held, found.map_or(expected.status, |it| it.status));
            let expected = (expected.posted, expected.held, expected.status);
            if found != expected {
                return Some(format!(
                    "{address}: posted, held, status are {found:?}, the model says {expected:?}"
                ));
            }
        }
        for (id, terms) in &self.model.promotions {
            let view = wallet.promotion(&part(id)).unwrap();
            let left = self.model.books.account(&budget(id)).available();
            let spent = i128::from(terms.budget.units()) - left;
            let found = (i128::from(view.left.units()), i128::from(view.spent.units()));
            if found != (left, spent) {
                return Some(format!(
                    "{id}: left and spent are {found:?}, the model says {:?}",
                    (left, spent)
                ));
            }
        }
        None
    }
}

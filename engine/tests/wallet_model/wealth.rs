//! The naive model's wealth product: shares, their income, the sweep.

use yue_engine::{
    model::AccountStatus,
    wallet::{Class, Date},
};

use super::{
    books::Op,
    naive::{Expected, Naive, again, owed, own, says, wealth},
    verbs::RATES,
};

impl Naive {
    pub(crate) fn set_wealth(&mut self, user: usize, enabled: bool, keep: u64) -> &'static str {
        let Some(known) = self.users.get_mut(&user) else { return "not_found" };
        if enabled && known.class != Class::III {
            return "class_not_allowed";
        }
        known.wealth = (enabled, keep);
        "set"
    }

    pub(crate) fn redeem(&mut self, id: u128, user: usize, amount: &str) -> Expected {
        let units = units(amount);
        if let Some((first, outcome)) = self.redemptions.get(&id) {
            return again(&[(first.0 != user, "/user"), (Some(first.1) != units, "/amount")], outcome);
        }
        let Some(amount) = units else { return says("amount_invalid /amount", None) };
        if !self.users.contains_key(&user) {
            return says("not_found", None);
        }
        let redeem = Op::Move { debit: wealth(user), credit: own(user), amount, code: "wealth.redeem" };
        let outcome = self.books.post(&[redeem], self.now);
        let outcome = outcome.map(|()| "redeemed".to_owned()).map_err(|(code, _)| code.to_owned());
        self.redemptions.insert(id, ((user, amount), outcome.clone()));
        says(outcome.unwrap_or_else(|code| code), Some(false))
    }

    pub(crate) fn wealth_day(&mut self, date: Date, rate: usize) -> Expected {
        if let Some((first, said)) = self.wealth_days.get(&date) {
            let reused = || says("id_reused /income_per_10k", None);
            return if *first == rate { says(said.clone(), Some(true)) } else { reused() };
        }
        let income =
            |shares: i128| u64::try_from(shares.unsigned_abs() * RATES[rate].1 / 1_000_000_000_000).unwrap();
        let users: Vec<usize> = self.users.keys().copied().collect();
        let all: i128 = users.iter().map(|&user| self.books.account(&wealth(user)).posted).sum();
        let funded = income(all);
        self.flow("reserve:wealth", "wealth:clearing", funded, "wealth.income");
        let (mut credited, mut wallets) = (0, 0);
        for &user in &users {
            let account = self.books.account(&wealth(user));
            let (earned, active) = (income(account.posted), account.status == AccountStatus::Active);
            if earned == 0 {
                continue;
            }
            (credited, wallets) = (credited + earned, wallets + 1);
            let to = if active { wealth(user) } else { owed(user) };
            self.flow("wealth:clearing", &to, earned, "wealth.income");
            self.users.get_mut(&user).unwrap().income += if active { earned } else { 0 };
        }
        for &user in &users {
            let waits = u64::try_from(self.books.account(&owed(user)).posted).unwrap();
            if self.books.account(&wealth(user)).status == AccountStatus::Active {
                self.flow(&owed(user), &wealth(user), waits, "wealth.income");
                self.users.get_mut(&user).unwrap().income += waits;
            }
        }
        for &user in &users {
            let known = &self.users[&user];
            let idle = self.books.account(&own(user)).available() - i128::from(known.wealth.1);
            let takes_part =
                known.wealth.0 && known.class == Class::III && self.status(user) == AccountStatus::Active;
            if takes_part && idle > 0 {
                self.flow(&own(user), &wealth(user), u64::try_from(idle).unwrap(), "wealth.buy");
            }
        }
        self.flow("wealth:clearing", "platform:rounding", funded - credited, "wealth.income");
        let said = format!("credited {credited} remainder {} wallets {wallets}", funded - credited);
        self.wealth_days.insert(date, (rate, said.clone()));
        says(said, Some(false))
    }

    pub(crate) fn flow(&mut self, debit: &str, credit: &str, amount: u64, code: &'static str) {
        if amount > 0 {
            let (debit, credit) = (debit.to_owned(), credit.to_owned());
            self.books.post(&[Op::Move { debit, credit, amount, code }], self.now).unwrap();
        }
    }
}

/// Fen of a decimal text of at most two decimals, more than zero.
fn units(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{decimals:0<2}");
    let units: u64 = if decimals.len() <= 2 { digits.parse().ok()? } else { return None };
    (units > 0).then_some(units)
}

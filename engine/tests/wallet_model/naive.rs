//! The naive wallet: maps, one verb after the other, written from the contract.
//!
//! Owns what users, merchants and promotions are, and answers all verbs but those of payments and channels.

use std::collections::{BTreeMap, BTreeSet};

use yue_engine::{
    model::{AccountStatus, Limit, LimitWindow},
    wallet::{Channel, Class, Date, PromotionKind, PromotionRule, PromotionTerms},
};

use super::{
    books::{Account, Books, Op},
    channels::{MoneyKey, Recharge, Suspended},
    payments::Pay,
    verbs::{Answer, Shown, Terms, USERS, Verb},
};

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;

/// What this run's wallet is set up with.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) class_limits: [Vec<Limit>; 3],
    pub(crate) devices_max: usize,
    pub(crate) refunds_max: usize,
    pub(crate) refund_days: u32,
    pub(crate) redemption_a_day: u64,
    pub(crate) small_most: u64,
    pub(crate) small_count_most: u32,
}

pub(crate) const ATTEMPTS: u32 = 5;
pub(crate) const LOCK_S: i64 = 2 * 3_600;
pub(crate) const WAIT_S: i64 = 900;

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) class: Class,
    pub(crate) password: Option<usize>,
    /// How many tries are counted: several answers are possible after a crash.
    pub(crate) tried: BTreeSet<u32>,
    pub(crate) locked_until: Option<i64>,
    pub(crate) devices: Vec<Device>,
    pub(crate) revoked: BTreeSet<String>,
    pub(crate) small: (bool, u64, u32),
    /// The day of the count, and the count.
    pub(crate) small_used: (i64, u32),
    pub(crate) wealth: (bool, u64),
    pub(crate) income: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) name: usize,
    pub(crate) key: u8,
    pub(crate) counter: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) user: usize,
    pub(crate) most: u64,
    pub(crate) until: i64,
    pub(crate) void: bool,
    pub(crate) used: bool,
}

/// What an id was used for, and what came of it.
pub(crate) type Once<R> = BTreeMap<u128, (R, Result<String, String>)>;

#[derive(Clone, Debug)]
pub(crate) struct Naive {
    pub(crate) rules: Rules,
    pub(crate) books: Books,
    pub(crate) users: BTreeMap<usize, User>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) merchants: BTreeMap<usize, Terms>,
    pub(crate) promotions: BTreeMap<String, PromotionTerms>,
    pub(crate) recharges: BTreeMap<u128, Recharge>,
    pub(crate) suspense: BTreeMap<MoneyKey, Suspended>,
    pub(crate) first_suspended: BTreeMap<u128, MoneyKey>,
    pub(crate) payments: BTreeMap<u128, Pay>,
    pub(crate) refunds: Once<(u128, u64, Option<u8>, Option<String>)>,
    pub(crate) transfers: Once<(usize, usize, u64)>,
    pub(crate) redemptions: Once<(usize, u64)>,
    pub(crate) wealth_days: BTreeMap<Date, (usize, String)>,
    pub(crate) now: i64,
}

/// What must be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) said: String,
    pub(crate) replayed: Option<bool>,
}

pub(crate) fn says(said: impl Into<String>, replayed: Option<bool>) -> Expected {
    Expected { said: said.into(), replayed }
}

/// What an authorisation costs.
pub(crate) enum Cost {
    Token(usize),
    Device(usize, String, u64),
    Small(usize, i64, u32),
}

pub(crate) fn own(user: usize) -> String {
    format!("customers:{}", USERS[user])
}

pub(crate) fn wealth(user: usize) -> String {
    format!("customers:{}:wealth", USERS[user])
}

/// Income of days on which the wallet took no part.
pub(crate) fn owed(user: usize) -> String {
    format!("suspense:wealth:{}", USERS[user])
}

pub(crate) fn carbon(user: usize) -> String {
    format!("customers:{}:carbon", USERS[user])
}

pub(crate) fn day(now: i64) -> i64 {
    (now + 8 * 3_600 * SECOND_NS).div_euclid(DAY_NS)
}

impl Naive {
    pub(crate) fn new(rules: Rules, now: i64) -> Self {
        let mut books = Books::default();
        let platform = ["promotion", "carbon"].map(|name| (format!("platform:{name}"), true));
        let more = ["fees", "rounding", "tickets"].map(|name| (format!("platform:{name}"), false));
        let day = [("reserve:wealth", true), ("wealth:clearing", false)];
        let day = day.map(|(name, debit)| (name.to_owned(), debit));
        for (address, debit) in platform.into_iter().chain(more).chain(day) {
            books.open(&address, Account::new(debit, None, None));
        }
        for user in 0..USERS.len() {
            books.open(&owed(user), Account::new(false, None, None));
        }
        for channel in Channel::ALL {
            books.open(&format!("channels:{}", channel.as_str()), Account::new(true, None, None));
            books.open(&format!("suspense:{}", channel.as_str()), Account::new(false, None, None));
        }
        Self {
            rules,
            books,
            users: BTreeMap::new(),
            tokens: vec![],
            merchants: BTreeMap::new(),
            promotions: BTreeMap::new(),
            recharges: BTreeMap::new(),
            suspense: BTreeMap::new(),
            first_suspended: BTreeMap::new(),
            payments: BTreeMap::new(),
            refunds: BTreeMap::new(),
            transfers: BTreeMap::new(),
            redemptions: BTreeMap::new(),
            wealth_days: BTreeMap::new(),
            now,
        }
    }

    pub(crate) fn set_now(&mut self, now: i64) {
        self.now = now;
        self.books.expire(now);
    }

    /// What must be answered now. `actual` tells what cannot be foreseen: names of devices and tokens, and which of the
    /// states is true that a crash has left possible.
    pub(crate) fn apply(&mut self, verb: &Verb, actual: &Answer) -> Expected {
        match verb {
            Verb::Open { user, class } => self.open(*user, *class),
            Verb::Change { user, status, class } => says(
                self.change(*user, *status, *class).map_or_else(str::to_owned, |()| "changed".into()),
                None,
            ),
            Verb::SetPassword { user, new, old } => self.set_password(*user, *new, *old, actual),
            Verb::Token { user, password, most, seconds } => {
                if let Err(refused) = self.check(*user, *password, actual) {
                    return says(refused, None);
                }
                let until = self.now + i64::from((*seconds).min(300)) * SECOND_NS;
                assert_eq!(actual.until, Some(until), "a token's end");
                self.tokens.push(Token { user: *user, most: *most, until, void: false, used: false });
                says("token", None)
            }
            Verb::AddDevice { user, password, name, key } => {
                self.add_device((*user, *password), *name, *key, actual)
            }
            Verb::Revoke { user, device } => says(self.revoke(*user, device), None),
            Verb::Small { user, password, enabled, limit, count } => {
                let said = self.set_small((*user, *password), (*enabled, *limit, *count), actual);
                says(said.map_or_else(|refused| refused, |()| "set".into()), None)
            }
            Verb::Merchant { merchant, terms } => {
                self.books.open(&merchant_account(*merchant), Account::new(false, None, None));
                self.merchants.insert(*merchant, terms.clone());
                says("set", None)
            }
            Verb::Promotion { id, terms } => self.promotion(id, terms),
            Verb::Recharge { id, user, channel, amount, promotion } => {
                self.recharge(*id, (*user, *channel, *amount, promotion.clone()))
            }
            Verb::Notify { channel, order, paid, amount, reference, paid_at } => {
                says(self.notify(*channel, *order, *paid, (*amount, reference, *paid_at)), None)
            }
            Verb::Pay { id, request, auth } => self.pay(*id, request, auth, actual),
            Verb::Cancel { id } => self.cancel(*id),
            Verb::Refund { id, request } => self.refund(*id, request),
            Verb::Transfer { id, user, to, amount, auth } => self.transfer(*id, (*user, *to, *amount), auth),
            Verb::Wealth { user, enabled, keep } => says(self.set_wealth(*user, *enabled, *keep), None),
            Verb::Redeem { id, user, amount } => self.redeem(*id, *user, amount),
            Verb::WealthDay { date, rate } => self.wealth_day(*date, *rate),
        }
    }

    fn open(&mut self, user: usize, class: Class) -> Expected {
        if let Some(known) = self.users.get(&user) {
            return if known.class == class {
                says("open", Some(true))
            } else {
                says("account_exists /class", None)
            };
        }
        self.books.open(&own(user), Account::new(false, Some(0), None));
        self.books.open(&wealth(user), Account::new(false, Some(0), None));
        self.books.open(&carbon(user), Account::new(false, None, None));
        let limits = self.limits_of(class);
        self.books.set_limits(&own(user), limits, i64::MIN);
        let fast = limit(LimitWindow::Day, Some("wealth.redeem"), self.rules.redemption_a_day);
        self.books.set_limits(
            &wealth(user),
            vec![fast, limit(LimitWindow::Lifetime, None, u64::MAX)],
            i64::MIN,
        );
        let fresh = User {
            class,
            password: None,
            tried: BTreeSet::from([0]),
            locked_until: None,
            devices: vec![],
            revoked: BTreeSet::new(),
            small: (false, 0, 0),
            small_used: (0, 0),
            wealth: (false, 0),
            income: 0,
        };
        self.users.insert(user, fresh);
        says("open", Some(false))
    }

    fn limits_of(&self, class: Class) -> Vec<Limit> {
        let [one, two, three] = &self.rules.class_limits;
        let limits = match class {
            Class::I => one,
            Class::II => two,
            Class::III => three,
        };
        let mut limits = limits.clone();
        // What the other classes look at is counted all the same.
        for other in self.rules.class_limits.iter().flatten() {
            if !limits.iter().any(|it| it.window == other.window && it.code == other.code) {
                limits.push(limit(other.window, other.code.as_deref(), u64::MAX));
            }
        }
        limits.push(limit(LimitWindow::Lifetime, Some("wealth.buy"), u64::MAX));
        limits
    }

    pub(crate) fn status(&self, user: usize) -> AccountStatus {
        self.books.account(&own(user)).status
    }

    fn change(
        &mut self,
        user: usize,
        status: Option<AccountStatus>,
        class: Option<Class>,
    ) -> Result<(), &'static str> {
        use AccountStatus::{Active, Closed, Frozen};
        if !self.users.contains_key(&user) {
            return Err("not_found");
        }
        if self.status(user) == Closed && (class.is_some() || status.is_some_and(|status| status != Closed)) {
            return Err("account_closed");
        }
        if let Some(class) = class {
            let limits = self.limits_of(class);
            let known = self.users.get_mut(&user).unwrap();
            known.class = class;
            known.wealth.0 &= class == Class::III;
            self.books.set_limits(&own(user), limits, self.now);
        }
        match status {
            None => {}
            Some(status @ (Active | Frozen)) => {
                [own(user), wealth(user)].iter().for_each(|it| self.books.set_status(it, status));
            }
            Some(Closed) => {
                let money = [own(user), wealth(user)].map(|it| self.books.account(&it).clone());
                if money.iter().any(|account| account.posted != 0 || account.held != 0) {
                    return Err("account_not_empty");
                }
                self.books.set_status(&own(user), Closed);
                self.books.set_status(&wealth(user), Closed);
            }
        }
        Ok(())
    }

    fn promotion(&mut self, id: &str, terms: &PromotionTerms) -> Expected {
        if let Some(known) = self.promotions.get(id) {
            let fields = [
                (known.name != terms.name, "/name"),
                (known.kind != terms.kind, "/kind"),
                (known.rule != terms.rule, "/rule"),
                (known.budget != terms.budget, "/budget"),
                (known.per_user != terms.per_user, "/per_user"),
                (known.starts_at != terms.starts_at, "/starts_at"),
                (known.ends_at != terms.ends_at, "/ends_at"),
                (known.merchants != terms.merchants, "/merchants"),
                (known.categories != terms.categories, "/categories"),
                (known.channels != terms.channels, "/channels"),
            ];
            let other = fields.into_iter().find(|(differs, _)| *differs);
            return match other {
                Some((_, field)) => says(format!("id_reused {field}"), None),
                None => says("made", Some(true)),
            };
        }
        self.promotions.insert(id.to_owned(), terms.clone());
        self.books.open(&budget(id), Account::new(false, Some(0), None));
        self.books.open(&format!("promos:{id}:slots"), Account::new(false, None, None));
        let (debit, credit) = ("platform:promotion".to_owned(), budget(id));
        let fund = Op::Move { debit, credit, amount: terms.budget.units(), code: "promotion" };
        self.books.post(&[fund], self.now).unwrap();
        says("made", Some(false))
    }

    /// A promotion that is for this now.
    pub(crate) fn runs(
        &self,
        id: &str,
        kind: PromotionKind,
        channel: Option<Channel>,
    ) -> Option<PromotionTerms> {
        let terms = self.promotions.get(id)?;
        let open = (terms.starts_at.0..terms.ends_at.0).contains(&self.now);
        let over = terms.channels.is_empty() || channel.is_some_and(|it| terms.channels.contains(&it));
        (terms.kind == kind && open && over).then(|| terms.clone())
    }

    /// The account that counts a payer's grants, if there is a cap.
    pub(crate) fn slot_of(&mut self, user: usize, id: &str) -> Option<(String, String)> {
        let cap = self.promotions[id].per_user?;
        let account = format!("customers:{}:slots:{id}", USERS[user]);
        self.books.open(&account, Account::new(true, None, Some(i128::from(cap))));
        Some((account, format!("promos:{id}:slots")))
    }

    fn transfer(&mut self, id: u128, order: (usize, usize, u64), shown: &Shown) -> Expected {
        let (user, to, amount) = order;
        if let Some((first, outcome)) = self.transfers.get(&id) {
            let fields = [(first.0 != user, "/user"), (first.1 != to, "/to"), (first.2 != amount, "/amount")];
            return again(&fields, outcome);
        }
        if !self.users.contains_key(&user) {
            return says("not_found", None);
        }
        if user == to {
            return says("same_account /to", None);
        }
        if !self.users.contains_key(&to) {
            return says("account_not_found /to", None);
        }
        let cost = match self.authorise(user, amount, shown) {
            Ok(cost) => cost,
            Err(refused) => return says(refused, None),
        };
        let transfer = Op::Move { debit: own(user), credit: own(to), amount, code: "spend.transfer" };
        let outcome = match self.books.post(&[transfer], self.now) {
            Ok(()) => {
                self.pay_cost(cost);
                Ok("transferred".to_owned())
            }
            Err((code, _)) => Err(code.to_owned()),
        };
        self.transfers.insert(id, (order, outcome.clone()));
        says(outcome.unwrap_or_else(|code| code), Some(false))
    }
}

/// A known id's answer: that of its first body, or which field differs.
pub(crate) fn again(fields: &[(bool, &str)], outcome: &Result<String, String>) -> Expected {
    match fields.iter().find(|(differs, _)| *differs) {
        Some((_, field)) => says(format!("id_reused {field}"), None),
        None => says(outcome.clone().unwrap_or_else(|code| code), Some(true)),
    }
}

pub(crate) fn limit(window: LimitWindow, code: Option<&str>, amount: u64) -> Limit {
    Limit { window, code: code.map(Into::into), amount: Some(amount), count: None }
}

pub(crate) fn merchant_account(merchant: usize) -> String {
    format!("merchants:{}", super::verbs::MERCHANTS[merchant])
}

pub(crate) fn budget(promotion: &str) -> String {
    format!("promos:{promotion}")
}

/// What a rule gives on an amount.
pub(crate) fn given(rule: PromotionRule, amount: u64) -> u64 {
    match rule {
        PromotionRule::AmountOff(off) => off.units().min(amount),
        PromotionRule::PercentOff { percent, at_most } => {
            let share = u128::from(amount) * u128::from(percent) / 100;
            u64::try_from(share.min(u128::from(at_most.units()))).unwrap()
        }
        PromotionRule::FullReduction { full, reduce } => {
            if amount >= full.units() {
                reduce.units().min(amount)
            } else {
                0
            }
        }
    }
}

impl Naive {}

//! The naive ledger below the naive wallet: balances in maps, limits summed up from all that was ever spent.
//!
//! Owns accounts, holds and spendings. Knows nothing of wallets. One operation after the other, all or nothing.

use std::collections::BTreeMap;

use yue_engine::model::{AccountStatus, Limit, LimitWindow};

const SECOND_NS: i64 = 1_000_000_000;

/// A refusal of the ledger: its code, and the operation that is to blame.
pub(crate) type Refused = (&'static str, usize);

#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// In its normal sense.
    pub(crate) posted: i128,
    pub(crate) debit_normal: bool,
    /// Set aside to go out, and to come in.
    pub(crate) held: i128,
    coming: i128,
    floor: Option<i128>,
    ceiling: Option<i128>,
    pub(crate) status: AccountStatus,
    /// Each with the moment after which it counts.
    pub(crate) limits: Vec<(Limit, i64)>,
    spent: Vec<Spent>,
}

/// A debit, as limits count it.
#[derive(Clone, Debug)]
struct Spent {
    at: i64,
    code: &'static str,
    amount: u64,
    count: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Move {
        debit: String,
        credit: String,
        amount: u64,
        code: &'static str,
    },
    Hold {
        key: String,
        debit: String,
        credit: String,
        amount: u64,
        code: &'static str,
        until: i64,
    },
    Capture {
        key: String,
    },
    Release {
        key: String,
    },
    /// From where it had gone to where it had come from; with the time that the original counts for.
    Back {
        from: String,
        to: String,
        amount: u64,
        code: &'static str,
        at: i64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    debit: String,
    credit: String,
    amount: u64,
    code: &'static str,
    placed_at: i64,
    pub(crate) until: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) accounts: BTreeMap<String, Account>,
    pub(crate) holds: BTreeMap<String, Held>,
    /// How holds ended that are no more.
    ended: BTreeMap<String, &'static str>,
}

impl Account {
    pub(crate) fn new(debit_normal: bool, floor: Option<i128>, ceiling: Option<i128>) -> Self {
        let (status, limits, spent) = (AccountStatus::Active, vec![], vec![]);
        Self { posted: 0, debit_normal, held: 0, coming: 0, floor, ceiling, status, limits, spent }
    }

    pub(crate) fn available(&self) -> i128 {
        self.posted - self.held
    }

    /// What is used of a limit at `now`: the sum of what was spent in its window since it came to be.
    pub(crate) fn used(&self, limit: &(Limit, i64), now: i64) -> (u128, u64) {
        let counts = |spent: &&Spent| {
            let code = limit.0.code.as_deref();
            let under = |own: &str| spent.code == own || spent.code.starts_with(&format!("{own}."));
            spent.at > limit.1
                && window(limit.0.window, spent.at) == window(limit.0.window, now)
                && code.is_none_or(under)
        };
        let counted: Vec<&Spent> = self.spent.iter().filter(counts).collect();
        (counted.iter().map(|it| u128::from(it.amount)).sum(), counted.iter().map(|it| it.count).sum())
    }

    fn spend(&mut self, amount: u64, code: &'static str, now: i64) -> Result<(), &'static str> {
        for limit in &self.limits {
            let code_counts =
                limit.0.code.as_deref().is_none_or(|own| code == own || code.starts_with(&format!("{own}.")));
            let (used, count) = self.used(limit, now);
            let above = limit.0.amount.is_some_and(|most| used + u128::from(amount) > u128::from(most))
                || limit.0.count.is_some_and(|most| count + 1 > u64::from(most));
            if code_counts && above {
                return Err("limit_exceeded");
            }
        }
        self.spent.push(Spent { at: now, code, amount, count: 1 });
        Ok(())
    }

    /// Of what was spent at that moment, in sum: which of them it was makes no difference.
    fn unspend(&mut self, at: i64, code: &'static str, mut amount: u64, mut count: u64) {
        for spent in self.spent.iter_mut().filter(|it| it.at == at && it.code == code) {
            let share = spent.amount.min(amount);
            spent.amount -= share;
            amount -= share;
            let counted = count.min(spent.count);
            spent.count -= counted;
            count -= counted;
        }
    }

    /// Whether `amount` may go out, or may come in.
    fn check(&self, out: bool, amount: u64) -> Result<(), &'static str> {
        let amount = i128::from(amount);
        if out && self.floor.is_some_and(|floor| self.posted - self.held - amount < floor) {
            return Err("insufficient_funds");
        }
        if !out && self.ceiling.is_some_and(|ceiling| self.posted + self.coming + amount > ceiling) {
            return Err("ceiling_exceeded");
        }
        Ok(())
    }
}

/// The window of a moment in Shanghai, as a number that is its own.
fn window(window: LimitWindow, at: i64) -> (i16, i8, i8) {
    let at = jiff::Timestamp::from_second((at.div_euclid(SECOND_NS)) + 8 * 3_600).unwrap();
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    match window {
        LimitWindow::Day => (date.year(), date.month(), date.day()),
        LimitWindow::Month => (date.year(), date.month(), 0),
        LimitWindow::Year => (date.year(), 0, 0),
        LimitWindow::Lifetime => (0, 0, 0),
    }
}

impl Books {
    pub(crate) fn open(&mut self, address: &str, account: Account) {
        self.accounts.entry(address.to_owned()).or_insert(account);
    }

    pub(crate) fn account(&self, address: &str) -> &Account {
        &self.accounts[address]
    }

    pub(crate) fn set_status(&mut self, address: &str, status: AccountStatus) {
        self.accounts.get_mut(address).unwrap().status = status;
    }

    /// Gives an account other limits: one of the same window and code goes on counting.
    pub(crate) fn set_limits(&mut self, address: &str, limits: Vec<Limit>, now: i64) {
        let account = self.accounts.get_mut(address).unwrap();
        let before = std::mem::take(&mut account.limits);
        let since = |limit: &Limit| {
            let same = |it: &&(Limit, i64)| it.0.window == limit.window && it.0.code == limit.code;
            before.iter().find(same).map_or(now, |it| it.1)
        };
        account.limits = limits
            .into_iter()
            .map(|limit| {
                let at = since(&limit);
                (limit, at)
            })
            .collect();
    }

    /// All or nothing, in order.
    pub(crate) fn post(&mut self, ops: &[Op], now: i64) -> Result<(), Refused> {
        self.first_pass(ops)?;
        let touched = ops.iter().flat_map(|op| self.both(op)).collect::<Vec<_>>();
        let undo: Vec<_> = touched
            .into_iter()
            .map(|it| {
                let a = self.accounts[&it].clone();
                (it, a)
            })
            .collect();
        let holds = self.holds.clone();
        for (index, op) in ops.iter().enumerate() {
            if let Err(code) = self.apply(op, now) {
                self.accounts.extend(undo);
                self.holds = holds;
                return Err((code, index));
            }
        }
        for op in ops {
            match op {
                Op::Capture { key } => drop(self.ended.insert(key.clone(), "hold_captured")),
                Op::Release { key } => drop(self.ended.insert(key.clone(), "hold_released")),
                Op::Move { .. } | Op::Hold { .. } | Op::Back { .. } => {}
            }
        }
        Ok(())
    }

    /// Who takes no part, before anything else is looked at.
    fn first_pass(&self, ops: &[Op]) -> Result<(), Refused> {
        for (index, op) in ops.iter().enumerate() {
            let (Op::Move { debit: one, credit: other, .. }
            | Op::Hold { debit: one, credit: other, .. }
            | Op::Back { from: one, to: other, .. }) = op
            else {
                continue;
            };
            let status = [one, other].map(|address| self.accounts[address].status);
            if status.contains(&AccountStatus::Closed) {
                return Err(("account_closed", index));
            }
            if status.contains(&AccountStatus::Frozen) {
                return Err(("account_frozen", index));
            }
        }
        Ok(())
    }

    fn both(&self, op: &Op) -> Vec<String> {
        match op {
            Op::Move { debit, credit, .. } | Op::Hold { debit, credit, .. } => {
                vec![debit.clone(), credit.clone()]
            }
            Op::Back { from, to, .. } => vec![from.clone(), to.clone()],
            Op::Capture { key } | Op::Release { key } => {
                self.holds.get(key).map(|it| vec![it.debit.clone(), it.credit.clone()]).unwrap_or_default()
            }
        }
    }

    fn apply(&mut self, op: &Op, now: i64) -> Result<(), &'static str> {
        match op {
            Op::Move { debit, credit, amount, code } => self.shift(debit, credit, *amount, code, now),
            Op::Back { from, to, amount, code, at } => {
                self.shift(from, to, *amount, "", now)?;
                self.accounts.get_mut(to).unwrap().unspend(*at, code, *amount, 0);
                Ok(())
            }
            Op::Hold { key, debit, credit, amount, code, until } => {
                self.accounts.get_mut(debit).unwrap().spend(*amount, code, now)?;
                self.check_both(debit, credit, *amount)?;
                self.set_aside(debit, credit, i128::from(*amount));
                let (debit, credit, amount, code) = (debit.clone(), credit.clone(), *amount, *code);
                self.holds
                    .insert(key.clone(), Held { debit, credit, amount, code, placed_at: now, until: *until });
                Ok(())
            }
            Op::Capture { key } => {
                let held = self.take_hold(key, now)?;
                self.set_aside(&held.debit, &held.credit, -i128::from(held.amount));
                self.move_units(&held.debit, &held.credit, held.amount);
                Ok(())
            }
            Op::Release { key } => {
                let held = self.take_hold(key, now)?;
                self.give_up(&held);
                Ok(())
            }
        }
    }

    fn take_hold(&mut self, key: &str, now: i64) -> Result<Held, &'static str> {
        if let Some(end) = self.ended.get(key) {
            return Err(end);
        }
        assert!(self.holds[key].until > now, "what has run out has expired");
        Ok(self.holds.remove(key).unwrap())
    }

    fn give_up(&mut self, held: &Held) {
        self.set_aside(&held.debit, &held.credit, -i128::from(held.amount));
        let debit = self.accounts.get_mut(&held.debit).unwrap();
        debit.unspend(held.placed_at, held.code, held.amount, 1);
    }

    /// What has run out by now is given up.
    pub(crate) fn expire(&mut self, now: i64) {
        let due: Vec<String> =
            self.holds.iter().filter(|(_, held)| held.until <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            let held = self.holds.remove(&key).unwrap();
            self.give_up(&held);
            self.ended.insert(key, "hold_expired");
        }
    }

    fn shift(
        &mut self,
        debit: &str,
        credit: &str,
        amount: u64,
        code: &'static str,
        now: i64,
    ) -> Result<(), &'static str> {
        self.accounts.get_mut(debit).unwrap().spend(amount, code, now)?;
        self.check_both(debit, credit, amount)?;
        self.move_units(debit, credit, amount);
        Ok(())
    }

    /// Funds before ceilings, as the ledger's codes are ordered.
    fn check_both(&self, debit: &str, credit: &str, amount: u64) -> Result<(), &'static str> {
        let (debit, credit) = (&self.accounts[debit], &self.accounts[credit]);
        let checks = [debit.check(!debit.debit_normal, amount), credit.check(credit.debit_normal, amount)];
        let refusals: Vec<_> = checks.into_iter().filter_map(Result::err).collect();
        let first =
            ["insufficient_funds", "ceiling_exceeded"].into_iter().find(|code| refusals.contains(code));
        first.map_or(Ok(()), Err)
    }

    fn move_units(&mut self, debit: &str, credit: &str, amount: u64) {
        for (address, is_debit) in [(debit, true), (credit, false)] {
            let account = self.accounts.get_mut(address).unwrap();
            let sign = if is_debit == account.debit_normal { 1 } else { -1 };
            account.posted += sign * i128::from(amount);
        }
    }

    fn set_aside(&mut self, debit: &str, credit: &str, amount: i128) {
        for (address, is_debit) in [(debit, true), (credit, false)] {
            let account = self.accounts.get_mut(address).unwrap();
            if is_debit == account.debit_normal { account.coming += amount } else { account.held += amount }
        }
    }
}

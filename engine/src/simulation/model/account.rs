//! An account: sums, rules, and what its rules say of a change.

use std::collections::BTreeMap;

use super::limit::Counted;
use crate::model::{
    AccountChange, AccountOpening, AccountStatus, Floor, Limit, NormalSide, Patch, RejectionCode as Code,
    Timestamp,
};

#[derive(Clone, Debug)]
pub(in crate::simulation) struct Account {
    pub(in crate::simulation) normal: NormalSide,
    pub(in crate::simulation) status: AccountStatus,
    /// Credits less debits.
    pub(in crate::simulation) net: i128,
    /// What holds will debit and credit.
    pub(in crate::simulation) held: [i128; 2],
    pub(in crate::simulation) floor: Floor,
    pub(in crate::simulation) ceiling: Option<i128>,
    pub(in crate::simulation) limits: Vec<Counted>,
}

impl Account {
    pub(super) fn new(opening: &AccountOpening) -> Self {
        let counted = |limit: &Limit| Counted { limit: limit.clone(), born: None, windows: BTreeMap::new() };
        Self {
            normal: opening.normal,
            status: AccountStatus::Active,
            net: 0,
            held: [0; 2],
            floor: opening.floor,
            ceiling: opening.ceiling,
            limits: opening.limits.iter().map(counted).collect(),
        }
    }

    pub(in crate::simulation) fn posted(&self) -> i128 {
        if self.normal == NormalSide::Credit { self.net } else { -self.net }
    }

    pub(in crate::simulation) fn available(&self) -> i128 {
        self.posted() - self.held[usize::from(self.normal == NormalSide::Debit)]
    }

    pub(in crate::simulation) fn filled(&self) -> i128 {
        self.posted() + self.held[usize::from(self.normal == NormalSide::Credit)]
    }

    /// Adds to net and holds; tells what the rules say of it. `overflow`, which nothing else leads to: more is given back than
    /// was held, so that this state can't be.
    pub(super) fn shift(&mut self, [net, out, into]: [i128; 3]) -> Result<(), Code> {
        let before = (self.available(), self.filled());
        self.net += net;
        self.held[0] += out;
        self.held[1] += into;
        if self.held[0] < 0 || self.held[1] < 0 {
            return Err(Code::Overflow);
        }
        if self.available() < before.0 && self.floor.is_some_and(|floor| self.available() < floor) {
            return Err(Code::InsufficientFunds);
        }
        if self.filled() > before.1 && self.ceiling.is_some_and(|ceiling| self.filled() > ceiling) {
            return Err(Code::CeilingExceeded);
        }
        Ok(())
    }

    pub(super) fn change(&mut self, change: &AccountChange, now: Timestamp) {
        if let Patch::Set(floor) = change.floor {
            self.floor = floor;
        }
        if let Patch::Set(ceiling) = change.ceiling {
            self.ceiling = ceiling;
        }
        if let Patch::Set(status) = change.status {
            self.status = status;
        }
        if let Patch::Set(limits) = &change.limits {
            let before = std::mem::take(&mut self.limits);
            let kept = |limit: &Limit| {
                let same = |old: &&Counted| old.limit.window == limit.window && old.limit.code == limit.code;
                let old = before.iter().find(same);
                let fresh = Counted { limit: limit.clone(), born: Some(now), windows: BTreeMap::new() };
                old.map_or(fresh, |old| Counted { limit: limit.clone(), ..old.clone() })
            };
            self.limits = limits.iter().map(kept).collect();
        }
    }

    /// Whether the change is allowed.
    pub(in crate::simulation) fn allows(&self, change: &AccountChange) -> bool {
        let empty = self.net == 0 && self.held == [0, 0];
        self.status != AccountStatus::Closed
            && !matches!(change.floor, Patch::Set(Some(floor)) if self.available() < floor)
            && !matches!(change.ceiling, Patch::Set(Some(ceiling)) if self.filled() > ceiling)
            && (change.status != Patch::Set(AccountStatus::Closed) || empty)
    }
}

use std::ops::Range;

use super::{Account, Delta, Hold, LimitState, account::Balance};
use crate::model::{
    AccountNo, Amount, Floor, HoldEnd, HoldId, HoldReference, NormalSide, RejectionCode, Timestamp,
    TransactionId,
};
use crate::planted::{Bug, planted};
use compact_str::CompactString;
use smallvec::SmallVec;

/// Copies of what a command's verdict depends on, gathered from one or several ledgers; [`super::decide`] works on
/// them as on a scratch pad. The common case allocates nothing.
#[derive(Debug, Default)]
pub struct Facts {
    /// Aside from the accounts, so that a search reads few cache lines.
    numbers: SmallVec<[AccountNo; 4]>,
    accounts: SmallVec<[AccountFact; 4]>,
    limits: SmallVec<[LimitState; 5]>,
    holds: SmallVec<[(HoldId, Hold); 1]>,
    reversed: SmallVec<[((TransactionId, u8), Amount); 1]>,
}

#[derive(Debug)]
struct AccountFact {
    balance: Balance,
    floor: Floor,
    ceiling: Option<i128>,
    normal: NormalSide,
    /// In [`Facts::limits`].
    limits: Range<u32>,
}

impl Facts {
    /// Forgets everything, to be used for another command.
    pub fn clear(&mut self) {
        self.numbers.clear();
        self.accounts.clear();
        self.limits.clear();
        self.holds.clear();
        self.reversed.clear();
    }

    /// Whether this account was gathered.
    #[must_use]
    pub fn has_account(&self, no: AccountNo) -> bool {
        self.numbers.contains(&no)
    }

    pub(super) fn add_account(&mut self, no: AccountNo, account: &Account) {
        let limits = self.limits_end();
        self.limits.extend(account.limits().iter().cloned());
        self.numbers.push(no);
        self.accounts.push(AccountFact {
            balance: account.balance(),
            floor: account.floor(),
            ceiling: account.ceiling(),
            normal: account.normal(),
            limits: limits..self.limits_end(),
        });
    }

    pub(super) fn has_hold(&self, id: HoldId) -> bool {
        self.holds.iter().any(|&(other, _)| other == id)
    }

    pub(super) fn add_hold(&mut self, id: HoldId, hold: &Hold) {
        self.holds.push((id, hold.clone()));
    }

    pub(super) fn reversed(&self, transaction: TransactionId, operation: u8) -> Option<Amount> {
        self.reversed.iter().find(|(key, _)| *key == (transaction, operation)).map(|&(_, total)| total)
    }

    pub(super) fn set_reversed(&mut self, transaction: TransactionId, operation: u8, total: Amount) {
        let key = (transaction, operation);
        match self.reversed.iter_mut().find(|(other, _)| *other == key) {
            Some((_, known)) => *known = total,
            None => self.reversed.push((key, total)),
        }
    }

    /// Adds one leg to its account, if that was gathered. An effect that lessens `available` may not leave it below
    /// the floor, and one that takes room may not go beyond the ceiling; a capture or a release does neither.
    pub(super) fn shift(&mut self, no: AccountNo, delta: Delta) -> Result<(), RejectionCode> {
        let Some(account) = self.position(no).and_then(|at| self.accounts.get_mut(at)) else { return Ok(()) };
        let normal = account.normal;
        let next = account.balance.checked_add(delta);
        let available = next.and_then(|next| next.available(normal));
        let filled = next.and_then(|next| next.filled(normal));
        let below = |floor: i128| {
            let least = floor.saturating_sub(i128::from(planted(Bug::FloorOffByOne)));
            available.is_none_or(|available| available < least)
        };
        let above = |ceiling: i128| filled.is_none_or(|filled| filled > ceiling);
        if delta.lessens(normal) && account.floor.is_some_and(below) {
            return Err(RejectionCode::InsufficientFunds);
        }
        if delta.fills(normal) && account.ceiling.is_some_and(above) {
            return Err(RejectionCode::CeilingExceeded);
        }
        match (next, available, filled) {
            (Some(next), Some(_), Some(_)) => account.balance = next,
            (None, _, _) | (_, None, _) | (_, _, None) => return Err(RejectionCode::Overflow),
        }
        Ok(())
    }

    /// The limits of an account; none if it was not gathered.
    pub(super) fn limits_of(&mut self, no: AccountNo) -> &mut [LimitState] {
        let range =
            self.position(no).and_then(|at| self.accounts.get(at)).map(|account| account.limits.clone());
        let index = |bound: u32| usize::try_from(bound).unwrap_or(usize::MAX);
        range.and_then(|range| self.limits.get_mut(index(range.start)..index(range.end))).unwrap_or_default()
    }

    /// Gives back on all limits of an account what a debit was counted with.
    pub(super) fn give_back(
        &mut self,
        no: AccountNo,
        code: Option<&CompactString>,
        taken_at: Timestamp,
        amount: Amount,
        count: u64,
    ) {
        for limit in self.limits_of(no) {
            limit.give_back(code, taken_at, amount.units(), count);
        }
    }

    /// Ends a live hold in the scratch and gives what it was; or why it can't end.
    pub(super) fn end_hold(
        &mut self,
        reference: &HoldReference,
        end: HoldEnd,
        now: Timestamp,
    ) -> Result<Hold, RejectionCode> {
        let gathered = self.holds.iter_mut().find(|(id, _)| *id == reference.id).map(|(_, hold)| hold);
        let ended = gathered.as_ref().and_then(|hold| hold.ended).or(reference.ended);
        match (ended, gathered) {
            (Some(HoldEnd::Captured), _) => Err(RejectionCode::HoldCaptured),
            (Some(HoldEnd::Released), _) => Err(RejectionCode::HoldReleased),
            (Some(HoldEnd::Expired), _) => Err(RejectionCode::HoldExpired),
            (None, Some(hold)) if now >= hold.expires_at && !planted(Bug::CaptureAfterExpiry) => {
                Err(RejectionCode::HoldExpired)
            }
            (None, Some(hold)) => {
                let before = hold.clone();
                hold.ended = Some(end);
                Ok(before)
            }
            (None, None) => panic!("hold {} was not gathered from the ledger that owns it", reference.id),
        }
    }

    fn position(&self, no: AccountNo) -> Option<usize> {
        self.numbers.iter().position(|&other| other == no)
    }

    fn limits_end(&self) -> u32 {
        u32::try_from(self.limits.len()).expect("a command has at most 128 accounts of 16 limits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Guards;
    use crate::model::AccountStatus;

    #[test]
    fn what_is_gathered_is_there_until_all_is_cleared() {
        let guards = Guards { floor: None, ceiling: None, limits: vec![] };
        let account = Account::from_parts(5, 0, 0, NormalSide::Credit, AccountStatus::Active, guards);
        let hold = Hold {
            debit: AccountNo(1),
            credit: AccountNo(2),
            held: Amount(1),
            captured: Amount::ZERO,
            placed_at: Timestamp::ZERO,
            expires_at: Timestamp::ZERO,
            code: None,
            ended: None,
        };
        let (own, other) = (TransactionId(1), TransactionId(2));
        let mut facts = Facts::default();
        let check = |facts: &Facts, there: bool| {
            assert_eq!([1, 2].map(|no| facts.has_account(AccountNo(no))), [there, false]);
            assert_eq!([1, 2].map(|id| facts.has_hold(HoldId(id))), [there, false]);
            assert_eq!(
                [(own, 0), (own, 1), (other, 0)].map(|(id, operation)| facts.reversed(id, operation)),
                [there.then_some(Amount(3)), None, None]
            );
        };
        check(&facts, false);
        facts.add_account(AccountNo(1), &account);
        facts.add_hold(HoldId(1), &hold);
        facts.set_reversed(own, 0, Amount(2));
        facts.set_reversed(own, 0, Amount(3));
        check(&facts, true);
        facts.clear();
        check(&facts, false);
    }
}

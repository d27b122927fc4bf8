//! The rules once more, in the plainest form: what the auditor believes.
//!
//! Owns maps of accounts, holds, reversed totals and cells; a part of the accounts makes a shard's view. Shares no code with
//! `ledger`. Never forgets a hold or a total. Invariant: [`Model::apply`] takes over what a record says, and
//! [`Model::decide`] says what a record should say.

mod account;
mod cell;
mod limit;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use account::Account;
use compact_str::CompactString;

use crate::{
    journal::{PostedTransaction, Record},
    model::{
        AccountNo, Amount, Cell, CellKind, CellWrite, HoldEnd, HoldId, PostedKind, RejectionCode as Code,
        Timestamp, TransactionId,
    },
};

/// What comes of a request: what its operations do, or why nothing is posted.
pub(super) type Verdict = Result<Vec<PostedKind>, NotPosted>;

/// Why nothing is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotPosted {
    /// A refusal, which is a record too.
    Refused(Code, u8),
    /// A cell has another revision than the one that it was made from: nothing happens.
    Conflict,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) accounts: BTreeMap<AccountNo, Account>,
    pub(super) holds: BTreeMap<HoldId, Hold>,
    pub(super) live: BTreeSet<(Timestamp, HoldId)>,
    pub(super) reversed: BTreeMap<(TransactionId, u8), u64>,
    pub(super) cells: BTreeMap<(AccountNo, CellKind), Cell>,
}

/// A request with numbers for names.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) operations: Vec<(Wanted, Option<CompactString>)>,
    /// The cells that it writes; `None` if one's account is not there.
    pub(super) cells: Option<Vec<CellWrite<AccountNo>>>,
}

#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) debit: AccountNo,
    pub(super) credit: AccountNo,
    pub(super) amount: u64,
    pub(super) captured: u64,
    pub(super) placed_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) code: Option<CompactString>,
    pub(super) ended: Option<HoldEnd>,
}

/// What a reversal can move back.
#[derive(Clone, Debug)]
pub(super) struct Original {
    pub(super) debit: AccountNo,
    pub(super) credit: AccountNo,
    pub(super) amount: u64,
    /// When and under which code its limits were taken.
    pub(super) at: Timestamp,
    pub(super) code: Option<CompactString>,
}

/// An operation with numbers for names.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Transfer { debit: AccountNo, credit: AccountNo, amount: u64 },
    Hold { id: HoldId, debit: AccountNo, credit: AccountNo, amount: u64, expires_in: u32 },
    Capture { hold: HoldId, debit: AccountNo, credit: AccountNo, amount: Option<u64> },
    Release { hold: HoldId, debit: AccountNo, credit: AccountNo },
    Reverse { of: (TransactionId, u8), original: Original, amount: Option<u64> },
}

impl Wanted {
    pub(super) fn accounts(&self) -> [AccountNo; 2] {
        match self {
            Self::Transfer { debit, credit, .. }
            | Self::Hold { debit, credit, .. }
            | Self::Capture { debit, credit, .. }
            | Self::Release { debit, credit, .. } => [*debit, *credit],
            Self::Reverse { original, .. } => [original.credit, original.debit],
        }
    }
}

/// Both legs of what an operation does: net, held debits, held credits.
pub(super) fn legs(kind: &PostedKind) -> [(AccountNo, [i128; 3]); 2] {
    let (debit, credit) = kind.accounts();
    let units = |amount: Amount| i128::from(amount.0);
    let (out, into) = match kind {
        PostedKind::Transfer { amount, .. } | PostedKind::Reverse { amount, .. } => {
            ([-units(*amount), 0, 0], [units(*amount), 0, 0])
        }
        PostedKind::Hold { amount, .. } => ([0, units(*amount), 0], [0, 0, units(*amount)]),
        PostedKind::Capture { held, amount, .. } => {
            ([-units(*amount), -units(*held), 0], [units(*amount), 0, -units(*held)])
        }
        PostedKind::Release { held, .. } => ([0, -units(*held), 0], [0, 0, -units(*held)]),
    };
    [(debit, out), (credit, into)]
}

/// The legs of a record.
pub(super) fn record_legs(record: &Record) -> Vec<(AccountNo, [i128; 3])> {
    match record {
        Record::Posted(posted) => {
            posted.operations.iter().flat_map(|operation| legs(&operation.kind)).collect()
        }
        Record::HoldExpired { debit, credit, held, .. } => {
            let held = i128::from(held.0);
            vec![(*debit, [0, -held, 0]), (*credit, [0, 0, -held])]
        }
        Record::AccountOpened { .. }
        | Record::AccountChanged { .. }
        | Record::Refused(_)
        | Record::Snapshot(_) => Vec::new(),
    }
}

impl Model {
    /// What concerns a request, as far as it is here.
    pub(super) fn part(&self, resolved: &Resolved) -> Self {
        let mut part = Self::default();
        for write in resolved.cells.iter().flatten() {
            let key = (write.account, write.kind);
            part.cells.extend(self.cells.get(&key).map(|cell| (key, cell.clone())));
        }
        for (wanted, _) in &resolved.operations {
            for no in wanted.accounts() {
                part.accounts.extend(self.accounts.get(&no).map(|account| (no, account.clone())));
            }
            match wanted {
                Wanted::Capture { hold, .. } | Wanted::Release { hold, .. } => {
                    part.holds.extend(self.holds.get(hold).map(|found| (*hold, found.clone())));
                }
                Wanted::Reverse { of, .. } => {
                    part.reversed.extend(self.reversed.get(of).map(|&total| (*of, total)));
                }
                Wanted::Transfer { .. } | Wanted::Hold { .. } => {}
            }
        }
        part
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.accounts.extend(other.accounts);
        self.holds.extend(other.holds);
        self.live.extend(other.live);
        self.reversed.extend(other.reversed);
        self.cells.extend(other.cells);
    }

    /// The accounts for which `owned` holds, with their holds, totals and cells.
    pub(super) fn restricted(
        &self,
        originals: &BTreeMap<(TransactionId, u8), Original>,
        owned: impl Fn(AccountNo) -> bool,
    ) -> Self {
        let holds: BTreeMap<_, _> = self
            .holds
            .iter()
            .filter(|(_, hold)| owned(hold.debit))
            .map(|(id, hold)| (*id, hold.clone()))
            .collect();
        Self {
            accounts: self
                .accounts
                .iter()
                .filter(|(no, _)| owned(**no))
                .map(|(no, it)| (*no, it.clone()))
                .collect(),
            live: self.live.iter().filter(|(_, id)| holds.contains_key(id)).copied().collect(),
            holds,
            reversed: self
                .reversed
                .iter()
                .filter(|(of, _)| originals.get(of).is_some_and(|original| owned(original.debit)))
                .map(|(of, total)| (*of, *total))
                .collect(),
            cells: self
                .cells
                .iter()
                .filter(|((no, _), _)| owned(*no))
                .map(|(key, cell)| (*key, cell.clone()))
                .collect(),
        }
    }

    /// What the operations do, or why they are not posted. Accounts that are not here refuse nothing. Uses itself up.
    pub(super) fn decide(mut self, resolved: &Resolved, now: Timestamp) -> Verdict {
        let cells = resolved.cells.as_ref().ok_or(NotPosted::Conflict)?;
        if !cells.iter().all(|write| self.is_next(write)) {
            return Err(NotPosted::Conflict);
        }
        let decide = |(index, (wanted, code)): (u8, &(Wanted, Option<CompactString>))| {
            self.decide_one(wanted, code.as_ref(), now).map_err(|code| NotPosted::Refused(code, index))
        };
        (0_u8..).zip(&resolved.operations).map(decide).collect()
    }

    fn decide_one(
        &mut self,
        wanted: &Wanted,
        code: Option<&CompactString>,
        now: Timestamp,
    ) -> Result<PostedKind, Code> {
        let kind = self.kind(wanted, now)?;
        let spent = match kind {
            PostedKind::Transfer { debit, amount, .. }
            | PostedKind::Hold { debit, amount, .. }
            | PostedKind::Reverse { debit, amount, .. } => Some((debit, amount.0)),
            PostedKind::Capture { .. } | PostedKind::Release { .. } => None,
        };
        let limits = |(no, amount)| {
            let account = self.accounts.get(&no);
            account.is_some_and(|it| it.limits.iter().any(|limit| limit.exceeds(code, amount, now)))
        };
        if spent.is_some_and(limits) {
            return Err(Code::LimitExceeded);
        }
        let shift =
            |(no, by)| self.accounts.get_mut(&no).and_then(|account: &mut Account| account.shift(by).err());
        // A state that can't be (a hold as its shard had it, an account as it is after the hold's end) allows nothing.
        let found = legs(&kind).map(shift);
        let impossible = found.contains(&Some(Code::Overflow)).then_some(Code::Overflow);
        if let Some(code) = impossible.or(found.into_iter().flatten().min()) {
            return Err(code);
        }
        self.aside(&kind, code, now);
        Ok(kind)
    }

    /// What an operation would do, by the rules on holds and reversals.
    fn kind(&self, wanted: &Wanted, now: Timestamp) -> Result<PostedKind, Code> {
        Ok(match *wanted {
            Wanted::Transfer { debit, credit, amount } => {
                PostedKind::Transfer { debit, credit, amount: Amount(amount) }
            }
            Wanted::Hold { id, debit, credit, amount, expires_in } => {
                PostedKind::Hold { id, debit, credit, amount: Amount(amount), expires_in }
            }
            Wanted::Capture { hold, debit, credit, amount } => {
                let held = self.live_hold(hold, now)?;
                let moved = amount.unwrap_or(held);
                if moved > held {
                    return Err(Code::CaptureExceedsHold);
                }
                let (held, explicit) = (Amount(held), amount.is_some());
                PostedKind::Capture { hold, debit, credit, held, amount: Amount(moved), explicit }
            }
            Wanted::Release { hold, debit, credit } => {
                PostedKind::Release { hold, debit, credit, held: Amount(self.live_hold(hold, now)?) }
            }
            Wanted::Reverse { of, ref original, amount } => {
                let before = self.reversed.get(&of).copied().unwrap_or_default();
                let left = original.amount - before;
                let moved = amount.unwrap_or(left);
                if moved == 0 || moved > left {
                    return Err(Code::ReversalExceedsOriginal);
                }
                PostedKind::Reverse {
                    transaction: of.0,
                    operation: of.1,
                    debit: original.credit,
                    credit: original.debit,
                    amount: Amount(moved),
                    explicit: amount.is_some(),
                    total: Amount(before + moved),
                    original_at: original.at,
                    original_code: original.code.clone(),
                }
            }
        })
    }

    fn live_hold(&self, id: HoldId, now: Timestamp) -> Result<u64, Code> {
        // The shard of a hold's debit account decides on it. Of an id with several bodies the others may have no such hold here.
        let hold = self.holds.get(&id).ok_or(Code::Overflow)?;
        match hold.ended {
            Some(HoldEnd::Captured) => Err(Code::HoldCaptured),
            Some(HoldEnd::Released) => Err(Code::HoldReleased),
            Some(HoldEnd::Expired) => Err(Code::HoldExpired),
            None if now >= hold.expires_at => Err(Code::HoldExpired),
            None => Ok(hold.amount),
        }
    }

    /// Limits, holds and totals: all but the balances.
    fn aside(&mut self, kind: &PostedKind, code: Option<&CompactString>, now: Timestamp) {
        match *kind {
            PostedKind::Transfer { debit, amount, .. } => self.take(debit, code, amount, now),
            PostedKind::Hold { id, debit, credit, amount, expires_in } => {
                self.take(debit, code, amount, now);
                if self.accounts.contains_key(&debit) {
                    let expires_at = Timestamp(now.0 + i64::from(expires_in) * 1_000_000_000);
                    let (code, amount) = (code.cloned(), amount.0);
                    let hold = Hold {
                        debit,
                        credit,
                        amount,
                        captured: 0,
                        placed_at: now,
                        expires_at,
                        code,
                        ended: None,
                    };
                    self.live.insert((expires_at, id));
                    assert!(self.holds.insert(id, hold).is_none(), "hold {id} is placed twice");
                }
            }
            PostedKind::Capture { hold, amount, .. } => self.end(hold, HoldEnd::Captured, amount.0),
            PostedKind::Release { hold, .. } => self.end(hold, HoldEnd::Released, 0),
            PostedKind::Reverse {
                transaction, operation, debit, credit, amount, total, original_at, ..
            } => {
                self.take(debit, code, amount, now);
                let PostedKind::Reverse { original_code, .. } = kind else { return };
                if let Some(account) = self.accounts.get_mut(&credit) {
                    for limit in &mut account.limits {
                        limit.give_back(original_code.as_ref(), original_at, amount.0, 0);
                    }
                    self.reversed.insert((transaction, operation), total.0);
                }
            }
        }
    }

    fn take(&mut self, no: AccountNo, code: Option<&CompactString>, amount: Amount, now: Timestamp) {
        for limit in self.accounts.get_mut(&no).into_iter().flat_map(|account| &mut account.limits) {
            limit.take(code, amount.0, now);
        }
    }

    fn end(&mut self, id: HoldId, end: HoldEnd, captured: u64) {
        let Some(hold) = self.holds.get_mut(&id) else { return };
        assert_eq!(hold.ended, None, "hold {id} ends twice");
        (hold.ended, hold.captured) = (Some(end), captured);
        self.live.remove(&(hold.expires_at, id));
        for limit in self.accounts.get_mut(&hold.debit).into_iter().flat_map(|account| &mut account.limits) {
            limit.give_back(
                hold.code.as_ref(),
                hold.placed_at,
                hold.amount - captured,
                i64::from(captured == 0),
            );
        }
    }

    /// Takes over what a record says, as far as it concerns what is here. An opening is for the account's owner only.
    pub(super) fn apply(&mut self, record: &Record) {
        for (no, by) in record_legs(record) {
            // What was decided is taken over; whether it was right is another question.
            let found = self.accounts.get_mut(&no).map(|account| account.shift(by));
            assert_ne!(found, Some(Err(Code::Overflow)), "more is given back than was held");
        }
        match record {
            Record::AccountOpened { no, opening, .. } => {
                let before = self.accounts.insert(*no, Account::new(opening));
                assert!(before.is_none(), "account {} is opened twice", no.0);
            }
            Record::AccountChanged { no, change, decided_at } => {
                if let Some(account) = self.accounts.get_mut(no) {
                    account.change(change, *decided_at);
                }
            }
            Record::Posted(PostedTransaction { operations, code, decided_at, attachment, .. }) => {
                for operation in operations {
                    self.aside(&operation.kind, operation.code.as_ref().or(code.as_ref()), *decided_at);
                }
                for write in attachment.iter().flat_map(|attachment| &attachment.cells) {
                    if self.accounts.contains_key(&write.account) {
                        self.write(write);
                    }
                }
            }
            Record::Refused(_) | Record::Snapshot(_) => {}
            Record::HoldExpired { hold, .. } => self.end(*hold, HoldEnd::Expired, 0),
        }
    }
}

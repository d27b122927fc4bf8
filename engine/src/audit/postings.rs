//! The history of every account as the journal tells it, one segment of the index at a time.
//!
//! Owns each account's running balance and newest posting, and the postings of the segment that the journal's walk is
//! in: as much memory as a segment took when it was written. Never reads a disk. Invariant: a segment that passes has
//! exactly these postings, each with its balance and its link to the one before.

use super::Report;
use crate::{
    index::{Direction, IndexError, PostingRun, PostingScan, StoredPosting},
    journal::PostedTransaction,
    ledger::{Account, Ledger},
    model::{AccountNo, NormalSide, Position, PostedKind},
};

/// See the module.
#[derive(Default)]
pub(super) struct Postings {
    /// By account number.
    accounts: Vec<Option<Newest>>,
    segment: Vec<Posting>,
}

#[derive(Clone, Copy)]
struct Newest {
    normal: NormalSide,
    balance: i128,
    position: Position,
}

#[derive(Clone, Copy)]
struct Posting {
    account: AccountNo,
    stored: StoredPosting,
    /// The position of the account's posting before.
    previous: Position,
}

impl Postings {
    pub(super) fn open(&mut self, no: AccountNo, normal: NormalSide) {
        if self.accounts.len() <= no.index() {
            self.accounts.resize(no.index() + 1, None);
        }
        if let Some(place) = self.accounts.get_mut(no.index()) {
            *place = Some(Newest { normal, balance: 0, position: Position::ZERO });
        }
    }

    pub(super) fn take(&mut self, position: Position, posted: &PostedTransaction) {
        for (index, operation) in (0_u8..).zip(&posted.operations) {
            self.take_leg(position, index, &operation.kind, Direction::Debit);
            self.take_leg(position, index, &operation.kind, Direction::Credit);
        }
    }

    fn take_leg(&mut self, position: Position, operation: u8, kind: &PostedKind, direction: Direction) {
        let Some(amount) = kind.moved() else { return };
        let (debit, credit) = kind.accounts();
        let (account, side) = match direction {
            Direction::Debit => (debit, NormalSide::Debit),
            Direction::Credit => (credit, NormalSide::Credit),
        };
        // An account that was never opened is the books' finding.
        let Some(Some(newest)) = self.accounts.get_mut(account.index()) else { return };
        let amount = i128::from(amount.units());
        newest.balance = newest.balance.wrapping_add(if newest.normal == side { amount } else { -amount });
        let stored = StoredPosting { position, operation, direction, balance: newest.balance };
        let previous = std::mem::replace(&mut newest.position, position);
        self.segment.push(Posting { account, stored, previous });
    }

    /// Compares the segment that ends here with the index's, and begins the next one. Gives the rows compared.
    pub(super) fn end_segment(
        &mut self,
        segment: u32,
        scan: &mut PostingScan<'_>,
        report: &mut Report,
    ) -> Result<u64, IndexError> {
        // Each account's stay in the order of the journal.
        let mut order: Vec<(AccountNo, u32)> =
            self.segment.iter().zip(0..).map(|(posting, index)| (posting.account, index)).collect();
        order.sort_unstable();
        let all = &self.segment;
        let mut expected = order
            .into_iter()
            .filter_map(|(_, index)| all.get(usize::try_from(index).ok()?).copied())
            .peekable();
        let mut rows = 0;
        scan.segment(segment, &mut |account, run| {
            rows += compare_run(account, &run, &mut expected, report);
        })?;
        for Posting { account, stored, .. } in expected {
            report.find(|| missing(account, stored));
        }
        self.segment.clear();
        Ok(rows)
    }

    /// Compares where each account's history ends with the ledger's balance, and with where the index enters it.
    pub(super) fn ends(
        &self,
        ledger: &Ledger,
        newest_posting: impl Fn(AccountNo) -> Position,
        report: &mut Report,
    ) {
        for (no, account) in ledger.accounts() {
            let Some(Some(newest)) = self.accounts.get(no.index()) else { continue };
            if newest.balance != Account::posted(account) {
                report.find(|| format!("account {} ends its history with another balance", no.0));
            }
            let entered = newest_posting(no);
            if entered != newest.position {
                let there = newest.position;
                report.find(|| {
                    format!("index: the history of account {} ends at {entered}, not {there}", no.0)
                });
            }
        }
    }
}

/// Compares one account's part of a block.
fn compare_run(
    account: AccountNo,
    run: &PostingRun,
    expected: &mut std::iter::Peekable<impl Iterator<Item = Posting>>,
    report: &mut Report,
) -> u64 {
    let mut rows = 0;
    for (index, stored) in run.postings.iter().enumerate() {
        let place = |posting: &Posting| (posting.account, posting.stored.position, posting.stored.operation);
        let here = (account, stored.position, stored.operation);
        while let Some(Posting { account, stored, .. }) = expected.next_if(|posting| place(posting) < here) {
            report.find(|| missing(account, stored));
        }
        let Some(wanted) = expected.next_if(|posting| place(posting) == here) else {
            report.find(|| {
                format!("index: account {} has a posting at {here:?} that is not its own", account.0)
            });
            continue;
        };
        if wanted.stored != *stored {
            let wanted = wanted.stored;
            report.find(|| format!("index: account {} has {stored:?}, not {wanted:?}", account.0));
        }
        if index == 0 && wanted.previous != run.previous {
            let (at, linked, before) = (stored.position, run.previous, wanted.previous);
            report.find(|| {
                format!("index: account {} is linked from {at} to {linked}, not {before}", account.0)
            });
        }
        rows += 1;
    }
    rows
}

fn missing(account: AccountNo, stored: StoredPosting) -> String {
    format!("index: account {} has no {stored:?}", account.0)
}

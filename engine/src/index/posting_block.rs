//! Blocks of about 256 postings, sorted by (account, position, operation): what a page of history reads.
//!
//! Owns their format and their keys (segment, account, position of the first posting). In a block each account has one
//! run, which starts with the position of the posting before it, so that a walk back in time jumps over the segments
//! and blocks where the account has nothing. The postings of an account in one record are never cut in two.

use super::{Direction, IndexError, wire};
use crate::model::{AccountNo, Position};

/// Postings after which a block ends.
const POSTINGS_TARGET: usize = 256;

/// One account's share in one operation, as it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredPosting {
    pub(crate) position: Position,
    pub(crate) operation: u8,
    pub(crate) direction: Direction,
    /// On the account's normal side, after the operation.
    pub(crate) balance: i128,
}

/// The key of a block.
pub(super) fn key(segment: u32, account: AccountNo, position: Position) -> [u8; 16] {
    let bits = u128::from(segment) << 96 | u128::from(account.0) << 64 | u128::from(position.0);
    bits.to_be_bytes()
}

/// The segment of a key.
pub(super) fn key_segment(key: &[u8]) -> Option<u32> {
    key.first_chunk().map(|segment| u32::from_be_bytes(*segment))
}

/// Packs a segment's postings.
pub(super) struct Builder {
    segment: u32,
    base: Position,
    /// The block's first account and position.
    first: Option<(AccountNo, Position)>,
    count: usize,
    body: Vec<u8>,
    run: Option<Run>,
    run_account_before: u32,
}

struct Run {
    account: AccountNo,
    count: u64,
    last: StoredPosting,
    body: Vec<u8>,
    head: Vec<u8>,
}

impl Builder {
    /// For a segment and the first position in it.
    pub(super) fn new(segment: u32, base: Position) -> Self {
        Self { segment, base, first: None, count: 0, body: Vec::new(), run: None, run_account_before: 0 }
    }

    /// Adds the next posting; `previous` is the position of the account's posting before it. Gives a block to `emit`
    /// when one is full.
    pub(super) fn push(
        &mut self,
        account: AccountNo,
        posting: StoredPosting,
        previous: Position,
        emit: &mut impl FnMut(&[u8], &[u8]),
    ) {
        let same_account = self.run.as_ref().filter(|run| run.account == account);
        let same_record = same_account.is_some_and(|run| run.last.position == posting.position);
        if self.count >= POSTINGS_TARGET && !same_record {
            self.finish(emit);
        }
        match &mut self.run {
            Some(run) if run.account == account => {
                wire::put_u64(&mut run.body, posting.position.0 - run.last.position.0);
                run.body.push(side(posting));
                wire::put_i128(&mut run.body, posting.balance.wrapping_sub(run.last.balance));
                run.last = posting;
                run.count += 1;
            }
            Some(_) | None => {
                self.end_run();
                self.start_run(account, posting, previous);
            }
        }
        self.count += 1;
    }

    fn start_run(&mut self, account: AccountNo, posting: StoredPosting, previous: Position) {
        let mut head = Vec::with_capacity(24);
        wire::put_u64(&mut head, u64::from(account.0 - self.run_account_before));
        wire::put_u64(&mut head, posting.position.0 - self.base.0);
        // 0: there is none before.
        let back = if previous == Position::ZERO { 0 } else { posting.position.0 - previous.0 };
        wire::put_u64(&mut head, back);
        let mut body = Vec::with_capacity(16);
        body.push(side(posting));
        wire::put_i128(&mut body, posting.balance);
        self.first.get_or_insert((account, posting.position));
        self.run_account_before = account.0;
        self.run = Some(Run { account, count: 1, last: posting, body, head });
    }

    fn end_run(&mut self) {
        if let Some(run) = self.run.take() {
            self.body.extend_from_slice(&run.head);
            wire::put_u64(&mut self.body, run.count);
            self.body.extend_from_slice(&run.body);
        }
    }

    /// Ends the last block.
    pub(super) fn finish(&mut self, emit: &mut impl FnMut(&[u8], &[u8])) {
        self.end_run();
        if let Some((account, position)) = self.first.take() {
            let mut block = Vec::with_capacity(self.body.len() + 10);
            wire::put_u64(&mut block, self.base.0);
            block.extend_from_slice(&self.body);
            emit(&key(self.segment, account, position), &block);
        }
        self.body.clear();
        self.count = 0;
        self.run_account_before = 0;
    }
}

/// An operation's index is below 64, so that it and the direction are one byte.
fn side(posting: StoredPosting) -> u8 {
    debug_assert!(posting.operation < 0x80, "an operation's index is below 64");
    posting.operation << 1 | u8::from(posting.direction == Direction::Credit)
}

/// One account's postings in a block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PostingRun {
    /// The position of the account's posting before the run; zero if there is none.
    pub(crate) previous: Position,
    /// In order of position and operation.
    pub(crate) postings: Vec<StoredPosting>,
}

/// Calls `visit` with each run of a block until it says that it has seen enough.
pub(super) fn visit_runs(
    block: &[u8],
    wanted: Option<AccountNo>,
    visit: &mut dyn FnMut(AccountNo, PostingRun),
) -> Result<(), IndexError> {
    let overflow = || IndexError::damaged("a block of postings leaves its range");
    let mut wire = wire::Wire(block);
    let base = wire.u64()?;
    let mut account = 0_u32;
    while !wire.0.is_empty() {
        account = account.checked_add(wire.u32()?).ok_or_else(overflow)?;
        let is_wanted = wanted.is_none_or(|wanted| wanted.0 == account);
        let mut position = base.checked_add(wire.u64()?).ok_or_else(overflow)?;
        let previous = match wire.u64()? {
            0 => Position::ZERO,
            back => Position(position.checked_sub(back).ok_or_else(overflow)?),
        };
        let count = wire.u64()?;
        let mut balance = 0_i128;
        let mut postings = Vec::new();
        for index in 0..count {
            if index > 0 {
                position = position.checked_add(wire.u64()?).ok_or_else(overflow)?;
            }
            let side = wire.u8()?;
            balance = balance.wrapping_add(wire.i128()?);
            if is_wanted {
                let direction = if side & 1 == 1 { Direction::Credit } else { Direction::Debit };
                let position = Position(position);
                postings.push(StoredPosting { position, operation: side >> 1, direction, balance });
            }
        }
        if is_wanted {
            visit(AccountNo(account), PostingRun { previous, postings });
        }
        if wanted.is_some_and(|wanted| wanted.0 <= account) {
            return Ok(());
        }
    }
    Ok(())
}

/// One account's run in a block; empty if it has none.
pub(super) fn find_run(block: &[u8], account: AccountNo) -> Result<PostingRun, IndexError> {
    let mut found = PostingRun::default();
    visit_runs(block, Some(account), &mut |_, run| found = run)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_and_link() {
        let mut builder = Builder::new(3, Position(1000));
        let mut blocks: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut emit = |key: &[u8], value: &[u8]| blocks.push((key.to_vec(), value.to_vec()));
        let mut expected = Vec::new();
        for account in [0, 5, 6, 900] {
            let mut previous = Position(if account == 5 { 0 } else { 17 });
            let mut balance = i128::from(account) - 3;
            for index in 0..400_u64 {
                let position = Position(1000 + index / 2);
                balance += if index % 3 == 0 { -70_000 } else { 5 };
                let operation = u8::try_from(index % 2).unwrap() + 3;
                let direction = if index % 3 == 0 { Direction::Debit } else { Direction::Credit };
                let posting = StoredPosting { position, operation, direction, balance };
                builder.push(AccountNo(account), posting, previous, &mut emit);
                expected.push((AccountNo(account), posting));
                previous = position;
            }
        }
        builder.finish(&mut emit);
        assert!(blocks.len() >= 6);
        assert!(blocks.is_sorted());
        let mut seen = Vec::new();
        for (key, block) in &blocks {
            assert_eq!(key_segment(key), Some(3));
            let mut starts = true;
            visit_runs(block, None, &mut |account, run| {
                let first = run.postings[0].position;
                assert!(!std::mem::take(&mut starts) || key == &super::key(3, account, first));
                let before = seen.iter().rev().find(|(other, _)| *other == account);
                let none = Position(if account.0 == 5 { 0 } else { 17 });
                let before: Position =
                    before.map_or(none, |(_, posting): &(_, StoredPosting)| posting.position);
                assert_eq!(run.previous, before);
                assert_eq!(find_run(block, account).unwrap(), run);
                seen.extend(run.postings.iter().map(|&posting| (account, posting)));
            })
            .unwrap();
            assert_eq!(find_run(block, AccountNo(7)).unwrap(), PostingRun::default());
            assert!(visit_runs(&block[..block.len() - 1], None, &mut |_, _| ()).is_err());
        }
        assert_eq!(seen, expected);
    }
}

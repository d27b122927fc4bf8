//! All of an index in the order of its keys, each block read once: for the audit.
//!
//! Owns the sequential ways through records, openings, postings and ids. Never looks anything up, and compares nothing
//! with the journal. Invariant: what a scan gives is what a look-up finds; where the two would differ (a block under
//! another key than its own, ids out of order, an id that its run's filter does not know) the index is damaged.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{
    Index, IndexError,
    id_run::{self, IdBlock, Run},
    posting_block::{self, PostingRun},
    record_block::RecordBlock,
    store::{Family, Walk, key_position},
    view::View,
};
use crate::model::{AccountNo, Position, Timestamp, TransactionId};

/// A record in its stored form, with its position and time.
pub(crate) type StoredRecord<'a> = (Position, Timestamp, &'a [u8]);

/// The ids of an index in ascending order, with their positions: all runs merged, each of which is opened when its first
/// id is due, so that only runs which overlap are open at once.
pub(crate) struct IdScan<'a> {
    index: &'a Index,
    /// Runs that are not open yet, the one with the least first id last.
    waiting: Vec<Run>,
    /// By the next id.
    open: BinaryHeap<Reverse<OpenRun<'a>>>,
}

struct OpenRun<'a> {
    next: (u128, Position),
    /// What follows in the block, in reverse.
    block: Vec<(u128, Position)>,
    walk: Walk<'a>,
    run: Run,
    /// Ids that were read.
    count: u64,
}

impl Index {
    /// All records.
    pub(crate) fn scan_records(&self) -> Result<RecordScan<'_>, IndexError> {
        RecordScan::new(self, Family::Records)
    }

    /// All records that opened an account, as a start reads them.
    pub(crate) fn scan_openings(&self) -> Result<RecordScan<'_>, IndexError> {
        RecordScan::new(self, Family::Openings)
    }

    /// All postings.
    pub(crate) fn scan_postings(&self) -> Result<PostingScan<'_>, IndexError> {
        let mut walk = self.store.scan(Family::Postings);
        walk.go_to_first()?;
        Ok(PostingScan { walk })
    }

    /// All ids.
    pub(crate) fn scan_ids(&self) -> IdScan<'_> {
        let mut waiting: Vec<Run> = self.view.load().runs.iter().cloned().collect();
        waiting.sort_by_key(|run| Reverse(run.first));
        IdScan { index: self, waiting, open: BinaryHeap::new() }
    }

    /// The number and the last position of each sealed segment, in order.
    pub(crate) fn segments(&self) -> Vec<(u32, Position)> {
        let view: Arc<View> = self.view.load_full();
        view.segments.iter().map(|segment| (segment.no, segment.last)).collect()
    }

    /// Where an account's history is entered: its newest posting; zero if it has none.
    pub(crate) fn newest_posting(&self, account: AccountNo) -> Position {
        let head = self.heads.get(account.index());
        head.map_or(Position::ZERO, |head| Position(head.posting.load(std::sync::atomic::Ordering::Acquire)))
    }
}

/// Blocks of records, record by record.
pub(crate) struct RecordScan<'a> {
    walk: Walk<'a>,
    block: RecordBlock,
    index: usize,
}

impl<'a> RecordScan<'a> {
    fn new(index: &'a Index, family: Family) -> Result<Self, IndexError> {
        let mut walk = index.store.scan(family);
        walk.go_to_first()?;
        Ok(Self { walk, block: RecordBlock::default(), index: 0 })
    }

    /// The record that the scan is at; `None` at the end.
    pub(crate) fn record(&mut self) -> Result<Option<StoredRecord<'_>>, IndexError> {
        if self.index == self.block.len() {
            let Some((key, bytes)) = self.walk.item() else { return Ok(None) };
            let key = key_position(key)?;
            self.block = RecordBlock::decode(key, bytes)?;
            self.index = 0;
            if self.block.ends().is_none_or(|[(first, _), _]| first != key) {
                return Err(IndexError::damaged(format!("the block of records at {key} has another key")));
            }
            self.walk.step()?;
        }
        Ok(self.block.nth(self.index))
    }

    /// Goes to the next record.
    pub(crate) fn advance(&mut self) {
        self.index = self.block.len().min(self.index + 1);
    }
}

/// Blocks of postings, segment by segment.
pub(crate) struct PostingScan<'a> {
    walk: Walk<'a>,
}

impl PostingScan<'_> {
    /// Calls `visit` with each account's part of each block of the next segment, in the order of (account, position). To
    /// be called for each segment in order, or else what was passed by is damage.
    pub(crate) fn segment(
        &mut self,
        segment: u32,
        visit: &mut dyn FnMut(AccountNo, PostingRun),
    ) -> Result<(), IndexError> {
        while let Some((key, block)) = self.walk.item() {
            match posting_block::key_segment(key) {
                Some(found) if found == segment => {}
                Some(found) if found > segment => break,
                Some(_) | None => {
                    return Err(IndexError::damaged("there are postings of a segment that is not there"));
                }
            }
            let mut first = None;
            posting_block::visit_runs(block, None, &mut |account, run| {
                let position = run.postings.first().map(|posting| posting.position);
                first.get_or_insert((account, position));
                visit(account, run);
            })?;
            let own = first.and_then(|(account, position)| Some((account, position?)));
            if own.is_none_or(|(account, position)| key != posting_block::key(segment, account, position)) {
                return Err(IndexError::damaged(format!(
                    "a block of postings of segment {segment} has another key"
                )));
            }
            self.walk.step()?;
        }
        Ok(())
    }

    /// Whether no segment has more postings.
    pub(crate) fn is_at_end(&self) -> bool {
        self.walk.item().is_none()
    }
}

impl IdScan<'_> {
    /// The next id, not below the one before; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(TransactionId, Position)>, IndexError> {
        loop {
            let least = self.open.peek().map(|Reverse(open)| open.next.0);
            match self.waiting.pop_if(|run| least.is_none_or(|least| run.first <= least)) {
                Some(run) => self.open(run)?,
                None => break,
            }
        }
        let Some(mut top) = self.open.peek_mut() else { return Ok(None) };
        let (id, position) = top.0.next;
        if top.0.advance()? {
            drop(top);
        } else {
            std::collections::binary_heap::PeekMut::pop(top);
        }
        Ok(Some((TransactionId(id), position)))
    }

    fn open(&mut self, run: Run) -> Result<(), IndexError> {
        let mut walk = self.index.store.scan(Family::Ids);
        walk.to(&id_run::key(run.no, 0))?;
        let first = run.first;
        let mut open = OpenRun { next: (0, Position::ZERO), block: Vec::new(), walk, run, count: 0 };
        if !open.advance()? || open.next.0 != first {
            return Err(open.damaged("does not begin with its first id"));
        }
        self.open.push(Reverse(open));
        Ok(())
    }
}

impl OpenRun<'_> {
    /// Goes to the next id; `false` at the end of the run.
    fn advance(&mut self) -> Result<bool, IndexError> {
        if self.block.is_empty() && !self.read_block()? {
            if (self.next.0, self.count) == (self.run.last, self.run.ids) {
                return Ok(false);
            }
            return Err(self.damaged("has another end or count than its catalogue says"));
        }
        let Some(next) = self.block.pop() else { return Err(self.damaged("has an empty block")) };
        if self.count > 0 && next.0 <= self.next.0 {
            return Err(self.damaged("is not in order"));
        }
        if self.run.filter.as_ref().is_some_and(|filter| !filter.may_contain(next.0)) {
            return Err(self.damaged("has an id that its filter does not know"));
        }
        self.next = next;
        self.count += 1;
        Ok(true)
    }

    fn read_block(&mut self) -> Result<bool, IndexError> {
        let Some((key, block)) = self.walk.item() else { return Ok(false) };
        if id_run::key_run(key) != Some(self.run.no) {
            return Ok(false);
        }
        let entries = IdBlock::decode(block)?.entries()?;
        if entries.first().is_none_or(|(first, _)| key != id_run::key(self.run.no, *first)) {
            return Err(self.damaged("has a block under another key"));
        }
        self.block = entries;
        self.block.reverse();
        self.walk.step()?;
        Ok(true)
    }

    fn damaged(&self, what: &str) -> IndexError {
        IndexError::damaged(format!("run {} of ids {what}", self.run.no))
    }
}

/// By the next id, then by run.
impl Ord for OpenRun<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.next.0, self.run.no).cmp(&(other.next.0, other.run.no))
    }
}

impl PartialOrd for OpenRun<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OpenRun<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OpenRun<'_> {}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        index::{IndexOptions, Opened, open, open_read_only, store::Batch, store::Store},
        journal::{Group, Head, PostedTransaction, Record},
        model::{
            AccountOpening, Address, Amount, Metadata, NormalSide, PostedKind, PostedOperation, TransactionId,
        },
    };

    const TRANSFERS: u64 = 600;

    /// Spread over all ids, so that the runs of all segments overlap.
    fn id(no: u64) -> u128 {
        u128::from(no + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    fn record(no: u64) -> Record {
        let decided_at = Timestamp(5);
        if no < 2 {
            let opening = AccountOpening {
                address: Address::parse(&format!("customers:{no}")).unwrap(),
                asset: "CNY".into(),
                normal: NormalSide::Credit,
                floor: None,
                ceiling: None,
                limits: Vec::new(),
                metadata: Metadata::default(),
            };
            let no = AccountNo(u32::try_from(no).unwrap());
            return Record::AccountOpened { no, opening, scale: 2, decided_at };
        }
        let kind = PostedKind::Transfer { debit: AccountNo(0), credit: AccountNo(1), amount: Amount(no) };
        Record::Posted(PostedTransaction {
            id: TransactionId(id(no)),
            decided_at,
            operations: [PostedOperation { kind, code: None }].into_iter().collect(),
            code: None,
            reference: None,
            metadata: Metadata::default(),
        })
    }

    /// Two accounts and many transfers in three segments, changed by `spoil` while the index is closed.
    fn make(dir: &Path, spoil: impl FnOnce(&Store, &mut Batch)) -> Opened {
        let options = IndexOptions::default();
        let Opened { mut follower, mut sealer, index } = open(dir, &options, &mut |_| ()).unwrap();
        let mut head = Head::default();
        for no in 0..TRANSFERS + 2 {
            let mut bytes = Vec::new();
            Group::frame(&mut bytes, &record(no));
            let group = Group::new(head, Timestamp(head.at.0 + 1), 1, bytes);
            head = group.head();
            assert!(follower.step(Arc::new(group)).unwrap().is_none());
            if no % 201 == 200 || no == TRANSFERS + 1 {
                sealer.seal(follower.freeze().unwrap()).unwrap();
            }
        }
        drop((follower, sealer, index));
        let store = Store::open(dir, &options).unwrap();
        let mut batch = Batch::default();
        spoil(&store, &mut batch);
        store.commit(batch).unwrap();
        drop(store);
        open_read_only(dir, &options, &mut |_| ()).unwrap()
    }

    type Scanned = (Vec<u64>, Vec<(u128, u64)>, u64);

    fn scan(index: &Index) -> Result<Scanned, IndexError> {
        let (mut records, mut ids, mut postings) = (Vec::new(), Vec::new(), 0);
        let mut scan = index.scan_records()?;
        while let Some((position, _, _)) = scan.record()? {
            records.push(position.0);
            scan.advance();
        }
        let mut scan = index.scan_ids();
        while let Some((id, position)) = scan.next()? {
            ids.push((id.0, position.0));
        }
        let mut scan = index.scan_postings()?;
        for (segment, _) in index.segments() {
            scan.segment(segment, &mut |_, run| postings += run.postings.len() as u64)?;
        }
        if !scan.is_at_end() {
            return Err(IndexError::damaged("postings are left"));
        }
        Ok((records, ids, postings))
    }

    #[test]
    fn everything_is_read_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let opened = make(dir.path(), |_, _| ());
        let (records, ids, postings) = scan(&opened.index).unwrap();
        assert!(records.into_iter().eq(1..=TRANSFERS + 2));
        let mut expected: Vec<_> = (2..TRANSFERS + 2).map(|no| (id(no), no + 1)).collect();
        expected.sort_unstable();
        assert_eq!(ids, expected);
        assert_eq!(postings, 2 * TRANSFERS);
        let mut openings = opened.index.scan_openings().unwrap();
        for position in 1..=2 {
            assert_eq!(openings.record().unwrap().unwrap().0, Position(position));
            openings.advance();
        }
        assert!(openings.record().unwrap().is_none());
        assert_eq!(opened.index.newest_posting(AccountNo(1)), Position(TRANSFERS + 2));
    }

    /// What look-ups would not find is damage.
    #[test]
    fn what_is_out_of_its_place_is_damage() {
        /// Puts what is under the first key from `from` on under another one, which it gives.
        fn moved(
            store: &Store,
            batch: &mut Batch,
            family: Family,
            from: &[u8],
            to: impl Fn(&[u8]) -> Vec<u8>,
        ) {
            let mut walk = store.walk(family);
            walk.to(from).unwrap();
            let (key, value) = walk.item().unwrap();
            store.delete(batch, family, key);
            store.put(batch, family, &to(key), value);
        }
        let last_bit = |key: &[u8]| {
            let mut key = key.to_vec();
            *key.last_mut().unwrap() ^= 1;
            key
        };
        type Spoil<'a> = (&'a str, Box<dyn Fn(&Store, &mut Batch) + 'a>);
        let run = id_run::key(0, 0);
        let spoils: [Spoil<'_>; 5] = [
            ("another key", Box::new(|store, batch| moved(store, batch, Family::Postings, &[], last_bit))),
            (
                "postings are left",
                Box::new(|store, batch| {
                    moved(store, batch, Family::Postings, &[], |key| [&[0, 0, 0, 9], &key[4..]].concat())
                }),
            ),
            ("another key", Box::new(|store, batch| moved(store, batch, Family::Ids, &run, last_bit))),
            (
                "end or count",
                Box::new(|store, batch| {
                    store.delete_range(batch, Family::Ids, &run, &id_run::key(1, 0));
                }),
            ),
            ("filter", Box::new(|store, batch| store.put(batch, Family::Filters, &[0; 4], &[0; 32]))),
        ];
        for (index, (expected, spoil)) in spoils.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let opened = make(dir.path(), |store, batch| spoil(store, batch));
            let error = scan(&opened.index).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{index}: {error}");
        }
    }
}

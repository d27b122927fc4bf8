//! A random journal, and the answers that a plain list of its records gives.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation)]

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use compact_str::{CompactString, format_compact};
use yue_engine::{
    index::{BalanceAt, Direction, HistoryCursor, HistoryRow, HoldRow, Index, IndexOptions, TrialRow},
    journal::{Group, Head, PostedTransaction, Record, RefusedTransaction},
    ledger::Ledger,
    model::{
        AccountChange, AccountNo, AccountOpening, AccountStatus, Address, Amount, HoldEnd, HoldId, Limit,
        LimitWindow, Metadata, NormalSide, Operation, OperationKind, Patch, Position, PostedKind,
        PostedOperation, Rejection, RejectionCode, RequestedAmount, Timestamp, Transaction, TransactionId,
    },
};

/// SplitMix64.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn id(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

pub fn small_options() -> IndexOptions {
    IndexOptions {
        segment_records_max: 50,
        segment_postings_max: 150,
        segment_bytes_max: 20_000,
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
        filter_bytes_max: 8 << 10,
        ..IndexOptions::default()
    }
}

/// Everything that was ever in the journal, and what follows from it.
pub struct World {
    pub random: Random,
    pub time_ordered_ids: bool,
    pub groups: Vec<Arc<Group>>,
    pub records: Vec<(Timestamp, Record)>,
    pub ledger: Ledger,
    pub ids: HashMap<TransactionId, Position>,
    pub holds: BTreeMap<HoldId, HoldRow>,
    pub reversed: HashMap<(TransactionId, u8), Amount>,
    pub rows: Vec<Vec<HistoryRow>>,
    pub opened: HashMap<AccountNo, (Position, AccountOpening)>,
    pub changed: HashMap<AccountNo, Position>,
    pub totals: BTreeMap<(CompactString, CompactString), (u128, u128)>,
    numbers: Vec<u32>,
    live: Vec<HoldId>,
    posted: Vec<(TransactionId, u8)>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        Self {
            time_ordered_ids: random.one_in(2),
            random,
            groups: Vec::new(),
            records: Vec::new(),
            ledger: Ledger::new(),
            ids: HashMap::new(),
            holds: BTreeMap::new(),
            reversed: HashMap::new(),
            rows: Vec::new(),
            opened: HashMap::new(),
            changed: HashMap::new(),
            totals: BTreeMap::new(),
            numbers: (0..8).rev().collect(),
            live: Vec::new(),
            posted: Vec::new(),
        }
    }

    pub fn head(&self) -> Head {
        self.groups.last().map_or(Head::default(), |group| group.head())
    }

    pub fn accounts(&self) -> usize {
        self.opened.len()
    }

    /// Makes the next group.
    pub fn group(&mut self) -> Arc<Group> {
        let head = self.head();
        let at = head.at.plus_nanos(1 + self.random.below(500) as i64);
        let count = 1 + self.random.below(12);
        let mut bytes = Vec::new();
        for index in 0..count {
            let position = head.position.plus(index + 1);
            let at = at.plus_nanos(index as i64);
            let record = self.record(at);
            Group::frame(&mut bytes, &record);
            self.learn(position, at, record);
        }
        let group = Arc::new(Group::new(head, at, count as u32, bytes));
        self.groups.push(Arc::clone(&group));
        group
    }

    fn id(&mut self, at: Timestamp) -> u128 {
        if self.time_ordered_ids && !self.random.one_in(200) {
            u128::from((at.0 + self.random.below(3000) as i64) as u64) << 70 | self.random.id() >> 60
        } else {
            self.random.id()
        }
    }

    fn any_account(&mut self) -> AccountNo {
        // A few are busy.
        let index = self.random.below(self.opened.len() as u64);
        let index = if self.random.one_in(2) { index % 2 } else { index };
        let mut numbers: Vec<_> = self.opened.keys().copied().collect();
        numbers.sort();
        numbers[index as usize]
    }

    fn two_accounts(&mut self) -> (AccountNo, AccountNo) {
        loop {
            let (debit, credit) = (self.any_account(), self.any_account());
            if debit != credit {
                return (debit, credit);
            }
        }
    }

    fn code(&mut self) -> Option<CompactString> {
        self.random.one_in(3).then(|| format_compact!("code{}", self.random.0 % 3))
    }

    fn record(&mut self, decided_at: Timestamp) -> Record {
        if self.opened.len() < 3 || (self.opened.len() < 400 && self.random.one_in(12)) {
            return self.opening(decided_at);
        }
        match self.random.below(20) {
            0 => {
                let status =
                    if self.random.one_in(2) { AccountStatus::Frozen } else { AccountStatus::Active };
                let floor = [None, Some(0), Some(-5)][self.random.below(3) as usize];
                let limits = vec![limit(LimitWindow::Day, None), limit(LimitWindow::Lifetime, Some("code1"))];
                let change = AccountChange {
                    status: Patch::Set(status),
                    floor: Patch::Set(floor),
                    ceiling: Patch::Keep,
                    limits: if self.random.one_in(2) { Patch::Set(limits) } else { Patch::Keep },
                };
                Record::AccountChanged { no: self.any_account(), change, decided_at }
            }
            1 => self.refusal(decided_at),
            2 if !self.live.is_empty() => {
                let index = self.random.below(self.live.len() as u64) as usize;
                let hold = self.live.swap_remove(index);
                let row = &self.holds[&hold];
                let (debit, credit, held) = (row.debit, row.credit, row.amount);
                Record::HoldExpired { hold, debit, credit, held, decided_at }
            }
            _ => self.transaction(decided_at),
        }
    }

    fn opening(&mut self, decided_at: Timestamp) -> Record {
        // Numbers reach the journal a little out of order.
        if self.numbers.len() < 4 {
            let next =
                self.opened.keys().map(|no| no.0).chain(self.numbers.iter().copied()).max().unwrap() + 1;
            self.numbers.splice(0..0, (next..next + 4).rev());
        }
        let pick = self.numbers.len() - 1 - self.random.below(3) as usize;
        let no = AccountNo(self.numbers.remove(pick));
        let group = ["customers", "merchants", "channels"][self.random.below(3) as usize];
        let opening = AccountOpening {
            address: Address::parse(&format!("{group}:{}", no.0)).unwrap(),
            asset: ["CNY", "CARBON"][self.random.below(2) as usize].into(),
            normal: if self.random.one_in(3) { NormalSide::Debit } else { NormalSide::Credit },
            floor: if self.random.one_in(2) { Some(0) } else { None },
            ceiling: self.random.one_in(4).then_some(1 << 40),
            limits: if self.random.one_in(4) { vec![limit(LimitWindow::Month, None)] } else { Vec::new() },
            metadata: Metadata::default(),
            managed: false,
        };
        Record::AccountOpened { no, opening, scale: 2, decided_at }
    }

    fn refusal(&mut self, decided_at: Timestamp) -> Record {
        let hold = HoldId(self.random.id());
        let kind = OperationKind::Capture { hold, amount: Some(RequestedAmount::parse("1.5")) };
        let transaction = Transaction {
            id: TransactionId(self.id(decided_at)),
            operations: [Operation { kind, code: self.code() }].into_iter().collect(),
            code: self.code(),
            reference: None,
            metadata: Metadata::default(),
            attachment: None,
        };
        let rejection = Rejection { code: RejectionCode::HoldNotFound, operation: 0 };
        Record::Refused(RefusedTransaction { transaction, rejection, seen: Position(3), decided_at })
    }

    fn transaction(&mut self, decided_at: Timestamp) -> Record {
        let count = if self.random.one_in(4) { 1 + self.random.below(6) } else { 1 };
        let mut totals = HashMap::new();
        let operations = (0..count).map(|_| {
            let kind = self.operation(&mut totals, decided_at);
            PostedOperation { kind, code: self.code() }
        });
        let operations = operations.collect();
        Record::Posted(PostedTransaction {
            id: TransactionId(self.id(decided_at)),
            decided_at,
            operations,
            code: self.code(),
            reference: self.random.one_in(9).then(|| "reference".into()),
            metadata: Metadata::default(),
            attachment: None,
        })
    }

    fn operation(&mut self, totals: &mut HashMap<(TransactionId, u8), u64>, now: Timestamp) -> PostedKind {
        let (debit, credit) = self.two_accounts();
        let amount = Amount(1 + self.random.below(1 << (self.random.0 % 40)));
        match self.random.below(12) {
            0 | 1 => PostedKind::Hold { id: HoldId(self.id(now)), debit, credit, amount, expires_in: 5 },
            2 if !self.live.is_empty() => {
                let index = self.random.below(self.live.len() as u64) as usize;
                let hold = self.live.swap_remove(index);
                let row = &self.holds[&hold];
                let (debit, credit, held) = (row.debit, row.credit, row.amount);
                if self.random.one_in(3) {
                    return PostedKind::Release { hold, debit, credit, held };
                }
                let amount = Amount(1 + self.random.below(held.0));
                PostedKind::Capture { hold, debit, credit, held, amount, explicit: true }
            }
            3 | 4 if !self.posted.is_empty() => {
                let recent = self.posted.len() as u64;
                let index = if self.random.one_in(2) { recent - 1 } else { self.random.below(recent) };
                let (transaction, operation) = self.posted[index as usize];
                let original = self.ids[&transaction];
                let Record::Posted(posted) = &self.records[original.0 as usize - 1].1 else { panic!() };
                let kind = &posted.operations[usize::from(operation)].kind;
                let (credit, debit) = kind.accounts();
                let original_code = posted.code_of(usize::from(operation)).cloned();
                let original_at = posted.decided_at;
                let sealed = self.reversed.get(&(transaction, operation)).map_or(0, |total| total.0);
                let total = totals.entry((transaction, operation)).or_insert(sealed);
                let left = kind.moved().unwrap().0 - *total;
                if left == 0 {
                    return PostedKind::Transfer { debit, credit, amount };
                }
                let amount = Amount(1 + self.random.below(left));
                *total += amount.0;
                PostedKind::Reverse {
                    transaction,
                    operation,
                    debit,
                    credit,
                    amount,
                    explicit: true,
                    total: Amount(*total),
                    original_at,
                    original_code,
                }
            }
            _ => PostedKind::Transfer { debit, credit, amount },
        }
    }

    /// Adds a record to the plain list and to each answer.
    fn learn(&mut self, position: Position, at: Timestamp, record: Record) {
        self.ledger.apply(&record);
        match &record {
            Record::AccountOpened { no, opening, .. } => {
                self.opened.insert(*no, (position, opening.clone()));
                self.changed.insert(*no, position);
                self.totals.entry((opening.address.group().into(), opening.asset.clone())).or_default();
                if self.rows.len() <= no.index() {
                    self.rows.resize(no.index() + 1, Vec::new());
                }
            }
            Record::AccountChanged { no, .. } => {
                self.changed.insert(*no, position);
            }
            Record::Refused(refused) => {
                self.ids.insert(refused.transaction.id, position);
            }
            Record::Snapshot(_) => {}
            Record::HoldExpired { hold, debit, credit, .. } => {
                self.changed.extend([(*debit, position), (*credit, position)]);
                self.holds.get_mut(hold).unwrap().ended = Some((HoldEnd::Expired, position));
            }
            Record::Posted(posted) => self.learn_posted(position, at, posted),
        }
        self.records.push((at, record));
    }

    fn learn_posted(&mut self, position: Position, at: Timestamp, posted: &PostedTransaction) {
        self.ids.insert(posted.id, position);
        for (index, operation) in posted.operations.iter().enumerate() {
            let (debit, credit) = operation.kind.accounts();
            self.changed.extend([(debit, position), (credit, position)]);
            let code = posted.code_of(index).cloned();
            match operation.kind {
                PostedKind::Transfer { .. } => self.posted.push((posted.id, index as u8)),
                PostedKind::Hold { id, amount, expires_in, .. } => {
                    let row = HoldRow {
                        debit,
                        credit,
                        amount,
                        captured: Amount::ZERO,
                        placed_at: posted.decided_at,
                        expires_at: posted.decided_at.plus_seconds(expires_in),
                        code: code.clone(),
                        placed: position,
                        ended: None,
                    };
                    self.holds.insert(id, row);
                    self.live.push(id);
                }
                PostedKind::Capture { hold, amount, .. } => {
                    self.posted.push((posted.id, index as u8));
                    let row = self.holds.get_mut(&hold).unwrap();
                    (row.captured, row.ended) = (amount, Some((HoldEnd::Captured, position)));
                }
                PostedKind::Release { hold, .. } => {
                    self.holds.get_mut(&hold).unwrap().ended = Some((HoldEnd::Released, position));
                }
                PostedKind::Reverse { transaction, operation, total, .. } => {
                    self.reversed.insert((transaction, operation), total);
                }
            }
            let Some(amount) = operation.kind.moved() else { continue };
            let legs = [(debit, credit, Direction::Debit), (credit, debit, Direction::Credit)];
            for (account, counterparty, direction) in legs {
                let opening = &self.opened[&account].1;
                let grows = (direction == Direction::Credit) == (opening.normal == NormalSide::Credit);
                let rows = &mut self.rows[account.index()];
                let before = rows.last().map_or(0, |row| row.balance);
                let balance =
                    if grows { before + i128::from(amount.0) } else { before - i128::from(amount.0) };
                let key = (opening.address.group().into(), opening.asset.clone());
                let totals = self.totals.get_mut(&key).unwrap();
                match direction {
                    Direction::Debit => totals.0 += u128::from(amount.0),
                    Direction::Credit => totals.1 += u128::from(amount.0),
                }
                rows.push(HistoryRow {
                    position,
                    at,
                    transaction: posted.id,
                    operation: index as u8,
                    kind: operation.kind.name(),
                    direction,
                    amount,
                    balance,
                    counterparty,
                    code: code.clone(),
                });
            }
        }
    }

    pub fn at(&self, position: Position) -> Timestamp {
        self.records[position.0 as usize - 1].0
    }

    pub fn history(
        &self,
        account: AccountNo,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        before: Option<HistoryCursor>,
        limit: usize,
    ) -> Vec<HistoryRow> {
        let rows = self.rows.get(account.index()).map_or(&[][..], Vec::as_slice).iter().rev();
        let rows =
            rows.filter(|row| from.is_none_or(|from| row.at >= from) && to.is_none_or(|to| row.at < to));
        rows.filter(|row| before.is_none_or(|before| row.cursor() < before)).take(limit).cloned().collect()
    }

    pub fn balance_at(&self, account: AccountNo, last: Position) -> Option<BalanceAt> {
        let opened = self.opened.get(&account).map(|opened| opened.0).filter(|&opened| opened <= last)?;
        let row = self.rows[account.index()].iter().rev().find(|row| row.position <= last);
        Some(row.map_or(BalanceAt { posted: 0, position: opened, at: self.at(opened) }, |row| BalanceAt {
            posted: row.balance,
            position: row.position,
            at: row.at,
        }))
    }

    /// The last position at or before a time.
    pub fn last_at(&self, at: Timestamp) -> Position {
        Position(self.records.iter().take_while(|(time, _)| *time <= at).count() as u64)
    }

    /// Each reversal with the total that it made.
    pub fn reversals(&self) -> impl Iterator<Item = (Position, TransactionId, u8, Amount)> {
        let posted = (1..).zip(&self.records).filter_map(|(position, (_, record))| {
            let Record::Posted(posted) = record else { return None };
            Some((Position(position), posted))
        });
        posted.flat_map(|(position, posted)| {
            posted.operations.iter().filter_map(move |posted| {
                let PostedKind::Reverse { transaction, operation, total, .. } = posted.kind else {
                    return None;
                };
                Some((position, transaction, operation, total))
            })
        })
    }

    pub fn trial_rows(&self) -> Vec<TrialRow> {
        let row = |((group, asset), (debits, credits)): (&(CompactString, CompactString), &(u128, u128))| {
            TrialRow { group: group.clone(), asset: asset.clone(), debits: *debits, credits: *credits }
        };
        self.totals.iter().map(row).collect()
    }
}

fn limit(window: LimitWindow, code: Option<&str>) -> Limit {
    Limit { window, code: code.map(Into::into), amount: Some(u64::MAX), count: None }
}

/// Compares all that can be asked about the whole past of a few accounts.
pub fn assert_same_history(world: &World, index: &Index, account: AccountNo) {
    use yue_engine::index::HistoryQuery;
    let query = HistoryQuery { account, from: None, to: None, before: None, limit: usize::MAX };
    assert_eq!(index.history(&query).unwrap(), world.history(account, None, None, None, usize::MAX));
}

/// The files of an open database as they are at one instant: copied again if they change meanwhile.
pub fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    let state = || -> BTreeMap<_, _> {
        let entries = std::fs::read_dir(from).unwrap().filter_map(Result::ok);
        entries.filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?.len()))).collect()
    };
    loop {
        std::fs::remove_dir_all(to).unwrap();
        std::fs::create_dir_all(to).unwrap();
        let before = state();
        let names = before.keys().filter(|name| *name != "LOCK");
        let copied = names.map(|name| std::fs::copy(from.join(name), to.join(name)).is_ok());
        if copied.filter(|ok| *ok).count() + 1 == before.len() && state() == before {
            return;
        }
    }
}

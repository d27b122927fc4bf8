//! Random hostile transactions on the ledger, compared after every step with a naive model, with a ledger that is split
//! over shards, and at the end with a replay of the records.
//!
//! `cargo test -p yue-engine --test ledger_model` prints the smallest failing case and adds its seed to
//! `ledger_model/failed_seeds`; the same command replays it first. `PROPTEST_CASES=20000` searches longer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

#[path = "ledger_model/cases.rs"]
mod cases;
#[path = "ledger_model/compare.rs"]
mod compare;
#[path = "ledger_model/naive.rs"]
mod naive;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use cases::{ACCOUNTS, Case, DAY_NS, Draft, SECOND_NS, Step, Wait, case, name};
use naive::{Did, Entry, Naive, Rules};
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use smallvec::SmallVec;
use yue_engine::journal::{PostedTransaction, Record};
use yue_engine::ledger::{
    Account, ChangeRefusal, Delta, Facts, Guards, Ledger, LimitState, decide, decide_change, effects,
};
use yue_engine::model::{
    AccountChange, AccountNo, AccountStatus, Amount, Command, Floor, HoldEnd, HoldId, HoldReference, Limit,
    Metadata, NormalSide, Operation, OperationKind, Patch, Position, PostedKind, PostedOperation, Rejection,
    RejectionCode, ResolvedOperation, Timestamp, Transaction, TransactionId,
};

/// 2025-12-31T23:50:00 in Shanghai: ten minutes before a day, a month and a year end.
const START: Timestamp = Timestamp(1_767_196_200 * SECOND_NS);

struct Run {
    naive: Naive,
    one: Ledger,
    split: Vec<Ledger>,
    owners: Vec<usize>,
    extreme: bool,
    /// What [`effects`] gave, folded.
    folded: BTreeMap<AccountNo, Delta>,
    records: Vec<Record>,
    now: Timestamp,
    ids: u128,
    /// Lengths of the naive history that the index knew at some time; the last one is what it knows.
    sealed: Vec<usize>,
    /// How often each verdict came.
    verdicts: BTreeMap<&'static str, u32>,
}

impl Run {
    fn new(case: &Case) -> Self {
        let mut run = Self {
            naive: Naive::default(),
            one: Ledger::new(),
            split: vec![Ledger::new(); 4],
            owners: case.owners.clone(),
            extreme: case.extreme,
            folded: BTreeMap::new(),
            records: vec![],
            now: START,
            ids: 0,
            sealed: vec![0],
            verdicts: BTreeMap::new(),
        };
        for (index, (normal, floor, ceiling, limits)) in case.accounts.iter().enumerate() {
            // Account 0 is where the money comes from; the last two may be at the ends of what a balance can be.
            let plain = index == 0 || (case.extreme && index + 2 >= usize::from(ACCOUNTS));
            let rules = Rules {
                normal: *normal,
                base: match (case.extreme, usize::from(ACCOUNTS) - index) {
                    (true, 1) => i128::MIN + 150,
                    (true, 2) => i128::MAX - 150,
                    _ if ceiling.is_some() => 0,
                    _ if *normal == NormalSide::Debit => -case.wealth,
                    _ => case.wealth,
                },
                floor: if plain { None } else { *floor },
                ceiling: if plain { None } else { *ceiling },
                limits: if plain { vec![] } else { limits.iter().map(|limit| (limit.clone(), 0)).collect() },
            };
            let (no, account) = (run.no(index), opened(&rules));
            run.one.insert_account(no, account.clone());
            run.split[run.owners[index]].insert_account(no, account);
            run.naive.rules.push(rules);
        }
        run
    }

    fn no(&self, index: usize) -> AccountNo {
        AccountNo(u32::try_from(index).unwrap())
    }

    fn numbers(&self) -> impl Iterator<Item = AccountNo> + use<> {
        (0..u32::from(ACCOUNTS)).map(AccountNo)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Post { operations, code, resolved_late } => self.post(operations, *code, *resolved_late),
            Step::Wait(Wait::Nanos(nanos)) => self.now = self.now.plus_nanos(*nanos),
            Step::Wait(Wait::Midnight(less)) => {
                let in_shanghai = self.now.0 + 8 * 3_600 * SECOND_NS;
                self.now = self.now.plus_nanos((DAY_NS - in_shanghai.rem_euclid(DAY_NS) - less).max(0));
            }
            Step::Wait(Wait::Expiry(less)) => {
                let expiry = self.one.next_expiry().map_or(self.now, |(expires_at, _)| expires_at);
                self.now = self.now.max(expiry.plus_nanos(-less));
            }
            Step::Expire => self.expire(),
            Step::Seal(quarters) => self.seal(*quarters),
            Step::Change { no, floor, ceiling, limits } => {
                self.change(*no, *floor, *ceiling, limits.as_deref())
            }
        }
        self.compare();
    }

    fn post(&mut self, drafts: &[(Draft, Option<u8>)], code: Option<u8>, resolved_late: bool) {
        self.ids += 1;
        let transaction = TransactionId(self.ids);
        let as_of =
            if resolved_late { self.sealed[self.sealed.len() / 2] } else { *self.sealed.last().unwrap() };
        let picked: Vec<_> =
            drafts.iter().filter_map(|(draft, code)| Some((draft, *code, self.pick(draft)?))).collect();
        let command = |run: &mut Self, as_of| {
            let operations = picked.iter().map(|(draft, _, pick)| run.resolve(draft, *pick, as_of)).collect();
            let requested = |code: Option<u8>| Operation {
                kind: OperationKind::Release { hold: HoldId(0) },
                code: code.map(name),
            };
            let transaction = Transaction {
                id: transaction,
                operations: picked.iter().map(|&(_, code, _)| requested(code)).collect(),
                code: code.map(name),
                reference: None,
                metadata: Metadata::default(),
                attachment: None,
            };
            Command { transaction, operations, refused: None, cells: Vec::new() }
        };
        let ids = self.ids;
        let mut resolved = command(self, as_of);
        let mut facts = Facts::default();
        if self.one.gather(&resolved, &mut facts).is_err() {
            assert!(
                as_of < *self.sealed.last().unwrap(),
                "only what was resolved before the last seal is stale"
            );
            *self.verdicts.entry("stale").or_default() += 1;
            self.ids = ids;
            resolved = command(self, *self.sealed.last().unwrap());
            facts.clear();
            self.one.gather(&resolved, &mut facts).expect("fresh");
        }
        let verdict = decide(&mut facts, &resolved, self.now);
        let codes = (0..).map(|index| resolved.transaction.code_of(index).cloned());
        let naive: Vec<_> = resolved.operations.iter().cloned().zip(codes).collect();
        let expected = self.naive.post(transaction, &naive, self.now);
        assert_eq!(
            verdict.as_ref().err().copied(),
            expected.err().map(|(code, operation)| Rejection { code, operation })
        );
        *self
            .verdicts
            .entry(verdict.as_ref().map_or_else(|refused| refused.code.as_str(), |_| "posted"))
            .or_default() += 1;
        self.decide_split(&resolved, &verdict);
        if let Ok(operations) = verdict {
            let Transaction { id, code, reference, metadata, .. } = resolved.transaction;
            if operations.len() >= 8 {
                *self.verdicts.entry("posted many").or_default() += 1;
            }
            let posted = PostedTransaction {
                id,
                decided_at: self.now,
                operations,
                code,
                reference,
                metadata,
                attachment: None,
            };
            self.apply(Record::Posted(posted));
        }
    }

    /// What a draft refers to: an index into the naive history; `None` if nothing is there to refer to.
    fn pick(&self, draft: &Draft) -> Option<usize> {
        // The better half of the picks is what probably still lives.
        let choose = |pick: usize, all: Vec<usize>, fresh: Vec<usize>| {
            let from = if pick.is_multiple_of(2) && !fresh.is_empty() { fresh } else { all };
            (!from.is_empty()).then(|| from[pick / 2 % from.len()])
        };
        match *draft {
            Draft::Transfer { .. } | Draft::Hold { .. } => Some(0),
            Draft::Capture { pick, .. } | Draft::Release { pick } => {
                let (all, live) = (self.naive.holds(), self.naive.holds());
                let live = live.into_iter().filter(|(id, _)| self.naive.end(*id).is_none());
                let indices = |(_, placed): (HoldId, naive::Placed)| placed.index;
                choose(pick, all.into_iter().map(indices).collect(), live.map(indices).collect())
            }
            Draft::Reverse { pick, .. } => {
                let is_original = |&index: &usize| {
                    matches!(self.naive.history[index].did, Did::Transfer { .. } | Did::Capture { .. })
                };
                let all: Vec<_> = (0..self.naive.history.len()).filter(is_original).collect();
                let fresh = all[all.len().saturating_sub(3)..].to_vec();
                choose(pick, all, fresh)
            }
        }
    }

    /// What the front would make of a draft with an index that knows the first `as_of` entries.
    fn resolve(&mut self, draft: &Draft, pick: usize, as_of: usize) -> ResolvedOperation {
        let pair = |(debit, credit): (u8, u8)| (AccountNo(debit.into()), AccountNo(credit.into()));
        let reference = |run: &Self| {
            let Did::Hold { id, debit, credit, .. } = run.naive.history[pick].did else { unreachable!() };
            let sealed = run.naive.end(id).filter(|&end| end < as_of);
            HoldReference {
                id,
                debit,
                credit,
                ended: sealed.map(|end| hold_end(&run.naive.history[end].did)),
            }
        };
        match *draft {
            Draft::Transfer { accounts, amount } => {
                let (debit, credit) = pair(accounts);
                ResolvedOperation::Transfer { debit, credit, amount: Amount(amount) }
            }
            Draft::Hold { accounts, amount, expires_in } => {
                self.ids += 1;
                let (debit, credit) = pair(accounts);
                // Ids in no order.
                let id = HoldId(self.ids.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
                ResolvedOperation::Hold { id, debit, credit, amount: Amount(amount), expires_in }
            }
            Draft::Capture { amount, .. } => {
                ResolvedOperation::Capture { hold: reference(self), amount: amount.map(Amount) }
            }
            Draft::Release { .. } => ResolvedOperation::Release { hold: reference(self) },
            Draft::Reverse { amount, .. } => {
                let entry = &self.naive.history[pick];
                let (debit, credit, original) = self.naive.moved(entry).unwrap();
                let counted = &self.naive.history[self.naive.counted_as(pick)];
                let reversed = self.naive.reversed((entry.transaction, entry.operation), as_of);
                ResolvedOperation::Reverse {
                    transaction: entry.transaction,
                    operation: entry.operation,
                    debit: credit,
                    credit: debit,
                    amount: amount.map(Amount),
                    original: Amount(original),
                    original_at: counted.at,
                    original_code: counted.code.clone(),
                    reversed: Amount(u64::try_from(reversed).unwrap()),
                    reversed_as_of: Position(u64::try_from(as_of).unwrap()),
                }
            }
        }
    }

    /// The shards that can refuse an operation, or that own its hold or reversed total.
    fn guarding(&self, command: &Command) -> BTreeSet<usize> {
        let mut shards = BTreeSet::new();
        for operation in &command.operations {
            let (debit, credit) = operation.accounts();
            let spends =
                !matches!(operation, ResolvedOperation::Capture { .. } | ResolvedOperation::Release { .. });
            let owns_hold = !spends || matches!(operation, ResolvedOperation::Hold { .. });
            let owns_total = matches!(operation, ResolvedOperation::Reverse { .. });
            if owns_hold || self.one.account(debit).unwrap().guards_debits() {
                shards.insert(self.owners[debit.index()]);
            }
            if owns_total || (spends && self.one.account(credit).unwrap().guards_credits()) {
                shards.insert(self.owners[credit.index()]);
            }
        }
        shards
    }

    /// The shards that can refuse give the same verdict together. Next to the ends of `i128` any account can refuse.
    fn decide_split(&self, command: &Command, verdict: &Result<SmallVec<[PostedOperation; 2]>, Rejection>) {
        let guarding = self.guarding(command);
        let mut facts = Facts::default();
        for (index, shard) in self.split.iter().enumerate() {
            if self.extreme || guarding.contains(&index) {
                shard.gather(command, &mut facts).expect("no shard knows less than all together");
            }
        }
        assert_eq!(&decide(&mut facts, command, self.now), verdict, "split over shards");
    }

    /// Applies a record to the one ledger, and to the split one: whole where it guards or changes more than balances,
    /// folded elsewhere.
    fn apply(&mut self, record: Record) {
        let whole = self.whole(&record);
        self.one.apply(&record);
        let mut folded: BTreeMap<AccountNo, Delta> = BTreeMap::new();
        effects(&record, |no, delta| *folded.entry(no).or_default() += delta);
        for (index, shard) in self.split.iter_mut().enumerate() {
            if whole.contains(&index) {
                shard.apply(&record);
            }
        }
        for (no, delta) in folded {
            *self.folded.entry(no).or_default() += delta;
            let owner = self.owners[no.index()];
            if !whole.contains(&owner) {
                self.split[owner].apply_delta(no, delta);
            }
        }
        self.records.push(record);
    }

    fn whole(&self, record: &Record) -> BTreeSet<usize> {
        let operations = match record {
            Record::Posted(posted) => posted.operations.as_slice(),
            Record::HoldExpired { debit, .. } => return BTreeSet::from([self.owners[debit.index()]]),
            Record::AccountChanged { no, .. } => return BTreeSet::from([self.owners[no.index()]]),
            Record::AccountOpened { .. } | Record::Refused(_) | Record::Snapshot(_) => {
                return BTreeSet::new();
            }
        };
        let mut shards = BTreeSet::new();
        for operation in operations {
            let (debit, credit) = operation.kind.accounts();
            let owns_hold =
                !matches!(operation.kind, PostedKind::Transfer { .. } | PostedKind::Reverse { .. });
            if owns_hold || self.one.account(debit).unwrap().guards_debits() {
                shards.insert(self.owners[debit.index()]);
            }
            if matches!(operation.kind, PostedKind::Reverse { .. }) {
                shards.insert(self.owners[credit.index()]);
            }
        }
        shards
    }

    fn expire(&mut self) {
        while let Some((expires_at, id)) = self.one.next_expiry().filter(|(at, _)| *at <= self.now) {
            let owner = self.owners[self.one.hold(id).unwrap().debit.index()];
            assert_eq!(
                self.split[owner].next_expiry(),
                Some((expires_at, id)),
                "its shard expires it next, too"
            );
            let record = self.one.expire(id, self.now).unwrap();
            assert_eq!(self.split[owner].expire(id, self.now).as_ref(), Some(&record));
            self.apply(record);
            *self.verdicts.entry("expired").or_default() += 1;
            let transaction = TransactionId(0);
            self.naive.history.push(Entry {
                at: self.now,
                transaction,
                operation: 0,
                code: None,
                did: Did::Expire { id },
            });
        }
    }

    /// The index seals some of what happened; if all, the one ledger restarts from a checkpoint of itself.
    fn seal(&mut self, quarters: usize) {
        let (from, all) = (*self.sealed.last().unwrap(), self.naive.history.len());
        let to = from + (all - from) * quarters / 4;
        for ledger in self.split.iter_mut().chain([&mut self.one]) {
            ledger.set_forgotten(Position(u64::try_from(to).unwrap()));
            for entry in &self.naive.history[from..to] {
                match entry.did {
                    Did::Capture { id, .. } | Did::Release { id } | Did::Expire { id } => {
                        ledger.forget_hold(id)
                    }
                    Did::Reverse { original: (transaction, operation), .. } => {
                        ledger.forget_reversed(transaction, operation);
                    }
                    Did::Transfer { .. } | Did::Hold { .. } => (),
                }
            }
        }
        self.sealed.push(to);
        if to == all {
            self.restart(Position(u64::try_from(to).unwrap()));
        }
    }

    fn restart(&mut self, sealed: Position) {
        let mut restarted = Ledger::new();
        for (no, account) in self.one.accounts() {
            let guards = account.guards().cloned().unwrap_or_default();
            let (net, debits, credits) = (account.net(), account.held_debits(), account.held_credits());
            let account =
                Account::from_parts(net, debits, credits, account.normal(), account.status(), guards);
            restarted.insert_account(no, account);
        }
        for (id, hold) in self.one.holds() {
            restarted.insert_hold(id, hold.clone());
        }
        for (transaction, operation, total) in self.one.reversed_totals() {
            restarted.insert_reversed(transaction, operation, total);
        }
        restarted.set_forgotten(sealed);
        self.one = restarted;
    }

    fn change(
        &mut self,
        no: u8,
        floor: Option<Floor>,
        ceiling: Option<Option<i128>>,
        limits: Option<&[Limit]>,
    ) {
        let number = AccountNo(no.into());
        // A change waits for all that was admitted, so its stamp is its own.
        self.now = self.now.plus_nanos(1);
        let change = AccountChange {
            status: Patch::Keep,
            floor: floor.map_or(Patch::Keep, Patch::Set),
            ceiling: ceiling.map_or(Patch::Keep, Patch::Set),
            limits: limits.map_or(Patch::Keep, |limits| Patch::Set(limits.to_vec())),
        };
        let (available, filled) = (self.naive.available(number).unwrap(), self.naive.filled(number).unwrap());
        let expected = if floor.flatten().is_some_and(|floor| available < floor) {
            Err(ChangeRefusal::InsufficientFunds)
        } else if ceiling.flatten().is_some_and(|ceiling| filled > ceiling) {
            Err(ChangeRefusal::CeilingExceeded)
        } else {
            Ok(())
        };
        assert_eq!(decide_change(self.one.account(number).unwrap(), &change), expected);
        if expected.is_ok() {
            let born = self.naive.history.len();
            let rules = &mut self.naive.rules[number.index()];
            rules.floor = floor.unwrap_or(rules.floor);
            rules.ceiling = ceiling.unwrap_or(rules.ceiling);
            if let Some(limits) = limits {
                let before = std::mem::take(&mut rules.limits);
                let same = |limit: &Limit| {
                    before
                        .iter()
                        .find(|(it, _)| it.window == limit.window && it.code == limit.code)
                        .map(|it| it.1)
                };
                rules.limits =
                    limits.iter().map(|limit| (limit.clone(), same(limit).unwrap_or(born))).collect();
            }
            self.apply(Record::AccountChanged { no: number, change, decided_at: self.now });
        }
        self.now = self.now.plus_nanos(1);
    }
}

fn opened(rules: &Rules) -> Account {
    let limits = rules.limits.iter().map(|(limit, _)| LimitState::of_opening(limit.clone())).collect();
    let guards = Guards { floor: rules.floor, ceiling: rules.ceiling, limits };
    Account::from_parts(rules.base, 0, 0, rules.normal, AccountStatus::Active, guards)
}

fn hold_end(did: &Did) -> HoldEnd {
    match did {
        Did::Capture { .. } => HoldEnd::Captured,
        Did::Release { .. } => HoldEnd::Released,
        Did::Expire { .. } => HoldEnd::Expired,
        Did::Transfer { .. } | Did::Hold { .. } | Did::Reverse { .. } => unreachable!("ends no hold"),
    }
}

#[test]
fn the_ledger_does_what_the_naive_model_does() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000);
    let seeds = FileFailurePersistence::Direct(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/ledger_model/failed_seeds"
    ));
    let config = Config { cases, failure_persistence: Some(Box::new(seeds)), ..Config::default() };
    let verdicts = RefCell::new(BTreeMap::new());
    let verdict = TestRunner::new(config).run(&case(), |case| {
        let mut run = Run::new(&case);
        for step in &case.steps {
            run.step(step);
        }
        run.replay(&case);
        for (verdict, count) in run.verdicts {
            *verdicts.borrow_mut().entry(verdict).or_insert(0) += count;
        }
        Ok(())
    });
    if let Err(failure) = verdict {
        panic!("{failure}");
    }
    println!("{verdicts:?}");
    let seldom = |name: &&str| verdicts.borrow().get(name).copied().unwrap_or(0) < cases / 50;
    let second_pass = RejectionCode::ALL.into_iter().filter(|&code| code >= RejectionCode::HoldCaptured);
    let expected =
        second_pass.map(RejectionCode::as_str).chain(["posted", "posted many", "stale", "expired"]);
    assert_eq!(
        expected.filter(seldom).collect::<Vec<_>>(),
        [""; 0],
        "the cases reach too little: {verdicts:?}"
    );
}

//! Histories: what clients were told who all called at once, judged by the naive ledger in the journal's order.
//!
//! Real threads, a real journal: what the simulation, in its one thread, can't show. In windows of some hundred calls on a few
//! accounts of their own, since the naive ledger counts everything again each time. `HISTORY_WINDOWS=500` checks more of them.

mod check;
#[path = "../ledger_model/naive.rs"]
#[allow(dead_code, clippy::wildcard_enum_match_arm, reason = "as in its own test; no hold runs out here")]
mod naive;
mod wrong;

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use check::{Call, Seen, What, check};
use naive::Rules;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;
use yue_engine::{
    Engine,
    model::{
        AccountNo, Amount, HoldId, HoldReference, Limit, LimitWindow, OperationKind, Position,
        ResolvedOperation, Timestamp, Transaction,
    },
};

use crate::support::{Yue, address, amount, hold, hold_id, many, opening, transfer};

const CLIENTS: u64 = 12;
const CALLS: u32 = 18;

/// The accounts of a window. All of them refuse what they don't have; wallets also what is too much, and the last customer
/// what is above its limits.
const ACCOUNTS: [&str; 8] = [
    "channels:bank",
    "customers:1",
    "customers:2",
    "merchants:1",
    "merchants:2",
    "wallets:1",
    "wallets:2",
    "customers:3",
];
const CEILING: i128 = 90;

fn limits(no: usize) -> Vec<Limit> {
    let limit = Limit { window: LimitWindow::Lifetime, code: None, amount: Some(150), count: Some(9) };
    if no == ACCOUNTS.len() - 1 { vec![limit] } else { Vec::new() }
}

fn ceiling(no: usize) -> Option<i128> {
    ACCOUNTS[no].starts_with("wallets").then_some(CEILING)
}

fn number(no: usize) -> AccountNo {
    AccountNo(u32::try_from(no).unwrap())
}

fn rules() -> Vec<Rules> {
    let of = |no: usize| Rules {
        normal: opening(ACCOUNTS[no]).normal,
        base: 0,
        floor: Some(0),
        ceiling: ceiling(no),
        limits: limits(no).into_iter().map(|limit| (limit, 0)).collect(),
    };
    (0..ACCOUNTS.len()).map(of).collect()
}

/// A transaction as it is sent, and as the naive ledger takes it.
type Both = (Transaction, Vec<ResolvedOperation>);

/// A window's accounts, and what its clients share.
struct Window {
    engine: Engine,
    names: Vec<String>,
    clock: AtomicU64,
    /// What somebody was told the outcome of, and whether it was posted.
    answered: boxcar::Vec<(Both, bool)>,
    holds: boxcar::Vec<HoldId>,
}

impl Window {
    async fn open(yue: &Yue, no: usize) -> Self {
        let names: Vec<_> = ACCOUNTS.iter().map(|name| format!("{name}-{no}")).collect();
        for (no, name) in names.iter().enumerate() {
            yue.open_with(name, |opening| (opening.ceiling, opening.limits) = (ceiling(no), limits(no)))
                .await;
        }
        let engine = yue.engine.clone();
        let clock = AtomicU64::new(1);
        Self { engine, names, clock, answered: boxcar::Vec::new(), holds: boxcar::Vec::new() }
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn read(&self, no: usize) -> Call {
        let began = self.now();
        let view = self.engine.account(&address(&self.names[no])).unwrap();
        let ended = self.now();
        let (posted, held, position) = (view.posted, view.held, view.position);
        assert_eq!(view.available, posted - held);
        Call { began, ended, what: What::Read { account: number(no), posted, held, position } }
    }

    async fn submit(&self, (transaction, operations): Both) -> Call {
        let began = self.now();
        let outcome = self.engine.submit(transaction.clone()).await.unwrap();
        let ended = self.now();
        let posted = outcome.verdict.is_ok();
        for operation in &operations {
            if let (ResolvedOperation::Hold { id, .. }, true) = (operation, posted) {
                self.holds.push(*id);
            }
        }
        self.answered.push(((transaction, operations.clone()), posted));
        Call { began, ended, what: What::Transaction { operations, outcome } }
    }

    fn transfer(&self, debit: usize, credit: usize, units: u64) -> (OperationKind, ResolvedOperation) {
        let kind = transfer(&self.names[debit], &self.names[credit], units);
        let (debit, credit) = (number(debit), number(credit));
        (kind, ResolvedOperation::Transfer { debit, credit, amount: Amount(units) })
    }

    fn hold(&self, debit: usize, credit: usize, units: u64) -> (OperationKind, ResolvedOperation) {
        let (id, expires_in) = (hold_id(), 900);
        let kind = hold(id, &self.names[debit], &self.names[credit], units, expires_in);
        let (debit, credit) = (number(debit), number(credit));
        (kind, ResolvedOperation::Hold { id, debit, credit, amount: Amount(units), expires_in })
    }

    /// A capture or release of a hold that somebody was told of.
    fn end(&self, random: &mut StdRng) -> Option<(OperationKind, ResolvedOperation)> {
        let id = *pick(random, &self.holds)?;
        // The naive ledger knows a hold by its id.
        let hold = HoldReference { id, debit: AccountNo(0), credit: AccountNo(0), ended: None };
        Some(if random.random_ratio(2, 3) {
            let units = random.random_bool(0.5).then(|| random.random_range(1..25));
            let kind = OperationKind::Capture { hold: id, amount: units.map(amount) };
            (kind, ResolvedOperation::Capture { hold, amount: units.map(Amount) })
        } else {
            (OperationKind::Release { hold: id }, ResolvedOperation::Release { hold })
        })
    }

    /// A reversal of a transfer that somebody was told of.
    fn reverse(&self, random: &mut StdRng) -> Option<(OperationKind, ResolvedOperation)> {
        let ((original, operations), posted) = pick(random, &self.answered)?;
        let (&ResolvedOperation::Transfer { debit, credit, amount: whole }, true) = (&operations[0], *posted)
        else {
            return None;
        };
        let (transaction, operation) = (original.id, 0);
        let units = random.random_bool(0.5).then(|| random.random_range(1..25));
        let kind = OperationKind::Reverse { transaction, operation, amount: units.map(amount) };
        let resolved = ResolvedOperation::Reverse {
            transaction,
            operation,
            debit: credit,
            credit: debit,
            amount: units.map(Amount),
            original: whole,
            // The naive ledger looks the original up.
            original_at: Timestamp(0),
            original_code: None,
            reversed: Amount(0),
            reversed_as_of: Position::ZERO,
        };
        Some((kind, resolved))
    }

    fn wish(&self, random: &mut StdRng) -> Option<Both> {
        let mut others: Vec<_> = (0..ACCOUNTS.len()).collect();
        let mut other = || others.swap_remove(random.random_range(0..others.len()));
        let (one, two, three, four) = (other(), other(), other(), other());
        let units = random.random_range(1..30);
        let wished = match random.random_range(0..10) {
            0..4 => vec![self.transfer(one, two, units)],
            // Each account once, so that each has one guard to meet.
            4..6 => {
                vec![self.transfer(one, three, units), self.transfer(two, four, random.random_range(1..30))]
            }
            // No hold is for the bank: its end would be a debit there that may come late, which the check does not know.
            6 => vec![self.hold(one.min(two), one.max(two), units)],
            7..9 => vec![self.end(random)?],
            _ => vec![self.reverse(random)?],
        };
        let (kinds, operations): (Vec<_>, _) = wished.into_iter().unzip();
        Some((many(kinds), operations))
    }

    async fn client(self: Arc<Self>, seed: u64) -> Vec<Call> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut calls = Vec::new();
        for _ in 0..CALLS {
            match random.random_range(0..20) {
                0..6 => calls.push(self.read(random.random_range(0..ACCOUNTS.len()))),
                6 => {
                    let Some((again, _)) = pick(&mut random, &self.answered) else { continue };
                    calls.push(self.submit(again.clone()).await);
                }
                7 => {
                    let Some(twice) = self.wish(&mut random) else { continue };
                    calls.extend(<[Call; 2]>::from(tokio::join!(
                        self.submit(twice.clone()),
                        self.submit(twice)
                    )));
                }
                _ => {
                    let Some(wish) = self.wish(&mut random) else { continue };
                    calls.push(self.submit(wish).await);
                }
            }
            tokio::task::yield_now().await;
        }
        calls
    }

    /// All clients at once, on accounts that have something.
    async fn run(self, seed: u64) -> Vec<Call> {
        let mut calls = Vec::new();
        for no in 1..ACCOUNTS.len() {
            let (kind, operation) = self.transfer(0, no, 60);
            calls.push(self.submit((many([kind]), vec![operation])).await);
        }
        let window = Arc::new(self);
        let mut clients = JoinSet::new();
        for no in 0..CLIENTS {
            clients.spawn(Arc::clone(&window).client(seed * CLIENTS + no));
        }
        calls.extend(clients.join_all().await.into_iter().flatten());
        // At rest: exactly what the journal adds up to.
        calls.extend((0..ACCOUNTS.len()).map(|no| window.read(no)));
        calls
    }
}

fn pick<'a, T>(random: &mut StdRng, among: &'a boxcar::Vec<T>) -> Option<&'a T> {
    among.get(random.random_range(0..among.count().max(1)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_clients_are_told_at_once_is_what_one_ledger_would_tell() {
    let windows = env::var("HISTORY_WINDOWS").map_or(8, |it| it.parse().unwrap());
    let mut all = Seen::default();
    for shards in [1, 2, 4, 7] {
        let yue = Yue::new(shards);
        for no in 0..windows {
            let calls = Window::open(&yue, no).await.run(u64::from(shards) << 32 | no as u64).await;
            let seen = check(&rules(), &calls).unwrap_or_else(|wrong| {
                panic!("{shards} shards, window {no}: {wrong}\n{calls:#?}");
            });
            all.add(seen);
        }
        yue.assert_balanced().await;
    }
    // A tame generator proves nothing.
    println!("{all:?}");
    for code in [
        "insufficient_funds",
        "ceiling_exceeded",
        "limit_exceeded",
        "hold_captured",
        "hold_released",
        "capture_exceeds_hold",
        "reversal_exceeds_original",
    ] {
        assert!(all.refused.contains_key(code), "nothing was refused as {code}: {all:?}");
    }
    assert!(all.posted > 0 && all.copies > 0 && all.reads_in_between > 0, "{all:?}");
}

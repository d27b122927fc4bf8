//! What the rules cost: decide and apply of a transfer, with and without limits.
//!
//! The flow: resolved command ─▶ `gather` ─▶ `decide` ─▶ `apply`. Each run checks that the money went where it should.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use smallvec::smallvec;
use yue_engine::{
    journal::{PostedTransaction, Record},
    ledger::{Facts, Ledger, decide},
    model::{
        AccountNo, AccountOpening, Address, Amount, Command, Limit, LimitWindow, Metadata, NormalSide,
        ResolvedOperation, Timestamp, Transaction, TransactionId,
    },
};

const ACCOUNTS: u32 = 10_000;
const TRANSFERS: u32 = 10_000;

fn ledger(limits: &[Limit]) -> Ledger {
    let mut ledger = Ledger::new();
    for no in 0..ACCOUNTS {
        let opening = AccountOpening {
            address: Address::parse(&format!("customers:{no}")).unwrap(),
            asset: "CNY".into(),
            normal: NormalSide::Credit,
            floor: Some(-1_000_000_000),
            ceiling: None,
            limits: limits.to_vec(),
            metadata: Metadata::default(),
            managed: false,
        };
        ledger.open(AccountNo(no), &opening);
    }
    ledger
}

fn command(no: u32) -> Command {
    let debit = AccountNo(no.wrapping_mul(2_654_435_761) % ACCOUNTS);
    let credit = AccountNo((debit.0 + 1 + no % (ACCOUNTS - 1)) % ACCOUNTS);
    Command {
        transaction: Transaction {
            id: TransactionId(u128::from(no)),
            operations: smallvec![],
            code: None,
            reference: None,
            metadata: Metadata::default(),
            attachment: None,
        },
        operations: smallvec![ResolvedOperation::Transfer { debit, credit, amount: Amount(1) }],
        refused: None,
        cells: Vec::new(),
    }
}

fn run(ledger: &mut Ledger, commands: &[Command]) {
    for command in commands {
        let mut facts = Facts::default();
        ledger.gather(command, &mut facts).unwrap();
        let operations = decide(&mut facts, command, Timestamp(1)).unwrap();
        let posted = PostedTransaction {
            id: command.transaction.id,
            decided_at: Timestamp(1),
            operations,
            code: None,
            reference: None,
            metadata: Metadata::default(),
            attachment: None,
        };
        ledger.apply(black_box(&Record::Posted(posted)));
    }
    assert_eq!(ledger.accounts().map(|(_, account)| account.net()).sum::<i128>(), 0, "money is conserved");
    assert!(ledger.accounts().any(|(_, account)| account.net() != 0), "money moved");
}

fn benches(criterion: &mut Criterion) {
    let commands: Vec<Command> = (0..TRANSFERS).map(command).collect();
    let mut group = criterion.benchmark_group("decide and apply");
    group.throughput(Throughput::Elements(u64::from(TRANSFERS)));
    let limit = |window| Limit { window, code: None, amount: Some(1_000_000_000), count: None };
    let cases = [
        ("transfer", vec![]),
        ("transfer, two limits", vec![limit(LimitWindow::Day), limit(LimitWindow::Year)]),
    ];
    for (name, limits) in cases {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || ledger(&limits),
                |ledger| run(ledger, &commands),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(ledger_benches, benches);
criterion_main!(ledger_benches);

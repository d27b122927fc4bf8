//! The whole engine in process: batches of transfers, durable, ids checked, index following.
//!
//! The flow: caller ─▶ front ─▶ shard ─▶ journal ─▶ shard ─▶ caller, by number of shards and by size of a batch. Each run
//! checks that every transfer was posted.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panicking")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use smallvec::smallvec;
use yue_engine::{
    Config, Engine,
    model::{
        AccountOpening, Address, Amount, Metadata, NormalSide, Operation, OperationKind, RequestedAmount,
        Transaction, TransactionId,
    },
};

const ACCOUNTS: u128 = 1_000;

fn address(no: u128) -> Address {
    Address::parse(&format!("customers:{}", no % ACCOUNTS)).unwrap()
}

fn transfer(no: u128) -> Transaction {
    let kind = OperationKind::Transfer {
        debit: address(no),
        credit: address(no * 7 + 1),
        amount: RequestedAmount::from_units(Amount(1), 2),
    };
    Transaction {
        id: TransactionId(no),
        operations: smallvec![Operation { kind, code: None }],
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: None,
    }
}

fn benches(criterion: &mut Criterion) {
    std::fs::create_dir_all("../out").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("engine");
    group.sample_size(20);
    for shards in [1, 2, 4] {
        let data = tempfile::tempdir_in("../out").unwrap();
        let mut config = Config::new(data.path());
        config.shards = shards;
        let engine = Engine::open(config).unwrap();
        for no in 0..ACCOUNTS {
            let opening = AccountOpening {
                address: address(no),
                asset: "CNY".into(),
                normal: NormalSide::Credit,
                floor: Some(-1_000_000_000),
                ceiling: None,
                limits: Vec::new(),
                metadata: Metadata::default(),
                managed: false,
            };
            runtime.block_on(engine.open_account(opening)).unwrap();
        }
        let mut next = 0_u128;
        for batch in [1_u128, 64, 4_096] {
            group.throughput(Throughput::Elements(u64::try_from(batch).unwrap()));
            group.bench_function(format!("{shards} shards, batches of {batch}"), |bencher| {
                bencher.iter_batched(
                    || {
                        // A transfer from an account to itself would be refused.
                        let ids = (next..).filter(|no| address(*no) != address(no * 7 + 1));
                        let batch: Vec<_> = ids.take(usize::try_from(batch).unwrap()).collect();
                        next = batch.last().unwrap() + 1;
                        batch.into_iter().map(transfer).collect::<Vec<_>>()
                    },
                    |transactions| {
                        for outcome in runtime.block_on(engine.submit_batch(transactions)) {
                            assert_eq!(outcome.unwrap().verdict, Ok(()));
                        }
                    },
                    BatchSize::LargeInput,
                );
            });
        }
        engine.close();
    }
    group.finish();
}

criterion_group!(engine_benches, benches);
criterion_main!(engine_benches);

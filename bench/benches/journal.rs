//! What durability costs: append, sync and witness of a group, by its number of records.
//!
//! The flow: framed records ─▶ hash chain ─▶ RocksDB write + sync ─▶ witness write + sync. On the file system of the
//! folder `out`; each run checks where the journal ends.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panicking")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smallvec::smallvec;
use yue_engine::{
    journal::{Checkpoint, Group, Journal, JournalOptions, PostedTransaction, Record, rocks::RocksJournal},
    model::{AccountNo, Amount, Metadata, PostedKind, PostedOperation, Timestamp, TransactionId},
};

fn record(id: u128) -> Record {
    let kind = PostedKind::Transfer { debit: AccountNo(1), credit: AccountNo(2), amount: Amount(618) };
    Record::Posted(PostedTransaction {
        id: TransactionId(id),
        decided_at: Timestamp(1),
        operations: smallvec![PostedOperation { kind, code: None }],
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: None,
    })
}

fn benches(criterion: &mut Criterion) {
    std::fs::create_dir_all("../out").unwrap();
    let mut group = criterion.benchmark_group("journal append");
    for records in [1_u32, 64, 512, 4_096, 8_192] {
        let data = tempfile::tempdir_in("../out").unwrap();
        let mut journal =
            RocksJournal::open(data.path(), &JournalOptions::default(), Checkpoint::default()).unwrap();
        let mut framed = Vec::new();
        (0..records).for_each(|id| Group::frame(&mut framed, &record(u128::from(id))));
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_function(format!("{records} records"), |bencher| {
            bencher.iter(|| {
                let head = journal.head();
                let next = Group::new(head, head.at.plus_nanos(1), records, framed.clone());
                journal.append(&next, Checkpoint::default()).unwrap();
                assert_eq!(journal.head().position, head.position.plus(u64::from(records)));
            });
        });
    }
    group.finish();
}

criterion_group!(journal_benches, benches);
criterion_main!(journal_benches);

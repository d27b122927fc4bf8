//! The figures of `docs/decisions/0002-journal-recovery-mode.md`; run with
//! `cargo test -p yue-engine --release --test journal_figures -- --ignored --nocapture --test-threads 1`, on a quiet
//! machine, with `TMPDIR` on the disk to measure.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

mod journal_support;

use std::{
    fs::File,
    hint::black_box,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use rocksdb::{DB, DBCompressionType, DBRecoveryMode, Options, WriteBatch, WriteOptions};
use smallvec::smallvec;
use yue_engine::{
    journal::{
        Checkpoint, Group, Head, Journal, JournalOptions, PostedTransaction, Record,
        rocks::{JournalReader, RocksJournal},
    },
    model::{AccountNo, Amount, Metadata, PostedKind, PostedOperation, Timestamp, TransactionId},
};

const SECONDS: u64 = 10;

fn posted(number: u32) -> Record {
    let transfer = PostedKind::Transfer {
        debit: AccountNo(number % 1_000_000),
        credit: AccountNo(7),
        amount: Amount(u64::from(number) % 50_000),
    };
    Record::Posted(PostedTransaction {
        id: TransactionId(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        decided_at: Timestamp(1_750_176_000_000_000_000 + i64::from(number)),
        operations: smallvec![PostedOperation { kind: transfer, code: None }],
        code: Some("pay".into()),
        reference: Some("order-0123456789".into()),
        metadata: Metadata::default(),
        attachment: None,
    })
}

fn next(head: Head, count: u32, number: &mut u32) -> Group {
    let mut records = Vec::new();
    for _ in 0..count {
        *number = number.wrapping_add(1);
        Group::frame(&mut records, &posted(*number));
    }
    Group::new(head, Timestamp(head.at.0 + 10_000), count, records)
}

fn bytes_of(directory: &std::path::Path) -> u64 {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// A store under measurement, with a witness of 4 KiB after each group as the journal has it.
struct Store {
    name: &'static str,
    data: tempfile::TempDir,
    db: DB,
    witness: File,
    slot: u64,
    latencies: Vec<Duration>,
}

impl Store {
    fn new(name: &'static str, mode: DBRecoveryMode, recycled: usize, buffer_mib: usize) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::None);
        options.set_wal_recovery_mode(mode);
        options.set_recycle_log_file_num(recycled);
        options.set_write_buffer_size(buffer_mib << 20);
        options.set_max_background_jobs(2);
        options.set_disable_auto_compactions(true);
        options.set_allow_concurrent_memtable_write(false);
        options.set_bytes_per_sync(1 << 20);
        let db = DB::open(&options, data.path().join("journal")).unwrap();
        // Log files are written over only after a few: fill some first.
        for number in 0..u32::try_from(buffer_mib).unwrap() * 7 / 2 {
            db.put([&[0; 1][..], &number.to_be_bytes()].concat(), vec![1; 1 << 20]).unwrap();
        }
        let witness = File::create(data.path().join("witness")).unwrap();
        witness.write_all_at(&[1; 8192], 0).unwrap();
        witness.sync_all().unwrap();
        db.flush_wal(true).unwrap();
        Self { name, data, db, witness, slot: 0, latencies: Vec::new() }
    }

    fn append(&mut self, group: &Group, write: &WriteOptions) {
        let start = Instant::now();
        let mut batch = WriteBatch::default();
        batch.put(group.first.0.to_be_bytes(), group.encode());
        self.db.write_opt(batch, write).unwrap();
        self.slot = 4096 - self.slot;
        self.witness.write_all_at(&[2; 4096], self.slot).unwrap();
        self.witness.sync_data().unwrap();
        self.latencies.push(start.elapsed());
    }

    fn print(&mut self, count: u32) {
        let total = self.latencies.iter().sum::<Duration>().as_secs_f64();
        self.latencies.sort();
        let at = |share: usize| self.latencies[(self.latencies.len() - 1) * share / 1000].as_secs_f64() * 1e3;
        let groups = f64::from(u32::try_from(self.latencies.len()).unwrap()) / total;
        println!(
            "{:34} {count:5} records: {groups:6.0} groups/s  p50 {:6.3}  p90 {:6.3}  p99 {:6.3} ms, {} MB on disk",
            self.name,
            at(500),
            at(900),
            at(990),
            bytes_of(&self.data.path().join("journal")) >> 20,
        );
        self.latencies.clear();
    }
}

/// All stores take each group in turn, so that a busy neighbour disturbs them alike.
#[test]
#[ignore = "a measurement"]
fn groups_a_second_by_recovery_mode() {
    let mut stores = [
        Store::new("tolerate corrupted tail, 256 MB", DBRecoveryMode::TolerateCorruptedTailRecords, 0, 256),
        Store::new("point in time, 256 MB, 4 recycled", DBRecoveryMode::PointInTime, 4, 256),
        Store::new("point in time, 256 MB, 2 recycled", DBRecoveryMode::PointInTime, 2, 256),
        Store::new("point in time, 64 MB, 2 recycled", DBRecoveryMode::PointInTime, 2, 64),
    ];
    let mut write = WriteOptions::default();
    write.set_sync(true);
    let (mut head, mut number) = (Head::default(), 0);
    for count in [1, 64, 512, 4096, 1, 64, 512, 4096] {
        let end = Instant::now() + Duration::from_secs(SECONDS);
        while Instant::now() < end {
            let group = next(head, count, &mut number);
            for store in &mut stores {
                store.append(&group, &write);
            }
            // Whoever comes first after the making of a group has the colder caches.
            stores.rotate_left(1);
            head = group.head();
        }
        stores.sort_by_key(|store| store.name);
        for store in &mut stores {
            store.print(count);
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn seconds_of_a_walk() {
    let data = tempfile::tempdir().unwrap();
    let mut journal =
        RocksJournal::open(data.path(), &JournalOptions::default(), Checkpoint::default()).unwrap();
    let mut number = 0;
    for _ in 0..2_000 {
        let group = next(journal.head(), 5_000, &mut number);
        journal.append(&group, Checkpoint::default()).unwrap();
    }
    drop(journal);
    let timed = |name: &str, run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        println!("{name}: {:.2} s", start.elapsed().as_secs_f64());
    };
    let megabytes = bytes_of(&data.path().join("journal")) >> 20;
    println!("10M records in 2,000 groups, {megabytes} MB");
    for _ in 0..2 {
        timed("verify", &mut || {
            let reader = JournalReader::open(data.path(), &JournalOptions::default()).unwrap();
            assert_eq!(reader.verify(&mut |_| Ok(())).unwrap().records, 10_000_000);
        });
        timed("verify and decode", &mut || {
            let reader = JournalReader::open(data.path(), &JournalOptions::default()).unwrap();
            let mut decoded = 0_u64;
            reader
                .verify(&mut |group| {
                    for frame in group.frames() {
                        black_box(Record::decode(frame.unwrap()).unwrap());
                        decoded += 1;
                    }
                    Ok(())
                })
                .unwrap();
            assert_eq!(decoded, 10_000_000);
        });
        timed("open for writing", &mut || {
            RocksJournal::open(data.path(), &JournalOptions::default(), Checkpoint::default()).unwrap();
        });
    }
}

/// Time that this thread has had on a core: other processes do not count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
#[ignore = "a measurement"]
fn nanoseconds_of_a_record() {
    println!("a record takes {} bytes in memory", size_of::<Record>());
    let PostedTransaction { mut operations, id, decided_at, metadata, .. } = match posted(77_777) {
        Record::Posted(posted) => posted,
        other => panic!("{other:?}"),
    };
    for legs in 1..=2 {
        if legs == 2 {
            operations.push(operations[0].clone());
        }
        let record = Record::Posted(PostedTransaction {
            id,
            decided_at,
            operations: operations.clone(),
            code: None,
            reference: None,
            metadata: metadata.clone(),
            attachment: None,
        });
        let mut bytes = Vec::with_capacity(256);
        record.encode(&mut bytes);
        let rounds = 10_000_000_u32;
        let start = cpu_time();
        for _ in 0..rounds {
            bytes.clear();
            black_box(&record).encode(&mut bytes);
            black_box(&bytes);
        }
        let encode = (cpu_time() - start) / rounds;
        let start = cpu_time();
        for _ in 0..rounds {
            black_box(Record::decode(black_box(&bytes)).unwrap());
        }
        let decode = (cpu_time() - start) / rounds;
        println!("{legs} transfers: {} bytes, encode {encode:?}, decode {decode:?}", bytes.len());
    }
}

//! What the index costs: processor time of the follower, the sealer and RocksDB's own threads, by transfer.
//!
//! `cargo test --release -p yue-engine --test index_speed -- --ignored --nocapture`; `YUE_TRANSFERS`, `YUE_ACCOUNTS` and
//! `YUE_IDS=random` change the load.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod index_support;

use std::{
    sync::{Arc, mpsc},
    time::Instant,
};

use index_support::Random;
use yue_engine::{
    index::{Frozen, HistoryQuery, IndexOptions, open},
    journal::{Group, Head, PostedTransaction, Record},
    model::{
        AccountNo, AccountOpening, Address, Amount, Metadata, NormalSide, PostedKind, PostedOperation,
        Timestamp, TransactionId,
    },
};

/// Processor time of the calling thread or of the process, in nanoseconds.
fn cpu_ns(of: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{of}/schedstat")).unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

/// Processor time of all threads, also of those that ended.
fn process_cpu_ns() -> u64 {
    const NS_PER_TICK: u64 = 10_000_000;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_ascii_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap() * NS_PER_TICK).sum()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

struct Load {
    random: Random,
    accounts: u64,
    time_ordered: bool,
    head: Head,
    made: u64,
}

impl Load {
    const GROUP: u64 = 4096;

    fn group(&mut self, count: u64, mut record: impl FnMut(&mut Self, Timestamp) -> Record) -> Arc<Group> {
        let at = self.head.at.plus_nanos(9_000_000);
        let mut bytes = Vec::with_capacity(128 * count as usize);
        for _ in 0..count {
            let record = record(self, at);
            Group::frame(&mut bytes, &record);
        }
        let group = Group::new(self.head, at, count as u32, bytes);
        self.head = group.head();
        Arc::new(group)
    }

    fn opening(&mut self, decided_at: Timestamp) -> Record {
        let no = AccountNo(self.made as u32);
        self.made += 1;
        let opening = AccountOpening {
            address: Address::parse(&format!("customers:{}", no.0)).unwrap(),
            asset: "CNY".into(),
            normal: NormalSide::Credit,
            floor: Some(0),
            ceiling: None,
            limits: Vec::new(),
            metadata: Metadata::default(),
            managed: false,
        };
        Record::AccountOpened { no, opening, scale: 2, decided_at }
    }

    fn transfer(&mut self, decided_at: Timestamp) -> Record {
        let debit = self.random.below(self.accounts);
        let hot = self.random.one_in(10);
        let credit = if hot && debit != 0 {
            0
        } else {
            (debit + 1 + self.random.below(self.accounts - 1)) % self.accounts
        };
        let low = self.random.id();
        let id = if self.time_ordered {
            u128::from((decided_at.0 / 1_000_000) as u64) << 80 | 7 << 76 | low >> 52
        } else {
            low
        };
        let kind = PostedKind::Transfer {
            debit: AccountNo(debit as u32),
            credit: AccountNo(credit as u32),
            amount: Amount(1 + self.random.below(100_000)),
        };
        Record::Posted(PostedTransaction {
            id: TransactionId(id),
            decided_at,
            operations: [PostedOperation { kind, code: None }].into_iter().collect(),
            code: Some("payment".into()),
            reference: None,
            metadata: Metadata::default(),
            attachment: None,
        })
    }
}

#[test]
#[ignore = "a measurement"]
fn cost_by_transfer() {
    let transfers = setting("YUE_TRANSFERS", 4_000_000);
    let accounts = setting("YUE_ACCOUNTS", 10_000);
    let time_ordered = std::env::var("YUE_IDS").is_err();
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path(), &IndexOptions::default(), &mut |_| ()).unwrap();
    let (mut follower, mut sealer, index) = (opened.follower, opened.sealer, opened.index);
    let head = Head { at: Timestamp(1_750_000_000_000_000_000), ..Head::default() };
    let mut load = Load { random: Random(7), accounts, time_ordered, head, made: 0 };

    let (sender, receiver) = mpsc::sync_channel::<Frozen>(1);
    let sealing = std::thread::spawn(move || {
        let mut longest = 0;
        let start = cpu_ns("thread-self");
        for frozen in receiver {
            let began = Instant::now();
            drop(sealer.seal(frozen).unwrap());
            longest = longest.max(began.elapsed().as_millis());
        }
        (cpu_ns("thread-self") - start, longest)
    });
    let start = Instant::now();
    let (mut stepping, mut making, mut longest_step) = (0, 0, 0);
    let all_start = process_cpu_ns();
    let mut left = accounts + transfers;
    let mut probes = (0_u64, 0_u64);
    while left > 0 {
        let before = cpu_ns("thread-self");
        let opening = load.made < accounts;
        let count = left.min(Load::GROUP).min(if opening { accounts - load.made } else { u64::MAX });
        let group = load.group(count, if opening { Load::opening } else { Load::transfer });
        left -= count;
        let made = cpu_ns("thread-self");
        let frozen = follower.step(group).unwrap();
        let stepped = cpu_ns("thread-self");
        if let Some(frozen) = frozen {
            sender.send(frozen).unwrap();
        }
        making += made - before;
        if !opening {
            stepping += stepped - made;
            longest_step = longest_step.max(stepped - made);
        }
        // Look-ups of new ids, as each payment makes one.
        let before = cpu_ns("thread-self");
        for _ in 0..100 {
            let Record::Posted(posted) = load.transfer(load.head.at) else { panic!() };
            assert_eq!(index.find_transaction(posted.id).unwrap(), None);
        }
        probes = (probes.0 + 100, probes.1 + cpu_ns("thread-self") - before);
    }
    sender.send(follower.freeze().unwrap()).unwrap();
    drop(sender);
    let (seal_ns, longest_seal) = sealing.join().unwrap();
    let wall = start.elapsed();
    let all = process_cpu_ns() - all_start;
    let by = |ns: u64| ns as f64 / transfers as f64 / 1000.0;
    let bytes: u64 =
        std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
    println!(
        "{transfers} transfers, {accounts} accounts, time-ordered {time_ordered}, wall {wall:?}\n\
         CPU us a transfer: step {:.3}, seal {:.3}, RocksDB {:.3}, load {:.3}, find (each, with making an id) {:.3}\n\
         longest step {} ms, longest seal {longest_seal} ms, {:.0} bytes a transfer",
        by(stepping),
        by(seal_ns),
        by(all.saturating_sub(stepping + seal_ns + making + probes.1)),
        by(making),
        probes.1 as f64 / probes.0 as f64 / 1000.0,
        longest_step / 1_000_000,
        bytes as f64 / transfers as f64,
    );
    for account in [0, 77] {
        for page in 0..3 {
            let mut before = None;
            let began = Instant::now();
            for _ in 0..10 {
                let query =
                    HistoryQuery { account: AccountNo(account), from: None, to: None, before, limit: 100 };
                before = index.history(&query).unwrap().last().map(|row| row.cursor());
            }
            println!("account {account} ten pages of 100, round {page}: {:?} a page", began.elapsed() / 10);
        }
    }
    drop((follower, index));
    let began = Instant::now();
    let mut seen = 0_u64;
    let opened = open(dir.path(), &IndexOptions::default(), &mut |_| seen += 1).unwrap();
    println!("open: {:?}, {seen} accounts, at {}", began.elapsed(), opened.index.sealed());
}

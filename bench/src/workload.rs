//! The workload of the headline measurements: transfers among a fixed number of accounts, by a seedless generator, so
//! that each run does the same work.

use std::time::{Duration, Instant};

use smallvec::smallvec;
use yue_engine::{
    Config, Engine,
    model::{
        AccountOpening, Address, Amount, Metadata, NormalSide, Operation, OperationKind, RequestedAmount,
        Transaction, TransactionId,
    },
};

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// Customers; each starts with [`Workload::FUNDS`].
    pub(crate) accounts: u64,
    /// How many transfers.
    pub(crate) transfers: u64,
    /// Every how many transfers one goes to `merchants:hot`; 0 for none.
    pub(crate) hot_every: u64,
    /// Random ids in place of time-ordered ones.
    pub(crate) random_ids: bool,
    /// Transfers of one submission.
    pub(crate) batch: u64,
    /// Submissions in flight.
    pub(crate) depth: u64,
}

/// A small generator of good enough numbers (SplitMix64).
#[derive(Clone, Copy)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).unwrap_or_default()
    }
}

impl Workload {
    /// Minor units that each customer gets before the run: no transfer of a run is refused.
    const FUNDS: u64 = 1 << 40;

    fn customer(no: u64) -> Address {
        Address::parse(&format!("customers:{no}")).expect("a valid address")
    }

    fn hot() -> Address {
        Address::parse("merchants:hot").expect("a valid address")
    }

    /// Opens the accounts and funds them.
    pub(crate) async fn prepare(&self, engine: &Engine) {
        let opening = |address: Address, normal, floor| AccountOpening {
            address,
            asset: "CNY".into(),
            normal,
            floor,
            ceiling: None,
            limits: Vec::new(),
            metadata: Metadata::default(),
            managed: false,
        };
        let channel = Address::parse("channels:bank-card").expect("a valid address");
        let mut openings = vec![
            opening(channel.clone(), NormalSide::Debit, Some(0)),
            opening(Self::hot(), NormalSide::Credit, Some(0)),
        ];
        openings
            .extend((0..self.accounts).map(|no| opening(Self::customer(no), NormalSide::Credit, Some(0))));
        let mut tasks = tokio::task::JoinSet::new();
        for chunk in openings.chunks(256) {
            for opening in chunk.iter().cloned() {
                let engine = engine.clone();
                tasks.spawn(async move { engine.open_account(opening).await.map(drop) });
            }
            while let Some(opened) = tasks.join_next().await {
                opened.expect("no panic").expect("the account opens");
            }
        }
        let recharges: Vec<_> = (0..self.accounts)
            .map(|no| transfer(u128::MAX - u128::from(no), &channel, &Self::customer(no), Self::FUNDS))
            .collect();
        for chunk in recharges.chunks(10_000) {
            for outcome in engine.submit_batch(chunk.to_vec()).await {
                assert_eq!(outcome.map(|outcome| outcome.verdict), Ok(Ok(())), "the recharge is posted");
            }
        }
    }

    /// Runs the transfers with progress on standard error; the time that they took.
    pub(crate) async fn run(&self, engine: &Engine) -> Duration {
        let started = Instant::now();
        let batches = self.transfers.div_ceil(self.batch);
        let mut tasks = tokio::task::JoinSet::new();
        for lane in 0..self.depth {
            let (engine, work) = (engine.clone(), *self);
            tasks.spawn(async move {
                for batch in (lane..batches).step_by(usize::try_from(work.depth).unwrap_or(usize::MAX)) {
                    let transactions = work.batch_of(batch);
                    for outcome in engine.submit_batch(transactions).await {
                        assert_eq!(
                            outcome.map(|outcome| outcome.verdict),
                            Ok(Ok(())),
                            "the transfer is posted"
                        );
                    }
                    if lane == 0 && batch % (work.depth * 64) == 0 {
                        let done = (batch * work.batch).min(work.transfers);
                        eprintln!(
                            "  {:>5.1} %  {:?}",
                            done as f64 * 100.0 / work.transfers as f64,
                            started.elapsed()
                        );
                    }
                }
            });
        }
        while let Some(lane) = tasks.join_next().await {
            lane.expect("no panic");
        }
        started.elapsed()
    }

    fn batch_of(&self, batch: u64) -> Vec<Transaction> {
        let first = batch * self.batch;
        let last = (first + self.batch).min(self.transfers);
        (first..last)
            .map(|index| {
                let mut numbers = Numbers(index);
                let debit = numbers.below(self.accounts);
                let credit = (debit + 1 + numbers.below(self.accounts - 1)) % self.accounts;
                let to_hot = self.hot_every > 0 && index % self.hot_every == 0;
                let credit = if to_hot { Self::hot() } else { Self::customer(credit) };
                let amount = 1 + numbers.below(1_000);
                transfer(self.id(index, &mut numbers), &Self::customer(debit), &credit, amount)
            })
            .collect()
    }

    /// A UUIDv7 of a million ids a millisecond-free second, or a random one.
    fn id(&self, index: u64, numbers: &mut Numbers) -> u128 {
        if self.random_ids {
            return (u128::from(numbers.next()) << 64 | u128::from(numbers.next())) & !(0xF << 76)
                | (0x4 << 76);
        }
        let milliseconds = 1_750_000_000_000 + u128::from(index / 512);
        let random = u128::from(numbers.next() >> 2);
        milliseconds << 80 | 0x7 << 76 | u128::from(index % 512) << 64 | 0b10 << 62 | random
    }

    /// Checks the work: as many transfers as asked for, and money neither made nor lost.
    pub(crate) async fn check(&self, engine: &Engine) {
        let balance = engine.trial_balance().await.expect("the engine runs");
        let records = 2 + self.accounts + self.accounts + self.transfers;
        assert_eq!(balance.position.0, records, "each opening, recharge and transfer is one record");
        for totals in &balance.assets {
            assert_eq!(totals.debits, totals.credits, "{} balances", totals.asset.code);
        }
        let mut sum = engine.account(&Self::hot()).expect("the account is open").posted;
        for no in 0..self.accounts {
            sum += engine.account(&Self::customer(no)).expect("the account is open").posted;
        }
        assert_eq!(
            sum,
            i128::from(self.accounts) * i128::from(Self::FUNDS),
            "the customers' money is all there"
        );
    }

    /// The account that every `hot_every`th transfer credits.
    pub(crate) fn hot_address() -> Address {
        Self::hot()
    }
}

fn transfer(id: u128, debit: &Address, credit: &Address, amount: u64) -> Transaction {
    Transaction {
        id: TransactionId(id),
        operations: smallvec![Operation {
            kind: OperationKind::Transfer {
                debit: debit.clone(),
                credit: credit.clone(),
                amount: RequestedAmount::from_units(Amount(amount), 2),
            },
            code: None,
        }],
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: None,
    }
}

/// The configuration of a measurement.
pub(crate) fn config(data: &std::path::Path, shards: Option<u16>) -> Config {
    let mut config = Config::new(data);
    config.shards = shards.unwrap_or(config.shards);
    config
}

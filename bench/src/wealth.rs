//! A day of the wealth product over many wallets, beside live payments.
//!
//! Payments come at a fixed rate from one open-model source, first alone and then while the day is paid; their latency
//! counts from the moment at which each was due. Every wallet's income is computed here a second time.

use std::{
    num::NonZero,
    time::{Duration, Instant},
};

use smallvec::SmallVec;
use tokio::task::JoinSet;
use yue_engine::{
    Engine,
    model::{
        AccountOpening, Address, Amount, Attachment, Metadata, NormalSide, Operation, OperationKind,
        RequestedAmount, Transaction, TransactionId,
    },
    wallet::{Class, Date, IncomeRate, Part, Secrets, Settings, Wallet, WealthView},
};

use super::{Arguments, memory_peak_mib};
use crate::workload::{Numbers, config};

/// What is measured.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Day {
    /// Wallets with shares.
    #[arg(long, default_value_t = 1_000_000)]
    wallets: u64,
    /// Payments a second, before and during the day.
    #[arg(long, default_value_t = NonZero::<u32>::MIN.saturating_add(1_999))]
    payments_per_second: NonZero<u32>,
    /// Seconds of payments alone.
    #[arg(long, default_value_t = 10)]
    alone_seconds: u64,
    /// One of so many wallets has idle balance that is swept.
    #[arg(long, default_value_t = NonZero::<u64>::MIN.saturating_add(9))]
    swept_every: NonZero<u64>,
}

/// Fen that each wallet has beside its shares.
const BALANCE: u64 = 100_000;
/// Fen that a swept wallet keeps.
const KEEP: u64 = 90_000;
/// Merchants that are paid.
const MERCHANTS: u64 = 1_000;
/// Calls in flight while the wallets are made.
const SETUP_IN_FLIGHT: usize = 2_048;

pub(crate) async fn run(arguments: &Arguments, day: Day) -> Result<(), Box<dyn std::error::Error>> {
    let data = arguments.data()?;
    let engine = Engine::open(config(data.path(), arguments.shards))?;
    let secrets = Secrets { pepper: [1; 32], token_key: [2; 32], channel_keys: Vec::new() };
    let wallet = Wallet::new(engine.clone(), Settings::default(), secrets);
    let started = Instant::now();
    day.prepare(&wallet).await?;
    eprintln!("{} wallets in {:?}", day.wallets, started.elapsed());

    let alone =
        day.payments(&engine, 0, || day.alone_seconds * u64::from(day.payments_per_second.get())).await;
    let (date, rate) =
        (Date::parse("2025-06-18").expect("a date"), IncomeRate::parse("1.2345").expect("a rate"));
    let started = Instant::now();
    let run = tokio::spawn({
        let wallet = wallet.clone();
        async move { (wallet.pay_wealth_day(date, rate).await, started.elapsed()) }
    });
    let beside = day.payments(&engine, alone.len(), || if run.is_finished() { 0 } else { u64::MAX }).await;
    let (paid, took) = run.await?;
    let paid = paid?;

    day.check(&engine, &paid).await;
    let p99 = |latencies: &[Duration]| percentile(latencies, 99);
    for (name, latencies) in [("alone", &alone), ("beside", &beside)] {
        let row = [50, 90, 95, 99, 100].map(|percent| percentile(latencies, percent));
        eprintln!("{name}: {} payments, p50, p90, p95, p99, most: {row:?}", latencies.len());
    }
    println!("figure wealth_day_seconds {:.2} s", took.as_secs_f64());
    println!("figure wealth_day_wallets {} wallets", day.wallets);
    println!("figure wealth_day_wallets_per_second {:.0} wallets/s", day.wallets as f64 / took.as_secs_f64());
    println!("figure wealth_payments_per_second {} payments/s", day.payments_per_second);
    println!("figure wealth_payments_p99_alone {:.2} ms", p99(&alone).as_secs_f64() * 1e3);
    println!("figure wealth_payments_p99_beside {:.2} ms", p99(&beside).as_secs_f64() * 1e3);
    let ratio = p99(&beside).as_secs_f64() / p99(&alone).as_secs_f64();
    println!("figure wealth_payments_p99_ratio {ratio:.2} times");
    println!("figure wealth_memory_peak {:.0} MiB", memory_peak_mib());
    drop(wallet);
    engine.close();
    Ok(())
}

impl Day {
    async fn prepare(self, wallet: &Wallet) -> Result<(), Box<dyn std::error::Error>> {
        let opening = |address: Address, normal| AccountOpening {
            address,
            asset: "CNY".into(),
            normal,
            floor: None,
            ceiling: None,
            limits: Vec::new(),
            metadata: Metadata::default(),
            managed: false,
        };
        let engine = wallet.engine();
        engine.open_account(opening(address("channels:bank-card"), NormalSide::Debit)).await?;
        for no in 0..MERCHANTS {
            engine.open_account(opening(merchant(no), NormalSide::Credit)).await?;
        }
        let mut tasks = JoinSet::new();
        for no in 0..self.wallets {
            let (wallet, settings) = (wallet.clone(), self.settings_of(no));
            tasks.spawn(async move {
                let user = user(no);
                wallet.open_customer(&user, Class::III).await.map(drop)?;
                let funded = wallet.engine().submit(funding(no)).await;
                assert_eq!(funded.expect("it is not overloaded").verdict, Ok(()));
                match settings {
                    Some(settings) => wallet.set_wealth(&user, settings).await,
                    None => Ok(()),
                }
            });
            while tasks.len() >= SETUP_IN_FLIGHT
                && let Some(opened) = tasks.join_next().await
            {
                opened??;
            }
            if no % 100_000 == 0 {
                eprintln!("  {no} wallets");
            }
        }
        while let Some(opened) = tasks.join_next().await {
            opened??;
        }
        Ok(())
    }

    fn settings_of(self, no: u64) -> Option<WealthView> {
        no.is_multiple_of(self.swept_every.get()).then_some(WealthView { enabled: true, keep: Amount(KEEP) })
    }

    /// Payments of a fen at the fixed rate, as long as fewer were sent than `most` says; their latencies.
    async fn payments(self, engine: &Engine, before: usize, most: impl Fn() -> u64) -> Vec<Duration> {
        let every = Duration::from_secs(1) / self.payments_per_second.get();
        let mut numbers = Numbers(u64::try_from(before).unwrap_or_default());
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        let (mut tasks, mut latencies) = (JoinSet::new(), Vec::new());
        let (mut due, mut sent) = (Instant::now(), 0);
        while sent < most() {
            ticks.tick().await;
            while due <= Instant::now() && sent < most() {
                let payment = payment(&mut numbers, self.wallets);
                let (engine, intended) = (engine.clone(), due);
                tasks.spawn(async move {
                    let outcome = engine.submit(payment).await.expect("it is not overloaded");
                    assert_eq!(outcome.verdict, Ok(()), "the payment is posted");
                    intended.elapsed()
                });
                (due, sent) = (due + every, sent + 1);
            }
            while let Some(latency) = tasks.try_join_next() {
                latencies.push(latency.expect("no panic"));
            }
        }
        while let Some(latency) = tasks.join_next().await {
            latencies.push(latency.expect("no panic"));
        }
        latencies
    }

    /// Each wallet's income, and all of it, to the fen.
    async fn check(self, engine: &Engine, day: &yue_engine::wallet::WealthDay) {
        let posted = |name: &str| engine.account(&address(name)).expect("the account is open").posted;
        let (mut all, mut credited, mut wallets, mut swept) = (0_u128, 0_u128, 0, 0);
        for no in 0..self.wallets {
            let (shares, income) = (u128::from(shares_of(no)), income_of(no));
            let user = user(no);
            let account = engine.account(&address(&format!("customers:{user}:wealth")));
            let bought =
                account.expect("the account is open").posted - i128::try_from(shares + income).expect("few");
            let most = self.settings_of(no).map_or(0, |_| i128::from(BALANCE - KEEP));
            assert!((0..=most).contains(&bought), "{user} has {bought} beyond shares and income");
            (all, credited) = (all + shares, credited + income);
            (wallets, swept) = (wallets + u64::from(income > 0), swept + bought);
        }
        let remainder = all * 12_345 / 100_000_000 - credited;
        let units = |amount: Amount| u128::from(amount.units());
        assert_eq!(
            (units(day.credited), units(day.remainder), day.wallets),
            (credited, remainder, wallets),
            "credited, remainder, wallets"
        );
        let signed = |units: u128| i128::try_from(units).expect("few");
        assert_eq!(posted("reserve:wealth"), signed(credited + remainder), "what was funded");
        assert_eq!(posted("platform:rounding"), signed(remainder), "what was rounded");
        assert_eq!(posted("wealth:clearing"), 0, "nothing is on its way");
        for totals in &engine.trial_balance().await.expect("the engine runs").assets {
            assert_eq!(totals.debits, totals.credits, "{} balances", totals.asset.code);
        }
        println!("figure wealth_day_swept {:.2} CNY", swept as f64 / 100.0);
    }
}

fn address(name: &str) -> Address {
    Address::parse(name).expect("a valid address")
}

fn user(no: u64) -> Part {
    Part::parse(&format!("u{no}")).expect("a valid name")
}

fn merchant(no: u64) -> Address {
    address(&format!("merchants:m{no}"))
}

/// Odd shares, some of which earn nothing.
fn shares_of(no: u64) -> u64 {
    1 + Numbers(no).below(5_000_000)
}

/// What they earn at 1.2345 for 10,000.
fn income_of(no: u64) -> u128 {
    u128::from(shares_of(no)) * 12_345 / 100_000_000
}

fn funding(no: u64) -> Transaction {
    let (own, shares) = (format!("customers:u{no}"), shares_of(no));
    let channel = address("channels:bank-card");
    verb(
        u128::from(no),
        &[
            (channel, address(&own), BALANCE + shares, "recharge"),
            (address(&own), address(&format!("{own}:wealth")), shares, Settings::WEALTH_BUY),
        ],
    )
}

fn payment(numbers: &mut Numbers, wallets: u64) -> Transaction {
    let from = address(&format!("customers:u{}", numbers.below(wallets)));
    let to = merchant(numbers.below(MERCHANTS));
    let id = u128::from(numbers.next()) << 64 | u128::from(numbers.next());
    verb(id, &[(from, to, 1, "spend.payment")])
}

/// What a verb of the wallet would submit.
fn verb(id: u128, moves: &[(Address, Address, u64, &'static str)]) -> Transaction {
    let operation = |(debit, credit, units, code): &(Address, Address, u64, &'static str)| Operation {
        kind: OperationKind::Transfer {
            debit: debit.clone(),
            credit: credit.clone(),
            amount: RequestedAmount::from_units(Amount(*units), 2),
        },
        code: Some((*code).into()),
    };
    let document = b"bench".as_slice().into();
    Transaction {
        id: TransactionId(id),
        operations: moves.iter().map(operation).collect::<SmallVec<_>>(),
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: Some(Box::new(Attachment { document, aliases: Vec::new(), cells: Vec::new() })),
    }
}

fn percentile(latencies: &[Duration], percent: usize) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

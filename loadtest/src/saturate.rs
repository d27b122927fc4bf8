//! How much the server takes at most: a closed loop of single transfers, or of batches.
//!
//! Owns: the loop's requests and its figures. Never offers an open load: its latencies are those of clients that
//! wait for their answers. At the end the trial balance must have moved by exactly what was acknowledged.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use crate::auditor;
use crate::closed::{self, After, Work};
use crate::money::{Fen, Signed};
use crate::operation::Ids;
use crate::recorder::Latency;
use crate::wire::{Answer, Endpoint};

/// The rates settle before the figures count.
const WARM_UP: Duration = Duration::from_secs(1);
/// What each account starts with, in fen: more than a run can take from one.
const START: Fen = Fen(1_000_000_000_000);
/// The most of a transfer, in fen.
const TRANSFER_MAX: u64 = 100;
/// Transactions in one batch of recharges.
const RECHARGES: usize = 5_000;

/// All settings.
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) clients: usize,
    pub(crate) threads: usize,
    pub(crate) seconds: f64,
    pub(crate) accounts: u32,
    /// Transactions in a request; 1 is a single transaction.
    pub(crate) batch: usize,
    pub(crate) seed: u64,
}

/// What one thread has seen.
struct Seen {
    latency: Latency,
    /// Acknowledged within the measured time.
    measured: u64,
    acknowledged: u64,
    moved: i128,
    overloaded: u64,
}

struct Loop<'a> {
    settings: &'a Settings,
    rng: SmallRng,
    ids: Ids,
    body: Vec<u8>,
    /// What each client's request moves if it is posted, in its order.
    asked: Vec<Vec<u64>>,
    measure_from: Instant,
    end: Instant,
    stop: &'a AtomicBool,
    seen: Seen,
}

#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<BatchResult<'a>>,
}

#[derive(Deserialize)]
struct BatchResult<'a> {
    status: &'a str,
}

impl Loop<'_> {
    fn push_transaction(&mut self, client: usize) {
        let accounts = self.settings.accounts;
        let from = self.rng.random_range(0..accounts);
        // Another one, each with the same chance.
        let to = (from + self.rng.random_range(1..accounts)) % accounts;
        let amount = self.rng.random_range(1..=TRANSFER_MAX);
        let id = self.ids.next();
        // Writing to a Vec does not fail.
        let _infallible = write!(
            self.body,
            r#"{{"id":"{id}","operations":[{{"type":"transfer","debit":"load:{from}","credit":"load:{to}","amount":"{}"}}]}}"#,
            Fen(amount)
        );
        if let Some(asked) = self.asked.get_mut(client) {
            asked.push(amount);
        }
    }

    fn enter(&mut self, count: u64, moved: u64, latency: Duration) {
        self.seen.acknowledged += count;
        self.seen.moved += i128::from(moved);
        let now = Instant::now();
        if now >= self.measure_from && now < self.end {
            self.seen.measured += count;
            self.seen.latency.record(latency);
        }
    }
}

impl Work for Loop<'_> {
    fn next(&mut self, client: usize, out: &mut Vec<u8>) -> bool {
        if Instant::now() >= self.end || self.stop.load(Ordering::Relaxed) {
            return false;
        }
        self.body.clear();
        if let Some(asked) = self.asked.get_mut(client) {
            asked.clear();
        }
        if self.settings.batch == 1 {
            self.push_transaction(client);
            self.settings.endpoint.post(out, "/v1/transactions", &self.body);
            return true;
        }
        self.body.extend_from_slice(br#"{"transactions":["#);
        for _ in 0..self.settings.batch {
            self.push_transaction(client);
            self.body.push(b',');
        }
        self.body.pop();
        self.body.extend_from_slice(b"]}");
        self.settings.endpoint.post(out, "/v1/transactions/batch", &self.body);
        true
    }

    fn answered(&mut self, client: usize, answer: Answer, latency: Duration) -> Result<After, String> {
        let asked = self.asked.get(client).cloned().unwrap_or_default();
        match answer.status {
            200 | 201 if self.settings.batch == 1 => {
                self.enter(1, asked.first().copied().unwrap_or_default(), latency);
                Ok(After::Next)
            }
            200 => {
                let results: Results<'_> = serde_json::from_slice(&answer.body)
                    .map_err(|error| format!("a batch's results: {error}"))?;
                let posted =
                    asked.iter().zip(&results.results).filter(|(_, result)| result.status == "posted");
                let (count, moved) =
                    posted.fold((0, 0), |(count, moved), (amount, _)| (count + 1, moved + amount));
                if results.results.iter().any(|result| result.status == "rejected") {
                    return Err("a transfer that is covered was rejected".to_owned());
                }
                self.enter(count, moved, latency);
                Ok(After::Next)
            }
            429 | 503 => {
                self.seen.overloaded += 1;
                Ok(After::Again)
            }
            _ => Err(format!("a transfer that is covered was not posted: {}", answer.excerpt())),
        }
    }
}

/// Saturates; the exit code, or why there was no run.
pub(crate) fn run(settings: &Settings) -> Result<u8, String> {
    // 1. Accounts and money.
    prepare(&settings.endpoint, settings.accounts)?;
    let before = auditor::trial_balance(&settings.endpoint)?;
    let before = before.turnover().ok_or("no turnover")?;
    println!(
        "{} clients, {} transactions a request, {} accounts, {} s",
        settings.clients, settings.batch, settings.accounts, settings.seconds
    );

    // 2. The loop.
    let seen = work(settings)?;

    // 3. The same work at both ends.
    let after = auditor::trial_balance(&settings.endpoint)?;
    let moved = after.turnover().ok_or("no turnover")? - before;
    let mut failures = after.unbalanced();
    if moved != seen.moved {
        failures.push(format!("the ledger moved {}, {} was acknowledged", Signed(moved), Signed(seen.moved)));
    }
    print_figures(settings, &seen);
    println!(
        "{} transactions acknowledged, {} CNY moved at both ends: {}",
        seen.acknowledged,
        Signed(seen.moved),
        if failures.is_empty() { "PASS" } else { "FAIL" }
    );
    failures.iter().for_each(|failure| println!("  - {failure}"));
    Ok(if failures.is_empty() { 0 } else { 2 })
}

fn print_figures(settings: &Settings, seen: &Seen) {
    let name = if settings.batch == 1 { "http_single" } else { "http_batch" };
    let tps = seen.measured as f64 / settings.seconds;
    println!("figure {name}_tps {tps:.0} tx/s");
    for (label, percent) in [("p50", 50.0), ("p99", 99.0), ("p999", 99.9), ("max", 100.0)] {
        let value = seen.latency.percentile_ms(percent).unwrap_or(f64::NAN);
        println!("figure {name}_{label} {value:.3} ms");
    }
    println!("figure {name}_overloaded {} answers", seen.overloaded);
}

/// Runs the loop on its threads.
fn work(settings: &Settings) -> Result<Seen, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let measure_from = Instant::now() + WARM_UP;
    let end = measure_from + Duration::from_secs_f64(settings.seconds);
    let clients = settings.clients.div_ceil(settings.threads);
    let one = |seed: u64| {
        let mut work = Loop {
            settings,
            rng: SmallRng::seed_from_u64(seed),
            ids: Ids::new(),
            body: Vec::new(),
            asked: vec![Vec::new(); clients],
            measure_from,
            end,
            stop: &stop,
            seen: Seen::new(),
        };
        let result = closed::run(&settings.endpoint, clients, &mut work);
        if result.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        result.map(|()| work.seen)
    };
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..settings.threads)
            .zip(settings.seed..)
            .map(|(_, seed)| scope.spawn(move || one(seed)))
            .collect();
        let mut all = Seen::new();
        for thread in threads {
            all.merge(&thread.join().map_err(|_| "a client has panicked".to_owned())??);
        }
        Ok(all)
    })
}

impl Seen {
    fn new() -> Self {
        Self { latency: Latency::new(3), measured: 0, acknowledged: 0, moved: 0, overloaded: 0 }
    }

    fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.measured += other.measured;
        self.acknowledged += other.acknowledged;
        self.moved += other.moved;
        self.overloaded += other.overloaded;
    }
}

/// Opens the accounts `load:0` and so on, and gives each its money.
pub(crate) fn prepare(endpoint: &Endpoint, accounts: u32) -> Result<(), String> {
    let mut bodies = vec![r#"{"address":"channels:load","asset":"CNY","normal":"debit"}"#.to_owned()];
    bodies.extend((0..accounts).map(|number| format!(r#"{{"address":"load:{number}","asset":"CNY"}}"#)));
    closed::each(
        endpoint,
        64,
        &bodies,
        |body, out| endpoint.post(out, "/v1/accounts", body.as_bytes()),
        |body, answer| match answer.status {
            200 | 201 => Ok(After::Next),
            429 | 503 => Ok(After::Again),
            _ => Err(format!("{body} does not open: {}", answer.excerpt())),
        },
    )?;
    let mut ids = Ids::new();
    let numbers: Vec<u32> = (0..accounts).collect();
    let batches: Vec<String> =
        numbers.chunks(RECHARGES).map(|numbers| recharges(numbers, &mut ids)).collect();
    closed::each(
        endpoint,
        2,
        &batches,
        |body, out| endpoint.post(out, "/v1/transactions/batch", body.as_bytes()),
        |_, answer| {
            let results = serde_json::from_slice::<Results<'_>>(&answer.body);
            match (answer.status, results) {
                (429 | 503, _) => Ok(After::Again),
                // The ids are the same when a part of the batch is sent again.
                (200, Ok(results)) if results.results.iter().any(|result| result.status == "unavailable") => {
                    Ok(After::Again)
                }
                (200, Ok(results)) if results.results.iter().all(|result| result.status == "posted") => {
                    Ok(After::Next)
                }
                _ => Err(format!("recharges are not taken: {}", answer.excerpt())),
            }
        },
    )
}

fn recharges(numbers: &[u32], ids: &mut Ids) -> String {
    let transactions: Vec<String> = numbers
        .iter()
        .map(|number| {
            let id = ids.next();
            format!(
                r#"{{"id":"{id}","operations":[{{"type":"transfer","debit":"channels:load","credit":"load:{number}","amount":"{START}"}}]}}"#
            )
        })
        .collect();
    format!(r#"{{"transactions":[{}]}}"#, transactions.join(","))
}

//! A run of a scenario, from the opening of accounts to the verdict.
//!
//! Owns: the order of the steps. Never does a step itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::accounts::Chart;
use crate::arrivals::Arrivals;
use crate::auditor::{self, Audit};
use crate::book::Book;
use crate::builds::{Builds, Common};
use crate::channel::Keys;
use crate::machine::ProcessorTime;
use crate::payers::{Mode, Payers};
use crate::recorder::Totals;
use crate::report::{self, Report, Setting};
use crate::retry::Style;
use crate::scenario::Scenario;
use crate::skew::Skew;
use crate::wire::Endpoint;
use crate::worker::{self, Assignment, Findings};
use crate::{progress, setup, slo, verdict};

/// The load starts so long after the workers are told, so that all have their connections.
const HEAD_START: Duration = Duration::from_millis(200);

/// All settings of a run.
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    /// Of the channels that it plays.
    pub(crate) keys: Keys,
    pub(crate) scenario: Scenario,
    pub(crate) seed: u64,
    pub(crate) users: u32,
    pub(crate) merchants: u32,
    /// Of the users, those who pay.
    pub(crate) payers: u32,
    pub(crate) auth: Mode,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) retry: Style,
    pub(crate) audit_sample: usize,
    /// The folder for the report.
    pub(crate) report: PathBuf,
}

/// Runs; the exit code, or why there was no run.
pub(crate) fn run(settings: &Settings) -> Result<u8, String> {
    let scenario = &settings.scenario;
    println!(
        "{}: peak {} req/s, {:.0} s, seed {}, {} users, {} payers by {}, {} retries",
        scenario.name.slug(),
        scenario.peak.0,
        scenario.plan.seconds(),
        settings.seed,
        settings.users,
        settings.payers,
        settings.auth.label(),
        settings.retry.label()
    );
    // 1. Wallets and money.
    let started = Instant::now();
    let from_position = auditor::position(&settings.endpoint)?;
    let chart = Arc::new(Chart::new(settings.users, settings.merchants, &run_name()));
    setup::open(&settings.endpoint, &chart)?;
    let accounts: Vec<_> = chart.iter().collect();
    let before = setup::read_balances(&settings.endpoint, &accounts)?;
    let before = before.into_iter().map(|(_, balance)| balance).collect();
    let mut funded = Book::new(chart.len());
    setup::promote(&settings.endpoint, &chart, scenario, &mut funded)?;
    println!("{} accounts ready in {:.1} s", chart.len(), started.elapsed().as_secs_f64());
    let started = Instant::now();
    let enrolled = setup::enrol(&settings.endpoint, &chart, settings.auth, settings.payers)?;
    setup::fund(&settings.endpoint, &chart, &settings.keys, settings.payers, &mut funded)?;
    println!("{} payers ready in {:.1} s", settings.payers, started.elapsed().as_secs_f64());

    // 2. The load.
    let (sender, receiver) = mpsc::channel();
    let workers = start_workers(settings, &chart, &enrolled, funded, &sender)?;
    drop(sender);
    let processors = ProcessorTime::now();
    let seconds = progress::follow(&receiver, workers.len(), &scenario.plan);
    let stolen = processors.zip(ProcessorTime::now()).map(|(before, now)| now.stolen_since(before));
    let mut findings = join(workers)?;

    // 3. The audit.
    println!("auditing …");
    let audit = Audit {
        endpoint: settings.endpoint.clone(),
        chart,
        before,
        from_position,
        sample: settings.audit_sample,
        seed: settings.seed,
    };
    let mut totals = Totals::new();
    findings.iter().for_each(|found| totals.merge(&found.totals));
    let mut checks = audit.run(&mut findings);
    checks.extend(slo::checks(&totals, stolen));

    // 4. The verdict.
    let setting = Setting {
        scenario,
        seed: settings.seed,
        users: settings.users,
        merchants: settings.merchants,
        payers: settings.payers,
        auth: settings.auth,
        connections: settings.connections,
        threads: settings.threads,
        scheduling: findings.first().map_or("ordinary", |found| found.scheduling),
        retry: settings.retry,
        stolen,
    };
    let report = Report::new(&setting, &seconds, &totals, checks);
    let written = report::write(&report, &settings.report)?;
    println!("\n{}", verdict::table(&report.checks));
    println!("{}", report.figures());
    println!("report: {}", written.display());
    println!("{}", report.verdict);
    Ok(report.exit_code)
}

/// Names what must be new with each run; from the clock, in milliseconds.
fn run_name() -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    format!("{now:x}")
}

fn start_workers(
    settings: &Settings,
    chart: &Arc<Chart>,
    enrolled: &setup::Payers,
    funded: Book,
    sender: &mpsc::Sender<(usize, crate::recorder::Second)>,
) -> Result<Vec<JoinHandle<std::io::Result<Findings>>>, String> {
    let plan = Arc::new(settings.scenario.plan.clone());
    let skew = Skew::new(settings.users, settings.merchants).map_err(|error| error.to_string())?;
    let share = 1.0 / settings.threads as f64;
    let start = Instant::now() + HEAD_START;
    let mut funded = Some(funded);
    let mut workers = Vec::with_capacity(settings.threads);
    for (number, seed) in (0..settings.threads).zip(settings.seed..) {
        let assignment = Assignment {
            endpoint: settings.endpoint.clone(),
            // Streams of one seed must not be equal, so each has its own.
            arrivals: Arrivals::new(Arc::clone(&plan), share, seed.wrapping_mul(3)),
            builds: Builds::new(
                Common {
                    endpoint: settings.endpoint.clone(),
                    chart: Arc::clone(chart),
                    keys: settings.keys.clone(),
                    skew: skew.clone(),
                    payers_all: settings.payers,
                },
                Payers::new(settings.auth, enrolled, number, settings.threads),
                seed.wrapping_mul(3).wrapping_add(1),
            ),
            // The first worker's book goes on from the funding.
            book: funded.take().unwrap_or_else(|| Book::new(chart.len())),
            connections: settings.connections.div_ceil(settings.threads),
            retry: settings.retry,
            seed: seed.wrapping_mul(3).wrapping_add(2),
            start,
            seconds: sender.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("load-{number}"));
        let handle = thread.spawn(move || worker::run(assignment));
        workers.push(handle.map_err(|error| format!("no thread: {error}"))?);
    }
    Ok(workers)
}

fn join(workers: Vec<JoinHandle<std::io::Result<Findings>>>) -> Result<Vec<Findings>, String> {
    let mut findings = Vec::with_capacity(workers.len());
    for worker in workers {
        let found = worker.join().map_err(|_| "a worker has panicked".to_owned())?;
        findings.push(found.map_err(|error| format!("a worker has failed: {error}"))?);
    }
    Ok(findings)
}

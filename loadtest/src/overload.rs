//! An overload rehearsal: how much of what is offered is kept when far too much is offered.
//!
//! Owns: the order of the stages and the settings. Never judges (`overload::checks`) and never draws
//! (`report::overload`). First the capacity is looked for with a stepped open loop, and a part of it is offered as the
//! reference; then multiples of it, in rounds, so that a machine which becomes slower meanwhile does so for all of them;
//! then the highest for a while, and the reference's load again. At the end the trial balance must have moved by exactly
//! what was acknowledged.

pub(crate) mod checks;
mod generator;
mod probe;
pub(crate) mod record;
mod search;

use std::path::PathBuf;
use std::time::Duration;

use generator::Generator;
pub(crate) use generator::Stage;
use record::Totals;
use search::Kept;

use crate::machine::ProcessorTime;
use crate::report::overload::{self as report, Report, Setting};
use crate::wire::Endpoint;
use crate::{auditor, priority, saturate, verdict};

/// The highest multiple of the capacity.
pub(crate) const HIGHEST: f64 = 10.0;
/// The multiples of the capacity that each round offers.
pub(crate) const MULTIPLES: [f64; 4] = [1.0, 2.0, 5.0, HIGHEST];
/// Clients of the closed loop that finds where the search begins.
const CLOSED_CLIENTS: usize = 64;
/// Seconds at the start of each stage that do not count: the server finds its bound again within them.
const SETTLE_S: f64 = 1.0;
const WARM_UP_S: f64 = 3.0;
/// Seconds that the generator waits for its last answers.
const DRAIN_S: u64 = 5;

/// All settings.
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: usize,
    pub(crate) accounts: u32,
    /// Of all multiples, one after the other.
    pub(crate) rounds: u32,
    /// Of each stage of a round.
    pub(crate) seconds: f64,
    /// Of each step of the search.
    pub(crate) step_seconds: f64,
    /// Of the reference before the rounds, and after them of the highest load and of the recovery, each.
    pub(crate) long_seconds: f64,
    /// Instead of the search's.
    pub(crate) capacity: Option<f64>,
    pub(crate) seed: u64,
    pub(crate) report: PathBuf,
}

/// What a stage is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part {
    WarmUp,
    /// Of the search for the capacity.
    Search,
    /// At the base, before any overload: what the others are compared with.
    Base,
    /// The same, not sustained: a shared machine is slower now than when its capacity was looked for.
    BaseMissed,
    /// At a multiple of the capacity.
    Load(f64),
    /// At the base again, after the highest one.
    Recovery,
}

/// A stage that was run.
pub(crate) struct Done {
    pub(crate) part: Part,
    /// From 1, of the loads in rounds.
    pub(crate) round: Option<u32>,
    pub(crate) stage: Stage,
    pub(crate) totals: Totals,
}

/// Runs; the exit code, or why there was no run.
pub(crate) fn run(settings: &Settings) -> Result<u8, String> {
    // 1. Accounts and money.
    saturate::prepare(&settings.endpoint, settings.accounts)?;
    let before = auditor::trial_balance(&settings.endpoint)?.turnover().ok_or("no turnover")?;
    println!(
        "overload: {} connections, {} accounts, {} rounds, stages of {} s, seed {}",
        settings.connections, settings.accounts, settings.rounds, settings.seconds, settings.seed
    );
    let scheduling = priority::raise();
    let processors = ProcessorTime::now();
    let generator =
        Generator::new(&settings.endpoint, settings.connections, settings.accounts, settings.seed);
    let mut run = Run { settings, generator: generator.map_err(text)?, parts: Vec::new() };

    // 2. What the server takes.
    let capacity = run.search()?;
    println!("capacity {capacity:.0}/s");

    // 3. A normal load, too much, and the normal load again.
    let long = settings.long_seconds;
    let base = run.base(long, capacity)?;
    for round in 1..=settings.rounds {
        for factor in MULTIPLES {
            let label = format!("{factor}× ({round})");
            run.load(Part::Load(factor), Some(round), label, settings.seconds, factor * capacity)?;
        }
    }
    run.load(Part::Load(HIGHEST), None, format!("{HIGHEST}× (long)"), long, HIGHEST * capacity)?;
    run.load(Part::Recovery, None, format!("{base}× again"), long, base * capacity)?;
    run.generator.drain(Duration::from_secs(DRAIN_S)).map_err(text)?;
    let stolen = processors.zip(ProcessorTime::now()).map(|(before, now)| now.stolen_since(before));

    // 4. The same work at both ends.
    let after = auditor::trial_balance(&settings.endpoint)?;
    let moved = after.turnover().ok_or("no turnover")? - before;
    let unbalanced = after.unbalanced();
    let Run { generator, parts, .. } = run;
    let stages = parts.into_iter().zip(generator.stages);
    let done: Vec<Done> =
        stages.map(|((part, round, stage), totals)| Done { part, round, stage, totals }).collect();
    let ledger = checks::Ledger {
        moved,
        posted: generator.posted,
        unknown: generator.unknown,
        unbalanced,
        examples: generator.examples,
    };

    // 5. The verdict.
    let checks = checks::all(capacity, &done, &generator.seconds, &ledger);
    let setting = Setting {
        seed: settings.seed,
        accounts: settings.accounts,
        connections: settings.connections,
        scheduling,
        stolen,
        capacity,
    };
    let report = Report::new(&setting, &done, &generator.seconds, checks);
    let written = report::write(&report, &settings.report)?;
    println!("\n{}", verdict::table(&report.checks));
    println!("{}", report.figures());
    println!("report: {}", written.display());
    println!("{}", report.verdict);
    Ok(report.exit_code)
}

/// A run on its way.
struct Run<'a> {
    settings: &'a Settings,
    generator: Generator,
    parts: Vec<(Part, Option<u32>, Stage)>,
}

impl Run<'_> {
    /// The capacity: as it is set, or the highest rate at which a step of the open loop had nearly all posted.
    fn search(&mut self) -> Result<f64, String> {
        let closed = |label: &str, seconds, settle| Stage {
            label: label.to_owned(),
            rate: None,
            connections: CLOSED_CLIENTS,
            seconds,
            settle,
        };
        self.stage(Part::WarmUp, None, closed("warm-up", WARM_UP_S, SETTLE_S))?;
        if let Some(capacity) = self.settings.capacity {
            return Ok(capacity);
        }
        // Clients that wait for their answers are no open loop: their rate is where the search begins, and no capacity.
        let start =
            self.stage(Part::Search, None, closed("closed", self.settings.step_seconds, 0.0))?.goodput;
        let found = search::capacity(|step| {
            let stage = Stage {
                label: format!("search {step:.2}"),
                rate: Some(step * start),
                connections: self.settings.connections,
                seconds: self.settings.step_seconds,
                settle: (self.settings.step_seconds / 3.0).min(SETTLE_S),
            };
            self.stage(Part::Search, None, stage)
        })?;
        found.ok_or_else(|| "the server sustains none of the rates tried".to_owned())
    }

    /// The reference, as a multiple of the capacity.
    fn base(&mut self, seconds: f64, capacity: f64) -> Result<f64, String> {
        search::base(|factor| {
            if let Some((part @ Part::Base, ..)) = self.parts.last_mut() {
                *part = Part::BaseMissed;
            }
            self.load(Part::Base, None, format!("{factor}×"), seconds, factor * capacity)
        })
    }

    fn load(
        &mut self,
        part: Part,
        round: Option<u32>,
        label: String,
        seconds: f64,
        rate: f64,
    ) -> Result<Kept, String> {
        let connections = self.settings.connections;
        let settle = SETTLE_S.min(seconds / 4.0);
        let stage = Stage { label, rate: Some(rate), connections, seconds, settle };
        self.stage(part, round, stage)
    }

    fn stage(&mut self, part: Part, round: Option<u32>, stage: Stage) -> Result<Kept, String> {
        self.generator.run(&stage).map_err(text)?;
        let totals = self.generator.stages.last().ok_or("no stage")?;
        println!("{}", line(&stage.label, totals));
        self.parts.push((part, round, stage));
        Ok(Kept { goodput: totals.goodput(), share: totals.share() })
    }
}

/// A stage in one line.
fn line(label: &str, totals: &Totals) -> String {
    let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let second = |count: u64| count as f64 / totals.seconds.max(f64::MIN_POSITIVE);
    format!(
        "{label:<11} offered {:>8.0}/s  posted {:>7.0}/s  refused {:>7.0}/s  shed {:>8.0}/s  p50 {:>6} p99 {:>6} ms  late p99 {} ms",
        totals.rate(),
        totals.goodput(),
        second(totals.refused),
        second(totals.shed),
        ms(totals.latency.percentile_ms(50.0)),
        ms(totals.latency.percentile_ms(99.0)),
        ms(totals.lateness.percentile_ms(99.0)),
    )
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

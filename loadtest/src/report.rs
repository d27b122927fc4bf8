//! The report of a run.
//!
//! Owns: the collection of all figures into one value, which the JSON and the page are made from. Never measures.

mod html;
mod json;
pub(crate) mod overload;
mod plot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::machine::{self, Machine};
use crate::payers::Mode;
use crate::phases::{PhaseName, Plan};
use crate::recorder::{KindTotals, Latency, Second, Totals};
use crate::retry::Style;
use crate::scenario::Scenario;
use crate::verdict::{self, Check};

/// What an acknowledgement meant for the disk when the figures were taken.
const DURABILITY: &str = "synced before the answer (journal + witness)";
/// What a reader must know to read the figures right.
const NOTES: [&str; 4] = [
    "Open model: Poisson arrivals, sent when users act and not when the server is ready. Latency counts from the moment at which a user meant to act. The warm-up is not counted.",
    "What users do makes the rate; the channels' notifications, 500 ms after their orders, and payment tokens come on top of it. The harness plays the channels, and signs for them.",
    "A payment has two items, the goods and their shipping. A payer has one payment or transfer in flight at a time. Refunds, in parts too, include cancellations; some of each verb ask for what must be refused.",
    "The page and the figures are of one machine that runs both the server and the load.",
];

/// How the run was set.
pub(crate) struct Setting<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) seed: u64,
    pub(crate) users: u32,
    pub(crate) merchants: u32,
    pub(crate) payers: u32,
    pub(crate) auth: Mode,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) scheduling: &'static str,
    pub(crate) retry: Style,
    pub(crate) stolen: Option<f64>,
}

/// Latency in milliseconds; `None` where nothing was measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Percentiles {
    pub(crate) fn of(latency: &Latency) -> Self {
        Self {
            p50: latency.percentile_ms(50.0),
            p90: latency.percentile_ms(90.0),
            p99: latency.percentile_ms(99.0),
            p999: latency.percentile_ms(99.9),
            max: latency.percentile_ms(100.0),
        }
    }
}

/// One kind of operation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KindRow {
    pub(crate) kind: &'static str,
    pub(crate) offered: u64,
    pub(crate) done: u64,
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) overloaded: u64,
    pub(crate) unanswered: u64,
    pub(crate) unexpected: u64,
    pub(crate) dropped: u64,
    pub(crate) latency_ms: Percentiles,
}

/// One second of the run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SecondRow {
    pub(crate) second: usize,
    pub(crate) phase: PhaseName,
    pub(crate) offered: u64,
    pub(crate) achieved: u64,
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    pub(crate) pay_latency_ms: Percentiles,
    /// Of the harness, 99 of 100 sendings at most.
    pub(crate) lateness_p99_ms: Option<f64>,
}

/// Sums over the counted part of the run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sums {
    pub(crate) offered: u64,
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    pub(crate) overloaded: u64,
    pub(crate) unanswered: u64,
    pub(crate) dropped: u64,
    pub(crate) timeouts: u64,
    pub(crate) retries: u64,
    pub(crate) copies: u64,
    pub(crate) status_queries: u64,
    /// Answered requests per second over the phases of highest load.
    pub(crate) achieved_at_peak: f64,
    /// Offered requests per second over the same seconds.
    pub(crate) offered_at_peak: f64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    #[serde(skip)]
    figure_prefix: &'static str,
    pub(crate) verdict: &'static str,
    pub(crate) exit_code: u8,
    pub(crate) started_at: String,
    pub(crate) peak: f64,
    pub(crate) seed: u64,
    pub(crate) retry: &'static str,
    pub(crate) users: u32,
    pub(crate) merchants: u32,
    pub(crate) payers: u32,
    pub(crate) auth: &'static str,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    /// Which place the kernel gave to the generator's threads.
    pub(crate) scheduling: &'static str,
    pub(crate) durability: &'static str,
    pub(crate) machine: Machine,
    pub(crate) commit: String,
    pub(crate) notes: [&'static str; 4],
    pub(crate) checks: Vec<Check>,
    pub(crate) sums: Sums,
    pub(crate) pay_latency_ms: Percentiles,
    pub(crate) lateness_ms: Percentiles,
    /// The share of processor time that the machine's host gave to others during the load, 0 to 1.
    pub(crate) stolen: Option<f64>,
    pub(crate) promotion_dry_at: f64,
    pub(crate) plan: Plan,
    pub(crate) kinds: Vec<KindRow>,
    pub(crate) seconds: Vec<SecondRow>,
}

impl Report {
    /// Collects; the time and the machine are those of now and here.
    pub(crate) fn new(
        setting: &Setting<'_>,
        seconds: &[Second],
        totals: &Totals,
        checks: Vec<Check>,
    ) -> Self {
        let exit_code = verdict::exit_code(&checks);
        let length_s = setting.scenario.plan.seconds();
        let started = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(whole_seconds(length_s));
        Self {
            scenario: setting.scenario.name.slug(),
            figure_prefix: setting.scenario.name.figure_prefix(),
            verdict: verdict::word(exit_code),
            exit_code,
            started_at: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            peak: setting.scenario.peak.0,
            seed: setting.seed,
            retry: setting.retry.label(),
            users: setting.users,
            merchants: setting.merchants,
            payers: setting.payers,
            auth: setting.auth.label(),
            connections: setting.connections,
            threads: setting.threads,
            scheduling: setting.scheduling,
            durability: DURABILITY,
            machine: Machine::detect(),
            commit: machine::commit(),
            notes: NOTES,
            checks,
            sums: sums(&setting.scenario.plan, seconds, totals),
            pay_latency_ms: Percentiles::of(&totals.pay_latency()),
            lateness_ms: Percentiles::of(&totals.lateness),
            stolen: setting.stolen,
            promotion_dry_at: setting.scenario.promotion_dry_at,
            plan: setting.scenario.plan.clone(),
            kinds: totals.kinds.iter().map(|(kind, totals)| kind_row(kind.label(), totals)).collect(),
            seconds: seconds
                .iter()
                .enumerate()
                .map(|(second, seen)| second_row(second, setting.scenario.plan.in_second(second), seen))
                .collect(),
        }
    }

    /// The lines `figure NAME VALUE UNIT` that scripts read.
    pub(crate) fn figures(&self) -> String {
        let prefix = self.figure_prefix;
        let ms = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let sums = &self.sums;
        let ratio = 100.0 * sums.answered as f64 / sums.offered.max(1) as f64;
        let lines = [
            format!("figure {prefix}_offered {:.0} req/s", sums.offered_at_peak),
            format!("figure {prefix}_achieved {:.0} req/s", sums.achieved_at_peak),
            format!("figure {prefix}_achieved_of_offered {ratio:.3} %"),
            format!("figure {prefix}_pay_p50 {:.3} ms", ms(self.pay_latency_ms.p50)),
            format!("figure {prefix}_pay_p99 {:.3} ms", ms(self.pay_latency_ms.p99)),
            format!("figure {prefix}_pay_p999 {:.3} ms", ms(self.pay_latency_ms.p999)),
            format!("figure {prefix}_lateness_p99 {:.3} ms", ms(self.lateness_ms.p99)),
        ];
        lines.join("\n")
    }
}

fn kind_row(kind: &'static str, totals: &KindTotals) -> KindRow {
    KindRow {
        kind,
        offered: totals.offered,
        done: totals.done,
        refused: totals.refused.clone(),
        overloaded: totals.overloaded,
        unanswered: totals.unanswered,
        unexpected: totals.unexpected,
        dropped: totals.dropped,
        latency_ms: Percentiles::of(&totals.latency),
    }
}

fn second_row(second: usize, phase: PhaseName, seen: &Second) -> SecondRow {
    SecondRow {
        second,
        phase,
        offered: seen.offered,
        achieved: seen.answered,
        refusals: seen.refusals.clone(),
        pay_latency_ms: Percentiles::of(&seen.latency),
        lateness_p99_ms: seen.lateness.percentile_ms(99.0),
    }
}

fn sums(plan: &Plan, seconds: &[Second], totals: &Totals) -> Sums {
    let peak: Vec<&Second> = seconds
        .iter()
        .enumerate()
        .filter(|(number, _)| in_peak(plan, *number))
        .map(|(_, second)| second)
        .collect();
    let per_second = |of: fn(&Second) -> u64| {
        let sum: u64 = peak.iter().map(|second| of(second)).sum();
        sum as f64 / peak.len().max(1) as f64
    };
    Sums {
        offered: totals.sum(|kind| kind.offered),
        answered: totals.sum(KindTotals::answered),
        refused: totals.sum(|kind| kind.refused.values().sum()),
        overloaded: totals.sum(|kind| kind.overloaded),
        unanswered: totals.sum(|kind| kind.unanswered),
        dropped: totals.sum(|kind| kind.dropped),
        timeouts: totals.timeouts,
        retries: totals.retries,
        copies: totals.copies,
        status_queries: totals.status_queries,
        achieved_at_peak: per_second(|second| second.answered),
        offered_at_peak: per_second(|second| second.offered),
    }
}

/// Whether a second is of a phase of highest load, and whole.
fn in_peak(plan: &Plan, second: usize) -> bool {
    let peak = [PhaseName::OrderPeak, PhaseName::PaymentPeak, PhaseName::Steady];
    peak.contains(&plan.in_second(second)) && (second as f64 + 1.0) <= plan.seconds()
}

#[expect(clippy::cast_possible_truncation, reason = "the length of a run; float casts saturate")]
fn whole_seconds(seconds: f64) -> i64 {
    seconds as i64
}

/// Writes `NAME.json` and `NAME.html` into the folder; the path of the page.
pub(crate) fn write(report: &Report, folder: &Path) -> Result<PathBuf, String> {
    let write = |extension: &str, text: String| {
        let path = folder.join(format!("{}.{extension}", report.scenario));
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<PathBuf, String>(path)
    };
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    write("json", json::render(report)?)?;
    write("html", html::render(report))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::mix::Kind;
    use crate::recorder::{End, Recorder};
    use crate::scenario::Rate;
    use crate::verdict::Weight;
    use std::time::Duration;

    /// A report of made-up figures that are always the same.
    pub(crate) fn sample() -> Report {
        let scenario = Scenario::smoke(Rate(10.0), 1.0);
        let mut recorder = Recorder::new();
        let mut seconds = Vec::new();
        for second in 0..3_u64 {
            for number in 0..10_u64 {
                let kind = if number < 5 { Kind::Payment } else { Kind::WalletRead };
                let end = if number == 4 { End::Refused("insufficient_funds") } else { End::Done };
                recorder.offered(kind, PhaseName::Steady, Duration::from_micros(80));
                recorder.ended(kind, PhaseName::Steady, end, Duration::from_millis(1 + number + second));
            }
            seconds.push(recorder.turn());
        }
        let setting = Setting {
            scenario: &scenario,
            seed: 618,
            users: 100,
            merchants: 10,
            payers: 8,
            auth: Mode::Device,
            connections: 8,
            threads: 1,
            scheduling: "raised",
            retry: Style::Polite,
            stolen: Some(0.0125),
        };
        let checks = vec![
            Check::hard("conservation", "debits = credits", "CNY at position 9".to_owned(), Vec::new()),
            Check::figure(Weight::ServiceLevel, "payments, p99", "≤ 50 ms", "61.0 ms".to_owned(), false),
        ];
        let mut report = Report::new(&setting, &seconds, &recorder.totals, checks);
        report.started_at = "2026-06-17T16:00:00Z".to_owned();
        report.commit = "unknown".to_owned();
        report.machine =
            Machine { cpu: "a <processor>".to_owned(), cores: 2, memory_gib: 8, kernel: "6.0".to_owned() };
        report
    }

    #[test]
    fn figures_are_lines_for_scripts() {
        insta::assert_snapshot!(sample().figures());
    }

    #[test]
    fn both_files_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let page = write(&sample(), folder.path()).unwrap();
        assert!(page.ends_with("smoke.html") && page.exists());
        assert!(folder.path().join("smoke.json").exists());
    }
}

//! The report of an overload run: its figures as one value, the JSON and the page that are made from it.
//!
//! Owns: the collection and the page's tables; the plots are in `plots`. Never measures and never judges.

mod plots;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::html::{begin, checks, end, grouped, ms};
use super::plot::{escape, push};
use super::{DURABILITY, Percentiles};
use crate::machine::{self, Machine};
use crate::overload::checks::{at, base, base_label, is_highest, median_p99, peak, recovered_after};
use crate::overload::record::{Second, Totals};
use crate::overload::{Done, HIGHEST, MULTIPLES, Part, Stage};
use crate::verdict::{self, Check};

/// What a reader must know to read the figures right.
const NOTES: [&str; 5] = [
    "Open loop: Poisson arrivals that wait for nothing. Latency counts from the moment at which a request was meant to be sent.",
    "An arrival that finds each connection waiting for its answer is shed by the generator and never reaches the server: it is no goodput and no refusal, and is counted by itself. Clients here come again at once and ignore Retry-After; the server holds their refusals back so that these leave at a bounded rate, which is what keeps connections busy.",
    "The first moments of each stage, a second at most, are drawn and not counted; lost answers and probes always are.",
    "Goodput is what was posted, synced, and acknowledged in a second. The capacity is the highest rate at which a step of the search had 95 % of the offered posted. Each multiple of it counts over all of its stages; the peak is the highest of these and the capacity.",
    "Server and generator share the machine: what the generator takes, at a higher priority, the server does not have. It looks for arrivals and answers each 0.2 ms: latencies are up to that much too long.",
];

/// How the run was set.
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) accounts: u32,
    pub(crate) connections: usize,
    pub(crate) scheduling: &'static str,
    pub(crate) stolen: Option<f64>,
    /// As the search found it.
    pub(crate) capacity: f64,
}

/// One stage.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StageRow {
    pub(crate) label: String,
    /// A stage of the search for the capacity.
    pub(crate) search: bool,
    /// At the base, before any overload.
    pub(crate) base: bool,
    /// From 1, of the loads in rounds.
    pub(crate) round: Option<u32>,
    /// Arrivals wait for nothing; else the next one comes when a connection is free.
    pub(crate) open_loop: bool,
    /// At the base again, after the highest load.
    pub(crate) recovery: bool,
    /// Offered, as a multiple of the capacity.
    pub(crate) multiple: f64,
    /// All of these by second.
    pub(crate) offered: f64,
    pub(crate) reached: f64,
    pub(crate) goodput: f64,
    pub(crate) refused: f64,
    pub(crate) shed: f64,
    pub(crate) lost: u64,
    pub(crate) unexpected: u64,
    pub(crate) accepted_latency_ms: Percentiles,
    pub(crate) refusal_latency_ms: Percentiles,
    pub(crate) lateness_ms: Percentiles,
    pub(crate) probe_latency_ms: Percentiles,
    pub(crate) probes_failed: u64,
    /// Of one processor, 0 to 1.
    pub(crate) generator_processor: f64,
}

/// One second.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SecondRow {
    pub(crate) stage: usize,
    pub(crate) offered: u64,
    pub(crate) shed: u64,
    /// Whenever it was offered.
    pub(crate) posted: u64,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
    /// Of what was offered in the second's own stage.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) verdict: &'static str,
    pub(crate) exit_code: u8,
    pub(crate) ended_at: String,
    pub(crate) seed: u64,
    pub(crate) accounts: u32,
    pub(crate) connections: usize,
    pub(crate) scheduling: &'static str,
    pub(crate) durability: &'static str,
    pub(crate) machine: Machine,
    pub(crate) commit: String,
    pub(crate) notes: [&'static str; 5],
    pub(crate) stolen: Option<f64>,
    pub(crate) capacity: f64,
    pub(crate) peak: f64,
    pub(crate) recovered_after_s: Option<usize>,
    pub(crate) checks: Vec<Check>,
    /// The reference, and each multiple of the capacity over all of its stages.
    pub(crate) loads: Vec<StageRow>,
    /// In the order in which they were run.
    pub(crate) stages: Vec<StageRow>,
    pub(crate) seconds: Vec<SecondRow>,
    #[serde(skip)]
    figures: Vec<String>,
}

impl Report {
    /// Collects; the time and the machine are those of now and here.
    pub(crate) fn new(setting: &Setting, done: &[Done], seconds: &[Second], checks: Vec<Check>) -> Self {
        let exit_code = verdict::exit_code(&checks);
        let peak = peak(setting.capacity, done);
        let recovered = recovered_after(done, seconds);
        Self {
            verdict: verdict::word(exit_code),
            exit_code,
            ended_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            seed: setting.seed,
            accounts: setting.accounts,
            connections: setting.connections,
            scheduling: setting.scheduling,
            durability: DURABILITY,
            machine: Machine::detect(),
            commit: machine::commit(),
            notes: NOTES,
            stolen: setting.stolen,
            capacity: setting.capacity,
            peak,
            recovered_after_s: recovered,
            checks,
            loads: loads(done).map(|(label, totals)| load_row(label, totals, setting.capacity)).collect(),
            stages: done.iter().map(|done| stage_row(done, setting.capacity)).collect(),
            seconds: seconds.iter().map(second_row).collect(),
            figures: figures(setting, done, seconds, peak, recovered),
        }
    }

    /// The lines `figure NAME VALUE UNIT` that scripts read.
    pub(crate) fn figures(&self) -> String {
        self.figures.join("\n")
    }
}

fn figures(
    setting: &Setting,
    done: &[Done],
    seconds: &[Second],
    peak: f64,
    recovered: Option<usize>,
) -> Vec<String> {
    let mut lines = vec![
        format!("figure overload_capacity {:.0} tx/s", setting.capacity),
        format!("figure overload_peak {peak:.0} tx/s"),
    ];
    for (label, totals) in loads(done) {
        let name = if label == base_label(done) { "base".to_owned() } else { label.replace('×', "x") };
        let share = 100.0 * totals.goodput() / peak.max(f64::MIN_POSITIVE);
        let p99 = totals.latency.percentile_ms(99.0).unwrap_or(f64::NAN);
        lines.push(format!("figure overload_goodput_{name} {share:.1} %"));
        lines.push(format!("figure overload_accepted_p99_{name} {p99:.3} ms"));
    }
    let is_base: fn(Part) -> bool = |part| part == Part::Base;
    for (is, name) in [(is_base, "base"), (is_highest, "10x")] {
        let p99 = median_p99(done, seconds, is).unwrap_or(f64::NAN);
        lines.push(format!("figure overload_accepted_p99_median_second_{name} {p99:.3} ms"));
    }
    let recovered = recovered.map_or(f64::NAN, |seconds| seconds as f64);
    lines.push(format!("figure overload_recovery {recovered:.0} s"));
    lines
}

/// The reference, then each multiple of the capacity over all of its stages.
fn loads(done: &[Done]) -> impl Iterator<Item = (String, Totals)> {
    let base = base(done).map(|totals| (base_label(done).to_owned(), totals));
    let multiples = MULTIPLES.iter().filter_map(|&factor| Some((format!("{factor}×"), at(done, factor)?)));
    base.into_iter().chain(multiples)
}

fn load_row(label: String, totals: Totals, capacity: f64) -> StageRow {
    let stage =
        Stage { label, rate: Some(totals.rate()), connections: 0, seconds: totals.seconds, settle: 0.0 };
    stage_row(&Done { part: Part::Load(0.0), round: None, stage, totals }, capacity)
}

fn stage_row(done: &Done, capacity: f64) -> StageRow {
    let totals = &done.totals;
    let seconds = totals.seconds.max(f64::MIN_POSITIVE);
    let rate = |count: u64| count as f64 / seconds;
    StageRow {
        label: done.stage.label.clone(),
        search: matches!(done.part, Part::Search | Part::WarmUp),
        base: done.part == Part::Base,
        round: done.round,
        open_loop: done.stage.rate.is_some(),
        recovery: done.part == Part::Recovery,
        multiple: totals.rate() / capacity.max(f64::MIN_POSITIVE),
        offered: totals.rate(),
        reached: rate(totals.offered.saturating_sub(totals.shed)),
        goodput: totals.goodput(),
        refused: rate(totals.refused),
        shed: rate(totals.shed),
        lost: totals.lost,
        unexpected: totals.unexpected,
        accepted_latency_ms: Percentiles::of(&totals.latency),
        refusal_latency_ms: Percentiles::of(&totals.refusal_latency),
        lateness_ms: Percentiles::of(&totals.lateness),
        probe_latency_ms: Percentiles::of(&totals.probe_latency),
        probes_failed: totals.probes_failed,
        generator_processor: totals.generator_seconds / seconds,
    }
}

fn second_row(second: &Second) -> SecondRow {
    SecondRow {
        stage: second.stage,
        offered: second.offered,
        shed: second.shed,
        posted: second.accepted + second.accepted_earlier,
        refused: second.refused,
        lost: second.lost,
        p50_ms: second.latency.percentile_ms(50.0),
        p99_ms: second.latency.percentile_ms(99.0),
    }
}

/// Writes `overload.json` and `overload.html` into the folder; the path of the page.
pub(crate) fn write(report: &Report, folder: &Path) -> Result<PathBuf, String> {
    let write = |extension: &str, text: String| {
        let path = folder.join(format!("overload.{extension}"));
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<PathBuf, String>(path)
    };
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let json = serde_json::to_string_pretty(report).map_err(|error| format!("the report: {error}"))?;
    write("json", json + "\n")?;
    write("html", render(report))
}

/// The page.
fn render(report: &Report) -> String {
    let mut page = String::new();
    begin(&mut page, "overload", report.verdict);
    head(&mut page, report);
    plots::all(&mut page, report);
    checks(&mut page, &report.checks);
    stages(&mut page, report);
    circumstances(&mut page, report);
    end(&mut page);
    page
}

fn head(page: &mut String, report: &Report) {
    let class = if report.exit_code == 0 { "pass" } else { "fail" };
    push(
        page,
        format_args!(
            "<div class=\"head\"><h1>overload</h1><span class=\"verdict {class}\">{}</span></div>\n\
             <p class=\"lead soft\">Up to {HIGHEST} times the capacity of {} transfers/s · {} connections · seed {} · {} · {}</p>\n",
            report.verdict,
            grouped(report.capacity.round()),
            report.connections,
            report.seed,
            report.ended_at,
            report.durability
        ),
    );
    let overload = report.loads.iter().filter(|load| load.multiple > 1.5);
    let least = overload.map(|load| load.goodput).fold(f64::NAN, f64::min);
    let (base, highest) = (report.loads.first(), report.loads.last());
    let tiles = [
        (grouped(report.peak.round()), "transfers/s at the peak"),
        (
            format!("{:.1} %", 100.0 * least / report.peak.max(f64::MIN_POSITIVE)),
            "of it, at the least, under overload",
        ),
        (ms(base.and_then(|stage| stage.accepted_latency_ms.p99)), "accepted p99 at the base"),
        (ms(highest.and_then(|stage| stage.accepted_latency_ms.p99)), "accepted p99 at 10×"),
        (
            report.recovered_after_s.map_or_else(|| "–".to_owned(), |after| format!("{after} s")),
            "back to normal after",
        ),
    ];
    page.push_str("<section class=\"tiles\">\n");
    for (value, name) in tiles {
        push(page, format_args!("<div class=\"tile\"><b>{value}</b><span>{name}</span></div>\n"));
    }
    page.push_str("</section>\n");
}

fn stages(page: &mut String, report: &Report) {
    page.push_str(
        "<section class=\"card\"><h2>Stages</h2><p>First the reference and each load over all of its stages, then all stages as they were run. By second; latencies in milliseconds. Reached: sent to the server. Shed: \
         no connection was free. Generator: of one processor.</p>\n<table>\n\
         <tr><th>stage</th><th class=\"n\">offered</th><th class=\"n\">reached</th><th class=\"n\">posted</th>\
         <th class=\"n\">refused</th><th class=\"n\">shed</th><th class=\"n\">lost</th><th class=\"n\">p50</th>\
         <th class=\"n\">p99</th><th class=\"n\">refusal p50</th><th class=\"n\">p99</th><th class=\"n\">probe p99</th>\
         <th class=\"n\">late p99</th><th class=\"n\">generator</th></tr>\n",
    );
    for row in report.loads.iter().chain(&report.stages) {
        push(page, format_args!("<tr><td>{}</td>", escape(&row.label)));
        for rate in [row.offered, row.reached, row.goodput, row.refused, row.shed] {
            push(page, format_args!("<td class=\"n\">{}</td>", grouped(rate.round())));
        }
        push(page, format_args!("<td class=\"n\">{}</td>", row.lost + row.unexpected));
        let latencies = [
            row.accepted_latency_ms.p50,
            row.accepted_latency_ms.p99,
            row.refusal_latency_ms.p50,
            row.refusal_latency_ms.p99,
            row.probe_latency_ms.p99,
            row.lateness_ms.p99,
        ];
        for value in latencies {
            let text = value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
            push(page, format_args!("<td class=\"n\">{text}</td>"));
        }
        push(page, format_args!("<td class=\"n\">{:.0} %</td></tr>\n", row.generator_processor * 100.0));
    }
    page.push_str("</table>\n</section>\n");
}

fn circumstances(page: &mut String, report: &Report) {
    let machine = &report.machine;
    let rows = [
        ("durability", report.durability.to_owned()),
        (
            "machine",
            format!(
                "{}, {} cores, {} GiB, Linux {}",
                machine.cpu, machine.cores, machine.memory_gib, machine.kernel
            ),
        ),
        ("commit", report.commit.clone()),
        (
            "load",
            format!(
                "{} connections, {} accounts, one generator thread ({} scheduling), seed {}",
                report.connections, report.accounts, report.scheduling, report.seed
            ),
        ),
        (
            "taken by the host",
            report.stolen.map_or_else(
                || "unknown".to_owned(),
                |share| format!("{:.2} % of processor time during the load", share * 100.0),
            ),
        ),
    ];
    page.push_str("<section class=\"card\"><h2>Circumstances</h2><p></p>\n<dl>\n");
    for (name, value) in rows {
        push(page, format_args!("<dt>{name}</dt><dd>{}</dd>\n", escape(&value)));
    }
    page.push_str("</dl>\n<ul class=\"notes\">\n");
    for note in report.notes {
        push(page, format_args!("<li>{}</li>\n", escape(note)));
    }
    page.push_str("</ul>\n</section>\n");
}

//! The report of an overload run: its figures as one value, the JSON and the page that are made from it.
//!
//! Owns: the collection and the drawing. Never measures and never judges.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::html::{begin, card, checks, end, grouped, ms};
use super::plot::{Band, Plot, Scale, escape, nice_step, push};
use super::{DURABILITY, Percentiles};
use crate::machine::{self, Machine};
use crate::overload::checks::{at, peak, recovered_after};
use crate::overload::record::Second;
use crate::overload::{BASE, Done, MULTIPLES, Part, Stage};
use crate::verdict::{self, Check};

/// What a reader must know to read the figures right.
const NOTES: [&str; 5] = [
    "Open loop: Poisson arrivals that wait for nothing. Latency counts from the moment at which a request was meant to be sent.",
    "An arrival that finds each connection waiting for its answer is shed by the generator and never reaches the server: it is no goodput and no refusal, and is counted by itself. Clients here come again at once and ignore Retry-After; the server holds their refusals back so that these leave at a bounded rate, which is what keeps connections busy.",
    "The first moments of each stage, a quarter of it and a second at most, are drawn and not counted.",
    "Goodput is what was posted, synced, and acknowledged in a second. Each multiple of the capacity counts over all of its rounds; the peak is the highest of them.",
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
    /// From 1, of the loads; all of them where there is none.
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
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
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
    /// Each multiple of the capacity, over all rounds.
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
        let peak = peak(done);
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
            loads: MULTIPLES.iter().filter_map(|&factor| load_row(done, factor, setting.capacity)).collect(),
            stages: done.iter().map(|done| stage_row(done, setting.capacity)).collect(),
            seconds: seconds.iter().map(second_row).collect(),
            figures: figures(setting, done, peak, recovered),
        }
    }

    /// The lines `figure NAME VALUE UNIT` that scripts read.
    pub(crate) fn figures(&self) -> String {
        self.figures.join("\n")
    }
}

fn figures(setting: &Setting, done: &[Done], peak: f64, recovered: Option<usize>) -> Vec<String> {
    let mut lines = vec![
        format!("figure overload_capacity {:.0} tx/s", setting.capacity),
        format!("figure overload_peak {peak:.0} tx/s"),
    ];
    for (factor, name) in [(BASE, "base"), (1.0, "1x"), (2.0, "2x"), (5.0, "5x"), (10.0, "10x")] {
        let Some(totals) = at(done, factor) else { continue };
        let share = 100.0 * totals.goodput() / peak.max(f64::MIN_POSITIVE);
        let p99 = totals.latency.percentile_ms(99.0).unwrap_or(f64::NAN);
        lines.push(format!("figure overload_goodput_{name} {share:.1} %"));
        lines.push(format!("figure overload_accepted_p99_{name} {p99:.3} ms"));
    }
    let recovered = recovered.map_or(f64::NAN, |seconds| seconds as f64);
    lines.push(format!("figure overload_recovery {recovered:.0} s"));
    lines
}

/// All rounds at a multiple of the capacity.
fn load_row(done: &[Done], factor: f64, capacity: f64) -> Option<StageRow> {
    let first = done.iter().find(|done| done.part == Part::Load(factor))?;
    let stage = Stage { label: format!("{factor}×"), ..first.stage.clone() };
    Some(stage_row(&Done { part: first.part, round: None, stage, totals: at(done, factor)? }, capacity))
}

fn stage_row(done: &Done, capacity: f64) -> StageRow {
    let totals = &done.totals;
    let seconds = totals.seconds.max(f64::MIN_POSITIVE);
    let rate = |count: u64| count as f64 / seconds;
    StageRow {
        label: done.stage.label.clone(),
        search: matches!(done.part, Part::Search | Part::WarmUp),
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
        accepted: second.accepted,
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
    goodput(&mut page, report);
    latency(&mut page, report);
    rates_over_time(&mut page, report);
    latency_over_time(&mut page, report);
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
             <p class=\"lead soft\">Up to 10 times the capacity of {} transfers/s · {} connections · seed {} · {} · {}</p>\n",
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
        (ms(base.and_then(|stage| stage.accepted_latency_ms.p99)), "accepted p99 at 0.8×"),
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

/// Multiples of the capacity that are drawn.
const DRAWN: (f64, f64) = (0.4, 12.0);
const TICKS: [f64; 6] = [0.5, 0.8, 1.0, 2.0, 5.0, 10.0];

/// The steps of the search and all loads, by what they offer.
fn by_load(report: &Report) -> Vec<&StageRow> {
    let steps = report.stages.iter().filter(|stage| stage.search && stage.open_loop);
    let mut rows: Vec<&StageRow> = steps.chain(&report.loads).collect();
    rows.sort_by(|one, other| one.multiple.total_cmp(&other.multiple));
    rows
}

fn goodput(page: &mut String, report: &Report) {
    let rows = by_load(report);
    let highest = report.peak.max(rows.iter().map(|row| row.refused).fold(0.0, f64::max));
    let step = nice_step(highest * 1.1 / 4.0);
    let scale = Scale::Linear((highest * 1.1 / step).ceil().max(1.0) * step);
    let mut plot = Plot::over_multiples("Goodput against offered load", DRAWN, &TICKS, scale, "/s");
    plot.limit(0.9 * report.peak, "90 % of the peak");
    let ideal = [DRAWN.0, report.peak / report.capacity.max(f64::MIN_POSITIVE), DRAWN.1];
    let ideal = ideal.map(|multiple| (multiple, (multiple * report.capacity).min(report.peak), None));
    plot.curve("ideal", &ideal);
    let text = |row: &StageRow| {
        format!(
            "{:.2}×\noffered {:.0}/s\nposted {:.0}/s\nrefused {:.0}/s\nshed by the generator {:.0}/s",
            row.multiple, row.offered, row.goodput, row.refused, row.shed
        )
    };
    let points = |of: fn(&StageRow) -> f64| -> Vec<_> {
        rows.iter().map(|row| (row.multiple, of(row), Some(text(row)))).collect()
    };
    plot.curve("refused", &points(|row| row.refused));
    plot.curve("achieved", &points(|row| row.goodput));
    card(
        page,
        "Goodput against offered load",
        "What was posted a second, by how much was offered, as a multiple of the capacity. Logarithmic across.",
        &[
            ("accent", "line", "posted"),
            ("c0", "line", "refused with 503"),
            ("offered", "line", "as much as is offered, up to the peak"),
        ],
        &plot.finish(),
    );
}

fn latency(page: &mut String, report: &Report) {
    let rows = by_load(report);
    let p99 = |row: &&StageRow| row.accepted_latency_ms.p99;
    let highest = rows.iter().filter_map(p99).fold(10.0, f64::max);
    let scale = Scale::Logarithmic(0.1, 10_f64.powf((highest * 2.0).log10().ceil()));
    let mut plot = Plot::over_multiples("Accepted latency by stage", DRAWN, &TICKS, scale, "ms");
    let base = report.loads.first().and_then(|load| load.accepted_latency_ms.p99);
    if let Some(base) = base {
        plot.limit(2.0 * base, "twice the p99 at 0.8×");
    }
    let points = |of: fn(&StageRow) -> Option<f64>| -> Vec<_> {
        rows.iter()
            .filter_map(|row| {
                let value = of(row)?;
                Some((row.multiple, value, Some(format!("{:.2}×\n{value:.2} ms", row.multiple))))
            })
            .collect()
    };
    plot.curve("p50", &points(|row| row.accepted_latency_ms.p50));
    plot.curve("p99", &points(|row| row.accepted_latency_ms.p99));
    card(
        page,
        "Latency of what is accepted",
        "From the moment at which it was meant to be sent, by offered load. Both axes logarithmic.",
        &[("p50", "line", "p50"), ("p99", "line", "p99")],
        &plot.finish(),
    );
}

/// The search, each round and the recovery as bands over the seconds of the run.
fn bands(report: &Report) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    for (number, stage) in report.stages.iter().enumerate() {
        let seconds = report.seconds.iter().filter(|second| second.stage == number).count() as f64;
        let name = match stage.round {
            _ if stage.search => "search for the capacity".to_owned(),
            Some(round) => format!("round {round}"),
            None => stage.label.clone(),
        };
        match bands.last_mut() {
            Some(band) if band.name == name => band.seconds += seconds,
            last => {
                let starts_at = last.map_or(0.0, |band| band.starts_at + band.seconds);
                bands.push(Band { name, starts_at, seconds });
            }
        }
    }
    bands
}

fn moment(report: &Report, number: usize, second: &SecondRow) -> String {
    let label = report.stages.get(second.stage).map_or("", |stage| stage.label.as_str());
    format!("{} s, {label}", number + 1)
}

fn rates_over_time(page: &mut String, report: &Report) {
    let highest = report.seconds.iter().map(|second| second.accepted.max(second.refused)).max().unwrap_or(1);
    let highest = (highest as f64 * 1.1).max(1.0);
    let step = nice_step(highest / 4.0);
    let scale = Scale::Linear((highest / step).ceil() * step);
    let seconds = report.seconds.len() as f64;
    let mut plot = Plot::over_time("Each second", &bands(report), seconds, scale, "/s");
    plot.limit(0.9 * report.peak, "90 % of the peak");
    plot.line("refused", report.seconds.iter().map(|second| Some(second.refused as f64)));
    plot.line("achieved", report.seconds.iter().map(|second| Some(second.accepted as f64)));
    plot.hover(report.seconds.iter().enumerate().map(|(number, second)| {
        format!(
            "{}\noffered {}/s\nposted {}/s\nrefused {}/s\nshed by the generator {}/s\nlost {}",
            moment(report, number, second),
            second.offered,
            second.accepted,
            second.refused,
            second.shed,
            second.lost
        )
    }));
    card(
        page,
        "Each second",
        "Posted and refused, through all stages and back.",
        &[("accent", "line", "posted"), ("c0", "line", "refused with 503")],
        &plot.finish(),
    );
}

fn latency_over_time(page: &mut String, report: &Report) {
    let highest = report.seconds.iter().filter_map(|second| second.p99_ms).fold(10.0, f64::max);
    let scale = Scale::Logarithmic(0.1, 10_f64.powf(highest.log10().ceil()));
    let seconds = report.seconds.len() as f64;
    let mut plot = Plot::over_time("Accepted latency, each second", &bands(report), seconds, scale, "ms");
    plot.line("p50", report.seconds.iter().map(|second| second.p50_ms));
    plot.line("p99", report.seconds.iter().map(|second| second.p99_ms));
    plot.hover(report.seconds.iter().enumerate().map(|(number, second)| {
        format!("{}\np50 {}\np99 {}", moment(report, number, second), ms(second.p50_ms), ms(second.p99_ms))
    }));
    card(
        page,
        "Latency of what is accepted, each second",
        "Logarithmic.",
        &[("p50", "line", "p50"), ("p99", "line", "p99")],
        &plot.finish(),
    );
}

fn stages(page: &mut String, report: &Report) {
    page.push_str(
        "<section class=\"card\"><h2>Stages</h2><p>First each load over all of its rounds, then all stages as they were run. By second; latencies in milliseconds. Reached: sent to the server. Shed: \
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

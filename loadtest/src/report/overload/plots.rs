//! The four plots of an overload run: by offered load, and by second.
//!
//! Owns: what is drawn. Never measures and never judges.

use super::{Report, SecondRow, StageRow};
use crate::report::html::{card, ms};
use crate::report::plot::{Band, Plot, Scale, nice_step};

/// All of them.
pub(super) fn all(page: &mut String, report: &Report) {
    goodput(page, report);
    latency(page, report);
    rates_over_time(page, report);
    latency_over_time(page, report);
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
        plot.limit(2.0 * base, "twice the base's p99");
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
    let highest = report.seconds.iter().map(|second| second.posted.max(second.refused)).max().unwrap_or(1);
    let highest = (highest as f64 * 1.1).max(1.0);
    let step = nice_step(highest / 4.0);
    let scale = Scale::Linear((highest / step).ceil() * step);
    let seconds = report.seconds.len() as f64;
    let mut plot = Plot::over_time("Each second", &bands(report), seconds, scale, "/s");
    plot.limit(0.9 * report.peak, "90 % of the peak");
    plot.line("refused", report.seconds.iter().map(|second| Some(second.refused as f64)));
    plot.line("achieved", report.seconds.iter().map(|second| Some(second.posted as f64)));
    plot.hover(report.seconds.iter().enumerate().map(|(number, second)| {
        format!(
            "{}\noffered {}/s\nposted {}/s\nrefused {}/s\nshed by the generator {}/s\nlost {}",
            moment(report, number, second),
            second.offered,
            second.posted,
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

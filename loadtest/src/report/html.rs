//! The report as one page, with nothing to load from elsewhere.
//!
//! Owns: the page's parts and their order. Never computes a figure that the JSON does not have.

use std::collections::BTreeMap;

use super::plot::{Plot, Scale, escape, nice_step, push};
use super::{KindRow, Report, SecondRow};
use crate::answer::PROMOTION_SPENT;
use crate::recorder::{DROPPED, OVERLOADED, TIMED_OUT, UNEXPECTED};
use crate::verdict::Check;

/// The colour of a refusal's bars: warm ones for trouble, others for right answers.
fn colour(code: &str) -> &'static str {
    match code {
        "insufficient_funds" => "c1",
        PROMOTION_SPENT => "c2",
        "refund_exceeds_paid" => "c4",
        "limit_exceeded" => "c8",
        "password_wrong" => "c9",
        "password_locked" => "c10",
        OVERLOADED => "c0",
        DROPPED => "c3",
        TIMED_OUT => "c5",
        UNEXPECTED => "c7",
        _ => "c6",
    }
}

/// The page.
pub(super) fn render(report: &Report) -> String {
    let mut page = String::new();
    begin(&mut page, report.scenario, report.verdict);
    head(&mut page, report);
    tiles(&mut page, report);
    rates(&mut page, report);
    latencies(&mut page, report);
    refusals(&mut page, report);
    checks(&mut page, &report.checks);
    kinds(&mut page, report);
    circumstances(&mut page, report);
    end(&mut page);
    page
}

/// A page's beginning.
pub(super) fn begin(page: &mut String, name: &str, verdict: &str) {
    push(
        page,
        format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Yue · {name} · {verdict}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
            include_str!("page.css")
        ),
    );
}

/// A page's end.
pub(super) fn end(page: &mut String) {
    page.push_str("</main>\n</body>\n</html>\n");
}

fn head(page: &mut String, report: &Report) {
    let class = if report.exit_code == 0 { "pass" } else { "fail" };
    push(
        page,
        format_args!(
            "<div class=\"head\"><h1>{}</h1><span class=\"verdict {class}\">{}</span></div>\n\
             <p class=\"lead soft\">Peak of {} requests/s · {} users · seed {} · {} · {}</p>\n",
            report.scenario,
            report.verdict,
            grouped(report.peak.round()),
            grouped(f64::from(report.users)),
            report.seed,
            report.started_at,
            report.durability
        ),
    );
}

fn tiles(page: &mut String, report: &Report) {
    let sums = &report.sums;
    let achieved = 100.0 * sums.answered as f64 / sums.offered.max(1) as f64;
    let tiles = [
        (grouped(sums.achieved_at_peak.round()), "requests/s answered at peak"),
        (format!("{achieved:.2} %"), "achieved of offered"),
        (ms(report.pay_latency_ms.p50), "payments, p50"),
        (ms(report.pay_latency_ms.p99), "payments, p99"),
        (ms(report.pay_latency_ms.p999), "payments, p99.9"),
    ];
    page.push_str("<section class=\"tiles\">\n");
    for (value, name) in tiles {
        push(page, format_args!("<div class=\"tile\"><b>{value}</b><span>{name}</span></div>\n"));
    }
    page.push_str("</section>\n");
}

fn rates(page: &mut String, report: &Report) {
    let highest =
        report.seconds.iter().map(|second| second.offered.max(second.achieved)).max().unwrap_or(1) as f64;
    let step = nice_step(highest / 4.0);
    let scale = Scale::Linear((highest / step).ceil().max(1.0) * step);
    let mut plot = Plot::new("Requests per second", &report.plan, report.seconds.len(), scale, "req/s");
    let offered: Vec<f64> = report.seconds.iter().map(|second| second.offered as f64).collect();
    plot.area("offered", &offered);
    plot.line("offered", offered.iter().map(|value| Some(*value)));
    plot.line("achieved", report.seconds.iter().map(|second| Some(second.achieved as f64)));
    plot.hover(report.seconds.iter().map(|second| {
        format!("{}\noffered {}/s\nachieved {}/s", moment(second), second.offered, second.achieved)
    }));
    card(
        page,
        "Offered and achieved",
        "What users asked for in each second, and how much of it got its answer.",
        &[("offered", "line", "offered"), ("accent", "line", "achieved")],
        &plot.finish(),
    );
}

fn latencies(page: &mut String, report: &Report) {
    let highest = report.seconds.iter().filter_map(|second| second.pay_latency_ms.p999).fold(200.0, f64::max);
    let ceiling = 10_f64.powf(highest.log10().ceil());
    let scale = Scale::Logarithmic(0.1, ceiling);
    let mut plot = Plot::new("Latency of payments", &report.plan, report.seconds.len(), scale, "ms");
    plot.limit(50.0, "p99 ≤ 50 ms");
    plot.limit(200.0, "p99.9 ≤ 200 ms");
    plot.line("p50", report.seconds.iter().map(|second| second.pay_latency_ms.p50));
    plot.line("p99", report.seconds.iter().map(|second| second.pay_latency_ms.p99));
    plot.line("p999", report.seconds.iter().map(|second| second.pay_latency_ms.p999));
    plot.line("harness", report.seconds.iter().map(|second| second.lateness_p99_ms));
    plot.hover(report.seconds.iter().map(|second| {
        let latency = &second.pay_latency_ms;
        let (p50, p99, p999) = (ms(latency.p50), ms(latency.p99), ms(latency.p999));
        let late = ms(second.lateness_p99_ms);
        format!("{}\np50 {p50}\np99 {p99}\np99.9 {p999}\nharness late {late}", moment(second))
    }));
    card(
        page,
        "Latency of payments",
        "From the moment at which the user meant to pay. Logarithmic.",
        &[
            ("p50", "line", "p50"),
            ("p99", "line", "p99"),
            ("p999", "line", "p99.9"),
            ("harness", "line", "harness late, p99"),
        ],
        &plot.finish(),
    );
}

fn refusals(page: &mut String, report: &Report) {
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, count) in report.seconds.iter().flat_map(|second| &second.refusals) {
        *totals.entry(code).or_default() += count;
    }
    let highest =
        report.seconds.iter().map(|second| second.refusals.values().sum::<u64>()).max().unwrap_or(0).max(4)
            as f64;
    let step = nice_step(highest / 4.0);
    let scale = Scale::Linear((highest / step).ceil() * step);
    let mut plot = Plot::new("Refusals and errors", &report.plan, report.seconds.len(), scale, "/s");
    for second in &report.seconds {
        let mut base = 0.0;
        for (code, count) in &second.refusals {
            plot.bar(colour(code), second.second, base, *count as f64);
            base += *count as f64;
        }
    }
    plot.mark(report.promotion_dry_at, "hot promotion meant to be spent");
    plot.hover(report.seconds.iter().map(|second| {
        let lines: Vec<String> =
            second.refusals.iter().map(|(code, count)| format!("{code} {count}")).collect();
        format!("{}\n{}", moment(second), lines.join("\n"))
    }));
    let keys: Vec<(&str, String)> = totals
        .iter()
        .map(|(code, count)| (colour(code), format!("{code} ({})", grouped(*count as f64))))
        .collect();
    let keys: Vec<(&str, &str, &str)> =
        keys.iter().map(|(colour, label)| (*colour, "box", label.as_str())).collect();
    card(
        page,
        "Refusals and errors",
        "Business refusals are right answers; time-outs, overload and drops are not.",
        &keys,
        &plot.finish(),
    );
}

/// A titled plot; each key is a colour variable, a shape and a label.
pub(super) fn card(page: &mut String, title: &str, lead: &str, keys: &[(&str, &str, &str)], plot: &str) {
    push(page, format_args!("<section class=\"card\"><h2>{title}</h2><p>{lead}</p>\n<div class=\"keys\">"));
    for (colour, shape, label) in keys {
        push(
            page,
            format_args!(
                "<span><i class=\"{shape}\" style=\"--key:var(--{colour})\"></i>{}</span>",
                escape(label)
            ),
        );
    }
    push(page, format_args!("</div>\n{plot}\n</section>\n"));
}

pub(super) fn checks(page: &mut String, checks: &[Check]) {
    page.push_str(
        "<section class=\"card\"><h2>Checks</h2><p>Hard ones are promises of the ledger; any failure is exit code 2. \
         Service levels give 1, an unfit harness 3.</p>\n<table>\n\
         <tr><th></th><th>check</th><th>weight</th><th>found</th><th>asked</th></tr>\n",
    );
    for check in checks {
        let (class, word) = if check.passed { ("pass", "pass") } else { ("fail", "FAIL") };
        let mut found = escape(&check.measured);
        if !check.examples.is_empty() {
            let items: String =
                check.examples.iter().map(|example| format!("<li>{}</li>", escape(example))).collect();
            push(&mut found, format_args!("<ul>{items}</ul>"));
        }
        push(
            page,
            format_args!(
                "<tr><td class=\"{class}\">{word}</td><td>{}</td><td>{}</td><td>{found}</td><td>{}</td></tr>\n",
                escape(check.name),
                check.weight.label(),
                escape(check.threshold)
            ),
        );
    }
    page.push_str("</table>\n</section>\n");
}

fn kinds(page: &mut String, report: &Report) {
    page.push_str(
        "<section class=\"card\"><h2>Operations</h2><p>Latencies in milliseconds, of all that got an answer. \
         Lost: overloaded, unanswered, unexpected and dropped ones.</p>\n<table>\n\
         <tr><th>kind</th><th class=\"n\">offered</th><th class=\"n\">done</th><th class=\"n\">refused</th>\
         <th class=\"n\">lost</th><th class=\"n\">p50</th><th class=\"n\">p90</th><th class=\"n\">p99</th>\
         <th class=\"n\">p99.9</th><th class=\"n\">max</th></tr>\n",
    );
    for row in &report.kinds {
        push(page, format_args!("{}\n", kind_line(row)));
    }
    page.push_str("</table>\n</section>\n");
}

fn kind_line(row: &KindRow) -> String {
    let refused: u64 = row.refused.values().sum();
    let lost = row.overloaded + row.unanswered + row.unexpected + row.dropped;
    let latency = &row.latency_ms;
    let mut line = format!("<tr><td>{}</td>", escape(row.kind));
    for count in [row.offered, row.done, refused, lost] {
        push(&mut line, format_args!("<td class=\"n\">{}</td>", grouped(count as f64)));
    }
    for value in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
        let text = value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        push(&mut line, format_args!("<td class=\"n\">{text}</td>"));
    }
    line + "</tr>"
}

fn circumstances(page: &mut String, report: &Report) {
    let machine = &report.machine;
    let sums = &report.sums;
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
        ("seed", report.seed.to_string()),
        (
            "load",
            format!(
                "{} users, {} payers by {}, {} merchants, {} connections, {} generator threads ({} scheduling), {} retries",
                report.users,
                report.payers,
                report.auth,
                report.merchants,
                report.connections,
                report.threads,
                report.scheduling,
                report.retry
            ),
        ),
        (
            "repeated",
            format!(
                "{} time-outs, {} retries, {} concurrent copies, {} status queries",
                sums.timeouts, sums.retries, sums.copies, sums.status_queries
            ),
        ),
        (
            "harness late by",
            format!(
                "p50 {}, p99 {}, at most {}",
                ms(report.lateness_ms.p50),
                ms(report.lateness_ms.p99),
                ms(report.lateness_ms.max)
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

fn moment(second: &SecondRow) -> String {
    format!("{} s, {}", second.second + 1, second.phase.label())
}

pub(super) fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2} ms"))
}

/// A whole number with its thousands apart.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn the_page_stands_alone_and_escapes() {
        let page = render(&sample());
        for outside in ["src=", "href=", "@import", "url(", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("a &lt;processor&gt;"));
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0.0), "0");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(1_000.0), "1,000");
        assert_eq!(grouped(12_345_678.0), "12,345,678");
    }
}

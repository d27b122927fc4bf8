//! The counters as a page in Prometheus' text format.

use std::{
    fmt::{Display, Write as _},
    sync::atomic::Ordering::Relaxed,
};

use yue_engine::{
    metrics::{BUCKETS, SYNC_TIME_UNIT_NANOS, Snapshot},
    model::{Lane, RejectionCode},
};

use super::{Histogram, Route, Telemetry};
use crate::{admission::Figures, problem::Code};

/// The content type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders both sides' counters; without the engine's while it recovers.
#[must_use]
pub fn render(telemetry: &Telemetry, admission: Figures, engine: Option<&Snapshot>) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    if let Some(snapshot) = engine {
        transactions(&mut page, snapshot);
        journal(&mut page, snapshot);
    }
    http(&mut page, telemetry);
    let_in(&mut page, admission);
    heads(&mut page, telemetry);
    page.0
}

fn transactions(page: &mut Page, snapshot: &Snapshot) {
    page.family("yue_transactions_posted_total", "counter", "Transactions posted.")
        .value("", snapshot.posted);
    let mut refused =
        page.family("yue_transactions_refused_total", "counter", "Transactions refused, by code.");
    for (code, count) in RejectionCode::ALL.iter().zip(snapshot.refused) {
        refused.value(&format!("{{code=\"{code}\"}}"), count);
    }
    let replayed = "Answers that repeated an earlier outcome.";
    page.family("yue_transactions_replayed_total", "counter", replayed).value("", snapshot.replayed);
    let unavailable = "Commands refused as unavailable; their ids stay free.";
    page.family("yue_commands_unavailable_total", "counter", unavailable).value("", snapshot.unavailable);
    page.family("yue_commands_in_flight", "gauge", "Commands in flight.").value("", snapshot.in_flight);
    page.family("yue_holds_expired_total", "counter", "Holds that ran out.")
        .value("", snapshot.holds_expired);
    let jumps = "Jumps of the wall clock that were not followed at once.";
    page.family("yue_clock_jumps_total", "counter", jumps).value("", snapshot.clock_jumps);
    page.family("yue_accounts", "gauge", "Accounts.").value("", snapshot.accounts);
    let mut mailboxes =
        page.family("yue_mailbox_commands", "gauge", "Commands waiting in a shard's mailbox, by lane.");
    for (shard, depths) in snapshot.mailbox_depth.iter().enumerate() {
        for (lane, depth) in Lane::ALL.iter().zip(depths) {
            mailboxes.value(&format!("{{shard=\"{shard}\",lane=\"{}\"}}", lane.as_str()), depth);
        }
    }
}

fn journal(page: &mut Page, snapshot: &Snapshot) {
    page.family("yue_journal_position", "gauge", "The journal's last position.").value("", snapshot.position);
    page.family("yue_journal_records_total", "counter", "Journal records written.")
        .value("", snapshot.records);
    page.family("yue_journal_bytes_total", "counter", "Bytes of journal records written.")
        .value("", snapshot.bytes);
    // The last bucket has all above, which `+Inf` says.
    let bounds = (0..BUCKETS - 1).map(|exponent| 1_u64 << exponent);
    page.family("yue_journal_group_records", "histogram", "Records in a journal group.").buckets(
        "",
        bounds.zip(snapshot.group_records),
        snapshot.groups,
        snapshot.records,
    );
    let bounds = (0..BUCKETS - 1).map(|exponent| seconds(SYNC_TIME_UNIT_NANOS << exponent, 9));
    page.family("yue_journal_sync_seconds", "histogram", "Time of a group's append and sync.").buckets(
        "",
        bounds.zip(snapshot.sync_time),
        snapshot.groups,
        seconds(snapshot.sync_nanos, 9),
    );
    let lag = "Records that the journal has and the index does not show yet.";
    page.family("yue_index_lag_records", "gauge", lag).value("", snapshot.index_lag);
}

fn let_in(page: &mut Page, admission: Figures) {
    let Figures { limit, in_flight, refused, waiting } = admission;
    let most = "Commands that may be worked on at once, as measured latencies have it.";
    page.family("yue_admission_limit", "gauge", most).value("", limit);
    let at_once = "Commands whose bodies are there and that are worked on.";
    page.family("yue_admission_commands", "gauge", at_once).value("", in_flight);
    let unread = "Requests refused for overload before their bodies were read.";
    page.family("yue_admission_refused_total", "counter", unread).value("", refused);
    let held = "Refusals that wait for their turn.";
    page.family("yue_admission_refusals_waiting", "gauge", held).value("", waiting);
}

fn heads(page: &mut Page, telemetry: &Telemetry) {
    page.family("yue_heads_signed_total", "counter", "Signed heads written to their log.")
        .value("", telemetry.heads_signed.load(Relaxed));
    page.family("yue_heads_failed_total", "counter", "Signed heads that could not be written.")
        .value("", telemetry.heads_failed.load(Relaxed));
}

fn http(page: &mut Page, telemetry: &Telemetry) {
    let mut responses =
        page.family("yue_http_responses_total", "counter", "Answers by route and hundreds of the status.");
    for (route, counters) in Route::ALL.iter().zip(&telemetry.routes.0) {
        for (hundreds, count) in (1..).zip(&counters.statuses) {
            let count = count.load(Relaxed);
            if count > 0 {
                responses.value(&format!("{{route=\"{}\",status=\"{hundreds}xx\"}}", route.label()), count);
            }
        }
    }
    let mut times =
        page.family("yue_http_request_seconds", "histogram", "Time from a request's headers to its answer.");
    for (route, counters) in Route::ALL.iter().zip(&telemetry.routes.0) {
        let counts: Vec<u64> = counters.time.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total = counts.iter().sum();
        if total > 0 {
            let bounds = (0..counts.len() - 1).map(|exponent| seconds(Histogram::FIRST_US << exponent, 6));
            let sum = seconds(counters.time.sum_us.load(Relaxed), 6);
            times.buckets(&format!("route=\"{}\"", route.label()), bounds.zip(counts), total, sum);
        }
    }
    let mut problems = page.family("yue_http_problems_total", "counter", "Problems answered, by code.");
    for (code, count) in Code::ALL.iter().zip(&telemetry.problems.0) {
        problems.value(&format!("{{code=\"{}\"}}", code.as_str()), count.load(Relaxed));
    }
    let opened = telemetry.connections_opened.load(Relaxed);
    let closed = telemetry.connections_closed.load(Relaxed);
    page.family("yue_http_connections", "gauge", "Open connections.")
        .value("", opened.saturating_sub(closed));
    page.family("yue_http_connections_total", "counter", "Connections taken.").value("", opened);
    let refused = "Connections closed at once because there were too many.";
    page.family("yue_http_connections_refused_total", "counter", refused)
        .value("", telemetry.connections_refused.load(Relaxed));
}

/// A count of units of 10^-decimals seconds, as seconds, exactly.
fn seconds(units: u64, decimals: u8) -> String {
    yue_engine::model::format_units(units.into(), decimals)
}

/// The page so far.
struct Page(String);

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { page: &mut self.0, name }
    }
}

/// One metric and its series.
struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// A series; `labels` in braces, or nothing.
    fn value(&mut self, labels: &str, value: impl Display) {
        let _infallible = writeln!(self.page, "{}{labels} {value}", self.name);
    }

    /// A histogram's series; `labels` without braces. Prometheus wants buckets that add up.
    fn buckets<B: Display>(
        &mut self,
        labels: &str,
        buckets: impl Iterator<Item = (B, u64)>,
        total: u64,
        sum: impl Display,
    ) {
        let (name, comma) = (self.name, if labels.is_empty() { "" } else { "," });
        let mut count = 0;
        for (bound, more) in buckets {
            count += more;
            let _infallible = writeln!(self.page, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
        }
        let _infallible = writeln!(
            self.page,
            "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {total}\n{name}_sum{{{labels}}} {sum}\n\
             {name}_count{{{labels}}} {total}"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_page_is_well_formed() {
        let telemetry = Telemetry::default();
        telemetry.answered(Route::Readyz, axum::http::StatusCode::OK, Duration::from_micros(20));
        telemetry.refused(Code::Malformed);
        let snapshot = Snapshot { groups: 3, records: 9, group_records: [1; 16], ..Snapshot::default() };
        let page = render(&telemetry, Figures::default(), Some(&snapshot));
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let declared = |name: &str| page.contains(&format!("# TYPE {name} "));
            assert!(declared(name) || family.is_some_and(declared), "{line}");
        }
        for line in [
            "yue_http_responses_total{route=\"GET /readyz\",status=\"2xx\"} 1",
            "yue_http_request_seconds_bucket{route=\"GET /readyz\",le=\"0.000016\"} 0",
            "yue_http_request_seconds_bucket{route=\"GET /readyz\",le=\"0.000032\"} 1",
            "yue_http_request_seconds_bucket{route=\"GET /readyz\",le=\"+Inf\"} 1",
            "yue_http_request_seconds_sum{route=\"GET /readyz\"} 0.000020",
            "yue_http_problems_total{code=\"malformed\"} 1",
            "yue_journal_group_records_bucket{le=\"4\"} 3",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} is missing in:\n{page}");
        }
    }
}

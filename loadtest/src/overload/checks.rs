//! What an overload run must show.
//!
//! Owns: the bounds. Never measures.

use std::collections::BTreeSet;

use super::record::{Second, Totals};
use super::{Done, HIGHEST, MULTIPLES, Part};
use crate::money::{Fen, Signed};
use crate::verdict::{Check, Weight};

/// Of what is offered, the least that is posted where a load is sustained: normal.
pub(super) const SUSTAINED_MIN: f64 = 0.95;
/// Of the peak, the least goodput under any overload.
const GOODPUT_MIN: f64 = 0.9;
/// Times the base's, the most of the accepted latency's p99.
const LATENCY_MAX: f64 = 2.0;
/// Seconds after an overload within which all is as before.
const RECOVERY_S_MAX: usize = 10;
/// Seconds in a row that make a recovery.
const NORMAL_SECONDS: usize = 3;
/// What a refusal may say, in seconds: as the contract of overload has it.
const RETRY_AFTER_S: std::ops::RangeInclusive<u64> = 1..=3;
/// Health and a read of an outcome must come within this, in 99 of 100, whatever the load.
const PROBE_P99_MS_MAX: f64 = 100.0;
/// A generator that was later than this in one of a hundred sendings has not offered what it reports.
const LATENESS_P99_MS_MAX: f64 = 1.0;

/// What the ledger says at the end.
pub(crate) struct Ledger {
    /// In fen; each transfer is one.
    pub(crate) moved: i128,
    pub(crate) posted: u64,
    /// Without an answer.
    pub(crate) unknown: u64,
    pub(crate) unbalanced: Vec<String>,
    /// Of answers that the contract does not allow.
    pub(crate) examples: Vec<String>,
}

/// The most that was posted a second: the capacity that the search found, or more at a multiple of it, over all of its
/// rounds. A server that an overload leaves slower than it was is measured by what it was.
pub(crate) fn peak(capacity: f64, done: &[Done]) -> f64 {
    let rates = MULTIPLES.iter().filter_map(|&factor| Some(at(done, factor)?.goodput()));
    rates.fold(capacity, f64::max)
}

/// All stages at a multiple of the capacity.
pub(crate) fn at(done: &[Done], factor: f64) -> Option<Totals> {
    merged(done, |part| matches!(part, Part::Load(other) if (other - factor).abs() < 1e-9))
}

/// The reference.
pub(crate) fn base(done: &[Done]) -> Option<Totals> {
    merged(done, |part| part == Part::Base)
}

fn merged(done: &[Done], is: impl Fn(Part) -> bool) -> Option<Totals> {
    let mut stages = done.iter().filter(|done| is(done.part)).map(|done| &done.totals);
    let mut all = stages.next()?.clone();
    stages.for_each(|stage| all.merge(stage));
    Some(all)
}

/// All checks.
pub(crate) fn all(capacity: f64, done: &[Done], seconds: &[Second], ledger: &Ledger) -> Vec<Check> {
    let mut checks = vec![conservation(ledger), refusals(done, ledger), sustained(done)];
    let peak = peak(capacity, done);
    for (factor, name) in [(2.0, "goodput at 2×"), (5.0, "goodput at 5×"), (HIGHEST, "goodput at 10×")] {
        let goodput = at(done, factor).map_or(0.0, |totals| totals.goodput());
        let share = goodput / peak.max(f64::MIN_POSITIVE);
        checks.push(Check::figure(
            Weight::ServiceLevel,
            name,
            "≥ 90 % of the peak",
            format!("{:.1} % ({goodput:.0}/s of {peak:.0}/s)", share * 100.0),
            share >= GOODPUT_MIN,
        ));
    }
    checks.push(latency(done, seconds));
    checks.push(recovery(done, seconds));
    checks.push(probes(done));
    checks.push(overloaded(done));
    checks.push(on_time(done));
    checks
}

fn conservation(ledger: &Ledger) -> Check {
    let Ledger { moved, posted, unknown, unbalanced, .. } = ledger;
    let mut failures = unbalanced.clone();
    let (least, most) = (i128::from(*posted), i128::from(posted + unknown));
    if !(least..=most).contains(moved) {
        failures.push(format!(
            "the ledger moved {}, {} was acknowledged, {unknown} requests without an answer",
            Signed(*moved),
            Fen(*posted)
        ));
    }
    let measured = format!("{posted} transfers acknowledged, {} CNY moved at both ends", Signed(*moved));
    Check::hard("conservation", "moved = acknowledged", measured, failures)
}

fn refusals(done: &[Done], ledger: &Ledger) -> Check {
    let sum = |of: fn(&Totals) -> u64| done.iter().map(|done| of(&done.totals)).sum::<u64>();
    let spread: BTreeSet<u64> = done.iter().flat_map(|done| &done.totals.retry_after).copied().collect();
    let mut failures = ledger.examples.clone();
    // Of the whole run, the first moments of each stage too.
    if ledger.unknown > 0 {
        failures.push(format!(
            "{} requests had no answer, or none that says what became of them",
            ledger.unknown
        ));
    }
    if sum(|totals| totals.refused) > 0 && spread.len() < 2 {
        failures.push("each refusal names the same moment to come again".to_owned());
    }
    if let Some(moment) = spread.iter().find(|moment| !RETRY_AFTER_S.contains(moment)) {
        failures.push(format!("a refusal says to come again after {moment} s"));
    }
    let measured = format!("{} refused, Retry-After {spread:?} s", sum(|totals| totals.refused));
    Check::hard("every answer is 201, or 503 with Retry-After", "no other, spread", measured, failures)
}

/// The reference's multiple of the capacity.
pub(crate) fn base_label(done: &[Done]) -> &str {
    done.iter().find(|done| done.part == Part::Base).map_or("–", |done| &done.stage.label)
}

/// A reference that was no normal load would excuse everything that is compared with it.
fn sustained(done: &[Done]) -> Check {
    let share = base(done).map_or(0.0, |base| base.share());
    Check::figure(
        Weight::ServiceLevel,
        "posted at the base, before",
        "≥ 95 % of the offered",
        format!("{:.2} % at {}", share * 100.0, base_label(done)),
        share >= SUSTAINED_MIN,
    )
}

/// The median of the p99 of each second of such stages: what a few seconds of a slow machine do not move. Shown beside the
/// p99 of all, not judged.
pub(crate) fn median_p99(done: &[Done], seconds: &[Second], is: impl Fn(Part) -> bool) -> Option<f64> {
    let of_such =
        |second: &&Second| done.get(second.stage).is_some_and(|done| is(done.part)) && second.accepted > 0;
    let p99 = |second: &Second| second.latency.percentile_ms(99.0);
    let mut p99s: Vec<f64> = seconds.iter().filter(of_such).filter_map(p99).collect();
    p99s.sort_by(f64::total_cmp);
    p99s.get(p99s.len() / 2).copied()
}

/// Whether a part is the highest load.
pub(crate) fn is_highest(part: Part) -> bool {
    part == Part::Load(HIGHEST)
}

fn latency(done: &[Done], seconds: &[Second]) -> Check {
    let p99 = |totals: Option<Totals>| totals.and_then(|totals| totals.latency.percentile_ms(99.0));
    let (base, highest) = (p99(base(done)), p99(at(done, HIGHEST)));
    let passed = base.zip(highest).is_some_and(|(base, highest)| highest <= LATENCY_MAX * base);
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2} ms"));
    let median = |is: fn(Part) -> bool| ms(median_p99(done, seconds, is));
    Check::figure(
        Weight::ServiceLevel,
        "accepted p99 at 10×",
        "≤ twice that at the base, before",
        format!(
            "{} ({} at {}; in the median second {} and {})",
            ms(highest),
            ms(base),
            base_label(done),
            median(is_highest),
            median(|part| part == Part::Base)
        ),
        passed,
    )
}

/// Seconds of the recovery before the first of some normal ones in a row.
pub(crate) fn recovered_after(done: &[Done], seconds: &[Second]) -> Option<usize> {
    let p99_max = LATENCY_MAX * base(done)?.latency.percentile_ms(99.0)?;
    let stage = done.iter().position(|done| done.part == Part::Recovery)?;
    let normal: Vec<bool> = seconds
        .iter()
        .filter(|second| second.stage == stage)
        .map(|second| {
            let p99 = second.latency.percentile_ms(99.0).unwrap_or(f64::INFINITY);
            // In one that has nothing the generator itself stood still.
            let kept = second.accepted as f64 >= SUSTAINED_MIN * second.offered as f64;
            second.offered > 0 && kept && p99 <= p99_max
        })
        .collect();
    normal.windows(NORMAL_SECONDS).position(|run| run.iter().all(|normal| *normal))
}

fn recovery(done: &[Done], seconds: &[Second]) -> Check {
    let after = recovered_after(done, seconds);
    Check::figure(
        Weight::ServiceLevel,
        "back to normal after 10×",
        "≤ 10 s",
        after.map_or_else(|| "not within the stage".to_owned(), |after| format!("after {after} s")),
        after.is_some_and(|after| after <= RECOVERY_S_MAX),
    )
}

fn probes(done: &[Done]) -> Check {
    let failed: u64 = done.iter().map(|done| done.totals.probes_failed).sum();
    let worst = done.iter().filter_map(|done| done.totals.probe_latency.percentile_ms(99.0));
    let worst = worst.fold(0.0, f64::max);
    Check::figure(
        Weight::ServiceLevel,
        "health and outcomes reachable",
        "always, p99 ≤ 100 ms",
        format!("{failed} failed, p99 at most {worst:.2} ms in any stage"),
        failed == 0 && worst <= PROBE_P99_MS_MAX,
    )
}

/// Loads that the server need not refuse say nothing of overload.
fn overloaded(done: &[Done]) -> Check {
    let least = MULTIPLES.iter().filter(|&&factor| factor > 1.5).filter_map(|&factor| at(done, factor));
    let least = least.map(|totals| totals.refused).min().unwrap_or(0);
    Check::figure(
        Weight::Validity,
        "the server was overloaded",
        "refusals at 2×, 5× and 10×",
        format!("at least {least} at each"),
        least > 0,
    )
}

/// By load, over all of its stages; the recovery too, and whatever the capacity and the base were chosen by: one that was not
/// offered excuses nothing.
fn on_time(done: &[Done]) -> Check {
    let p99 = |totals: &Totals| totals.lateness.percentile_ms(99.0);
    let parts = [Part::Search, Part::BaseMissed, Part::Base, Part::Recovery];
    let others = parts.into_iter().filter_map(|other| merged(done, |part| part == other));
    let loads = MULTIPLES.iter().filter_map(|&factor| at(done, factor)).chain(others);
    let worst = loads.filter_map(|totals| p99(&totals)).fold(0.0, f64::max);
    let rounds = done.iter().filter(|done| done.round.is_some());
    let worst_round = rounds.filter_map(|done| p99(&done.totals)).fold(0.0, f64::max);
    Check::figure(
        Weight::Validity,
        "generator on time, p99",
        "< 1 ms at each load",
        format!("{worst:.2} ms at the worst load, {worst_round:.2} ms in its worst round"),
        worst < LATENESS_P99_MS_MAX,
    )
}

#[cfg(test)]
mod tests;

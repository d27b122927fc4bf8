//! What an overload run must show.
//!
//! Owns: the bounds. Never measures.

use std::collections::BTreeSet;

use super::record::{Second, Totals};
use super::{Done, Part};
use crate::money::{Fen, Signed};
use crate::verdict::{Check, Weight};

/// Of the peak, the least goodput under any overload.
const GOODPUT_MIN: f64 = 0.9;
/// Times the base's, the most of the accepted latency's p99.
const LATENCY_MAX: f64 = 2.0;
/// Seconds after an overload within which all is as before.
const RECOVERY_S_MAX: usize = 10;
/// Seconds in a row that make a recovery.
const NORMAL_SECONDS: usize = 3;
/// Of the share of the offered that is posted at the base, the least of a normal second.
const NORMAL_MIN: f64 = 0.95;
/// The highest multiple of the capacity: that of the latency's bound.
const HIGHEST: f64 = 10.0;
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

/// The most that was posted a second at any multiple of the capacity, each over all of its rounds. The steps of the search
/// are none of them: they are short, and run while the machine may be faster or slower than it is later.
pub(crate) fn peak(done: &[Done]) -> f64 {
    let rates = super::MULTIPLES.iter().filter_map(|&factor| Some(at(done, factor)?.goodput()));
    rates.fold(0.0, f64::max)
}

/// All rounds at a multiple of the capacity.
pub(crate) fn at(done: &[Done], factor: f64) -> Option<Totals> {
    let is = |done: &&Done| matches!(done.part, Part::Load(other) if (other - factor).abs() < 1e-9);
    let mut rounds = done.iter().filter(is).map(|done| &done.totals);
    let mut all = rounds.next()?.clone();
    rounds.for_each(|round| all.merge(round));
    Some(all)
}

/// All checks.
pub(crate) fn all(done: &[Done], seconds: &[Second], ledger: &Ledger) -> Vec<Check> {
    let mut checks = vec![conservation(ledger), refusals(done, ledger)];
    let peak = peak(done);
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
    checks.push(latency(done));
    checks.push(recovery(done, seconds));
    checks.push(probes(done));
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
    let lost = sum(|totals| totals.lost);
    if lost > 0 {
        failures.push(format!("{lost} requests had no answer"));
    }
    if spread.len() == 1 {
        failures.push("each refusal names the same moment to come again".to_owned());
    }
    let measured = format!("{} refused, Retry-After {spread:?} s", sum(|totals| totals.refused));
    Check::hard("every answer is 201, or 503 with Retry-After", "no other, spread", measured, failures)
}

fn latency(done: &[Done]) -> Check {
    let p99 = |factor| at(done, factor).and_then(|totals| totals.latency.percentile_ms(99.0));
    let (base, highest) = (p99(super::BASE), p99(HIGHEST));
    let passed = base.zip(highest).is_some_and(|(base, highest)| highest <= LATENCY_MAX * base);
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2} ms"));
    Check::figure(
        Weight::ServiceLevel,
        "accepted p99 at 10×",
        "≤ twice that at 0.8×",
        format!("{} ({} at 0.8×)", ms(highest), ms(base)),
        passed,
    )
}

/// Seconds of the recovery before the first of some normal ones in a row.
pub(crate) fn recovered_after(done: &[Done], seconds: &[Second]) -> Option<usize> {
    let before = at(done, super::BASE)?;
    let base = before.latency.percentile_ms(99.0)?;
    let share = before.goodput() / before.rate().max(f64::MIN_POSITIVE);
    let stage = done.iter().position(|done| done.part == Part::Recovery)?;
    let normal: Vec<bool> = seconds
        .iter()
        .filter(|second| second.stage == stage && second.offered > 0)
        .map(|second| {
            let p99 = second.latency.percentile_ms(99.0).unwrap_or(f64::INFINITY);
            second.accepted as f64 >= NORMAL_MIN * share * second.offered as f64 && p99 <= LATENCY_MAX * base
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

fn on_time(done: &[Done]) -> Check {
    let loads = super::MULTIPLES.iter().filter_map(|&factor| at(done, factor));
    let worst = loads.filter_map(|totals| totals.lateness.percentile_ms(99.0)).fold(0.0, f64::max);
    Check::figure(
        Weight::Validity,
        "generator on time, p99",
        "< 1 ms",
        format!("{worst:.2} ms at the worst load"),
        worst < LATENESS_P99_MS_MAX,
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::overload::{MULTIPLES, Stage};

    fn totals(posted: u64, latency_ms: u64) -> Totals {
        let mut totals = Totals { seconds: 1.0, offered: posted, posted, ..Totals::new() };
        totals.latency.record(Duration::from_millis(latency_ms));
        totals.lateness.record(Duration::from_micros(20));
        totals.probe_latency.record(Duration::from_millis(1));
        totals.retry_after.extend([1, 2]);
        totals
    }

    fn done(part: Part, totals: Totals) -> Done {
        let stage =
            Stage { label: String::new(), rate: Some(1.0), connections: 1, seconds: 1.0, settle: 0.0 };
        Done { part, round: None, stage, totals }
    }

    /// Posted a second, and latency in milliseconds, at each multiple and after.
    fn run(stages: [(u64, u64); 6]) -> Vec<Done> {
        let parts = MULTIPLES.map(Part::Load).into_iter().chain([Part::Recovery]).zip(stages);
        parts.map(|(part, (posted, ms))| done(part, totals(posted, ms))).collect()
    }

    /// A second of the recovery: posted of 100 offered, and latency in milliseconds.
    fn second(accepted: u64, latency_ms: u64) -> Second {
        let mut second = Second { offered: 100, accepted, ..Second::new(5) };
        second.latency.record(Duration::from_millis(latency_ms));
        second
    }

    fn honest() -> Ledger {
        Ledger { moved: 100, posted: 100, unknown: 0, unbalanced: Vec::new(), examples: Vec::new() }
    }

    fn check(done: &[Done], seconds: &[Second], ledger: &Ledger, failing: &[&str]) {
        let checks = all(done, seconds, ledger);
        let failed: Vec<&str> = checks.iter().filter(|check| !check.passed).map(|check| check.name).collect();
        assert_eq!(failed, failing);
    }

    const GOOD: [(u64, u64); 6] = [(800, 5), (1_000, 6), (950, 8), (920, 9), (900, 9), (800, 5)];

    #[test]
    fn each_bound_is_kept_or_named() {
        let normal: Vec<Second> = (0..5).map(|_| second(100, 5)).collect();
        check(&run(GOOD), &normal, &honest(), &[]);
        let with = |at: usize, stage: (u64, u64)| {
            let mut stages = GOOD;
            stages[at] = stage;
            run(stages)
        };
        check(&with(2, (899, 8)), &normal, &honest(), &["goodput at 2×"]);
        check(&with(3, (899, 8)), &normal, &honest(), &["goodput at 5×"]);
        check(&with(4, (899, 8)), &normal, &honest(), &["goodput at 10×"]);
        // The peak may come at any load.
        check(&with(3, (1_100, 8)), &normal, &honest(), &["goodput at 2×", "goodput at 10×"]);
        check(&with(4, (950, 11)), &normal, &honest(), &["accepted p99 at 10×"]);
        let mut late = run(GOOD);
        late[4].totals.lateness.record(Duration::from_millis(2));
        check(&late, &normal, &honest(), &["generator on time, p99"]);
        let mut deaf = run(GOOD);
        deaf[4].totals.probes_failed = 1;
        check(&deaf, &normal, &honest(), &["health and outcomes reachable"]);
    }

    #[test]
    fn rounds_at_one_load_count_together() {
        let mut rounds = run(GOOD);
        rounds.extend(run([(700, 5), (900, 6), (1_050, 8), (880, 9), (1_100, 30), (800, 5)]));
        assert_eq!(peak(&rounds), 1_000.0);
        assert_eq!(at(&rounds, 5.0).map(|totals| totals.goodput()), Some(900.0));
        let normal: Vec<Second> = (0..5).map(|_| second(100, 5)).collect();
        check(&rounds, &normal, &honest(), &["accepted p99 at 10×"]);
    }

    #[test]
    fn normal_is_what_was_posted_before() {
        let mut refusing = run(GOOD);
        refusing[0].totals.offered = 1_000;
        let seconds = |accepted| -> Vec<Second> { (0..3).map(|_| second(accepted, 5)).collect() };
        assert_eq!(recovered_after(&refusing, &seconds(76)), Some(0));
        assert_eq!(recovered_after(&refusing, &seconds(75)), None);
    }

    #[test]
    fn recovery_is_three_normal_seconds_in_a_row() {
        let seconds = |text: &str| -> Vec<Second> {
            let second = |letter| match letter {
                'n' => second(95, 9),
                'f' => second(94, 5),
                _ => second(100, 11),
            };
            text.chars().map(second).collect()
        };
        let check = |text: &str, expected: Option<usize>| {
            assert_eq!(recovered_after(&run(GOOD), &seconds(text)), expected, "{text}");
        };
        check("nnn", Some(0));
        check("fnnsnnn", Some(4));
        check("nn", None);
        check("ffffffffffffnnn", Some(12));
        let failing = all(&run(GOOD), &seconds("ffffffffffffnnn"), &honest());
        assert!(failing.iter().any(|check| check.name == "back to normal after 10×" && !check.passed));
    }

    #[test]
    fn the_ledger_moves_what_was_acknowledged() {
        let normal: Vec<Second> = (0..5).map(|_| second(100, 5)).collect();
        let name = "conservation";
        check(&run(GOOD), &normal, &Ledger { moved: 99, ..honest() }, &[name]);
        check(&run(GOOD), &normal, &Ledger { moved: 101, ..honest() }, &[name]);
        check(&run(GOOD), &normal, &Ledger { moved: 101, unknown: 1, ..honest() }, &[]);
        let unbalanced = vec!["CNY".to_owned()];
        check(&run(GOOD), &normal, &Ledger { unbalanced, ..honest() }, &[name]);
        let examples = vec!["500".to_owned()];
        let answers = "every answer is 201, or 503 with Retry-After";
        check(&run(GOOD), &normal, &Ledger { examples, ..honest() }, &[answers]);
        let mut same = run(GOOD);
        same.iter_mut().for_each(|done| done.totals.retry_after = BTreeSet::from([1]));
        check(&same, &normal, &honest(), &[answers]);
    }
}

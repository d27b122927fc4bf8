use std::time::Duration;

use super::*;
use crate::overload::{MULTIPLES, Stage};

/// The capacity of the runs here.
const CAPACITY: f64 = 950.0;

fn totals(posted: u64, latency_ms: u64) -> Totals {
    let mut totals = Totals { seconds: 1.0, offered: posted, posted, refused: 10, ..Totals::new() };
    totals.latency.record(Duration::from_millis(latency_ms));
    totals.lateness.record(Duration::from_micros(20));
    totals.probe_latency.record(Duration::from_millis(1));
    totals.retry_after.extend([1, 2]);
    totals
}

fn done(part: Part, round: Option<u32>, totals: Totals) -> Done {
    let stage = Stage { label: String::new(), rate: Some(1.0), connections: 1, seconds: 1.0, settle: 0.0 };
    Done { part, round, stage, totals }
}

/// Posted a second, and latency in milliseconds: at the base, at each multiple, after.
type Run = [(u64, u64); 6];
const BASE: usize = 0;
const AT_2: usize = 2;
const AT_5: usize = 3;
const AT_10: usize = 4;
const RECOVERY: usize = 5;

fn run(stages: Run) -> Vec<Done> {
    let loads = MULTIPLES.map(|factor| (Part::Load(factor), Some(1)));
    let parts = [(Part::Base, None)].into_iter().chain(loads).chain([(Part::Recovery, None)]);
    parts.zip(stages).map(|((part, round), (posted, ms))| done(part, round, totals(posted, ms))).collect()
}

/// A second of the recovery: posted of 100 offered, and latency in milliseconds.
fn second(accepted: u64, latency_ms: u64) -> Second {
    let mut second = Second { offered: 100, accepted, ..Second::new(RECOVERY) };
    second.latency.record(Duration::from_millis(latency_ms));
    second
}

fn seconds(accepted: u64) -> Vec<Second> {
    (0..5).map(|_| second(accepted, 5)).collect()
}

fn honest() -> Ledger {
    Ledger { moved: 100, posted: 100, unknown: 0, unbalanced: Vec::new(), examples: Vec::new() }
}

fn check(done: &[Done], seconds: &[Second], ledger: &Ledger, failing: &[&str]) {
    let checks = all(CAPACITY, done, seconds, ledger);
    let failed: Vec<&str> = checks.iter().filter(|check| !check.passed).map(|check| check.name).collect();
    assert_eq!(failed, failing);
}

const GOOD: Run = [(760, 5), (1_000, 6), (950, 8), (920, 9), (900, 9), (760, 5)];

fn with(at: usize, stage: (u64, u64)) -> Vec<Done> {
    let mut stages = GOOD;
    stages[at] = stage;
    run(stages)
}

#[test]
fn each_bound_is_kept_or_named() {
    let normal = seconds(100);
    check(&run(GOOD), &normal, &honest(), &[]);
    check(&with(AT_2, (899, 8)), &normal, &honest(), &["goodput at 2×"]);
    check(&with(AT_5, (899, 8)), &normal, &honest(), &["goodput at 5×"]);
    check(&with(AT_10, (899, 8)), &normal, &honest(), &["goodput at 10×"]);
    // The peak may come at any load.
    check(&with(AT_5, (1_100, 8)), &normal, &honest(), &["goodput at 2×", "goodput at 10×"]);
    check(&with(AT_10, (950, 11)), &normal, &honest(), &["accepted p99 at 10×"]);
    for (at, name) in [(BASE, "base"), (AT_10, "10×"), (RECOVERY, "recovery")] {
        let mut late = run(GOOD);
        late[at].totals.lateness.record(Duration::from_millis(2));
        let checks = all(CAPACITY, &late, &normal, &honest());
        let failed: Vec<_> = checks.iter().filter(|check| !check.passed).map(|check| check.name).collect();
        assert_eq!(failed, ["generator on time, p99"], "{name}");
    }
    let mut deaf = run(GOOD);
    deaf[AT_10].totals.probes_failed = 1;
    check(&deaf, &normal, &honest(), &["health and outcomes reachable"]);
}

/// A server that a first overload leaves at 60 % of what it did, for good: metastable failure.
#[test]
fn a_server_that_stays_broken_is_seen() {
    let all_of_it = ["goodput at 2×", "goodput at 5×", "goodput at 10×", "back to normal after 10×"];
    let broken = |posted| [(760, 5), (posted, 6), (posted, 8), (posted, 9), (posted, 9), (posted, 5)];
    check(&run(broken(570)), &seconds(75), &honest(), &all_of_it);
    // The loads after the break agree with each other; the search does not.
    check(&run(broken(840)), &seconds(100), &honest(), &all_of_it[..3]);
    // Nor may it be broken from the start, with a latency to which all other compare well.
    let mut refusing = with(BASE, (760, 60));
    refusing[BASE].totals.offered = 801;
    check(&refusing, &seconds(100), &honest(), &["posted at the base, before"]);
}

#[test]
fn stages_at_one_load_count_together() {
    let mut rounds = run(GOOD);
    rounds.extend(run([(760, 5), (900, 6), (1_050, 8), (880, 9), (1_100, 30), (760, 5)]));
    assert_eq!(peak(CAPACITY, &rounds), 1_000.0);
    assert_eq!(peak(1_200.0, &rounds), 1_200.0);
    assert_eq!(at(&rounds, 5.0).map(|totals| totals.goodput()), Some(900.0));
    check(&rounds, &seconds(100), &honest(), &["accepted p99 at 10×"]);
    // The one after the rounds, too.
    let mut long = run(GOOD);
    long.push(done(Part::Load(HIGHEST), None, totals(700, 9)));
    check(&long, &seconds(100), &honest(), &["goodput at 10×"]);
}

#[test]
fn recovery_is_three_normal_seconds_in_a_row() {
    let seconds = |text: &str| -> Vec<Second> {
        let second = |letter| match letter {
            'n' => second(95, 9),
            'f' => second(94, 5),
            '0' => Second::new(RECOVERY),
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
    // The generator stood still.
    check("nn0nn", None);
    check("ffffffffffffnnn", Some(12));
    let failing = all(CAPACITY, &run(GOOD), &seconds("ffffffffffffnnn"), &honest());
    assert!(failing.iter().any(|check| check.name == "back to normal after 10×" && !check.passed));
}

#[test]
fn the_ledger_moves_what_was_acknowledged() {
    let normal = seconds(100);
    let name = "conservation";
    check(&run(GOOD), &normal, &Ledger { moved: 99, ..honest() }, &[name]);
    check(&run(GOOD), &normal, &Ledger { moved: 101, ..honest() }, &[name]);
    // It may have moved; but it had no answer.
    let answers = "every answer is 201, or 503 with Retry-After";
    check(&run(GOOD), &normal, &Ledger { moved: 101, unknown: 1, ..honest() }, &[answers]);
    let unbalanced = vec!["CNY".to_owned()];
    check(&run(GOOD), &normal, &Ledger { unbalanced, ..honest() }, &[name]);
    let examples = vec!["500".to_owned()];
    check(&run(GOOD), &normal, &Ledger { examples, ..honest() }, &[answers]);
    let mut same = run(GOOD);
    same.iter_mut().for_each(|done| done.totals.retry_after = BTreeSet::from([1]));
    check(&same, &normal, &honest(), &[answers]);
    let mut never = run(GOOD);
    never[AT_10].totals.retry_after.insert(86_400);
    check(&never, &normal, &honest(), &[answers]);
    let mut calm = run(GOOD);
    calm[AT_10].totals.refused = 0;
    check(&calm, &normal, &honest(), &["the server was overloaded"]);
}

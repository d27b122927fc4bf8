//! Whole runs of `yue-load` against a small ledger, honest or not.
//!
//! A check that cannot fail proves nothing: each fault is planted once, and the run must end with its exit code and
//! name the check that saw it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

#[path = "runs/ledger.rs"]
mod ledger;
#[path = "runs/server.rs"]
mod server;

use std::process::{Command, Output};

use ledger::Fault;

struct Run {
    output: Output,
    folder: tempfile::TempDir,
}

impl Run {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
            + &String::from_utf8_lossy(&self.output.stderr)
    }

    fn report(&self) -> serde_json::Value {
        let text = std::fs::read_to_string(self.folder.path().join("smoke.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

fn yue_load(fault: Fault, arguments: &[&str]) -> Run {
    let url = server::start(fault);
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_yue-load"))
        .args(arguments)
        .args(["--url", &url])
        .current_dir(folder.path())
        .output()
        .unwrap();
    Run { output, folder }
}

/// A smoke run against a ledger with a fault: its exit code, and the checks that fail.
fn check(fault: Fault, code: i32, failing: &[&str]) {
    // Enough requests for the rare ones: reversals above the original, and holds that nobody settles.
    let rare = matches!(fault, Fault::NoReversalCap | Fault::NeverExpires);
    let (peak, time_scale) = if rare { ("1000", "1") } else { ("200", "0.5") };
    let arguments = ["run", "smoke", "--users", "50", "--merchants", "5", "--seed", "618", "--report", "."];
    let run = yue_load(fault, &[&arguments[..], &["--peak", peak, "--time-scale", time_scale]].concat());
    let report = run.report();
    let failed: Vec<&str> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        // How late the harness is depends on what else the machine does.
        .filter(|check| check["passed"] == false && check["weight"] == "hard")
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(failed, failing, "{fault:?}: {}", run.text());
    match code {
        // A busy machine may make a good run invalid or slow, but never broken.
        0 => assert_ne!(run.output.status.code(), Some(2), "{fault:?}: {}", run.text()),
        code => assert_eq!(run.output.status.code(), Some(code), "{fault:?}: {}", run.text()),
    }
}

#[test]
fn an_honest_ledger_passes() {
    check(Fault::None, 0, &[]);
}

#[test]
fn unanswered_writes_are_settled_and_pass() {
    check(Fault::SilentButApplies, 0, &[]);
}

#[test]
fn rude_users_ask_for_the_status_and_break_nothing() {
    let arguments =
        ["run", "smoke", "--users", "50", "--time-scale", "0.5", "--retry", "rude", "--report", "."];
    let run = yue_load(Fault::SilentButApplies, &arguments);
    assert_ne!(run.output.status.code(), Some(2), "{}", run.text());
    let sums = run.report()["sums"].clone();
    assert!(sums["status_queries"].as_u64().unwrap() > 0, "{}", run.text());
    assert_eq!(sums["unanswered"], 0, "{}", run.text());
}

#[test]
fn a_lost_write_is_seen() {
    check(Fault::LosesAWrite, 2, &["balances", "acknowledged writes", "positions", "effects"]);
}

#[test]
fn an_effect_that_is_dropped_is_seen() {
    check(Fault::DropsAnEffect, 2, &["balances"]);
}

#[test]
fn a_doubled_write_is_seen() {
    check(Fault::AppliesTwice, 2, &["balances", "acknowledged writes", "effects", "same id, same outcome"]);
}

#[test]
fn one_sided_effects_are_seen() {
    check(Fault::DropsACredit, 2, &["conservation", "balances"]);
}

#[test]
fn a_missing_position_is_seen() {
    check(Fault::SkipsAPosition, 2, &["positions"]);
}

#[test]
fn a_missing_floor_is_seen() {
    check(Fault::NoFloor, 2, &["no guard broken", "promotions"]);
}

#[test]
fn reversals_without_a_cap_are_seen() {
    check(Fault::NoReversalCap, 2, &["no guard broken"]);
}

#[test]
fn a_hold_that_never_expires_is_seen() {
    check(Fault::NeverExpires, 2, &["holds end", "balances"]);
}

#[test]
fn a_slow_ledger_misses_its_service_level() {
    let run = yue_load(
        Fault::Slow,
        &[
            "run",
            "smoke",
            "--users",
            "50",
            "--merchants",
            "5",
            "--peak",
            "50",
            "--time-scale",
            "0.4",
            "--report",
            ".",
        ],
    );
    assert!(matches!(run.output.status.code(), Some(1 | 3)), "{}", run.text());
    let checks = run.report()["checks"].clone();
    let p99 = checks.as_array().unwrap().iter().find(|check| check["name"] == "payments, p99").unwrap();
    assert_eq!(p99["passed"], false, "{}", run.text());
}

#[test]
fn saturation_prints_its_figures_and_checks_the_work() {
    for batch in ["1", "100"] {
        let arguments =
            ["saturate", "--seconds", "1", "--accounts", "100", "--clients", "8", "--batch", batch];
        let run = yue_load(Fault::None, &arguments);
        assert_eq!(run.output.status.code(), Some(0), "{}", run.text());
        let name = if batch == "1" { "http_single" } else { "http_batch" };
        assert!(run.text().contains(&format!("figure {name}_tps ")), "{}", run.text());
        assert!(run.text().contains(&format!("figure {name}_p99 ")), "{}", run.text());
    }
    let run = yue_load(Fault::DropsAnEffect, &["saturate", "--seconds", "1", "--accounts", "100"]);
    assert_eq!(run.output.status.code(), Some(2), "{}", run.text());
}

#[test]
fn a_server_that_is_not_there_is_no_run() {
    let output = Command::new(env!("CARGO_BIN_EXE_yue-load"))
        .args(["run", "smoke", "--url", "http://127.0.0.1:9"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let usage = Command::new(env!("CARGO_BIN_EXE_yue-load")).args(["run", "618-midnight"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(64));
}

//! Whole runs of `yue-load` against a small wallet, honest or not.
//!
//! A check that cannot fail proves nothing: each fault is planted once, and the run must end with its exit code and
//! name the check that saw it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

#[path = "runs/ledger.rs"]
mod ledger;
#[path = "runs/server.rs"]
mod server;
#[path = "runs/wallet.rs"]
mod wallet;

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

/// The command, with the channels' keys.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yue-load"));
    for name in ["WECHAT", "ALIPAY", "ECNY", "BANK_CARD"] {
        command.env(format!("YUE_CHANNEL_KEY_{name}"), name);
    }
    command
}

fn yue_load(fault: Fault, arguments: &[&str]) -> Run {
    let url = server::start(fault);
    let folder = tempfile::tempdir().unwrap();
    let output = command().args(arguments).args(["--url", &url]).current_dir(folder.path()).output().unwrap();
    Run { output, folder }
}

/// A smoke run against a wallet with a fault: its exit code, and the checks that fail.
fn check(fault: Fault, code: i32, failing: &[&str]) {
    // Enough requests for the rare ones: refunds above what was paid, cancellations, many wrong passwords, payments after
    // a promotion's budget is spent.
    let rare = matches!(
        fault,
        Fault::NoFloor
            | Fault::NoRefundCap
            | Fault::NeverLocks
            | Fault::CancelKeepsHolds
            | Fault::CreditsTwice
    );
    let (peak, time_scale) = if rare { ("1500", "1") } else { ("200", "0.5") };
    let arguments = [
        "run",
        "smoke",
        "--users",
        "50",
        "--payers",
        "40",
        "--merchants",
        "5",
        "--seed",
        "618",
        "--report",
        ".",
    ];
    let run = yue_load(fault, &[&arguments[..], &["--peak", peak, "--time-scale", time_scale]].concat());
    let report = run.report();
    let failed: Vec<&str> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        // How late the harness is depends on what else the machine does.
        .filter(|check| check["passed"] == false && check["weight"] == "hard")
        // Whoever asks for what was lost may see it too.
        .filter(|check| fault != Fault::LosesAWrite || check["name"] != "answers")
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
fn an_honest_wallet_passes() {
    check(Fault::None, 0, &[]);
}

#[test]
fn whatever_payers_show_they_pay() {
    for auth in ["small", "token", "password"] {
        let arguments = ["run", "smoke", "--users", "50", "--payers", "40", "--auth", auth, "--report", "."];
        let run =
            yue_load(Fault::None, &[&arguments[..], &["--peak", "200", "--time-scale", "0.5"]].concat());
        assert_ne!(run.output.status.code(), Some(2), "{auth}: {}", run.text());
        let kinds = run.report()["kinds"].clone();
        let done = |name: &str| {
            let row = kinds.as_array().unwrap().iter().find(|row| row["kind"] == name).unwrap();
            row["done"].as_u64().unwrap()
        };
        assert!(done("pay") > 0 && done("transfer") > 0, "{auth}: {}", run.text());
        assert_eq!(done("payment token") > 0, auth != "small", "{auth}");
    }
}

#[test]
fn unanswered_writes_are_settled_and_pass() {
    check(Fault::SilentButApplies, 0, &[]);
}

#[test]
fn rude_users_ask_for_the_status_and_break_nothing() {
    let arguments = [
        "run",
        "smoke",
        "--users",
        "50",
        "--payers",
        "40",
        "--time-scale",
        "0.5",
        "--retry",
        "rude",
        "--report",
        ".",
    ];
    let run = yue_load(Fault::SilentButApplies, &arguments);
    assert_ne!(run.output.status.code(), Some(2), "{}", run.text());
    let sums = run.report()["sums"].clone();
    assert!(sums["status_queries"].as_u64().unwrap() > 0, "{}", run.text());
    assert_eq!(sums["unanswered"], 0, "{}", run.text());
}

#[test]
fn a_lost_write_is_seen() {
    check(Fault::LosesAWrite, 2, &["balances", "acknowledged writes", "positions"]);
}

#[test]
fn an_effect_that_is_dropped_is_seen() {
    check(Fault::DropsAnEffect, 2, &["balances"]);
}

#[test]
fn a_doubled_write_is_seen() {
    check(Fault::AppliesTwice, 2, &["balances", "effects"]);
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
fn refunds_without_a_cap_are_seen() {
    check(Fault::NoRefundCap, 2, &["no guard broken", "acknowledged writes"]);
}

#[test]
fn what_a_cancellation_keeps_is_seen() {
    check(Fault::CancelKeepsHolds, 2, &["balances", "promotions"]);
}

#[test]
fn a_payment_that_never_expires_is_seen() {
    check(Fault::NeverExpires, 2, &["holds end"]);
}

#[test]
fn a_notification_that_credits_twice_is_seen() {
    check(Fault::CreditsTwice, 2, &["balances"]);
}

#[test]
fn passwords_that_can_be_guessed_for_ever_are_seen() {
    check(Fault::NeverLocks, 2, &["passwords"]);
}

#[test]
fn a_slow_server_misses_its_service_level() {
    let run = yue_load(
        Fault::Slow,
        &[
            "run",
            "smoke",
            "--users",
            "50",
            "--payers",
            "40",
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
fn an_overload_run_checks_the_work_and_draws_it() {
    let arguments = [
        "overload",
        "--rounds",
        "2",
        "--seconds",
        "0.6",
        "--step-seconds",
        "0.5",
        "--long-seconds",
        "1",
        "--connections",
        "16",
        "--accounts",
        "100",
        "--report",
        ".",
    ];
    let run = yue_load(Fault::None, &arguments);
    // How much is kept depends on what else the machine does; nothing may be wrong.
    assert_ne!(run.output.status.code(), Some(2), "{}", run.text());
    let text = std::fs::read_to_string(run.folder.path().join("overload.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let is =
        |flag: &str| report["stages"].as_array().unwrap().iter().filter(|stage| stage[flag] == true).count();
    let in_rounds = report["stages"].as_array().unwrap().iter().filter(|stage| stage["round"].is_u64());
    assert_eq!((is("base"), in_rounds.count(), is("recovery")), (1, 2 * 4, 1), "{}", run.text());
    assert_eq!(report["loads"].as_array().unwrap().len(), 5, "{}", run.text());
    assert!(report["loads"][4]["shed"].as_f64().unwrap() > 0.0, "{}", run.text());
    let page = std::fs::read_to_string(run.folder.path().join("overload.html")).unwrap();
    assert_eq!((page.matches("<svg").count(), page.matches("</svg>").count()), (4, 4));
    assert!(run.text().contains("figure overload_goodput_10x "), "{}", run.text());
    let run = yue_load(Fault::DropsAnEffect, &arguments);
    assert_eq!(run.output.status.code(), Some(2), "{}", run.text());
}

#[test]
fn a_server_that_is_not_there_is_no_run() {
    let check = |command: &mut Command, arguments: &[&str], code: i32| {
        assert_eq!(command.args(arguments).output().unwrap().status.code(), Some(code), "{arguments:?}");
    };
    check(&mut command(), &["run", "smoke", "--url", "http://127.0.0.1:9"], 3);
    check(&mut command(), &["run", "618-midnight"], 64);
    check(&mut command(), &["run", "618-midnight", "--peak", "1k", "--auth", "small"], 64);
    check(command().env_remove("YUE_CHANNEL_KEY_ECNY"), &["run", "smoke"], 64);
}

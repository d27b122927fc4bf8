//! The deterministic simulation over a range of seeds, and one seed by chance.
//!
//! `YUE_SIM_SEED=n` runs one seed, `YUE_SIM_SECONDS=n` runs seeds by chance for so long, `YUE_SIM_STEPS=n` sets the length.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use yue_engine::simulation::{Options, Report, run};

/// Steps of a run.
const STEPS: u64 = 8_000;
/// Seeds that each test run goes through.
const SEEDS: u64 = 24;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().unwrap())
}

fn simulate(seed: u64) -> Report {
    let memory = std::path::Path::new("/dev/shm");
    let memory = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    // A name of its own: whoever clears away nameless folders of other runs leaves this one alone.
    let mut directory = tempfile::Builder::new().prefix("yue-simulation-").tempdir_in(memory).unwrap();
    // A run that fails leaves its index behind, to be looked at.
    directory.disable_cleanup(true);
    let steps = number("YUE_SIM_STEPS").unwrap_or(STEPS);
    let report = run(&Options {
        seed,
        steps,
        verbose: number("YUE_SIM_SEED").is_some(),
        directory: directory.path().to_owned(),
    });
    directory.disable_cleanup(false);
    report
}

fn tell(report: &Report, seeds: u64, since: Instant) {
    let seconds = since.elapsed().as_millis().max(1);
    let Report { steps, submitted, records, crashes, faults, coverage } = report;
    println!(
        "{seeds} seeds: {steps} steps, {submitted} transactions ({} a second), {records} records, {crashes} crashes, \
         {faults} faults",
        u128::from(*submitted) * 1000 / seconds
    );
    if number("YUE_SIM_SEED").is_some() {
        println!("{coverage:#?}");
    }
}

#[test]
fn seeds_of_the_simulation() {
    let since = Instant::now();
    if let Some(seed) = number("YUE_SIM_SEED") {
        return tell(&simulate(seed), 1, since);
    }
    let mut all = Report::default();
    let mut count = 0;
    if let Some(seconds) = number("YUE_SIM_SECONDS") {
        while since.elapsed() < Duration::from_secs(seconds) {
            all.add(&simulate(rand::random()));
            count += 1;
        }
        return tell(&all, count, since);
    }
    for seed in 1..=SEEDS {
        all.add(&simulate(seed));
    }
    let missing = all.coverage.missing();
    // A gate runs the same on each commit; what chance finds is for people, who get the seed with it.
    if std::env::var_os("CI").is_none() {
        let seed = rand::random();
        println!("and by chance: seed {seed}");
        all.add(&simulate(seed));
        count += 1;
    }
    tell(&all, SEEDS + count, since);
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

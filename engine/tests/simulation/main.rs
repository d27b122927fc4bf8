//! The deterministic simulation: a few seeds in each test run, a campaign of many by `make sim`.
//!
//! `YUE_SIM_SEED=n` runs one seed and tells each step, `YUE_SIM_STEPS=n` sets its length, `YUE_SIM_WITHOUT='a;b'` (or `all`)
//! leaves kinds of faults out, `YUE_SIM_SHRINK=1` looks for the least that fails. `YUE_SIM_OPERATIONS=n` and
//! `YUE_SIM_FIRST=n` say how long a campaign is and where its seeds begin.
#![allow(missing_docs, clippy::unwrap_used)]

mod campaign;
#[cfg(feature = "planted-bugs")]
mod planted;
mod run;
mod shrink;
mod watch;

use std::time::Instant;

use campaign::Campaign;
use run::{number, one, options};

/// Seeds that each test run goes through, and two whose index is on RocksDB.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;
const SEEDS_ON_ROCKSDB: [u64; 2] = [run::ROCKSDB_EACH, 2 * run::ROCKSDB_EACH];
/// Operations of a campaign, unless it is told.
const OPERATIONS: u64 = 10_000_000;

#[test]
fn seeds_of_the_simulation() {
    let since = Instant::now();
    let mut all = yue_engine::simulation::Report::default();
    for seed in SEEDS.chain(SEEDS_ON_ROCKSDB) {
        all.add(&one(options(seed)));
    }
    let missing = all.coverage.missing();
    // A gate runs the same on each commit; what chance finds is for people, who get the seed with it.
    if std::env::var_os("CI").is_none() {
        let seed = rand::random();
        println!("and by chance: seed {seed}");
        all.add(&one(options(seed)));
    }
    campaign::tell(&all, since.elapsed());
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

#[test]
#[ignore = "takes minutes: `make sim`"]
fn campaign() {
    if let Some(seed) = number("YUE_SIM_SEED") {
        if number("YUE_SIM_SHRINK").is_some() {
            return shrink::tell(options(seed));
        }
        let since = Instant::now();
        let report = one(yue_engine::simulation::Options { verbose: true, ..options(seed) });
        campaign::tell(&report, since.elapsed());
        return println!("{:#?}", report.coverage);
    }
    let operations = number("YUE_SIM_OPERATIONS").unwrap_or(OPERATIONS);
    let first = number("YUE_SIM_FIRST").unwrap_or(1);
    Campaign { first, operations, threads: std::thread::available_parallelism().unwrap().get() }.run();
}

#[cfg(feature = "planted-bugs")]
#[test]
#[ignore = "takes minutes: `make planted`"]
fn planted_bugs() {
    planted::hunt_all();
}

#[cfg(feature = "planted-bugs")]
#[test]
#[ignore = "with `make planted`"]
fn planted_bugs_shrink() {
    planted::shrink_one();
}

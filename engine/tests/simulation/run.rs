//! One seed, as the environment says.

use std::{
    collections::BTreeSet,
    panic::{catch_unwind, resume_unwind},
};

use yue_engine::simulation::{Coverage, Options, Report, progress, run};

/// Steps of a run.
const STEPS: u64 = 8_000;
/// The index of each such seed is on RocksDB, that of the others in memory.
pub(crate) const ROCKSDB_EACH: u64 = 512;

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().unwrap())
}

pub(crate) fn options(seed: u64) -> Options {
    let without = std::env::var("YUE_SIM_WITHOUT").unwrap_or_default();
    let without = if without == "all" { Coverage::kinds().join(";") } else { without };
    Options {
        seed,
        steps: number("YUE_SIM_STEPS").unwrap_or(STEPS),
        verbose: false,
        directory: std::path::PathBuf::new(),
        in_memory: !seed.is_multiple_of(ROCKSDB_EACH),
        without: without.split(';').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
    }
}

/// The command that replays a run.
pub(crate) fn command(seed: u64, steps: u64, without: &BTreeSet<String>) -> String {
    let steps = if steps == STEPS { String::new() } else { format!(" STEPS={steps}") };
    let mut without: Vec<&str> = without.iter().map(String::as_str).collect();
    if without.len() == Coverage::kinds().len() {
        without = vec!["all"];
    }
    let without =
        if without.is_empty() { String::new() } else { format!(" WITHOUT='{}'", without.join(";")) };
    format!("make sim SEED={seed}{steps}{without}")
}

/// Runs a seed; one that fails tells how to replay it.
pub(crate) fn one(options: Options) -> Report {
    let command = command(options.seed, options.steps, &options.without);
    catch_unwind(|| run_in_a_folder(options)).unwrap_or_else(|payload| {
        let (step, _) = progress();
        eprintln!("the simulation failed at step {step}; replay it with: {command}");
        resume_unwind(payload)
    })
}

/// Runs with a folder of its own, where the index needs one.
pub(crate) fn run_in_a_folder(mut options: Options) -> Report {
    if options.in_memory {
        return run(&options);
    }
    let memory = std::path::Path::new("/dev/shm");
    let memory = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    // A name of its own: whoever clears away nameless folders of other runs leaves this one alone.
    let mut directory = tempfile::Builder::new().prefix("yue-simulation-").tempdir_in(memory).unwrap();
    // A run that fails leaves its index behind, to be looked at.
    directory.disable_cleanup(true);
    directory.path().clone_into(&mut options.directory);
    let report = run(&options);
    directory.disable_cleanup(false);
    report
}

//! Each planted bug must be found by the simulation within a budget of operations.

use std::{
    panic::catch_unwind,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use yue_engine::{
    planted::{Bug, plant},
    simulation::progress,
};

use crate::{
    run::{number, options, run_in_a_folder},
    shrink,
    watch::{last_panic, watch_panics},
};

/// Operations after which a bug counts as not found.
const BUDGET: u64 = 3_000_000;

struct Row {
    bug: Bug,
    operations: u64,
    /// The seed and the check that found it.
    found: Option<(u64, String)>,
}

/// Runs seeds from 1 on until one fails.
fn hunt(bug: Bug) -> Row {
    plant(Some(bug));
    let (mut operations, mut seed, mut found) = (0, 0, None);
    while operations < BUDGET && found.is_none() {
        seed += 1;
        match catch_unwind(|| run_in_a_folder(options(seed))) {
            Ok(report) => operations += report.submitted,
            Err(_) => {
                operations += progress().1;
                found = Some((seed, last_panic()));
            }
        }
    }
    plant(None);
    Row { bug, operations, found }
}

pub(crate) fn hunt_all() {
    watch_panics();
    let next = AtomicUsize::new(0);
    let only = number("YUE_SIM_BUG");
    let work = || {
        let mut rows = Vec::new();
        while let Some(&bug) = Bug::ALL.get(next.fetch_add(1, Relaxed)) {
            if only.is_none_or(|only| only == bug as u64) {
                rows.push(hunt(bug));
            }
        }
        rows
    };
    let threads = std::thread::available_parallelism().unwrap().get();
    let mut rows: Vec<Row> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    rows.sort_by_key(|row| row.bug as u64);
    println!("| bug | breaks | found by | seed | operations |\n|---|---|---|---|---|");
    for Row { bug, operations, found } in &rows {
        let (what, promise) = bug.describe();
        let (seed, check) = found
            .clone()
            .map_or(("-".to_owned(), "NOT FOUND".to_owned()), |(seed, check)| (seed.to_string(), check));
        println!("| {bug:?}: {what} | {promise} | {check} | {seed} | {operations} |");
    }
    let missed: Vec<Bug> = rows.iter().filter(|row| row.found.is_none()).map(|row| row.bug).collect();
    println!("figure planted_bugs {} bugs", rows.len());
    println!("figure planted_bugs_found {} bugs", rows.len() - missed.len());
    assert!(missed.is_empty(), "not found within {BUDGET} operations: {missed:?}");
}

/// A failure of a planted bug shrinks, and what is left still fails.
pub(crate) fn shrink_one() {
    plant(Some(Bug::ReversalCapOffByOne));
    let seed = (1..).find(|&seed| catch_unwind(|| run_in_a_folder(options(seed))).is_err()).unwrap();
    let whole = options(seed);
    let least = shrink::shrink(whole.clone()).unwrap();
    shrink::tell(least.clone());
    assert!(least.steps < whole.steps, "{} steps", least.steps);
    assert!(least.without.len() > whole.without.len(), "no kind of fault makes this bug");
    assert!(catch_unwind(|| run_in_a_folder(least)).is_err());
    plant(None);
}

//! From a seed that fails to the least that fails in the same place.
//!
//! What is changed in a run changes all that follows, so the search begins wide: short runs of many seeds, with and without
//! faults, that fail in the same place. What it finds first loses the kinds of faults that it does not need, one after the
//! other, and then steps, by halves.

use std::panic::catch_unwind;

use yue_engine::simulation::{Coverage, Options, progress};

use crate::{
    run::{ROCKSDB_EACH, command, run_in_a_folder},
    watch::{last_panic, last_place, watch_panics},
};

/// Steps of the shortest runs, and seeds that are tried with each length.
const STEPS_FIRST: u64 = 100;
const SEEDS: u64 = 150;

/// Where a run fails, and at which step.
fn failure(options: &Options) -> Option<(String, u64)> {
    let options = options.clone();
    catch_unwind(|| run_in_a_folder(options)).err().map(|_| (last_place(), progress().0))
}

/// The least that fails as `options` does; `None` if that does not fail.
pub(crate) fn shrink(mut options: Options) -> Option<Options> {
    options.verbose = false;
    watch_panics();
    let (place, step) = failure(&options)?;
    let fails = |options: &Options| failure(options).is_some_and(|(found, _)| found == place);
    let all = Coverage::kinds().iter().map(|kind| (*kind).to_owned()).collect();
    let shorter = Options { steps: step, ..options.clone() };
    if step < options.steps && fails(&shorter) {
        options = shorter;
    }
    let calm = Options { without: all, ..options.clone() };
    let lengths = (0..).map(|power| STEPS_FIRST << power).take_while(|&steps| steps < options.steps);
    let seeds = || std::iter::once(options.seed).chain(1..=SEEDS);
    let tries = lengths.flat_map(|steps| {
        let with = |like: &Options| {
            let like = Options { steps, in_memory: true, ..like.clone() };
            seeds().map(move |seed| Options { seed, ..like.clone() })
        };
        with(&calm).chain(with(&options)).collect::<Vec<_>>()
    });
    let found =
        tries.filter(|options| !options.seed.is_multiple_of(ROCKSDB_EACH)).find(|options| fails(options));
    options = found.unwrap_or(options);
    for _ in 0..2 {
        for kind in Coverage::kinds() {
            let mut fewer = options.clone();
            if fewer.without.insert((*kind).to_owned()) && fails(&fewer) {
                options = fewer;
            }
        }
        let mut by = options.steps / 2;
        while by > 0 {
            let shorter = Options { steps: options.steps - by, ..options.clone() };
            if fails(&shorter) {
                options = shorter;
                by = by.min(options.steps / 2);
            } else {
                by /= 2;
            }
        }
    }
    Some(options)
}

/// Shrinks and tells.
pub(crate) fn tell(options: Options) {
    let before = options.steps;
    let Some(least) = shrink(options) else { return println!("nothing fails") };
    let needed: Vec<_> = Coverage::kinds().iter().filter(|kind| !least.without.contains(**kind)).collect();
    let _ = failure(&least);
    println!("shrunk from {before} to {} steps; it needs these faults: {needed:?}", least.steps);
    println!("it fails in {}", last_panic());
    println!("replay it with: {}", command(least.seed, least.steps, &least.without));
}

//! Many seeds on several threads, each a world of its own.

use std::{
    panic::catch_unwind,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use yue_engine::simulation::Report;

use crate::{
    run::{one, options},
    shrink,
};

pub(crate) struct Campaign {
    pub(crate) first: u64,
    /// Seeds are begun until there are so many.
    pub(crate) operations: u64,
    pub(crate) threads: usize,
}

impl Campaign {
    /// Stops at the first seed that fails.
    ///
    /// # Panics
    /// If one did, or something was never reached.
    pub(crate) fn run(&self) {
        let since = Instant::now();
        let (next, done, failed) = (AtomicU64::new(self.first), AtomicU64::new(0), AtomicBool::new(false));
        let told = AtomicU64::new(0);
        let work = || {
            let (mut all, mut violations) = (Report::default(), Vec::new());
            while done.load(Relaxed) < self.operations && !failed.load(Relaxed) {
                let seed = next.fetch_add(1, Relaxed);
                match catch_unwind(|| one(options(seed))) {
                    Ok(report) => {
                        let operations = done.fetch_add(report.submitted, Relaxed) + report.submitted;
                        self.progress(since.elapsed(), operations, seed, &told);
                        all.add(&report);
                    }
                    Err(_) => {
                        violations.push(seed);
                        failed.store(true, Relaxed);
                    }
                }
            }
            (all, violations)
        };
        let (mut all, mut violations) = (Report::default(), Vec::new());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                let (report, found) = worker.join().unwrap();
                all.add(&report);
                violations.extend(found);
            }
        });
        println!("seeds {} to {} on {} threads", self.first, next.load(Relaxed) - 1, self.threads);
        tell(&all, since.elapsed());
        println!("figure sim_violations {} seeds", violations.len());
        violations.iter().for_each(|&seed| shrink::tell(options(seed)));
        assert!(violations.is_empty(), "seeds that failed: {violations:?}");
        let missing = all.coverage.missing();
        assert!(missing.is_empty(), "never reached: {missing:?}");
    }

    /// A line each ten seconds, whichever thread comes first.
    fn progress(&self, elapsed: Duration, operations: u64, seed: u64, told: &AtomicU64) {
        let line = elapsed.as_secs() / 10;
        if told.fetch_max(line, Relaxed) < line {
            println!(
                "sim: {operations} of {} operations, seed {seed}, {} s",
                self.operations,
                elapsed.as_secs()
            );
        }
    }
}

/// The figures of what ran.
pub(crate) fn tell(report: &Report, time: Duration) {
    let Report { steps, submitted, records, processes, crashes, faults, .. } = report;
    let rate = u128::from(*submitted) * 1000 / time.as_millis().max(1);
    let figures = [
        ("operations", u128::from(*submitted), "operations"),
        ("operations_posted", u128::from(report.coverage.posted()), "operations"),
        ("records", u128::from(*records), "records"),
        ("steps", u128::from(*steps), "steps"),
        ("faults", u128::from(*faults), "faults"),
        ("crashes", u128::from(*crashes), "crash-recover_cycles"),
        ("processes", u128::from(*processes), "processes"),
        ("time", time.as_secs().into(), "s"),
        ("rate", rate, "operations/s"),
    ];
    for (name, value, unit) in figures {
        println!("figure sim_{name} {value} {unit}");
    }
}

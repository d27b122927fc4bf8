//! Live payments: an open-model source, whose latencies count from the moment at which each was due.
//!
//! Owns the pace. Each payment is sent once; one that the end of the server cut is kept, to be settled by its sender.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::client::Client;

/// Of the threads that pay, as in the load harness.
const NICENESS: i32 = -10;

/// Payments at a fixed rate over several connections.
pub(crate) struct Till<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) per_second: u32,
    /// Connections; each has payers of its own, so that payments of one payer follow one another.
    pub(crate) connections: usize,
    /// A connection's next payment; `None` when it has none left.
    pub(crate) payment: &'a (dyn Fn(usize) -> Option<String> + Sync),
}

/// What came of some payments.
#[derive(Default)]
pub(crate) struct Window {
    pub(crate) latencies: Vec<Duration>,
    /// Bodies that were not answered.
    pub(crate) cut: Vec<String>,
}

impl Window {
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.cut.extend(other.cut);
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied().unwrap_or_default()
    }

    /// A row for people, on standard error.
    pub(crate) fn tell(&self, name: &str) {
        let row = [50, 90, 99, 100].map(|percent| self.percentile(percent));
        eprintln!("  {name}: {} payments, p50, p90, p99, most: {row:?}", self.latencies.len());
    }
}

impl Till<'_> {
    /// Pays as long as `goes_on` says so; then waits for the answers.
    pub(crate) fn run(&self, goes_on: &(dyn Fn() -> bool + Sync)) -> Window {
        let (next, start) = (AtomicU32::new(0), Instant::now());
        let every = Duration::from_secs(1) / self.per_second;
        let work = |connection: usize| {
            // Payers do not wait for a core of the server's machine; where it is refused, they do.
            let _best_effort = rustix::process::setpriority_process(None, NICENESS);
            let (mut client, mut window) = (Client::new(self.address), Window::default());
            loop {
                let due = start + every * next.fetch_add(1, Relaxed);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let Some(body) = goes_on().then(|| (self.payment)(connection)).flatten() else {
                    return window;
                };
                match client.call("POST", "/v1/payments", &body) {
                    Ok((201, _)) => window.latencies.push(due.elapsed()),
                    Ok((status, answer)) => panic!("a payment is answered with {status} {answer}"),
                    Err(_) => window.cut.push(body),
                }
            }
        };
        thread::scope(|scope| {
            let work = &work;
            let clients: Vec<_> =
                (0..self.connections).map(|connection| scope.spawn(move || work(connection))).collect();
            let mut all = Window::default();
            for client in clients {
                all.add(client.join().expect("no client panics"));
            }
            all
        })
    }

    /// Pays for a time.
    pub(crate) fn run_for(&self, time: Duration) -> Window {
        let end = Instant::now() + time;
        self.run(&|| Instant::now() < end)
    }
}

/// The figures of payments with and without the work beside them.
pub(crate) fn print_ratio(name: &str, alone: &Window, beside: &Window) {
    alone.tell("alone");
    beside.tell("beside");
    for (label, window) in [("alone", alone), ("beside", beside)] {
        println!("figure {name}_payments_{label} {} payments", window.latencies.len());
        for percent in [50, 99] {
            let latency = window.percentile(percent).as_secs_f64() * 1e3;
            println!("figure {name}_payments_p{percent}_{label} {latency:.2} ms");
        }
    }
    let ratio = beside.percentile(99).as_secs_f64() / alone.percentile(99).as_secs_f64();
    println!("figure {name}_payments_p99_ratio {ratio:.2} times");
}

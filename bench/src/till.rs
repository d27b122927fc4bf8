//! Live payments: an open-model source, whose latencies count from the moment at which each was due.
//!
//! Owns the pace. Each payment is sent once; one that the end of the server cut is kept, to be settled by its sender.

use std::{
    net::SocketAddr,
    sync::{
        Barrier, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::client::Client;

/// Of the threads that pay, as in the load harness.
const NICENESS: i32 = -10;

/// Payments of a stretch.
const STRETCH: usize = 300;

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
    /// When each was due, and how long its answer took from then.
    answered: Vec<(Instant, Duration)>,
    /// Bodies that were not answered.
    pub(crate) cut: Vec<String>,
}

impl Window {
    pub(crate) fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.cut.extend(other.cut);
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        percentile(self.answered.iter().map(|&(_, latency)| latency), percent)
    }

    /// The median of the p99 of many short stretches: a stall of the machine's own is in one of them, where it is all of
    /// the p99 of the whole.
    fn p99_median(&self) -> Duration {
        let mut answered = self.answered.clone();
        answered.sort_unstable();
        let p99 =
            |stretch: &[(Instant, Duration)]| percentile(stretch.iter().map(|&(_, latency)| latency), 99);
        percentile(answered.chunks_exact(STRETCH).map(p99), 50)
    }

    /// A row for people, on standard error.
    pub(crate) fn tell(&self, name: &str) {
        let row = [50, 90, 99, 100].map(|percent| self.percentile(percent));
        eprintln!("  {name}: {} payments, p50, p90, p99, most: {row:?}", self.answered.len());
    }
}

fn percentile(latencies: impl Iterator<Item = Duration>, percent: usize) -> Duration {
    let mut sorted: Vec<Duration> = latencies.collect();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

impl Till<'_> {
    /// Pays as long as `goes_on` says so; then waits for the answers. Its connections are open before the first payment
    /// is due, as those of a settlement page are.
    pub(crate) fn run(&self, goes_on: &(dyn Fn() -> bool + Sync)) -> Window {
        let (next, opened, start) = (AtomicU32::new(0), Barrier::new(self.connections), OnceLock::new());
        let every = Duration::from_secs(1) / self.per_second;
        let work = |connection: usize| {
            // Payers do not wait for a core of the server's machine; where it is refused, they do.
            let _best_effort = rustix::process::setpriority_process(None, NICENESS);
            let (mut client, mut window) = (Client::new(self.address), Window::default());
            // A server that is just down is found by the payments.
            let _down = client.open();
            opened.wait();
            let start = *start.get_or_init(Instant::now);
            loop {
                let due = start + every * next.fetch_add(1, Relaxed);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let Some(body) = goes_on().then(|| (self.payment)(connection)).flatten() else {
                    return window;
                };
                match client.call("POST", "/v1/payments", &body) {
                    Ok((201, _)) => window.answered.push((due, due.elapsed())),
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
        println!("figure {name}_payments_{label} {} payments", window.answered.len());
        for percent in [50, 99] {
            let latency = window.percentile(percent).as_secs_f64() * 1e3;
            println!("figure {name}_payments_p{percent}_{label} {latency:.2} ms");
        }
    }
    let times = |alone: Duration, beside: Duration| beside.as_secs_f64() / alone.as_secs_f64();
    for (label, window) in [("alone", alone), ("beside", beside)] {
        let latency = window.p99_median().as_secs_f64() * 1e3;
        println!("figure {name}_payments_p99_median_{label} {latency:.2} ms");
    }
    let (whole, median) =
        (times(alone.percentile(99), beside.percentile(99)), times(alone.p99_median(), beside.p99_median()));
    println!("figure {name}_payments_p99_ratio {whole:.2} times");
    println!("figure {name}_payments_p99_median_ratio {median:.2} times");
}

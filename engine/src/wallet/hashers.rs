//! The threads that hash passwords.
//!
//! Owns three for each password that is hashed at the same time: one that takes the turn, and two at low priorities that
//! hash, since a hash is 25 ms of a core, and whoever pays with a token goes first. Never on a thread that serves anybody
//! else. They end with the wallet.
//!
//! The patient one runs on what nobody else wants, and gives its core up at once to whoever does: a thread that is only
//! *nice* keeps it to the end of its slice, some milliseconds for each of the threads that a payment passes through. But
//! where nothing is left over, patience never ends; so a hash that is not there in time is also begun by the other, which
//! has a share of its own, and the first of the two counts.
//!
//! Invariant: neither of the two shares a lock with a thread that serves others, as it may lose its core while it has it,
//! for as long as others want that. They speak to the thread of their turn alone, and that one, of ordinary priority, to
//! the rest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam::channel::{Receiver, Sender, bounded};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::sync::oneshot;

use crate::fatal::fatal;

type Task = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&Pair) + Send>;

/// The way to the threads.
pub(super) struct Hashers(Sender<Job>);

/// The two threads of a turn that hash.
struct Pair {
    patient: Sender<Task>,
    entitled: Sender<Task>,
}

impl Hashers {
    pub(super) fn new(turns: usize) -> Self {
        let (jobs, queue) = bounded::<Job>(turns);
        for _ in 0..turns {
            let queue = queue.clone();
            let pair = Pair::start();
            spawn("password", move || {
                while let Ok(job) = queue.recv() {
                    job(&pair);
                }
            });
        }
        Self(jobs)
    }

    /// Does some work on one of the threads, or on two; `None` if there is no room for it, or it has panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> Option<T> {
        let (answer, outcome) = oneshot::channel();
        let job = move |pair: &Pair| {
            if let Some(done) = pair.first_of_two(work) {
                // Whoever asked may be gone.
                let _gone = answer.send(done);
            }
        };
        self.0.try_send(Box::new(job)).ok()?;
        outcome.await.ok()
    }
}

impl Pair {
    /// Of a core that others want too, the entitled thread gets about a tenth: a flood of payments does not stop passwords.
    const NICENESS: i32 = 10;

    /// How long a hash may wait for what is left over: some ten times what it takes on a free core.
    const PATIENCE: Duration = Duration::from_millis(250);

    fn start() -> Self {
        // Of these threads alone. Where it is refused, all have the same priority.
        let patient = worker("password-idle", || {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            let _best_effort = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
        });
        let entitled = worker("password-late", || {
            let _best_effort = rustix::process::setpriority_process(None, Self::NICENESS);
        });
        Self { patient, entitled }
    }

    /// What the patient thread makes of some work, or, if that takes long, whichever is done first.
    fn first_of_two<T: Send + 'static>(&self, work: impl Fn() -> T + Send + Sync + 'static) -> Option<T> {
        let (work, over) = (Arc::new(work), Arc::new(AtomicBool::new(false)));
        let (done, outcomes) = bounded(2);
        let task = || -> Task {
            let (work, over, done) = (Arc::clone(&work), Arc::clone(&over), done.clone());
            Box::new(move || {
                // The other may have done it while this one had no core.
                if !over.load(Ordering::Relaxed) {
                    let _late = done.try_send(work());
                }
            })
        };
        // It has no room while it is at one that the other has done meanwhile, with another one behind that.
        let asked = self.patient.try_send(task()).is_ok();
        let waited = if asked { outcomes.recv_timeout(Self::PATIENCE).ok() } else { None };
        if waited.is_none() {
            let _panicked_before = self.entitled.send(task());
        }
        // What is left of them are the threads', so that a panic of theirs is an end.
        drop(done);
        let first = waited.or_else(|| outcomes.recv().ok());
        over.store(true, Ordering::Relaxed);
        first
    }
}

/// A thread that does one task after the other, and the way to it.
fn worker(name: &str, prepare: impl FnOnce() + Send + 'static) -> Sender<Task> {
    let (tasks, queue): (Sender<Task>, Receiver<Task>) = bounded(1);
    spawn(name, move || {
        prepare();
        while let Ok(task) = queue.recv() {
            task();
        }
    });
    tasks
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(work) {
        fatal(&format_args!("no thread for passwords: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_one_thread_does_not_come_to_the_other_does() {
        let hashers = Hashers::new(1);
        for round in 0..3 {
            let tries = Arc::new(std::sync::atomic::AtomicU32::new(0));
            let (first_goes_on, stopped) = bounded::<()>(0);
            let counted = Arc::clone(&tries);
            // The first to try waits until all is over.
            let work = move || match counted.fetch_add(1, Ordering::SeqCst) {
                0 => stopped.recv().map_or(1, |()| 1),
                _ => 2,
            };
            assert_eq!(hashers.run(work).await, Some(2), "{round}");
            assert_eq!(tries.load(Ordering::SeqCst), 2, "{round}");
            drop(first_goes_on);
            assert_eq!(hashers.run(|| 3).await, Some(3), "{round}");
        }
    }
}

//! The threads that hash passwords.
//!
//! Owns two for each password that is hashed at the same time, at low priorities: a hash is 25 ms of a core, and whoever
//! pays with a token goes first. Never on a thread that serves anybody else. They end with the wallet.
//!
//! A patient thread runs on what nobody else wants, and gives its core up at once to whoever does: a thread that is only
//! *nice* keeps it to the end of its slice, some milliseconds for each of the threads that a payment passes through.
//! But where nothing is left over, patience never ends; so a hash that is not there in time is also begun by a thread
//! with a share of its own, and the first of the two counts.

use std::{sync::Arc, time::Duration};

use crossbeam::channel::{Receiver, Sender, bounded};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::sync::mpsc;

use crate::fatal::fatal;

type Job = Box<dyn FnOnce() + Send>;

/// The way to the threads.
pub(super) struct Hashers {
    patient: Sender<Job>,
    entitled: Sender<Job>,
}

impl Hashers {
    /// Of a core that others want too, an entitled thread gets about a tenth: a flood of payments does not stop passwords.
    const NICENESS: i32 = 10;

    /// How long a hash may wait for what is left over: some ten times what it takes on a free core.
    const PATIENCE: Duration = Duration::from_millis(250);

    pub(super) fn new(threads: usize) -> Self {
        // Of these threads alone. Where it is refused, all have the same priority.
        let patient = start(threads, "password", || {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            let _best_effort = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
        });
        let entitled = start(threads, "password-late", || {
            let _best_effort = rustix::process::setpriority_process(None, Self::NICENESS);
        });
        Self { patient, entitled }
    }

    /// Does some work on one of the threads, or on two; `None` if there is no room for it, or it has panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> Option<T> {
        let work = Arc::new(work);
        let (done, mut outcomes) = mpsc::channel(2);
        let job = || {
            let (work, done) = (Arc::clone(&work), done.clone());
            let job: Job = Box::new(move || {
                // Whoever asked may be gone, or served by the other thread.
                if !done.is_closed() {
                    let _gone = done.try_send(work());
                }
            });
            job
        };
        if self.patient.try_send(job()).is_ok()
            && let Ok(outcome) = tokio::time::timeout(Self::PATIENCE, outcomes.recv()).await
        {
            return outcome;
        }
        // No room: what is in it is late as well, and the patient thread may yet come to this one.
        let _full = self.entitled.try_send(job());
        drop(done);
        outcomes.recv().await
    }
}

/// So many threads, and the way to them.
fn start(threads: usize, name: &str, prepare: impl Fn() + Copy + Send + 'static) -> Sender<Job> {
    // A turn's job, and one of an earlier turn, whose outcome another thread had first: it is passed over.
    let (jobs, queue) = bounded(2 * threads);
    for _ in 0..threads {
        let queue = queue.clone();
        let thread = std::thread::Builder::new().name(name.to_owned());
        let spawned = thread.spawn(move || {
            prepare();
            work(&queue);
        });
        if let Err(error) = spawned {
            fatal(&format_args!("no thread for passwords: {error}"));
        }
    }
    jobs
}

fn work(queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        job();
    }
}

//! The threads that hash passwords.
//!
//! Owns as many of them as there are passwords hashed at the same time, at a low priority: a hash is 25 ms of a core, and
//! whoever pays with a token goes first. Never on a thread that serves anybody else. They end with the wallet.

use crossbeam::channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;

use crate::fatal::fatal;

type Job = Box<dyn FnOnce() + Send>;

/// The way to the threads.
pub(super) struct Hashers(Sender<Job>);

impl Hashers {
    /// Of a core that others want too, a hash still gets about a tenth: a flood of payments does not stop passwords.
    const NICENESS: i32 = 10;

    pub(super) fn new(threads: usize) -> Self {
        let (jobs, queue) = bounded(threads);
        for _ in 0..threads {
            let queue = queue.clone();
            let thread = std::thread::Builder::new().name("password".to_owned());
            if let Err(error) = thread.spawn(move || Self::work(&queue)) {
                fatal(&format_args!("no thread for passwords: {error}"));
            }
        }
        Self(jobs)
    }

    fn work(queue: &Receiver<Job>) {
        // Of this thread alone. Where it is refused, all have the same priority.
        let _best_effort = rustix::process::setpriority_process(None, Self::NICENESS);
        while let Ok(job) = queue.recv() {
            job();
        }
    }

    /// Does some work on one of the threads; `None` if there is no room for it, or it has panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, outcome) = oneshot::channel();
        let job = move || {
            // Whoever asked may be gone.
            let _gone = done.send(work());
        };
        self.0.try_send(Box::new(job)).ok()?;
        outcome.await.ok()
    }
}

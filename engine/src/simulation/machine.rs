//! A whole engine without threads, for tests that call it as its users do: calls are futures that this steps to their
//! end, or to the death of the process in their midst.
//!
//! Owns one process after another on one data directory: the clock, the journal's image, the queues between the state
//! machines. Never looks at what is asked or answered: the test judges. Invariant: all that happens follows from the
//! seed, the calls and their order.

mod process;

use std::{
    future::poll_fn,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use process::Process;

use super::{RUNS, random::Random};
use crate::{
    clock::Clock,
    config::Config,
    engine::Engine,
    index::IndexOptions,
    journal::{
        JournalOptions,
        faulty::{DurableImage, Fault, FaultyJournal},
    },
    model::Timestamp,
    recovery,
};

/// Steps between two turns of what the runtime runs beside the calls.
const STEPS_PER_TURN: usize = 32;
/// Steps that no call needs: one that needs more is stuck in a circle.
const STEPS_MAX: usize = 1_000_000;

/// Turns in which nothing could be done before time is let pass, and before a call counts as stuck.
const YIELDS_MAX: usize = 4;
const IDLE_MAX: usize = 100_000;

/// How a process ends in the midst of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It is killed after so many steps.
    Killed(usize),
    /// The journal fails after so many groups, and the process stops at once.
    Journal(usize, Fault),
}

/// One engine after another on one directory.
pub struct Machine {
    config: Config,
    index_options: IndexOptions,
    random: Random,
    clock: Arc<Clock>,
    process: Option<Process>,
    /// What a process that is gone has left.
    image: Option<DurableImage>,
}

struct Woken {
    flag: AtomicBool,
    runtime: Waker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::Relaxed);
        self.runtime.wake_by_ref();
    }
}

/// A call on its way.
enum Call<T> {
    New(Pin<Box<dyn Future<Output = T>>>),
    Begun(Pin<Box<dyn Future<Output = T>>>, Arc<Woken>),
    Done(Option<T>),
}

impl Machine {
    /// Starts a first engine on an empty directory.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn new(data: &Path, seed: u64, shards: u16, segment_records: u32, now: Timestamp) -> Self {
        RUNS.set(true);
        let mut config = Config::new(data);
        config.shards = shards;
        // Never full, and quickly made: each process makes them.
        for most in [
            &mut config.mailbox_commands_max,
            &mut config.recharge_commands_max,
            &mut config.batch_commands_max,
        ] {
            *most = 256;
        }
        let index_options = IndexOptions {
            segment_records_max: segment_records,
            block_cache_bytes: 1 << 20,
            write_buffer_bytes: 1 << 20,
            ..IndexOptions::default()
        };
        let clock = Arc::new(Clock::stopped(now));
        let image = Some(FaultyJournal::new().crash());
        let mut machine =
            Self { config, index_options, random: Random::new(seed), clock, process: None, image };
        machine.restart(shards);
        machine
    }

    /// The running engine. A clone of it must be gone when the next one starts.
    ///
    /// # Panics
    /// After a death, before the restart.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.process.as_ref().expect("a process runs").engine.clone()
    }

    /// Puts the clock to a time, and lets what runs out until then expire.
    ///
    /// # Panics
    /// After a death, before the restart.
    pub fn set_now(&mut self, now: Timestamp) {
        self.clock.set(now);
        let process = self.process.as_mut().expect("a process runs");
        loop {
            let more = process.tick(now);
            while process.step(&mut self.random, now).expect("no fault was asked for") {}
            if !more {
                break;
            }
        }
    }

    /// The process is killed if it is not dead yet, and another one starts on what is left.
    ///
    /// # Panics
    /// If what is left is refused.
    pub fn restart(&mut self, shards: u16) {
        if let Some(process) = self.process.take() {
            self.image = Some(process.crash());
        }
        self.config.shards = shards;
        let image = self.image.take().expect("a process leaves an image");
        let lock = recovery::lock(&self.config).expect("the engines before are gone");
        // What is older than the last segment was walked by the processes before.
        let options = JournalOptions { full_check_bytes_max: 0, ..JournalOptions::default() };
        let opened = recovery::open(&self.config, &self.index_options, |index| {
            FaultyJournal::reopen_with(image, &options, index)
        });
        let (mut shared, mut assembled) = opened.expect("a sound directory is opened");
        shared.clock = Arc::clone(&self.clock);
        let settled = recovery::settle_overdue(&shared, &mut assembled, self.clock.now());
        settled.expect("no fault was asked for");
        self.process = Some(Process::new(&self.config, shared, assembled, lock));
    }

    /// Steps calls to their answers, in the order given; `None` if the process died before all were there. Then only
    /// [`Machine::restart`] goes on. To be run on a runtime of the process's own, with one thread and a paused clock.
    ///
    /// # Panics
    /// If the calls never end.
    pub async fn drive<T>(
        &mut self,
        calls: Vec<Pin<Box<dyn Future<Output = T>>>>,
        death: Option<Death>,
    ) -> Option<Vec<T>> {
        let now = self.clock.now();
        let process = self.process.as_mut().expect("a process runs");
        let mut drive =
            Drive { calls: calls.into_iter().map(Call::New).collect(), death, steps: 0, groups: 0 };
        let mut idle = 0;
        let alive = loop {
            let turn = poll_fn(|context| Poll::Ready(drive.turn(process, &mut self.random, now, context)));
            match turn.await {
                Turn::Ended => break true,
                Turn::Died => break false,
                Turn::Busy => {
                    idle = 0;
                    tokio::task::yield_now().await;
                }
                // Somebody waits for a task of the runtime, or for a time-out.
                Turn::Idle => {
                    idle += 1;
                    assert!(idle < IDLE_MAX, "the calls never end");
                    if idle < YIELDS_MAX {
                        tokio::task::yield_now().await;
                    } else {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        };
        if alive {
            return Some(drive.calls.into_iter().filter_map(Call::into_answer).collect());
        }
        drop(drive);
        self.image = self.process.take().map(Process::crash);
        None
    }
}

/// Calls on their way together.
struct Drive<T> {
    calls: Vec<Call<T>>,
    death: Option<Death>,
    steps: usize,
    groups: usize,
}

enum Turn {
    /// All calls have their answers.
    Ended,
    Died,
    Busy,
    /// Nothing can be done before the runtime has done something.
    Idle,
}

impl<T> Drive<T> {
    fn turn(
        &mut self,
        process: &mut Process,
        random: &mut Random,
        now: Timestamp,
        context: &Context<'_>,
    ) -> Turn {
        for _ in 0..STEPS_PER_TURN {
            if self.calls.iter().all(|call| matches!(call, Call::Done(_))) {
                return Turn::Ended;
            }
            self.steps += 1;
            assert!(self.steps < STEPS_MAX, "the calls never end");
            if self.death == Some(Death::Killed(self.steps)) {
                return Turn::Died;
            }
            if let Some(Death::Journal(after, fault)) = self.death
                && process.can_commit()
                && self.groups == after
            {
                process.committer.journal().fail_next(fault);
            }
            // A call now and then before the machine, and at the latest when that has nothing to do.
            if random.once_in(3) && poll_one(&mut self.calls, random, context) {
                continue;
            }
            let could_commit = process.can_commit();
            let Ok(stepped) = process.step(random, now) else { return Turn::Died };
            self.groups += usize::from(could_commit && !process.can_commit());
            if !stepped && !poll_one(&mut self.calls, random, context) {
                return Turn::Idle;
            }
        }
        Turn::Busy
    }
}

impl<T> Call<T> {
    fn into_answer(self) -> Option<T> {
        match self {
            Self::Done(answer) => answer,
            Self::New(_) | Self::Begun(..) => None,
        }
    }

    fn is_woken(&self) -> bool {
        match self {
            Self::New(_) => true,
            Self::Begun(_, woken) => woken.flag.load(Ordering::Relaxed),
            Self::Done(_) => false,
        }
    }
}

/// Polls one of the calls that were woken.
fn poll_one<T>(calls: &mut [Call<T>], random: &mut Random, context: &Context<'_>) -> bool {
    let woken = |(_, call): &(usize, &Call<T>)| call.is_woken();
    let woken: Vec<usize> = calls.iter().enumerate().filter(woken).map(|(index, _)| index).collect();
    if woken.is_empty() {
        return false;
    }
    let call = &mut calls[*random.pick(&woken)];
    let (mut future, woken) = match std::mem::replace(call, Call::Done(None)) {
        Call::New(future) => {
            let (flag, runtime) = (AtomicBool::new(true), context.waker().clone());
            (future, Arc::new(Woken { flag, runtime }))
        }
        Call::Begun(future, woken) => (future, woken),
        Call::Done(_) => return false,
    };
    woken.flag.store(false, Ordering::Relaxed);
    let waker = Waker::from(Arc::clone(&woken));
    *call = match future.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(answer) => Call::Done(Some(answer)),
        Poll::Pending => Call::Begun(future, woken),
    };
    true
}

//! The threads that drive the state machines in production: shards, committer, follower, sealer, retainer, timekeeper.
//!
//! Owns the channels between them. Never decides anything. Invariants: one queue leads to the one committer, and what a
//! shard sends leaves in the order of [`crate::shard::Flushed::outgoing`], its batch before its messages; a thread that
//! panics or meets an error of the journal or the index ends the process.

mod retainer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam::{
    atomic::AtomicCell,
    channel::{Receiver, RecvError, Select, Sender, bounded, select_biased, unbounded},
};
use tokio::sync::oneshot;

use crate::{
    clock::{Adjustment, Clock},
    committer::{Committer, GroupLimits},
    config::Config,
    directory::Directory,
    fatal::{AbortOnPanic, fatal},
    front::{Front, State},
    index::{Follower, Frozen, Index, Sealed, Sealer, TrialBalance},
    journal::{Checkpoint, Group, Journal, Trim},
    metrics::Counters,
    model::{Assets, TransactionId},
    retention::Retention,
    shard::{
        Batch, Input, Outgoing, Shard, ShardNo,
        mailbox::{Inbox, Mailbox, mailbox},
    },
    storage::Watch,
};

/// Batches that may wait for the committer: a shard that is further ahead waits, and its mailbox fills.
const BATCHES_WAITING_MAX: usize = 64;
/// Groups that may wait for the index; its lag in records is bounded by the front.
const GROUPS_WAITING_MAX: usize = 4_096;
/// Questions that may wait for the index's thread; more are refused.
const QUESTIONS_WAITING_MAX: usize = 64;
/// Commands that a shard takes from its mailbox before it looks at what the journal has synced.
const COMMANDS_PER_TURN: usize = 128;

/// What reaches a shard beside its mailbox, before it.
pub(crate) enum Control {
    Input(Input),
    /// Nothing will follow: end.
    Stop,
}

/// What the committer's thread takes.
pub(crate) enum Commit {
    Records(Batch),
    /// Delete the beginning.
    Trim(Trim),
}

/// What the follower's thread takes.
pub(crate) enum Follow {
    Group(Group),
    /// No group will follow: end.
    Stop,
}

/// What all threads share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) state: Arc<State>,
    pub(crate) clock: Arc<Clock>,
    /// The index's newest checkpoint.
    pub(crate) sealed: Arc<AtomicCell<Checkpoint>>,
}

impl Shared {
    /// What callers' threads work with.
    pub(crate) fn front(&self, assets: Assets, index: Arc<Index>, mailboxes: Vec<Mailbox>) -> Front {
        Front {
            config: Config::clone(&self.config),
            assets: Arc::new(assets),
            directory: Arc::clone(&self.directory),
            index,
            counters: Arc::clone(&self.counters),
            mailboxes,
            state: Arc::clone(&self.state),
        }
    }
}

/// The running threads and the ways to them.
pub(crate) struct Threads {
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) questions: Sender<oneshot::Sender<TrialBalance>>,
    controls: Vec<Sender<Control>>,
    handles: Vec<JoinHandle<()>>,
    /// Those that end when they are told, and not when their input does.
    stop: Arc<AtomicBool>,
    stopped: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start<J: Journal>(
        shared: &Shared,
        shards: Vec<Shard>,
        committer: Committer<J>,
        follower: Follower,
        sealer: Sealer,
        retention: Option<(Retention, Arc<Index>)>,
    ) -> Self {
        let (controls, control_ends): (Vec<_>, Vec<_>) =
            shards.iter().map(|_| unbounded::<Control>()).unzip();
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = shards.iter().map(|_| mailbox(&shared.config)).unzip();
        let (to_committer, batches) = bounded::<Commit>(BATCHES_WAITING_MAX);
        let (follow, groups) = bounded::<Follow>(GROUPS_WAITING_MAX);
        let (questions, asked) = bounded(QUESTIONS_WAITING_MAX);
        // One segment waits while another one is sealed; the follower waits with a third one.
        let (to_sealer, frozen) = bounded::<Frozen>(1);
        let mut handles = Vec::new();
        for ((shard, control), inbox) in shards.into_iter().zip(control_ends).zip(inboxes) {
            let thread = ShardThread {
                shard,
                control,
                inbox,
                peers: controls.clone(),
                committer: to_committer.clone(),
                shared: shared.clone(),
            };
            handles.push(spawn("shard", move || thread.run()));
        }
        let (own, peers, to_follower) = (shared.clone(), controls.clone(), follow);
        handles.push(spawn("committer", move || commit(&own, committer, &batches, &peers, &to_follower)));
        handles.push(spawn("index", move || follow_journal(follower, &groups, &asked, &to_sealer)));
        let (own, peers) = (shared.clone(), controls.clone());
        handles.push(spawn("sealer", move || seal(&own, sealer, &frozen, &peers)));
        let stop = Arc::new(AtomicBool::new(false));
        let (own, stopped) = (shared.clone(), Arc::clone(&stop));
        let mut stopping = vec![spawn("timekeeper", move || keep_time(&own, &stopped))];
        if let Some((retention, index)) = retention {
            let (own, stopped) = (shared.clone(), Arc::clone(&stop));
            let retain = move || retainer::retain(&own, retention, &index, &to_committer, &stopped);
            stopping.push(spawn("retainer", retain));
        }
        Self { mailboxes, questions, controls, handles, stop, stopped: stopping }
    }

    /// Ends the threads once nothing is in flight: shards first, and each next one when its input has ended.
    pub(crate) fn stop(self) {
        for control in &self.controls {
            // A thread that is gone needs no word.
            let _ = control.send(Control::Stop);
        }
        drop((self.controls, self.mailboxes, self.questions));
        self.stop.store(true, Ordering::Relaxed);
        for handle in &self.stopped {
            handle.thread().unpark();
        }
        for handle in self.handles.into_iter().chain(self.stopped) {
            // A panic has aborted the process.
            let _ = handle.join();
        }
    }
}

fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let guarded = move || {
        let _abort = AbortOnPanic(name);
        run();
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(guarded)
        .unwrap_or_else(|error| fatal(&format_args!("no {name} thread: {error}")))
}

struct ShardThread {
    shard: Shard,
    control: Receiver<Control>,
    inbox: Inbox,
    peers: Vec<Sender<Control>>,
    committer: Sender<Commit>,
    shared: Shared,
}

impl ShardThread {
    fn run(mut self) {
        let interval = Duration::from_millis(self.shared.config.expiry_interval_ms);
        let mut ticked = Instant::now();
        loop {
            let Some(busy) = self.turn() else { return };
            if ticked.elapsed() >= interval {
                ticked = Instant::now();
                if !self.shared.clock.is_paused() {
                    self.shard.tick(self.shared.clock.now());
                }
            }
            self.flush();
            if !busy && !self.sleep(interval) {
                return;
            }
        }
    }

    /// Takes what is there; `None` at the end.
    fn turn(&mut self) -> Option<bool> {
        let now = self.shared.clock.now();
        let mut busy = false;
        while let Ok(control) = self.control.try_recv() {
            busy = true;
            match control {
                Control::Input(input) => self.shard.step(input, now),
                Control::Stop => return None,
            }
        }
        for _ in 0..COMMANDS_PER_TURN {
            let Some(input) = self.inbox.take() else { break };
            busy = true;
            self.shard.step(input, now);
            if self.shard.batch_records() >= self.shared.config.group_records_max / 2
                || self.shard.batch_bytes() >= self.shared.config.group_bytes_max / 2
            {
                break;
            }
        }
        Some(busy)
    }

    fn flush(&mut self) {
        for outgoing in self.shard.flush().outgoing() {
            match outgoing {
                // The committer outlives the shards.
                Outgoing::Batch(batch) => drop(self.committer.send(Commit::Records(batch))),
                Outgoing::Message(ShardNo(peer), input) => {
                    if let Some(peer) = self.peers.get(usize::from(peer)) {
                        // A peer that has stopped had nothing in flight.
                        let _ = peer.send(Control::Input(input));
                    }
                }
            }
        }
    }

    /// Waits for the next input, or the next look at the clock; `false` at the end.
    fn sleep(&mut self, most: Duration) -> bool {
        let input = select_biased! {
            recv(self.control) -> control => match control {
                Ok(Control::Input(input)) => Ok(input),
                Ok(Control::Stop) | Err(_) => return false,
            },
            recv(self.inbox.checkout) -> input => input,
            recv(self.inbox.recharge) -> input => input,
            recv(self.inbox.batch) -> input => input,
            default(most) => return true,
        };
        match input {
            Ok(input) => self.shard.step(input, self.shared.clock.now()),
            // The engine is gone; what is in flight still has to land.
            Err(_) => std::thread::sleep(most),
        }
        true
    }
}

fn commit<J: Journal>(
    shared: &Shared,
    mut committer: Committer<J>,
    queue: &Receiver<Commit>,
    shards: &[Sender<Control>],
    follow: &Sender<Follow>,
) {
    let limits = GroupLimits {
        records_max: shared.config.group_records_max,
        bytes_max: shared.config.group_bytes_max,
    };
    while let Ok(first) = parked(queue) {
        let (mut waiting, mut trim) = (Vec::new(), None);
        let mut next = Some(first);
        while let Some(commit) = next {
            match commit {
                Commit::Records(batch) => waiting.push(batch),
                Commit::Trim(asked) => trim = Some(asked),
            }
            let enough = trim.is_some() || limits.is_full(&waiting);
            next = if enough { None } else { queue.try_recv().ok() };
        }
        if !waiting.is_empty() {
            commit_group(shared, &mut committer, waiting, shards, follow);
        }
        if let Some(trim) = trim {
            committer.trim(trim, shared.sealed.load()).unwrap_or_else(|error| fatal(&error));
        }
    }
    // The index outlives the journal.
    let _ = follow.send(Follow::Stop);
}

fn commit_group<J: Journal>(
    shared: &Shared,
    committer: &mut Committer<J>,
    waiting: Vec<Batch>,
    shards: &[Sender<Control>],
    follow: &Sender<Follow>,
) {
    let started = Instant::now();
    let committed = committer
        .step(waiting, shared.clock.now(), shared.sealed.load())
        .unwrap_or_else(|error| fatal(&error));
    let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    shared.counters.group(committed.group.count, committed.group.records.len(), nanos);
    // First the position, then the answers: who has an answer waits for at least its position.
    shared.state.synced_to(committer.head());
    for (shard, notice) in committed.notices {
        shared.directory.notified(shard, notice.end);
        if let Some(shard) = shards.get(shard.index()) {
            // A shard that has stopped had nothing in flight.
            let _ = shard.send(Control::Input(Input::Synced(notice)));
        }
    }
    if follow.send(Follow::Group(committed.group)).is_err() {
        fatal(&"the index has stopped before the journal");
    }
}

/// The next message, waited for by parking at once.
///
/// `Receiver::recv` yields its core some times first. Who yields to a thread of the lowest priority, such as one that
/// hashes passwords, has its core back with the next tick of the kernel, some milliseconds later, although a message has
/// come meanwhile; who is parked is woken and goes before it.
fn parked<T>(queue: &Receiver<T>) -> Result<T, RecvError> {
    // The macro makes a `recv` of a single one.
    let mut select = Select::new();
    select.recv(queue);
    select.select().recv(queue)
}

fn follow_journal(
    mut follower: Follower,
    groups: &Receiver<Follow>,
    questions: &Receiver<oneshot::Sender<TrialBalance>>,
    sealer: &Sender<Frozen>,
) {
    loop {
        let next = select_biased! {
            recv(groups) -> next => next,
            recv(questions) -> reply => {
                if let Ok(reply) = reply {
                    // A reader that went away needs no answer.
                    let _ = reply.send(follower.trial_balance());
                    continue;
                }
                // The engine is gone; what is in flight still has to be followed.
                parked(groups)
            }
        };
        match next {
            Ok(Follow::Group(group)) => {
                let frozen = follower.step(Arc::new(group)).unwrap_or_else(|error| fatal(&error));
                if let Some(frozen) = frozen
                    && sealer.send(frozen).is_err()
                {
                    fatal(&"the sealer has stopped before the index");
                }
            }
            Ok(Follow::Stop) | Err(_) => return,
        }
    }
}

fn seal(shared: &Shared, mut sealer: Sealer, segments: &Receiver<Frozen>, shards: &[Sender<Control>]) {
    let mut late = Vec::new();
    while let Ok(frozen) = parked(segments) {
        let sealed = sealer.seal(frozen).unwrap_or_else(|error| fatal(&error));
        forget_sealed(&shared.directory, &sealed, &mut late);
        shared.sealed.store(sealed.checkpoint());
        for shard in shards {
            // A shard that has stopped forgets everything anyway.
            let _ = shard.send(Control::Input(Input::Sealed(sealed.checkpoint().position)));
        }
    }
}

/// Drops what the index can now be asked for. An id whose answer is still on its way is tried again next time.
pub(crate) fn forget_sealed(directory: &Directory, sealed: &Sealed, late: &mut Vec<TransactionId>) {
    let again = std::mem::take(late);
    let ids = again.into_iter().chain(sealed.transaction_ids().map(|(id, _)| id));
    late.extend(ids.filter(|&id| !directory.transactions.forget(id)));
    for hold in sealed.holds_ended() {
        directory.holds.forget(hold.id);
    }
}

/// Once a second the clocks, and the room on the file system as often as it asks for.
fn keep_time(shared: &Shared, stop: &AtomicBool) {
    const SECOND: Duration = Duration::from_secs(1);
    let mut watch = Watch::default();
    let mut jumped = false;
    let mut adjusted: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        if adjusted.is_none_or(|adjusted| adjusted.elapsed() >= SECOND) {
            adjusted = Some(Instant::now());
            adjust_clock(shared, &mut jumped);
            watch.tick(shared);
        }
        std::thread::park_timeout(watch.look(shared));
    }
}

fn adjust_clock(shared: &Shared, jumped: &mut bool) {
    match shared.clock.adjust() {
        Adjustment::Followed => *jumped = false,
        Adjustment::Jumped(nanos) => {
            if !std::mem::replace(jumped, true) {
                shared.counters.clock_jumped();
                tracing::warn!(nanos, "the wall clock jumped; hold expiry pauses");
            }
        }
        Adjustment::Accepted(nanos) => {
            *jumped = false;
            tracing::warn!(nanos, "the wall clock's jump is taken as the truth; hold expiry resumes");
        }
    }
}

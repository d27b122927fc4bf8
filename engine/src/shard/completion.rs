use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use crossbeam::atomic::AtomicCell;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::{
    directory::{Directory, HoldPlace},
    metrics::Counters,
    model::{AccountNo, Command, HoldId, Position, Rejection, Timestamp, TransactionId},
    planted::{Bug, planted},
    view::{Outcome, Unavailable},
};

/// What a client's thread hears of its command.
pub(crate) enum Answer {
    Done(Outcome),
    Unavailable(Unavailable),
    /// What the command refers to was read before a shard forgot it: resolve it again.
    Stale(Box<Command>),
    /// A cell or an alias is another transaction's by now: make the transaction anew.
    Conflict,
}

/// Where an answer goes.
pub(crate) enum Reply {
    One(oneshot::Sender<Answer>),
    Many(Arc<BatchReply>, u32),
}

/// The answers of one batch of transactions.
pub(crate) struct BatchReply {
    answers: Box<[OnceLock<Answer>]>,
    missing: AtomicUsize,
    done: AtomicCell<Option<oneshot::Sender<()>>>,
}

impl BatchReply {
    /// `count` answers are awaited.
    pub(crate) fn new(count: usize) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (sender, done) = oneshot::channel();
        let reply = Self {
            answers: (0..count).map(|_| OnceLock::new()).collect(),
            missing: AtomicUsize::new(count),
            done: AtomicCell::new(Some(sender)),
        };
        (Arc::new(reply), done)
    }

    /// The answers, once `done` was heard and every other handle is gone or finished.
    pub(crate) fn take(self: Arc<Self>) -> Vec<Option<Answer>> {
        let mut shared = self;
        loop {
            match Arc::try_unwrap(shared) {
                Ok(mut reply) => return reply.answers.iter_mut().map(OnceLock::take).collect(),
                // The last answer's handle is still being dropped on its shard's thread: wait for that moment.
                Err(still) => shared = still,
            }
            std::thread::yield_now();
        }
    }

    fn set(&self, index: u32, answer: Answer) {
        if let Some(slot) = usize::try_from(index).ok().and_then(|index| self.answers.get(index)) {
            assert!(slot.set(answer).is_ok(), "a transaction of a batch is answered once");
        }
        self.skip();
    }

    /// One answer comes another way.
    pub(crate) fn skip(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(done) = self.done.take()
        {
            // A client that went away needs no answer.
            let _ = done.send(());
        }
    }
}

impl Reply {
    pub(crate) fn send(self, answer: Answer) {
        match self {
            // A client that went away needs no answer.
            Self::One(sender) => drop(sender.send(answer)),
            Self::Many(batch, index) => batch.set(index, answer),
        }
    }
}

/// What is to be undone or settled when a command ends: its claims, its accounts, its answer.
pub(crate) struct Completion {
    pub(crate) id: TransactionId,
    /// The hold ids that it has claimed.
    pub(crate) holds: SmallVec<[HoldId; 1]>,
    /// The aliases that it has claimed.
    pub(crate) aliases: Vec<TransactionId>,
    /// The accounts that count it among their commands in flight, each once.
    pub(crate) accounts: SmallVec<[AccountNo; 4]>,
    pub(crate) reply: Reply,
}

impl Completion {
    /// The record is on disk and everything that it touches shows it.
    pub(crate) fn done(
        self,
        directory: &Directory,
        counters: &Counters,
        placed: &[(HoldId, HoldPlace)],
        (verdict, decided_at): (Result<(), Rejection>, Timestamp),
        (position, at): (Position, Timestamp),
    ) {
        for &hold in &self.holds {
            match placed.iter().find(|(id, _)| *id == hold) {
                Some(&(_, place)) => directory.holds.settle(hold, place),
                None => directory.holds.abandon(hold, Ok(())),
            }
        }
        for &alias in &self.aliases {
            match verdict {
                Ok(()) => directory.transactions.settle(alias, position),
                Err(_) => directory.transactions.abandon(alias, Ok(())),
            }
        }
        directory.transactions.settle(self.id, position);
        if planted(Bug::IdsForgottenEarly) {
            directory.transactions.forget(self.id);
        }
        self.leave(directory);
        counters.decided(verdict);
        let outcome = Outcome { id: self.id, position, at, decided_at, verdict, replayed: false };
        self.reply.send(Answer::Done(outcome));
        counters.left();
    }

    /// The command was not admitted; nothing of it happened.
    pub(crate) fn refuse(self, directory: &Directory, counters: &Counters, why: Unavailable) {
        self.withdraw(directory, Err(why));
        counters.unavailable();
        self.reply.send(Answer::Unavailable(why));
        counters.left();
    }

    /// Its caller's deadline has passed; nothing of it happened. Copies of it have deadlines of their own, or none: they
    /// go on.
    pub(crate) fn late(self, directory: &Directory, counters: &Counters) {
        self.withdraw(directory, Ok(()));
        counters.unavailable();
        self.reply.send(Answer::Unavailable(Unavailable::Late));
        counters.left();
    }

    /// The command has to be resolved again.
    pub(crate) fn stale(self, directory: &Directory, counters: &Counters, command: Box<Command>) {
        self.withdraw(directory, Ok(()));
        self.reply.send(Answer::Stale(command));
        counters.left();
    }

    /// The command was made from what is not the newest any more; nothing of it happened.
    pub(crate) fn conflict(self, directory: &Directory, counters: &Counters) {
        self.withdraw(directory, Ok(()));
        self.reply.send(Answer::Conflict);
        counters.left();
    }

    fn withdraw(&self, directory: &Directory, why: Result<(), Unavailable>) {
        for &hold in &self.holds {
            directory.holds.abandon(hold, why);
        }
        for &alias in &self.aliases {
            directory.transactions.abandon(alias, why);
        }
        directory.transactions.abandon(self.id, why);
        self.leave(directory);
    }

    fn leave(&self, directory: &Directory) {
        for &account in &self.accounts {
            directory.entry(account).leave();
        }
    }
}

/// A record that touches several shards: the last one to show it settles it.
pub(crate) struct Landing {
    missing: AtomicU32,
    finish: AtomicCell<Option<Box<Finish>>>,
}

/// What [`Completion::done`] needs, kept until the last shard has landed.
pub(crate) struct Finish {
    pub(crate) completion: Completion,
    pub(crate) placed: SmallVec<[(HoldId, HoldPlace); 1]>,
    pub(crate) verdict: Result<(), Rejection>,
    pub(crate) decided_at: Timestamp,
}

impl Finish {
    pub(crate) fn run(self, directory: &Directory, counters: &Counters, place: (Position, Timestamp)) {
        self.completion.done(directory, counters, &self.placed, (self.verdict, self.decided_at), place);
    }
}

impl Landing {
    pub(crate) fn new(shards: u32, finish: Finish) -> Arc<Self> {
        Arc::new(Self { missing: AtomicU32::new(shards), finish: AtomicCell::new(Some(Box::new(finish))) })
    }

    /// One shard shows the record.
    pub(crate) fn arrive(&self, directory: &Directory, counters: &Counters, place: (Position, Timestamp)) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            let finish = self.finish.take().expect("a landing finishes once");
            finish.run(directory, counters, place);
        }
    }
}

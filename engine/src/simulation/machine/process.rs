//! One process of a [`super::Machine`]: the state machines, and the queues between them.
//!
//! Owns what threads own in production (`threads.rs`). Never decides anything. Invariant: whatever order of steps is taken
//! here could be taken by real threads.

use std::{collections::VecDeque, fs::File, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    committer::Committer,
    config::Config,
    engine::Engine,
    index::{Follower, Frozen, Sealer, TrialBalance},
    journal::{
        Group,
        faulty::{DurableImage, FaultyJournal},
    },
    model::{Position, Timestamp, TransactionId},
    recovery::Assembled,
    shard::{
        Batch, Input, Outgoing, Shard, ShardNo, Synced,
        mailbox::{Inbox, mailbox},
    },
    simulation::random::Random,
    threads::{Shared, forget_sealed},
};

pub(super) struct Process {
    pub(super) engine: Engine,
    shared: Shared,
    stations: Vec<Station>,
    batches: VecDeque<Batch>,
    pub(super) committer: Committer<FaultyJournal>,
    notices: VecDeque<Notice>,
    groups: VecDeque<Group>,
    follower: Follower,
    frozen: VecDeque<Frozen>,
    sealer: Sealer,
    sealed: VecDeque<(ShardNo, Position)>,
    late: Vec<TransactionId>,
    questions: crossbeam::channel::Receiver<oneshot::Sender<TrialBalance>>,
}

struct Station {
    shard: Shard,
    inbox: Inbox,
    control: VecDeque<Input>,
}

enum Notice {
    Shard(ShardNo, Synced),
    Group(Group),
}

impl Process {
    pub(super) fn new(
        config: &Config,
        shared: Shared,
        assembled: Assembled<FaultyJournal>,
        lock: File,
    ) -> Self {
        let Assembled { assets, index, shards, committer, follower, sealer } = assembled;
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = shards.iter().map(|_| mailbox(config)).unzip();
        let station = |(shard, inbox)| Station { shard, inbox, control: VecDeque::new() };
        let stations = shards.into_iter().zip(inboxes).map(station).collect();
        let front = shared.front(assets, index, mailboxes);
        let (asked, questions) = crossbeam::channel::bounded(1);
        let engine = Engine::stepped(front, Arc::clone(&shared.clock), asked, lock);
        Self {
            engine,
            shared,
            stations,
            batches: VecDeque::new(),
            committer,
            notices: VecDeque::new(),
            groups: VecDeque::new(),
            follower,
            frozen: VecDeque::new(),
            sealer,
            sealed: VecDeque::new(),
            late: Vec::new(),
            questions,
        }
    }

    pub(super) fn crash(self) -> DurableImage {
        self.committer.into_journal().crash()
    }

    pub(super) fn can_commit(&self) -> bool {
        self.notices.is_empty() && !self.batches.is_empty()
    }

    /// Lets what runs out until then expire; tells whether more is due.
    pub(super) fn tick(&mut self, now: Timestamp) -> bool {
        let ticks: Vec<bool> = self.stations.iter_mut().map(|station| station.shard.tick(now)).collect();
        ticks.contains(&true)
    }

    /// One step of some thread; `Ok(false)` if none has anything to do, `Err` if the process died of it.
    pub(super) fn step(&mut self, random: &mut Random, now: Timestamp) -> Result<bool, ()> {
        let kinds = 5 + 3 * self.stations.len();
        let first = random.below(kinds);
        for kind in (first..kinds).chain(0..first) {
            let done = match kind {
                0 => self.commit(1 + random.below(3), now)?,
                1 => self.notify(),
                2 => self.follow(),
                3 => self.seal() || self.notify_sealed(),
                4 => self.answer(),
                _ => self.step_shard((kind - 5) / 3, (kind - 5) % 3, now),
            };
            if done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn step_shard(&mut self, at: usize, what: usize, now: Timestamp) -> bool {
        let Station { shard, inbox, control } = &mut self.stations[at];
        let input = match what {
            0 => control.pop_front(),
            1 => inbox.take(),
            _ => return self.flush(at),
        };
        let Some(input) = input else { return false };
        shard.step(input, now);
        true
    }

    fn flush(&mut self, shard: usize) -> bool {
        let shard = &mut self.stations[shard].shard;
        if shard.batch_records() == 0 && shard.messages() == 0 {
            return false;
        }
        let outgoing: Vec<Outgoing> = shard.flush().outgoing().collect();
        for one in outgoing {
            match one {
                Outgoing::Batch(batch) => self.batches.push_back(batch),
                Outgoing::Message(to, input) => self.stations[to.index()].control.push_back(input),
            }
        }
        true
    }

    fn commit(&mut self, most: usize, now: Timestamp) -> Result<bool, ()> {
        if !self.can_commit() {
            return Ok(false);
        }
        let batches = self.batches.drain(..self.batches.len().min(most)).collect();
        let committed = self.committer.step(batches, now, self.shared.sealed.load()).map_err(|_| ())?;
        self.shared.state.synced_to(self.committer.head());
        for (shard, notice) in committed.notices {
            self.shared.directory.notified(shard, notice.end);
            self.notices.push_back(Notice::Shard(shard, notice));
        }
        self.notices.push_back(Notice::Group(committed.group));
        Ok(true)
    }

    fn notify(&mut self) -> bool {
        match self.notices.pop_front() {
            Some(Notice::Shard(shard, notice)) => {
                self.stations[shard.index()].control.push_back(Input::Synced(notice));
            }
            Some(Notice::Group(group)) => self.groups.push_back(group),
            None => return false,
        }
        true
    }

    fn follow(&mut self) -> bool {
        let Some(group) = self.groups.pop_front() else { return false };
        self.frozen.extend(self.follower.step(Arc::new(group)).expect("the index follows"));
        true
    }

    fn seal(&mut self) -> bool {
        if !self.sealed.is_empty() {
            return false;
        }
        let Some(frozen) = self.frozen.pop_front() else { return false };
        let sealed = self.sealer.seal(frozen).expect("the index seals");
        forget_sealed(&self.shared.directory, &sealed, &mut self.late);
        self.shared.sealed.store(sealed.checkpoint());
        let position = sealed.checkpoint().position;
        self.sealed.extend((0..).map(ShardNo).take(self.stations.len()).map(|shard| (shard, position)));
        true
    }

    fn notify_sealed(&mut self) -> bool {
        let Some((shard, position)) = self.sealed.pop_front() else { return false };
        self.stations[shard.index()].control.push_back(Input::Sealed(position));
        true
    }

    fn answer(&mut self) -> bool {
        let Ok(reply) = self.questions.try_recv() else { return false };
        // Who asked may be gone.
        let _ = reply.send(self.follower.trial_balance());
        true
    }
}

//! One process of the simulation: the production state machines, and the channels between them, step by step.
//!
//! Owns what threads own in production (`threads.rs`): who sends when. Each thread is a station that takes one input or
//! sends one message at a time; a station that has something to send does nothing else before. Never decides anything.
//! Invariant: whatever order of steps is taken here could be taken by real threads.

use std::{collections::VecDeque, sync::Arc};

use super::audit::{Auditor, Decided};
use crate::{
    committer::{Committed, Committer},
    config::Config,
    fatal::fatal,
    front::Front,
    index::{Follower, Frozen, Sealer},
    journal::{
        Group, JournalError, Record,
        faulty::{DurableImage, Fault, FaultyJournal},
    },
    model::{AccountNo, Cell, CellKind, Position, Timestamp, TransactionId},
    recovery::Assembled,
    retention::Retention,
    shard::{
        Batch, Envelope, Input, Outgoing, Shard, ShardNo, Synced,
        mailbox::{Inbox, mailbox},
    },
    threads::{Shared, forget_sealed},
};

/// Batches that may wait for the committer.
const BATCHES_WAITING_MAX: usize = 6;
/// Segments that may wait for the sealer.
const FROZEN_WAITING_MAX: usize = 2;

pub(super) struct World {
    pub(super) shared: Shared,
    pub(super) front: Arc<Front>,
    pub(super) stations: Vec<Station>,
    pub(super) batches: VecDeque<(Batch, Vec<Decided>)>,
    pub(super) committer: Committer<FaultyJournal>,
    notices: VecDeque<FromCommitter>,
    groups: VecDeque<Group>,
    pub(super) follower: Follower,
    frozen: VecDeque<Frozen>,
    sealer: Sealer,
    sealed: VecDeque<(ShardNo, Position)>,
    late: Vec<TransactionId>,
    pub(super) retention: Option<Retention>,
    /// The group whose append failed.
    failed: Option<Vec<Decided>>,
}

/// A shard's thread.
pub(super) struct Station {
    no: ShardNo,
    shard: Shard,
    inbox: Inbox,
    /// Of a message with several.
    commands: VecDeque<Box<Envelope>>,
    control: VecDeque<Input>,
    sending: VecDeque<FromShard>,
}

enum FromShard {
    Batch(Batch, Vec<Decided>),
    Message(ShardNo, Input),
}

enum FromCommitter {
    Notice(ShardNo, Synced),
    Group(Group),
}

/// What a process leaves when it ends.
pub(super) struct Remains {
    pub(super) image: DurableImage,
    pub(super) failed: Option<Vec<Decided>>,
}

impl World {
    pub(super) fn new(
        config: &Config,
        segment_records: u32,
        shared: Shared,
        assembled: Assembled<FaultyJournal>,
    ) -> Self {
        let Assembled { assets, index, shards, committer, follower, sealer } = assembled;
        let mut mailboxes = Vec::new();
        let station = |(no, shard): (u16, Shard)| {
            let (mailbox, inbox) = mailbox(config);
            mailboxes.push(mailbox);
            let (commands, control, sending) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
            Station { no: ShardNo(no), shard, inbox, commands, control, sending }
        };
        let retention = Self::retention(Retention::new(config, segment_records, &index));
        let stations = (0..).zip(shards).map(station).collect();
        let front = Arc::new(shared.front(assets, index, mailboxes));
        Self {
            shared,
            front,
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
            retention,
            failed: None,
        }
    }

    /// The next message from a client to a shard.
    pub(super) fn take_command(&mut self, shard: usize, now: Timestamp, auditor: &mut Auditor) -> bool {
        let station = &mut self.stations[shard];
        if !station.sending.is_empty() {
            return false;
        }
        let input = match station.commands.pop_front() {
            Some(envelope) => Input::Command(envelope),
            None => match station.inbox.take() {
                Some(Input::Commands(envelopes)) => {
                    station.commands.extend(envelopes);
                    return true;
                }
                Some(input) => input,
                None => return false,
            },
        };
        let is_command = matches!(input, Input::Command(_));
        let counters = &self.front.counters;
        let before = (counters.in_flight(), counters.snapshot().unavailable, station.shard.batch_records());
        station.step(input, now, auditor);
        let left = is_command && before.0 > counters.in_flight();
        if left && before.1 == counters.snapshot().unavailable && before.2 == station.shard.batch_records() {
            auditor.coverage.hit("stale");
        }
        true
    }

    /// The next message from another thread to a shard.
    pub(super) fn take_control(&mut self, shard: usize, now: Timestamp, auditor: &mut Auditor) -> bool {
        let station = &mut self.stations[shard];
        if !station.sending.is_empty() {
            return false;
        }
        let Some(input) = station.control.pop_front() else { return false };
        station.step(input, now, auditor);
        true
    }

    pub(super) fn tick(&mut self, shard: usize, now: Timestamp, auditor: &mut Auditor) -> bool {
        let station = &mut self.stations[shard];
        if !station.sending.is_empty() {
            return false;
        }
        let before = station.shard.batch_records();
        station.shard.tick(now);
        let expired = station.shard.batch_records() - before;
        auditor.views[shard].stepped(expired, 0);
        (0..expired).for_each(|_| auditor.coverage.hit("hold expired"));
        expired > 0
    }

    pub(super) fn flush(&mut self, shard: usize, auditor: &mut Auditor) -> bool {
        let station = &mut self.stations[shard];
        if !station.sending.is_empty()
            || (station.shard.batch_records() == 0 && station.shard.messages() == 0)
        {
            return false;
        }
        let flushed = station.shard.flush();
        let records = flushed.batch().map(|batch| decode(&batch.records)).unwrap_or_default();
        let mut decided = auditor.flushed(station.no, records, flushed.messages());
        station.sending.extend(flushed.outgoing().map(|outgoing| match outgoing {
            Outgoing::Batch(batch) => FromShard::Batch(batch, std::mem::take(&mut decided)),
            Outgoing::Message(to, input) => FromShard::Message(to, input),
        }));
        true
    }

    /// The next one of the things that a shard has to send.
    pub(super) fn send(&mut self, shard: usize) -> bool {
        let is_batch = matches!(self.stations[shard].sending.front(), Some(FromShard::Batch(..)));
        if is_batch && self.batches.len() >= BATCHES_WAITING_MAX {
            return false;
        }
        let next = self.stations[shard].sending.pop_front();
        let batch_waits = self.stations[shard].sending.iter().any(|it| matches!(it, FromShard::Batch(..)));
        match next {
            Some(FromShard::Batch(batch, decided)) => self.batches.push_back((batch, decided)),
            Some(FromShard::Message(to, input)) => {
                assert!(!batch_waits, "a message leaves after the batch that was decided with it is queued");
                self.stations[to.index()].control.push_back(input);
            }
            None => return false,
        }
        true
    }

    pub(super) fn can_commit(&self) -> bool {
        self.notices.is_empty() && !self.batches.is_empty()
    }

    /// Writes a group of at most so many batches.
    pub(super) fn commit(
        &mut self,
        most: usize,
        fault: Option<Fault>,
        now: Timestamp,
        auditor: &mut Auditor,
    ) -> Result<bool, JournalError> {
        if !self.can_commit() {
            return Ok(false);
        }
        if let Some(fault) = fault {
            self.committer.journal().fail_next(fault);
        }
        let count = self.batches.len().min(most);
        let (batches, decided): (Vec<_>, Vec<_>) = self.batches.drain(..count).unzip();
        let decided: Vec<Decided> = decided.into_iter().flatten().collect();
        match self.committer.step(batches, now, self.shared.sealed.load()) {
            Ok(Committed { group, notices }) => {
                auditor.committed(&group, Some(decided));
                self.shared.state.synced_to(self.committer.head());
                self.notices
                    .extend(notices.into_iter().map(|(shard, notice)| FromCommitter::Notice(shard, notice)));
                self.notices.push_back(FromCommitter::Group(group));
                Ok(true)
            }
            Err(error) => {
                self.failed = Some(decided);
                Err(error)
            }
        }
    }

    /// One of the committer's messages.
    pub(super) fn notify(&mut self) -> bool {
        match self.notices.pop_front() {
            Some(FromCommitter::Notice(shard, notice)) => {
                self.stations[shard.index()].control.push_back(Input::Synced(notice));
            }
            Some(FromCommitter::Group(group)) => self.groups.push_back(group),
            None => return false,
        }
        true
    }

    pub(super) fn follow(&mut self) -> bool {
        if self.frozen.len() >= FROZEN_WAITING_MAX {
            return false;
        }
        let Some(group) = self.groups.pop_front() else { return false };
        self.frozen.extend(self.follower.step(Arc::new(group)).unwrap_or_else(|error| fatal(&error)));
        true
    }

    pub(super) fn seal(&mut self, auditor: &mut Auditor) -> bool {
        if !self.sealed.is_empty() {
            return false;
        }
        let Some(frozen) = self.frozen.pop_front() else { return false };
        let sealed = self.sealer.seal(frozen).unwrap_or_else(|error| fatal(&error));
        forget_sealed(&self.shared.directory, &sealed, &mut self.late);
        self.shared.sealed.store(sealed.checkpoint());
        self.sealed.extend(self.stations.iter().map(|station| (station.no, sealed.checkpoint().position)));
        auditor.coverage.hit("sealed");
        true
    }

    pub(super) fn notify_sealed(&mut self) -> bool {
        let Some((shard, position)) = self.sealed.pop_front() else { return false };
        self.stations[shard.index()].control.push_back(Input::Sealed(position));
        true
    }

    /// How far things are, for the coverage of crashes.
    pub(super) fn note_crash(&mut self, auditor: &mut Auditor) {
        let coverage = &mut auditor.coverage;
        let sending =
            |is: fn(&FromShard) -> bool| self.stations.iter().any(|it| it.sending.front().is_some_and(is));
        let lagging = self.groups.len() + self.frozen.len() + self.sealed.len() + self.notices.len();
        let told: Vec<bool> = self.stations.iter().map(|it| it.shard.leftover().is_some()).collect();
        let stages = [
            (!self.batches.is_empty(), "crash: batch queued"),
            (self.batches.iter().any(|(it, _)| it.shard == ShardNo::NONE), "crash: snapshot queued"),
            (sending(|it| matches!(it, FromShard::Message(..))), "crash: batch sent, message not"),
            (self.stations.iter().any(|it| it.shard.batch_records() > 0), "crash: decided, not sent"),
            (self.notices.len() > 1, "crash: synced, not told"),
            (told.contains(&true) && told.contains(&false), "crash: told in part"),
            (self.stations.iter().any(|it| it.shard.is_reserved()), "crash: reserved"),
            (!self.groups.is_empty(), "crash: index behind"),
            (!self.frozen.is_empty(), "crash: segment frozen"),
            (!self.sealed.is_empty(), "crash: sealed, not told"),
            (!told.contains(&true) && lagging == 0, "crash: nothing on its way"),
        ];
        for (reached, what) in stages {
            if reached {
                coverage.hit(what);
            }
        }
    }

    /// The process is gone; memory with it.
    pub(super) fn crash(self) -> Remains {
        Remains { image: self.committer.into_journal().crash(), failed: self.failed }
    }

    /// The cells in all shards.
    pub(super) fn cells(&self) -> impl Iterator<Item = (AccountNo, CellKind, &Cell)> {
        self.stations.iter().flat_map(|station| station.shard.cells())
    }

    /// What is left over although nothing is in flight.
    pub(super) fn leftover(&self) -> Option<String> {
        let in_flight = self.front.counters.in_flight();
        let counted = (in_flight != 0).then(|| format!("{in_flight} commands are counted as in flight"));
        let shards = || self.stations.iter().find_map(|station| station.shard.leftover());
        counted.or_else(shards).or_else(|| self.shared.directory.leftover())
    }

    /// Whether some thread has sent a part of what it has to send.
    pub(super) fn is_midway(&self) -> bool {
        let message = |station: &Station| matches!(station.sending.front(), Some(FromShard::Message(..)));
        !self.notices.is_empty() || !self.sealed.is_empty() || self.stations.iter().any(message)
    }

    pub(super) fn is_parked(&self) -> bool {
        self.stations.iter().any(|station| station.shard.is_parked())
    }
}

impl Station {
    fn step(&mut self, input: Input, now: Timestamp, auditor: &mut Auditor) {
        let before = (self.shard.batch_records(), self.shard.messages());
        auditor.before_step(self.no, &input);
        self.shard.step(input, now);
        let forwards = self.shard.forwards_after(before.1);
        auditor.views[self.no.index()].stepped(self.shard.batch_records() - before.0, forwards);
    }
}

pub(super) fn decode(records: &[u8]) -> Vec<Record> {
    let group = Group::new(crate::journal::Head::default(), Timestamp::ZERO, 1, records.to_vec());
    let records = group.frames().map(|frame| Record::decode(frame.expect("a frame")).expect("a record"));
    records.collect()
}

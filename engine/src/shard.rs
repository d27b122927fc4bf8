//! A shard: the single writer of its accounts.
//!
//! Owns the hot state of its accounts, the queues of reservations, and what it has decided but the journal has not
//! synced. A plain state machine: [`Shard::step`] takes one input, [`Shard::flush`] gives what is to be sent. Never
//! does I/O, never waits, never reads a clock. Invariants: it decides in the order of its inputs; a published balance
//! holds synced records only; the batch of [`Flushed`] must be queued to the journal before its messages are delivered,
//! so that no effect reaches the disk before what it depends on.

pub(crate) mod completion;
mod decided;
pub(crate) mod mailbox;
mod message;
pub(crate) mod reservation;
mod synced;

use std::{collections::VecDeque, sync::Arc};

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::{SmallVec, smallvec};
use tokio::sync::oneshot;

use self::{
    completion::{Completion, Landing},
    decided::{Effects, Ending, Retired, Unsynced},
    reservation::{Reservations, Ticket},
    synced::Shown,
};
use crate::{
    directory::Directory,
    journal::Record,
    ledger::{Delta, Facts, Ledger, NotGathered},
    metrics::Counters,
    model::{AccountNo, CellKind, HoldId, Position, Timestamp},
    planted::{Bug, planted},
    view::Unavailable,
};
pub(crate) use message::{
    AccountReply, Batch, Envelope, Foreign, ForeignEffect, Input, Look, ShardNo, ShardSet, Synced,
};

/// See the module.
pub(crate) struct Shard {
    no: ShardNo,
    ledger: Ledger,
    directory: Arc<Directory>,
    counters: Arc<Counters>,
    parked_commands_max: usize,
    /// What the caller's clock showed last. It may go back; deadlines, which its readers set, go by it.
    now: Timestamp,
    /// The last `decided_at`. Never goes back.
    stamp: Timestamp,
    /// Other shards' effects up to here are in.
    seen: Position,
    reservations: Reservations<Work>,
    /// Holds that ran out and queue for their account.
    expiring: FxHashSet<HoldId>,
    unsynced: VecDeque<Unsynced>,
    /// Records of higher shards on this shard's reservations: applied, not yet synced.
    applied: FxHashMap<Ticket, Effects>,
    /// The same, synced before the decision arrived.
    awaited: FxHashMap<Ticket, (Position, Timestamp, Arc<Landing>)>,
    /// What can be forgotten once the index has sealed the position.
    retired: VecDeque<(Position, Retired)>,
    records: Vec<u8>,
    count: u32,
    foreign: Vec<(ShardNo, Foreign)>,
    /// Free legs of this batch by shard and account: the last record's index, the sum.
    legs: FxHashMap<(ShardNo, AccountNo), (u32, Delta)>,
    outbox: Vec<(ShardNo, Input)>,
}

/// What queues for accounts that are reserved.
enum Work {
    Command(Box<Envelope>),
    Expiry(HoldId),
}

/// What a shard has to send. Whoever sends takes it one by one, so that its order is written down here alone.
pub(crate) struct Flushed {
    batch: Option<Batch>,
    messages: Vec<(ShardNo, Input)>,
}

/// One of the things that a shard sends.
pub(crate) enum Outgoing {
    /// To the journal's queue.
    Batch(Batch),
    /// To another shard.
    Message(ShardNo, Input),
}

impl Flushed {
    /// What is on its way to the journal.
    #[cfg(feature = "simulation")]
    pub(crate) fn batch(&self) -> Option<&Batch> {
        self.batch.as_ref()
    }

    /// What is on its way to other shards.
    #[cfg(feature = "simulation")]
    pub(crate) fn messages(&self) -> &[(ShardNo, Input)] {
        &self.messages
    }

    /// In the order in which it is sent: first the batch, because a message may tell of a record in it, and what
    /// another shard makes of that must follow the record in the journal's queue.
    pub(crate) fn outgoing(mut self) -> impl Iterator<Item = Outgoing> {
        let early =
            if planted(Bug::MessageBeforeBatch) { std::mem::take(&mut self.messages) } else { Vec::new() };
        let message = |(to, input)| Outgoing::Message(to, input);
        let early = early.into_iter().map(message);
        early.chain(self.batch.into_iter().map(Outgoing::Batch)).chain(self.messages.into_iter().map(message))
    }
}

impl Shard {
    /// Most holds that one tick expires: the rest follows with the next, and commands get their turn in between.
    const EXPIRIES_PER_TICK_MAX: usize = 4_096;

    pub(crate) fn new(
        no: ShardNo,
        ledger: Ledger,
        directory: Arc<Directory>,
        counters: Arc<Counters>,
        parked_commands_max: usize,
        (seen, stamp): (Position, Timestamp),
    ) -> Self {
        Self {
            no,
            ledger,
            directory,
            counters,
            parked_commands_max,
            now: stamp,
            stamp,
            seen,
            reservations: Reservations::default(),
            expiring: FxHashSet::default(),
            unsynced: VecDeque::new(),
            applied: FxHashMap::default(),
            awaited: FxHashMap::default(),
            retired: VecDeque::new(),
            records: Vec::new(),
            count: 0,
            foreign: Vec::new(),
            legs: FxHashMap::default(),
            outbox: Vec::new(),
        }
    }

    fn see(&mut self, now: Timestamp) {
        self.now = now;
        self.stamp = self.stamp.max(now);
    }

    /// Takes one input at a time that the caller read from its clock.
    pub(crate) fn step(&mut self, input: Input, now: Timestamp) {
        self.see(now);
        match input {
            Input::Command(envelope) => self.command(envelope),
            Input::Commands(envelopes) => envelopes.into_iter().for_each(|envelope| self.command(envelope)),
            Input::Open { opening, asset, scale, reply } => self.open(&opening, asset, scale, reply),
            Input::Change { no, change, reply } => self.change(no, change, reply),
            Input::Decided { ticket, record } => self.decided(ticket, record.as_deref()),
            Input::Look { accounts, kinds, reply } => self.look(&accounts, kinds, reply),
            Input::Synced(synced) => self.synced(synced),
            Input::Sealed(position) => self.sealed(position),
        }
    }

    /// Expires the holds that ran out, in order of (expiry, id). One whose account is reserved queues for it like a
    /// command, and one that not all of its shards show yet waits for the next tick (its end must not overtake its
    /// beginning on the way to them); other accounts' holds go on. Returns whether more are due.
    pub(crate) fn tick(&mut self, now: Timestamp) -> bool {
        self.see(now);
        let due = self.ledger.expiries().take_while(|(due, _)| *due <= self.stamp).map(|(_, id)| id);
        let due = due.filter(|id| !self.expiring.contains(id)).take(Self::EXPIRIES_PER_TICK_MAX);
        let due: Vec<HoldId> = due.collect();
        let mut expired = 0;
        let mut held_back = Vec::new();
        for &id in &due {
            let debit = self.ledger.hold(id).expect("a hold that expires is live").debit;
            if self.directory.holds.is_in_flight(id) || held_back.contains(&debit) {
                held_back.push(debit);
                continue;
            }
            expired += 1;
            if self.reservations.blocks(&[debit]) {
                self.expiring.insert(id);
                self.reservations.wait(smallvec![debit], Work::Expiry(id));
            } else {
                self.expire(id);
            }
        }
        expired == Self::EXPIRIES_PER_TICK_MAX
    }

    fn expire(&mut self, id: HoldId) {
        // A capture or release may have come before it in the queue.
        if let Some(record) = self.ledger.expire(id, self.stamp) {
            self.counters.hold_expired();
            if planted(Bug::ExpiryAppliedTwice) {
                self.append(&record, Ending::Nothing, &[]);
            }
            self.append(&record, Ending::Nothing, &[]);
        }
    }

    /// What was decided since the last call.
    pub(crate) fn flush(&mut self) -> Flushed {
        let messages = std::mem::take(&mut self.outbox);
        if self.count == 0 {
            return Flushed { batch: None, messages };
        }
        let mut foreign = std::mem::take(&mut self.foreign);
        let legs = self.legs.drain().map(|((shard, account), (index, delta))| {
            (shard, Foreign { index, effect: ForeignEffect::Legs { account, delta } })
        });
        foreign.extend(legs);
        foreign.sort_by_key(|(_, foreign)| foreign.index);
        let batch = Batch {
            shard: self.no,
            records: std::mem::take(&mut self.records),
            count: std::mem::take(&mut self.count),
            stamp: self.stamp,
            foreign,
        };
        Flushed { batch: Some(batch), messages }
    }

    /// Records of the batch that [`Shard::flush`] would give.
    pub(crate) fn batch_records(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// Their bytes.
    pub(crate) fn batch_bytes(&self) -> usize {
        self.records.len()
    }

    /// Messages that [`Shard::flush`] would give.
    #[cfg(feature = "simulation")]
    pub(crate) fn messages(&self) -> usize {
        self.outbox.len()
    }

    /// Commands among the messages behind the first `messages`.
    #[cfg(feature = "simulation")]
    pub(crate) fn forwards_after(&self, messages: usize) -> usize {
        self.outbox.iter().skip(messages).filter(|(_, input)| matches!(input, Input::Command(_))).count()
    }

    /// Whether a command holds accounts here until a higher shard has decided.
    #[cfg(feature = "simulation")]
    pub(crate) fn is_reserved(&self) -> bool {
        !self.reservations.is_idle()
    }

    /// Whether a command waits for accounts that others hold.
    #[cfg(feature = "simulation")]
    pub(crate) fn is_parked(&self) -> bool {
        self.reservations.waiting() > 0
    }

    /// The cells of its accounts, as it decides on them.
    #[cfg(feature = "simulation")]
    pub(crate) fn cells(&self) -> impl Iterator<Item = (AccountNo, CellKind, &crate::model::Cell)> {
        self.ledger.cells()
    }

    /// What is left over although nothing is in flight: `None` if all is well.
    #[cfg(feature = "simulation")]
    pub(crate) fn leftover(&self) -> Option<String> {
        let idle = self.reservations.is_idle()
            && self.unsynced.is_empty()
            && self.applied.is_empty()
            && self.awaited.is_empty()
            && self.count == 0
            && self.outbox.is_empty();
        let what = || {
            format!(
                "shard {}: {:?}, {} unsynced, {} applied, {} awaited",
                self.no.0,
                self.reservations,
                self.unsynced.len(),
                self.applied.len(),
                self.awaited.len()
            )
        };
        (!idle).then(what)
    }

    fn command(&mut self, envelope: Box<Envelope>) {
        let own = self.own_guarded(&envelope);
        if !self.reservations.blocks(&own) {
            return self.run(envelope, own);
        }
        if self.reservations.waiting() < self.parked_commands_max {
            self.reservations.wait(own, Work::Command(envelope));
        } else {
            self.withdraw(envelope, |completion, shard, _| {
                completion.refuse(
                    &shard.directory,
                    &shard.counters,
                    Unavailable::Overloaded("a queue of reservations"),
                );
            });
        }
    }

    /// Only this shard publishes its accounts, so that between two inputs they stand still.
    fn look(&self, accounts: &[AccountNo], kinds: &[CellKind], reply: oneshot::Sender<Look>) {
        let cells = accounts.first().map(|&first| {
            let entry = self.directory.entry(first);
            kinds.iter().map(|&kind| entry.cell(kind)).collect()
        });
        let look = Look {
            accounts: accounts.iter().map(|&no| self.directory.entry(no).read()).collect(),
            cells: cells.unwrap_or_default(),
        };
        // A reader that went away needs no answer.
        drop(reply.send(look));
    }

    fn own_guarded(&self, envelope: &Envelope) -> SmallVec<[AccountNo; 2]> {
        envelope.guarded.iter().copied().filter(|&account| self.ledger.owns(account)).collect()
    }

    /// Runs a command, and then those that waited for what it gave back.
    fn run(&mut self, envelope: Box<Envelope>, own: SmallVec<[AccountNo; 2]>) {
        if let Some(ticket) = self.serve(envelope, own, None) {
            self.release(ticket);
        }
    }

    fn release(&mut self, ticket: Ticket) {
        let mut ready = Vec::new();
        self.reservations.release(ticket, &mut ready);
        while !ready.is_empty() {
            for (ticket, work) in std::mem::take(&mut ready) {
                let done = match work {
                    Work::Command(envelope) => {
                        let own = self.own_guarded(&envelope);
                        self.serve(envelope, own, Some(ticket))
                    }
                    Work::Expiry(id) => {
                        self.expiring.remove(&id);
                        self.expire(id);
                        Some(ticket)
                    }
                };
                if let Some(done) = done {
                    self.reservations.release(done, &mut ready);
                }
            }
        }
    }

    /// Decides a command whose accounts are free here, or passes it on to the next shard. Returns the ticket, if it has
    /// one, unless it is kept for the decision of a higher shard.
    fn serve(
        &mut self,
        mut envelope: Box<Envelope>,
        own: SmallVec<[AccountNo; 2]>,
        ticket: Option<Ticket>,
    ) -> Option<Ticket> {
        // Before it is decided, and so before the journal has it: what is decided is never taken back.
        let now = if planted(Bug::DeadlineByStamp) { self.stamp } else { self.now };
        if envelope.deadline.is_some_and(|deadline| deadline < now && !planted(Bug::DeadlineIgnored)) {
            self.withdraw(envelope, |completion, shard, _| {
                completion.late(&shard.directory, &shard.counters);
            });
            return ticket;
        }
        let mut alone = Facts::default();
        let facts = envelope.reserved.as_deref_mut().map_or(&mut alone, |reserved| &mut reserved.facts);
        if envelope.command.refused.is_none()
            && let Err(why) = self.ledger.gather(&envelope.command, facts)
        {
            self.withdraw(envelope, |completion, shard, command| match why {
                NotGathered::Stale => completion.stale(&shard.directory, &shard.counters, Box::new(command)),
                NotGathered::Conflict => completion.conflict(&shard.directory, &shard.counters),
            });
            return ticket;
        }
        let next = envelope.guards.after(self.no).filter(|_| envelope.command.refused.is_none());
        let Some(next) = next else {
            self.decide(envelope, &mut alone);
            return ticket;
        };
        let ticket = ticket.unwrap_or_else(|| self.reservations.hold(own));
        let reserved = envelope.reserved.get_or_insert_default();
        if reserved.tickets.is_empty() {
            reserved.facts = alone;
        }
        reserved.tickets.push((self.no, ticket));
        self.outbox.push((next, Input::Command(envelope)));
        None
    }

    /// Ends a command without a record, giving back what lower shards have reserved for it.
    fn withdraw(
        &mut self,
        envelope: Box<Envelope>,
        end: impl FnOnce(Completion, &Self, crate::model::Command),
    ) {
        let Envelope { command, completion, reserved, .. } = *envelope;
        let reserved = reserved.filter(|_| !planted(Bug::ReservationLeaked));
        for (shard, ticket) in reserved.into_iter().flat_map(|reserved| reserved.tickets) {
            self.outbox.push((shard, Input::Decided { ticket, record: None }));
        }
        end(completion, self, command);
    }

    /// A higher shard has decided on what this shard reserved.
    fn decided(&mut self, ticket: Ticket, record: Option<&Record>) {
        if planted(Bug::ReservationKeptOnRefusal) && record.is_none() {
            return;
        }
        if let Some(record) = record {
            self.stamp = self.stamp.max(record.decided_at());
            let effects = self.apply(record);
            match self.awaited.remove(&ticket) {
                Some((position, at, landing)) => {
                    let mut shown = Shown::default();
                    self.collect(effects, position, &mut shown);
                    self.show(shown);
                    landing.arrive(&self.directory, &self.counters, (position, at));
                }
                None => drop(self.applied.insert(ticket, effects)),
            }
        }
        self.release(ticket);
    }
}

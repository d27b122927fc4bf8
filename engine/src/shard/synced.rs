//! After the journal's sync: publish, land, answer, forget.

use super::{
    ForeignEffect, Shard, Synced,
    decided::{Effects, Ending, Retired, Unsynced},
};
use crate::{
    directory::PublishedRules,
    ledger::Delta,
    model::{Position, Timestamp},
};

impl Shard {
    pub(super) fn synced(&mut self, synced: Synced) {
        // The folded legs first: a landing says that all legs before it are in.
        for (position, _, effect) in &synced.foreign {
            if let ForeignEffect::Legs { account, delta } = effect {
                self.ledger.apply_delta(*account, *delta);
                self.directory.entry(*account).publish(*delta, *position);
            }
        }
        self.seen = synced.end;
        for (first, at, count) in synced.own {
            for index in 0..count {
                let unsynced =
                    self.unsynced.pop_front().expect("the journal syncs what this shard has decided");
                self.settle(unsynced, first.plus(u64::from(index)), at.plus_nanos(i64::from(index)));
            }
        }
        for (position, at, effect) in synced.foreign {
            match effect {
                ForeignEffect::Legs { .. } => {}
                ForeignEffect::Landed(landing) => {
                    landing.arrive(&self.directory, &self.counters, (position, at))
                }
                ForeignEffect::Reserved { ticket, landing } => match self.applied.remove(&ticket) {
                    Some(effects) => {
                        self.show(effects, position);
                        landing.arrive(&self.directory, &self.counters, (position, at));
                    }
                    None => drop(self.awaited.insert(ticket, (position, at, landing))),
                },
            }
        }
    }

    fn settle(&mut self, Unsynced { effects, ending }: Unsynced, position: Position, at: Timestamp) {
        match ending {
            Ending::Nothing => self.show(effects, position),
            Ending::Command(finish) => {
                self.show(effects, position);
                finish.run(&self.directory, &self.counters, (position, at));
            }
            Ending::Landing(landing) => {
                self.show(effects, position);
                landing.arrive(&self.directory, &self.counters, (position, at));
            }
            Ending::Opened(no, reply) => {
                self.directory.open(no, position, at);
                // A client that went away needs no answer.
                let _ = reply.send(Ok(()));
            }
            Ending::Changed(no, rules, reply) => {
                let entry = self.directory.entry(no);
                entry.publish_rules(PublishedRules { position, ..*rules });
                entry.publish(Delta::default(), position);
                entry.unmark();
                // A client that went away needs no answer.
                let _ = reply.send(Ok(()));
            }
        }
    }

    /// Publishes what a synced record changed here.
    pub(super) fn show(&mut self, effects: Effects, position: Position) {
        for (account, limits) in effects.limits {
            self.directory.entry(account).publish_limits(&limits, position);
        }
        for (account, delta) in effects.deltas {
            self.directory.entry(account).publish(delta, position);
        }
        self.retired.extend(effects.retired.into_iter().map(|retired| (position, retired)));
    }

    /// The index has sealed everything up to `position`: what ended before is its to answer.
    pub(super) fn sealed(&mut self, position: Position) {
        self.ledger.set_forgotten(position);
        while let Some(&(at, retired)) = self.retired.front()
            && at <= position
        {
            self.retired.pop_front();
            match retired {
                Retired::Hold(hold) => self.ledger.forget_hold(hold),
                Retired::Reversed(transaction, operation) => {
                    self.ledger.forget_reversed(transaction, operation)
                }
            }
        }
    }
}

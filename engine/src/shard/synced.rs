//! After the journal's sync: publish, land, answer, forget.

use rustc_hash::FxHashMap;

use super::{
    ForeignEffect, Shard, Synced,
    decided::{Effects, Ending, Retired},
};
use crate::{
    directory::PublishedRules,
    ledger::{Delta, LimitState},
    model::{AccountNo, CellWrite, Position, Timestamp},
};

/// What a notice changes, folded: an account is published once, so that no reader sees a part of a record.
#[derive(Default)]
pub(super) struct Shown {
    deltas: FxHashMap<AccountNo, (Delta, Position)>,
    limits: FxHashMap<AccountNo, (Vec<LimitState>, Position)>,
    cells: Vec<CellWrite<AccountNo>>,
}

impl Shown {
    fn add(&mut self, account: AccountNo, delta: Delta, position: Position) {
        let shown = self.deltas.entry(account).or_default();
        shown.0 += delta;
        shown.1 = shown.1.max(position);
    }

    /// Effects may come out of the order of their positions; of the limits the newest state counts.
    fn limits(&mut self, account: AccountNo, limits: Vec<LimitState>, position: Position) {
        let shown = self.limits.entry(account).or_default();
        if position >= shown.1 {
            *shown = (limits, position);
        }
    }
}

impl Shard {
    pub(super) fn synced(&mut self, synced: Synced) {
        let Synced { end, own, foreign } = synced;
        self.seen = end;
        let mut shown = Shown::default();
        let mut endings = Vec::new();
        let mut landings = Vec::new();
        for (position, at, effect) in foreign {
            self.stamp = self.stamp.max(at);
            match effect {
                ForeignEffect::Legs { account, delta } => {
                    self.ledger.apply_delta(account, delta);
                    shown.add(account, delta, position);
                }
                ForeignEffect::Landed(landing) => landings.push((landing, position, at)),
                ForeignEffect::Reserved { ticket, landing } => match self.applied.remove(&ticket) {
                    Some(effects) => {
                        self.collect(effects, position, &mut shown);
                        landings.push((landing, position, at));
                    }
                    None => drop(self.awaited.insert(ticket, (position, at, landing))),
                },
            }
        }
        for (first, at, count) in own {
            for index in 0..count {
                let (position, at) = (first.plus(u64::from(index)), at.plus_nanos(i64::from(index)));
                let unsynced =
                    self.unsynced.pop_front().expect("the journal syncs what this shard has decided");
                self.collect(unsynced.effects, position, &mut shown);
                if let Ending::Changed(no, rules, reply) = unsynced.ending {
                    self.directory.entry(no).publish_rules(PublishedRules { position, ..*rules });
                    shown.add(no, Delta::default(), position);
                    endings.push((Ending::Unmark(no, reply), position, at));
                } else {
                    endings.push((unsynced.ending, position, at));
                }
            }
        }
        self.show(shown);
        for (ending, position, at) in endings {
            self.settle(ending, position, at);
        }
        for (landing, position, at) in landings {
            landing.arrive(&self.directory, &self.counters, (position, at));
        }
    }

    fn settle(&self, ending: Ending, position: Position, at: Timestamp) {
        match ending {
            Ending::Nothing => {}
            Ending::Command(finish) => finish.run(&self.directory, &self.counters, (position, at)),
            Ending::Landing(landing) => landing.arrive(&self.directory, &self.counters, (position, at)),
            Ending::Opened(no, reply) => {
                self.directory.open(no, position, at);
                reply.send(Ok(no));
            }
            Ending::Changed(no, _, reply) | Ending::Unmark(no, reply) => {
                self.directory.entry(no).unmark();
                reply.send(Ok(no));
            }
        }
    }

    /// Adds what a synced record changed here to what is to be shown.
    pub(super) fn collect(&mut self, effects: Effects, position: Position, shown: &mut Shown) {
        for (account, limits) in effects.limits {
            shown.limits(account, limits, position);
        }
        for (account, delta) in effects.deltas {
            shown.add(account, delta, position);
        }
        shown.cells.extend(effects.cells);
        self.retired.extend(effects.retired.into_iter().map(|retired| (position, retired)));
    }

    /// Publishes: the limits before the balance of the same record, as readers expect it.
    pub(super) fn show(&mut self, shown: Shown) {
        for (account, (limits, position)) in shown.limits {
            self.directory.entry(account).publish_limits(&limits, position);
        }
        for write in shown.cells {
            self.directory.entry(write.account).publish_cell(&write);
        }
        for (account, (delta, position)) in shown.deltas {
            self.directory.entry(account).publish(delta, position);
        }
        // What a higher shard has decided and this one does not know yet is not shown.
        if self.awaited.is_empty() {
            self.directory.showed(self.no, self.seen);
        }
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

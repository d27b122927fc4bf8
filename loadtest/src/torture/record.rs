//! What the auditor knows: each intent, its outcome, and what all accounts must show by it.
//!
//! Owns: the entries and the sums. Never asks the server: it is told, and says what does not agree.
//! Invariant: an entry's outcome is set once; another one is a finding.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::event::{Event, Moved, Shown};
use super::findings::Findings;
use super::log::{Acknowledgement, Intent};
use super::verb::{Account, Change, Outcome, Verb, effects};

/// One intent, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) intent: Intent,
    pub(crate) state: State,
    /// Where the events show it.
    pub(crate) seen_at: Option<u64>,
}

/// What is known of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Sent, and not answered.
    Unknown,
    /// Sent, and always answered that nothing was done.
    NotTaken,
    /// It has its outcome.
    Known(Outcome),
}

/// The record of one data directory.
#[derive(Default)]
pub(crate) struct Record {
    entries: Vec<Entry>,
    by_id: HashMap<Uuid, usize>,
    /// Entries without an outcome.
    open: BTreeSet<usize>,
    sums: BTreeMap<Account, Change>,
    /// Positions of outcomes that the events are still to show.
    awaited: BTreeMap<u64, usize>,
    /// Ids of events that are not the record's own, such as those that the wallet derives.
    others: HashMap<Uuid, u64>,
    /// Records of the wallet that no acknowledgement has named.
    unclaimed: Vec<(Moved, u64)>,
    /// Where records under derived ids are that no acknowledgement has named.
    derived_at: HashSet<u64>,
    /// Entries that are in the findings as lost.
    lost: HashSet<usize>,
    /// The last position that the events showed.
    pub(crate) audited: u64,
    pub(crate) findings: Findings,
    pub(crate) acknowledged: u64,
    pub(crate) settled: u64,
}

impl Record {
    /// Takes what a client has done.
    pub(crate) fn add(&mut self, intent: Intent, state: State) {
        let index = self.entries.len();
        if self.by_id.insert(intent.id, index).is_some() {
            self.findings.other.push(format!("the harness used {} twice", intent.id));
        }
        let outcome = match &state {
            State::Known(outcome) => Some(outcome.clone()),
            State::Unknown | State::NotTaken => None,
        };
        self.entries.push(Entry { intent, state: State::Unknown, seen_at: None });
        match outcome {
            Some(outcome) => {
                self.acknowledged += 1;
                self.know(index, outcome);
            }
            None => {
                self.open.insert(index);
                self.entries.last_mut().into_iter().for_each(|entry| entry.state = state.clone());
            }
        }
    }

    /// An entry by its place.
    pub(crate) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// Whether an entry has its outcome.
    pub(crate) fn is_known(&self, index: usize) -> bool {
        self.get(index).is_some_and(|entry| matches!(entry.state, State::Known(_)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the server shows of an entry that it was asked for; `None` is nothing.
    pub(crate) fn shown(&mut self, index: usize, shown: Option<Outcome>) {
        let Some(entry) = self.entries.get(index) else { return };
        match (&entry.state, shown) {
            (State::Known(known), Some(shown)) if *known == shown => {}
            // A refusal of a product verb is a record of an attempt; its look says that there is no such payment.
            (State::Known(Outcome::Refused { .. }), None) if !entry.intent.verb.is_ledger() => {}
            (State::Known(known), shown) => {
                let how = format!("was acknowledged as {known:?}, shown is {shown:?}");
                self.lose(index, &how);
            }
            (State::NotTaken, Some(shown)) => {
                let text = describe(&entry.intent);
                self.findings.other.push(format!("{text} was answered as not taken, shown is {shown:?}"));
                self.know(index, shown);
            }
            (State::Unknown, Some(shown)) => {
                self.settled += 1;
                self.know(index, shown);
            }
            (State::Unknown | State::NotTaken, None) => {}
        }
    }

    /// The answer when an entry's id is sent again.
    pub(crate) fn repeated(&mut self, index: usize, outcome: Outcome) {
        let Some(entry) = self.entries.get(index) else { return };
        match &entry.state {
            State::Known(known) if *known == outcome => {}
            State::Known(known) => {
                let how = format!("has the outcome {known:?}, and sent again it is {outcome:?}");
                self.lose(index, &how);
            }
            State::Unknown | State::NotTaken => {
                self.settled += 1;
                self.know(index, outcome);
            }
        }
    }

    fn know(&mut self, index: usize, outcome: Outcome) {
        self.know_at(index, outcome, false);
    }

    /// `seen`: the events have just shown it.
    fn know_at(&mut self, index: usize, outcome: Outcome, seen: bool) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        for (account, change) in effects(&entry.intent.verb, &outcome) {
            let sum = self.sums.entry(account).or_default();
            sum.posted += change.posted;
            sum.held += change.held;
        }
        let position = outcome.position();
        let of_wallet = !entry.intent.verb.is_ledger();
        entry.state = State::Known(outcome);
        self.open.remove(&index);
        let Some(position) = position else { return };
        if seen {
            entry.seen_at = Some(position);
        }
        let (text, seen_at) = (describe(&entry.intent), entry.seen_at);
        if let Some(seen_at) = seen_at {
            if seen_at != position {
                self.findings
                    .other
                    .push(format!("{text} is said to be at {position}, and was seen at {seen_at}"));
            }
        } else if of_wallet && self.derived_at.remove(&position) {
            // The events have shown it, under an id that the wallet derived.
        } else if position <= self.audited {
            self.lose(index, &format!("is said to be at {position}, where something else is"));
        } else if let Some(other) = self.awaited.insert(position, index) {
            let other = self.entries.get(other).map(|entry| describe(&entry.intent)).unwrap_or_default();
            self.findings.doubled.push(format!("{text} and {other} share the position {position}"));
        }
    }

    /// The next event of the stream.
    pub(crate) fn event(&mut self, event: &Event) {
        let position = event.position;
        if position != self.audited + 1 {
            self.findings.other.push(format!("the events have a gap: {position} follows {}", self.audited));
        }
        self.audited = position;
        let awaited = self.awaited.remove(&position);
        let Some(shown) = &event.transaction else {
            self.missing(awaited, position);
            return;
        };
        let own = self.by_id.get(&shown.id).copied();
        let seen_before = match own.and_then(|index| self.entries.get_mut(index)) {
            Some(entry) => entry.seen_at.replace(position),
            None => self.others.insert(shown.id, position),
        };
        if let Some(before) = seen_before {
            self.findings.doubled.push(format!("{} is at {before} and at {position}", shown.id));
        }
        match own {
            Some(index) => {
                self.missing(awaited.filter(|awaited| *awaited != index), position);
                self.content(index, shown, position);
            }
            None if shown.id.get_version_num() != DERIVED => {
                self.findings.other.push(format!("nobody has sent {}, which is at {position}", shown.id));
                self.missing(awaited, position);
            }
            // A record that the wallet made, under an id that it derived.
            None => match awaited {
                Some(index) => self.content(index, shown, position),
                None => {
                    self.derived_at.insert(position);
                    let first = shown.legs.first().filter(|_| shown.posted);
                    self.unclaimed.extend(first.map(|leg| (leg.clone(), position)));
                }
            },
        }
    }

    /// Each entry is lost once, however often that shows.
    fn lose(&mut self, index: usize, how: &str) {
        if let Some(entry) = self.entries.get(index)
            && self.lost.insert(index)
        {
            self.findings.lost.push(format!("{} {how}", describe(&entry.intent)));
        }
    }

    /// Something acknowledged is not where it was said to be.
    fn missing(&mut self, awaited: Option<usize>, position: u64) {
        if let Some(index) = awaited {
            self.lose(index, &format!("was acknowledged at {position}, where something else is"));
        }
    }

    /// What an event shows of an entry must be what was sent, and end as it was said to.
    fn content(&mut self, index: usize, shown: &Shown, position: u64) {
        let Some(entry) = self.entries.get(index) else { return };
        let verb = &entry.intent.verb;
        let posted = match &entry.state {
            State::Known(Outcome::Done { .. } | Outcome::Split { .. }) => Some(true),
            State::Known(Outcome::Refused { .. }) => Some(false),
            // The look before has not shown it.
            State::Unknown | State::NotTaken => None,
        };
        let ended = posted == Some(shown.posted) || !verb.is_ledger();
        let wanted = verb.operations().filter(|_| shown.posted);
        let whole = wanted.is_none_or(|legs| legs.iter().map(Moved::from).eq(shown.legs.iter().cloned()));
        if !ended || !whole {
            let text = describe(&entry.intent);
            let state = &entry.state;
            self.findings.other.push(format!("{text}, {state:?}, is at {position} as {shown:?}"));
        }
    }

    /// A transfer between users that has no outcome, and a record of the wallet that nobody was told of, are the same.
    fn claim(&mut self) {
        let unclaimed = std::mem::take(&mut self.unclaimed);
        let gifts: Vec<(usize, Moved)> = self
            .open
            .iter()
            .filter_map(|index| Some((*index, self.entries.get(*index)?)))
            .filter(|(_, entry)| matches!(entry.intent.verb, Verb::Give { .. }))
            .filter_map(|(index, entry)| Some((index, entry.intent.verb.operations()?.first()?.into())))
            .collect();
        for (index, gift) in gifts {
            if let Some((_, position)) = unclaimed.iter().find(|(moved, _)| *moved == gift) {
                self.settled += 1;
                self.know_at(index, Outcome::Done { position: Some(*position) }, true);
            }
        }
    }

    /// The events have been read up to where the ledger is.
    pub(crate) fn events_end(&mut self) {
        for index in std::mem::take(&mut self.awaited).into_values() {
            self.lose(index, &format!("is not in the events up to {}", self.audited));
        }
        self.claim();
    }

    /// Where the record in memory is not the one on disk.
    pub(crate) fn compare(&self, intents: &[Intent], lines: &[Acknowledgement]) -> Vec<String> {
        let mut differ = Vec::new();
        let sent: HashMap<Uuid, &Intent> = intents.iter().map(|intent| (intent.id, intent)).collect();
        let known: HashMap<Uuid, &Outcome> = lines.iter().map(|line| (line.id, &line.outcome)).collect();
        if intents.len() != self.entries.len() || sent.len() != intents.len() || known.len() != lines.len() {
            differ.push(format!(
                "the files have {} intents and {} outcomes, the record {}",
                intents.len(),
                lines.len(),
                self.entries.len()
            ));
        }
        for entry in &self.entries {
            let outcome = match &entry.state {
                State::Known(outcome) => Some(outcome),
                State::Unknown | State::NotTaken => None,
            };
            let id = entry.intent.id;
            if sent.get(&id).copied() != Some(&entry.intent) || known.get(&id).copied() != outcome {
                differ.push(format!("{} is not in the files as in the record", describe(&entry.intent)));
            }
        }
        differ
    }

    /// The accounts that the record knows of.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        self.sums.keys().copied().collect()
    }

    /// What the server shows of an account.
    pub(crate) fn balance(&mut self, account: Account, posted: i128, held: i128) {
        let sum = self.sums.get(&account).copied().unwrap_or_default();
        let expected =
            Change { posted: if account.is_debit_normal() { -sum.posted } else { sum.posted }, ..sum };
        if (posted, held) != (expected.posted, expected.held) {
            self.findings.other.push(format!(
                "{} shows {posted} and {held} held; by the record it is {} and {}",
                account.address(),
                expected.posted,
                expected.held
            ));
        }
        if account.has_floor() && posted - held < 0 {
            self.findings
                .other
                .push(format!("{} is below its floor: {posted}, {held} held", account.address()));
        }
    }
}

/// The version of ids that the wallet derives.
const DERIVED: usize = 8;

fn describe(intent: &Intent) -> String {
    let Intent { id, verb, .. } = intent;
    let name = match verb {
        Verb::Transfer(_) => "transfer",
        Verb::Hold { .. } => "hold",
        Verb::Capture { .. } => "capture",
        Verb::Release { .. } => "release",
        Verb::Reverse { .. } => "reversal",
        Verb::Order { .. } => "order",
        Verb::Recharged { .. } => "recharge",
        Verb::Pay { .. } => "payment",
        Verb::Settled { .. } => "channel's part",
        Verb::Refund { .. } => "refund",
        Verb::Give { .. } => "gift",
    };
    format!("the {name} {id}")
}

#[cfg(test)]
mod tests;

//! The auditor: what every record, balance and answer must be.
//!
//! Owns the naive model of the whole ledger in journal order, one model a shard in that shard's own order, and what
//! clients asked and heard. Looks at the engine only through what it sends, writes, publishes and answers. Invariant:
//! each record is judged twice, when its shard has decided it and when the journal has it; any difference panics.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    attachments::{Attached, keys},
    coverage::Coverage,
    dependency::{Dependencies, Records},
    judge::Passed,
    model::{Model, NotPosted, record_legs},
    names::{Names, Thing},
    quiet::Row,
    retained::Stated,
    shard_view::ShardView,
};
use crate::{
    directory::Directory,
    journal::{Group, Record},
    model::{AccountNo, AccountOpening, Address, Position, Timestamp, Transaction, TransactionId},
    shard::{Input, ShardNo},
};

/// A record of the journal, who decided it, and which lower shards were told.
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) record: Record,
    pub(super) decided: Option<Decided>,
}

/// A record on its way to the journal.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) record: Record,
    pub(super) by: ShardNo,
    pub(super) told: Vec<ShardNo>,
    /// What the journal must have before it.
    pub(super) after: Vec<Records>,
}

/// What clients did with an id.
#[derive(Default)]
pub(super) struct Id {
    pub(super) bodies: Vec<Transaction>,
    /// When calls began that have no answer yet.
    pub(super) pending: Vec<u64>,
    pub(super) position: Option<Position>,
    /// The body that the journal has.
    pub(super) decided: Option<Transaction>,
    /// Answers that were no replays.
    pub(super) firsts: u32,
}

#[derive(Default)]
pub(super) struct Auditor {
    pub(super) verbose: bool,
    pub(super) step: u64,
    pub(super) model: Model,
    pub(super) names: Names,
    pub(super) journal: Vec<Entry>,
    pub(super) views: Vec<ShardView>,
    pub(super) ids: BTreeMap<TransactionId, Id>,
    pub(super) openings: BTreeMap<Address, Vec<AccountOpening>>,
    pub(super) rows: BTreeMap<AccountNo, Vec<Row>>,
    pub(super) changed: BTreeMap<AccountNo, Position>,
    /// When a client could first know of something.
    pub(super) shown: BTreeMap<Thing, u64>,
    /// What lower shards had when they passed a command on, by command and shard.
    pub(super) passed: BTreeMap<TransactionId, BTreeMap<ShardNo, Vec<Model>>>,
    pub(super) dependencies: Dependencies,
    /// Ids that this process has decided.
    pub(super) flushed: BTreeSet<TransactionId>,
    pub(super) stated: Stated,
    pub(super) attached: Attached,
    pub(super) coverage: Coverage,
}

/// A record's transaction.
pub(super) fn id_of(record: &Record) -> Option<TransactionId> {
    match record {
        Record::Posted(posted) => Some(posted.id),
        Record::Refused(refused) => Some(refused.transaction.id),
        Record::AccountOpened { .. }
        | Record::AccountChanged { .. }
        | Record::HoldExpired { .. }
        | Record::Snapshot(_) => None,
    }
}

impl Auditor {
    pub(super) fn new(verbose: bool) -> Self {
        Self { verbose, ..Self::default() }
    }

    /// Tells a step, for a run that is looked at.
    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{}: {}", self.step, what());
        }
    }

    pub(super) fn end(&self) -> Position {
        Position(self.journal.len() as u64)
    }

    pub(super) fn entry(&self, position: Position) -> &Entry {
        let index = usize::try_from(position.0).expect("a position of a run") - 1;
        self.journal
            .get(index)
            .unwrap_or_else(|| panic!("position {position} is told, but not in the journal"))
    }

    /// A new process, which knows what the journal has.
    pub(super) fn restart(&mut self, shards: u16) {
        self.tell(|| format!("a process starts with {shards} shards"));
        let names = &self.names;
        self.views = (0..shards)
            .map(|shard| {
                let owned =
                    |no: AccountNo| names.addresses.get(&no).is_some_and(|it| it.shard(shards) == shard);
                ShardView::new(self.model.restricted(&names.originals, owned), self.end())
            })
            .collect();
        self.passed.clear();
        self.dependencies = Dependencies::default();
        self.attached = Attached::default();
        self.flushed = self.ids.iter().filter(|(_, id)| id.position.is_some()).map(|(id, _)| *id).collect();
        let accounts = names.accounts.keys().cloned().map(Thing::Account);
        let originals = names.originals.keys().map(|&(id, _)| Thing::Original(id));
        let known = accounts.chain(names.holds.keys().copied().map(Thing::Hold)).chain(originals);
        for thing in known.collect::<Vec<_>>() {
            self.shown.entry(thing).or_insert(self.step);
        }
    }

    /// An input is about to reach a shard.
    pub(super) fn before_step(&mut self, shard: ShardNo, input: &Input) {
        self.tell(|| format!("shard {} takes {}", shard.0, describe(input)));
        match input {
            Input::Command(envelope) if envelope.reserved.is_none() => {
                self.passed.remove(&envelope.command.transaction.id);
                self.dependencies.begins(envelope.command.transaction.id);
            }
            Input::Synced(synced) => {
                let Some(view) = self.views.get_mut(shard.index()) else { return };
                view.synced(shard, synced.end, &self.journal);
            }
            Input::Decided { record: Some(record), .. } => self.views[shard.index()].told(record),
            Input::Command(_)
            | Input::Commands(_)
            | Input::Open { .. }
            | Input::Change { .. }
            | Input::Decided { record: None, .. }
            | Input::Look { .. }
            | Input::Sealed(_) => {}
        }
    }

    /// A shard has sent what it decided since the last time.
    pub(super) fn flushed(
        &mut self,
        shard: ShardNo,
        records: Vec<Record>,
        messages: &[(ShardNo, Input)],
    ) -> Vec<Decided> {
        let mut told: BTreeMap<TransactionId, Vec<ShardNo>> = BTreeMap::new();
        let mut forwarded = Vec::new();
        for (to, input) in messages {
            match input {
                Input::Decided { record: Some(record), .. } => {
                    told.entry(id_of(record).expect("a transaction")).or_default().push(*to);
                }
                Input::Command(envelope) => forwarded.push(envelope.command.transaction.clone()),
                Input::Decided { record: None, .. } => {}
                Input::Commands(_)
                | Input::Open { .. }
                | Input::Change { .. }
                | Input::Synced(_)
                | Input::Look { .. }
                | Input::Sealed(_) => panic!("shards tell each other of commands and decisions only"),
            }
        }
        let mut written = Vec::new();
        let mut view = std::mem::take(&mut self.views[shard.index()]);
        let (mut records, mut forwarded) = (records.into_iter(), forwarded.into_iter());
        let mut decided = Vec::new();
        for part in std::mem::take(&mut view.log) {
            let applied = part.applied;
            applied.iter().for_each(|record| view.shadow.apply(record));
            applied.iter().filter_map(id_of).for_each(|id| self.dependencies.hears(shard, id));
            written.extend(applied.iter().flat_map(keys));
            let passed: Vec<_> =
                forwarded.by_ref().take(part.forwards).map(|it| (self.pass(&it, &[]), it.id)).collect();
            self.note_passed(shard, &view, &passed, true);
            passed.iter().for_each(|&(_, id)| self.dependencies.passes(shard, id));
            for record in records.by_ref().take(part.records) {
                self.judge(shard, &mut view, &record);
                written.extend(keys(&record));
                view.shadow.apply(&record);
                self.note_passed(shard, &view, &passed, false);
                let told = id_of(&record).and_then(|id| told.remove(&id)).unwrap_or_default();
                let after = self.dependencies.decides(shard, id_of(&record));
                decided.push(Decided { record, by: shard, told, after });
            }
        }
        assert!(
            records.next().is_none() && forwarded.next().is_none(),
            "all that is sent was decided in some step"
        );
        self.views[shard.index()] = view;
        self.end_doubts(shard, written);
        decided
    }

    fn note_passed(
        &mut self,
        shard: ShardNo,
        view: &ShardView,
        passed: &[(Passed, TransactionId)],
        first: bool,
    ) {
        for (resolved, id) in passed {
            let resolved =
                resolved.as_ref().unwrap_or_else(|refusal| panic!("{id} is passed on, but {refusal:?}"));
            let models = self.passed.entry(*id).or_default().entry(shard).or_default();
            if first {
                models.clear();
            }
            models.push(view.shadow.part(resolved));
        }
    }

    /// A group is on disk. `expected` is what its batches held, if this process formed it.
    pub(super) fn committed(&mut self, group: &Group, expected: Option<Vec<Decided>>) {
        assert_eq!(group.first, self.end().next(), "positions have no gap");
        self.tell(|| format!("the journal has {} to {}", group.first, group.head().position));
        let mut expected = expected.map(Vec::into_iter);
        for (index, frame) in (0..).zip(group.frames()) {
            let record = Record::decode(frame.expect("a frame")).expect("a record");
            let decided =
                expected.as_mut().map(|expected| expected.next().expect("as many records as were decided"));
            assert!(
                decided.as_ref().is_none_or(|it| it.record == record),
                "the journal has what was decided"
            );
            if let Some(Decided { by, after, .. }) = &decided {
                self.dependencies.committed(*by, after);
            }
            let at = group.at.plus_nanos(index);
            assert!(self.journal.last().is_none_or(|last| last.at < at), "times grow");
            assert!(record.decided_at() <= at, "a record is not older than its decision");
            self.sequential(&record);
            self.journal.push(Entry { at, record, decided });
        }
        assert!(
            expected.is_none_or(|mut expected| expected.next().is_none()),
            "all that was decided is in the group"
        );
    }

    /// The next record in the journal's order.
    fn sequential(&mut self, record: &Record) {
        let position = self.end().next();
        match record {
            Record::Posted(posted) => {
                let bodies = self.ids.get(&posted.id).map(|it| it.bodies.clone()).unwrap_or_default();
                let mut why = Vec::new();
                let body = bodies.into_iter().find(|body| {
                    let passed = self.pass(body, &[]).map_err(|(code, at)| NotPosted::Refused(code, at));
                    let verdict = passed
                        .and_then(|resolved| self.model.part(&resolved).decide(&resolved, posted.decided_at));
                    let fits = verdict.as_ref().is_ok_and(|kinds| self.is_posted(body, kinds, record));
                    why.push(verdict);
                    fits
                });
                let body =
                    body.unwrap_or_else(|| panic!("position {position}: {posted:?}; the model says {why:?}"));
                self.leads(record, position, &body);
                self.decided(posted.id, position, body);
                self.add_rows(record, position);
            }
            Record::Refused(refused) => {
                self.decided(refused.transaction.id, position, refused.transaction.clone());
            }
            Record::HoldExpired { hold, debit, credit, held, .. } => {
                let found = self.model.holds.get(hold).expect("a hold that expires was placed");
                assert_eq!(
                    (found.debit, found.credit, found.amount),
                    (*debit, *credit, held.0),
                    "hold {hold}"
                );
                assert!(found.expires_at <= record.decided_at(), "hold {hold} expires too early");
            }
            Record::AccountOpened { .. } => {}
            Record::Snapshot(part) => self.stated(position, part),
            Record::AccountChanged { no, change, .. } => {
                assert!(
                    self.model.accounts[no].allows(change),
                    "position {position}: {change:?} is not allowed"
                );
            }
        }
        self.names.learn(record, &self.model);
        self.model.apply(record);
        self.guarded(record, position);
    }

    fn decided(&mut self, id: TransactionId, position: Position, body: Transaction) {
        let known = self.ids.entry(id).or_default();
        assert_eq!(known.position, None, "{id} has two records");
        (known.position, known.decided) = (Some(position), Some(body));
    }

    /// No floor or ceiling is broken, and no money made.
    fn guarded(&mut self, record: &Record, position: Position) {
        let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
        for (no, [net, ..]) in record_legs(record) {
            let account = &self.model.accounts[&no];
            let address = &self.names.addresses[&no];
            *sums.entry(&self.names.accounts[address].asset).or_default() += net;
            assert!(
                account.floor.is_none_or(|floor| floor <= account.available()),
                "position {position}: floor of {address}"
            );
            assert!(
                account.ceiling.is_none_or(|most| account.filled() <= most),
                "position {position}: ceiling of {address}"
            );
            self.changed.insert(no, position);
        }
        assert!(sums.values().all(|&sum| sum == 0), "position {position} makes money: {record:?}");
        if let Record::AccountOpened { no, .. } | Record::AccountChanged { no, .. } = record {
            self.changed.insert(*no, position);
        }
    }

    /// What is published is what the journal has synced and the shard has heard of.
    pub(super) fn published(&mut self, directory: &Directory) {
        self.cells_shown(directory);
        for view in &self.views {
            for (&no, &expected) in &view.published {
                let (balance, _) = directory.entry(no).read();
                let found = [balance.net, balance.held_debits, balance.held_credits];
                assert_eq!(found, expected, "the published balance of {}", self.names.addresses[&no]);
                assert!(balance.position <= self.end(), "nothing is published before it is synced");
            }
        }
    }
}

fn describe(input: &Input) -> String {
    match input {
        Input::Command(envelope) => format!("the command {}", envelope.command.transaction.id),
        Input::Commands(envelopes) => format!("{} commands", envelopes.len()),
        Input::Open { opening, .. } => format!("the opening of {}", opening.address),
        Input::Change { no, change, .. } => format!("a change of {}: {change:?}", no.0),
        Input::Decided { ticket, record } => {
            format!("the decision on {ticket:?}: {:?}", record.as_ref().map(|it| id_of(it)))
        }
        Input::Synced(synced) => format!("the sync of {}", synced.end),
        Input::Look { .. } => "a look".to_owned(),
        Input::Sealed(position) => format!("the seal of {position}"),
    }
}

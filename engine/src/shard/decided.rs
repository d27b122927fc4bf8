//! From a verdict to a record in the batch, applied to the shard's own accounts.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    AccountReply, Envelope, Foreign, ForeignEffect, Input, Shard, ShardNo, ShardSet,
    completion::{Finish, Landing},
    reservation::Ticket,
};
use crate::{
    directory::{HoldPlace, PublishedRules},
    journal::{Group, PostedTransaction, Record, RefusedTransaction},
    ledger::{ChangeRefusal, Delta, Facts, LimitState, decide, decide_change, effects, metered},
    model::{
        AccountChange, AccountNo, AccountOpening, AssetNo, Attachment, Cell, CellWrite, Command, HoldId,
        PostedKind, TransactionId,
    },
    planted::{Bug, planted},
    view::{AccountError, Unavailable},
};

/// A record that this shard has decided and the journal has not synced.
pub(super) struct Unsynced {
    pub(super) effects: Effects,
    pub(super) ending: Ending,
}

/// What a record changes in this shard, to be published after the sync.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) deltas: SmallVec<[(AccountNo, Delta); 2]>,
    /// What is used of the limits that it counted or gave back to, after the record.
    pub(super) limits: Vec<(AccountNo, Vec<LimitState>)>,
    /// Cells that it wrote.
    pub(super) cells: Vec<CellWrite<AccountNo>>,
    pub(super) retired: SmallVec<[Retired; 1]>,
}

/// What the index alone knows once it has sealed the record.
#[derive(Clone, Copy)]
pub(super) enum Retired {
    Hold(HoldId),
    Reversed(TransactionId, u8),
}

/// What happens once a record is synced.
pub(super) enum Ending {
    Nothing,
    Command(Finish),
    /// Several shards show the record; the last one settles it.
    Landing(Arc<Landing>),
    Opened(AccountNo, AccountReply),
    Changed(AccountNo, Box<PublishedRules>, AccountReply),
    /// A change that is published: others may go on.
    Unmark(AccountNo, AccountReply),
}

impl Shard {
    /// Decides a command on the facts of all its shards, and tells them.
    pub(super) fn decide(&mut self, envelope: Box<Envelope>, alone: &mut Facts) {
        let Envelope { command, completion, mut reserved, guards, .. } = *envelope;
        let facts = reserved.as_deref_mut().map_or(alone, |reserved| &mut reserved.facts);
        let verdict = match command.refused {
            Some(rejection) => Err(rejection),
            None => decide(facts, &command, self.stamp),
        };
        let Command { transaction, cells, .. } = command;
        let decided_at = self.stamp;
        let (record, verdict) = match verdict {
            Ok(operations) => {
                let posted = PostedTransaction {
                    id: transaction.id,
                    decided_at,
                    operations,
                    code: transaction.code,
                    reference: transaction.reference,
                    metadata: transaction.metadata,
                    attachment: transaction.attachment.map(|attachment| {
                        let Attachment { document, aliases, .. } = *attachment;
                        Box::new(Attachment { document, aliases, cells })
                    }),
                };
                (Record::Posted(posted), Ok(()))
            }
            Err(rejection) => {
                if planted(Bug::CellOfRefused) {
                    self.write_early(&cells);
                }
                let refused = RefusedTransaction { transaction, rejection, seen: self.seen, decided_at };
                (Record::Refused(refused), Err(rejection))
            }
        };
        let tickets = reserved.map(|reserved| reserved.tickets).unwrap_or_default();
        let placed = placed(&record);
        let ending = Ending::Command(Finish { completion, placed, verdict, decided_at });
        let told = if verdict.is_ok() { tickets.as_slice() } else { &[] };
        debug_assert!(verdict.is_err() || told.iter().all(|&(shard, _)| guards.contains(shard)));
        self.append(&record, ending, told);
        if !tickets.is_empty() {
            let record = verdict.is_ok().then(|| Arc::new(record));
            for (shard, ticket) in tickets {
                self.outbox.push((shard, Input::Decided { ticket, record: record.clone() }));
            }
        }
    }

    /// Opens an account. It gets its number only here, so that an opening which is not admitted takes none.
    pub(super) fn open(
        &mut self,
        opening: &Arc<AccountOpening>,
        asset: AssetNo,
        scale: u8,
        reply: AccountReply,
    ) {
        let Some(no) = self.directory.add_account(opening, asset) else {
            let full = Unavailable::Overloaded("the table of accounts");
            self.directory.abandon_opening(&opening.address, full);
            return reply.send(Err(full.into()));
        };
        let opening = AccountOpening::clone(opening);
        let record = Record::AccountOpened { no, opening, scale, decided_at: self.stamp };
        self.append(&record, Ending::Opened(no, reply), &[]);
    }

    /// Nothing in flight names the account: what it shows here is on disk, but for holds that expire just now.
    pub(super) fn change(&mut self, no: AccountNo, change: AccountChange, reply: AccountReply) {
        let account = self.ledger.account(no).expect("a change goes to the shard that owns the account");
        if let Err(refusal) = decide_change(account, &change) {
            let error = match refusal {
                ChangeRefusal::NotEmpty => AccountError::NotEmpty,
                ChangeRefusal::Closed => AccountError::Closed,
                ChangeRefusal::InsufficientFunds => AccountError::BelowFloor,
                ChangeRefusal::CeilingExceeded => AccountError::AboveCeiling,
            };
            self.directory.entry(no).unmark();
            return reply.send(Err(error));
        }
        let record = Record::AccountChanged { no, change, decided_at: self.stamp };
        self.append(&record, Ending::Nothing, &[]);
        let account = self.ledger.account(no).expect("a change goes to the shard that owns the account");
        let rules = PublishedRules {
            position: self.seen,
            status: account.status(),
            floor: account.floor(),
            ceiling: account.ceiling(),
            limits: account.limits().to_vec(),
        };
        let last = self.unsynced.back_mut().expect("just appended");
        last.ending = Ending::Changed(no, Box::new(rules), reply);
    }

    /// Puts a record into the batch and applies it. `reserved` are the tickets of lower shards that it settles.
    pub(super) fn append(&mut self, record: &Record, ending: Ending, reserved: &[(ShardNo, Ticket)]) {
        let index = self.count;
        Group::frame(&mut self.records, record);
        self.count += 1;
        let effects = self.apply(record);
        if planted(Bug::CellShownBeforeSync) {
            effects.cells.iter().for_each(|write| self.directory.entry(write.account).publish_cell(write));
        }
        let ending =
            if planted(Bug::AcknowledgedBeforeSync) { self.acknowledge_early(ending) } else { ending };
        let ending = self.send_abroad(record, index, ending, reserved);
        self.unsynced.push_back(Unsynced { effects, ending });
    }

    /// A planted bug.
    fn write_early(&mut self, cells: &[CellWrite<AccountNo>]) {
        for CellWrite { account, kind, revision, value } in cells {
            if self.ledger.owns(*account) {
                let cell = Cell { revision: *revision, value: value.as_ref().into() };
                self.ledger.insert_cell(*account, *kind, cell);
            }
        }
    }

    /// A planted bug.
    fn acknowledge_early(&self, ending: Ending) -> Ending {
        let Ending::Command(finish) = ending else { return ending };
        finish.run(&self.directory, &self.counters, (self.seen.next(), self.stamp));
        Ending::Nothing
    }

    /// Queues what the record means to other shards; an ending that depends on them becomes a landing.
    fn send_abroad(
        &mut self,
        record: &Record,
        index: u32,
        ending: Ending,
        reserved: &[(ShardNo, Ticket)],
    ) -> Ending {
        if self.directory.shards() == 1 {
            return ending;
        }
        let mut lower = ShardSet::default();
        reserved.iter().for_each(|&(shard, _)| lower.insert(shard));
        let mut others = ShardSet::default();
        effects(record, |account, delta| {
            let shard = self.directory.shard_of(account);
            if shard != self.no && !lower.contains(shard) {
                others.insert(shard);
                let leg = self.legs.entry((shard, account)).or_insert((index, Delta::default()));
                leg.0 = index;
                if !planted(Bug::LegDropped) {
                    leg.1 += delta;
                }
            }
        });
        let Ending::Command(finish) = ending else { return ending };
        if reserved.is_empty() && others == ShardSet::default() {
            return Ending::Command(finish);
        }
        let shards = reserved.len() + others.len() + 1;
        let landing = Landing::new(u32::try_from(shards).expect("at most 64 shards"), finish);
        for &(shard, ticket) in reserved {
            let effect = ForeignEffect::Reserved { ticket, landing: Arc::clone(&landing) };
            self.foreign.push((shard, Foreign { index, effect }));
        }
        for shard in others.iter() {
            let effect = ForeignEffect::Landed(Arc::clone(&landing));
            self.foreign.push((shard, Foreign { index, effect }));
        }
        Ending::Landing(landing)
    }

    /// Applies a record to what this shard owns.
    pub(super) fn apply(&mut self, record: &Record) -> Effects {
        self.ledger.apply(record);
        let mut found = Effects::default();
        effects(record, |account, delta| {
            if self.ledger.owns(account) {
                found.deltas.push((account, delta));
            }
        });
        // Of what it guards only: a credit may be decided here while a higher shard decides on what is reserved, and may
        // not show the limits as they were before that.
        let mut show_limits = |account| {
            let Some(own) = self.ledger.account(account) else { return };
            if !own.limits().is_empty() && !found.limits.iter().any(|(limited, _)| *limited == account) {
                found.limits.push((account, own.limits().to_vec()));
            }
        };
        metered(record, &mut show_limits);
        if planted(Bug::LimitsShownAsBefore) {
            effects(record, |account, _| show_limits(account));
        }
        let mut retire = |owner: AccountNo, what: Retired| {
            if self.ledger.owns(owner) {
                found.retired.push(what);
            }
        };
        match record {
            Record::Posted(posted) => {
                for operation in &posted.operations {
                    match operation.kind {
                        PostedKind::Transfer { .. } | PostedKind::Hold { .. } => {}
                        PostedKind::Capture { hold, debit, .. } | PostedKind::Release { hold, debit, .. } => {
                            retire(debit, Retired::Hold(hold));
                        }
                        PostedKind::Reverse { transaction, operation, credit, .. } => {
                            retire(credit, Retired::Reversed(transaction, operation));
                        }
                    }
                }
            }
            Record::HoldExpired { hold, debit, .. } => retire(*debit, Retired::Hold(*hold)),
            Record::AccountOpened { .. }
            | Record::AccountChanged { .. }
            | Record::Refused(_)
            | Record::Snapshot(_) => {}
        }
        if let Record::Posted(posted) = record {
            let cells = posted.attachment.iter().flat_map(|attachment| &attachment.cells);
            found.cells.extend(cells.filter(|write| self.ledger.owns(write.account)).cloned());
        }
        found
    }
}

fn placed(record: &Record) -> SmallVec<[(HoldId, HoldPlace); 1]> {
    let Record::Posted(posted) = record else { return SmallVec::new() };
    let place = |kind: &PostedKind| match *kind {
        PostedKind::Hold { id, debit, credit, .. } => Some((id, HoldPlace { debit, credit })),
        PostedKind::Transfer { .. }
        | PostedKind::Capture { .. }
        | PostedKind::Release { .. }
        | PostedKind::Reverse { .. } => None,
    };
    posted.operations.iter().filter_map(|operation| place(&operation.kind)).collect()
}

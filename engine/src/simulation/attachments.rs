//! What verbs write beside their postings, judged: who may have an answer, an alias and a cell.
//!
//! Owns the conflicts that have to be explained. Looks at cells where the engine keeps them: what is shown, each shard's
//! ledger, the index's replica. Invariant: a conflict is right if an alias was taken, an account of a cell may not have been
//! there, or a cell had another revision while the call ran; and a cell is shown exactly as long as its record's postings.

use std::collections::{BTreeMap, BTreeSet};

use super::{audit::Auditor, names::Thing, shard_view::ShardView, world::World};
use crate::{
    directory::Directory,
    front::Front,
    journal::{PostedTransaction, Record},
    model::{
        AccountNo, Address, Attachment, Cell, CellKind, CellWrite, Position, Transaction, TransactionId,
    },
    shard::ShardNo,
    view::Outcome,
};

/// Which cell.
pub(super) type CellKey = (AccountNo, CellKind);

/// Steps between two looks at all cells that are shown; those that a record has written are looked at in its step.
const STEPS_BETWEEN_LOOKS: u64 = 16;

/// A conflict that what the shards have decided has to explain.
struct Doubt {
    id: TransactionId,
    began: u64,
    /// The cells whose shards have decided what nobody has seen yet, by cell, with the revisions to be made.
    cells: BTreeMap<CellKey, u64>,
}

/// What the auditor knows of attachments beside the model.
#[derive(Default)]
pub(super) struct Attached {
    doubts: Vec<Doubt>,
    /// When a cell was last written, as far as shards have sent it.
    written: BTreeMap<CellKey, u64>,
}

/// The field in which a body differs from the one that its id was decided for. Verbs compare documents themselves.
pub(super) fn difference(decided: &Transaction, body: &Transaction) -> Option<String> {
    match (&decided.attachment, &body.attachment) {
        (Some(_), Some(_)) => None,
        (Some(_), None) | (None, Some(_)) => Some("/id".into()),
        (None, None) => decided.difference(body),
    }
}

/// The cells that a record writes.
pub(super) fn writes(record: &Record) -> &[CellWrite<AccountNo>] {
    match record {
        Record::Posted(PostedTransaction { attachment: Some(attachment), .. }) => &attachment.cells,
        Record::Posted(_)
        | Record::Refused(_)
        | Record::AccountOpened { .. }
        | Record::AccountChanged { .. }
        | Record::HoldExpired { .. }
        | Record::Snapshot(_) => &[],
    }
}

/// Which they are.
pub(super) fn keys(record: &Record) -> impl Iterator<Item = CellKey> {
    writes(record).iter().map(|write| (write.account, write.kind))
}

/// The ids that lead to a record beside its own.
pub(super) fn aliases(record: &Record) -> &[TransactionId] {
    match record {
        Record::Posted(PostedTransaction { attachment: Some(attachment), .. }) => &attachment.aliases,
        Record::Posted(_)
        | Record::Refused(_)
        | Record::AccountOpened { .. }
        | Record::AccountChanged { .. }
        | Record::HoldExpired { .. }
        | Record::Snapshot(_) => &[],
    }
}

/// All that the journal keeps of a body that is refused.
fn as_refused(body: &Transaction) -> Transaction {
    let mut kept = body.clone();
    if let Some(attachment) = &mut kept.attachment {
        attachment.aliases.clear();
        attachment.cells.clear();
    }
    kept
}

/// An answer comes after each cell that the transaction wrote is shown.
pub(super) fn shows_cells(record: &Record, outcome: &Outcome, front: &Front) {
    for write in writes(record) {
        let found = front.directory.entry(write.account).cell(write.kind).map_or(0, |cell| cell.revision);
        assert!(
            found >= write.revision,
            "{} is answered, but revision {found} is shown: {write:?}",
            outcome.id
        );
    }
}

impl Auditor {
    /// Whether a posted record has what the body's verb put beside it, and nothing else.
    pub(super) fn is_attached(&self, body: &Transaction, posted: &PostedTransaction) -> bool {
        let (body, posted) = match (&body.attachment, &posted.attachment) {
            (Some(body), Some(posted)) => (body, posted),
            (body, posted) => return body.is_none() && posted.is_none(),
        };
        let same = |(asked, written): (&CellWrite<Address>, &CellWrite<AccountNo>)| {
            self.names.accounts.get(&asked.account).is_some_and(|known| known.no == written.account)
                && (asked.kind, asked.revision, &asked.value)
                    == (written.kind, written.revision, &written.value)
        };
        (&body.document, &body.aliases) == (&posted.document, &posted.aliases)
            && body.cells.len() == posted.cells.len()
            && body.cells.iter().zip(&posted.cells).all(same)
    }

    /// A posted record has been decided: nobody else has its aliases.
    pub(super) fn takes_aliases(&mut self, record: &Record) {
        for alias in aliases(record) {
            assert!(self.flushed.insert(*alias), "the alias {alias} is taken twice: {record:?}");
        }
        let hit = match writes(record) {
            [] => return,
            [_] => "cell written",
            [_, ..] => "cells written",
        };
        self.coverage.hit(hit);
        if matches!(record, Record::Posted(posted) if posted.operations.is_empty()) {
            self.coverage.hit("cells without operations");
        }
        let shard = |write: &CellWrite<AccountNo>| self.owner(write.account);
        if writes(record).iter().map(shard).collect::<BTreeSet<_>>().len() > 1 {
            self.coverage.hit("cells across shards");
        }
    }

    /// A shard has refused a body, as the journal keeps it: what may have been asked for, and was free to be decided at all.
    pub(super) fn asked_for(&mut self, kept: &Transaction) -> Vec<Transaction> {
        let bodies = self.ids.get(&kept.id).map(|it| it.bodies.as_slice()).unwrap_or_default();
        let is_free = |attachment: &Attachment<Address>| {
            let open = |write: &CellWrite<Address>| self.names.accounts.contains_key(&write.account);
            attachment.cells.iter().all(open)
                && !attachment.aliases.iter().any(|it| self.flushed.contains(it))
        };
        let fits = |body: &&Transaction| {
            as_refused(body) == *kept && body.attachment.as_ref().is_none_or(|it| is_free(it))
        };
        let asked: Vec<_> = bodies.iter().filter(fits).cloned().collect();
        assert!(!asked.is_empty(), "nobody asked for {kept:?} to be decided");
        if kept.attachment.is_some() {
            self.coverage.hit("attached and refused");
        }
        asked
    }

    /// A record is in the journal: its aliases lead to it for ever.
    pub(super) fn leads(&mut self, record: &Record, position: Position, body: &Transaction) {
        for alias in aliases(record) {
            let known = self.ids.entry(*alias).or_default();
            assert_eq!(known.position, None, "the alias {alias} of {} leads to another record", body.id);
            (known.position, known.decided) = (Some(position), Some(body.clone()));
        }
    }

    /// What a call asks for may be looked for later.
    pub(super) fn asks_for_aliases(&mut self, body: &Transaction) {
        for alias in body.attachment.iter().flat_map(|it| &it.aliases) {
            self.ids.entry(*alias).or_default();
        }
    }

    /// A client hears that what it was made from is not the newest any more.
    pub(super) fn conflicted(&mut self, body: &Transaction, began: u64) {
        let attachment = body.attachment.as_ref().expect("a conflict is about an attachment");
        let position = |id: &TransactionId| self.ids.get(id).and_then(|it| it.position);
        if attachment.aliases.iter().any(|alias| position(alias).is_some()) {
            return self.coverage.hit("conflict: an alias");
        }
        let mut cells = BTreeMap::new();
        for write in &attachment.cells {
            let shown = self.shown.get(&Thing::Account(write.account.clone()));
            let known = self.names.accounts.get(&write.account);
            let Some(known) = known.filter(|_| shown.is_some_and(|&shown| shown < began)) else {
                return self.coverage.hit("conflict: no account");
            };
            cells.insert((known.no, write.kind), write.revision);
        }
        let mut doubt = Doubt { id: body.id, began, cells };
        if !self.is_explained(&doubt) {
            doubt.cells.retain(|key, _| self.view_of(key.0).has_unsent());
            assert!(!doubt.cells.is_empty(), "{}: nothing stood in the way of {attachment:?}", body.id);
            self.attached.doubts.push(doubt);
        }
        self.coverage.hit("conflict: a revision");
    }

    /// A client hears of the first outcome of a body.
    pub(super) fn replayed(&mut self, body: &Transaction) {
        let Some(first) = &self.ids[&body.id].decided else { return };
        let (is_alias, altered) = (first.id != body.id, first.attachment != body.attachment);
        if is_alias {
            self.coverage.hit("alias answered");
        } else if altered {
            self.coverage.hit("replayed for another attachment");
        }
    }

    fn is_explained(&self, doubt: &Doubt) -> bool {
        doubt.cells.iter().any(|(key, &revision)| {
            let newest = self.view_of(key.0).newest_revision(*key);
            newest.checked_add(1) != Some(revision)
                || self.attached.written.get(key).is_some_and(|&step| step >= doubt.began)
        })
    }

    /// A shard has sent what it decided: doubts about its cells end.
    pub(super) fn end_doubts(&mut self, shard: ShardNo, written: Vec<CellKey>) {
        self.attached.written.extend(written.into_iter().map(|key| (key, self.step)));
        let mut doubts = std::mem::take(&mut self.attached.doubts);
        doubts.retain(|doubt| !self.is_explained(doubt));
        for doubt in &mut doubts {
            doubt.cells.retain(|key, _| self.owner(key.0) != shard);
            assert!(!doubt.cells.is_empty(), "{}: a conflict, and nothing stood in its way", doubt.id);
        }
        self.attached.doubts = doubts;
    }

    fn owner(&self, account: AccountNo) -> ShardNo {
        let shards = u16::try_from(self.views.len()).unwrap_or(1);
        ShardNo(self.names.addresses[&account].shard(shards))
    }

    fn view_of(&self, account: AccountNo) -> &ShardView {
        &self.views[self.owner(account).index()]
    }

    /// The cells that are shown are those whose records are synced, in the same step as the postings beside them.
    pub(super) fn cells_shown(&mut self, directory: &Directory) {
        let all = self.step.is_multiple_of(STEPS_BETWEEN_LOOKS);
        for view in &mut self.views {
            let written = std::mem::take(&mut view.written);
            let written = written.iter().filter_map(|key| view.cells.get_key_value(key));
            let others = view.cells.iter().filter(|_| all);
            for (&(no, kind), expected) in written.chain(others) {
                let found = directory.entry(no).cell(kind);
                let address = &self.names.addresses[&no];
                assert_eq!(found.as_ref(), Some(expected), "cell {} of {address} as shown", kind.0);
            }
        }
    }

    /// To be called when nothing is on its way: every copy of every cell is what the journal says, and there is none beside.
    pub(super) fn audit_cells(&mut self, world: &World) {
        let expected: Vec<(AccountNo, CellKind, &Cell)> =
            self.model.cells.iter().map(|(&(no, kind), cell)| (no, kind, cell)).collect();
        let replica: Vec<_> = world.follower.ledger().cells().collect();
        assert_eq!(replica, expected, "the cells in the index's replica");
        let mut owned: Vec<_> = world.cells().collect();
        owned.sort_by_key(|&(no, kind, _)| (no, kind));
        assert_eq!(owned, expected, "the cells in the shards' ledgers");
        for no in self.model.accounts.keys() {
            let found = world.shared.directory.entry(*no).cells();
            let expected: BTreeMap<_, _> =
                self.model.cells.range((*no, CellKind(0))..=(*no, CellKind(u8::MAX))).collect();
            let expected = expected.into_iter().map(|(&(_, kind), cell)| (kind, cell.clone()));
            let address = &self.names.addresses[no];
            assert!(found.iter().cloned().eq(expected), "the cells of {address} are shown as {found:?}");
        }
    }

    /// Whether an answer that is no replay is about this body's attachment, and not another one's.
    pub(super) fn is_first_answer_of(&self, body: &Transaction, record: &Record) -> bool {
        match record {
            Record::Posted(posted) => self.is_attached(body, posted),
            Record::Refused(refused) => as_refused(body).attachment == refused.transaction.attachment,
            Record::AccountOpened { .. }
            | Record::AccountChanged { .. }
            | Record::HoldExpired { .. }
            | Record::Snapshot(_) => false,
        }
    }
}

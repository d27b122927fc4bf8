//! Whether a record fits the books.
//!
//! Owns what must hold before a record is applied: the engine takes it for granted, and stops where it does not. Never
//! changes anything. Invariant: what fits is applied without a panic.

use smallvec::SmallVec;

use crate::{
    journal::{PostedTransaction, Record},
    ledger::{Ledger, effects},
    model::{AccountNo, Amount, HoldId, PostedKind, TransactionId},
};

/// A hold as its end must name it: debit, credit, held.
type Held = (AccountNo, AccountNo, Amount);

/// What a record does that the ledger can't follow, in words behind "position N"; `None` if it fits.
pub(super) fn misfit(ledger: &Ledger, record: &Record) -> Option<String> {
    let mut unknown = None;
    effects(record, |account, _| {
        if unknown.is_none() && !ledger.owns(account) {
            unknown = Some(account);
        }
    });
    if let Some(unknown) = unknown {
        return Some(format!("moves account {}, which was never opened", unknown.0));
    }
    match record {
        Record::AccountOpened { no, .. } => ledger.owns(*no).then(|| format!("opens account {} again", no.0)),
        Record::Posted(posted) => operations(ledger, posted).or_else(|| cells(ledger, posted)),
        Record::HoldExpired { hold, debit, credit, held, .. } => {
            Holds { ledger, ended: SmallVec::new() }.end(*hold, (*debit, *credit, *held), Amount::ZERO)
        }
        Record::AccountChanged { .. } | Record::Refused(_) | Record::Snapshot(_) => None,
    }
}

fn operations(ledger: &Ledger, posted: &PostedTransaction) -> Option<String> {
    let mut holds = Holds { ledger, ended: SmallVec::new() };
    let mut placed = SmallVec::<[HoldId; 2]>::new();
    let mut reversed = SmallVec::<[(TransactionId, u8, Amount); 2]>::new();
    posted.operations.iter().find_map(|operation| match operation.kind {
        PostedKind::Transfer { .. } => None,
        PostedKind::Hold { id, .. } => {
            let again = ledger.hold(id).is_some() || placed.contains(&id);
            placed.push(id);
            again.then(|| format!("places hold {id} again"))
        }
        PostedKind::Capture { hold, debit, credit, held, amount, .. } => {
            holds.end(hold, (debit, credit, held), amount)
        }
        PostedKind::Release { hold, debit, credit, held } => {
            holds.end(hold, (debit, credit, held), Amount::ZERO)
        }
        PostedKind::Reverse { transaction, operation, amount, total, .. } => {
            let before = reversed.iter().rev().find(|it| (it.0, it.1) == (transaction, operation));
            let fits = before.map_or(amount <= total, |it| it.2.checked_add(amount) == Some(total));
            reversed.push((transaction, operation, total));
            (!fits).then(|| format!("reverses operation {operation} of {transaction} beyond its total"))
        }
    })
}

fn cells(ledger: &Ledger, posted: &PostedTransaction) -> Option<String> {
    let cells = posted.attachment.as_ref().map_or(&[][..], |attachment| &attachment.cells);
    cells.iter().enumerate().find_map(|(index, write)| {
        let newest = ledger.cell(write.account, write.kind).map_or(0, |cell| cell.revision);
        let again = cells.iter().take(index).any(|it| (it.account, it.kind) == (write.account, write.kind));
        let follows = newest.checked_add(1) == Some(write.revision) && !again;
        (!follows || !ledger.owns(write.account)).then(|| {
            let (revision, kind) = (write.revision, write.kind.0);
            format!("writes revision {revision} of cell {kind} of account {} out of order", write.account.0)
        })
    })
}

struct Holds<'a> {
    ledger: &'a Ledger,
    ended: SmallVec<[HoldId; 2]>,
}

impl Holds<'_> {
    fn end(&mut self, id: HoldId, (debit, credit, held): Held, captured: Amount) -> Option<String> {
        let lives = self.ledger.hold(id).is_some_and(|hold| {
            hold.ended.is_none() && (hold.debit, hold.credit, hold.held) == (debit, credit, held)
        });
        let fits = lives && captured <= held && !self.ended.contains(&id);
        self.ended.push(id);
        (!fits).then(|| format!("ends hold {id}, which does not live like this"))
    }
}

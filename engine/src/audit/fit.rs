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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::Hold,
        model::{
            Address, Attachment, Cell, CellKind, CellWrite, Metadata, NormalSide, PostedOperation, Timestamp,
        },
    };

    const ONE: AccountNo = AccountNo(0);
    const OTHER: AccountNo = AccountNo(1);
    const LIVE: HoldId = HoldId(7);

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new();
        for (no, name) in [(ONE, "one"), (OTHER, "other")] {
            ledger.open(no, &opening(name));
        }
        let (held, captured, at) = (Amount(5), Amount::ZERO, Timestamp::ZERO);
        let (debit, credit, placed_at, expires_at) = (ONE, OTHER, at, at);
        let hold = Hold { debit, credit, held, captured, placed_at, expires_at, code: None, ended: None };
        ledger.insert_hold(LIVE, hold);
        ledger.insert_cell(ONE, CellKind(1), Cell { revision: 3, value: b"x".as_slice().into() });
        ledger
    }

    fn opening(name: &str) -> crate::model::AccountOpening {
        crate::model::AccountOpening {
            address: Address::parse(name).unwrap(),
            asset: "CNY".into(),
            normal: NormalSide::Credit,
            floor: None,
            ceiling: None,
            limits: Vec::new(),
            metadata: Metadata::default(),
            managed: false,
        }
    }

    fn posted(operations: &[PostedKind], cells: &[(AccountNo, u8, u64)]) -> Record {
        let cells = cells.iter().map(|&(account, kind, revision)| CellWrite {
            account,
            kind: CellKind(kind),
            revision,
            value: b"y".as_slice().into(),
        });
        let attachment = Attachment { document: Box::default(), aliases: Vec::new(), cells: cells.collect() };
        let operations = operations.iter().map(|kind| PostedOperation { kind: kind.clone(), code: None });
        Record::Posted(PostedTransaction {
            id: TransactionId(1),
            decided_at: Timestamp::ZERO,
            operations: operations.collect(),
            code: None,
            reference: None,
            metadata: Metadata::default(),
            attachment: Some(Box::new(attachment)),
        })
    }

    fn check(record: &Record, expected: Option<&str>) {
        let found = misfit(&ledger(), record);
        assert_eq!(found.is_some(), expected.is_some(), "{record:?}: {found:?}");
        assert!(found.is_none_or(|found| expected.is_some_and(|part| found.contains(part))), "{record:?}");
        if expected.is_none() {
            ledger().apply(record);
        }
    }

    #[test]
    fn what_would_stop_the_engine_does_not_fit() {
        let unknown = AccountNo(2);
        let open = |no| {
            let decided_at = Timestamp::ZERO;
            Record::AccountOpened { no, opening: opening("new"), scale: 2, decided_at }
        };
        check(&open(ONE), Some("again"));
        check(&open(unknown), None);
        let transfer = |debit| PostedKind::Transfer { debit, credit: OTHER, amount: Amount(1) };
        check(&posted(&[transfer(ONE)], &[]), None);
        check(&posted(&[transfer(ONE), transfer(unknown)], &[]), Some("never opened"));

        let place = |id| {
            let (debit, credit, amount) = (ONE, OTHER, Amount(1));
            PostedKind::Hold { id, debit, credit, amount, expires_in: 1 }
        };
        check(&posted(&[place(HoldId(8)), place(HoldId(9))], &[]), None);
        check(&posted(&[place(HoldId(8)), place(HoldId(8))], &[]), Some("places hold"));
        check(&posted(&[place(LIVE)], &[]), Some("places hold"));
        let capture = |hold, credit, held, amount| {
            let (held, amount, debit) = (Amount(held), Amount(amount), ONE);
            PostedKind::Capture { hold, debit, credit, held, amount, explicit: true }
        };
        check(&posted(&[capture(HoldId(8), OTHER, 5, 5)], &[]), Some("ends hold"));
        check(&posted(&[capture(LIVE, ONE, 5, 5)], &[]), Some("ends hold"));
        check(&posted(&[capture(LIVE, OTHER, 4, 4)], &[]), Some("ends hold"));
        check(&posted(&[capture(LIVE, OTHER, 5, 6)], &[]), Some("ends hold"));
        let release = PostedKind::Release { hold: LIVE, debit: ONE, credit: OTHER, held: Amount(5) };
        check(&posted(&[release.clone(), release], &[]), Some("ends hold"));
        let expired = |hold| Record::HoldExpired {
            hold,
            debit: ONE,
            credit: OTHER,
            held: Amount(5),
            decided_at: Timestamp::ZERO,
        };
        check(&expired(HoldId(8)), Some("ends hold"));

        let reverse = |amount, total| PostedKind::Reverse {
            transaction: TransactionId(2),
            operation: 0,
            debit: ONE,
            credit: OTHER,
            amount: Amount(amount),
            explicit: true,
            total: Amount(total),
            original_at: Timestamp::ZERO,
            original_code: None,
        };
        check(&posted(&[reverse(1, 4), reverse(2, 6)], &[]), None);
        check(&posted(&[reverse(5, 4)], &[]), Some("beyond its total"));
        check(&posted(&[reverse(1, 4), reverse(2, 5)], &[]), Some("beyond its total"));

        check(&posted(&[], &[(ONE, 1, 4), (ONE, 2, 1), (OTHER, 1, 1)]), None);
        for cells in [&[(ONE, 1, 5)][..], &[(ONE, 2, 2)], &[(unknown, 1, 1)], &[(ONE, 1, 4), (ONE, 1, 5)]] {
            check(&posted(&[], cells), Some("out of order"));
        }
    }
}

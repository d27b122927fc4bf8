use super::*;
use crate::model::{Attachment, CellWrite};

const KIND: CellKind = CellKind(3);

fn write(account: u32, revision: u64) -> CellWrite<AccountNo> {
    let value = Box::from(revision.to_be_bytes());
    CellWrite { account: AccountNo(account), kind: KIND, revision, value }
}

fn written(ledger: &mut Ledger, cells: Vec<CellWrite<AccountNo>>) {
    let attachment = Attachment { document: Box::default(), aliases: vec![], cells };
    ledger.apply(&Record::Posted(PostedTransaction {
        id: TransactionId(9),
        decided_at: Timestamp::ZERO,
        operations: SmallVec::new(),
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: Some(Box::new(attachment)),
    }));
}

fn cell(revision: u64) -> Cell {
    Cell { revision, value: revision.to_be_bytes().into() }
}

#[test]
fn a_command_is_made_from_the_newest_revision_of_each_cell_that_lives_here() {
    let mut ledger = World::new().ledger;
    let check = |ledger: &Ledger, cells: Vec<CellWrite<AccountNo>>, expected: Result<(), NotGathered>| {
        let command = Command { cells, ..command(9, None, &[]) };
        assert_eq!(ledger.gather(&command, &mut Facts::default()), expected, "{:?}", command.cells);
    };
    const FOREIGN: u32 = 99;
    check(&ledger, vec![write(ALICE, 1)], Ok(()));
    check(&ledger, vec![write(ALICE, 0)], Err(NotGathered::Conflict));
    check(&ledger, vec![write(ALICE, 2)], Err(NotGathered::Conflict));
    check(&ledger, vec![write(FOREIGN, 7)], Ok(()));
    written(&mut ledger, vec![write(ALICE, 1), write(FOREIGN, 7)]);
    check(&ledger, vec![write(ALICE, 1)], Err(NotGathered::Conflict));
    check(&ledger, vec![write(ALICE, 2), write(SHOP, 1)], Ok(()));
    check(&ledger, vec![write(ALICE, 2), write(SHOP, 2)], Err(NotGathered::Conflict));
    check(&ledger, vec![CellWrite { kind: CellKind(4), ..write(ALICE, 1) }], Ok(()));
}

#[test]
fn a_cell_is_what_was_written_last() {
    let mut ledger = World::new().ledger;
    ledger.insert_cell(AccountNo(SHOP), KIND, cell(41));
    written(&mut ledger, vec![write(SHOP, 42), write(ALICE, 1)]);
    written(&mut ledger, vec![write(ALICE, 2)]);
    assert_eq!(ledger.cell(AccountNo(ALICE), KIND), Some(&cell(2)));
    assert_eq!(ledger.cell(AccountNo(ALICE), CellKind(4)), None);
    let all: Vec<_> = ledger.cells().collect();
    assert_eq!(all, [(AccountNo(ALICE), KIND, &cell(2)), (AccountNo(SHOP), KIND, &cell(42))]);
}

#[test]
#[should_panic(expected = "written out of order")]
fn a_revision_that_does_not_follow_is_a_broken_ledger() {
    written(&mut World::new().ledger, vec![write(ALICE, 2)]);
}

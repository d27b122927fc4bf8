//! What product verbs stand on: aliases, cells and documents in a transaction's record.

use yue_engine::{
    model::{OperationKind, Rejection, RejectionCode, Transaction},
    view::{Event, SubmitError},
};

use crate::support::{KIND, Yue, address, attach, cell, id, many, one, transfer};

async fn opened(shards: u16) -> Yue {
    let yue = Yue::new(shards);
    for name in ["customers:1", "customers:2", "customers:3"] {
        yue.open(name).await;
    }
    yue.open_with("channels:bank", |opening| opening.floor = None).await;
    yue.fund("customers:1", 1_000).await;
    yue.open_with("merchants:1", |opening| opening.managed = true).await;
    yue
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_is_written_with_the_money_or_not_at_all() {
    for shards in [1, 4] {
        let yue = opened(shards).await;
        let pay = |cells: &[(&str, u64, &str)], units| {
            attach(one(transfer("customers:1", "merchants:1", units)), &[], cells)
        };
        // Cells of three accounts, in several shards, and money.
        let cells = [("customers:1", 1, "a"), ("customers:2", 1, "b"), ("customers:3", 1, "c")];
        yue.engine.submit(pay(&cells, 100)).await.unwrap().verdict.unwrap();
        // One of them was written since: nothing happens, and the id stays free.
        let stale = pay(&[("customers:2", 2, "d"), ("customers:3", 1, "e")], 100);
        assert_eq!(yue.engine.submit(stale.clone()).await, Err(SubmitError::Conflict));
        assert!(yue.engine.transaction(stale.id).await.unwrap().is_none());
        let again =
            Transaction { id: stale.id, ..pay(&[("customers:2", 2, "d"), ("customers:3", 2, "e")], 100) };
        yue.engine.submit(again).await.unwrap().verdict.unwrap();
        // A refusal writes no cell, and keeps the document.
        let poor = pay(&[("customers:2", 3, "f")], 5_000);
        let refused = yue.engine.submit(poor.clone()).await.unwrap().verdict.unwrap_err();
        assert_eq!(refused, Rejection { code: RejectionCode::InsufficientFunds, operation: 0 });
        let view = yue.engine.transaction(poor.id).await.unwrap().unwrap();
        assert_eq!(&*view.request.attachment.unwrap().document, b"document");
        let check = |yue: &Yue| {
            assert_eq!(cell(yue, "customers:1"), Some((1, "a".into())));
            assert_eq!(cell(yue, "customers:2"), Some((2, "d".into())));
            assert_eq!(cell(yue, "customers:3"), Some((2, "e".into())));
            assert_eq!(yue.available("customers:1"), 800);
        };
        check(&yue);
        // From the journal, and, beyond a segment, from the index.
        let yue = yue.restart(3).await;
        check(&yue);
        for _ in 0..300 {
            yue.fund("customers:2", 1).await;
        }
        let yue = yue.restart(shards).await;
        check(&yue);
        yue.engine.submit(pay(&[("customers:2", 3, "g")], 1)).await.unwrap().verdict.unwrap();
        assert_eq!(cell(&yue, "customers:2"), Some((3, "g".into())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_writes_of_one_revision_one_happens() {
    let yue = opened(4).await;
    let writes = (0..64).map(|_| {
        let engine = yue.engine.clone();
        let write = attach(one(transfer("customers:1", "merchants:1", 1)), &[], &[("customers:2", 1, "x")]);
        tokio::spawn(async move { engine.submit(write).await })
    });
    let mut happened = 0;
    for write in writes.collect::<Vec<_>>() {
        match write.await.unwrap() {
            Ok(outcome) => {
                outcome.verdict.unwrap();
                happened += 1;
            }
            Err(error) => assert_eq!(error, SubmitError::Conflict),
        }
    }
    assert_eq!((happened, yue.available("customers:1")), (1, 999));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_leads_to_one_transaction_for_ever() {
    let yue = opened(2).await;
    let alias = id();
    let pay = |units| attach(one(transfer("customers:1", "merchants:1", units)), &[alias], &[]);
    // A refusal takes none.
    let poor = pay(5_000);
    yue.engine.submit(poor.clone()).await.unwrap().verdict.unwrap_err();
    assert!(yue.engine.transaction(alias).await.unwrap().is_none());
    let first = pay(1);
    yue.engine.submit(first.clone()).await.unwrap().verdict.unwrap();
    let check = async |yue: &Yue| {
        assert_eq!(yue.engine.transaction(alias).await.unwrap().unwrap().request.id, first.id);
        assert_eq!(yue.engine.submit(pay(1)).await, Err(SubmitError::Conflict));
        let replay = yue.engine.submit(first.clone()).await.unwrap();
        assert!(replay.replayed && replay.verdict.is_ok());
        assert_eq!(yue.available("customers:1"), 999);
    };
    check(&yue).await;
    let yue = yue.restart(4).await;
    check(&yue).await;
    for _ in 0..300 {
        yue.fund("customers:2", 1).await;
    }
    let yue = yue.restart(2).await;
    check(&yue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_is_no_second_name_to_reverse_by() {
    let yue = opened(2).await;
    let alias = id();
    let verb = attach(one(transfer("customers:1", "customers:2", 100)), &[alias], &[]);
    yue.engine.submit(verb.clone()).await.unwrap().verdict.unwrap();
    let reverse = |transaction| one(OperationKind::Reverse { transaction, operation: 0, amount: None });
    let check = async |transaction, code, available| {
        let refused = yue.engine.submit(reverse(transaction)).await.unwrap().verdict;
        assert_eq!(refused.err().map(|rejection| rejection.code), code);
        assert_eq!(yue.available("customers:1"), available);
    };
    // All reversals of an operation together never exceed it, whatever leads to it.
    check(alias, Some(RejectionCode::TransactionNotFound), 900).await;
    check(verb.id, None, 1_000).await;
    yue.fund("customers:2", 100).await;
    check(verb.id, Some(RejectionCode::ReversalExceedsOriginal), 1_000).await;
    check(alias, Some(RejectionCode::TransactionNotFound), 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_account_is_moved_by_product_verbs_alone() {
    let yue = opened(2).await;
    let plain = one(transfer("customers:1", "merchants:1", 1));
    assert_eq!(yue.engine.submit(plain.clone()).await, Err(SubmitError::Managed { operation: 0 }));
    let batch = vec![plain, one(transfer("customers:1", "customers:2", 1))];
    let results = yue.engine.submit_batch(batch).await;
    assert_eq!(results[0], Err(SubmitError::Managed { operation: 0 }));
    assert!(results[1].as_ref().unwrap().verdict.is_ok());
    let verb = attach(one(transfer("customers:1", "merchants:1", 5)), &[], &[]);
    yue.engine.submit(verb.clone()).await.unwrap().verdict.unwrap();
    let reversal = OperationKind::Reverse { transaction: verb.id, operation: 0, amount: None };
    assert_eq!(yue.engine.submit(one(reversal)).await, Err(SubmitError::Managed { operation: 0 }));
    // The body of a ledger transaction can't take a verb's id.
    let other = Transaction { id: verb.id, ..one(transfer("customers:1", "customers:2", 1)) };
    assert!(matches!(yue.engine.submit(other).await, Err(SubmitError::IdReused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_without_money_is_a_record_that_tells_nothing() {
    let yue = opened(4).await;
    let before = yue.engine.trial_balance().await.unwrap().position;
    let note = attach(many([]), &[id()], &[("customers:3", 1, "secret")]);
    yue.engine.submit(note.clone()).await.unwrap().verdict.unwrap();
    let bare = attach(many([]), &[], &[]);
    yue.engine.submit(bare.clone()).await.unwrap().verdict.unwrap();
    assert!(yue.engine.submit(bare).await.unwrap().replayed);
    let events = yue.engine.events(before, 10).await.unwrap();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| matches!(event.event, Event::WalletChanged)));
    yue.assert_balanced().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_shows_accounts_and_cells_together() {
    let yue = opened(4).await;
    yue.open("customers:1:wealth").await;
    let addresses = vec![address("customers:1"), address("customers:1:wealth"), address("customers:1:none")];
    let writer = {
        let engine = yue.engine.clone();
        tokio::spawn(async move {
            for step in 1..=200_u64 {
                let cells = [("customers:1", step, "x")];
                let moved = attach(one(transfer("customers:1", "customers:1:wealth", 1)), &[], &cells);
                engine.submit(moved).await.unwrap().verdict.unwrap();
            }
        })
    };
    let mut last = 0;
    while last < 200 {
        let moment = yue.engine.moment(addresses.clone(), &[KIND]).await.unwrap();
        let [own, wealth, none] = moment.accounts.as_slice() else { panic!("three accounts") };
        let (own, wealth) = (own.as_ref().unwrap().posted, wealth.as_ref().unwrap().posted);
        assert_eq!((own + wealth, none), (1_000, &None));
        let revision = moment.cells[0].as_ref().map_or(0, |cell| cell.revision);
        assert_eq!(i128::from(revision), wealth);
        assert!(revision >= last);
        last = revision;
    }
    writer.await.unwrap();
}

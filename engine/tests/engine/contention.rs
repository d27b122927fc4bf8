use tokio::task::JoinSet;
use yue_engine::{
    model::{OperationKind, RejectionCode, Transaction},
    view::{Outcome, SubmitError},
};

use crate::support::{Yue, code, hold, hold_id, many, one, transfer};

async fn submit_all(yue: &Yue, transactions: Vec<Transaction>) -> Vec<Result<Outcome, SubmitError>> {
    let mut tasks = JoinSet::new();
    for transaction in transactions {
        let engine = yue.engine.clone();
        tasks.spawn(async move { engine.submit(transaction).await });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_affords_600_of_1000_pays_600() {
    for shards in [1, 2, 4, 7] {
        let yue = Yue::new(shards);
        for name in ["channels:bank", "customers:1", "merchants:1", "merchants:2", "merchants:3"] {
            yue.open(name).await;
        }
        yue.fund("customers:1", 600).await;
        let payment = |no: usize| one(transfer("customers:1", &format!("merchants:{}", 1 + no % 3), 1));
        let outcomes = submit_all(&yue, (0..1_000).map(payment).collect()).await;
        let posted = outcomes.iter().filter(|outcome| code(outcome).is_none()).count();
        let refused =
            outcomes.iter().filter(|outcome| code(outcome) == Some(RejectionCode::InsufficientFunds));
        assert_eq!((posted, refused.count()), (600, 400), "{shards} shards");
        assert_eq!(yue.posted("customers:1"), 0, "{shards} shards");
        let merchants: i128 = (1..=3).map(|no| yue.posted(&format!("merchants:{no}"))).sum();
        assert_eq!(merchants, 600, "{shards} shards");
        yue.assert_balanced().await;
    }
}

/// Payers, budgets and merchants all guard, in different shards: no deadlock, no oversold budget, no refusal because of
/// somebody's reservation in flight.
#[tokio::test(flavor = "multi_thread")]
async fn guards_in_several_shards_hold_under_contention() {
    for shards in [2, 4, 7] {
        let yue = Yue::new(shards);
        yue.open("channels:bank").await;
        for no in 0..8 {
            yue.open(&format!("customers:{no}")).await;
            yue.open_with(&format!("merchants:{no}"), |opening| opening.ceiling = Some(1_000_000)).await;
            yue.fund(&format!("customers:{no}"), 10_000).await;
        }
        yue.open("promos:618").await;
        yue.fund("promos:618", 500).await;
        let payment = |no: usize| {
            let merchant = format!("merchants:{}", no * 5 % 8);
            let customer = format!("customers:{}", no % 8);
            many([transfer("promos:618", &merchant, 1), transfer(&customer, &merchant, 9)])
        };
        let outcomes = submit_all(&yue, (0..1_000).map(payment).collect()).await;
        let posted = outcomes.iter().filter(|outcome| code(outcome).is_none()).count();
        assert_eq!(posted, 500, "{shards} shards: the budget is spent to the last unit, and no further");
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(code(outcome), None | Some(RejectionCode::InsufficientFunds)))
        );
        assert_eq!(yue.posted("promos:618"), 0);
        let customers: i128 = (0..8).map(|no| yue.posted(&format!("customers:{no}"))).sum();
        let merchants: i128 = (0..8).map(|no| yue.posted(&format!("merchants:{no}"))).sum();
        assert_eq!((customers, merchants), (80_000 - 4_500, 5_000), "{shards} shards");
        yue.assert_balanced().await;
    }
}

/// Money that goes round in a circle over all shards: every transfer is covered, so none may be refused.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_declined_because_of_a_reservation() {
    let yue = Yue::new(4);
    yue.open("channels:bank").await;
    for no in 0..6 {
        yue.open_with(&format!("customers:{no}"), |opening| opening.ceiling = Some(1_000_000)).await;
        yue.fund(&format!("customers:{no}"), 100_000).await;
    }
    let pay = |no: usize| {
        one(transfer(
            &format!("customers:{}", no % 6),
            &format!("customers:{}", (no * 7 + 1 + no / 6 % 5) % 6),
            3,
        ))
    };
    let transactions: Vec<_> = (0..2_000).map(pay).filter(differ).collect();
    let outcomes = submit_all(&yue, transactions).await;
    assert!(outcomes.iter().all(|outcome| code(outcome).is_none()));
    assert_eq!((0..6).map(|no| yue.posted(&format!("customers:{no}"))).sum::<i128>(), 600_000);
}

fn differ(transaction: &Transaction) -> bool {
    match &transaction.operations[0].kind {
        OperationKind::Transfer { debit, credit, .. } => debit != credit,
        OperationKind::Hold { .. }
        | OperationKind::Capture { .. }
        | OperationKind::Release { .. }
        | OperationKind::Reverse { .. } => true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_sent_64_times_at_once_takes_effect_once() {
    let yue = Yue::new(2);
    for name in ["channels:bank", "customers:1", "merchants:1"] {
        yue.open(name).await;
    }
    yue.fund("customers:1", 100).await;
    let payment = one(transfer("customers:1", "merchants:1", 7));
    let outcomes = submit_all(&yue, vec![payment.clone(); 64]).await;
    let first = outcomes[0].as_ref().unwrap();
    for outcome in &outcomes {
        let outcome = outcome.as_ref().unwrap();
        assert_eq!((outcome.position, outcome.at, outcome.verdict), (first.position, first.at, Ok(())));
    }
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.as_ref().unwrap().replayed).count(), 1);
    assert_eq!(yue.posted("customers:1"), 93);

    // Two bodies at once: one of them wins, all copies of the other hear what differs.
    let other = Transaction { id: crate::support::id(), ..payment.clone() };
    let mut changed = other.clone();
    changed.reference = Some("other".into());
    let outcomes = submit_all(&yue, [vec![other; 32], vec![changed; 32]].concat()).await;
    let reused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(SubmitError::IdReused { field }) if field == "/reference"));
    assert_eq!(reused.count(), 32);
    assert_eq!(yue.posted("customers:1"), 86);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_each_in_the_order_given() {
    let yue = Yue::new(3);
    for name in ["channels:bank", "customers:1", "merchants:1"] {
        yue.open(name).await;
    }
    yue.fund("customers:1", 5).await;
    let payment = one(transfer("customers:1", "merchants:1", 5));
    let mut other = payment.clone();
    other.code = Some("other".into());
    let missing = one(transfer("customers:1", "merchants:nobody", 1));
    let results = yue.engine.submit_batch(vec![payment.clone(), payment.clone(), other, missing]).await;
    assert_eq!(results[0].as_ref().unwrap().verdict, Ok(()));
    let again = results[1].as_ref().unwrap();
    assert!(again.replayed && again.position == results[0].as_ref().unwrap().position);
    assert_eq!(results[2], Err(SubmitError::IdReused { field: "/code".into() }));
    assert_eq!(code(&results[3]), Some(RejectionCode::AccountNotFound));
    assert!(yue.engine.submit_batch(Vec::new()).await.is_empty());
}

/// Captures, releases and expiry of the same hold at once: it ends once.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_once() {
    for shards in [1, 3] {
        let yue = Yue::new(shards);
        for name in ["channels:bank", "customers:1", "merchants:1"] {
            yue.open(name).await;
        }
        yue.fund("customers:1", 1_000).await;
        for _ in 0..20 {
            let hold_id = hold_id();
            let before = yue.posted("customers:1");
            let placed = one(hold(hold_id, "customers:1", "merchants:1", 10, 900));
            assert_eq!(yue.engine.submit(placed).await.unwrap().verdict, Ok(()));
            assert_eq!(yue.available("customers:1"), before - 10);
            let end = |no: usize| match no % 2 {
                0 => one(OperationKind::Capture { hold: hold_id, amount: Some(crate::support::amount(4)) }),
                _ => one(OperationKind::Release { hold: hold_id }),
            };
            let outcomes = submit_all(&yue, (0..8).map(end).collect()).await;
            let codes: Vec<_> = outcomes.iter().map(code).collect();
            assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 1, "{codes:?}");
            let spent = before - yue.posted("customers:1");
            let late = codes.iter().flatten().copied().next();
            let expected = if spent == 4 { RejectionCode::HoldCaptured } else { RejectionCode::HoldReleased };
            assert_eq!(late, Some(expected));
            assert_eq!(yue.available("customers:1"), before - spent);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_at_once_never_exceed_the_payment() {
    let yue = Yue::new(3);
    for name in ["channels:bank", "customers:1", "merchants:1"] {
        yue.open(name).await;
    }
    yue.fund("customers:1", 1_000).await;
    yue.fund("merchants:1", 10_000).await;
    let payment = one(transfer("customers:1", "merchants:1", 100));
    let transaction = payment.id;
    yue.engine.submit(payment).await.unwrap();
    let refund = |_| {
        one(OperationKind::Reverse { transaction, operation: 0, amount: Some(crate::support::amount(7)) })
    };
    let outcomes = submit_all(&yue, (0..50).map(refund).collect()).await;
    assert_eq!(outcomes.iter().filter(|outcome| code(outcome).is_none()).count(), 14);
    assert_eq!(yue.posted("customers:1"), 998);
    let rest = one(OperationKind::Reverse { transaction, operation: 0, amount: None });
    assert_eq!(yue.engine.submit(rest).await.unwrap().verdict, Ok(()));
    assert_eq!(yue.posted("customers:1"), 1_000);
}

use std::time::Duration;

use yue_engine::{
    Engine,
    engine::OpenError,
    model::{HoldEnd, OperationKind, Position, RejectionCode, Transaction},
    view::{HistoryQuery, Point},
};

use crate::support::{Yue, address, code, config, hold, hold_id, many, one, transfer};

async fn small_history(yue: &Yue, payments: u64) -> Vec<Transaction> {
    for name in ["channels:bank", "customers:1", "customers:2", "merchants:1"] {
        yue.open(name).await;
    }
    yue.fund("customers:1", 100_000).await;
    let mut sent = Vec::new();
    for no in 0..payments {
        let units = if no % 10 == 9 { 1_000_000 } else { 1 + no };
        let transaction = many([
            transfer("customers:1", "merchants:1", units),
            transfer("channels:bank", "customers:2", 1),
        ]);
        yue.engine.submit(transaction.clone()).await.unwrap();
        sent.push(transaction);
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart_whatever_the_shards() {
    let mut yue = Yue::new(1);
    let sent = small_history(&yue, 300).await;
    let outcomes = async |yue: &Yue| {
        let mut found = Vec::new();
        for transaction in &sent {
            let outcome = yue.engine.submit(transaction.clone()).await.unwrap();
            assert!(outcome.replayed);
            found.push((outcome.position, outcome.at, outcome.verdict));
        }
        found
    };
    let history = async |yue: &Yue| {
        let mut cursor = None;
        let mut rows = Vec::new();
        loop {
            let query = HistoryQuery { cursor, limit: 7, ..HistoryQuery::default() };
            let page = yue.engine.history(&address("customers:1"), query).await.unwrap().unwrap();
            rows.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return rows;
            }
        }
    };
    let before =
        (outcomes(&yue).await, history(&yue).await, yue.posted("customers:1"), yue.assert_balanced().await);
    assert_eq!(before.1.len(), 271, "270 payments and the recharge");
    for shards in [4, 2, 7, 1] {
        yue = yue.restart(shards).await;
        let after = (
            outcomes(&yue).await,
            history(&yue).await,
            yue.posted("customers:1"),
            yue.assert_balanced().await,
        );
        assert_eq!(before, after, "{shards} shards");
        let mut other = sent[0].clone();
        other.operations.truncate(1);
        assert!(yue.engine.submit(other).await.is_err());
    }
    for row in &before.1 {
        let point = yue
            .engine
            .balance_at(&address("customers:1"), Point::Position(row.position))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((point.posted, point.position), (row.balance, row.position));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_index_is_rebuilt_from_the_journal() {
    let yue = Yue::new(2);
    let sent = small_history(&yue, 600).await;
    let balance = yue.posted("customers:1");
    let Yue { engine, data } = yue;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    std::fs::remove_dir_all(data.path().join("index")).unwrap();
    let yue = Yue::start(data, 3);
    assert_eq!(yue.posted("customers:1"), balance);
    assert!(yue.engine.submit(sent[5].clone()).await.unwrap().replayed);
    yue.assert_balanced().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_that_ran_out_while_it_was_down_are_expired_before_traffic() {
    for shards in [1, 3] {
        let yue = Yue::new(shards);
        for name in ["channels:bank", "customers:1", "merchants:1"] {
            yue.open(name).await;
        }
        yue.fund("customers:1", 100).await;
        let (short, long) = (hold_id(), hold_id());
        yue.engine.submit(one(hold(short, "customers:1", "merchants:1", 10, 1))).await.unwrap();
        yue.engine.submit(one(hold(long, "customers:1", "merchants:1", 20, 900))).await.unwrap();
        assert_eq!(yue.available("customers:1"), 70);
        let Yue { engine, data } = yue;
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let yue = Yue::start(data, shards);
        assert_eq!(yue.available("customers:1"), 80);
        assert_eq!(yue.engine.hold(short).await.unwrap().unwrap().ended, Some(HoldEnd::Expired));
        assert_eq!(yue.engine.hold(long).await.unwrap().unwrap().ended, None);
        let late = yue.engine.submit(one(OperationKind::Capture { hold: short, amount: None })).await;
        assert_eq!(code(&late), Some(RejectionCode::HoldExpired));
        let events = yue.engine.events(Position(5), 100).await.unwrap();
        assert_eq!(events[0].position, Position(6));
        let captured = yue.engine.submit(one(OperationKind::Capture { hold: long, amount: None })).await;
        assert_eq!(code(&captured), None);
        let again = yue.engine.submit(one(hold(short, "customers:1", "merchants:1", 1, 1))).await;
        assert_eq!(code(&again), Some(RejectionCode::HoldExists));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_serves_one_engine() {
    let yue = Yue::new(1);
    assert!(matches!(Engine::open(config(&yue.data, 1)), Err(OpenError::InUse(_))));
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("format"), "2\n").unwrap();
    let refused = Engine::open(config(&data, 1)).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Version { .. }), "{refused}");
    assert!(!data.path().join("journal").exists(), "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_gap_free_and_read_back_all_that_was_acknowledged() {
    let yue = Yue::new(2);
    small_history(&yue, 700).await;
    let mut after = Position::ZERO;
    let mut seen = 0;
    loop {
        let events = yue.engine.events(after, 64).await.unwrap();
        for event in &events {
            assert_eq!(event.position, after.next());
            after = event.position;
        }
        seen += events.len();
        if events.is_empty() {
            break;
        }
    }
    assert_eq!(seen, 705);
    assert_eq!(*yue.engine.head().borrow(), after);
}

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use yue_engine::{
    model::Position,
    view::{AccountView, HistoryQuery, Point},
};

use crate::support::{Yue, address, code, hold, hold_id, many, transfer};

/// What one payment of the test below does to an account: posted, held.
const PAYER: (i128, i128) = (-4, 2);
const MERCHANT: (i128, i128) = (3, 0);
const FEES: (i128, i128) = (1, 0);

/// How many payments an account shows; panics if it shows a part of one.
fn payments(view: &AccountView, start: i128, (posted, held): (i128, i128)) -> i128 {
    let count = (view.posted - start) / posted;
    let whole = (start + count * posted, count * held);
    assert_eq!((view.posted, view.held), whole, "{} shows a part of a record", view.address);
    assert_eq!(view.available, view.posted - view.held);
    count
}

/// A transaction of several operations over several shards, read all the time: an account shows all of a record or
/// nothing of it, never goes back, and shows at least what is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_read_shows_half_a_record() {
    const PAYMENTS: u64 = 300;
    for (shards, ceiling) in [(1, None), (4, None), (4, Some(1_000_000))] {
        let yue = Yue::new(shards);
        yue.open("channels:bank").await;
        yue.open("customers:1").await;
        for name in ["merchants:1", "fees:1"] {
            yue.open_with(name, |opening| opening.ceiling = ceiling).await;
        }
        yue.fund("customers:1", 10_000).await;
        let accounts = [("customers:1", 10_000, PAYER), ("merchants:1", 0, MERCHANT), ("fees:1", 0, FEES)];
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut readers = tokio::task::JoinSet::new();
        for (name, start, change) in accounts {
            let (engine, acknowledged) = (yue.engine.clone(), Arc::clone(&acknowledged));
            readers.spawn(async move {
                let mut last = (Position::ZERO, 0);
                while last.1 < i128::from(PAYMENTS) {
                    let least = acknowledged.load(Ordering::SeqCst);
                    let view = engine.account(&address(name)).unwrap();
                    let now = (view.position, payments(&view, start, change));
                    assert!(now.1 >= i128::from(least), "{name} does not show what is acknowledged");
                    assert!(now.0 >= last.0 && now.1 >= last.1, "{name} went back from {last:?} to {now:?}");
                    assert!(now.0 > last.0 || now.1 == last.1 || last.0 == Position::ZERO);
                    if change != PAYER {
                        let then = engine.balance_at(&address(name), Point::Position(view.position)).await;
                        assert_eq!(then.unwrap().unwrap().posted, view.posted, "{name} at {}", view.position);
                    }
                    last = now;
                    tokio::task::yield_now().await;
                }
            });
        }
        for _ in 0..PAYMENTS {
            let payment = many([
                transfer("customers:1", "merchants:1", 7),
                transfer("merchants:1", "customers:1", 4),
                hold(hold_id(), "customers:1", "fees:1", 2, 900),
                transfer("customers:1", "fees:1", 1),
            ]);
            assert_eq!(code(&yue.engine.submit(payment).await), None);
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        while let Some(read) = readers.join_next().await {
            read.unwrap();
        }
        yue.assert_balanced().await;
    }
}

/// The same, of accounts whose rows are read from the index while they come.
#[tokio::test(flavor = "multi_thread")]
async fn history_agrees_with_the_balance_at_each_position() {
    let yue = Yue::new(3);
    for name in ["channels:bank", "customers:1", "merchants:1"] {
        yue.open(name).await;
    }
    yue.fund("customers:1", 1_000).await;
    let engine = yue.engine.clone();
    let reader = tokio::spawn(async move {
        let address = address("merchants:1");
        loop {
            let seen = engine.account(&address).unwrap();
            let query = HistoryQuery { limit: 2, ..HistoryQuery::default() };
            let page = engine.history(&address, query).await.unwrap().unwrap();
            if let [last, first] = &page.items[..] {
                assert_eq!(last.position, first.position, "both operations of a record are there");
                assert_eq!(last.balance - first.balance, 2);
                assert!(last.balance >= seen.posted, "what was seen is in the history");
            }
            // What history tells, the account shows.
            let after = engine.account(&address).unwrap();
            assert!(page.items.first().is_none_or(|row| row.position <= after.position));
            if after.posted == 600 {
                return;
            }
        }
    });
    for _ in 0..200 {
        let payment =
            many([transfer("customers:1", "merchants:1", 1), transfer("customers:1", "merchants:1", 2)]);
        assert_eq!(code(&yue.engine.submit(payment).await), None);
    }
    reader.await.unwrap();
}

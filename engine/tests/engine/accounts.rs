use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use yue_engine::{
    model::{AccountChange, AccountStatus, Limit, LimitWindow, Patch, RejectionCode},
    view::{AccountError, Unavailable},
};

use crate::support::{Yue, address, code, config, hold, hold_id, one, opening, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn opening_twice_compares_with_the_first_body() {
    let yue = Yue::new(2);
    yue.open("customers:1").await;
    assert!(!yue.engine.open_account(opening("customers:1")).await.unwrap().1);
    let mut other = opening("customers:1");
    other.ceiling = Some(5);
    assert_eq!(
        yue.engine.open_account(other).await.unwrap_err(),
        AccountError::Exists { field: "/ceiling".into() }
    );
    let mut unknown = opening("customers:2");
    unknown.asset = "GOLD".into();
    assert_eq!(yue.engine.open_account(unknown).await.unwrap_err(), AccountError::AssetUnknown);
    assert!(yue.engine.account(&address("customers:2")).is_none());
    let at_once: Vec<_> = (0..16).map(|_| yue.engine.open_account(opening("customers:3"))).collect();
    let opened = futures_util::future::join_all(at_once).await;
    assert_eq!(opened.iter().filter(|opened| opened.as_ref().unwrap().1).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_for_what_is_in_flight_and_refuses_nothing() {
    let yue = Yue::new(3);
    for name in ["channels:bank", "customers:1", "merchants:1"] {
        yue.open(name).await;
    }
    yue.fund("customers:1", 1_000_000).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut payers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (engine, stop) = (yue.engine.clone(), Arc::clone(&stop));
        payers.spawn(async move {
            let mut paid = 0;
            while !stop.load(Ordering::Relaxed) {
                let outcome = engine.submit(one(transfer("customers:1", "merchants:1", 1))).await;
                assert_eq!(code(&outcome), None);
                paid += 1;
            }
            paid
        });
    }
    for step in 0..30 {
        let ceiling = Patch::Set(Some(10_000_000 + step));
        let change = AccountChange { ceiling, ..AccountChange::default() };
        let view = yue.engine.change_account(&address("merchants:1"), change).await.unwrap();
        assert_eq!(view.ceiling, Some(10_000_000 + step));
    }
    stop.store(true, Ordering::Relaxed);
    let paid: i128 = payers.join_all().await.into_iter().sum();
    assert_eq!(yue.posted("merchants:1"), paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_the_balance_breaks_is_refused() {
    let yue = Yue::new(2);
    for name in ["channels:bank", "customers:1", "merchants:1"] {
        yue.open(name).await;
    }
    yue.fund("customers:1", 100).await;
    let hold_id = hold_id();
    yue.engine.submit(one(hold(hold_id, "customers:1", "merchants:1", 30, 900))).await.unwrap();
    let check = async |name: &str, change: AccountChange, expected: Result<(), AccountError>| {
        let found = yue.engine.change_account(&address(name), change.clone()).await.map(|_| ());
        assert_eq!(found, expected, "{change:?}");
    };
    let floor = |floor| AccountChange { floor: Patch::Set(Some(floor)), ..AccountChange::default() };
    let ceiling = |ceiling| AccountChange { ceiling: Patch::Set(Some(ceiling)), ..AccountChange::default() };
    let status = |status| AccountChange { status: Patch::Set(status), ..AccountChange::default() };
    check("customers:1", floor(71), Err(AccountError::BelowFloor)).await;
    check("customers:1", floor(70), Ok(())).await;
    check("customers:1", floor(0), Ok(())).await;
    check("merchants:1", ceiling(29), Err(AccountError::AboveCeiling)).await;
    check("merchants:1", ceiling(30), Ok(())).await;
    check("customers:1", status(AccountStatus::Closed), Err(AccountError::NotEmpty)).await;
    check("merchants:1", status(AccountStatus::Closed), Err(AccountError::NotEmpty)).await;
    check("customers:1", status(AccountStatus::Frozen), Ok(())).await;
    check("nobody", status(AccountStatus::Frozen), Err(AccountError::NotFound)).await;
    // A freeze stops no capture.
    let capture = yue_engine::model::OperationKind::Capture { hold: hold_id, amount: None };
    assert_eq!(code(&yue.engine.submit(one(capture)).await), None);
    let refused = yue.engine.submit(one(transfer("customers:1", "merchants:1", 1))).await;
    assert_eq!(code(&refused), Some(RejectionCode::AccountFrozen));
    yue.open("customers:2").await;
    check("customers:2", status(AccountStatus::Closed), Ok(())).await;
    check("customers:2", status(AccountStatus::Active), Err(AccountError::Closed)).await;
    check("customers:2", status(AccountStatus::Closed), Ok(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_show_what_is_used() {
    let yue = Yue::new(2);
    yue.open("channels:bank").await;
    yue.open("merchants:1").await;
    let limit = Limit { window: LimitWindow::Day, code: None, amount: Some(100), count: Some(3) };
    yue.open_with("customers:1", |opening| opening.limits = vec![limit]).await;
    yue.fund("customers:1", 1_000).await;
    for units in [60, 40] {
        assert_eq!(code(&yue.engine.submit(one(transfer("customers:1", "merchants:1", units))).await), None);
    }
    let refused = yue.engine.submit(one(transfer("customers:1", "merchants:1", 1))).await;
    assert_eq!(code(&refused), Some(RejectionCode::LimitExceeded));
    let view = yue.engine.account(&address("customers:1")).unwrap();
    assert_eq!((view.limits[0].used_amount, view.limits[0].used_count), (100, 2));
    let yue = yue.restart(1).await;
    let view = yue.engine.account(&address("customers:1")).unwrap();
    assert_eq!((view.limits[0].used_amount, view.limits[0].used_count), (100, 2));
}

/// A stop answers what it took, and what it did not take is not there afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_drains_openings_and_changes() {
    for round in 0..12_u64 {
        let yue = Yue::new(2);
        for no in 0..20 {
            yue.open(&format!("old:{no}")).await;
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let mut calls = tokio::task::JoinSet::new();
        for no in 0..20 {
            let (engine, stopping) = (yue.engine.clone(), Arc::clone(&stopping));
            calls.spawn(async move {
                let mut done = Vec::new();
                for count in 0.. {
                    let name = format!("new:{no}-{count}");
                    let opened = engine.open_account(opening(&name)).await.map(|_| ());
                    let change = AccountChange {
                        ceiling: Patch::Set(Some(i128::from(count) + 1)),
                        ..AccountChange::default()
                    };
                    let changed = engine.change_account(&address(&format!("old:{no}")), change).await;
                    let ended = opened.is_err() || changed.is_err();
                    done.push((name, opened, changed.map(|view| view.ceiling)));
                    if ended {
                        assert!(stopping.load(Ordering::SeqCst), "{:?}", done.last());
                        break;
                    }
                }
                (no, done)
            });
        }
        tokio::time::sleep(std::time::Duration::from_millis(3 * round)).await;
        stopping.store(true, Ordering::SeqCst);
        let Yue { engine, data } = yue;
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        let calls = calls.join_all().await;
        let yue = Yue::start(data, 2);
        let stopped = AccountError::Unavailable(Unavailable::Stopping);
        for (no, done) in calls {
            let mut ceiling = None;
            for (name, opened, changed) in done {
                let there = yue.engine.account(&address(&name)).is_some();
                assert_eq!(there, opened.is_ok(), "{name} was answered with {opened:?}");
                assert!(opened.is_ok() || opened == Err(stopped.clone()), "{opened:?}");
                match changed {
                    Ok(told) => ceiling = told,
                    Err(error) => assert_eq!(error, stopped),
                }
            }
            assert_eq!(yue.engine.account(&address(&format!("old:{no}"))).unwrap().ceiling, ceiling);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_parts_of_addresses_are_bounded() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(&data, 2);
    config.address_groups_max = 3;
    let start = |config: &yue_engine::Config| yue_engine::Engine::open(config.clone()).unwrap();
    let open = async |engine: &yue_engine::Engine, name: &str| {
        engine.open_account(opening(name)).await.map(|(_, opened)| opened)
    };
    let engine = start(&config);
    let names: Vec<_> = (0..40).map(|no| format!("group{}:{no}", no % 8)).collect();
    let opened = futures_util::future::join_all(names.iter().map(|name| open(&engine, name))).await;
    let refused = opened.iter().filter(|opened| **opened == Err(AccountError::GroupsFull)).count();
    assert_eq!(refused, 25, "five accounts in each of three groups: {opened:?}");
    assert_eq!(engine.trial_balance().await.unwrap().groups.len(), 3);
    // What is there goes on, also after a start, and with a smaller bound.
    config.address_groups_max = 1;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    let engine = start(&config);
    let (full, first) = (Err(AccountError::GroupsFull), &names[0]);
    assert_eq!(open(&engine, first).await, Ok(false));
    assert_eq!(open(&engine, "group0:new").await, Ok(true));
    assert_eq!(open(&engine, "group7:new").await, full);
    assert_eq!(engine.trial_balance().await.unwrap().groups.len(), 3);
}

use yue_engine::{
    Config, Engine,
    audit::verify,
    config::JournalRetention,
    engine::OpenError,
    journal::{JournalError, JournalOptions, rocks::JournalReader},
    model::{OperationKind, Position, Transaction, TransactionId},
    view::{Event, SubmitError},
};

use crate::support::{Yue, address, amount, attach, cell, config, hold, hold_id, id, many, one, transfer};

const KEPT: u64 = 20;

fn short(data: &tempfile::TempDir) -> Config {
    let mut config = config(data, 2);
    config.segment_records = 64;
    config.journal_retention = JournalRetention::Records(KEPT);
    config
}

fn start() -> Yue {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(short(&data)).unwrap();
    Yue { engine, data }
}

async fn close(yue: Yue) -> tempfile::TempDir {
    let Yue { engine, data } = yue;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    data
}

/// Where the journal begins; `None` where the files change while they are opened.
fn base(data: &tempfile::TempDir) -> Option<u64> {
    let reader = JournalReader::open(data.path(), &JournalOptions::default()).ok()?;
    Some(reader.base().map_or(0, |base| base.head.position.0))
}

async fn open_accounts(yue: &Yue) {
    for name in ["channels:bank", "customers:1", "customers:2", "merchants:1"] {
        yue.open(name).await;
    }
    yue.open_with("wallets:1", |opening| opening.managed = true).await;
    yue.fund("customers:1", 100_000).await;
}

/// What a product verb writes: money of a managed account, a cell and an alias.
async fn verb(yue: &Yue, account: &str) -> (TransactionId, Transaction) {
    let (alias, revision) = (id(), cell(yue, account).map_or(1, |(revision, _)| revision + 1));
    let moved = one(transfer("customers:1", "wallets:1", 1));
    let verb = attach(moved, &[alias], &[(account, revision, &format!("content {revision}"))]);
    yue.engine.submit(verb.clone()).await.unwrap().verdict.unwrap();
    (alias, verb)
}

/// An alias leads to its verb for ever, and the verb's id to its outcome.
async fn assert_known(yue: &Yue, (alias, verb): &(TransactionId, Transaction)) {
    assert_eq!(yue.engine.transaction(*alias).await.unwrap().unwrap().request.id, verb.id);
    let other = attach(one(transfer("customers:1", "wallets:1", 1)), &[*alias], &[]);
    assert_eq!(yue.engine.submit(other).await, Err(SubmitError::Conflict));
    assert!(yue.engine.submit(verb.clone()).await.unwrap().replayed);
}

/// Payments, holds, captures, reversals and refusals.
async fn business(yue: &Yue, rounds: u64) -> Vec<Transaction> {
    let mut sent = Vec::new();
    for no in 0..rounds {
        let payment = many([transfer("customers:1", "merchants:1", 1 + no % 7)]);
        let hold_id = hold_id();
        let refund =
            OperationKind::Reverse { transaction: payment.id, operation: 0, amount: Some(amount(1)) };
        let capture = OperationKind::Capture { hold: hold_id, amount: Some(amount(1)) };
        let held = one(hold(hold_id, "customers:1", "merchants:1", 2, 900_000));
        let all = [payment, held, one(refund), one(transfer("customers:2", "merchants:1", 1_000_000))];
        let ended = (no % 5 != 0).then(|| one(capture));
        for transaction in all.into_iter().chain(ended) {
            yue.engine.submit(transaction.clone()).await.unwrap();
            sent.push(transaction);
        }
    }
    sent
}

/// Does business until the journal begins behind `after`.
async fn until_trimmed(yue: &Yue, after: u64) -> Vec<Transaction> {
    let mut sent = Vec::new();
    loop {
        sent.extend(business(yue, 10).await);
        if base(&yue.data).is_some_and(|base| base > after) {
            return sent;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_journal_keeps_every_promise() {
    let mut yue = start();
    open_accounts(&yue).await;
    let mut verbs = vec![verb(&yue, "customers:2").await, verb(&yue, "customers:1").await];
    let mut sent = until_trimmed(&yue, 0).await;
    let mut trimmed = 0;
    for _ in 0..3 {
        let state =
            |yue: &Yue| ["customers:1", "merchants:1"].map(|name| (yue.posted(name), yue.available(name)));
        let (before, end) = (state(&yue), yue.assert_balanced().await);
        let data = close(yue).await;
        let at = base(&data).unwrap();
        assert!(at >= trimmed, "the journal begins after {at}, and did so after {trimmed}");
        trimmed = at;
        let report = verify(data.path(), &mut |_| ()).unwrap();
        assert_eq!(report.findings, Vec::<String>::new());
        let found = report.trimmed.unwrap();
        assert_eq!((found.begins_after, found.compared), (Position(at), 5));
        assert!(found.as_of.0 >= at + KEPT, "{found:?}");
        yue = Yue { engine: Engine::open(short(&data)).unwrap(), data };
        // A part of a snapshot may have followed, and nothing else.
        let now = yue.assert_balanced().await;
        assert_eq!(state(&yue), before);
        assert!(now >= end, "{now} is behind {end}");
        // Cells, those of before the beginning too, and who may move an account.
        let revision = u64::try_from(verbs.len() - 1).unwrap();
        assert_eq!(cell(&yue, "customers:1"), Some((revision, format!("content {revision}"))));
        assert_eq!(cell(&yue, "customers:2"), Some((1, "content 1".into())));
        let plain = one(transfer("customers:1", "wallets:1", 1));
        assert_eq!(yue.engine.submit(plain).await, Err(SubmitError::Managed { operation: 0 }));
        for verb in &verbs {
            assert_known(&yue, verb).await;
        }
        verbs.push(verb(&yue, "customers:1").await);
        // Ids from before the beginning are known for ever.
        for transaction in sent.iter().step_by(17) {
            assert!(yue.engine.submit(transaction.clone()).await.unwrap().replayed);
        }
        let (mut after, mut snapshots) = (Position::ZERO, 0);
        while after.0 < now {
            for event in yue.engine.events(after, 1_000).await.unwrap() {
                assert_eq!(event.position, after.next(), "events have no gap");
                after = event.position;
                let is_new = (end + 1..=now).contains(&after.0);
                assert!(!is_new || matches!(event.event, Event::Snapshot), "{event:?}");
                snapshots += u64::from(matches!(event.event, Event::Snapshot));
            }
        }
        assert!(snapshots > 0, "parts of snapshots are events");
        sent.extend(until_trimmed(&yue, trimmed).await);
    }
    assert!(yue.engine.account(&address("customers:2")).is_some());
    drop(close(yue).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_journal_without_its_index_is_refused() {
    let yue = start();
    open_accounts(&yue).await;
    until_trimmed(&yue, 0).await;
    let data = close(yue).await;
    let index = data.path().join("index");
    let aside = data.path().join("aside");
    std::fs::rename(&index, &aside).unwrap();
    let names = |data: &tempfile::TempDir| {
        let entries = std::fs::read_dir(data.path().join("journal")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
            .collect();
        names.sort();
        names.push(("witness".into(), std::fs::read(data.path().join("witness")).unwrap()));
        names
    };
    let before = names(&data);
    let error = Engine::open(short(&data)).err().expect("the index is missing");
    assert!(matches!(error, OpenError::Journal(JournalError::Trimmed { .. })), "{error}");
    assert!(error.to_string().contains("Restore the index folder"), "{error}");
    assert!(!index.exists() && before == names(&data), "nothing is written");
    let report = verify(data.path(), &mut |_| ()).unwrap();
    assert!(report.findings.iter().any(|finding| finding.contains("it is missing")), "{:?}", report.findings);
    std::fs::rename(&aside, &index).unwrap();
    // Kept for ever from now on: what is gone stays gone, and nothing more is trimmed.
    let mut forever = short(&data);
    forever.journal_retention = JournalRetention::Forever;
    let trimmed = base(&data);
    let yue = Yue { engine: Engine::open(forever).unwrap(), data };
    business(&yue, 60).await;
    let data = close(yue).await;
    assert_eq!(base(&data), trimmed);
    assert!(verify(data.path(), &mut |_| ()).unwrap().is_sound());
}

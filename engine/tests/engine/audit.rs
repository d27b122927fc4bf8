use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use yue_engine::{
    audit::{AuditError, verify},
    config::Config,
    engine::Engine,
    model::{OperationKind, Position},
};

use crate::support::{Yue, amount, hold, hold_id, many, one, transfer};

async fn some_business(yue: &Yue) {
    for name in ["channels:bank", "customers:1", "customers:2", "merchants:1"] {
        yue.open(name).await;
    }
    yue.fund("customers:1", 100_000).await;
    for no in 0..200_u64 {
        let payment = many([
            transfer("customers:1", "merchants:1", 10 + no),
            transfer("customers:1", "customers:2", 1),
        ]);
        let transaction = payment.id;
        yue.engine.submit(payment).await.unwrap();
        let hold_id = hold_id();
        yue.engine.submit(one(hold(hold_id, "customers:1", "merchants:1", 5, 900))).await.unwrap();
        match no % 3 {
            0 => drop(
                yue.engine
                    .submit(one(OperationKind::Capture { hold: hold_id, amount: Some(amount(2)) }))
                    .await,
            ),
            1 => drop(yue.engine.submit(one(OperationKind::Release { hold: hold_id })).await),
            _ => {
                let refund = OperationKind::Reverse { transaction, operation: 0, amount: Some(amount(3)) };
                drop(yue.engine.submit(one(refund)).await);
            }
        }
        yue.engine.submit(one(transfer("customers:2", "merchants:1", 1_000_000))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_directory_passes() {
    let yue = Yue::new(2);
    some_business(&yue).await;
    let end = yue.assert_balanced().await;
    assert!(matches!(verify(yue.data.path(), &mut |_| ()), Err(AuditError::InUse(_))));
    let Yue { engine, data } = yue;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    let report = verify(data.path(), &mut |_| ()).unwrap();
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!((report.position, report.witnessed, report.accounts), (Position(end), Position(end), 4));
    assert_eq!((report.posted, report.refused, report.holds), (601, 200, 66));
    assert!(report.indexed > Position(500) && report.history_rows > 400, "segments were sealed: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_does_not_pass() {
    let yue = Yue::new(1);
    some_business(&yue).await;
    let Yue { engine, data } = yue;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    let tables = std::fs::read_dir(data.path().join("index")).unwrap().map(|entry| entry.unwrap().path());
    let tables: Vec<_> = tables.filter(|path| path.extension().is_some_and(|end| end == "sst")).collect();
    assert!(!tables.is_empty());
    let mut caught = 0;
    for path in &tables {
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 20).unwrap();
        file.write_all_at(&[byte[0] ^ 4], 20).unwrap();
        caught += u32::from(verify(data.path(), &mut |_| ()).map_or(true, |report| !report.is_sound()));
        file.write_all_at(&byte, 20).unwrap();
    }
    // A flip in a table of ended filters or merged runs is read by nobody.
    assert!(
        caught * 10 >= u32::try_from(tables.len()).unwrap() * 6,
        "{caught} of {} flips were found",
        tables.len()
    );
    assert!(verify(data.path(), &mut |_| ()).unwrap().is_sound());
}

/// What a start refuses does not pass, and neither writes anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_refuses_does_not_pass() {
    let yue = Yue::new(1);
    some_business(&yue).await;
    let Yue { engine, data } = yue;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    let data = data.path();
    let check = |path: &str, spoiled: Option<&[u8]>, message: &str| {
        let path = data.join(path);
        let whole = std::fs::read(&path).unwrap();
        match spoiled {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let before = listing(data);
        let verdict = verify(data, &mut |_| ()).map(|_| ()).map_err(|error| error.to_string());
        let started = Engine::open(Config::new(data)).map(|_| ()).map_err(|error| error.to_string());
        for result in [verdict, started] {
            assert!(result.as_ref().is_err_and(|error| error.contains(message)), "{path:?}: {result:?}");
        }
        assert_eq!(listing(data), before, "{path:?}");
        std::fs::write(&path, whole).unwrap();
    };
    check("format", Some(b""), "`format` is damaged");
    check("format", Some(b"1*\n"), "`format` is damaged");
    check("format", Some(b"0\n"), "`format` is damaged");
    check("format", Some(b"\xff\n"), "`format` is damaged");
    check("format", Some(b"2\n"), "format 2");
    check("index/CURRENT", None, "no CURRENT");
    check("journal/CURRENT", None, "no CURRENT");
    assert!(verify(data, &mut |_| ()).unwrap().is_sound());
}

/// All files with their sizes.
fn listing(data: &Path) -> Vec<(PathBuf, u64)> {
    let mut files: Vec<_> = ["", "journal", "index"]
        .iter()
        .flat_map(|directory| std::fs::read_dir(data.join(directory)).unwrap())
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
        .collect();
    files.sort();
    files
}

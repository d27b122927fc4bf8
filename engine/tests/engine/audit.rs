use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use yue_engine::{
    audit::{AuditError, verify},
    config::Config,
    engine::Engine,
    index::{self, IndexOptions},
    journal::{
        Group, Journal, JournalOptions, PostedTransaction, Record, Trim,
        rocks::{JournalReader, RocksJournal},
    },
    model::{OperationKind, Position, PostedKind, Timestamp},
};

use crate::support::{Yue, amount, attach, hold, hold_id, id, many, one, transfer};

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

/// Builds the index anew from the journal, some records of which are told otherwise, under the hashes of the true ones.
fn tell_otherwise(data: &Path, tell: &mut dyn FnMut(Position, &mut Record)) {
    let mut groups = Vec::new();
    read(data, &mut |group| groups.push(group));
    tell_groups(data, groups, tell);
}

/// As above, from groups that the journal may no longer have.
fn tell_groups(
    data: &Path,
    groups: impl IntoIterator<Item = Group>,
    tell: &mut dyn FnMut(Position, &mut Record),
) {
    std::fs::remove_dir_all(data.join("index")).unwrap();
    let options = IndexOptions { segment_records_max: 256, ..IndexOptions::default() };
    let mut opened = index::open(&data.join("index"), &options, &mut |_| ()).unwrap();
    groups.into_iter().for_each(|group| {
        let mut told = Group { records: Vec::new(), ..group.clone() };
        for (offset, frame) in (0..).zip(group.frames()) {
            let mut record = Record::decode(frame.unwrap()).unwrap();
            tell(group.first.plus(offset), &mut record);
            Group::frame(&mut told.records, &record);
        }
        if let Some(frozen) = opened.follower.step(Arc::new(told)).unwrap() {
            opened.sealer.seal(frozen).unwrap();
        }
    });
    drop(opened.sealer.seal(opened.follower.freeze().unwrap()).unwrap());
}

fn read(data: &Path, visit: &mut dyn FnMut(Group)) {
    let journal = JournalReader::open(data, &JournalOptions::default()).unwrap();
    let read = journal.read(Position::ZERO, &mut |group| {
        visit(group);
        Ok(())
    });
    read.unwrap();
}

/// All that a transfer or a capture moves, and the positions of payments that nothing refers to.
fn legs_and_payments(data: &Path) -> (u64, Vec<(Position, PostedTransaction)>) {
    let (mut legs, mut payments) = (0, Vec::new());
    read(data, &mut |group| {
        for (offset, frame) in (0..).zip(group.frames()) {
            let Record::Posted(posted) = Record::decode(frame.unwrap()).unwrap() else { continue };
            let moved = posted.operations.iter().filter(|operation| operation.kind.moved().is_some());
            legs += 2 * moved.count() as u64;
            if posted.operations.len() == 2 {
                payments.push((group.first.plus(offset), posted));
            }
        }
    });
    // Every third one is reversed in part.
    let kept = payments.into_iter().enumerate().filter(|(index, _)| index % 3 != 2);
    (legs, kept.map(|(_, payment)| payment).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_another_past_does_not_pass() {
    let yue = Yue::new(1);
    some_business(&yue).await;
    let Yue { engine, data } = yue;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    let data = data.path();
    let (legs, payments) = legs_and_payments(data);
    let [(first, one), (second, other)] = [&payments[20], &payments[90]];
    let findings = |tell: &mut dyn FnMut(Position, &mut PostedTransaction)| {
        tell_otherwise(data, &mut |position, record| {
            if let Record::Posted(posted) = record {
                tell(position, posted);
            }
        });
        let report = verify(data, &mut |_| ()).unwrap();
        assert_eq!((report.indexed, report.history_rows), (report.position, legs));
        report.findings
    };

    assert_eq!(findings(&mut |_, _| ()), Vec::<String>::new(), "what is told truly is found sound");

    let found = findings(&mut |position, posted| match position {
        it if it == *first => posted.code = Some("other".into()),
        _ => {}
    });
    assert_eq!(found, [format!("index: record {first} is another one than the journal's")]);

    let found = findings(&mut |position, posted| match position {
        it if it == *first => posted.id = other.id,
        it if it == *second => posted.id = one.id,
        _ => {}
    });
    for (id, position, there) in [(one.id, first, second), (other.id, second, first)] {
        let finding = format!("index: transaction {id} is at {position}, and is found {there}");
        assert!(found.contains(&finding), "{found:?}");
    }

    // The balances before the one and after the other are as they were.
    let found = findings(&mut |position, posted| match position {
        it if it == *first => posted.operations = other.operations.clone(),
        it if it == *second => posted.operations = one.operations.clone(),
        _ => {}
    });
    let rows = found.iter().filter(|finding| finding.contains("StoredPosting")).count();
    assert!(rows > 70, "{found:?}");

    // The first hold is captured, the second one released.
    let mut holds = 0;
    let found = findings(&mut |_, posted| {
        for operation in &mut posted.operations {
            if let PostedKind::Hold { expires_in, .. } = &mut operation.kind {
                holds += 1;
                *expires_in += u32::from(holds == 2);
            }
        }
    });
    assert!(found.contains(&"index: its 134 ended holds are not the journal's 134".into()), "{found:?}");

    let mut is_first = true;
    let found = findings(&mut |_, posted| {
        for operation in &mut posted.operations {
            if let PostedKind::Reverse { transaction, .. } = &mut operation.kind
                && std::mem::take(&mut is_first)
            {
                *transaction = one.id;
            }
        }
    });
    assert!(found.contains(&"index: its 66 reversed totals are not the journal's 66".into()), "{found:?}");
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

/// Writes a snapshot of the index's state into the journal, goes on with a payment, and trims all before the state. Gives
/// all groups that ever were.
fn trim(data: &Path, last: &PostedTransaction) -> Vec<Group> {
    let options = IndexOptions { segment_records_max: 256, ..IndexOptions::default() };
    let mut opened = index::open(&data.join("index"), &options, &mut |_| ()).unwrap();
    let sealed = opened.follower.checkpoint();
    let mut journal = RocksJournal::open(data, &JournalOptions::default(), sealed).unwrap();
    let mut parts = Vec::new();
    let as_of = opened.index.snapshot(Timestamp::ZERO, 1_000, &mut |part| {
        parts.push(Record::Snapshot(part));
        true
    });
    assert_eq!(as_of, Ok(sealed));
    assert!(parts.len() > 3, "{} parts", parts.len());
    for record in parts.into_iter().chain([Record::Posted(last.clone())]) {
        let (head, mut records) = (journal.head(), Vec::new());
        Group::frame(&mut records, &record);
        let group = Group::new(head, head.at.plus_nanos(1), 1, records);
        journal.append(&group, sealed).unwrap();
        assert!(opened.follower.step(Arc::new(group)).unwrap().is_none());
    }
    opened.sealer.seal(opened.follower.freeze().unwrap()).unwrap();
    let mut groups = Vec::new();
    let read = journal.read(Position::ZERO, &mut |group| {
        groups.push(group);
        Ok(())
    });
    read.unwrap();
    let snapshot = opened.index.newest_snapshot().unwrap().unwrap();
    let up_to = snapshot.as_of.position;
    journal.trim(Trim { up_to, snapshot }, opened.follower.checkpoint()).unwrap();
    assert_eq!(journal.base().unwrap().head.position, up_to);
    groups
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trimmed_journal_no_longer_has_is_told_by_the_index() {
    let yue = Yue::new(1);
    some_business(&yue).await;
    for revision in 1..=3 {
        let moved = one(transfer("customers:1", "merchants:1", 1));
        let verb = attach(moved, &[id()], &[("customers:1", revision, "x"), ("merchants:1", revision, "y")]);
        yue.engine.submit(verb).await.unwrap().verdict.unwrap();
    }
    let Yue { engine, data } = yue;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    let data = data.path();
    let (legs, payments) = legs_and_payments(data);
    tell_otherwise(data, &mut |_, _| ());
    let whole = verify(data, &mut |_| ()).unwrap();
    let mut last = payments[0].1.clone();
    last.id = id();
    let groups = trim(data, &last);
    let sound = verify(data, &mut |_| ()).unwrap();
    let trimmed = sound.trimmed.unwrap();
    assert_eq!((trimmed.begins_after, trimmed.as_of, trimmed.compared), (whole.position, whole.position, 4));
    assert_eq!((sound.posted, sound.refused), (whole.posted + 1, whole.refused));
    assert_eq!((sound.holds, sound.history_rows), (whole.holds, legs + 4));
    let findings = |tell: &mut dyn FnMut(Position, &mut Record)| {
        tell_groups(data, groups.iter().cloned(), tell);
        verify(data, &mut |_| ()).unwrap().findings
    };
    let posted = |tell: &mut dyn FnMut(Position, &mut PostedTransaction)| {
        findings(&mut |position, record| {
            if let Record::Posted(posted) = record {
                tell(position, posted);
            }
        })
    };
    assert_eq!(findings(&mut |_, _| ()), Vec::<String>::new(), "what is told truly is found sound");

    let (first, second) = (payments[20].0, &payments[90].1);
    let other = |what: &str| {
        let as_of = trimmed.as_of;
        vec![format!("the snapshot of {as_of} has other {what} than the records before it")]
    };
    // A code changes nothing else, and nobody else has it.
    let found = posted(&mut |position, posted| {
        if position == first {
            posted.code = Some("other".into());
        }
    });
    assert_eq!(found, Vec::<String>::new());
    // Of the amounts of a payment all that follows tells.
    let found = posted(&mut |position, posted| {
        if position == first {
            posted.operations = second.operations.clone();
        }
    });
    assert!(found.starts_with(&other("accounts")) && found.contains(&other("turnover")[0]), "{found:?}");
    let found = findings(&mut |_, record| {
        if let Record::AccountOpened { opening, .. } = record {
            opening.managed = !opening.managed;
        }
    });
    assert_eq!(found, other("openings"));
    let mut cells = 0;
    let found = posted(&mut |_, posted| {
        for cell in posted.attachment.iter_mut().flat_map(|attachment| &mut attachment.cells) {
            cells += 1;
            if cells == 6 {
                cell.value = b"z".as_slice().into();
            }
        }
    });
    assert_eq!(found[0], other("cells of accounts")[0], "{found:?}");
    assert!(
        found.contains(&format!("index at {}: other cells of accounts than the journal's", sound.indexed))
    );
    // The third hold lives.
    let mut holds = 0;
    let found = posted(&mut |_, posted| {
        for operation in &mut posted.operations {
            if let PostedKind::Hold { expires_in, .. } = &mut operation.kind {
                holds += 1;
                *expires_in += u32::from(holds == 3);
            }
        }
    });
    assert_eq!(found[0], other("holds")[0], "{found:?}");
    let mut is_first = true;
    let found = posted(&mut |_, posted| {
        for operation in &mut posted.operations {
            if let PostedKind::Reverse { transaction, .. } = &mut operation.kind
                && std::mem::take(&mut is_first)
            {
                *transaction = last.id;
            }
        }
    });
    assert_eq!(found, other("reversed totals"));

    // An index that ends where the journal begins, and one that does not reach it.
    let up_to = groups.iter().position(|group| group.head().position == trimmed.as_of).unwrap();
    tell_groups(data, groups[..=up_to].iter().cloned(), &mut |_, _| ());
    let short = verify(data, &mut |_| ()).unwrap();
    assert_eq!((short.findings, short.indexed), (Vec::new(), trimmed.as_of));
    assert_eq!((short.history_rows, short.trimmed), (legs, Some(trimmed)));
    tell_groups(data, groups[..up_to].iter().cloned(), &mut |_, _| ());
    let shorter = verify(data, &mut |_| ()).unwrap();
    let [finding] = shorter.findings.as_slice() else { panic!("{:?}", shorter.findings) };
    assert!(finding.starts_with("the journal begins after"), "{finding}");
    assert_eq!((shorter.trimmed.unwrap().compared, shorter.accounts, shorter.posted), (0, 4, 1));
    assert_eq!((shorter.holds, &shorter.turnover), (whole.holds, &sound.turnover));
}

//! The index under kill -9: it opens at a sealed watermark, never in between, and goes on from there.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod index_support;

use std::{io::Read, path::Path, process, sync::Arc, time::Duration};

use index_support::{Random, World, small_options};
use yue_engine::{
    index::{Opened, open},
    ledger::Ledger,
    model::{AccountNo, Position},
};

const GROUPS: usize = 600;
const DIR: &str = "YUE_CRASH_DIR";
const SEED: &str = "YUE_CRASH_SEED";

fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    (0..GROUPS).for_each(|_| drop(world.group()));
    world
}

/// Follows the world's journal from the checkpoint on.
fn follow(world: &World, opened: &mut Opened, mut sealed: impl FnMut()) {
    let start = opened.follower.checkpoint().position;
    for group in world.groups.iter().filter(|group| group.first > start) {
        if let Some(frozen) = opened.follower.step(Arc::clone(group)).unwrap() {
            opened.sealer.seal(frozen).unwrap();
            sealed();
        }
    }
}

/// What a checkpoint has to be: the plain ledger and list, cut at its position.
fn assert_is_checkpoint(world: &World, opened: &Opened) {
    let end = opened.follower.checkpoint().position;
    assert_eq!(opened.index.applied(), end);
    let mut ledger = Ledger::new();
    for (_, record) in &world.records[..end.0 as usize] {
        ledger.apply(record);
    }
    assert!(opened.follower.ledger().accounts().eq(ledger.accounts()));
    let live = ledger.holds().filter(|(_, hold)| hold.ended.is_none());
    assert!(opened.follower.ledger().holds().eq(live));
    for (id, position) in &world.ids {
        let expected = (*position <= end).then_some(*position);
        assert_eq!(opened.index.find_transaction(*id).unwrap(), expected);
    }
    for (id, row) in &world.holds {
        let found = opened.index.find_hold(*id).unwrap();
        assert_eq!(found.is_some(), row.placed <= end);
        if let Some(found) = found {
            assert_eq!(found.ended, row.ended.filter(|(_, position)| *position <= end));
        }
    }
    for no in (0..world.rows.len() as u32).map(AccountNo) {
        let query =
            yue_engine::index::HistoryQuery { account: no, from: None, to: None, before: None, limit: 9999 };
        let mut expected = world.history(no, None, None, None, usize::MAX);
        expected.retain(|row| row.position <= end);
        assert_eq!(opened.index.history(&query).unwrap(), expected);
    }
}

/// Not a test of its own: what the other test kills.
#[test]
#[ignore = "run by the_process_is_killed"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let world = world(std::env::var(SEED).unwrap().parse().unwrap());
    println!("ready");
    let mut opened = open(Path::new(&dir), &small_options(), &mut |_| ()).unwrap();
    follow(&world, &mut opened, || println!("sealed"));
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn the_process_is_killed() {
    let mut random = Random(31);
    for round in 0..6_u64 {
        let dir = tempfile::tempdir().unwrap();
        let world = world(round);
        let mut positions = Vec::new();
        // Killed three times, the next one goes on where the one before ended.
        for _ in 0..3 {
            let mut child = process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child", "--ignored", "--nocapture"])
                .env(DIR, dir.path())
                .env(SEED, round.to_string())
                .stdout(process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut output = child.stdout.take().unwrap();
            let mut read = Vec::new();
            let mut byte = [0];
            while !String::from_utf8_lossy(&read).contains("ready") {
                assert_eq!(output.read(&mut byte).unwrap(), 1);
                read.push(byte[0]);
            }
            std::thread::sleep(Duration::from_micros(2_000 + random.below(250_000)));
            child.kill().unwrap();
            child.wait().unwrap();
            output.read_to_end(&mut read).unwrap();
            let said = String::from_utf8_lossy(&read).matches("sealed").count();
            let opened = open(dir.path(), &small_options(), &mut |_| ()).unwrap();
            assert_is_checkpoint(&world, &opened);
            let before = positions.last().copied().unwrap_or(Position::ZERO);
            positions.push(opened.follower.checkpoint().position);
            let ends: Vec<_> = positions.iter().rev().take(1).copied().collect();
            assert!(ends[0] >= before && (said == 0 || ends[0] > before), "a sealed segment is lost");
        }
        let mut opened = open(dir.path(), &small_options(), &mut |_| ()).unwrap();
        follow(&world, &mut opened, || ());
        let frozen = opened.follower.freeze();
        frozen.into_iter().for_each(|frozen| drop(opened.sealer.seal(frozen).unwrap()));
        drop(opened);
        let opened = open(dir.path(), &small_options(), &mut |_| ()).unwrap();
        assert_eq!(opened.follower.checkpoint().position, world.head().position);
        assert_is_checkpoint(&world, &opened);
        eprintln!("round {round}: killed at {positions:?} of {}", world.head().position);
    }
}

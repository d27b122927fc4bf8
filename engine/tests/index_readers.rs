//! Many readers while segments are closed and sealed: whoever was told of a position finds all up to it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod index_support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use index_support::{Random, World, small_options};
use yue_engine::{
    index::{Frozen, HistoryQuery, HoldRow, Index, Point, open},
    model::{AccountNo, Position},
};

/// One reader: each answer has to have all up to what was applied when it asked, and be whole.
fn read(world: &World, index: &Index, random: &mut Random) {
    let account = AccountNo(random.below(world.rows.len() as u64) as u32);
    let known = index.applied();
    let query =
        HistoryQuery { account, from: None, to: None, before: None, limit: 1 + random.below(30) as usize };
    let page = index.history(&query).unwrap();
    let after = index.applied();
    // The page is the plain list's, cut at some position between `known` and `after`.
    let rows = &world.rows[account.index()];
    let newest = page.first().map_or(Position::ZERO, |row| row.position);
    let missed = rows.iter().find(|row| row.position > newest && row.position <= known);
    assert!(missed.is_none(), "account {account:?} at {known}: {missed:?} is missing, newest {newest}");
    assert!(newest <= after);
    let expected = rows.iter().rev().skip_while(|row| row.position > newest).take(query.limit);
    assert!(page.iter().eq(expected), "account {account:?}");
    if known > Position::ZERO {
        let position = Position(1 + random.below(known.0));
        assert_eq!(index.record(position).unwrap().unwrap(), world.records[position.0 as usize - 1]);
        let balance = index.balance_at(account, Point::Position(position)).unwrap();
        assert_eq!(balance, world.balance_at(account, position));
    }
    let sealed = index.sealed();
    for (id, position) in world.ids.iter().skip(random.below(world.ids.len() as u64) as usize).take(5) {
        let found = index.find_transaction(*id).unwrap();
        assert!(found == Some(*position) || (found.is_none() && *position > sealed), "{id} at {position}");
    }
    for (id, row) in world.holds.iter().skip(random.below(world.holds.len() as u64) as usize).take(3) {
        let known = index.applied();
        let found: Option<HoldRow> = index.find_hold(*id).unwrap();
        assert!(found.is_some() || row.placed > known);
        let ended = row.ended.filter(|(_, position)| *position <= known);
        assert!(ended.is_none() || found.unwrap().ended == row.ended);
    }
    for (position, id, operation, total) in world.reversals().skip(random.below(20) as usize).step_by(17) {
        let reversed = index.reversed(id, operation).unwrap();
        assert!(reversed.total >= total || position > reversed.as_of, "{id} at {position}");
        assert!(reversed.total <= world.reversed[&(id, operation)]);
    }
}

#[test]
fn readers_never_miss_what_is_acknowledged() {
    for seed in 1..=4 {
        let mut world = World::new(seed * 1000);
        (0..500).for_each(|_| drop(world.group()));
        let world = Arc::new(world);
        let dir = tempfile::tempdir().unwrap();
        let opened = open(dir.path(), &small_options(), &mut |_| ()).unwrap();
        let (mut follower, mut sealer, index) = (opened.follower, opened.sealer, opened.index);
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let (world, index, stop) = (Arc::clone(&world), Arc::clone(&index), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let mut random = Random(seed + 77 * reader);
                    let mut rounds = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        read(&world, &index, &mut random);
                        rounds += 1;
                    }
                    rounds
                })
            })
            .collect();
        let (sender, receiver) = mpsc::sync_channel::<Frozen>(2);
        let sealing = std::thread::spawn(move || {
            receiver.into_iter().for_each(|frozen| drop(sealer.seal(frozen).unwrap()));
        });
        for group in &world.groups {
            follower
                .step(Arc::clone(group))
                .unwrap()
                .into_iter()
                .for_each(|frozen| sender.send(frozen).unwrap());
            std::thread::yield_now();
        }
        drop(sender);
        sealing.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        let rounds: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(rounds > 10, "{rounds}");
    }
}

#[tokio::test]
async fn whoever_waits_for_a_position_is_woken() {
    let mut world = World::new(9);
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path(), &small_options(), &mut |_| ()).unwrap();
    let (mut follower, index) = (opened.follower, opened.index);
    let group = world.group();
    let last = group.head().position;
    let waiter = tokio::spawn({
        let index = Arc::clone(&index);
        async move {
            index.wait_for(last).await;
            index.applied()
        }
    });
    let mut head = index.subscribe();
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    let _ = follower.step(group).unwrap();
    assert_eq!(waiter.await.unwrap(), last);
    head.changed().await.unwrap();
    assert_eq!(*head.borrow(), last);
    index.wait_for(last).await;
}

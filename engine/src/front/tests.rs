//! The front alone: nothing takes from the mailboxes, and time passes only when everybody waits.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use smallvec::smallvec;
use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    index::IndexOptions,
    journal::faulty::FaultyJournal,
    model::{AccountChange, AccountOpening, Address, Lane, Metadata, NormalSide, TransactionId},
    recovery::{self, Assembled},
    shard::{
        Input,
        mailbox::{Inbox, mailbox},
    },
    view::{HistoryQuery, Point, SubmitError},
};

struct Fixture {
    front: Front,
    inboxes: Vec<Inbox>,
    _data: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::new(data.path());
        config.shards = 2;
        change(&mut config);
        let opened = recovery::open(&config, &IndexOptions::default(), |_| Ok(FaultyJournal::new()));
        let (shared, Assembled { assets, index, .. }) = opened.unwrap();
        let (mailboxes, inboxes) = (0..config.shards).map(|_| mailbox(&config)).unzip();
        let front = shared.front(assets, index, mailboxes);
        Self { front, inboxes, _data: data }
    }

    /// An account that is open.
    fn account(&self, address: &str) -> AccountNo {
        let opening = AccountOpening {
            address: Address::parse(address).unwrap(),
            asset: "CNY".into(),
            normal: NormalSide::Credit,
            floor: Some(0),
            ceiling: None,
            limits: Vec::new(),
            metadata: Metadata::default(),
            managed: false,
        };
        let asset = self.front.assets.find("CNY").unwrap();
        let no = self.front.directory.add_account(&Arc::new(opening), asset).unwrap();
        self.front.directory.open(no, Position(1), Timestamp(1));
        no
    }

    /// Commands in all mailboxes.
    fn sent(&self) -> usize {
        let count = |input: Input| match input {
            Input::Command(_) => 1,
            Input::Commands(commands) => commands.len(),
            Input::Open { .. }
            | Input::Change { .. }
            | Input::Decided { .. }
            | Input::Look { .. }
            | Input::Synced(_)
            | Input::Sealed(_) => 0,
        };
        self.inboxes.iter().flat_map(|inbox| inbox.checkout.try_iter()).map(count).sum()
    }
}

fn transaction(id: u128) -> Transaction {
    let address = |text: &str| Address::parse(text).unwrap();
    let kind = OperationKind::Transfer {
        debit: address("customers:1"),
        credit: address("merchants:1"),
        amount: RequestedAmount::parse("1.00"),
    };
    Transaction {
        id: TransactionId(id),
        operations: smallvec![Operation { kind, code: None }],
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: None,
    }
}

/// A hot payer's flood into a mailbox of eight, then one payment of a neighbour in the same shard.
async fn check_flood(account_commands_max: usize, hot_sent: usize, neighbour_sent: bool) {
    let fixture = Fixture::with(|config| {
        (config.shards, config.mailbox_commands_max) = (1, 8);
        config.account_commands_max = account_commands_max;
    });
    let pays = |id: u128, from: &str| {
        let address = |text: &str| Address::parse(text).unwrap();
        let (debit, credit) = (address(from), address("merchants:1"));
        let amount = RequestedAmount::parse("1.00");
        let kind = OperationKind::Transfer { debit, credit, amount };
        Transaction { operations: smallvec![Operation { kind, code: None }], ..transaction(id) }
    };
    for name in ["customers:1", "customers:2", "merchants:1"] {
        fixture.account(name);
    }
    let mut context = Context::from_waker(Waker::noop());
    let front = &fixture.front;
    let submit = |transaction| front.submit(Lane::Checkout, &Caller::TRUSTED, None, transaction);
    let mut flood: Vec<_> = (1..=20).map(|id| Box::pin(submit(pays(id, "customers:1")))).collect();
    let polled = flood.iter_mut().map(|call| call.as_mut().poll(&mut context));
    let sent = polled.filter(Poll::is_pending).count();
    assert_eq!(sent, hot_sent, "of the hot payer, with at most {account_commands_max}");
    let mut neighbour = Box::pin(submit(pays(21, "customers:2")));
    let sent = neighbour.as_mut().poll(&mut context).is_pending();
    assert_eq!(sent, neighbour_sent, "of the neighbour, with at most {account_commands_max}");
}

#[tokio::test]
async fn a_hot_payer_leaves_room_in_the_mailbox() {
    check_flood(usize::MAX, 8, false).await;
    check_flood(8, 8, false).await;
    check_flood(4, 4, true).await;
    check_flood(1, 1, true).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_never_gets_the_mark_has_one_deadline() {
    let fixture = Fixture::new();
    let no = fixture.account("customers:1");
    let entry = fixture.front.directory.entry(no);
    assert!(entry.mark());
    let since = Instant::now();
    let address = Address::parse("customers:1").unwrap();
    let change = fixture.front.change_account(&Caller::TRUSTED, &address, AccountChange::default());
    // Somebody else is always quicker.
    let rival = async {
        loop {
            sleep(Duration::from_secs(2)).await;
            entry.unmark();
            assert!(entry.mark());
        }
    };
    let overloaded = Unavailable::Overloaded("a change of an account");
    tokio::select! {
        changed = change => assert_eq!(changed, Err(overloaded.into())),
        () = rival => {}
    }
    assert_eq!(since.elapsed().as_secs(), fixture.front.config.change_wait_ms_max / 1000);
    // Also where it has the mark, and somebody does not leave.
    entry.unmark();
    assert!(entry.admit());
    let change = fixture.front.change_account(&Caller::TRUSTED, &address, AccountChange::default());
    assert_eq!(change.await, Err(overloaded.into()));
    assert!(!entry.is_marked(), "what was refused is as it was");
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_the_index_so_long_and_no_longer() {
    let fixture = Fixture::new();
    fixture.account("customers:1");
    let front = &fixture.front;
    // The journal has synced what the index never shows.
    front.state.synced.store(9, Ordering::Release);
    front.directory.transactions.settle(TransactionId(7), Position(9));
    let address = Address::parse("customers:1").unwrap();
    let late = Unavailable::Overloaded("the index");
    let query = HistoryQuery { limit: 1, ..HistoryQuery::default() };
    assert_eq!(front.history(&address, query).await, Err(late));
    assert_eq!(front.balance_at(&address, Point::Position(Position(1))).await, Err(late));
    assert_eq!(front.hold_view(HoldId(1)).await.err(), Some(late));
    assert_eq!(front.transaction(TransactionId(7)).await.err(), Some(late));
    assert_eq!(front.events(Position(1), 1).await.err(), Some(late));
    // The id has an outcome: nobody may be told that it has none.
    assert_eq!(
        front.submit(Lane::Checkout, &Caller::TRUSTED, None, transaction(7)).await,
        Err(SubmitError::Unknown)
    );
    assert_eq!(
        front.submit_batch(Lane::Checkout, &Caller::TRUSTED, None, vec![transaction(7)]).await,
        [Err(SubmitError::Unknown)]
    );
    // The index has it, but a shard does not.
    front.state.synced.store(0, Ordering::Release);
    front.directory.notified(ShardNo(1), Position(9));
    assert_eq!(front.shown(Position(9)).await, Err(Unavailable::Overloaded("a shard")));
    front.directory.showed(ShardNo(1), Position(9));
    assert_eq!(front.shown(Position(9)).await, Ok(()));
}

#[tokio::test]
async fn a_large_batch_lets_others_have_their_turn() {
    let fixture = Fixture::new();
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut batch = pin!(fixture.front.submit_batch(
            Lane::Checkout,
            &Caller::TRUSTED,
            None,
            (1..=600).map(transaction).collect()
        ));
        for expected in [256, 256, 88] {
            assert!(batch.as_mut().poll(&mut context).is_pending());
            assert_eq!(fixture.sent(), expected);
        }
        assert!(batch.as_mut().poll(&mut context).is_pending(), "it waits for the shards");
    }
    // A client that goes away in the middle leaves nothing claimed that is on no way.
    let before = fixture.front.directory.transactions.in_flight();
    let mut batch = Box::pin(fixture.front.submit_batch(
        Lane::Checkout,
        &Caller::TRUSTED,
        None,
        (601..=1_200).map(transaction).collect(),
    ));
    assert!(batch.as_mut().poll(&mut context).is_pending());
    drop(batch);
    assert_eq!(fixture.front.directory.transactions.in_flight() - before, fixture.sent());
}

#[tokio::test]
async fn a_stop_and_what_it_does_not_see_exclude_each_other() {
    let fixture = Fixture::new();
    // Between the admission of these and their way into the mailbox, the engine stops.
    let no = fixture.account("customers:1");
    let front = &fixture.front;
    front.state.stopping.store(true, Ordering::SeqCst);
    let stopping = Unavailable::Stopping;
    assert_eq!(front.count_in(1), Err(stopping));
    front.counters.left();
    let input = |reply| Input::Change { no, change: AccountChange::default(), reply };
    assert_eq!(front.send_account(ShardNo(0), input).err(), Some(stopping));
    assert_eq!(front.counters.in_flight(), 0);
    // What a shard has not answered is in flight, whether or not somebody waits for it.
    front.state.stopping.store(false, Ordering::SeqCst);
    drop(front.send_account(ShardNo(0), input).unwrap());
    assert_eq!(front.counters.in_flight(), 1);
    drop(fixture.inboxes[0].checkout.try_recv());
    assert_eq!(front.counters.in_flight(), 0);
}

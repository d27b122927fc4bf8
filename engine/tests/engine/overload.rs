//! Too much at once: whose surplus is refused, and what a deadline means. On a stepped engine, so that each run follows
//! from its seed.

use std::pin::Pin;

use tokio::runtime::Runtime;
use yue_engine::{
    engine::Engine,
    model::{Lane, Timestamp, Transaction, TransactionId},
    simulation::Machine,
    view::{Outcome, SubmitError, Unavailable},
};

use crate::support::{address, opening, transfer};

const NOW: Timestamp = Timestamp(1_767_196_200_000_000_000);
const SECOND_NS: i64 = 1_000_000_000;
/// More than a mailbox of the stepped engine takes.
const FLOOD: u128 = 1_000;
const NEIGHBOURS: u128 = 64;

type Submitted = Result<Outcome, SubmitError>;
type Call = Pin<Box<dyn Future<Output = Submitted>>>;

/// A stepped engine with accounts that have money.
struct Stepped {
    // First, so that the engine is gone before its directory.
    machine: Machine,
    runtime: Runtime,
    _data: tempfile::TempDir,
}

impl Stepped {
    fn new(seed: u64, shards: u16) -> Self {
        let data = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let machine = {
            let _entered = runtime.enter();
            Machine::new(data.path(), seed, shards, 256, NOW)
        };
        let mut stepped = Self { machine, runtime, _data: data };
        let others = ["channels:bank", "merchants:1"].map(str::to_owned);
        for name in others.into_iter().chain((0..=NEIGHBOURS).map(payer)) {
            let (engine, opening) = (stepped.machine.engine(), opening(&name));
            let opened: Pin<Box<dyn Future<Output = bool>>> =
                Box::pin(async move { engine.open_account(opening).await.is_ok() });
            assert!(stepped.drive(vec![opened])[0]);
        }
        for no in 0..=NEIGHBOURS {
            let fund = numbered(u128::MAX - no, "channels:bank", &payer(no), 1_000_000);
            let funded = stepped.submit(None, fund);
            assert!(stepped.drive(vec![funded])[0].is_ok());
        }
        stepped
    }

    fn submit(&self, deadline: Option<Timestamp>, transaction: Transaction) -> Call {
        let engine: Engine = self.machine.engine();
        Box::pin(async move { engine.submit_by(Lane::Checkout, deadline, transaction).await })
    }

    fn drive<T>(&mut self, calls: Vec<Pin<Box<dyn Future<Output = T>>>>) -> Vec<T> {
        self.runtime.block_on(self.machine.drive(calls, None)).unwrap()
    }

    fn posted(&self, name: &str) -> i128 {
        self.machine.engine().account(&address(name)).unwrap().posted
    }
}

fn payer(no: u128) -> String {
    format!("customers:{no}")
}

fn numbered(id: u128, debit: &str, credit: &str, units: u64) -> Transaction {
    Transaction { id: TransactionId(id), ..crate::support::one(transfer(debit, credit, units)) }
}

/// Of a flood of one payer among neighbours with one payment each: how many of each were posted, whether all others were
/// refused as overloaded, and the ids that were posted.
fn flood(seed: u64, shards: u16, most: usize) -> (usize, usize, Vec<u128>) {
    let mut stepped = Stepped::new(seed, shards);
    stepped.machine.engine().set_account_commands_max(most);
    let hot = (1..=FLOOD).map(|id| numbered(id, "customers:0", "merchants:1", 1));
    let others = (1..=NEIGHBOURS).map(|no| numbered(FLOOD + no, &payer(no), "merchants:1", 1));
    let calls = hot.chain(others).map(|transaction| stepped.submit(None, transaction)).collect();
    let answers: Vec<Submitted> = stepped.drive(calls);
    let posted: Vec<u128> = answers.iter().flatten().map(|outcome| outcome.id.0).collect();
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(matches!(refused, SubmitError::Unavailable(Unavailable::Overloaded(_))), "{refused:?}");
    }
    let hot = posted.iter().filter(|&&id| id <= FLOOD).count();
    assert_eq!(stepped.posted("merchants:1"), i128::try_from(posted.len()).unwrap());
    // What was refused is free: it goes once there is room.
    let again = (1..=FLOOD + NEIGHBOURS).find(|id| !posted.contains(id));
    if let Some(id) = again {
        let from = id.saturating_sub(FLOOD);
        let call = stepped.submit(None, numbered(id, &payer(from), "merchants:1", 1));
        assert!(stepped.drive(vec![call])[0].is_ok());
    }
    (hot, posted.len() - hot, posted)
}

#[test]
fn a_hot_payers_surplus_is_refused_and_its_neighbours_are_served() {
    for (seed, shards) in [(1, 1), (2, 1), (3, 2), (4, 4)] {
        let (hot, neighbours, posted) = flood(seed, shards, 2);
        assert_eq!(neighbours, usize::try_from(NEIGHBOURS).unwrap(), "seed {seed}: neighbours are served");
        assert!((2..1_000).contains(&hot), "seed {seed}: {hot} of the hot payer's");
        assert_eq!(flood(seed, shards, 2).2, posted, "seed {seed}: all follows from the seed");
    }
}

/// A merchant who is paid can refuse nothing: it is no queue.
#[test]
fn a_hot_merchant_has_no_bound() {
    let mut stepped = Stepped::new(5, 1);
    stepped.machine.engine().set_account_commands_max(1);
    let payments = (1..=NEIGHBOURS).map(|no| numbered(no, &payer(no), "merchants:1", 1));
    let calls = payments.map(|transaction| stepped.submit(None, transaction)).collect();
    assert!(stepped.drive(calls).iter().all(Result::is_ok));
}

#[test]
fn what_is_late_is_refused_and_nothing_happened() {
    let mut stepped = Stepped::new(6, 2);
    let payment = || numbered(7, "customers:1", "merchants:1", 5);
    let (past, future) = (NOW.plus_nanos(-1), NOW.plus_nanos(SECOND_NS));
    let late = stepped.submit(Some(past), payment());
    assert_eq!(stepped.drive(vec![late]), [Err(Unavailable::Late.into())]);
    assert_eq!(stepped.posted("merchants:1"), 0);
    // The id is free, and what is in time is posted.
    let timely = stepped.submit(Some(future), payment());
    let outcome = stepped.drive(vec![timely])[0].clone().unwrap();
    assert!(!outcome.replayed && outcome.verdict.is_ok());
    // What is decided is never taken back: a late copy hears the first outcome.
    let copy = stepped.submit(Some(past), payment());
    let copy = stepped.drive(vec![copy])[0].clone().unwrap();
    assert_eq!((copy.replayed, copy.position), (true, outcome.position));
    // A copy without a deadline does not share the fate of one that is late.
    let both = |stepped: &Stepped| {
        let body = || numbered(8, "customers:2", "merchants:1", 5);
        vec![stepped.submit(Some(past), body()), stepped.submit(None, body())]
    };
    let calls = both(&stepped);
    let answers = stepped.drive(calls);
    assert!(answers[1].is_ok(), "{answers:?}");
    assert_eq!(stepped.posted("merchants:1"), 10);
}

/// Stamps never go back, the clock does; a deadline is of the clock that its sender was told.
#[test]
fn a_clock_that_went_back_makes_nobody_late() {
    let mut stepped = Stepped::new(8, 2);
    let ahead = stepped.submit(None, numbered(1, "customers:1", "merchants:1", 5));
    stepped.machine.set_now(NOW.plus_nanos(3_600 * SECOND_NS));
    assert!(stepped.drive(vec![ahead])[0].is_ok());
    stepped.machine.set_now(NOW);
    let in_time =
        stepped.submit(Some(NOW.plus_nanos(SECOND_NS)), numbered(2, "customers:1", "merchants:1", 5));
    assert!(stepped.drive(vec![in_time])[0].is_ok());
    let late = stepped.submit(Some(NOW.plus_nanos(-1)), numbered(3, "customers:1", "merchants:1", 5));
    assert_eq!(stepped.drive(vec![late]), [Err(Unavailable::Late.into())]);
}

/// A guard in each of two shards: what the lower one has reserved for a late command is given back.
#[test]
fn a_late_command_across_shards_gives_back_what_was_reserved() {
    for seed in 10..20 {
        let mut stepped = Stepped::new(seed, 4);
        let operations = (1..=8).map(|no| transfer(&payer(no), "merchants:1", 1));
        let across = |id| Transaction { id: TransactionId(id), ..crate::support::many(operations.clone()) };
        let calls =
            vec![stepped.submit(Some(NOW.plus_nanos(-1)), across(1)), stepped.submit(None, across(2))];
        let answers = stepped.drive(calls);
        assert_eq!(answers[0], Err(Unavailable::Late.into()), "seed {seed}");
        assert!(answers[1].is_ok(), "seed {seed}");
        assert_eq!(stepped.posted("merchants:1"), 8, "seed {seed}");
    }
}

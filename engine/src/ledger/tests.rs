mod account;
mod cells;
mod checkpoint;
mod codes;

use std::collections::BTreeMap;

use super::*;
use crate::model::{
    AccountChange, AccountStatus, Address, Floor, Limit, LimitWindow, Metadata, NormalSide, Operation,
    OperationKind, Patch, Rejection, RejectionCode as Code, Transaction,
};
use smallvec::SmallVec;

/// Debit-normal, floor 0: a channel.
const BANK: u32 = 0;
/// 100, floor 0.
const ALICE: u32 = 1;
const SHOP: u32 = 2;
/// Ceiling 50.
const CAPPED: u32 = 3;
/// 100, at most 60 a day and 3 operations a month; at most 10 in its life with the code `gift`.
const LIMITED: u32 = 4;
/// Debit-normal, ceiling 50.
const RECEIVABLE: u32 = 5;
/// No floor, 10 above the least balance.
const DEEP: u32 = 6;
/// No ceiling, 10 below the greatest balance.
const FULL: u32 = 7;

const DAY_S: u32 = 86_400;

struct World {
    ledger: Ledger,
    now: Timestamp,
    transactions: u128,
    /// What can be reversed: by transaction and operation.
    originals: BTreeMap<(u128, u8), Original>,
}

#[derive(Clone)]
struct Original {
    debit: AccountNo,
    credit: AccountNo,
    amount: Amount,
    at: Timestamp,
    code: Option<CompactString>,
}

fn opening(normal: NormalSide, floor: Floor, ceiling: Option<i128>, limits: Vec<Limit>) -> AccountOpening {
    let address = Address::parse("test:account").unwrap();
    AccountOpening {
        address,
        asset: "CNY".into(),
        normal,
        floor,
        ceiling,
        limits,
        metadata: Metadata::default(),
        managed: false,
    }
}

fn limit(window: LimitWindow, code: Option<&str>, amount: Option<u64>, count: Option<u32>) -> Limit {
    Limit { window, code: code.map(Into::into), amount, count }
}

fn transfer(debit: u32, credit: u32, amount: u64) -> ResolvedOperation {
    ResolvedOperation::Transfer { debit: AccountNo(debit), credit: AccountNo(credit), amount: Amount(amount) }
}

fn hold(id: u128, debit: u32, credit: u32, amount: u64) -> ResolvedOperation {
    let (debit, credit, amount) = (AccountNo(debit), AccountNo(credit), Amount(amount));
    ResolvedOperation::Hold { id: HoldId(id), debit, credit, amount, expires_in: 900 }
}

impl World {
    fn new() -> Self {
        use NormalSide::{Credit, Debit};
        let limits = vec![
            limit(LimitWindow::Day, None, Some(60), None),
            limit(LimitWindow::Month, None, None, Some(3)),
            limit(LimitWindow::Lifetime, Some("gift"), Some(10), None),
        ];
        let mut ledger = Ledger::new();
        for (no, opening) in (0..).zip([
            opening(Debit, Some(0), None, vec![]),
            opening(Credit, Some(0), None, vec![]),
            opening(Credit, Some(0), None, vec![]),
            opening(Credit, Some(0), Some(50), vec![]),
            opening(Credit, Some(0), None, limits),
            opening(Debit, Some(0), Some(50), vec![]),
        ]) {
            ledger.open(AccountNo(no), &opening);
        }
        for (no, net) in [(DEEP, i128::MIN + 10), (FULL, i128::MAX - 10)] {
            let guards = Guards { floor: None, ceiling: None, limits: vec![] };
            ledger.insert_account(
                AccountNo(no),
                Account::from_parts(net, 0, 0, Credit, AccountStatus::Active, guards),
            );
        }
        // 2025-06-18T00:00:00 in Shanghai.
        let now = Timestamp(1_750_176_000 * Timestamp::NANOS_PER_SECOND);
        let mut world = Self { ledger, now, transactions: 0, originals: BTreeMap::new() };
        world.post(None, &[transfer(BANK, ALICE, 100), transfer(BANK, LIMITED, 100)]).unwrap();
        world
    }

    fn reference(&self, id: u128) -> HoldReference {
        let hold = self.ledger.hold(HoldId(id)).unwrap();
        HoldReference { id: HoldId(id), debit: hold.debit, credit: hold.credit, ended: None }
    }

    fn capture(&self, id: u128, amount: Option<u64>) -> ResolvedOperation {
        ResolvedOperation::Capture { hold: self.reference(id), amount: amount.map(Amount) }
    }

    fn release(&self, id: u128) -> ResolvedOperation {
        ResolvedOperation::Release { hold: self.reference(id) }
    }

    fn reverse(&self, transaction: u128, operation: u8, amount: Option<u64>) -> ResolvedOperation {
        let original = self.originals[&(transaction, operation)].clone();
        ResolvedOperation::Reverse {
            transaction: TransactionId(transaction),
            operation,
            debit: original.credit,
            credit: original.debit,
            amount: amount.map(Amount),
            original: original.amount,
            original_at: original.at,
            original_code: original.code,
            reversed: Amount::ZERO,
            reversed_as_of: Position::ZERO,
        }
    }

    fn decide(
        &self,
        code: Option<&str>,
        operations: &[ResolvedOperation],
    ) -> Result<PostedTransaction, Rejection> {
        let command = command(self.transactions + 1, code, operations);
        let mut facts = Facts::default();
        self.ledger.gather(&command, &mut facts).unwrap();
        let operations = decide(&mut facts, &command, self.now)?;
        let Transaction { id, code, reference, metadata, operations: _, attachment: _ } = command.transaction;
        Ok(PostedTransaction {
            id,
            decided_at: self.now,
            operations,
            code,
            reference,
            metadata,
            attachment: None,
        })
    }

    /// Decides and applies; the transaction's number.
    fn post(&mut self, code: Option<&str>, operations: &[ResolvedOperation]) -> Result<u128, Rejection> {
        let posted = self.decide(code, operations)?;
        self.transactions += 1;
        for (index, operation) in (0..).zip(&posted.operations) {
            let (debit, credit) = operation.kind.accounts();
            if let Some(amount) = operation.kind.moved() {
                let original = Original { debit, credit, amount, at: self.now, code: posted.code.clone() };
                self.originals.insert((self.transactions, index), original);
            }
        }
        self.ledger.apply(&Record::Posted(posted));
        Ok(self.transactions)
    }

    fn expire(&mut self, id: u128) {
        let record = self.ledger.expire(HoldId(id), self.now).unwrap();
        self.ledger.apply(&record);
    }

    fn wait(&mut self, seconds: u32) {
        self.now = self.now.plus_seconds(seconds);
    }

    fn account(&self, no: u32) -> &Account {
        self.ledger.account(AccountNo(no)).unwrap()
    }

    fn used(&self, no: u32, limit: usize) -> (u128, u64) {
        self.account(no).limits()[limit].used_at(self.now)
    }
}

fn command(id: u128, code: Option<&str>, operations: &[ResolvedOperation]) -> Command {
    let requested = Operation { kind: OperationKind::Release { hold: HoldId(0) }, code: None };
    let transaction = Transaction {
        id: TransactionId(id),
        operations: SmallVec::from_elem(requested, operations.len()),
        code: code.map(Into::into),
        reference: None,
        metadata: Metadata::default(),
        attachment: None,
    };
    Command {
        transaction,
        operations: operations.iter().cloned().collect(),
        refused: None,
        cells: Vec::new(),
    }
}

fn nothing(_: &mut World) {}

fn placed(world: &mut World) {
    world.post(None, &[hold(1, ALICE, SHOP, 40)]).unwrap();
}

#[test]
fn a_hold_sets_aside_on_both_sides_and_gives_back() {
    let mut world = World::new();
    world.post(None, &[hold(1, RECEIVABLE, CAPPED, 50)]).unwrap();
    assert_eq!((world.account(RECEIVABLE).held_debits(), world.account(CAPPED).held_credits()), (50, 50));
    let refused = |world: &World, operation| world.decide(None, &[operation]).unwrap_err().code;
    assert_eq!(refused(&world, transfer(RECEIVABLE, SHOP, 1)), Code::CeilingExceeded);
    assert_eq!(refused(&world, transfer(ALICE, CAPPED, 1)), Code::CeilingExceeded);
    assert_eq!(world.account(CAPPED).available(), 0, "a credit that is only held can't be spent");
    let capture = world.capture(1, Some(20));
    world.post(None, &[capture]).unwrap();
    assert_eq!((world.account(RECEIVABLE).posted(), world.account(CAPPED).posted()), (20, 20));
    assert_eq!((world.account(RECEIVABLE).held_debits(), world.account(CAPPED).held_credits()), (0, 0));
    world.post(None, &[hold(2, ALICE, BANK, 30)]).unwrap();
    assert_eq!((world.account(ALICE).held(), world.account(ALICE).available()), (30, 70));
    assert_eq!((world.account(BANK).held(), world.account(BANK).available()), (30, 170));
    assert_eq!(world.ledger.next_expiry(), Some((world.now.plus_seconds(900), HoldId(2))));
    assert_eq!(world.ledger.expire(HoldId(2), world.now.plus_seconds(900).plus_nanos(-1)), None);
    world.wait(900);
    world.expire(2);
    assert_eq!((world.account(ALICE).held(), world.account(BANK).held()), (0, 0));
    assert_eq!(world.ledger.next_expiry(), None);
    assert_eq!(world.ledger.expire(HoldId(2), world.now), None);
}

#[test]
fn limits_count_and_are_given_back() {
    let mut world = World::new();
    world.post(Some("gift"), &[hold(1, LIMITED, SHOP, 10)]).unwrap();
    assert_eq!([world.used(LIMITED, 0), world.used(LIMITED, 1), world.used(LIMITED, 2)], [(10, 1); 3]);
    assert_eq!(
        world.decide(Some("gift"), &[transfer(LIMITED, SHOP, 1)]).unwrap_err().code,
        Code::LimitExceeded
    );
    let capture = world.capture(1, Some(4));
    let captured = world.post(Some("other"), &[capture]).unwrap();
    assert_eq!([world.used(LIMITED, 0), world.used(LIMITED, 1), world.used(LIMITED, 2)], [(4, 1); 3]);
    world.originals.get_mut(&(captured, 0)).unwrap().code = Some("gift".into());
    let reverse = world.reverse(captured, 0, Some(3));
    world.post(None, &[reverse]).unwrap();
    assert_eq!(
        [world.used(LIMITED, 0), world.used(LIMITED, 2)],
        [(1, 1); 2],
        "amount comes back, count does not"
    );
    world.post(None, &[hold(2, LIMITED, SHOP, 5)]).unwrap();
    let release = world.release(2);
    world.post(None, &[release]).unwrap();
    assert_eq!([world.used(LIMITED, 0), world.used(LIMITED, 1), world.used(LIMITED, 2)], [(1, 1); 3]);
    world.post(None, &[hold(3, LIMITED, SHOP, 5)]).unwrap();
    world.wait(899);
    let release = world.release(3);
    world.now = world.now.plus_seconds(DAY_S);
    assert_eq!(world.used(LIMITED, 0), (0, 0), "another day");
    world.now = Timestamp(world.now.0 - i64::from(DAY_S) * Timestamp::NANOS_PER_SECOND);
    world.post(None, &[release]).unwrap();
    assert_eq!(world.used(LIMITED, 0), (1, 1));
}

#[test]
fn what_was_taken_in_another_window_is_not_given_back() {
    let mut world = World::new();
    world.now = world.now.plus_seconds(DAY_S - 60);
    world.post(None, &[hold(1, LIMITED, SHOP, 50), hold(2, LIMITED, SHOP, 10)]).unwrap();
    world.wait(59);
    assert_eq!(world.decide(None, &[transfer(LIMITED, SHOP, 1)]).unwrap_err().code, Code::LimitExceeded);
    world.wait(1);
    world.post(None, &[transfer(LIMITED, SHOP, 40)]).unwrap();
    let (release, capture) = (world.release(1), world.capture(2, Some(1)));
    world.post(None, &[release, capture]).unwrap();
    assert_eq!(world.used(LIMITED, 0), (40, 1), "the day's are the new day's");
    assert_eq!(world.used(LIMITED, 1), (41, 2), "the month's came back");
}

#[test]
fn windows_start_where_jiff_says() {
    let shanghai = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = |date: jiff::civil::Date| WindowStart(epoch.until(date).unwrap().get_days());
    let check = |ns: i64| {
        let date =
            jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_zoned(shanghai.clone()).date();
        let expected =
            [days(date), days(date.first_of_month()), days(date.first_of_year()), WindowStart::LEAST];
        let windows = [LimitWindow::Day, LimitWindow::Month, LimitWindow::Year, LimitWindow::Lifetime];
        assert_eq!(windows.map(|window| WindowStart::of(window, Timestamp(ns))), expected, "{ns} is {date}");
    };
    const DAY_NS: i64 = 86_400 * Timestamp::NANOS_PER_SECOND;
    // Every midnight of 1677 to 2262, and the instant before it.
    for day in (i64::MIN / DAY_NS + 1)..(i64::MAX / DAY_NS) {
        let midnight = day * DAY_NS - 8 * 3_600 * Timestamp::NANOS_PER_SECOND;
        check(midnight);
        check(midnight - 1);
    }
    check(i64::MIN);
    check(i64::MAX);
}

#[test]
fn a_changed_limit_keeps_what_is_used_and_a_new_one_gives_nothing_back_that_it_did_not_take() {
    let mut world = World::new();
    world.post(None, &[hold(1, LIMITED, SHOP, 40)]).unwrap();
    world.wait(1);
    let limits = vec![
        limit(LimitWindow::Day, None, Some(70), Some(9)),
        limit(LimitWindow::Year, None, Some(30), None),
    ];
    let change = AccountChange { limits: Patch::Set(limits), ..AccountChange::default() };
    world.ledger.apply(&Record::AccountChanged { no: AccountNo(LIMITED), change, decided_at: world.now });
    world.wait(1);
    assert_eq!([world.used(LIMITED, 0), world.used(LIMITED, 1)], [(40, 1), (0, 0)]);
    world.post(None, &[transfer(LIMITED, SHOP, 30)]).unwrap();
    let release = world.release(1);
    world.post(None, &[release]).unwrap();
    assert_eq!([world.used(LIMITED, 0), world.used(LIMITED, 1)], [(30, 1), (30, 1)]);
    let plain = AccountChange { limits: Patch::Set(vec![]), ..AccountChange::default() };
    world.ledger.apply(&Record::AccountChanged {
        no: AccountNo(LIMITED),
        change: plain,
        decided_at: world.now,
    });
    assert_eq!(world.account(LIMITED).guards(), None);
}

#[test]
fn what_the_index_has_sealed_is_resolved_again() {
    let mut world = World::new();
    placed(&mut world);
    let release = world.release(1);
    world.post(None, std::slice::from_ref(&release)).unwrap();
    let gather = |world: &World, operation: &ResolvedOperation| {
        world.ledger.gather(&command(9, None, std::slice::from_ref(operation)), &mut Facts::default())
    };
    assert_eq!(gather(&world, &release), Ok(()));
    world.ledger.forget_hold(HoldId(1));
    assert_eq!(gather(&world, &release), Err(NotGathered::Stale));
    let sealed = HoldReference {
        id: HoldId(1),
        debit: AccountNo(ALICE),
        credit: AccountNo(SHOP),
        ended: Some(HoldEnd::Released),
    };
    let capture = ResolvedOperation::Capture { hold: sealed, amount: None };
    assert_eq!(world.decide(None, &[capture]).unwrap_err().code, Code::HoldReleased);

    let paid = world.post(None, &[transfer(ALICE, SHOP, 40)]).unwrap();
    let reversals = [10, 20].map(|amount| world.reverse(paid, 0, Some(amount)));
    world.post(None, &reversals).unwrap();
    let key = TransactionId(paid);
    assert_eq!(world.ledger.reversed(key, 0), Some(Amount(30)));
    world.ledger.set_forgotten(Position(7));
    world.ledger.forget_reversed(key, 0);
    assert_eq!(world.ledger.reversed(key, 0), Some(Amount(30)), "one of two changes is sealed");
    assert_eq!(gather(&world, &reversals[0]), Ok(()));
    world.ledger.forget_reversed(key, 0);
    assert_eq!(world.ledger.reversed(key, 0), None);
    assert_eq!(gather(&world, &reversals[0]), Err(NotGathered::Stale));
    let mut again = world.reverse(paid, 0, Some(11));
    let ResolvedOperation::Reverse { reversed, reversed_as_of, .. } = &mut again else { unreachable!() };
    (*reversed, *reversed_as_of) = (Amount(30), Position(7));
    assert_eq!(world.decide(None, &[again]).unwrap_err().code, Code::ReversalExceedsOriginal);
}

#[test]
fn an_account_that_was_not_gathered_can_not_refuse() {
    let world = World::new();
    let command = command(9, None, &[transfer(ALICE, CAPPED, 1_000)]);
    assert!(decide(&mut Facts::default(), &command, world.now).is_ok());
}

#[test]
#[should_panic(expected = "ends in the ledger that owns it")]
fn releasing_an_unknown_hold_is_a_broken_ledger() {
    let mut world = World::new();
    let (debit, credit, held) = (AccountNo(DEEP), AccountNo(SHOP), Amount(1));
    world.ledger.apply_delta(debit, Delta { held_debits: 1, ..Delta::default() });
    world.ledger.apply_delta(credit, Delta { held_credits: 1, ..Delta::default() });
    let now = world.now;
    world.ledger.apply(&Record::HoldExpired { hold: HoldId(5), debit, credit, held, decided_at: now });
}

#[test]
#[should_panic(expected = "keeps every sum within its range")]
fn releasing_more_than_is_held_is_a_broken_ledger() {
    World::new().ledger.apply_delta(AccountNo(ALICE), Delta { held_debits: -1, ..Delta::default() });
}

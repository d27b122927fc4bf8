//! A record that can't be contradicted proves nothing: each contradiction is told to it once.

use super::*;
use crate::money::Fen;
use crate::torture::verb::Leg;

const FIRST: Uuid = Uuid::from_u128(0x0197_A0B0_0000_7000_8000_0000_0000_0001);
const SECOND: Uuid = Uuid::from_u128(0x0197_A0B0_0000_7000_8000_0000_0000_0002);
/// As the wallet derives them.
const DERIVED_ID: Uuid = Uuid::from_u128(0x0197_A0B0_0000_8000_8000_0000_0000_0003);

fn leg() -> Leg {
    Leg { debit: Account::World, credit: Account::Purse(1), amount: Fen(100) }
}

fn transfer(id: Uuid) -> Intent {
    Intent { id, verb: Verb::Transfer(vec![leg()]), bulky: false }
}

fn gift(id: Uuid) -> Intent {
    Intent { id, verb: Verb::Give { user: 1, to: 2, amount: Fen(7) }, bulky: false }
}

fn at(position: u64) -> Outcome {
    Outcome::Done { position: Some(position) }
}

fn refused(position: u64) -> Outcome {
    Outcome::Refused { code: "insufficient_funds".to_owned(), position: Some(position) }
}

fn event(position: u64, id: Uuid, posted: bool, legs: &[Leg]) -> Event {
    let legs = legs.iter().map(Moved::from).collect();
    Event { position, transaction: Some(Shown { id, posted, legs }) }
}

fn opening(position: u64) -> Event {
    Event { position, transaction: None }
}

/// Numbers of lost, doubled and other findings after a story.
fn check(story: &str, expected: [usize; 3], tell: impl FnOnce(&mut Record)) {
    let mut record = Record::default();
    tell(&mut record);
    let Findings { lost, doubled, other } = &record.findings;
    assert_eq!([lost.len(), doubled.len(), other.len()], expected, "{story}: {:?}", record.findings);
}

/// A record with one acknowledged transfer at position 1.
fn acknowledged(record: &mut Record) {
    record.add(transfer(FIRST), State::Known(at(1)));
}

#[test]
fn what_agrees_is_no_finding() {
    check("an acknowledged transfer is there", [0, 0, 0], |record| {
        acknowledged(record);
        record.shown(0, Some(at(1)));
        record.event(&event(1, FIRST, true, &[leg()]));
        record.events_end();
        record.balance(Account::World, 100, 0);
        record.balance(Account::Purse(1), 100, 0);
        record.repeated(0, at(1));
    });
    check("an unknown one is there, or is not and comes with the same id", [0, 0, 0], |record| {
        record.add(transfer(FIRST), State::Unknown);
        record.add(transfer(SECOND), State::Unknown);
        record.shown(0, Some(at(1)));
        record.shown(1, None);
        record.event(&event(1, FIRST, true, &[leg()]));
        record.events_end();
        record.balance(Account::Purse(1), 100, 0);
        record.repeated(0, at(1));
        record.repeated(1, at(2));
        record.event(&event(2, SECOND, true, &[leg()]));
        record.events_end();
        record.balance(Account::Purse(1), 200, 0);
        assert_eq!((record.settled, record.acknowledged), (2, 0));
    });
    check("an unknown transfer between users is told of by the events alone", [0, 0, 0], |record| {
        record.add(gift(FIRST), State::Unknown);
        let leg = gift(FIRST).verb.operations().unwrap();
        record.event(&event(1, DERIVED_ID, true, &leg));
        record.events_end();
        assert!(record.is_known(0));
        record.balance(Account::Customer(2), 7, 0);
        record.repeated(0, at(1));
    });
}

#[test]
fn what_is_lost_is_found() {
    check("a look does not show it", [1, 0, 0], |record| {
        acknowledged(record);
        record.shown(0, None);
    });
    check("a look shows another outcome", [1, 0, 0], |record| {
        acknowledged(record);
        record.shown(0, Some(refused(1)));
    });
    check("the ledger ends before it", [1, 0, 0], |record| {
        record.add(transfer(FIRST), State::Known(at(2)));
        record.event(&opening(1));
        record.events_end();
    });
    check("something else is in its place", [1, 0, 1], |record| {
        acknowledged(record);
        record.event(&event(1, SECOND, true, &[leg()]));
    });
    check("it is acknowledged where something else was", [1, 0, 0], |record| {
        record.event(&opening(1));
        acknowledged(record);
    });
    check("sent again it has another outcome", [1, 0, 0], |record| {
        acknowledged(record);
        record.repeated(0, at(9));
    });
    check("it is lost once, however often that shows", [1, 0, 0], |record| {
        acknowledged(record);
        record.shown(0, None);
        record.events_end();
        record.repeated(0, at(9));
    });
}

#[test]
fn what_is_doubled_is_found() {
    check("an id is in the events twice", [0, 1, 0], |record| {
        acknowledged(record);
        record.event(&event(1, FIRST, true, &[leg()]));
        record.event(&event(2, FIRST, true, &[leg()]));
    });
    check("an id that the wallet derived is there twice", [0, 1, 0], |record| {
        record.event(&event(1, DERIVED_ID, true, &[leg()]));
        record.event(&event(2, DERIVED_ID, true, &[leg()]));
    });
    check("two are acknowledged at one position", [0, 1, 0], |record| {
        acknowledged(record);
        record.add(transfer(SECOND), State::Known(at(1)));
    });
    check("an effect is in a balance twice", [0, 0, 1], |record| {
        acknowledged(record);
        record.balance(Account::Purse(1), 200, 0);
    });
}

#[test]
fn everything_else_that_differs_is_found() {
    check("positions have a gap", [0, 0, 1], |record| {
        record.event(&opening(1));
        record.event(&opening(3));
    });
    check("nobody sent it", [0, 0, 1], |record| record.event(&event(1, SECOND, true, &[leg()])));
    check("half of it is there", [0, 0, 1], |record| {
        let two = Intent { id: FIRST, verb: Verb::Transfer(vec![leg(), leg()]), bulky: false };
        record.add(two, State::Known(at(1)));
        record.event(&event(1, FIRST, true, &[leg()]));
    });
    check("half of it is in the balances", [0, 0, 1], |record| {
        acknowledged(record);
        record.balance(Account::World, 100, 0);
        record.balance(Account::Purse(1), 0, 0);
    });
    check("a look does not show what the events do", [0, 0, 1], |record| {
        record.add(transfer(FIRST), State::Unknown);
        record.shown(0, None);
        record.event(&event(1, FIRST, true, &[leg()]));
    });
    check("a refused one is posted", [0, 0, 1], |record| {
        record.add(transfer(FIRST), State::Known(refused(1)));
        record.event(&event(1, FIRST, true, &[leg()]));
    });
    check("it was answered as not taken, and is there", [0, 0, 1], |record| {
        record.add(transfer(FIRST), State::NotTaken);
        record.shown(0, Some(at(1)));
    });
    check("a floor is broken", [0, 0, 1], |record| {
        let leg = Leg { debit: Account::Purse(1), credit: Account::World, amount: Fen(100) };
        let verb = Verb::Transfer(vec![leg]);
        record.add(Intent { id: FIRST, verb, bulky: false }, State::Known(at(1)));
        record.balance(Account::Purse(1), -100, 0);
    });
}

#[test]
fn files_that_say_less_than_the_memory_are_found() {
    let mut record = Record::default();
    acknowledged(&mut record);
    let line = Acknowledgement { id: FIRST, outcome: at(1) };
    assert!(record.compare(&[transfer(FIRST)], std::slice::from_ref(&line)).is_empty());
    assert_eq!(record.compare(&[transfer(FIRST)], &[]).len(), 1);
    assert_eq!(record.compare(&[], &[line]).len(), 2);
}

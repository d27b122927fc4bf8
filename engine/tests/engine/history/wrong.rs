//! The check itself: histories that no ledger gives, each with what is to be said of it.

use yue_engine::{
    model::{Amount, Position, Rejection, RejectionCode, ResolvedOperation, Timestamp, TransactionId},
    view::Outcome,
};

use super::{Call, What, check, number, rules};

const BANK: usize = 0;
const PAYER: usize = 1;
const MERCHANT: usize = 3;

fn paid(ended: u64, position: u64, debit: usize, credit: usize, units: u64) -> Call {
    let outcome = Outcome {
        id: TransactionId(u128::from(position)),
        position: Position(position),
        at: Timestamp(1),
        decided_at: Timestamp(1),
        verdict: Ok(()),
        replayed: false,
    };
    let (debit, credit) = (number(debit), number(credit));
    let operations = vec![ResolvedOperation::Transfer { debit, credit, amount: Amount(units) }];
    Call { began: ended - 1, ended, what: What::Transaction { operations, outcome } }
}

fn refused(mut call: Call) -> Call {
    outcome(&mut call).verdict = Err(Rejection { code: RejectionCode::InsufficientFunds, operation: 0 });
    call
}

fn outcome(call: &mut Call) -> &mut Outcome {
    match &mut call.what {
        What::Transaction { outcome, .. } => outcome,
        What::Read { .. } => panic!("a read has no outcome"),
    }
}

fn read(ended: u64, posted: i128, position: u64) -> Call {
    let (account, position) = (number(PAYER), Position(position));
    Call { began: ended - 1, ended, what: What::Read { account, posted, held: 0, position } }
}

/// 60 come in, 50 are paid, 20 more are too much, 10 are left.
fn right() -> [Call; 4] {
    [
        paid(2, 1, BANK, PAYER, 60),
        paid(4, 2, PAYER, MERCHANT, 50),
        refused(paid(6, 3, PAYER, MERCHANT, 20)),
        read(8, 10, 2),
    ]
}

#[test]
fn a_right_history_is_right() {
    let seen = check(&rules(), &right()).unwrap();
    assert_eq!((seen.posted, seen.refused["insufficient_funds"], seen.reads), (2, 1, 1));
}

/// What is to be said, and what is done to the right history.
type Case = (&'static str, fn(&mut Vec<Call>));

#[test]
fn each_wrong_history_is_told() {
    let cases: [Case; 13] = [
        ("without what was answered before", |calls| calls[3] = read(8, 60, 1)),
        ("which it never was", |calls| calls[3] = read(8, 35, 2)),
        ("with what was not asked for yet", |calls| {
            calls[3] = read(3, 10, 2);
            calls[1].began = 4;
            calls[1].ended = 5;
        }),
        ("behind an earlier read", |calls| {
            // The payment is on its way all the time: once it is shown, it stays so.
            (calls[1].began, calls[1].ended) = (3, 20);
            (calls[2].began, calls[2].ended) = (3, 20);
            calls.push(read(10, 60, 1));
        }),
        ("was refused; the model says Ok", |calls| calls[2] = refused(paid(6, 3, PAYER, MERCHANT, 10))),
        ("was refused; the model says", |calls| {
            outcome(&mut calls[2]).verdict =
                Err(Rejection { code: RejectionCode::LimitExceeded, operation: 0 });
        }),
        ("was refused; the model says", |calls| {
            outcome(&mut calls[2]).verdict =
                Err(Rejection { code: RejectionCode::InsufficientFunds, operation: 1 });
        }),
        ("was posted; the model says (InsufficientFunds, 0)", |calls| {
            calls[2] = paid(6, 3, PAYER, MERCHANT, 20)
        }),
        ("was answered before one ahead of it was asked for", |calls| {
            outcome(&mut calls[1]).position = Position(4);
        }),
        ("two outcomes of one id", |calls| {
            calls.push(calls[2].clone());
            outcome(&mut calls[4]).position = Position(4);
        }),
        ("2 first answers", |calls| calls.push(calls[2].clone())),
        ("which it never was", |calls| {
            // On its way, and its position is shown: so is what it did.
            calls[1].ended = 20;
            calls[2].ended = 20;
            calls[3] = read(8, 60, 2);
        }),
        ("two ids at one position", |calls| {
            calls.push(paid(10, 3, BANK, PAYER, 1));
            outcome(&mut calls[4]).id = TransactionId(9);
        }),
    ];
    for (no, (expected, spoil)) in cases.into_iter().enumerate() {
        let mut calls = right().to_vec();
        spoil(&mut calls);
        let told = check(&rules(), &calls).expect_err(expected);
        assert!(told.contains(expected), "case {no}: {told}");
    }
}

/// A credit that is on its way need not have reached the account's shard, whatever the journal says; one that was answered has.
#[test]
fn a_credit_may_be_late_until_somebody_is_told() {
    let mut calls =
        vec![paid(2, 1, BANK, PAYER, 60), refused(paid(4, 2, PAYER, MERCHANT, 20)), read(4, 0, 0)];
    assert!(check(&rules(), &calls).unwrap_err().contains("was refused"));
    calls[0].ended = 9;
    let seen = check(&rules(), &calls).unwrap();
    assert_eq!((seen.posted, seen.refused["insufficient_funds"], seen.reads_in_between), (1, 1, 1));
}

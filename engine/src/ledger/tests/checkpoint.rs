use super::*;

#[test]
fn an_account_is_what_its_parts_say() {
    let guards = Guards { floor: Some(-7), ceiling: Some(900), limits: vec![] };
    let account = Account::from_parts(-50, 20, 30, NormalSide::Debit, AccountStatus::Frozen, guards.clone());
    assert_eq!((account.net(), account.held_debits(), account.held_credits()), (-50, 20, 30));
    assert_eq!((account.normal(), account.status()), (NormalSide::Debit, AccountStatus::Frozen));
    assert_eq!((account.posted(), account.held(), account.available()), (50, 30, 20));
    assert_eq!(account.guards(), Some(&guards));
    assert_eq!((account.floor(), account.ceiling(), account.limits()), (Some(-7), Some(900), &[][..]));
}

#[test]
fn a_ledger_made_from_what_another_one_shows_is_that_one() {
    let mut before = World::new();
    placed(&mut before);
    before.post(None, &[hold(2, LIMITED, SHOP, 5)]).unwrap();
    let capture = before.capture(2, Some(3));
    before.post(None, &[capture]).unwrap();
    let paid = before.post(None, &[transfer(ALICE, SHOP, 40)]).unwrap();
    let reverse = before.reverse(paid, 0, Some(10));
    before.post(None, &[reverse]).unwrap();

    let mut ledger = Ledger::new();
    for (no, account) in before.ledger.accounts() {
        ledger.insert_account(no, account.clone());
    }
    for (id, hold) in before.ledger.holds() {
        ledger.insert_hold(id, hold.clone());
    }
    for (transaction, operation, total) in before.ledger.reversed_totals() {
        ledger.insert_reversed(transaction, operation, total);
    }
    let shown = |ledger: &Ledger| {
        let accounts: Vec<_> = ledger.accounts().map(|(no, it)| (no, it.clone())).collect();
        let holds: Vec<_> = ledger.holds().map(|(id, it)| (id, it.clone())).collect();
        let reversed: Vec<_> = ledger.reversed_totals().collect();
        (accounts, holds, reversed, ledger.expiries().collect::<Vec<_>>())
    };
    assert_eq!(shown(&ledger), shown(&before.ledger));
    let (accounts, holds, reversed, live) = shown(&ledger);
    assert_eq!((accounts.len(), holds.len(), live.len()), (8, 2, 1));
    assert_eq!(reversed, [(TransactionId(paid), 0, Amount(10))]);

    // The rest of the order, on the copy: what it was told binds it, and goes when the index has sealed what came after.
    let mut after = World { ledger, ..before };
    let refused = after.reverse(paid, 0, Some(31));
    assert_eq!(after.decide(None, &[refused]).unwrap_err().code, Code::ReversalExceedsOriginal);
    let rest = after.reverse(paid, 0, None);
    after.post(None, &[rest]).unwrap();
    assert_eq!(after.ledger.reversed(TransactionId(paid), 0), Some(Amount(40)));
    after.ledger.forget_reversed(TransactionId(paid), 0);
    assert_eq!(after.ledger.reversed(TransactionId(paid), 0), None);
}

#[test]
#[should_panic(expected = "is opened twice")]
fn an_account_that_is_there_twice_is_a_broken_ledger() {
    let mut world = World::new();
    let account = world.account(ALICE).clone();
    world.ledger.insert_account(AccountNo(ALICE), account);
}

#[test]
#[should_panic(expected = "is placed twice")]
fn a_hold_that_is_there_twice_is_a_broken_ledger() {
    let mut world = World::new();
    placed(&mut world);
    let hold = world.ledger.hold(HoldId(1)).unwrap().clone();
    world.ledger.insert_hold(HoldId(1), hold);
}

#[test]
#[should_panic(expected = "is forgotten while it lives")]
fn forgetting_a_live_hold_is_a_broken_ledger() {
    let mut world = World::new();
    placed(&mut world);
    world.ledger.forget_hold(HoldId(1));
}

use super::*;

#[test]
fn a_leg_is_guarded_by_what_can_refuse_it() {
    use NormalSide::{Credit, Debit};
    let day = || vec![limit(LimitWindow::Day, None, Some(1), None)];
    // Normal side, floor, ceiling, limits; whether it guards debits, credits.
    let check = |normal, floor, ceiling, limits: &dyn Fn() -> Vec<Limit>, expected: (bool, bool)| {
        let account = Account::new(&opening(normal, floor, ceiling, limits()));
        assert_eq!(
            (account.guards_debits(), account.guards_credits()),
            expected,
            "{normal:?} floor {floor:?} ceiling {ceiling:?} limits {:?}",
            limits()
        );
    };
    check(Credit, Some(0), None, &Vec::new, (true, false));
    check(Credit, None, None, &Vec::new, (false, false));
    check(Credit, None, Some(9), &Vec::new, (false, true));
    check(Credit, None, None, &day, (true, false));
    check(Credit, Some(-5), Some(9), &day, (true, true));
    check(Debit, Some(0), None, &Vec::new, (false, true));
    check(Debit, None, None, &Vec::new, (false, false));
    check(Debit, None, Some(9), &Vec::new, (true, false));
    check(Debit, None, None, &day, (true, false));
    check(Debit, Some(-5), Some(9), &day, (true, true));
}

#[test]
fn changes() {
    let check =
        |before: fn(&mut World), no: u32, change: AccountChange, expected: Result<(), ChangeRefusal>| {
            let mut world = World::new();
            before(&mut world);
            assert_eq!(decide_change(world.account(no), &change), expected, "{change:?}");
        };
    let floor = |floor| AccountChange { floor: Patch::Set(floor), ..AccountChange::default() };
    let ceiling = |ceiling| AccountChange { ceiling: Patch::Set(ceiling), ..AccountChange::default() };
    let status = |status| AccountChange { status: Patch::Set(status), ..AccountChange::default() };
    let close = || status(AccountStatus::Closed);
    check(placed, ALICE, floor(Some(60)), Ok(()));
    check(placed, ALICE, floor(Some(61)), Err(ChangeRefusal::InsufficientFunds));
    check(placed, ALICE, floor(None), Ok(()));
    check(placed, SHOP, ceiling(Some(40)), Ok(()));
    check(placed, SHOP, ceiling(Some(39)), Err(ChangeRefusal::CeilingExceeded));
    check(nothing, BANK, ceiling(Some(199)), Err(ChangeRefusal::CeilingExceeded));
    check(nothing, BANK, ceiling(None), Ok(()));
    check(nothing, SHOP, close(), Ok(()));
    check(placed, SHOP, close(), Err(ChangeRefusal::NotEmpty));
    fn owed(world: &mut World) {
        world.post(None, &[hold(1, RECEIVABLE, SHOP, 40)]).unwrap();
    }
    check(owed, RECEIVABLE, close(), Err(ChangeRefusal::NotEmpty));
    check(nothing, ALICE, close(), Err(ChangeRefusal::NotEmpty));
    check(
        nothing,
        ALICE,
        AccountChange { floor: Patch::Set(Some(101)), ..close() },
        Err(ChangeRefusal::InsufficientFunds),
    );
    fn closed(world: &mut World) {
        let change = AccountChange { status: Patch::Set(AccountStatus::Closed), ..AccountChange::default() };
        world.ledger.apply(&Record::AccountChanged { no: AccountNo(SHOP), change, decided_at: world.now });
    }
    check(closed, SHOP, close(), Err(ChangeRefusal::Closed));
    check(closed, SHOP, status(AccountStatus::Active), Err(ChangeRefusal::Closed));
}

#[test]
fn a_debit_of_the_instant_in_which_a_limit_came_to_be_gives_nothing_back() {
    let mut world = World::new();
    world.post(None, &[hold(1, ALICE, SHOP, 40)]).unwrap();
    let limits = vec![limit(LimitWindow::Day, None, Some(50), None)];
    let change = AccountChange { limits: Patch::Set(limits), ..AccountChange::default() };
    world.ledger.apply(&Record::AccountChanged { no: AccountNo(ALICE), change, decided_at: world.now });
    world.wait(1);
    world.post(None, &[transfer(ALICE, SHOP, 30)]).unwrap();
    let release = world.release(1);
    world.post(None, &[release]).unwrap();
    assert_eq!(world.used(ALICE, 0), (30, 1));
}

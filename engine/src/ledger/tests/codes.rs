use super::*;

/// A case: its name, what happens before, the operations to judge, and the verdict.
type Case = (&'static str, fn(&mut World), fn(&World) -> Vec<ResolvedOperation>, Option<(Code, u8)>);

fn check(&(name, before, operations, expected): &Case) {
    let mut world = World::new();
    before(&mut world);
    let unchanged = world.ledger.clone();
    let verdict = world.decide(None, &operations(&world));
    let expected = expected.map(|(code, operation)| Rejection { code, operation });
    assert_eq!(verdict.err(), expected, "{name}");
    let accounts = |ledger: &Ledger| ledger.accounts().map(|(no, it)| (no, it.clone())).collect::<Vec<_>>();
    assert_eq!(accounts(&world.ledger), accounts(&unchanged), "{name}: decide changed the ledger");
}

/// Transaction 2 moves 40 from Alice to the shop.
fn paid(world: &mut World) {
    world.post(None, &[transfer(ALICE, SHOP, 40)]).unwrap();
}

fn ended(world: &mut World, operation: fn(&World, u128) -> ResolvedOperation) {
    placed(world);
    let operation = operation(world, 1);
    world.post(None, &[operation]).unwrap();
}

#[test]
fn each_code_in_the_order_of_checks() {
    let table: &[Case] = &[
        (
            "captured before",
            |w| ended(w, |w, id| w.capture(id, Some(1))),
            |w| vec![w.release(1)],
            Some((Code::HoldCaptured, 0)),
        ),
        (
            "released before",
            |w| ended(w, World::release),
            |w| vec![w.capture(1, None)],
            Some((Code::HoldReleased, 0)),
        ),
        (
            "expired by an event",
            |w| {
                placed(w);
                w.wait(900);
                w.expire(1);
            },
            |w| vec![w.capture(1, None)],
            Some((Code::HoldExpired, 0)),
        ),
        (
            "run out, without an event yet",
            |w| {
                placed(w);
                w.wait(900);
            },
            |w| vec![w.release(1)],
            Some((Code::HoldExpired, 0)),
        ),
        ("more than was held", placed, |w| vec![w.capture(1, Some(41))], Some((Code::CaptureExceedsHold, 0))),
        (
            "more than was paid",
            paid,
            |w| vec![w.reverse(2, 0, Some(41))],
            Some((Code::ReversalExceedsOriginal, 0)),
        ),
        (
            "nothing left",
            |w| {
                paid(w);
                let all = w.reverse(2, 0, None);
                w.post(None, &[all]).unwrap();
            },
            |w| vec![w.reverse(2, 0, None)],
            Some((Code::ReversalExceedsOriginal, 0)),
        ),
        ("day's amount", nothing, |_| vec![transfer(LIMITED, SHOP, 61)], Some((Code::LimitExceeded, 0))),
        ("a hold counts", nothing, |_| vec![hold(1, LIMITED, SHOP, 61)], Some((Code::LimitExceeded, 0))),
        ("floor", nothing, |_| vec![transfer(ALICE, SHOP, 101)], Some((Code::InsufficientFunds, 0))),
        (
            "what is held is not available",
            placed,
            |_| vec![transfer(ALICE, SHOP, 61)],
            Some((Code::InsufficientFunds, 0)),
        ),
        (
            "debit-normal floor",
            nothing,
            |_| vec![transfer(ALICE, RECEIVABLE, 1)],
            Some((Code::InsufficientFunds, 0)),
        ),
        (
            "debit-normal hold",
            nothing,
            |_| vec![hold(1, ALICE, RECEIVABLE, 1)],
            Some((Code::InsufficientFunds, 0)),
        ),
        ("ceiling", nothing, |_| vec![transfer(ALICE, CAPPED, 51)], Some((Code::CeilingExceeded, 0))),
        (
            "a hold takes room",
            |w| assert!(w.post(None, &[hold(1, ALICE, CAPPED, 40)]).is_ok()),
            |_| vec![transfer(ALICE, CAPPED, 11)],
            Some((Code::CeilingExceeded, 0)),
        ),
        (
            "debit-normal ceiling",
            nothing,
            |_| vec![transfer(RECEIVABLE, SHOP, 51)],
            Some((Code::CeilingExceeded, 0)),
        ),
        ("least balance", nothing, |_| vec![transfer(DEEP, SHOP, 11)], Some((Code::Overflow, 0))),
        ("greatest balance", nothing, |_| vec![transfer(ALICE, FULL, 11)], Some((Code::Overflow, 0))),
        ("held beyond the range", nothing, |_| vec![hold(1, DEEP, SHOP, 11)], Some((Code::Overflow, 0))),
    ];
    table.iter().for_each(check);
    let mut codes: Vec<Code> = table.iter().filter_map(|case| case.3).map(|(code, _)| code).collect();
    assert!(codes.is_sorted(), "the table follows the order of checks");
    codes.dedup();
    let second_pass: Vec<Code> = Code::ALL.into_iter().filter(|&code| code >= Code::HoldCaptured).collect();
    assert_eq!(codes, second_pass, "each code has a case");
}

#[test]
fn the_lowest_operation_wins_then_the_earliest_code() {
    let table: &[Case] = &[
        (
            "expired before too much",
            |w| {
                placed(w);
                w.wait(900);
            },
            |w| vec![w.capture(1, Some(41))],
            Some((Code::HoldExpired, 0)),
        ),
        (
            "captured before expired",
            |w| {
                ended(w, |w, id| w.capture(id, None));
                w.wait(900);
            },
            |w| vec![w.capture(1, Some(41))],
            Some((Code::HoldCaptured, 0)),
        ),
        (
            "reversal's cap before its limit",
            |w| assert!(w.post(None, &[transfer(ALICE, LIMITED, 100)]).is_ok()),
            |w| vec![w.reverse(2, 0, Some(101))],
            Some((Code::ReversalExceedsOriginal, 0)),
        ),
        (
            "limit before floor",
            nothing,
            |_| vec![transfer(LIMITED, CAPPED, 101)],
            Some((Code::LimitExceeded, 0)),
        ),
        (
            "floor before ceiling",
            nothing,
            |_| vec![transfer(ALICE, CAPPED, 101)],
            Some((Code::InsufficientFunds, 0)),
        ),
        (
            "floor of the credit side before ceiling of the debit side",
            nothing,
            |_| vec![transfer(RECEIVABLE, BANK, 300)],
            Some((Code::InsufficientFunds, 0)),
        ),
        (
            "ceiling before overflow",
            nothing,
            |_| vec![transfer(DEEP, CAPPED, 51)],
            Some((Code::CeilingExceeded, 0)),
        ),
        (
            "floor before overflow",
            nothing,
            |_| vec![transfer(ALICE, FULL, 101)],
            Some((Code::InsufficientFunds, 0)),
        ),
        (
            "a later operation's earlier code does not win",
            paid,
            |w| vec![transfer(SHOP, ALICE, 40), transfer(DEEP, SHOP, 11), w.reverse(2, 0, Some(41))],
            Some((Code::Overflow, 1)),
        ),
    ];
    table.iter().for_each(check);
}

#[test]
fn each_operation_sees_the_earlier_ones() {
    let table: &[Case] = &[
        (
            "own credits cover",
            nothing,
            |_| vec![transfer(ALICE, SHOP, 100), transfer(SHOP, CAPPED, 50)],
            None,
        ),
        (
            "but not later ones",
            nothing,
            |_| vec![transfer(SHOP, ALICE, 1), transfer(ALICE, SHOP, 1)],
            Some((Code::InsufficientFunds, 0)),
        ),
        (
            "two captures",
            placed,
            |w| vec![w.capture(1, Some(1)), w.capture(1, Some(1))],
            Some((Code::HoldCaptured, 1)),
        ),
        (
            "release, capture",
            placed,
            |w| vec![w.release(1), w.capture(1, None)],
            Some((Code::HoldReleased, 1)),
        ),
        ("released money is spent", placed, |w| vec![w.release(1), transfer(ALICE, SHOP, 100)], None),
        ("a capture's rest too", placed, |w| vec![w.capture(1, Some(10)), transfer(ALICE, SHOP, 90)], None),
        (
            "a capture's rest, and no more",
            placed,
            |w| vec![w.capture(1, Some(10)), transfer(ALICE, SHOP, 91)],
            Some((Code::InsufficientFunds, 1)),
        ),
        (
            "reversals add up",
            paid,
            |w| vec![w.reverse(2, 0, Some(30)), w.reverse(2, 0, Some(11))],
            Some((Code::ReversalExceedsOriginal, 1)),
        ),
        ("to the whole", paid, |w| vec![w.reverse(2, 0, Some(30)), w.reverse(2, 0, None)], None),
        (
            "limits add up",
            nothing,
            |_| vec![transfer(LIMITED, SHOP, 30), transfer(LIMITED, SHOP, 31)],
            Some((Code::LimitExceeded, 1)),
        ),
        (
            "counts add up",
            nothing,
            |_| {
                vec![
                    transfer(LIMITED, SHOP, 1),
                    hold(1, LIMITED, SHOP, 1),
                    transfer(LIMITED, SHOP, 1),
                    transfer(LIMITED, SHOP, 1),
                ]
            },
            Some((Code::LimitExceeded, 3)),
        ),
        (
            "a capture's rest comes back to the limit",
            |w| assert!(w.post(None, &[hold(1, LIMITED, SHOP, 50)]).is_ok()),
            |w| vec![w.capture(1, Some(10)), transfer(LIMITED, SHOP, 50)],
            None,
        ),
        (
            "and no more",
            |w| assert!(w.post(None, &[hold(1, LIMITED, SHOP, 50)]).is_ok()),
            |w| vec![w.capture(1, Some(10)), transfer(LIMITED, SHOP, 51)],
            Some((Code::LimitExceeded, 1)),
        ),
        (
            "a release comes back to the limit",
            |w| assert!(w.post(None, &[hold(1, LIMITED, SHOP, 60)]).is_ok()),
            |w| vec![w.release(1), transfer(LIMITED, SHOP, 60)],
            None,
        ),
        (
            "a reversal comes back to the limit",
            |w| assert!(w.post(None, &[transfer(LIMITED, SHOP, 60)]).is_ok()),
            |w| vec![w.reverse(2, 0, Some(20)), transfer(LIMITED, SHOP, 20)],
            None,
        ),
        (
            "but not more than it moves",
            |w| assert!(w.post(None, &[transfer(LIMITED, SHOP, 60)]).is_ok()),
            |w| vec![w.reverse(2, 0, Some(20)), transfer(LIMITED, SHOP, 21)],
            Some((Code::LimitExceeded, 1)),
        ),
    ];
    table.iter().for_each(check);
}

/// Credit-normal and debit-normal, 10 below the floor, and 10 above the ceiling: by whatever way that came to be.
const SUNK: [u32; 2] = [20, 21];
const OVERFULL: [u32; 2] = [22, 23];

fn beyond_bounds(world: &mut World) {
    use NormalSide::{Credit, Debit};
    for (no, net, normal, ceiling) in [
        (SUNK[0], -10, Credit, None),
        (SUNK[1], 10, Debit, None),
        (OVERFULL[0], 60, Credit, Some(50)),
        (OVERFULL[1], -60, Debit, Some(50)),
    ] {
        let guards = Guards { floor: Some(0), ceiling, limits: vec![] };
        let account = Account::from_parts(net, 0, 0, normal, AccountStatus::Active, guards);
        world.ledger.insert_account(AccountNo(no), account);
    }
}

#[test]
fn a_bound_refuses_only_what_goes_further_beyond_it() {
    let table: &[Case] = &[
        ("up to the floor", beyond_bounds, |_| vec![transfer(ALICE, SUNK[0], 1)], None),
        ("up to a debit-normal floor", beyond_bounds, |_| vec![transfer(SUNK[1], SHOP, 1)], None),
        (
            "further below the floor",
            beyond_bounds,
            |_| vec![transfer(SUNK[0], SHOP, 1)],
            Some((Code::InsufficientFunds, 0)),
        ),
        (
            "further below a debit-normal floor",
            beyond_bounds,
            |_| vec![transfer(ALICE, SUNK[1], 1)],
            Some((Code::InsufficientFunds, 0)),
        ),
        ("a held credit leaves what is available", beyond_bounds, |_| vec![hold(1, ALICE, SUNK[0], 1)], None),
        ("a held debit leaves it, debit-normal", beyond_bounds, |_| vec![hold(1, SUNK[1], SHOP, 1)], None),
        ("down to the ceiling", beyond_bounds, |_| vec![transfer(OVERFULL[0], SHOP, 1)], None),
        ("down to a debit-normal ceiling", beyond_bounds, |_| vec![transfer(ALICE, OVERFULL[1], 1)], None),
        (
            "further above the ceiling",
            beyond_bounds,
            |_| vec![transfer(ALICE, OVERFULL[0], 1)],
            Some((Code::CeilingExceeded, 0)),
        ),
        (
            "further above a debit-normal ceiling",
            beyond_bounds,
            |_| vec![transfer(OVERFULL[1], SHOP, 1)],
            Some((Code::CeilingExceeded, 0)),
        ),
        ("a held debit takes no room", beyond_bounds, |_| vec![hold(1, OVERFULL[0], SHOP, 1)], None),
        (
            "a held credit takes none, debit-normal",
            beyond_bounds,
            |_| vec![hold(1, ALICE, OVERFULL[1], 1)],
            None,
        ),
    ];
    table.iter().for_each(check);
}

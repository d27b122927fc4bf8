use compact_str::CompactString;
use proptest::{collection::vec, option, prelude::*};
use yue_engine::model::{Floor, Limit, LimitWindow, NormalSide};

pub(crate) const ACCOUNTS: u8 = 7;
pub(crate) const SECOND_NS: i64 = 1_000_000_000;
pub(crate) const DAY_NS: i64 = 86_400 * SECOND_NS;

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) accounts: Vec<(NormalSide, Floor, Option<i128>, Vec<Limit>)>,
    /// Whether two of the accounts start next to the ends of `i128`.
    pub(crate) extreme: bool,
    /// What accounts without a ceiling start with.
    pub(crate) wealth: i128,
    pub(crate) owners: Vec<usize>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Post {
        operations: Vec<(Draft, Option<u8>)>,
        code: Option<u8>,
        resolved_late: bool,
    },
    Wait(Wait),
    Expire,
    /// So many quarters of what is not sealed yet.
    Seal(usize),
    Change {
        no: u8,
        floor: Option<Floor>,
        ceiling: Option<Option<i128>>,
        limits: Option<Vec<Limit>>,
    },
}

/// An operation before its hold or original is picked from what is there.
#[derive(Clone, Debug)]
pub(crate) enum Draft {
    Transfer { accounts: (u8, u8), amount: u64 },
    Hold { accounts: (u8, u8), amount: u64, expires_in: u32 },
    Capture { pick: usize, amount: Option<u64> },
    Release { pick: usize },
    Reverse { pick: usize, amount: Option<u64> },
}

#[derive(Clone, Debug)]
pub(crate) enum Wait {
    Nanos(i64),
    /// To the next midnight of Shanghai, less so many nanoseconds.
    Midnight(i64),
    /// To the next live hold's expiry, less so many nanoseconds.
    Expiry(i64),
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![60 => 1_u64..60, 12 => 60_u64..400, 1 => Just(u64::MAX)]
}

fn limits() -> impl Strategy<Value = Vec<Limit>> {
    use LimitWindow::{Day, Lifetime, Month, Year};
    let window = prop_oneof![Just(Day), Just(Month), Just(Year), Just(Lifetime)];
    let limit = (window, option::of(0_u8..2), option::of(1_u64..200), option::of(1_u32..6));
    let limit =
        limit.prop_map(|(window, code, amount, count)| Limit { window, code: code.map(name), amount, count });
    prop_oneof![2 => Just(vec![]), 1 => vec(limit, 1..4)]
}

fn floor() -> impl Strategy<Value = Floor> {
    prop_oneof![3 => Just(Some(0)), 1 => Just(None), 2 => (-90_i128..=0).prop_map(Some)]
}

fn ceiling() -> impl Strategy<Value = Option<i128>> {
    prop_oneof![2 => Just(None), 1 => (0_i128..300).prop_map(Some)]
}

fn accounts() -> impl Strategy<Value = (u8, u8)> {
    let pair = |among| (0..among, 1..among).prop_map(move |(debit, step)| (debit, (debit + step) % among));
    // Often the same few, so that what one operation took meets the next one.
    prop_oneof![pair(ACCOUNTS), pair(3)]
}

fn draft() -> impl Strategy<Value = Draft> {
    let pick = || any::<usize>();
    prop_oneof![
        5 => (accounts(), amount()).prop_map(|(accounts, amount)| Draft::Transfer { accounts, amount }),
        3 => (accounts(), amount(), 1_u32..1_000)
            .prop_map(|(accounts, amount, expires_in)| Draft::Hold { accounts, amount, expires_in }),
        2 => (pick(), option::of(amount())).prop_map(|(pick, amount)| Draft::Capture { pick, amount }),
        1 => pick().prop_map(|pick| Draft::Release { pick }),
        2 => (pick(), option::of(amount())).prop_map(|(pick, amount)| Draft::Reverse { pick, amount }),
    ]
}

/// Many operations that have a chance to succeed together: to and fro between two accounts, then what may be refused.
fn long() -> impl Strategy<Value = Vec<(Draft, Option<u8>)>> {
    let end = vec((draft(), option::of(0_u8..2)), 0..3);
    (accounts(), vec((any::<bool>(), 1_u64..9), 8..=61), end).prop_map(|((debit, credit), transfers, end)| {
        let transfer = |(back, amount)| {
            let accounts = if back { (credit, debit) } else { (debit, credit) };
            (Draft::Transfer { accounts, amount }, None)
        };
        transfers.into_iter().map(transfer).chain(end).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let operations = prop_oneof![
        12 => vec((draft(), option::of(0_u8..2)), 1..4),
        1 => vec((draft(), option::of(0_u8..2)), 4..=64),
        2 => long(),
    ];
    let wait = prop_oneof![
        (0_i64..400 * SECOND_NS).prop_map(Wait::Nanos),
        (0_i64..40 * DAY_NS).prop_map(Wait::Nanos),
        (0_i64..2).prop_map(Wait::Midnight),
        (0_i64..2).prop_map(Wait::Expiry),
    ];
    prop_oneof![
        20 => (operations, option::of(0_u8..2), any::<bool>())
            .prop_map(|(operations, code, resolved_late)| Step::Post { operations, code, resolved_late }),
        5 => wait.prop_map(Step::Wait),
        1 => Just(Step::Expire),
        2 => (1_usize..5).prop_map(Step::Seal),
        2 => (0..ACCOUNTS, option::of(floor()), option::of(ceiling()), option::of(limits()))
            .prop_map(|(no, floor, ceiling, limits)| Step::Change { no, floor, ceiling, limits }),
    ]
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let normal = prop_oneof![3 => Just(NormalSide::Credit), 1 => Just(NormalSide::Debit)];
    let account = (normal, floor(), ceiling(), limits());
    let count = usize::from(ACCOUNTS);
    let owners = vec(0_usize..4, count..=count);
    let wealth = prop_oneof![Just(0), Just(100), Just(20_000)];
    (vec(account, count..=count), any::<bool>(), wealth, owners, vec(step(), 1..40)).prop_map(
        |(accounts, extreme, wealth, owners, steps)| Case { accounts, extreme, wealth, owners, steps },
    )
}

pub(crate) fn name(code: u8) -> CompactString {
    ["pay", "gift"][usize::from(code)].into()
}

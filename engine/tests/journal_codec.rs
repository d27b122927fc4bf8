//! The byte form of journal records: snapshots of each kind, round trips of arbitrary records, hostile bytes.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{collections::BTreeMap, fmt::Write as _};

use proptest::{collection::vec, option, prelude::*, sample::select};
use yue_engine::{
    journal::{
        Checkpoint, Hash, PartHead, PostedTransaction, Record, RefusedTransaction, SnapshotAccount,
        SnapshotCell, SnapshotContent, SnapshotHold, SnapshotPart, SnapshotReversed, SnapshotTurnover,
    },
    ledger::{Account, Guards, Hold, LimitState, WindowStart},
    model::{
        AccountChange, AccountNo, AccountOpening, AccountStatus, Address, Amount, Attachment, Cell, CellKind,
        CellWrite, HoldId, Limit, LimitWindow, Metadata, NormalSide, Operation, OperationKind, Patch,
        Position, PostedKind, PostedOperation, Rejection, RejectionCode, RequestedAmount, Timestamp,
        Transaction, TransactionId,
    },
};

fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

fn text(max: usize) -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z_]{1,16}", "\\PC{0,40}"].prop_map(move |mut text: String| {
        while text.len() > max {
            text.pop();
        }
        text
    })
}

fn code() -> impl Strategy<Value = Option<compact_str::CompactString>> {
    option::of(text(64).prop_map(Into::into))
}

fn metadata() -> impl Strategy<Value = Metadata> {
    proptest::collection::btree_map("\\PC{1,16}", text(256), 0..5).prop_map(|pairs| {
        let pairs: BTreeMap<_, _> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Metadata::new(pairs).unwrap()
    })
}

fn address() -> impl Strategy<Value = Address> {
    "[a-z0-9][a-z0-9._-]{0,10}(:[a-z0-9][a-z0-9._-]{0,10}){0,3}"
        .prop_map(|text| Address::parse(&text).unwrap())
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..300, any::<u64>(), (0_u32..64).prop_map(|bits| 1 << bits), Just(u64::MAX)]
}

fn account() -> impl Strategy<Value = AccountNo> {
    prop_oneof![0_u32..300, any::<u32>()].prop_map(AccountNo)
}

fn amount() -> impl Strategy<Value = Amount> {
    number().prop_map(Amount)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn signed() -> impl Strategy<Value = Option<i128>> {
    option::of(prop_oneof![-300_i128..300, any::<i128>(), number().prop_map(i128::from)])
}

fn requested() -> impl Strategy<Value = RequestedAmount> {
    let decimal =
        (any::<u128>(), 0_u32..97, 0_u32..29, any::<bool>()).prop_map(|(mantissa, bits, scale, negative)| {
            let mantissa = i128::try_from(mantissa & ((1 << bits) - 1)).unwrap();
            let mut value = rust_decimal::Decimal::from_i128_with_scale(mantissa, scale);
            value.set_sign_negative(negative);
            RequestedAmount::Decimal(value)
        });
    prop_oneof![
        decimal,
        "\\PC{0,80}".prop_map(|text| RequestedAmount::parse(&text)),
        "[0-9]{1,18}(\\.[0-9]{1,6})?".prop_map(|text| RequestedAmount::parse(&text))
    ]
}

fn limits() -> impl Strategy<Value = Vec<Limit>> {
    let window = select(vec![LimitWindow::Day, LimitWindow::Month, LimitWindow::Year, LimitWindow::Lifetime]);
    let limit = (window, code(), option::of(number()), option::of(any::<u32>()));
    vec(limit.prop_map(|(window, code, amount, count)| Limit { window, code, amount, count }), 0..4)
}

fn patch<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Patch<T>> {
    option::of(value).prop_map(|value| value.map_or(Patch::Keep, Patch::Set))
}

fn opening() -> impl Strategy<Value = AccountOpening> {
    let normal = select(vec![NormalSide::Credit, NormalSide::Debit]);
    (address(), "[A-Z]{1,8}", normal, signed(), signed(), limits(), metadata(), any::<bool>()).prop_map(
        |(address, asset, normal, floor, ceiling, limits, metadata, managed)| AccountOpening {
            address,
            asset: asset.into(),
            normal,
            floor,
            ceiling,
            limits,
            metadata,
            managed,
        },
    )
}

fn change() -> impl Strategy<Value = AccountChange> {
    let status = select(vec![AccountStatus::Active, AccountStatus::Frozen, AccountStatus::Closed]);
    (patch(status), patch(signed()), patch(signed()), patch(limits()))
        .prop_map(|(status, floor, ceiling, limits)| AccountChange { status, floor, ceiling, limits })
}

fn guards() -> impl Strategy<Value = Guards> {
    let state = (any::<i32>(), timestamp(), any::<u128>(), number());
    (signed(), signed(), limits(), vec(state, 4)).prop_map(|(floor, ceiling, limits, states)| {
        let limits = limits.into_iter().zip(states);
        let limits = limits.map(|(limit, (window, counts_after, used_amount, used_count))| LimitState {
            limit,
            window: WindowStart(window),
            counts_after,
            used_amount,
            used_count,
        });
        Guards { floor, ceiling, limits: limits.collect() }
    })
}

fn snapshot_account() -> impl Strategy<Value = SnapshotAccount> {
    let status = select(vec![AccountStatus::Active, AccountStatus::Frozen, AccountStatus::Closed]);
    let held = prop_oneof![Just((0, 0)), (any::<u128>(), any::<u128>())];
    let guards = prop_oneof![Just(Guards::default()), guards()];
    let state = (any::<i128>(), held, status, guards);
    (account(), opening(), any::<u8>(), number(), timestamp(), number(), state).prop_map(
        |(no, opening, scale, opened, opened_at, changed, (net, (debits, credits), status, guards))| {
            let account = Account::from_parts(net, debits, credits, opening.normal, status, guards);
            let (opened, changed) = (Position(opened), Position(changed));
            SnapshotAccount { no, opening, scale, opened, opened_at, changed, account }
        },
    )
}

fn snapshot_hold() -> impl Strategy<Value = SnapshotHold> {
    (any::<u128>(), account(), account(), amount(), timestamp(), timestamp(), code(), number()).prop_map(
        |(id, debit, credit, held, placed_at, expires_at, code, placed)| {
            let captured = Amount::ZERO;
            let hold = Hold { debit, credit, held, captured, placed_at, expires_at, code, ended: None };
            SnapshotHold { id: HoldId(id), hold, placed: Position(placed) }
        },
    )
}

fn snapshot() -> impl Strategy<Value = SnapshotPart> {
    let head = (number(), any::<[u8; 32]>(), any::<u32>(), any::<bool>(), number()).prop_map(
        |(position, hash, part, last, entries)| {
            let as_of = Checkpoint { position: Position(position), hash: Hash(hash) };
            PartHead { as_of, part, last, entries }
        },
    );
    let reversed = (any::<u128>(), any::<u8>(), amount()).prop_map(|(id, operation, total)| {
        SnapshotReversed { transaction: TransactionId(id), operation, total }
    });
    let turnover = ("[a-z]{1,8}", "[A-Z]{1,8}", any::<u128>(), any::<u128>()).prop_map(
        |(group, asset, debits, credits)| {
            let (group, asset) = (group.into(), asset.into());
            SnapshotTurnover { group, asset, debits, credits }
        },
    );
    let cell = (account(), any::<u8>(), number(), vec(any::<u8>(), 0..20)).prop_map(
        |(account, kind, revision, value)| {
            let cell = Cell { revision, value: value.into() };
            SnapshotCell { account, kind: CellKind(kind), cell }
        },
    );
    let (accounts, holds) = (vec(snapshot_account(), 0..3), vec(snapshot_hold(), 0..3));
    (head, timestamp(), accounts, holds, vec(reversed, 0..3), vec(turnover, 0..3), vec(cell, 0..3)).prop_map(
        |(head, decided_at, accounts, holds, reversed, turnover, cells)| SnapshotPart {
            head,
            decided_at,
            content: SnapshotContent { accounts, holds, reversed, turnover, cells },
        },
    )
}

fn posted_operation() -> impl Strategy<Value = PostedOperation> {
    let common = (any::<u128>(), account(), account(), amount(), amount(), any::<bool>());
    (common, 0..5, any::<u32>(), any::<u8>(), timestamp(), code(), code()).prop_map(
        |(
            (id, debit, credit, amount, held, explicit),
            kind,
            expires_in,
            operation,
            original_at,
            original_code,
            code,
        )| {
            let kind = match kind {
                0 => PostedKind::Transfer { debit, credit, amount },
                1 => PostedKind::Hold { id: HoldId(id), debit, credit, amount, expires_in },
                2 => PostedKind::Capture { hold: HoldId(id), debit, credit, held, amount, explicit },
                3 => PostedKind::Release { hold: HoldId(id), debit, credit, held },
                _ => PostedKind::Reverse {
                    transaction: TransactionId(id),
                    operation,
                    debit,
                    credit,
                    amount,
                    explicit,
                    total: held,
                    original_at,
                    original_code,
                },
            };
            PostedOperation { kind, code }
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    (any::<u128>(), address(), address(), requested(), any::<bool>(), 0..5, any::<u32>(), any::<u8>(), code())
        .prop_map(|(id, debit, credit, amount, present, kind, expires_in, operation, code)| {
            let optional = present.then(|| amount.clone());
            let kind = match kind {
                0 => OperationKind::Transfer { debit, credit, amount },
                1 => OperationKind::Hold { id: HoldId(id), debit, credit, amount, expires_in },
                2 => OperationKind::Capture { hold: HoldId(id), amount: optional },
                3 => OperationKind::Release { hold: HoldId(id) },
                _ => OperationKind::Reverse { transaction: TransactionId(id), operation, amount: optional },
            };
            Operation { kind, code }
        })
}

fn record() -> impl Strategy<Value = Record> {
    let bytes = || vec(any::<u8>(), 0..20).prop_map(Vec::into_boxed_slice);
    let cell = (account(), any::<u8>(), number(), bytes()).prop_map(|(account, kind, revision, value)| {
        CellWrite { account, kind: CellKind(kind), revision, value }
    });
    let attachment = option::of((bytes(), vec(any::<u128>(), 0..3), vec(cell, 0..3)).prop_map(
        |(document, aliases, cells)| {
            let aliases = aliases.into_iter().map(TransactionId).collect();
            Box::new(Attachment { document, aliases, cells })
        },
    ));
    let document = option::of(
        bytes()
            .prop_map(|document| Box::new(Attachment { document, aliases: Vec::new(), cells: Vec::new() })),
    );
    let posted =
        (any::<u128>(), timestamp(), vec(posted_operation(), 0..5), code(), code(), metadata(), attachment)
            .prop_map(|(id, decided_at, operations, code, reference, metadata, attachment)| {
                Record::Posted(PostedTransaction {
                    id: TransactionId(id),
                    decided_at,
                    operations: operations.into(),
                    code,
                    reference,
                    metadata,
                    attachment,
                })
            });
    let rejection = (select(RejectionCode::ALL.to_vec()), any::<u8>())
        .prop_map(|(code, operation)| Rejection { code, operation });
    let request = (any::<u128>(), vec(operation(), 0..5), code(), code(), metadata(), document).prop_map(
        |(id, operations, code, reference, metadata, attachment)| Transaction {
            id: TransactionId(id),
            operations: operations.into(),
            code,
            reference,
            metadata,
            attachment,
        },
    );
    let refused =
        (request, rejection, number(), timestamp()).prop_map(|(transaction, rejection, seen, decided_at)| {
            Record::Refused(RefusedTransaction { transaction, rejection, seen: Position(seen), decided_at })
        });
    prop_oneof![
        posted,
        refused,
        (account(), opening(), any::<u8>(), timestamp()).prop_map(|(no, opening, scale, decided_at)| {
            Record::AccountOpened { no, opening, scale, decided_at }
        }),
        (account(), change(), timestamp()).prop_map(|(no, change, decided_at)| Record::AccountChanged {
            no,
            change,
            decided_at
        }),
        snapshot().prop_map(Record::Snapshot),
        (any::<u128>(), account(), account(), amount(), timestamp()).prop_map(
            |(hold, debit, credit, held, decided_at)| Record::HoldExpired {
                hold: HoldId(hold),
                debit,
                credit,
                held,
                decided_at
            }
        ),
    ]
}

/// Decimals equal by value are different records: compare what was written.
fn written(record: &Record) -> String {
    let mut text = format!("{record:?}");
    if let Record::Refused(refused) = record {
        for operation in &refused.transaction.operations {
            let amount = match &operation.kind {
                OperationKind::Transfer { amount, .. } | OperationKind::Hold { amount, .. } => Some(amount),
                OperationKind::Capture { amount, .. } | OperationKind::Reverse { amount, .. } => {
                    amount.as_ref()
                }
                OperationKind::Release { .. } => None,
            };
            if let Some(RequestedAmount::Decimal(value)) = amount {
                write!(text, " {} {} {}", value.is_sign_negative(), value.mantissa(), value.scale()).unwrap();
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn records_round_trip(record in record()) {
        let bytes = encode(&record);
        let decoded = Record::decode(&bytes).unwrap();
        prop_assert_eq!(written(&decoded), written(&record));
        prop_assert_eq!(&decoded, &record);
        let ids: Vec<_> = match &record {
            Record::Posted(posted) => {
                let aliases = posted.attachment.iter().flat_map(|attachment| &attachment.aliases);
                std::iter::once(posted.id).chain(aliases.copied()).collect()
            }
            Record::Refused(refused) => vec![refused.transaction.id],
            Record::AccountOpened { .. }
            | Record::AccountChanged { .. }
            | Record::HoldExpired { .. }
            | Record::Snapshot(_) => vec![],
        };
        prop_assert_eq!(Record::transaction_ids(&bytes).collect::<Vec<_>>(), ids);
        let head = if let Record::Snapshot(part) = &record { Some(part.head) } else { None };
        prop_assert_eq!(Record::snapshot_part(&bytes), Ok(head));
        prop_assert_eq!(Record::decode(&Record::indexed(&bytes)).unwrap(), record.clone().into_indexed());
        for length in 0..bytes.len() {
            prop_assert!(Record::decode(&bytes[..length]).is_err(), "a prefix of {} bytes is no record", length);
        }
        let mut longer = bytes;
        longer.push(0);
        prop_assert!(Record::decode(&longer).is_err());
    }

    #[test]
    fn damaged_records_have_one_form(record in record(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = encode(&record);
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(decoded) = Record::decode(&bytes) {
            prop_assert_eq!(encode(&decoded), bytes);
        }
    }

    #[test]
    fn noise_does_not_panic(tag in 0_u8..8, noise in vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![tag];
        bytes.extend(noise);
        let _ = Record::transaction_ids(&bytes).count();
        if let Ok(decoded) = Record::decode(&bytes) {
            prop_assert_eq!(encode(&decoded), bytes);
        }
    }
}

fn hex(record: &Record) -> String {
    let bytes = encode(record);
    assert_eq!(Record::decode(&bytes).as_ref(), Ok(record));
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        let separator = if index % 32 == 31 { "\n" } else { " " };
        write!(text, "{byte:02x}{separator}").unwrap();
    }
    format!("{} bytes\n{}", bytes.len(), text.trim_end())
}

const ID: u128 = 0x0197_7f1e_0000_7000_8000_0000_0000_002a;
const AT: Timestamp = Timestamp(1_750_176_000_000_000_001);

fn pair() -> Metadata {
    Metadata::new(BTreeMap::from([("order".into(), "618".into()), ("k".into(), "值".into())])).unwrap()
}

fn posted(operations: Vec<PostedKind>) -> PostedTransaction {
    PostedTransaction {
        id: TransactionId(ID),
        decided_at: AT,
        operations: operations.into_iter().map(|kind| PostedOperation { kind, code: None }).collect(),
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: None,
    }
}

#[test]
fn the_form_of_a_posted_transaction() {
    let (debit, credit) = (AccountNo(1_000_000), AccountNo(7));
    let hold = HoldId(ID + 1);
    let transfer = PostedKind::Transfer { debit, credit, amount: Amount(12_345) };
    let one = Record::Posted(posted(vec![transfer.clone()]));
    assert!(encode(&one).len() <= 40, "{}", encode(&one).len());
    insta::assert_snapshot!("posted_transfer", hex(&one));
    let two = Record::Posted(posted(vec![transfer.clone(), transfer]));
    assert!(encode(&two).len() <= 64, "{}", encode(&two).len());
    let mut all = posted(vec![
        PostedKind::Hold { id: hold, debit, credit, amount: Amount(500), expires_in: 900 },
        PostedKind::Capture { hold, debit, credit, held: Amount(500), amount: Amount(300), explicit: true },
        PostedKind::Release { hold, debit, credit, held: Amount(500) },
        PostedKind::Reverse {
            transaction: TransactionId(ID - 1),
            operation: 3,
            debit: credit,
            credit: debit,
            amount: Amount(u64::MAX),
            explicit: false,
            total: Amount(1),
            original_at: Timestamp(-1),
            original_code: Some("pay".into()),
        },
    ]);
    all.operations[1].code = Some("settle".into());
    all.code = Some("pay".into());
    all.reference = Some("order-1".into());
    all.metadata = pair();
    insta::assert_snapshot!("posted_all", hex(&Record::Posted(all)));
}

#[test]
fn the_form_of_a_refused_transaction() {
    let address = |text: &str| Address::parse(text).unwrap();
    let kinds = [
        OperationKind::Transfer {
            debit: address("customers:42"),
            credit: address("merchants:jd-self"),
            amount: RequestedAmount::parse("1.50"),
        },
        OperationKind::Hold {
            id: HoldId(ID + 1),
            debit: address("a"),
            credit: address("b"),
            amount: RequestedAmount::parse("-1"),
            expires_in: 900,
        },
        OperationKind::Capture { hold: HoldId(ID + 2), amount: Some(RequestedAmount::parse("1.5")) },
        OperationKind::Release { hold: HoldId(ID + 3) },
        OperationKind::Reverse { transaction: TransactionId(ID - 1), operation: 2, amount: None },
    ];
    let transaction = Transaction {
        id: TransactionId(ID),
        operations: kinds.into_iter().map(|kind| Operation { kind, code: None }).collect(),
        code: Some("pay".into()),
        reference: None,
        metadata: pair(),
        attachment: None,
    };
    let rejection = Rejection { code: RejectionCode::InsufficientFunds, operation: 1 };
    let refused = RefusedTransaction { transaction, rejection, seen: Position(300), decided_at: AT };
    insta::assert_snapshot!("refused", hex(&Record::Refused(refused)));
}

#[test]
fn the_form_of_account_records() {
    let limit =
        Limit { window: LimitWindow::Day, code: Some("pay".into()), amount: Some(100_000), count: Some(5) };
    let opening = AccountOpening {
        address: Address::parse("customers:42").unwrap(),
        asset: "CNY".into(),
        normal: NormalSide::Credit,
        floor: Some(0),
        ceiling: Some(i128::from(u64::MAX)),
        limits: vec![limit],
        metadata: pair(),
        managed: false,
    };
    insta::assert_snapshot!(
        "account_opened",
        hex(&Record::AccountOpened { no: AccountNo(42), opening, scale: 2, decided_at: AT })
    );
    let change = AccountChange {
        status: Patch::Set(AccountStatus::Frozen),
        floor: Patch::Set(None),
        ceiling: Patch::Keep,
        limits: Patch::Set(vec![Limit {
            window: LimitWindow::Lifetime,
            code: None,
            amount: None,
            count: None,
        }]),
    };
    insta::assert_snapshot!(
        "account_changed",
        hex(&Record::AccountChanged { no: AccountNo(42), change, decided_at: AT })
    );
    let expired = Record::HoldExpired {
        hold: HoldId(ID),
        debit: AccountNo(1),
        credit: AccountNo(2),
        held: Amount(500),
        decided_at: AT,
    };
    insta::assert_snapshot!("hold_expired", hex(&expired));
}

#[test]
fn the_form_of_a_snapshot() {
    let limit =
        Limit { window: LimitWindow::Day, code: Some("pay".into()), amount: Some(100_000), count: None };
    let opening = AccountOpening {
        address: Address::parse("customers:42").unwrap(),
        asset: "CNY".into(),
        normal: NormalSide::Credit,
        floor: Some(0),
        ceiling: None,
        limits: vec![limit.clone()],
        metadata: pair(),
        managed: true,
    };
    let used = LimitState {
        limit,
        window: WindowStart(20_258),
        counts_after: Timestamp(i64::MIN),
        used_amount: 700,
        used_count: 2,
    };
    let guards = Guards { floor: Some(-5), ceiling: None, limits: vec![used] };
    let frozen = AccountStatus::Frozen;
    let account = Account::from_parts(12_345, 500, 0, NormalSide::Credit, frozen, guards);
    let hold = Hold {
        debit: AccountNo(42),
        credit: AccountNo(7),
        held: Amount(500),
        captured: Amount::ZERO,
        placed_at: AT,
        expires_at: AT.plus_seconds(900),
        code: Some("pay".into()),
        ended: None,
    };
    let content = SnapshotContent {
        accounts: vec![SnapshotAccount {
            no: AccountNo(42),
            opening,
            scale: 2,
            opened: Position(3),
            opened_at: AT,
            changed: Position(300),
            account,
        }],
        holds: vec![SnapshotHold { id: HoldId(ID), hold, placed: Position(299) }],
        reversed: vec![SnapshotReversed { transaction: TransactionId(ID), operation: 1, total: Amount(9) }],
        turnover: vec![SnapshotTurnover {
            group: "customers".into(),
            asset: "CNY".into(),
            debits: 1,
            credits: 12_346,
        }],
        cells: vec![SnapshotCell {
            account: AccountNo(42),
            kind: CellKind(7),
            cell: Cell { revision: 300, value: b"content".as_slice().into() },
        }],
    };
    let as_of = Checkpoint { position: Position(1_000), hash: Hash([0xab; 32]) };
    let head = PartHead { as_of, part: 2, last: true, entries: 1_004 };
    insta::assert_snapshot!(
        "snapshot",
        hex(&Record::Snapshot(SnapshotPart { head, decided_at: AT, content }))
    );
}

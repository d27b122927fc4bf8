//! Scans of an index that is whole, and of some that are not.

use std::path::Path;

use super::*;
use crate::{
    index::{IndexOptions, Opened, open, open_read_only, store::Batch, store::Store},
    journal::{Group, Head, PostedTransaction, Record},
    model::{
        AccountOpening, Address, Amount, Metadata, NormalSide, PostedKind, PostedOperation, TransactionId,
    },
};

const TRANSFERS: u64 = 600;

/// Spread over all ids, so that the runs of all segments overlap.
fn id(no: u64) -> u128 {
    u128::from(no + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

fn record(no: u64) -> Record {
    let decided_at = Timestamp(5);
    if no < 2 {
        let opening = AccountOpening {
            address: Address::parse(&format!("customers:{no}")).unwrap(),
            asset: "CNY".into(),
            normal: NormalSide::Credit,
            floor: None,
            ceiling: None,
            limits: Vec::new(),
            metadata: Metadata::default(),
            managed: false,
        };
        let no = AccountNo(u32::try_from(no).unwrap());
        return Record::AccountOpened { no, opening, scale: 2, decided_at };
    }
    let kind = PostedKind::Transfer { debit: AccountNo(0), credit: AccountNo(1), amount: Amount(no) };
    Record::Posted(PostedTransaction {
        id: TransactionId(id(no)),
        decided_at,
        operations: [PostedOperation { kind, code: None }].into_iter().collect(),
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: None,
    })
}

/// Two accounts and many transfers in three segments, changed by `spoil` while the index is closed.
fn make(dir: &Path, spoil: impl FnOnce(&Store, &mut Batch)) -> Opened {
    let options = IndexOptions::default();
    let Opened { mut follower, mut sealer, index } = open(dir, &options, &mut |_| ()).unwrap();
    let mut head = Head::default();
    for no in 0..TRANSFERS + 2 {
        let mut bytes = Vec::new();
        Group::frame(&mut bytes, &record(no));
        let group = Group::new(head, Timestamp(head.at.0 + 1), 1, bytes);
        head = group.head();
        assert!(follower.step(Arc::new(group)).unwrap().is_none());
        if no % 201 == 200 || no == TRANSFERS + 1 {
            sealer.seal(follower.freeze().unwrap()).unwrap();
        }
    }
    drop((follower, sealer, index));
    let store = Store::open(dir, &options).unwrap();
    let mut batch = Batch::default();
    spoil(&store, &mut batch);
    store.commit(batch).unwrap();
    drop(store);
    open_read_only(dir, &options, &mut |_| ()).unwrap()
}

type Scanned = (Vec<u64>, Vec<(u128, u64)>, u64);

fn scan(index: &Index) -> Result<Scanned, IndexError> {
    let (mut records, mut ids, mut postings) = (Vec::new(), Vec::new(), 0);
    let mut scan = index.scan_records()?;
    while let Some((position, _, _)) = scan.record()? {
        records.push(position.0);
        scan.advance();
    }
    let mut scan = index.scan_ids();
    while let Some((id, position)) = scan.next()? {
        ids.push((id.0, position.0));
    }
    let mut scan = index.scan_postings()?;
    for (segment, _) in index.segments() {
        scan.segment(segment, &mut |_, run| postings += run.postings.len() as u64)?;
    }
    if !scan.is_at_end() {
        return Err(IndexError::damaged("postings are left"));
    }
    Ok((records, ids, postings))
}

#[test]
fn everything_is_read_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let opened = make(dir.path(), |_, _| ());
    let (records, ids, postings) = scan(&opened.index).unwrap();
    assert!(records.into_iter().eq(1..=TRANSFERS + 2));
    let mut expected: Vec<_> = (2..TRANSFERS + 2).map(|no| (id(no), no + 1)).collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(postings, 2 * TRANSFERS);
    let mut openings = opened.index.scan_openings().unwrap();
    for position in 1..=2 {
        assert_eq!(openings.record().unwrap().unwrap().0, Position(position));
        openings.advance();
    }
    assert!(openings.record().unwrap().is_none());
    assert_eq!(opened.index.newest_posting(AccountNo(1)), Position(TRANSFERS + 2));
}

/// What look-ups would not find is damage.
#[test]
fn what_is_out_of_its_place_is_damage() {
    /// Puts what is under the first key from `from` on under another one, which it gives.
    fn moved(store: &Store, batch: &mut Batch, family: Family, from: &[u8], to: impl Fn(&[u8]) -> Vec<u8>) {
        let mut walk = store.walk(family);
        walk.to(from).unwrap();
        let (key, value) = walk.item().unwrap();
        store.delete(batch, family, key);
        store.put(batch, family, &to(key), value);
    }
    let last_bit = |key: &[u8]| {
        let mut key = key.to_vec();
        *key.last_mut().unwrap() ^= 1;
        key
    };
    type Spoil<'a> = (&'a str, Box<dyn Fn(&Store, &mut Batch) + 'a>);
    let run = id_run::key(0, 0);
    let spoils: [Spoil<'_>; 5] = [
        ("another key", Box::new(|store, batch| moved(store, batch, Family::Postings, &[], last_bit))),
        (
            "postings are left",
            Box::new(|store, batch| {
                moved(store, batch, Family::Postings, &[], |key| [&[0, 0, 0, 9], &key[4..]].concat())
            }),
        ),
        ("another key", Box::new(|store, batch| moved(store, batch, Family::Ids, &run, last_bit))),
        (
            "end or count",
            Box::new(|store, batch| {
                store.delete_range(batch, Family::Ids, &run, &id_run::key(1, 0));
            }),
        ),
        ("filter", Box::new(|store, batch| store.put(batch, Family::Filters, &[0; 4], &[0; 32]))),
    ];
    for (index, (expected, spoil)) in spoils.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let opened = make(dir.path(), |store, batch| spoil(store, batch));
        let error = scan(&opened.index).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "{index}: {error}");
    }
}

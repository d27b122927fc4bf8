//! Journal records and groups: what decodes encodes to the same bytes.

use yue_engine::{
    journal::{Group, GroupRef, Head, Record},
    model::Timestamp,
};

/// Most records of a group: its header has room for many, and a group of this program at least one.
const RECORDS_MAX: u32 = 4;

pub(super) fn check(bytes: &[u8]) {
    if let Ok(record) = Record::decode(bytes) {
        round_trip(&record);
        let mut again = Vec::new();
        record.encode(&mut again);
        assert_eq!(again, bytes, "a record has one form: {record:?}");
    }
    // As a stored group it rarely passes the hash; as the content of one it always does.
    if let Ok(group) = GroupRef::decode(bytes) {
        assert_eq!(group.to_group().encode(), bytes, "a group has one form");
    }
    let (count, frames) = bytes.split_first().map_or((0, bytes), |(count, rest)| (*count, rest));
    let count = u32::from(count) % RECORDS_MAX + 1;
    let group = Group::new(Head::default(), Timestamp(1), count, frames.to_vec());
    let stored = group.encode();
    match Group::decode(&stored) {
        Ok(decoded) => assert_eq!(decoded, group),
        Err(error) => assert!(group.frames().any(|frame| frame.is_err()), "{error}"),
    }
    for frame in group.frames() {
        let Ok(frame) = frame else { break };
        if let Ok(record) = Record::decode(frame) {
            round_trip(&record);
        }
    }
    flipped(&stored, bytes);
}

pub(super) fn round_trip(record: &Record) {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    assert_eq!(Record::decode(&bytes).as_ref(), Ok(record));
}

/// One bit of a stored group is another one: it is seen.
fn flipped(stored: &[u8], choice: &[u8]) {
    let place =
        choice.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let mut damaged = stored.to_vec();
    if let Some(byte) = damaged.get_mut(place / 8 % stored.len().max(1)) {
        *byte ^= 1 << (place % 8);
    }
    assert!(Group::decode(&damaged).is_err(), "bit {place} of a group was flipped, and nobody saw it");
}

//! What opens and changes an account, and the clients' metadata.

use std::collections::BTreeMap;

use super::{METADATA, RecordError, flag, only, put_count, put_text_if};
use crate::{
    journal::bytes::{Reader, put_i128, put_text, put_u64},
    model::{
        AccountChange, AccountOpening, AccountStatus, Address, Limit, LimitWindow, Metadata, NormalSide,
        Patch,
    },
};

/// Flags of an opening; [`METADATA`] is one too.
const DEBIT_NORMAL: u8 = 1;
const FLOOR: u8 = 1 << 1;
const CEILING: u8 = 1 << 3;
const MANAGED: u8 = 1 << 4;

/// Flags of a change.
const STATUS_SET: u8 = 1;
const FLOOR_SET: u8 = 1 << 1;
const FLOOR_SOME: u8 = 1 << 2;
const CEILING_SET: u8 = 1 << 3;
const CEILING_SOME: u8 = 1 << 4;
const LIMITS_SET: u8 = 1 << 5;

/// Flags of a limit, beside its window in the lowest two bits.
const WINDOW_MASK: u8 = 0b11;
const LIMIT_CODE: u8 = 1 << 2;
const LIMIT_AMOUNT: u8 = 1 << 3;
const LIMIT_COUNT: u8 = 1 << 4;

pub(super) fn encode_opening(buffer: &mut Vec<u8>, opening: &AccountOpening) {
    let AccountOpening { address, asset, normal, floor, ceiling, limits, metadata, managed } = opening;
    buffer.push(
        flag(*normal == NormalSide::Debit, DEBIT_NORMAL)
            | flag(floor.is_some(), FLOOR)
            | flag(ceiling.is_some(), CEILING)
            | flag(!metadata.is_empty(), METADATA)
            | flag(*managed, MANAGED),
    );
    put_text(buffer, address.as_str());
    put_text(buffer, asset);
    put_signed_if(buffer, *floor);
    put_signed_if(buffer, *ceiling);
    put_limits(buffer, limits);
    put_metadata(buffer, metadata);
}

pub(super) fn decode_opening(reader: &mut Reader<'_>) -> Result<AccountOpening, RecordError> {
    let flags = reader.u8()?;
    only(flags, DEBIT_NORMAL | FLOOR | CEILING | METADATA | MANAGED)?;
    Ok(AccountOpening {
        address: Address::parse(reader.text()?).map_err(|_| RecordError)?,
        asset: reader.text()?.into(),
        normal: if flags & DEBIT_NORMAL == 0 { NormalSide::Credit } else { NormalSide::Debit },
        floor: signed_if(reader, flags & FLOOR != 0)?,
        ceiling: signed_if(reader, flags & CEILING != 0)?,
        limits: limits(reader)?,
        metadata: metadata(reader, flags)?,
        managed: flags & MANAGED != 0,
    })
}

pub(super) fn encode_change(buffer: &mut Vec<u8>, change: &AccountChange) {
    let AccountChange { status, floor, ceiling, limits } = change;
    let patch = |patch: &Patch<Option<i128>>, set: u8, some: u8| match patch {
        Patch::Keep => 0,
        Patch::Set(None) => set,
        Patch::Set(Some(_)) => set | some,
    };
    buffer.push(
        flag(status.as_set().is_some(), STATUS_SET)
            | patch(floor, FLOOR_SET, FLOOR_SOME)
            | patch(ceiling, CEILING_SET, CEILING_SOME)
            | flag(limits.as_set().is_some(), LIMITS_SET),
    );
    match status {
        Patch::Keep => {}
        Patch::Set(status) => buffer.push(status_byte(*status)),
    }
    put_signed_if(buffer, floor.as_set().copied().flatten());
    put_signed_if(buffer, ceiling.as_set().copied().flatten());
    if let Some(limits) = limits.as_set() {
        put_limits(buffer, limits);
    }
}

pub(super) fn decode_change(reader: &mut Reader<'_>) -> Result<AccountChange, RecordError> {
    let flags = reader.u8()?;
    only(flags, STATUS_SET | FLOOR_SET | FLOOR_SOME | CEILING_SET | CEILING_SOME | LIMITS_SET)?;
    let patch = |reader: &mut Reader<'_>, set: u8, some: u8| match (flags & set != 0, flags & some != 0) {
        (false, false) => Ok(Patch::Keep),
        (false, true) => Err(RecordError),
        (true, some) => signed_if(reader, some).map(Patch::Set),
    };
    let status = if flags & STATUS_SET == 0 { Patch::Keep } else { Patch::Set(status_of(reader.u8()?)?) };
    let floor = patch(reader, FLOOR_SET, FLOOR_SOME)?;
    let ceiling = patch(reader, CEILING_SET, CEILING_SOME)?;
    let limits = if flags & LIMITS_SET == 0 { Patch::Keep } else { Patch::Set(limits(reader)?) };
    Ok(AccountChange { status, floor, ceiling, limits })
}

pub(super) const fn status_byte(status: AccountStatus) -> u8 {
    match status {
        AccountStatus::Active => 0,
        AccountStatus::Frozen => 1,
        AccountStatus::Closed => 2,
    }
}

pub(super) const fn status_of(byte: u8) -> Result<AccountStatus, RecordError> {
    match byte {
        0 => Ok(AccountStatus::Active),
        1 => Ok(AccountStatus::Frozen),
        2 => Ok(AccountStatus::Closed),
        _ => Err(RecordError),
    }
}

pub(super) fn put_signed_if(buffer: &mut Vec<u8>, value: Option<i128>) {
    if let Some(value) = value {
        put_i128(buffer, value);
    }
}

pub(super) fn signed_if(reader: &mut Reader<'_>, present: bool) -> Result<Option<i128>, RecordError> {
    if present { reader.i128().map(Some) } else { Ok(None) }
}

fn put_limits(buffer: &mut Vec<u8>, limits: &[Limit]) {
    put_count(buffer, limits.len());
    limits.iter().for_each(|limit| put_limit(buffer, limit));
}

pub(super) fn put_limit(buffer: &mut Vec<u8>, limit: &Limit) {
    let Limit { window, code, amount, count } = limit;
    let window = match window {
        LimitWindow::Day => 0,
        LimitWindow::Month => 1,
        LimitWindow::Year => 2,
        LimitWindow::Lifetime => 3,
    };
    buffer.push(
        window
            | flag(code.is_some(), LIMIT_CODE)
            | flag(amount.is_some(), LIMIT_AMOUNT)
            | flag(count.is_some(), LIMIT_COUNT),
    );
    put_text_if(buffer, code.as_deref());
    if let Some(amount) = amount {
        put_u64(buffer, *amount);
    }
    if let Some(count) = count {
        put_u64(buffer, u64::from(*count));
    }
}

fn limits(reader: &mut Reader<'_>) -> Result<Vec<Limit>, RecordError> {
    let mut limits = Vec::new();
    for _ in 0..reader.count()? {
        limits.push(limit(reader)?);
    }
    Ok(limits)
}

pub(super) fn limit(reader: &mut Reader<'_>) -> Result<Limit, RecordError> {
    let head = reader.u8()?;
    only(head, WINDOW_MASK | LIMIT_CODE | LIMIT_AMOUNT | LIMIT_COUNT)?;
    let window = match head & WINDOW_MASK {
        0 => LimitWindow::Day,
        1 => LimitWindow::Month,
        2 => LimitWindow::Year,
        _ => LimitWindow::Lifetime,
    };
    Ok(Limit {
        window,
        code: reader.text_if(head & LIMIT_CODE != 0)?,
        amount: if head & LIMIT_AMOUNT == 0 { None } else { Some(reader.u64()?) },
        count: if head & LIMIT_COUNT == 0 { None } else { Some(reader.u32()?) },
    })
}

/// Appends pairs in the order of their keys; nothing if there are none, which the record's flags tell.
pub(super) fn put_metadata(buffer: &mut Vec<u8>, metadata: &Metadata) {
    if !metadata.is_empty() {
        put_count(buffer, metadata.len());
        for (key, value) in metadata.iter() {
            put_text(buffer, key);
            put_text(buffer, value);
        }
    }
}

/// Reads what [`put_metadata`] wrote beside `flags`.
pub(super) fn metadata(reader: &mut Reader<'_>, flags: u8) -> Result<Metadata, RecordError> {
    if flags & METADATA == 0 {
        return Ok(Metadata::default());
    }
    let count = reader.count()?;
    if !(1..=Metadata::PAIRS_MAX).contains(&count) {
        return Err(RecordError);
    }
    let mut pairs = BTreeMap::new();
    let mut last = "";
    for _ in 0..count {
        let key = reader.text()?;
        if key <= last {
            return Err(RecordError);
        }
        pairs.insert(key.into(), reader.text()?.into());
        last = key;
    }
    Metadata::new(pairs).map_err(|_| RecordError)
}

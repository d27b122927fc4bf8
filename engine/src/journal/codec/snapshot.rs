//! A part of a snapshot.

use super::{
    CODE, RecordError, SNAPSHOT, account, flag, hold_id, legs, only, put_count, put_head, put_legs,
    transaction_id,
};
use crate::{
    journal::{
        Checkpoint, Hash, PartHead, SnapshotAccount, SnapshotCell, SnapshotContent, SnapshotHold,
        SnapshotPart, SnapshotReversed, SnapshotTurnover,
        bytes::{Reader, put_bytes, put_i128, put_text, put_u64, put_u128},
    },
    ledger::{Account, Guards, Hold, LimitState, WindowStart},
    model::{AccountNo, Amount, Cell, CellKind, Position, Timestamp},
};

/// Flags of a part.
const LAST: u8 = 1;

/// Flags of an account, beside its status in the lowest two bits.
const STATUS_MASK: u8 = 0b11;
const HELD: u8 = 1 << 2;
const GUARDED: u8 = 1 << 3;
const FLOOR: u8 = 1 << 4;
const CEILING: u8 = 1 << 5;

pub(super) fn encode_part(buffer: &mut Vec<u8>, part: &SnapshotPart) {
    let SnapshotPart { head, decided_at, content } = part;
    put_head(buffer, SNAPSHOT, *decided_at);
    put_part_head(buffer, *head);
    let SnapshotContent { accounts, holds, reversed, turnover, cells } = content;
    put_count(buffer, accounts.len());
    accounts.iter().for_each(|entry| put_account(buffer, entry));
    put_count(buffer, holds.len());
    holds.iter().for_each(|entry| put_hold(buffer, entry));
    put_count(buffer, reversed.len());
    for SnapshotReversed { transaction, operation, total } in reversed {
        buffer.extend_from_slice(&transaction.0.to_le_bytes());
        buffer.push(*operation);
        put_u64(buffer, total.0);
    }
    put_count(buffer, turnover.len());
    for SnapshotTurnover { group, asset, debits, credits } in turnover {
        put_text(buffer, group);
        put_text(buffer, asset);
        put_u128(buffer, *debits);
        put_u128(buffer, *credits);
    }
    put_count(buffer, cells.len());
    for SnapshotCell { account, kind, cell: Cell { revision, value } } in cells {
        put_u64(buffer, u64::from(account.0));
        buffer.push(kind.0);
        put_u64(buffer, *revision);
        put_bytes(buffer, value);
    }
}

pub(super) fn decode_part(
    reader: &mut Reader<'_>,
    decided_at: Timestamp,
) -> Result<SnapshotPart, RecordError> {
    let head = part_head(reader)?;
    let mut content = SnapshotContent::default();
    for _ in 0..reader.count()? {
        content.accounts.push(snapshot_account(reader)?);
    }
    for _ in 0..reader.count()? {
        content.holds.push(hold(reader)?);
    }
    for _ in 0..reader.count()? {
        content.reversed.push(SnapshotReversed {
            transaction: transaction_id(reader)?,
            operation: reader.u8()?,
            total: Amount(reader.u64()?),
        });
    }
    for _ in 0..reader.count()? {
        content.turnover.push(SnapshotTurnover {
            group: reader.text()?.into(),
            asset: reader.text()?.into(),
            debits: reader.u128()?,
            credits: reader.u128()?,
        });
    }
    for _ in 0..reader.count()? {
        let (account, kind) = (AccountNo(reader.u32()?), CellKind(reader.u8()?));
        let cell = Cell { revision: reader.u64()?, value: reader.bytes()?.into() };
        content.cells.push(SnapshotCell { account, kind, cell });
    }
    Ok(SnapshotPart { head, decided_at, content })
}

fn put_part_head(buffer: &mut Vec<u8>, head: PartHead) {
    let PartHead { as_of, part, last, entries } = head;
    put_u64(buffer, as_of.position.0);
    buffer.extend_from_slice(&as_of.hash.0);
    put_u64(buffer, u64::from(part));
    buffer.push(flag(last, LAST));
    put_u64(buffer, entries);
}

/// What a part says about its place, behind the record's own head.
pub(super) fn part_head(reader: &mut Reader<'_>) -> Result<PartHead, RecordError> {
    let as_of = Checkpoint { position: Position(reader.u64()?), hash: Hash(reader.array()?) };
    let part = reader.u32()?;
    let flags = reader.u8()?;
    only(flags, LAST)?;
    Ok(PartHead { as_of, part, last: flags & LAST != 0, entries: reader.u64()? })
}

fn put_account(buffer: &mut Vec<u8>, entry: &SnapshotAccount) {
    let SnapshotAccount { no, opening, scale, opened, opened_at, changed, account } = entry;
    put_u64(buffer, u64::from(no.0));
    buffer.push(*scale);
    account::encode_opening(buffer, opening);
    put_u64(buffer, opened.0);
    buffer.extend_from_slice(&opened_at.0.to_le_bytes());
    put_u64(buffer, changed.0);
    let held = account.held_debits() != 0 || account.held_credits() != 0;
    let guards = account.guards();
    buffer.push(
        account::status_byte(account.status())
            | flag(held, HELD)
            | flag(guards.is_some(), GUARDED)
            | flag(guards.is_some_and(|guards| guards.floor.is_some()), FLOOR)
            | flag(guards.is_some_and(|guards| guards.ceiling.is_some()), CEILING),
    );
    put_i128(buffer, account.net());
    if held {
        put_u128(buffer, account.held_debits());
        put_u128(buffer, account.held_credits());
    }
    let Some(Guards { floor, ceiling, limits }) = guards else { return };
    account::put_signed_if(buffer, *floor);
    account::put_signed_if(buffer, *ceiling);
    put_count(buffer, limits.len());
    for LimitState { limit, window, counts_after, used_amount, used_count } in limits {
        account::put_limit(buffer, limit);
        put_i128(buffer, i128::from(window.0));
        buffer.extend_from_slice(&counts_after.0.to_le_bytes());
        put_u128(buffer, *used_amount);
        put_u64(buffer, *used_count);
    }
}

fn snapshot_account(reader: &mut Reader<'_>) -> Result<SnapshotAccount, RecordError> {
    let no = AccountNo(reader.u32()?);
    let scale = reader.u8()?;
    let opening = account::decode_opening(reader)?;
    let opened = Position(reader.u64()?);
    let opened_at = timestamp(reader)?;
    let changed = Position(reader.u64()?);
    let flags = reader.u8()?;
    only(flags, STATUS_MASK | HELD | GUARDED | FLOOR | CEILING)?;
    let status = account::status_of(flags & STATUS_MASK)?;
    let net = reader.i128()?;
    let held = if flags & HELD == 0 { (0, 0) } else { (reader.u128()?, reader.u128()?) };
    let guarded = flags & GUARDED != 0;
    let guards = if guarded {
        let floor = account::signed_if(reader, flags & FLOOR != 0)?;
        let ceiling = account::signed_if(reader, flags & CEILING != 0)?;
        let mut limits = Vec::new();
        for _ in 0..reader.count()? {
            limits.push(limit_state(reader)?);
        }
        Guards { floor, ceiling, limits }
    } else {
        only(flags, !(FLOOR | CEILING))?;
        Guards::default()
    };
    let account = Account::from_parts(net, held.0, held.1, opening.normal, status, guards);
    // What can be left out must be.
    if (flags & HELD != 0) == (held == (0, 0)) || guarded != account.guards().is_some() {
        return Err(RecordError);
    }
    Ok(SnapshotAccount { no, opening, scale, opened, opened_at, changed, account })
}

fn limit_state(reader: &mut Reader<'_>) -> Result<LimitState, RecordError> {
    Ok(LimitState {
        limit: account::limit(reader)?,
        window: WindowStart(i32::try_from(reader.i128()?).map_err(|_| RecordError)?),
        counts_after: timestamp(reader)?,
        used_amount: reader.u128()?,
        used_count: reader.u64()?,
    })
}

fn put_hold(buffer: &mut Vec<u8>, entry: &SnapshotHold) {
    let SnapshotHold { id, hold, placed } = entry;
    let Hold { debit, credit, held, captured: _, placed_at, expires_at, code, ended: _ } = hold;
    buffer.extend_from_slice(&id.0.to_le_bytes());
    buffer.push(flag(code.is_some(), CODE));
    put_legs(buffer, *debit, *credit, *held);
    buffer.extend_from_slice(&placed_at.0.to_le_bytes());
    buffer.extend_from_slice(&expires_at.0.to_le_bytes());
    put_u64(buffer, placed.0);
    super::put_text_if(buffer, code.as_deref());
}

fn hold(reader: &mut Reader<'_>) -> Result<SnapshotHold, RecordError> {
    let id = hold_id(reader)?;
    let flags = reader.u8()?;
    only(flags, CODE)?;
    let (debit, credit, held) = legs(reader)?;
    let (placed_at, expires_at) = (timestamp(reader)?, timestamp(reader)?);
    let placed = Position(reader.u64()?);
    let code = reader.text_if(flags & CODE != 0)?;
    let captured = Amount::ZERO;
    let hold = Hold { debit, credit, held, captured, placed_at, expires_at, code, ended: None };
    Ok(SnapshotHold { id, hold, placed })
}

fn timestamp(reader: &mut Reader<'_>) -> Result<Timestamp, RecordError> {
    reader.array().map(i64::from_le_bytes).map(Timestamp)
}

//! Pages of 64 accounts' states: the part of the checkpoint that is written again when an account changed.
//!
//! Owns their format. What never changes of an account is in its opening.

use super::{
    IndexError,
    wire::{self, Wire},
};
use crate::{
    ledger::{Account, Guards, LimitState, WindowStart},
    model::{AccountStatus, Limit, LimitWindow, NormalSide, Position, Timestamp},
    planted::{Bug, planted},
};

/// Accounts of a page.
pub(super) const PAGE_ACCOUNTS: u32 = 64;

const PRESENT: u8 = 1;
const NORMAL_DEBIT: u8 = 1 << 1;
const FROZEN: u8 = 1 << 2;
const CLOSED: u8 = 1 << 3;
const HELD: u8 = 1 << 4;
const GUARDED: u8 = 1 << 5;
const KNOWN: u8 = PRESENT | NORMAL_DEBIT | FROZEN | CLOSED | HELD | GUARDED;

/// An account at the watermark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredAccount {
    pub(super) account: Account,
    /// The last record that changed it.
    pub(super) changed: Position,
    /// The last record that posted to it; zero if none did.
    pub(super) posted: Position,
}

/// Writes the next account of a page; `None` if the number is not open.
pub(super) fn put(bytes: &mut Vec<u8>, account: Option<(&Account, Position, Position)>) {
    let Some((account, changed, posted)) = account else {
        bytes.push(0);
        return;
    };
    let held = account.held_debits() != 0 || account.held_credits() != 0;
    let status = match account.status() {
        AccountStatus::Active => 0,
        AccountStatus::Frozen => FROZEN,
        AccountStatus::Closed => CLOSED,
    };
    let normal = match account.normal() {
        NormalSide::Credit => 0,
        NormalSide::Debit => NORMAL_DEBIT,
    };
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    bytes.push(PRESENT | status | normal | flag(held, HELD) | flag(account.guards().is_some(), GUARDED));
    wire::put_i128(bytes, account.net());
    if held {
        wire::put_u128(bytes, account.held_debits());
        wire::put_u128(bytes, account.held_credits());
    }
    wire::put_u64(bytes, changed.0);
    wire::put_u64(bytes, changed.0 - posted.0);
    if let Some(guards) = account.guards() {
        wire::put_option(bytes, guards.floor, wire::put_i128);
        wire::put_option(bytes, guards.ceiling, wire::put_i128);
        wire::put_u64(bytes, u64::try_from(guards.limits.len()).unwrap_or(u64::MAX));
        guards.limits.iter().for_each(|limit| put_limit(bytes, limit));
    }
}

fn put_limit(bytes: &mut Vec<u8>, state: &LimitState) {
    let LimitState { limit, window, counts_after, used_amount, used_count } = state;
    bytes.push(match limit.window {
        LimitWindow::Day => 0,
        LimitWindow::Month => 1,
        LimitWindow::Year => 2,
        LimitWindow::Lifetime => 3,
    });
    wire::put_option(bytes, limit.code.as_ref(), |bytes, code| wire::put_bytes(bytes, code.as_bytes()));
    wire::put_option(bytes, limit.amount, wire::put_u64);
    wire::put_option(bytes, limit.count.map(u64::from), wire::put_u64);
    wire::put_i128(bytes, i128::from(window.0));
    wire::put_i128(bytes, i128::from(counts_after.0));
    wire::put_u128(bytes, *used_amount);
    wire::put_u64(bytes, *used_count);
}

/// Reads the next account of a page.
pub(super) fn read(wire: &mut Wire<'_>) -> Result<Option<StoredAccount>, IndexError> {
    let flags = wire.u8()?;
    if flags == 0 {
        return Ok(None);
    }
    let status = match flags & (FROZEN | CLOSED) {
        0 => AccountStatus::Active,
        FROZEN => AccountStatus::Frozen,
        CLOSED => AccountStatus::Closed,
        _ => return Err(IndexError::damaged("an account is both frozen and closed")),
    };
    if flags & PRESENT == 0 || flags & !KNOWN != 0 {
        return Err(IndexError::damaged("an account has unknown flags"));
    }
    let normal = if flags & NORMAL_DEBIT == 0 { NormalSide::Credit } else { NormalSide::Debit };
    let net = wire.i128()?;
    let (held_debits, held_credits) = if flags & HELD == 0 { (0, 0) } else { (wire.u128()?, wire.u128()?) };
    let changed = wire.u64()?;
    let posted = changed.checked_sub(wire.u64()?);
    let posted = posted.ok_or_else(|| IndexError::damaged("an account's last posting is out of range"))?;
    let guards = if flags & GUARDED == 0 {
        Guards { floor: Guards::FLOOR_DEFAULT, ceiling: None, limits: Vec::new() }
    } else {
        let (floor, ceiling) = (wire.option(Wire::i128)?, wire.option(Wire::i128)?);
        let count = wire.usize()?;
        if count > Limit::PER_ACCOUNT_MAX {
            return Err(IndexError::damaged("an account has too many limits"));
        }
        let limits = (0..count).map(|_| read_limit(wire)).collect::<Result<_, _>>()?;
        Guards { floor, ceiling, limits }
    };
    let account = Account::from_parts(net, held_debits, held_credits, normal, status, guards);
    Ok(Some(StoredAccount { account, changed: Position(changed), posted: Position(posted) }))
}

fn read_limit(wire: &mut Wire<'_>) -> Result<LimitState, IndexError> {
    let out_of_range = || IndexError::damaged("a limit's window is out of range");
    let window = match wire.u8()? {
        0 => LimitWindow::Day,
        1 => LimitWindow::Month,
        2 => LimitWindow::Year,
        3 => LimitWindow::Lifetime,
        4.. => return Err(out_of_range()),
    };
    let code = wire.option(|wire| wire.text().map(Into::into))?;
    let (amount, count) = (wire.option(Wire::u64)?, wire.option(Wire::u32)?);
    let start = i32::try_from(wire.i128()?).map_err(|_| out_of_range())?;
    Ok(LimitState {
        limit: Limit { window, code, amount, count },
        window: WindowStart(start),
        counts_after: Timestamp(wire.timestamp()?.0),
        used_amount: if planted(Bug::WindowResetByRestart) { wire.u128().map(|_| 0)? } else { wire.u128()? },
        used_count: if planted(Bug::WindowResetByRestart) { wire.u64().map(|_| 0)? } else { wire.u64()? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_come_back() {
        let plain = || Guards { floor: Some(0), ceiling: None, limits: Vec::new() };
        let limit = |window, code: Option<&str>, used_amount| LimitState {
            limit: Limit { window, code: code.map(Into::into), amount: Some(7), count: None },
            window: WindowStart(-4),
            counts_after: Timestamp(i64::MIN),
            used_amount,
            used_count: 3,
        };
        let limits = vec![
            limit(LimitWindow::Day, None, u128::MAX),
            limit(LimitWindow::Month, Some("pay"), 0),
            limit(LimitWindow::Year, Some(""), 1),
            limit(LimitWindow::Lifetime, None, 2),
        ];
        let guarded = Guards { floor: None, ceiling: Some(-1), limits };
        use {AccountStatus as Status, NormalSide as Side};
        let accounts = [
            Account::from_parts(0, 0, 0, Side::Credit, Status::Active, plain()),
            Account::from_parts(i128::MIN, 1, 0, Side::Debit, Status::Frozen, plain()),
            Account::from_parts(i128::MAX, 0, u128::MAX, Side::Credit, Status::Closed, guarded),
        ];
        for account in accounts {
            let mut bytes = Vec::new();
            put(&mut bytes, Some((&account, Position(900), Position(899))));
            put(&mut bytes, None);
            let mut wire = Wire(&bytes);
            let expected = StoredAccount { account, changed: Position(900), posted: Position(899) };
            assert_eq!(read(&mut wire).unwrap(), Some(expected));
            assert_eq!(read(&mut wire).unwrap(), None);
            wire.end().unwrap();
            assert!((0..bytes.len() - 1).all(|cut| read(&mut Wire(&bytes[..cut])).is_err()));
        }
    }
}

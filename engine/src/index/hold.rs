//! The byte form of a hold.

use compact_str::CompactString;

use super::{
    HoldRow, IndexError,
    wire::{self, Wire},
};
use crate::{
    ledger::Hold,
    model::{AccountNo, Amount, HoldEnd, HoldId, Position},
};

impl HoldRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { debit, credit, amount, captured, placed_at, expires_at, code, placed, ended } = self;
        let mut bytes = Vec::with_capacity(64);
        for number in [u64::from(debit.0), u64::from(credit.0), amount.0, captured.0, placed.0] {
            wire::put_u64(&mut bytes, number);
        }
        wire::put_i128(&mut bytes, i128::from(placed_at.0));
        wire::put_i128(&mut bytes, i128::from(expires_at.0) - i128::from(placed_at.0));
        wire::put_option(&mut bytes, code.as_ref(), |bytes, code| wire::put_bytes(bytes, code.as_bytes()));
        wire::put_option(&mut bytes, *ended, |bytes, (end, position)| {
            bytes.push(match end {
                HoldEnd::Captured => 0,
                HoldEnd::Released => 1,
                HoldEnd::Expired => 2,
            });
            wire::put_u64(bytes, position.0);
        });
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut wire = Wire(bytes);
        let (debit, credit) = (AccountNo(wire.u32()?), AccountNo(wire.u32()?));
        let (amount, captured) = (Amount(wire.u64()?), Amount(wire.u64()?));
        let placed = Position(wire.u64()?);
        let placed_at = wire.timestamp()?;
        let expires_at = placed_at.plus_nanos(wire.timestamp()?.0);
        let code = wire.option(|wire| wire.text().map(CompactString::from))?;
        let ended = wire.option(|wire| {
            let end = match wire.u8()? {
                0 => HoldEnd::Captured,
                1 => HoldEnd::Released,
                2 => HoldEnd::Expired,
                3.. => return Err(IndexError::damaged("a hold ended in no known way")),
            };
            Ok((end, Position(wire.u64()?)))
        })?;
        wire.end()?;
        Ok(Self { debit, credit, amount, captured, placed_at, expires_at, code, placed, ended })
    }

    /// As the ledger has it.
    pub(super) fn to_hold(&self) -> Hold {
        Hold {
            debit: self.debit,
            credit: self.credit,
            held: self.amount,
            captured: self.captured,
            placed_at: self.placed_at,
            expires_at: self.expires_at,
            code: self.code.clone(),
            ended: self.ended.map(|(end, _)| end),
        }
    }
}

/// The key of a hold.
pub(super) fn key(id: HoldId) -> [u8; 16] {
    id.0.to_be_bytes()
}

/// The hold of a key.
pub(super) fn key_id(key: &[u8]) -> Result<HoldId, IndexError> {
    let bytes = key.try_into().map_err(|_| IndexError::damaged("a key is no hold"))?;
    Ok(HoldId(u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn holds_come_back() {
        let ends = [
            None,
            Some((HoldEnd::Captured, Position(9))),
            Some((HoldEnd::Released, Position(10))),
            Some((HoldEnd::Expired, Position(u64::MAX))),
        ];
        for (ended, code) in ends.into_iter().zip([None, Some("".into()), Some("pay".into()), None]) {
            let row = HoldRow {
                debit: AccountNo(u32::MAX),
                credit: AccountNo(0),
                amount: Amount(u64::MAX),
                captured: Amount(7),
                placed_at: Timestamp(-5),
                expires_at: Timestamp(i64::MAX - 9),
                code,
                placed: Position(3),
                ended,
            };
            let bytes = row.encode();
            assert_eq!(HoldRow::decode(&bytes), Ok(row));
            assert!((0..bytes.len()).all(|cut| HoldRow::decode(&bytes[..cut]).is_err()));
        }
    }
}

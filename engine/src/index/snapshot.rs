//! The whole ledger's state as of the watermark, part by part, for the journal.
//!
//! Owns the order of a snapshot's parts. Reads one consistent view of the index's disk, while the sealer goes on. Never
//! writes. Invariant: all parts are of the state at the watermark of that view.

use super::{
    HoldRow, Index, IndexError,
    account_page::{self, PAGE_ACCOUNTS, StoredAccount},
    cell, hold,
    open::decode_watermark,
    record_block::RecordBlock,
    sealer::{KEY_SNAPSHOT, KEY_TOTALS, KEY_WATERMARK},
    store::{Family, Frozen, key_position},
    totals::Totals,
    wire::{self, Wire},
};
use crate::{
    journal::{
        Checkpoint, Hash, PartHead, Record, SnapshotAccount, SnapshotCell, SnapshotContent, SnapshotHold,
        SnapshotMark, SnapshotPart, SnapshotReversed, SnapshotTurnover,
    },
    ledger::Account,
    model::{AccountNo, AccountOpening, Amount, Position, Timestamp, TransactionId},
};

/// Bytes of an entry beside its texts, limits and content, at the most.
const ENTRY_BYTES: usize = 160;
/// Bytes of a limit and its state beside its code, at the most.
const LIMIT_BYTES: usize = 96;

impl Index {
    /// Calls `visit` with each part of a snapshot as of the watermark, each of about `part_bytes`; `false` from it ends
    /// the snapshot before its last part. Gives the state's place.
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn snapshot(
        &self,
        decided_at: Timestamp,
        part_bytes: usize,
        visit: &mut dyn FnMut(SnapshotPart) -> bool,
    ) -> Result<Checkpoint, IndexError> {
        let disk = self.store.frozen();
        let watermark = disk.get(Family::Meta, KEY_WATERMARK)?;
        let (as_of, _) = decode_watermark(watermark.as_deref())?;
        let mut parts = Parts {
            head: PartHead { as_of, part: 0, last: false, entries: 0 },
            decided_at,
            content: SnapshotContent::default(),
            bytes: 0,
            part_bytes,
            visit,
            goes_on: true,
        };
        put_accounts(&disk, &mut parts)?;
        put_holds(&disk, &mut parts)?;
        put_reversed(&disk, &mut parts)?;
        let totals = disk.get(Family::Meta, KEY_TOTALS)?;
        for row in Totals::decode(&totals.unwrap_or_default())?.rows {
            let (group, asset) = (row.group, row.asset);
            let row = SnapshotTurnover { group, asset, debits: row.debits, credits: row.credits };
            parts.add(0, |content| content.turnover.push(row));
        }
        put_cells(&disk, &mut parts)?;
        parts.head.last = true;
        parts.finish();
        Ok(as_of)
    }

    /// The newest snapshot whose parts the index has all sealed.
    ///
    /// # Errors
    /// Storage failures and damage.
    pub fn newest_snapshot(&self) -> Result<Option<SnapshotMark>, IndexError> {
        self.store.get(Family::Meta, KEY_SNAPSHOT)?.map(|bytes| decode_mark(&bytes)).transpose()
    }
}

/// The parts of a snapshot as they fill.
struct Parts<'a> {
    head: PartHead,
    decided_at: Timestamp,
    content: SnapshotContent,
    bytes: usize,
    part_bytes: usize,
    visit: &'a mut dyn FnMut(SnapshotPart) -> bool,
    goes_on: bool,
}

impl Parts<'_> {
    /// Adds an entry with so many bytes of texts, limits and content.
    fn add(&mut self, bytes: usize, add: impl FnOnce(&mut SnapshotContent)) {
        add(&mut self.content);
        self.bytes += ENTRY_BYTES + bytes;
        if self.bytes >= self.part_bytes {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if !self.goes_on {
            return;
        }
        let content = std::mem::take(&mut self.content);
        self.bytes = 0;
        self.head.entries += content.entries();
        self.goes_on = (self.visit)(SnapshotPart { head: self.head, decided_at: self.decided_at, content });
        self.head.part += 1;
    }
}

fn put_accounts(disk: &Frozen<'_>, parts: &mut Parts<'_>) -> Result<(), IndexError> {
    let mut pages = Pages { disk, page: None, accounts: Vec::new() };
    let mut walk = disk.walk(Family::Openings);
    walk.go_to_first()?;
    while let Some((key, value)) = walk.item().filter(|_| parts.goes_on) {
        let block = RecordBlock::decode(key_position(key)?, value)?;
        for (opened, opened_at, bytes) in block.iter() {
            let record = Record::decode(bytes).map_err(|error| IndexError::record(opened, error))?;
            let wrong = || IndexError::damaged(format!("the opening at {opened} fits no account"));
            let Record::AccountOpened { no, opening, scale, .. } = record else { return Err(wrong()) };
            let StoredAccount { account, changed, .. } = pages.account(no)?.ok_or_else(wrong)?;
            let bytes = text_bytes(&opening, &account);
            let entry = SnapshotAccount { no, opening, scale, opened, opened_at, changed, account };
            parts.add(bytes, |content| content.accounts.push(entry));
        }
        walk.step()?;
    }
    Ok(())
}

fn text_bytes(opening: &AccountOpening, account: &Account) -> usize {
    let metadata = opening.metadata.iter().map(|(key, value)| key.len() + value.len() + 4);
    let limits = opening.limits.iter().chain(account.limits().iter().map(|state| &state.limit));
    let limits = limits.map(|limit| LIMIT_BYTES + limit.code.as_ref().map_or(0, |code| code.len()));
    metadata.chain(limits).sum()
}

/// Accounts by number; those of a page are mostly asked for one after the other.
struct Pages<'a> {
    disk: &'a Frozen<'a>,
    page: Option<u32>,
    accounts: Vec<Option<StoredAccount>>,
}

impl Pages<'_> {
    fn account(&mut self, no: AccountNo) -> Result<Option<StoredAccount>, IndexError> {
        let page = no.0 / PAGE_ACCOUNTS;
        if self.page != Some(page) {
            let bytes = self.disk.get(Family::Accounts, &page.to_be_bytes())?.unwrap_or_default();
            let mut wire = Wire(&bytes);
            self.accounts.clear();
            while !wire.0.is_empty() {
                self.accounts.push(account_page::read(&mut wire)?);
            }
            self.page = Some(page);
        }
        let index = AccountNo(no.0 % PAGE_ACCOUNTS).index();
        Ok(self.accounts.get(index).cloned().flatten())
    }
}

fn put_holds(disk: &Frozen<'_>, parts: &mut Parts<'_>) -> Result<(), IndexError> {
    let mut walk = disk.walk(Family::LiveHolds);
    walk.go_to_first()?;
    while let Some((key, value)) = walk.item().filter(|_| parts.goes_on) {
        let (id, row) = (hold::key_id(key)?, HoldRow::decode(value)?);
        let code = row.code.as_ref().map_or(0, |code| code.len());
        let entry = SnapshotHold { id, hold: row.to_hold(), placed: row.placed };
        parts.add(code, |content| content.holds.push(entry));
        walk.step()?;
    }
    Ok(())
}

fn put_reversed(disk: &Frozen<'_>, parts: &mut Parts<'_>) -> Result<(), IndexError> {
    let mut walk = disk.walk(Family::Reversed);
    walk.go_to_first()?;
    while let Some((key, value)) = walk.item().filter(|_| parts.goes_on) {
        let (transaction, &operation) = key
            .split_first_chunk::<16>()
            .and_then(|(id, rest)| Some((TransactionId(u128::from_be_bytes(*id)), rest.first()?)))
            .ok_or_else(|| IndexError::damaged("a key is no operation"))?;
        let total = Amount(Wire(value).u64()?);
        let entry = SnapshotReversed { transaction, operation, total };
        parts.add(0, |content| content.reversed.push(entry));
        walk.step()?;
    }
    Ok(())
}

fn put_cells(disk: &Frozen<'_>, parts: &mut Parts<'_>) -> Result<(), IndexError> {
    let mut walk = disk.walk(Family::Cells);
    walk.go_to_first()?;
    while let Some((key, value)) = walk.item().filter(|_| parts.goes_on) {
        let (account, kind) = cell::key_cell(key)?;
        let entry = SnapshotCell { account, kind, cell: cell::decode(value)? };
        parts.add(value.len(), |content| content.cells.push(entry));
        walk.step()?;
    }
    Ok(())
}

/// The bytes of a mark.
pub(super) fn encode_mark(mark: &SnapshotMark) -> Vec<u8> {
    let SnapshotMark { as_of, first, last, entries } = mark;
    let mut bytes = Vec::with_capacity(64);
    for number in [as_of.position.0, first.0, last.0, *entries] {
        wire::put_u64(&mut bytes, number);
    }
    bytes.extend_from_slice(&as_of.hash.0);
    bytes
}

fn decode_mark(bytes: &[u8]) -> Result<SnapshotMark, IndexError> {
    let mut wire = Wire(bytes);
    let (as_of, first, last) = (Position(wire.u64()?), Position(wire.u64()?), Position(wire.u64()?));
    let entries = wire.u64()?;
    let as_of = Checkpoint { position: as_of, hash: Hash(wire.array()?) };
    wire.end()?;
    Ok(SnapshotMark { as_of, first, last, entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back() {
        let as_of = Checkpoint { position: Position(7), hash: Hash([5; 32]) };
        let mark = SnapshotMark { as_of, first: Position(900), last: Position(u64::MAX), entries: 3 };
        let bytes = encode_mark(&mark);
        assert_eq!(decode_mark(&bytes), Ok(mark));
        assert!((0..bytes.len()).all(|cut| decode_mark(&bytes[..cut]).is_err()));
    }
}

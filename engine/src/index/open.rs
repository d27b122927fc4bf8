//! Opening an index: its disk, and the state as of the last sealed segment.
//!
//! Owns the order in which a checkpoint is read. Never writes. Invariant: an index that does not fit together, or is
//! newer than this release, is refused as a whole.

use std::{fs, io, path::Path, sync::Arc};

use super::{
    Follower, HoldRow, Index, IndexError, IndexOptions, Sealer,
    account_page::{self, PAGE_ACCOUNTS},
    cell,
    filter::Filter,
    follower::{Mark, Start, open_mark},
    hold,
    id_run::{Run, Runs},
    record_block::RecordBlock,
    run_merge,
    sealer::{FORMAT, KEY_FORMAT, KEY_RUN, KEY_SEGMENT, KEY_TOTALS, KEY_WATERMARK},
    store::{Family, Store, key_position},
    tail::Tail,
    totals::Totals,
    view::{Segment, View},
    wire::Wire,
};
use crate::{
    journal::{Checkpoint, Hash, Record},
    ledger::{Account, Ledger},
    model::{AccountNo, AccountOpening, NormalSide, Position, Timestamp},
};

/// An index at work.
#[derive(Debug)]
pub struct Opened {
    /// Takes the journal after [`Follower::checkpoint`].
    pub follower: Follower,
    /// Takes the segments that the follower closes.
    pub sealer: Sealer,
    /// Answers.
    pub index: Arc<Index>,
}

/// An account of the checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct RecoveredAccount<'a> {
    /// Its dense number.
    pub no: AccountNo,
    /// What the client asked for.
    pub opening: &'a AccountOpening,
    /// The asset's scale.
    pub scale: u8,
    /// The record that opened it.
    pub opened: Position,
    /// That record's time.
    pub opened_at: Timestamp,
    /// The last record that changed it.
    pub changed: Position,
    /// Its state.
    pub account: &'a Account,
}

/// Opens the index in `dir`, or makes it, and calls `visit` with each account in the order of opening.
///
/// # Errors
/// Storage failures, damage, and a format that is newer than this release.
pub fn open(
    dir: &Path,
    options: &IndexOptions,
    visit: &mut dyn FnMut(RecoveredAccount<'_>),
) -> Result<Opened, IndexError> {
    open_store(Store::open(dir, options)?, options, visit)
}

/// The watermark of the index in `dir`, read without writing to it; the beginning if there is no index.
///
/// # Errors
/// Storage failures, damage, and a format that is newer than this release.
pub fn watermark_of(dir: &Path, options: &IndexOptions) -> Result<Checkpoint, IndexError> {
    #[cfg(feature = "simulation")]
    let is_there = if options.in_memory { super::memory::disk(dir).is_some() } else { has_index(dir)? };
    #[cfg(not(feature = "simulation"))]
    let is_there = has_index(dir)?;
    if !is_there {
        return Ok(Checkpoint::default());
    }
    let store = Store::open_read_only(dir, options)?;
    check_format(&store)?;
    watermark(&store).map(|(checkpoint, _)| checkpoint)
}

/// Whether there is an index in `dir`. One that was never finished has only a manifest and no `CURRENT`, and is made anew.
///
/// # Errors
/// The directory can't be read, or has tables or logs and no `CURRENT` that says which of them count.
pub fn has_index(dir: &Path) -> Result<bool, IndexError> {
    let storage = |error: io::Error| IndexError::Storage(error.to_string());
    if dir.join("CURRENT").try_exists().map_err(storage)? {
        return Ok(true);
    }
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(storage(error)),
    };
    for entry in entries {
        let path = entry.map_err(storage)?.path();
        if path.extension().is_some_and(|extension| extension == "sst" || extension == "log") {
            return Err(IndexError::damaged("it has tables or logs and no CURRENT file"));
        }
    }
    Ok(false)
}

/// Opens an existing index without writing to it: the follower and the sealer are not to be used.
pub fn open_read_only(
    dir: &Path,
    options: &IndexOptions,
    visit: &mut dyn FnMut(RecoveredAccount<'_>),
) -> Result<Opened, IndexError> {
    open_store(Store::open_read_only(dir, options)?, options, visit)
}

fn open_store(
    store: Store,
    options: &IndexOptions,
    visit: &mut dyn FnMut(RecoveredAccount<'_>),
) -> Result<Opened, IndexError> {
    check_format(&store)?;
    let segments = numbered(&store, KEY_SEGMENT, Segment::decode)?;
    let (checkpoint, at) = watermark(&store)?;
    check_segments(&segments, checkpoint.position)?;
    let mut runs = Runs::new(numbered(&store, KEY_RUN, |no, bytes| {
        let filter = store.get(Family::Filters, &no.to_be_bytes())?;
        let filter = filter.as_deref().and_then(Filter::decode).map(Arc::new);
        Run::decode(no, bytes, filter)
    })?);
    runs.keep_filters(options.filter_bytes_max);
    let strays = run_merge::strays(&store, &runs)?;
    let tails = vec![Arc::new(Tail::new(checkpoint.position.next()))];
    let view = View { segments: Arc::new(segments), runs: Arc::new(runs), tails };
    let index = Arc::new(Index::new(store, view));
    let start = load_state(&index, checkpoint, at, visit)?;
    Ok(Opened {
        follower: Follower::new(Arc::clone(&index), options, start),
        sealer: Sealer::new(Arc::clone(&index), options, &strays),
        index,
    })
}

fn check_format(store: &Store) -> Result<(), IndexError> {
    let Some(bytes) = store.get(Family::Meta, KEY_FORMAT)? else { return Ok(()) };
    let bytes =
        <[u8; 4]>::try_from(bytes.as_slice()).map_err(|_| IndexError::damaged("the format is no number"))?;
    match u32::from_be_bytes(bytes) {
        FORMAT => Ok(()),
        1 => Err(IndexError::damaged("format 1 does not have accounts as of their changes")),
        found @ ..FORMAT => Err(IndexError::damaged(format!("format {found} never was"))),
        found => Err(IndexError::Version { found, known: FORMAT }),
    }
}

fn watermark(store: &Store) -> Result<(Checkpoint, Timestamp), IndexError> {
    decode_watermark(store.get(Family::Meta, KEY_WATERMARK)?.as_deref())
}

/// Reads what [`super::sealer::encode_watermark`] wrote; the beginning if there is nothing.
pub(super) fn decode_watermark(bytes: Option<&[u8]>) -> Result<(Checkpoint, Timestamp), IndexError> {
    let Some(bytes) = bytes else { return Ok((Checkpoint::default(), Timestamp::ZERO)) };
    let mut wire = Wire(bytes);
    let (position, at) = (Position(wire.u64()?), wire.timestamp()?);
    let hash = Hash(wire.array()?);
    wire.end()?;
    Ok((Checkpoint { position, hash }, at))
}

fn check_segments(segments: &[Segment], watermark: Position) -> Result<(), IndexError> {
    let mut end = Position::ZERO;
    for segment in segments {
        if segment.first != end.next() || segment.last < segment.first {
            return Err(IndexError::damaged(format!("there is a gap between segments after {end}")));
        }
        end = segment.last;
    }
    if end == watermark {
        Ok(())
    } else {
        Err(IndexError::damaged(format!("the segments end at {end}, the watermark is {watermark}")))
    }
}

/// The entries with a prefix and a number, in order.
fn numbered<T>(
    store: &Store,
    prefix: &[u8],
    decode: impl Fn(u32, &[u8]) -> Result<T, IndexError>,
) -> Result<Vec<T>, IndexError> {
    let mut entries = Vec::new();
    let mut walk = store.walk(Family::Meta);
    walk.to(prefix)?;
    while let Some((key, value)) = walk.item() {
        let Some(no) = key.strip_prefix(prefix) else { break };
        let no = <[u8; 4]>::try_from(no).map_err(|_| IndexError::damaged("an entry has no number"))?;
        entries.push(decode(u32::from_be_bytes(no), value)?);
        walk.step()?;
    }
    Ok(entries)
}

fn load_state(
    index: &Arc<Index>,
    checkpoint: Checkpoint,
    at: Timestamp,
    visit: &mut dyn FnMut(RecoveredAccount<'_>),
) -> Result<Start, IndexError> {
    let totals = index.store.get(Family::Meta, KEY_TOTALS)?;
    let totals = Totals::decode(&totals.unwrap_or_default())?;
    let mut start = Start { ledger: Ledger::new(), marks: Vec::new(), totals, checkpoint, at };
    load_accounts(index, &mut start)?;
    load_openings(index, &mut start, visit)?;
    let mut walk = index.store.walk(Family::Cells);
    walk.go_to_first()?;
    while let Some((key, value)) = walk.item() {
        let (account, kind) = cell::key_cell(key)?;
        if !start.ledger.owns(account) {
            return Err(IndexError::damaged(format!("a cell of account {} that is not open", account.0)));
        }
        start.ledger.insert_cell(account, kind, cell::decode(value)?);
        walk.step()?;
    }
    let mut walk = index.store.walk(Family::LiveHolds);
    walk.go_to_first()?;
    while let Some((key, value)) = walk.item() {
        let (id, row) = (hold::key_id(key)?, HoldRow::decode(value)?);
        start.ledger.insert_hold(id, row.to_hold());
        index.holds.insert(id, row);
        walk.step()?;
    }
    Ok(start)
}

fn load_accounts(index: &Index, start: &mut Start) -> Result<(), IndexError> {
    let mut walk = index.store.walk(Family::Accounts);
    walk.go_to_first()?;
    while let Some((key, value)) = walk.item() {
        let page = <[u8; 4]>::try_from(key).map_err(|_| IndexError::damaged("a page has no number"))?;
        let first = u32::from_be_bytes(page).checked_mul(PAGE_ACCOUNTS);
        let first = first.ok_or_else(|| IndexError::damaged("a page's number is out of range"))?;
        let mut wire = Wire(value);
        for no in (first..).take(AccountNo(PAGE_ACCOUNTS).index()).map(AccountNo) {
            let Some(stored) = account_page::read(&mut wire)? else { continue };
            if start.marks.len() <= no.index() {
                start.marks.resize(no.index() + 1, Mark::ABSENT);
            }
            if let Some(mark) = start.marks.get_mut(no.index()) {
                let normal = stored.account.normal();
                let balance = match normal {
                    NormalSide::Credit => Some(stored.account.net()),
                    NormalSide::Debit => stored.account.net().checked_neg(),
                };
                let balance = balance.ok_or_else(|| IndexError::damaged("a balance is out of range"))?;
                *mark = Mark { balance, changed: stored.changed, posted: stored.posted, row: 0, normal };
            }
            start.ledger.insert_account(no, stored.account);
        }
        wire.end()?;
        walk.step()?;
    }
    Ok(())
}

fn load_openings(
    index: &Index,
    start: &mut Start,
    visit: &mut dyn FnMut(RecoveredAccount<'_>),
) -> Result<(), IndexError> {
    let wrong = |opened| IndexError::damaged(format!("the opening at {opened} fits no account"));
    let mut walk = index.store.walk(Family::Openings);
    walk.go_to_first()?;
    let mut count = 0_usize;
    while let Some((key, value)) = walk.item() {
        let block = RecordBlock::decode(key_position(key)?, value)?;
        for (opened, opened_at, bytes) in block.iter() {
            let record = Record::decode(bytes).map_err(|error| IndexError::record(opened, error))?;
            let Record::AccountOpened { no, opening, scale, .. } = record else { return Err(wrong(opened)) };
            let row = start.totals.row(&opening);
            open_mark(&mut start.marks, index, no, opened);
            let mark = start.marks.get_mut(no.index()).ok_or_else(|| wrong(opened))?;
            mark.row = row;
            let (changed, posted) = (mark.changed, mark.posted);
            if let Some(head) = index.heads.get(no.index()) {
                head.posting.store(posted.0, std::sync::atomic::Ordering::Release);
            }
            let account = start.ledger.account(no).ok_or_else(|| wrong(opened))?;
            visit(RecoveredAccount { no, opening: &opening, scale, opened, opened_at, changed, account });
            count += 1;
        }
        walk.step()?;
    }
    if start.ledger.accounts().count() == count {
        Ok(())
    } else {
        Err(IndexError::damaged("an account has no opening"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{sealer, store::Batch};

    /// An index of one sealed segment, closed.
    fn sealed(dir: &Path, options: &IndexOptions) {
        let Opened { mut follower, mut sealer, .. } = open(dir, options, &mut |_| ()).unwrap();
        let opening = AccountOpening {
            address: crate::model::Address::parse("customers:1").unwrap(),
            asset: "CNY".into(),
            normal: NormalSide::Credit,
            floor: Some(0),
            ceiling: None,
            limits: Vec::new(),
            metadata: crate::model::Metadata::default(),
            managed: false,
        };
        let record = Record::AccountOpened { no: AccountNo(0), opening, scale: 2, decided_at: Timestamp(5) };
        let mut bytes = Vec::new();
        crate::journal::Group::frame(&mut bytes, &record);
        let group = crate::journal::Group::new(crate::journal::Head::default(), Timestamp(9), 1, bytes);
        assert!(follower.step(Arc::new(group)).unwrap().is_none());
        sealer.seal(follower.freeze().unwrap()).unwrap();
    }

    /// Such an index, changed by `spoil` while it is closed.
    fn check(spoil: impl FnOnce(&Store, &mut Batch), expected: fn(&IndexError) -> bool) {
        let dir = tempfile::tempdir().unwrap();
        let options = IndexOptions::default();
        sealed(dir.path(), &options);
        let store = Store::open(dir.path(), &options).unwrap();
        let mut batch = Batch::default();
        spoil(&store, &mut batch);
        store.commit(batch).unwrap();
        drop(store);
        let error = open(dir.path(), &options, &mut |_| ()).unwrap_err();
        assert!(expected(&error), "{error}");
    }

    /// RocksDB would read such a manifest for ever.
    #[test]
    fn a_manifest_with_a_record_of_a_recycled_log_is_refused() {
        const TYPE: usize = 6;
        let dir = tempfile::tempdir().unwrap();
        let options = IndexOptions::default();
        sealed(dir.path(), &options);
        let current = std::fs::read_to_string(dir.path().join("CURRENT")).unwrap();
        let manifest = dir.path().join(current.trim_end());
        let mut bytes = std::fs::read(&manifest).unwrap();
        bytes[TYPE] ^= 1 << 2;
        std::fs::write(&manifest, &bytes).unwrap();
        let damaged = |error| matches!(error, IndexError::Damaged(_));
        assert!(damaged(open(dir.path(), &options, &mut |_| ()).unwrap_err()));
        assert!(damaged(open_read_only(dir.path(), &options, &mut |_| ()).unwrap_err()));
        assert!(damaged(watermark_of(dir.path(), &options).unwrap_err()));
        assert_eq!(std::fs::read(&manifest).unwrap(), bytes, "nothing was written");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let damaged = |error: &IndexError| matches!(error, IndexError::Damaged(_));
        let newer = (FORMAT + 1).to_be_bytes();
        check(
            |store, batch| store.put(batch, Family::Meta, KEY_FORMAT, &newer),
            |error| *error == IndexError::Version { found: FORMAT + 1, known: FORMAT },
        );
        check(|store, batch| store.delete(batch, Family::Meta, &sealer::numbered(KEY_SEGMENT, 0)), damaged);
        check(|store, batch| store.delete(batch, Family::Meta, KEY_WATERMARK), damaged);
        check(|store, batch| store.delete(batch, Family::Openings, &1_u64.to_be_bytes()), damaged);
        check(|store, batch| store.delete(batch, Family::Accounts, &0_u32.to_be_bytes()), damaged);
        check(|store, batch| store.put(batch, Family::Accounts, &0_u32.to_be_bytes(), &[1; 9]), damaged);
        check(|store, batch| store.put(batch, Family::LiveHolds, &[0; 16], &[1; 3]), damaged);
    }
}

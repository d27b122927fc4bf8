//! From a data directory to a running engine.
//!
//! Owns the order of a start: lock, format, journal check, index checkpoint, replay, shards, overdue holds, threads.
//! Never repairs. Invariant: nothing is written before the journal has passed its check, and no command is taken before
//! the holds that ran out meanwhile have expired.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use crossbeam::atomic::AtomicCell;

use crate::{
    clock::{self, Clock},
    committer::{Committed, Committer},
    config::Config,
    directory::{Directory, HoldPlace},
    engine::OpenError,
    front::Front,
    index::{self, Follower, IndexOptions, Sealer},
    journal::{Checkpoint, Group, Journal, JournalError, JournalOptions, Record, rocks::RocksJournal},
    ledger::Ledger,
    model::{AccountNo, AccountOpening, Asset, Assets, Position, Timestamp, TransactionId},
    planted::{Bug, planted},
    retention::Retention,
    shard::{Input, Outgoing, Shard, ShardNo},
    storage::{Sizes, Watch},
    threads::{Shared, Threads, forget_sealed},
};

/// The format of a data directory as a whole, in its file `format`.
const FORMAT: u32 = 1;
const FORMAT_NAME: &str = "format";

pub(crate) struct Recovered {
    pub(crate) front: Front,
    pub(crate) clock: Arc<Clock>,
    pub(crate) threads: Threads,
}

/// Takes the data directory for this process, and checks its format.
pub(crate) fn lock(config: &Config) -> Result<File, OpenError> {
    if config.shards == 0 || config.shards > Config::SHARDS_MAX {
        return Err(OpenError::Config(format!("shards must be 1 to {}", Config::SHARDS_MAX)));
    }
    if !clock::is_set() {
        return Err(OpenError::Clock);
    }
    fs::create_dir_all(&config.data)?;
    let lock = File::options().create(true).truncate(false).write(true).open(config.data.join("lock"))?;
    if fs4::fs_std::FileExt::try_lock_exclusive(&lock)? {
        check_format(&config.data)?;
        Ok(lock)
    } else {
        Err(OpenError::InUse(config.data.display().to_string()))
    }
}

/// Checks the format of a data directory, or writes it into one that has none.
fn check_format(data: &Path) -> Result<(), OpenError> {
    if format_is_known(data)? {
        return Ok(());
    }
    // Under its name it is whole, whenever the process ends.
    let unfinished = data.join("format.new");
    fs::write(&unfinished, format!("{FORMAT}\n"))?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, data.join(FORMAT_NAME))?;
    File::open(data)?.sync_all()?;
    Ok(())
}

/// Whether a data directory has this release's format; `false` if it has none yet. Writes nothing.
pub(crate) fn format_is_known(data: &Path) -> Result<bool, OpenError> {
    let found = match fs::read(data.join(FORMAT_NAME)) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    match found.parse::<u32>() {
        Ok(FORMAT) => Ok(true),
        Ok(newer) if newer > FORMAT => Err(OpenError::Version { found, known: FORMAT }),
        Ok(_) | Err(_) => Err(OpenError::Format { found: found.chars().take(16).collect(), known: FORMAT }),
    }
}

/// The sizes of the index.
pub(crate) fn index_options(config: &Config) -> IndexOptions {
    let sizes = Sizes::of(config);
    IndexOptions {
        segment_records_max: config.segment_records,
        segment_bytes_max: sizes.segment_bytes_max,
        block_cache_bytes: config.index_cache_bytes,
        write_buffer_bytes: usize::try_from(sizes.write_buffer_bytes).unwrap_or(usize::MAX),
        ..IndexOptions::default()
    }
}

pub(crate) fn recover(config: &Config) -> Result<Recovered, OpenError> {
    let sizes = Sizes::of(config);
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let config = &Config { group_bytes_max: size(sizes.group_bytes_max), ..config.clone() };
    let journal_options = JournalOptions {
        full_check_bytes_max: config.full_check_bytes_max,
        write_buffer_bytes: size(sizes.write_buffer_bytes),
    };
    let index_options = index_options(config);
    let (shared, mut assembled) = open(config, &index_options, |checkpoint| {
        RocksJournal::open(&config.data, &journal_options, checkpoint)
    })?;
    Watch::default().look(&shared);
    settle_overdue(&shared, &mut assembled, shared.clock.now())?;
    let Assembled { assets, index, shards, committer, follower, sealer } = assembled;
    let retention = Retention::new(config, index_options.segment_records_max, &index);
    let retention = retention.map(|retention| (retention, Arc::clone(&index)));
    let threads = Threads::start(&shared, shards, committer, follower, sealer, retention);
    let front = shared.front(assets, index, threads.mailboxes.clone());
    Ok(Recovered { front, clock: shared.clock, threads })
}

/// Opens the journal, with its check, then the index beside it, and puts the state machines together.
pub(crate) fn open<J: Journal>(
    config: &Config,
    index_options: &IndexOptions,
    open_journal: impl FnOnce(Checkpoint) -> Result<J, JournalError>,
) -> Result<(Shared, Assembled<J>), OpenError> {
    let index_directory = config.data.join("index");
    let checkpoint = index::watermark_of(&index_directory, index_options)?;
    let journal = open_journal(checkpoint)?;
    let mut openings = Vec::new();
    let opened = index::open(&index_directory, index_options, &mut |account| openings.push(account.into()))?;
    let shared = Shared {
        config: Arc::new(config.clone()),
        directory: Arc::new(Directory::new(config.shards)),
        counters: Arc::default(),
        state: Arc::default(),
        clock: Arc::new(Clock::new().ok_or(OpenError::Clock)?),
        sealed: Arc::new(AtomicCell::new(checkpoint)),
    };
    let assembled = assemble(&shared, journal, opened, openings)?;
    Ok((shared, assembled))
}

/// The state machines of a partition, recovered and not yet running.
pub(crate) struct Assembled<J> {
    pub(crate) assets: Assets,
    pub(crate) index: Arc<index::Index>,
    pub(crate) shards: Vec<Shard>,
    pub(crate) committer: Committer<J>,
    pub(crate) follower: Follower,
    pub(crate) sealer: Sealer,
}

/// An account that was opened, from the index's checkpoint or the journal.
struct Opening {
    no: AccountNo,
    opening: Arc<AccountOpening>,
    scale: u8,
    opened: (Position, Timestamp),
}

impl From<index::RecoveredAccount<'_>> for Opening {
    fn from(account: index::RecoveredAccount<'_>) -> Self {
        let index::RecoveredAccount { no, opening, scale, opened, opened_at, .. } = account;
        Self { no, opening: Arc::new(opening.clone()), scale, opened: (opened, opened_at) }
    }
}

/// What a replay has gathered beside the index.
struct Replayed {
    openings: Vec<Opening>,
    /// The ids that the index can't be asked for yet.
    unsealed: Vec<(TransactionId, Position)>,
    /// The greatest `decided_at`.
    stamp: Timestamp,
}

/// Replays what the journal has beyond the index's checkpoint, and hands each account to its shard.
fn assemble<J: Journal>(
    shared: &Shared,
    journal: J,
    opened: index::Opened,
    openings: Vec<Opening>,
) -> Result<Assembled<J>, OpenError> {
    let config = &shared.config;
    let index::Opened { mut follower, mut sealer, index } = opened;
    let mut replayed = Replayed { openings, unsealed: Vec::new(), stamp: Timestamp::ZERO };
    let mut failed = None;
    let read = journal.read(follower.checkpoint().position, &mut |group| {
        replay(&mut follower, &mut sealer, shared, group, &mut replayed).map_err(|error| {
            failed = Some(error);
            JournalError::Storage("the replay into the index failed".into())
        })
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    read?;
    let Replayed { openings, unsealed, stamp } = replayed;
    let head = journal.head();
    shared.state.synced_to(head);
    for (id, position) in unsealed.into_iter().filter(|_| !planted(Bug::DedupeSkippedAfterRestart)) {
        shared.directory.transactions.settle(id, position);
    }
    let mut assets = Assets::new(config.assets.iter().cloned())?;
    let mut ledgers: Vec<Ledger> = (0..config.shards).map(|_| Ledger::new()).collect();
    recover_accounts(&follower, openings, &shared.directory, &mut assets, &mut ledgers)?;
    // The last time is not before any stamp, unless it was written when times did not follow the stamps.
    let stamp = stamp.max(head.at);
    let shards = (0..).map(ShardNo).zip(ledgers).map(|(no, ledger)| {
        Shard::new(
            no,
            ledger,
            Arc::clone(&shared.directory),
            Arc::clone(&shared.counters),
            config.parked_commands_max,
            (head.position, stamp),
        )
    });
    let shards = shards.collect();
    Ok(Assembled {
        assets,
        index,
        shards,
        committer: Committer::new(journal, config.shards),
        follower,
        sealer,
    })
}

fn replay(
    follower: &mut Follower,
    sealer: &mut Sealer,
    shared: &Shared,
    group: Group,
    replayed: &mut Replayed,
) -> Result<(), index::IndexError> {
    let group = Arc::new(group);
    for (index, frame) in (0..).zip(group.frames()) {
        let first = group.first;
        let record = frame.and_then(|bytes| Ok(Record::decode(bytes)?));
        let record = record.map_err(|error| index::IndexError::Group { first, error })?;
        replayed.stamp = replayed.stamp.max(record.decided_at());
        let position = first.plus(index);
        match &record {
            Record::Posted(posted) => {
                let aliases = posted.attachment.iter().flat_map(|attachment| &attachment.aliases);
                let ids = std::iter::once(posted.id).chain(aliases.copied());
                replayed.unsealed.extend(ids.map(|id| (id, position)));
            }
            Record::Refused(refused) => replayed.unsealed.push((refused.transaction.id, position)),
            Record::AccountOpened { no, opening, scale, .. } => {
                let at = group.at.plus_nanos(i64::try_from(index).unwrap_or(i64::MAX));
                let (no, opening, scale) = (*no, Arc::new(opening.clone()), *scale);
                replayed.openings.push(Opening { no, opening, scale, opened: (position, at) });
            }
            Record::AccountChanged { .. } | Record::HoldExpired { .. } | Record::Snapshot(_) => {}
        }
    }
    #[cfg(feature = "planted-bugs")]
    follower.plant_a_second_leg(&group);
    if let Some(frozen) = follower.step(group)? {
        let sealed = sealer.seal(frozen)?;
        shared.sealed.store(sealed.checkpoint());
        replayed.unsealed.retain(|&(_, position)| position > sealed.checkpoint().position);
    }
    Ok(())
}

/// Hands the replica's accounts, live holds and published state to the directory and the shards.
fn recover_accounts(
    follower: &Follower,
    mut openings: Vec<Opening>,
    directory: &Directory,
    assets: &mut Assets,
    ledgers: &mut [Ledger],
) -> Result<(), OpenError> {
    openings.sort_unstable_by_key(|opening| opening.no);
    for Opening { no, opening, scale, opened } in openings {
        let asset = assets.add(Asset { code: opening.asset.clone(), scale })?;
        let account =
            follower.ledger().account(no).expect("the replica has every account that is open").clone();
        directory.recover(no, opening, asset);
        directory.entry(no).recover(&account, opened, follower.changed(no));
        shard_of(directory, ledgers, no).insert_account(no, account);
    }
    for (no, kind, cell) in follower.ledger().cells().filter(|_| !planted(Bug::CellsForgottenByRestart)) {
        directory.entry(no).set_cell(kind, cell.clone());
        shard_of(directory, ledgers, no).insert_cell(no, kind, cell.clone());
    }
    for (id, hold) in follower.ledger().holds() {
        if hold.ended.is_none() {
            directory.holds.settle(id, HoldPlace { debit: hold.debit, credit: hold.credit });
            shard_of(directory, ledgers, hold.debit).insert_hold(id, hold.clone());
        }
    }
    Ok(())
}

fn shard_of<'a>(directory: &Directory, ledgers: &'a mut [Ledger], no: AccountNo) -> &'a mut Ledger {
    ledgers.get_mut(directory.shard_of(no).index()).expect("a shard number is below the number of shards")
}

/// Expires the holds that ran out while nothing ran, in order of (expiry, id) within each shard.
pub(crate) fn settle_overdue<J: Journal>(
    shared: &Shared,
    assembled: &mut Assembled<J>,
    now: Timestamp,
) -> Result<(), OpenError> {
    while !planted(Bug::OverdueNotExpired) {
        let ticks: Vec<bool> = assembled.shards.iter_mut().map(|shard| shard.tick(now)).collect();
        let more = ticks.contains(&true);
        let mut batches = Vec::new();
        for shard in &mut assembled.shards {
            batches.extend(shard.flush().outgoing().map(|outgoing| match outgoing {
                Outgoing::Batch(batch) => batch,
                Outgoing::Message(..) => panic!("an expiry tells other shards through the journal only"),
            }));
        }
        if batches.is_empty() {
            return Ok(());
        }
        let Committed { group, notices } = assembled.committer.step(batches, now, shared.sealed.load())?;
        shared.state.synced_to(group.head());
        for (shard, notice) in notices {
            if let Some(shard) = assembled.shards.get_mut(shard.index()) {
                shard.step(Input::Synced(notice), now);
            }
        }
        if let Some(frozen) = assembled.follower.step(Arc::new(group))? {
            let sealed = assembled.sealer.seal(frozen)?;
            forget_sealed(&shared.directory, &sealed, &mut Vec::new());
            shared.sealed.store(sealed.checkpoint());
            for shard in &mut assembled.shards {
                shard.step(Input::Sealed(sealed.checkpoint().position), now);
            }
        }
        if !more {
            return Ok(());
        }
    }
    Ok(())
}

//! Wires it all: the only type that callers need.
//!
//! A payment's way, in order: 1. [`Engine::submit`] claims the id and resolves names on the caller's thread
//! (`front`); 2. the command goes into the mailbox of the shard that guards it; 3. the shard decides, applies and
//! queues a record (`shard`, `ledger`); 4. the committer writes what all shards have queued as one group and syncs
//! (`committer`, `journal`); 5. the owning shards publish and answer; 6. the index follows (`index`).

use std::{
    fs::File,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    clock::Clock,
    config::Config,
    fatal::fatal,
    front::{Front, callers},
    index::{self, IndexError},
    journal::{Head, JournalError, witnessed},
    metrics::Snapshot,
    model::{
        AccountChange, AccountOpening, Address, AssetError, Assets, Caller, Cell, CellKind, HoldId, Lane,
        Position, Timestamp, Transaction, TransactionId,
    },
    recovery,
    threads::Threads,
    view::{
        AccountError, AccountView, AssetTotals, BalanceView, EventView, GroupTotals, HistoryCursor,
        HistoryEntry, HistoryQuery, HoldView, Moment, Outcome, Page, PastBalance, Point, SubmitError,
        TransactionView, TrialBalance, Unavailable,
    },
};

/// A running ledger on a data directory. Cheap to clone: all clones are one engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    caller: Caller,
}

struct Inner {
    front: Front,
    clock: Arc<Clock>,
    questions: crossbeam::channel::Sender<oneshot::Sender<index::TrialBalance>>,
    threads: crossbeam::atomic::AtomicCell<Option<Box<Threads>>>,
    _lock: Lock,
}

impl Drop for Inner {
    /// The last clone is gone: nobody can submit any more, and what was admitted lands before the threads end.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn stop(&self) {
        self.front.state.stopping.store(true, Ordering::SeqCst);
        let Some(threads) = self.threads.take() else { return };
        while self.front.counters.in_flight() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        threads.stop();
    }
}

/// Why an engine did not start. Nothing was written, unless the cause lies in the writing itself.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("the data directory {0} is in use by another process")]
    InUse(String),
    /// A newer release wrote it.
    #[error("the data directory has format {found}; this release reads up to {known}")]
    Version {
        /// The format on disk.
        found: String,
        /// The newest format that is known here.
        known: u32,
    },
    /// Its format is unreadable.
    #[error(
        "the data directory's file `format` is damaged: it says {found:?}, and this release writes {known}; nothing was \
         written; restore the file from a copy"
    )]
    Format {
        /// How what it says begins.
        found: String,
        /// The newest format that is known here.
        known: u32,
    },
    /// The wall clock is not set.
    #[error(
        "the wall clock is before the year 2000 or after the year 2261: set it right and start again; nothing was written"
    )]
    Clock,
    /// The directory or a file in it.
    #[error("the data directory: {0}")]
    Io(#[from] std::io::Error),
    /// A setting out of its range.
    #[error("{0}")]
    Config(String),
    /// The configured assets, among themselves or against those in use.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Holds a data directory against other processes, as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "closing the file gives the lock back")] File);

/// A data directory that this process has locked, before recovery.
#[derive(Debug)]
pub struct Locked {
    config: Config,
    lock: Lock,
}

impl Locked {
    /// The end of the journal as its witness has it: what was acknowledged goes at least as far. Cheap, and writes
    /// nothing; zero in a new directory.
    ///
    /// # Errors
    /// The witness is damaged.
    pub fn witnessed(&self) -> Result<Head, OpenError> {
        Ok(witnessed(&self.config.data)?)
    }

    /// Checks the journal, loads the index's checkpoint, replays what follows it, expires the holds that ran out
    /// meanwhile, and starts. Blocks until it is ready for traffic.
    ///
    /// # Errors
    /// A damaged or newer data directory: it is left as it is.
    pub fn recover(self) -> Result<Engine, OpenError> {
        let recovery::Recovered { front, clock, threads } = recovery::recover(&self.config)?;
        let questions = threads.questions.clone();
        let threads = crossbeam::atomic::AtomicCell::new(Some(Box::new(threads)));
        Ok(Engine::of(Inner { front, clock, questions, threads, _lock: self.lock }))
    }
}

impl Engine {
    fn of(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), caller: Caller::TRUSTED }
    }

    /// The same engine, as a caller may use it: what he may not know is not there, and what he may not do is refused. A
    /// route checks its scope for reads; all else about a caller is checked here, where names are resolved.
    #[must_use]
    pub fn for_caller(&self, caller: Caller) -> Self {
        Self { inner: Arc::clone(&self.inner), caller }
    }

    /// An engine without threads: what is asked of it waits until somebody steps its state machines.
    #[cfg(feature = "simulation")]
    pub(crate) fn stepped(
        front: Front,
        clock: Arc<Clock>,
        questions: crossbeam::channel::Sender<oneshot::Sender<index::TrialBalance>>,
        lock: File,
    ) -> Self {
        let threads = crossbeam::atomic::AtomicCell::new(None);
        Self::of(Inner { front, clock, questions, threads, _lock: Lock(lock) })
    }

    /// Locks a data directory (it is made if it is missing), and leaves recovery to [`Locked::recover`].
    ///
    /// # Errors
    /// A bad configuration, another process on the directory, a newer format.
    pub fn lock(config: Config) -> Result<Locked, OpenError> {
        let lock = recovery::lock(&config)?;
        Ok(Locked { config, lock: Lock(lock) })
    }

    /// Locks, recovers and starts. Blocks until it is ready for traffic.
    ///
    /// # Errors
    /// As [`Engine::lock`] and [`Locked::recover`].
    pub fn open(config: Config) -> Result<Self, OpenError> {
        Self::lock(config)?.recover()
    }

    /// Stops taking commands, waits until those in flight have landed, and ends the threads. Blocks. Reads that clones
    /// make afterwards are answered as of the end.
    pub fn close(self) {
        self.inner.stop();
    }

    /// The assets that accounts can hold.
    #[must_use]
    pub fn assets(&self) -> &Assets {
        &self.inner.front.assets
    }

    /// Opens an account; `true` if this call opened it, `false` if it was open with the same body.
    ///
    /// # Errors
    /// Another body for the address, an unknown asset, or overload.
    pub async fn open_account(&self, opening: AccountOpening) -> Result<(AccountView, bool), AccountError> {
        callers::may_open(&self.caller, &opening)?;
        let (no, opened) = self.inner.front.open_account(opening).await?;
        Ok((self.inner.front.account_view(no, self.inner.clock.now()), opened))
    }

    /// Changes an account's rules, once everything in flight on it has landed.
    ///
    /// # Errors
    /// No such account, a rule that the balance breaks, or overload.
    pub async fn change_account(
        &self,
        address: &Address,
        change: AccountChange,
    ) -> Result<AccountView, AccountError> {
        let no = self.inner.front.change_account(&self.caller, address, change).await?;
        Ok(self.inner.front.account_view(no, self.inner.clock.now()))
    }

    /// An account as of its last synced change. Neither waits nor touches the disk.
    #[must_use]
    pub fn account(&self, address: &Address) -> Option<AccountView> {
        if !self.caller.covers(address.as_str()) {
            return None;
        }
        self.inner.front.account(address, self.inner.clock.now())
    }

    /// Accounts whose address starts with `prefix`, by address, from behind `after`; at most `limit`
    /// ([`Config::page_rows_max`] at the most).
    #[must_use]
    pub fn accounts(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page<AccountView, Address> {
        self.inner.front.own_accounts(&self.caller, prefix, after, limit, self.inner.clock.now())
    }

    /// Submits a transaction, and waits until it is on disk and every account shows it.
    ///
    /// # Errors
    /// The id belongs to another body, or the engine is overloaded or stopping: nothing was applied.
    pub async fn submit(&self, transaction: Transaction) -> Result<Outcome, SubmitError> {
        self.submit_in(Lane::Checkout, transaction).await
    }

    /// The same, in the order of a lane.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub async fn submit_in(&self, lane: Lane, transaction: Transaction) -> Result<Outcome, SubmitError> {
        self.submit_by(lane, None, transaction).await
    }

    /// The same, unless the engine's time passes `deadline` before the command is decided: then it is refused, and
    /// nothing happened. A command that is decided is never taken back.
    ///
    /// # Errors
    /// As [`Engine::submit`], and [`Unavailable::Late`].
    pub async fn submit_by(
        &self,
        lane: Lane,
        deadline: Option<Timestamp>,
        transaction: Transaction,
    ) -> Result<Outcome, SubmitError> {
        let result = self.inner.front.submit(lane, &self.caller, deadline, transaction).await;
        self.caller.note_issued(|| callers::took_effect(&result));
        result
    }

    /// Submits transactions that have no order between them; one result each, in the order given.
    pub async fn submit_batch(&self, transactions: Vec<Transaction>) -> Vec<Result<Outcome, SubmitError>> {
        self.submit_batch_in(Lane::Checkout, None, transactions).await
    }

    /// The same, in the order of a lane, and each until a deadline as in [`Engine::submit_by`].
    pub async fn submit_batch_in(
        &self,
        lane: Lane,
        deadline: Option<Timestamp>,
        transactions: Vec<Transaction>,
    ) -> Vec<Result<Outcome, SubmitError>> {
        let results = self.inner.front.submit_batch(lane, &self.caller, deadline, transactions).await;
        self.caller.note_issued(|| results.iter().any(callers::took_effect));
        results
    }

    /// A transaction or final refusal; waits for one in flight.
    ///
    /// # Errors
    /// The index does not show it in time.
    pub async fn transaction(&self, id: TransactionId) -> Result<Option<TransactionView>, Unavailable> {
        let found = self.inner.front.transaction(id).await?;
        Ok(found.filter(|view| callers::sees_transaction(&self.caller, view)))
    }

    /// A hold; waits for one in flight.
    ///
    /// # Errors
    /// The index does not show it in time.
    pub async fn hold(&self, id: HoldId) -> Result<Option<HoldView>, Unavailable> {
        let found = self.inner.front.hold_view(id).await?;
        Ok(found.filter(|view| callers::sees_hold(&self.caller, view)))
    }

    /// An account's posted changes, newest first; `None` if there is no such account.
    ///
    /// # Errors
    /// The index does not show what is acknowledged in time.
    pub async fn history(
        &self,
        address: &Address,
        query: HistoryQuery,
    ) -> Result<Option<Page<HistoryEntry, HistoryCursor>>, Unavailable> {
        if !self.caller.covers(address.as_str()) {
            return Ok(None);
        }
        self.inner.front.history(address, query).await
    }

    /// An account's balance at a point; `None` if there is no such account or the point is before its opening.
    ///
    /// # Errors
    /// The index does not show what is acknowledged in time.
    pub async fn balance_at(
        &self,
        address: &Address,
        point: Point,
    ) -> Result<Option<BalanceView>, Unavailable> {
        if !self.caller.covers(address.as_str()) {
            return Ok(None);
        }
        self.inner.front.balance_at(address, point).await
    }

    /// Looks at the next accounts by address whose address starts with `prefix`, from behind `after`, and gives those
    /// that `take` wants and that were open at a position, with their balance there. A page has what is found among
    /// [`Config::page_rows_max`] accounts, perhaps nothing; it is quick for accounts that have not changed since.
    ///
    /// # Errors
    /// The index does not show the position in time.
    pub async fn balances_at(
        &self,
        prefix: &str,
        after: Option<&str>,
        position: Position,
        take: impl Fn(&Address) -> bool + Send,
    ) -> Result<Page<PastBalance, Address>, Unavailable> {
        self.inner.front.balances_at(prefix, after, position, take).await
    }

    /// Looks at the next accounts by address whose address starts with `prefix`, from behind `after`, and gives the
    /// addresses that `take` makes something of. A page has what is found among [`Config::page_rows_max`] accounts,
    /// perhaps nothing.
    pub fn addresses<T>(
        &self,
        prefix: &str,
        after: Option<&str>,
        take: impl Fn(&Address) -> Option<T>,
    ) -> Page<T, Address> {
        self.inner.front.addresses(prefix, after, take)
    }

    /// The turnover of all accounts at one position that has everything acknowledged before this call.
    ///
    /// # Errors
    /// The engine has stopped, too many ask at once, or the index does not show what is acknowledged in time.
    pub async fn trial_balance(&self) -> Result<TrialBalance, Unavailable> {
        let front = &self.inner.front;
        front.indexed(front.state.synced()).await?;
        let (reply, answer) = oneshot::channel();
        self.inner.questions.try_send(reply).map_err(|error| match error {
            crossbeam::channel::TrySendError::Full(_) => Unavailable::Overloaded("the index"),
            crossbeam::channel::TrySendError::Disconnected(_) => Unavailable::Stopping,
        })?;
        let most = Duration::from_millis(front.config.read_wait_ms_max);
        let found = timeout(most, answer).await.map_err(|_| Unavailable::Overloaded("the index"))?;
        let found = found.map_err(|_| Unavailable::Stopping)?;
        front.shown(found.position).await?;
        let asset = |code: &str| {
            let no = front.assets.find(code);
            let no = no.unwrap_or_else(|| fatal(&format_args!("asset {code} is in use, but unknown")));
            front.assets.get(no).clone()
        };
        let groups: Vec<_> = found
            .rows
            .into_iter()
            .map(|row| GroupTotals {
                prefix: row.group,
                asset: asset(&row.asset),
                debits: row.debits,
                credits: row.credits,
            })
            .collect();
        let mut assets: Vec<AssetTotals> = Vec::new();
        for group in &groups {
            match assets.iter_mut().find(|totals| totals.asset == group.asset) {
                Some(totals) => {
                    totals.debits += group.debits;
                    totals.credits += group.credits;
                }
                None => assets.push(AssetTotals {
                    asset: group.asset.clone(),
                    debits: group.debits,
                    credits: group.credits,
                }),
            }
        }
        assets.sort_by(|one, other| one.asset.code.cmp(&other.asset.code));
        Ok(TrialBalance { position: found.position, at: found.at, assets, groups })
    }

    /// A cell of an account, as of its last synced write. Neither waits nor touches the disk.
    #[must_use]
    pub fn cell(&self, account: &Address, kind: CellKind) -> Option<Cell> {
        let front = &self.inner.front;
        front.directory.find(account.as_str()).and_then(|no| front.directory.entry(no).cell(kind))
    }

    /// Accounts that share their first two address parts, `None` for one that is not open, with cells of the first one:
    /// all as of one moment of the shard that owns them.
    ///
    /// # Errors
    /// The shard's mailbox is full, or the engine stops.
    pub async fn moment(
        &self,
        accounts: Vec<Address>,
        kinds: &'static [CellKind],
    ) -> Result<Moment, Unavailable> {
        self.inner.front.moment(&accounts, kinds, self.inner.clock.now()).await
    }

    /// The engine's time: what a command would be stamped with now, but for what its shard has stamped before.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The journal's records after a position as events, in order and without a gap; at most `limit`. Empty at the end:
    /// [`Engine::head`] tells when there is more.
    ///
    /// # Errors
    /// The index does not show what is acknowledged in time.
    pub async fn events(&self, after: Position, limit: usize) -> Result<Vec<EventView>, Unavailable> {
        self.events_seen(after, limit).await.map(|(events, _)| events)
    }

    /// The same, with the position up to which the journal was looked at: not all of it is for every caller.
    ///
    /// # Errors
    /// As [`Engine::events`].
    pub async fn events_seen(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<(Vec<EventView>, Position), Unavailable> {
        let mut events = self.inner.front.events(after, limit).await?;
        let seen = events.last().map_or(after, |last| last.position);
        events.retain(|event| callers::sees_event(&self.caller, event));
        Ok((events, seen))
    }

    /// The last position that [`Engine::events`] has; changes when there is more.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<Position> {
        self.inner.front.index.subscribe()
    }

    /// The end of the journal that is on disk, with its witness: a start after any crash finds at least this much.
    #[must_use]
    pub fn synced_head(&self) -> Head {
        self.inner.front.state.synced_head.load()
    }

    /// A copy of all counters.
    #[must_use]
    pub fn metrics(&self) -> Snapshot {
        let front = &self.inner.front;
        Snapshot {
            mailbox_depth: front
                .mailboxes
                .iter()
                .map(|shard| Lane::ALL.map(|lane| shard.depth(lane)))
                .collect(),
            index_lag: front.index_lag(),
            position: front.state.synced().0,
            accounts: u64::try_from(front.directory.count()).unwrap_or(u64::MAX),
            ..front.counters.snapshot()
        }
    }

    /// Journal groups written so far, and the nanoseconds that their appends and syncs took together. Cheap.
    #[must_use]
    pub fn sync_time(&self) -> (u64, u64) {
        self.inner.front.counters.sync_time()
    }

    /// Bounds what one account may have in flight below [`Config::account_commands_max`], from now on: for whoever lets
    /// callers in, so that one hot account leaves room for others. Batches and batch work have the larger bound alone.
    pub fn set_account_commands_max(&self, most: usize) {
        self.inner.front.state.account_commands.0.store(most, Ordering::Relaxed);
    }

    /// Whether new writes would be refused now. Cheap: to be asked before any work on a request.
    ///
    /// # Errors
    /// Why they would be.
    pub fn admission(&self) -> Result<(), Unavailable> {
        self.inner.front.admission()
    }
}

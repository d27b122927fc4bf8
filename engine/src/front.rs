//! What runs on the callers' threads: a transaction's claims, the first pass of the rules, and its way to a shard.
//!
//! Owns no balance and no queue. Never blocks: [`Front::prepare`] either makes a command ready or gives back the
//! transaction with what it has to wait for, holding nothing meanwhile, so that waiting can't lock anybody out.
//! Invariant: an id is claimed before the index is asked for an old one, and the claim ends with the answer.

mod accounts;
pub(crate) mod callers;
mod reads;
mod resolve;
mod submit;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use crossbeam::atomic::AtomicCell;
use smallvec::SmallVec;

use crate::{
    config::Config,
    directory::{Claim, Directory, Settled},
    index::{Index, IndexError},
    journal::{Head, PostedTransaction, Record},
    metrics::Counters,
    model::{
        AccountNo, AccountStatus, Assets, Attachment, Caller, CellWrite, Command, HoldId, Lane, Operation,
        OperationKind, Position, PostedKind, Rejection, RequestedAmount, ResolvedOperation, Timestamp,
        Transaction, TransactionId,
    },
    planted::{Bug, planted},
    shard::{
        Envelope, ShardNo, ShardSet,
        completion::{Completion, Reply},
        mailbox::Mailbox,
    },
    storage::Room,
    view::{SubmitError, Unavailable},
};
use resolve::Pass;

/// See the module.
pub(crate) struct Front {
    pub(crate) config: Config,
    pub(crate) assets: Arc<Assets>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) index: Arc<Index>,
    pub(crate) counters: Arc<Counters>,
    /// By shard.
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) state: Arc<State>,
}

/// What the engine's threads tell the front.
#[derive(Default)]
pub(crate) struct State {
    /// The last synced position.
    pub(crate) synced: AtomicU64,
    /// The end of the journal there; asked for now and then only.
    pub(crate) synced_head: AtomicCell<Head>,
    pub(crate) storage_low: AtomicBool,
    pub(crate) room: Room,
    pub(crate) stopping: AtomicBool,
    /// How much less than `Config::account_commands_max` one account may have in flight now.
    pub(crate) account_commands: AccountCommands,
}

/// A bound that whoever lets callers in lowers while there are too many.
pub(crate) struct AccountCommands(pub(crate) AtomicUsize);

impl Default for AccountCommands {
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl State {
    pub(crate) fn synced(&self) -> Position {
        Position(self.synced.load(Ordering::Acquire))
    }

    /// The journal and its witness are on disk up to here.
    pub(crate) fn synced_to(&self, head: Head) {
        self.synced_head.store(head);
        self.synced.store(head.position.0, Ordering::Release);
    }
}

/// How a transaction is to be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// Who asks.
    pub(crate) caller: &'a Caller,
    pub(crate) lane: Lane,
    /// Until when it may be decided.
    pub(crate) deadline: Option<Timestamp>,
    /// It is no part of a batch.
    pub(crate) alone: bool,
}

/// What came of [`Front::prepare`].
pub(crate) enum Prepared {
    /// On to its shard.
    Ready(Box<Envelope>),
    /// The id has an outcome.
    Known(Transaction, Position),
    /// Try again after a wait.
    Wait(Transaction, Wait),
    /// It can't be submitted as it is; nothing is claimed.
    Refused(SubmitError),
}

/// What a transaction waits for.
pub(crate) enum Wait {
    /// A copy of itself in flight: it shares its fate.
    Copy(Settled),
    /// An id in flight that it refers to.
    Settled(Settled),
    /// A change of an account.
    Change(AccountNo),
    /// The index, to show a record.
    Indexed(Position),
}

/// What came of an attachment.
enum Attached {
    Cells(Vec<CellWrite<AccountNo>>),
    Wait(Wait),
    /// An alias is taken, or an account is not there.
    Conflict,
}

/// What a transaction has claimed so far.
struct Claimed {
    /// Who asks.
    caller: Caller,
    /// A product verb's: it may move managed accounts.
    by_product: bool,
    holds: SmallVec<[HoldId; 1]>,
    aliases: Vec<TransactionId>,
    accounts: SmallVec<[AccountNo; 4]>,
}

impl Claimed {
    fn of(caller: &Caller, transaction: &Transaction) -> Self {
        Self {
            caller: caller.clone(),
            by_product: transaction.attachment.is_some(),
            holds: SmallVec::new(),
            aliases: Vec::new(),
            accounts: SmallVec::new(),
        }
    }
}

impl Front {
    /// Cheap, before any work: whether new writes are refused now.
    pub(crate) fn admission(&self) -> Result<(), Unavailable> {
        if self.state.stopping.load(Ordering::Relaxed) {
            return Err(Unavailable::Stopping);
        }
        if self.state.storage_low.load(Ordering::Relaxed) {
            return Err(Unavailable::StorageLow);
        }
        if self.index_lag() > self.config.index_lag_records_max {
            return Err(Unavailable::Overloaded("the index"));
        }
        if self.counters.in_flight() >= self.config.in_flight_commands_max && !planted(Bug::InFlightUnbounded)
        {
            return Err(Unavailable::Overloaded("the engine"));
        }
        Ok(())
    }

    /// Takes room on the file system for what is about to be written.
    pub(crate) fn take_room(&self, bytes: u64) -> Result<(), Unavailable> {
        if self.state.room.take(bytes) { Ok(()) } else { Err(Unavailable::StorageLow) }
    }

    /// Records that the journal has and the index does not show yet.
    pub(crate) fn index_lag(&self) -> u64 {
        self.state.synced().0.saturating_sub(self.index.applied().0)
    }

    /// Claims a transaction's ids and accounts, and runs the first pass of the rules.
    pub(crate) fn prepare(
        &self,
        transaction: Transaction,
        terms: Terms<'_>,
        reply: impl FnOnce() -> Reply,
    ) -> Result<Prepared, IndexError> {
        if let Err(denied) = callers::may_submit(terms.caller, &transaction) {
            return Ok(Prepared::Refused(denied));
        }
        match self.directory.transactions.claim(transaction.id) {
            Claim::Claimed => {}
            Claim::InFlight(settled) => return Ok(Prepared::Wait(transaction, Wait::Copy(settled))),
            Claim::Known(position) => return Ok(Prepared::Known(transaction, position)),
        }
        if let Some(position) = self.index.find_transaction(transaction.id)?
            && !planted(Bug::SealedIdsNotLookedUp)
        {
            self.directory.transactions.abandon(transaction.id, Ok(()));
            return Ok(Prepared::Known(transaction, position));
        }
        let mut claimed = Claimed::of(terms.caller, &transaction);
        let mut operations = SmallVec::with_capacity(transaction.operations.len());
        let mut refused = None;
        for (index, operation) in (0_u8..).zip(&transaction.operations) {
            match self.resolve(&transaction, operation, &mut claimed)? {
                Pass::Resolved(resolved) => operations.push(resolved),
                Pass::Rejected(code) => {
                    refused = Some(Rejection { code, operation: index });
                    operations.clear();
                    break;
                }
                Pass::Wait(wait) => {
                    self.withdraw(&transaction, &claimed);
                    return Ok(Prepared::Wait(transaction, wait));
                }
                Pass::Managed => {
                    self.withdraw(&transaction, &claimed);
                    return Ok(Prepared::Refused(SubmitError::Managed { operation: index }));
                }
                Pass::Denied(denial) => {
                    self.withdraw(&transaction, &claimed);
                    return Ok(Prepared::Refused(SubmitError::Denied { operation: index, denial }));
                }
            }
        }
        let cells = match self.attach(&transaction, &mut claimed)? {
            Attached::Cells(cells) => cells,
            Attached::Wait(wait) => {
                self.withdraw(&transaction, &claimed);
                return Ok(Prepared::Wait(transaction, wait));
            }
            Attached::Conflict => {
                self.withdraw(&transaction, &claimed);
                return Ok(Prepared::Refused(SubmitError::Conflict));
            }
        };
        let (guards, guarded) = self.guards(&transaction, &operations, &cells, &claimed);
        if self.is_crowded(&guarded, terms) {
            self.withdraw(&transaction, &claimed);
            self.counters.unavailable();
            return Ok(Prepared::Refused(Unavailable::Overloaded("the queue of one of its accounts").into()));
        }
        let completion = Completion {
            id: transaction.id,
            holds: claimed.holds,
            aliases: claimed.aliases,
            accounts: claimed.accounts,
            reply: reply(),
        };
        let command = Command { transaction, operations, cells, refused };
        let deadline = terms.deadline;
        let envelope = Envelope { command, guards, guarded, deadline, completion, reserved: None };
        Ok(Prepared::Ready(Box::new(envelope)))
    }

    /// Whether an account that can refuse the command has too much in flight: then it is this account's surplus, and not
    /// its neighbours in the shard, that is turned away. An account that can refuse nothing (a merchant who is paid) is
    /// no queue, and has no bound.
    fn is_crowded(&self, guarded: &[AccountNo], terms: Terms<'_>) -> bool {
        let lowered = match terms.lane {
            Lane::Checkout | Lane::Recharge if terms.alone => {
                self.state.account_commands.0.load(Ordering::Relaxed)
            }
            Lane::Checkout | Lane::Recharge | Lane::Batch => usize::MAX,
        };
        guarded.iter().any(|&account| {
            let entry = self.directory.entry(account);
            // In a promotion's rush all payers meet at its budget: that is nobody's surplus.
            let lowered = if entry.is_products() { usize::MAX } else { lowered };
            entry.admitted() > self.config.account_commands_max.min(lowered)
        })
    }

    /// Gives back what a transaction that has to wait has claimed.
    fn withdraw(&self, transaction: &Transaction, claimed: &Claimed) {
        for &hold in &claimed.holds {
            self.directory.holds.abandon(hold, Ok(()));
        }
        for &alias in &claimed.aliases {
            self.directory.transactions.abandon(alias, Ok(()));
        }
        for &account in &claimed.accounts {
            self.directory.entry(account).leave();
        }
        self.directory.transactions.abandon(transaction.id, Ok(()));
    }

    /// The accounts that can refuse a command, or whose shard keeps a hold, a reversed total or a cell for it, and their
    /// shards. A command that nobody can refuse goes to its first account's shard, one without accounts to its id's.
    fn guards(
        &self,
        transaction: &Transaction,
        operations: &[ResolvedOperation],
        cells: &[CellWrite<AccountNo>],
        claimed: &Claimed,
    ) -> (ShardSet, SmallVec<[AccountNo; 2]>) {
        let mut guarded: SmallVec<[AccountNo; 2]> = SmallVec::new();
        for write in cells {
            if !guarded.contains(&write.account) {
                guarded.push(write.account);
            }
        }
        for operation in operations {
            let (debit, credit) = operation.accounts();
            let (debit_guards, credit_guards) = match operation {
                ResolvedOperation::Transfer { .. } => {
                    (self.flags(debit).guards_debits, self.flags(credit).guards_credits)
                }
                ResolvedOperation::Hold { .. } => (true, self.flags(credit).guards_credits),
                ResolvedOperation::Capture { .. } | ResolvedOperation::Release { .. } => (true, false),
                ResolvedOperation::Reverse { .. } => (self.flags(debit).guards_debits, true),
            };
            if debit_guards && !guarded.contains(&debit) {
                guarded.push(debit);
            }
            if credit_guards && !guarded.contains(&credit) {
                guarded.push(credit);
            }
        }
        let mut shards = ShardSet::default();
        for &account in &guarded {
            shards.insert(self.directory.shard_of(account));
        }
        if guarded.is_empty() {
            let by_id =
                u16::try_from(transaction.id.0 % u128::from(self.directory.shards())).unwrap_or_default();
            let first = claimed.accounts.first();
            shards.insert(first.map_or(ShardNo(by_id), |&account| self.directory.shard_of(account)));
        }
        (shards, guarded)
    }

    /// Claims the aliases of an attachment, and finds the accounts of its cells.
    fn attach(&self, transaction: &Transaction, claimed: &mut Claimed) -> Result<Attached, IndexError> {
        let Some(attachment) = transaction.attachment.as_deref() else {
            return Ok(Attached::Cells(Vec::new()));
        };
        let Attachment { aliases, cells, .. } = attachment;
        for &alias in aliases {
            match self.directory.transactions.claim(alias) {
                Claim::Claimed => claimed.aliases.push(alias),
                Claim::InFlight(settled) => return Ok(Attached::Wait(Wait::Settled(settled))),
                Claim::Known(_) => return Ok(Attached::Conflict),
            }
            if self.index.find_transaction(alias)?.is_some() && !planted(Bug::SealedAliasesNotLookedUp) {
                return Ok(Attached::Conflict);
            }
        }
        let mut resolved = Vec::with_capacity(cells.len());
        for CellWrite { account, kind, revision, value } in cells {
            let Some(account) = self.directory.find(account.as_str()) else { return Ok(Attached::Conflict) };
            if !claimed.accounts.contains(&account) {
                if !self.directory.entry(account).admit() {
                    return Ok(Attached::Wait(Wait::Change(account)));
                }
                claimed.accounts.push(account);
            }
            let (kind, revision, value) = (*kind, *revision, value.clone());
            resolved.push(CellWrite { account, kind, revision, value });
        }
        Ok(Attached::Cells(resolved))
    }

    fn flags(&self, account: AccountNo) -> crate::directory::Flags {
        self.directory.entry(account).flags()
    }

    /// The request behind a posted transaction's record.
    pub(crate) fn request(&self, posted: &PostedTransaction) -> Transaction {
        let name = |no: AccountNo| self.directory.entry(no).opening.address.clone();
        let scale = |no: AccountNo| self.assets.get(self.directory.entry(no).asset).scale;
        let operations = posted.operations.iter().map(|operation| {
            let kind = match operation.kind {
                PostedKind::Transfer { debit, credit, amount } => OperationKind::Transfer {
                    debit: name(debit),
                    credit: name(credit),
                    amount: RequestedAmount::from_units(amount, scale(debit)),
                },
                PostedKind::Hold { id, debit, credit, amount, expires_in } => OperationKind::Hold {
                    id,
                    debit: name(debit),
                    credit: name(credit),
                    amount: RequestedAmount::from_units(amount, scale(debit)),
                    expires_in,
                },
                PostedKind::Capture { hold, debit, amount, explicit, .. } => OperationKind::Capture {
                    hold,
                    amount: explicit.then(|| RequestedAmount::from_units(amount, scale(debit))),
                },
                PostedKind::Release { hold, .. } => OperationKind::Release { hold },
                PostedKind::Reverse { transaction, operation, debit, amount, explicit, .. } => {
                    OperationKind::Reverse {
                        transaction,
                        operation,
                        amount: explicit.then(|| RequestedAmount::from_units(amount, scale(debit))),
                    }
                }
            };
            Operation { kind, code: operation.code.clone() }
        });
        Transaction {
            id: posted.id,
            operations: operations.collect(),
            code: posted.code.clone(),
            reference: posted.reference.clone(),
            metadata: posted.metadata.clone(),
            attachment: posted.attachment.as_deref().map(|attachment| {
                let Attachment { document, aliases, .. } = attachment.clone();
                Box::new(Attachment { document, aliases, cells: Vec::new() })
            }),
        }
    }

    /// The record at a position that is indexed.
    ///
    /// # Panics
    /// There is none: the index is not what the directory says.
    pub(crate) fn record(&self, position: Position) -> Result<(Timestamp, Record), IndexError> {
        Ok(self.index.record(position)?.expect("an indexed position has a record"))
    }
}

/// Whether an account's status lets it take part in something new.
fn takes_part(status: AccountStatus) -> Result<(), crate::model::RejectionCode> {
    match status {
        AccountStatus::Active => Ok(()),
        AccountStatus::Frozen => Err(crate::model::RejectionCode::AccountFrozen),
        AccountStatus::Closed => Err(crate::model::RejectionCode::AccountClosed),
    }
}

//! What the front threads share: address → account, id → in flight or known, and the published balances.
//!
//! Owns no money: balances here are copies, written by the owning shard after the journal's sync. Never waits; who
//! must wait gets a receiver. Invariant: an account is found here only after its opening is on disk, and an id that is
//! neither here nor in the index has never taken effect.

mod account;
mod claims;
mod groups;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crossbeam_skiplist::SkipMap;
use dashmap::{DashMap, Entry};
use tokio::sync::oneshot;

pub(crate) use account::{AccountEntry, Flags, PublishedBalance, PublishedRules};
pub(crate) use claims::{Claim, Claims, Found};
use groups::Groups;

use crate::{
    config::Config,
    model::{AccountNo, AccountOpening, Address, AssetNo, HoldId, Position, Timestamp, TransactionId},
    shard::ShardNo,
    view::Unavailable,
};

/// Told when what was waited for is settled: `Err` if it was not admitted.
pub(crate) type Settled = oneshot::Receiver<Result<(), Unavailable>>;
type Waiters = Vec<oneshot::Sender<Result<(), Unavailable>>>;

enum AddressState {
    /// The opening is on its way to disk.
    Opening(Waiters),
    Open(AccountNo),
}

/// What [`Directory::claim_address`] found.
pub(crate) enum AddressClaim {
    /// The caller opens the account.
    Claimed,
    /// Somebody else's opening is in flight.
    InFlight(Settled),
    /// It is open.
    Open(AccountNo),
    /// Its first part would be one too many.
    GroupsFull,
}

/// Where a live or not yet sealed hold lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoldPlace {
    pub(crate) debit: AccountNo,
    pub(crate) credit: AccountNo,
}

pub(crate) struct Directory {
    addresses: DashMap<Address, AddressState, foldhash::fast::RandomState>,
    ordered: SkipMap<Address, AccountNo>,
    /// By account number. `None` where a number was given out before a restart and its opening never reached the disk.
    accounts: boxcar::Vec<Option<AccountEntry>>,
    groups: Groups,
    pub(crate) transactions: Claims<TransactionId, Position>,
    pub(crate) holds: Claims<HoldId, HoldPlace>,
    /// By shard: the last group that it was told of, and the last one that it shows.
    progress: Box<[(AtomicU64, AtomicU64)]>,
    shards: u16,
}

impl Directory {
    pub(crate) fn new(shards: u16) -> Self {
        Self {
            addresses: DashMap::default(),
            ordered: SkipMap::new(),
            accounts: boxcar::Vec::new(),
            groups: Groups::default(),
            transactions: Claims::default(),
            holds: Claims::default(),
            progress: (0..shards).map(|_| Default::default()).collect(),
            shards,
        }
    }

    pub(crate) fn shards(&self) -> u16 {
        self.shards
    }

    /// What is left over although nothing is in flight: `None` if all is well.
    #[cfg(feature = "simulation")]
    pub(crate) fn leftover(&self) -> Option<String> {
        let opening = |row: dashmap::mapref::multiple::RefMulti<'_, Address, AddressState>| {
            matches!(row.value(), AddressState::Opening(_)).then(|| format!("{} is opening", row.key()))
        };
        let entries = self.accounts.iter().filter_map(|(no, entry)| entry.as_ref().map(|entry| (no, entry)));
        let busy = |(no, entry): (usize, &AccountEntry)| {
            let marked = entry.is_marked() || !entry.is_quiet();
            let unopened = entry.opened_at().0 == Position::ZERO;
            (marked || unopened)
                .then(|| format!("account {no} is marked or entered, or has a number in vain"))
        };
        let claims = (self.transactions.in_flight(), self.holds.in_flight());
        let claimed = || (claims != (0, 0)).then(|| format!("ids in flight: {claims:?}"));
        self.addresses
            .iter()
            .find_map(opening)
            .or_else(|| entries.into_iter().find_map(busy))
            .or_else(claimed)
    }

    /// The shard is about to be told of a group that ends at `position`.
    pub(crate) fn notified(&self, shard: ShardNo, position: Position) {
        if let Some((notified, _)) = self.progress.get(shard.index()) {
            notified.fetch_max(position.0, Ordering::SeqCst);
        }
    }

    /// The shard shows all that it was told of up to `position`.
    pub(crate) fn showed(&self, shard: ShardNo, position: Position) {
        if let Some((_, shown)) = self.progress.get(shard.index()) {
            shown.fetch_max(position.0, Ordering::SeqCst);
        }
    }

    /// Whether all shards show all records up to `position`, of which each of them has been told.
    pub(crate) fn shows(&self, position: Position) -> bool {
        self.progress.iter().all(|(notified, shown)| {
            let shown = shown.load(Ordering::SeqCst);
            shown >= position.0 || shown >= notified.load(Ordering::SeqCst)
        })
    }

    /// The number of an open account.
    pub(crate) fn find(&self, address: &str) -> Option<AccountNo> {
        match self.addresses.get(address)?.value() {
            AddressState::Open(no) => Some(*no),
            AddressState::Opening(_) => None,
        }
    }

    /// The entry behind a number that this directory gave out.
    ///
    /// # Panics
    /// On a number of which no account was opened: a broken invariant.
    pub(crate) fn entry(&self, no: AccountNo) -> &AccountEntry {
        self.accounts
            .get(no.index())
            .and_then(Option::as_ref)
            .expect("an account number comes from this directory")
    }

    pub(crate) fn shard_of(&self, no: AccountNo) -> ShardNo {
        self.entry(no).shard
    }

    /// Open accounts whose address starts with `prefix` and follows `after`, in order of address.
    pub(crate) fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = AccountNo> + use<'a> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = match after {
            Some(after) if after >= prefix => Excluded(after),
            Some(_) | None => Included(prefix),
        };
        self.ordered
            .range::<str, _>((start, Unbounded))
            .take_while(move |row| row.key().as_str().starts_with(prefix))
            .map(|row| *row.value())
    }

    pub(crate) fn count(&self) -> usize {
        self.ordered.len()
    }

    /// Claims an address for an opening, if its first part is one of at most `groups_max`.
    pub(crate) fn claim_address(&self, address: &Address, groups_max: usize) -> AddressClaim {
        match self.addresses.entry(address.clone()) {
            Entry::Occupied(mut occupied) => match occupied.get_mut() {
                AddressState::Open(no) => AddressClaim::Open(*no),
                AddressState::Opening(waiters) => {
                    let (sender, settled) = oneshot::channel();
                    waiters.push(sender);
                    AddressClaim::InFlight(settled)
                }
            },
            Entry::Vacant(vacant) => {
                if !self.groups.enter(address, groups_max) {
                    return AddressClaim::GroupsFull;
                }
                vacant.insert(AddressState::Opening(Vec::new()));
                AddressClaim::Claimed
            }
        }
    }

    /// Gives the account of a claimed address its number; `None` if there are too many. Only the owning shard calls
    /// this.
    pub(crate) fn add_account(&self, opening: &Arc<AccountOpening>, asset: AssetNo) -> Option<AccountNo> {
        // Each shard may be at this at once.
        let room = Config::ACCOUNTS_MAX - u32::from(Config::SHARDS_MAX);
        u32::try_from(self.accounts.count()).ok().filter(|&count| count < room)?;
        let shard = ShardNo(opening.address.shard(self.shards));
        let index = self.accounts.push(Some(AccountEntry::new(Arc::clone(opening), asset, shard)));
        u32::try_from(index).ok().map(AccountNo)
    }

    /// The opening is on disk: the account can be found from now on.
    pub(crate) fn open(&self, no: AccountNo, position: Position, at: Timestamp) {
        let entry = self.entry(no);
        entry.opened(position, at);
        let address = entry.opening.address.clone();
        self.ordered.insert(address.clone(), no);
        if let Some(AddressState::Opening(waiters)) = self.addresses.insert(address, AddressState::Open(no)) {
            wake(waiters, Ok(()));
        }
    }

    /// The opening was not admitted.
    pub(crate) fn abandon_opening(&self, address: &Address, why: Unavailable) {
        let opening = |_: &Address, state: &AddressState| matches!(state, AddressState::Opening(_));
        if let Some((_, AddressState::Opening(waiters))) = self.addresses.remove_if(address, opening) {
            self.groups.leave(address);
            wake(waiters, Err(why));
        }
    }

    /// Takes an account from the index's checkpoint or the journal, at a start.
    pub(crate) fn recover(&self, no: AccountNo, opening: Arc<AccountOpening>, asset: AssetNo) {
        while self.accounts.count() < no.index() {
            self.accounts.push(None);
        }
        let shard = ShardNo(opening.address.shard(self.shards));
        self.groups.enter(&opening.address, usize::MAX);
        self.addresses.insert(opening.address.clone(), AddressState::Open(no));
        self.ordered.insert(opening.address.clone(), no);
        let index = self.accounts.push(Some(AccountEntry::new(opening, asset, shard)));
        assert_eq!(index, no.index(), "accounts are recovered in the order of their numbers");
    }
}

fn wake(waiters: Waiters, with: Result<(), Unavailable>) {
    for waiter in waiters {
        // A waiter that went away needs no answer.
        let _ = waiter.send(with);
    }
}

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use crate::model::{AccountNo, Amount, HoldEnd, HoldId, Timestamp};
use compact_str::CompactString;

/// Money that is set aside on both accounts, or was until recently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The account that a capture debits; its ledger owns the hold.
    pub debit: AccountNo,
    /// The account that a capture credits.
    pub credit: AccountNo,
    /// What was set aside when it was placed.
    pub held: Amount,
    /// What a capture moved; zero until then.
    pub captured: Amount,
    /// When it was placed: its limits were taken in this instant's windows.
    pub placed_at: Timestamp,
    /// From this instant on it can only expire.
    pub expires_at: Timestamp,
    /// The operation's code or the transaction's, for limits.
    pub code: Option<CompactString>,
    /// How it ended; `None` while it lives.
    pub ended: Option<HoldEnd>,
}

/// Live holds in order of expiry, and ended ones until the index has sealed their ends.
///
/// Ordered maps, since ids are the clients' choice (a fixed hash could be made to collide), iteration has to be the
/// same in each run, and a table of millions must not stop its shard while it grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds {
    all: BTreeMap<HoldId, Hold>,
    live: BTreeSet<(Timestamp, HoldId)>,
}

impl Holds {
    pub(super) fn get(&self, id: HoldId) -> Option<&Hold> {
        self.all.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (HoldId, &Hold)> {
        self.all.iter().map(|(&id, hold)| (id, hold))
    }

    pub(super) fn expiries(&self) -> impl Iterator<Item = (Timestamp, HoldId)> {
        self.live.iter().copied()
    }

    /// # Panics
    /// The id is taken: the ledger is broken.
    pub(super) fn insert(&mut self, id: HoldId, hold: Hold) {
        if hold.ended.is_none() {
            self.live.insert((hold.expires_at, id));
        }
        match self.all.entry(id) {
            Entry::Vacant(place) => place.insert(hold),
            Entry::Occupied(_) => panic!("hold {id} is placed twice"),
        };
    }

    /// Ends a live hold and gives it.
    ///
    /// # Panics
    /// There is no such live hold, or it held another amount: the ledger is broken.
    pub(super) fn end(&mut self, id: HoldId, end: HoldEnd, held: Amount, captured: Amount) -> &Hold {
        let hold = self.all.get_mut(&id).expect("a hold ends in the ledger that owns it");
        assert!(self.live.remove(&(hold.expires_at, id)), "hold {id} ends twice");
        assert_eq!(hold.held, held, "hold {id} ends with another amount than it was placed with");
        assert!(captured <= held, "hold {id} is captured beyond its amount");
        hold.ended = Some(end);
        hold.captured = captured;
        hold
    }

    /// # Panics
    /// The hold lives: the ledger is broken.
    pub(super) fn forget(&mut self, id: HoldId) {
        if let Some(hold) = self.all.remove(&id) {
            assert!(hold.ended.is_some(), "hold {id} is forgotten while it lives");
        }
    }
}

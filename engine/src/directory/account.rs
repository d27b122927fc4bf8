use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam::atomic::AtomicCell;
use tokio::sync::Notify;

use crate::{
    ledger::{Account, Delta, LimitState},
    model::{
        AccountNo, AccountOpening, AccountStatus, AssetNo, Cell, CellKind, CellWrite, Floor, NormalSide,
        Position, Timestamp,
    },
    shard::ShardNo,
};

/// What the front threads know of an account, and its published balance.
pub(crate) struct AccountEntry {
    pub(crate) opening: Arc<AccountOpening>,
    pub(crate) asset: AssetNo,
    pub(crate) shard: ShardNo,
    opened: AtomicCell<(Position, Timestamp)>,
    balance: AtomicCell<PublishedBalance>,
    rules: ArcSwap<PublishedRules>,
    /// Few, so that a list does; none for nearly all accounts.
    cells: ArcSwapOption<Vec<(CellKind, Cell)>>,
    flags: AtomicU8,
    /// A change is waiting for `admitted` to fall to zero; new commands wait for the change.
    marked: AtomicBool,
    /// Commands in flight that name this account.
    admitted: AtomicU32,
    /// Told when a marked account has nothing in flight, and when a mark ends.
    quiet: Notify,
}

/// A balance that is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublishedBalance {
    pub(crate) net: i128,
    pub(crate) held_debits: i128,
    pub(crate) held_credits: i128,
    /// The account's last change.
    pub(crate) position: Position,
}

/// Rules that are on disk, with what is used of the limits.
#[derive(Clone, Debug)]
pub(crate) struct PublishedRules {
    pub(crate) position: Position,
    pub(crate) status: AccountStatus,
    pub(crate) floor: Floor,
    pub(crate) ceiling: Option<i128>,
    pub(crate) limits: Vec<LimitState>,
}

/// What the front needs to route a command: which legs the account can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) status: AccountStatus,
    /// It can refuse a debit (floor of a credit-normal account, ceiling of a debit-normal one, a limit).
    pub(crate) guards_debits: bool,
    /// It can refuse a credit.
    pub(crate) guards_credits: bool,
}

impl Flags {
    fn of(normal: NormalSide, rules: &PublishedRules) -> Self {
        let (floor, ceiling) = (rules.floor.is_some(), rules.ceiling.is_some());
        let limited = !rules.limits.is_empty();
        let (guards_debits, guards_credits) = match normal {
            NormalSide::Credit => (floor || limited, ceiling),
            NormalSide::Debit => (ceiling || limited, floor),
        };
        Self { status: rules.status, guards_debits, guards_credits }
    }

    fn to_bits(self) -> u8 {
        let status = match self.status {
            AccountStatus::Active => 0,
            AccountStatus::Frozen => 1,
            AccountStatus::Closed => 2,
        };
        status | u8::from(self.guards_debits) << 2 | u8::from(self.guards_credits) << 3
    }

    fn from_bits(bits: u8) -> Self {
        let status = match bits & 3 {
            0 => AccountStatus::Active,
            1 => AccountStatus::Frozen,
            _ => AccountStatus::Closed,
        };
        Self { status, guards_debits: bits & 4 != 0, guards_credits: bits & 8 != 0 }
    }
}

impl AccountEntry {
    /// Whether it is a product's own, such as a promotion's budget, and no payer's: those have limits or a ceiling.
    pub(crate) fn is_products(&self) -> bool {
        let AccountOpening { managed, limits, ceiling, .. } = &*self.opening;
        *managed && limits.is_empty() && ceiling.is_none()
    }

    pub(crate) fn new(opening: Arc<AccountOpening>, asset: AssetNo, shard: ShardNo) -> Self {
        let rules = PublishedRules {
            position: Position::ZERO,
            status: AccountStatus::Active,
            floor: opening.floor,
            ceiling: opening.ceiling,
            limits: opening.limits.iter().cloned().map(LimitState::of_opening).collect(),
        };
        Self {
            flags: AtomicU8::new(Flags::of(opening.normal, &rules).to_bits()),
            rules: ArcSwap::from_pointee(rules),
            opening,
            asset,
            shard,
            opened: AtomicCell::default(),
            balance: AtomicCell::default(),
            cells: ArcSwapOption::empty(),
            marked: AtomicBool::new(false),
            admitted: AtomicU32::new(0),
            quiet: Notify::new(),
        }
    }

    pub(crate) fn opened(&self, position: Position, at: Timestamp) {
        self.opened.store((position, at));
        self.balance.store(PublishedBalance { position, ..self.balance.load() });
    }

    pub(crate) fn opened_at(&self) -> (Position, Timestamp) {
        self.opened.load()
    }

    pub(crate) fn flags(&self) -> Flags {
        Flags::from_bits(self.flags.load(Ordering::Acquire))
    }

    /// Adds a synced change. Only the owning shard calls this.
    pub(crate) fn publish(&self, delta: Delta, position: Position) {
        let before = self.balance.load();
        self.balance.store(PublishedBalance {
            net: before.net + delta.net,
            held_debits: before.held_debits + delta.held_debits,
            held_credits: before.held_credits + delta.held_credits,
            position: before.position.max(position),
        });
    }

    /// Replaces the rules. Called before the balance of the same record is published; see [`AccountEntry::read`].
    pub(crate) fn publish_rules(&self, rules: PublishedRules) {
        self.flags.store(Flags::of(self.opening.normal, &rules).to_bits(), Ordering::Release);
        self.rules.store(Arc::new(rules));
    }

    /// Replaces what is used of the limits, unless what is there is newer.
    pub(crate) fn publish_limits(&self, limits: &[LimitState], position: Position) {
        let before = self.rules.load();
        if position < before.position {
            return;
        }
        self.rules.store(Arc::new(PublishedRules {
            position,
            limits: limits.to_vec(),
            ..PublishedRules::clone(&before)
        }));
    }

    /// A cell that is on disk.
    pub(crate) fn cell(&self, kind: CellKind) -> Option<Cell> {
        let cells = self.cells.load();
        cells.iter().flat_map(|cells| cells.iter()).find(|(of, _)| *of == kind).map(|(_, cell)| cell.clone())
    }

    /// All cells that are on disk, by kind.
    #[cfg(feature = "simulation")]
    pub(crate) fn cells(&self) -> Vec<(CellKind, Cell)> {
        let mut cells = self.cells.load().as_deref().cloned().unwrap_or_default();
        cells.sort_by_key(|(kind, _)| *kind);
        cells
    }

    /// Replaces a cell, unless what is there is newer: effects may come out of the order of their positions. Only the
    /// owning shard calls this.
    pub(crate) fn publish_cell(&self, write: &CellWrite<AccountNo>) {
        if self.cell(write.kind).is_none_or(|before| before.revision < write.revision) {
            self.set_cell(write.kind, Cell { revision: write.revision, value: write.value.as_ref().into() });
        }
    }

    /// Sets a cell.
    pub(crate) fn set_cell(&self, kind: CellKind, cell: Cell) {
        let mut cells = self.cells.load().as_deref().cloned().unwrap_or_default();
        match cells.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, old)) => *old = cell,
            None => cells.push((kind, cell)),
        }
        self.cells.store(Some(Arc::new(cells)));
    }

    /// Sets everything from a recovered account.
    pub(crate) fn recover(&self, account: &Account, opened: (Position, Timestamp), changed: Position) {
        self.opened.store(opened);
        self.publish_rules(PublishedRules {
            position: changed,
            status: account.status(),
            floor: account.floor(),
            ceiling: account.ceiling(),
            limits: account.limits().to_vec(),
        });
        self.balance.store(PublishedBalance {
            net: account.net(),
            held_debits: i128::try_from(account.held_debits()).unwrap_or(i128::MAX),
            held_credits: i128::try_from(account.held_credits()).unwrap_or(i128::MAX),
            position: changed,
        });
    }

    /// Balance and rules of one moment.
    pub(crate) fn read(&self) -> (PublishedBalance, Arc<PublishedRules>) {
        loop {
            let balance = self.balance.load();
            let rules = self.rules.load_full();
            if rules.position <= balance.position && self.balance.load().position == balance.position {
                return (balance, rules);
            }
            std::hint::spin_loop();
        }
    }

    /// Counts a command in; `false` if a change is waiting, and then nothing is counted.
    pub(crate) fn admit(&self) -> bool {
        self.admitted.fetch_add(1, Ordering::SeqCst);
        if self.marked.load(Ordering::SeqCst) {
            self.leave();
            return false;
        }
        true
    }

    /// Counts a command out.
    pub(crate) fn leave(&self) {
        let before = self.admitted.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "a command leaves an account that it never entered");
        if before == 1 && self.marked.load(Ordering::SeqCst) {
            self.quiet.notify_waiters();
        }
    }

    /// Marks the account for a change; `false` if it is marked already.
    pub(crate) fn mark(&self) -> bool {
        !self.marked.swap(true, Ordering::SeqCst)
    }

    /// Ends a mark and wakes who waits.
    pub(crate) fn unmark(&self) {
        self.marked.store(false, Ordering::SeqCst);
        self.quiet.notify_waiters();
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.marked.load(Ordering::SeqCst)
    }

    /// Waits until nothing marks the account.
    pub(crate) async fn unmarked(&self) {
        loop {
            let quiet = self.quiet.notified();
            if !self.is_marked() {
                return;
            }
            quiet.await;
        }
    }

    /// Waits until no command in flight names the account, which is marked.
    pub(crate) async fn has_left(&self) {
        loop {
            let quiet = self.quiet.notified();
            if self.is_quiet() {
                return;
            }
            quiet.await;
        }
    }

    /// Commands in flight that name the account.
    pub(crate) fn admitted(&self) -> usize {
        usize::try_from(self.admitted.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.admitted.load(Ordering::SeqCst) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Address, Limit, LimitWindow, Metadata};

    /// What several shards decided of an account can be told in another order than that of its positions.
    #[test]
    fn the_newest_limits_stay_published() {
        let limit = |count| Limit { window: LimitWindow::Day, code: None, amount: None, count: Some(count) };
        let state = |count| vec![LimitState::of_opening(limit(count))];
        let opening = AccountOpening {
            address: Address::parse("customers:1").unwrap(),
            asset: "CNY".into(),
            normal: NormalSide::Credit,
            floor: Some(0),
            ceiling: None,
            limits: vec![limit(1)],
            metadata: Metadata::default(),
            managed: false,
        };
        let entry = AccountEntry::new(Arc::new(opening), AssetNo(0), ShardNo(0));
        let check = |expected: u32| {
            let (balance, rules) = entry.read();
            let counts: Vec<_> = rules.limits.iter().map(|state| state.limit.count).collect();
            assert_eq!(counts, [Some(expected)]);
            assert!(rules.position <= balance.position, "limits never run ahead of their balance");
        };
        // As a shard shows a record: first the limits, then the balance.
        let show = |count: u32, position: Position| {
            entry.publish_limits(&state(count), position);
            entry.publish(Delta::default(), position);
        };
        check(1);
        show(2, Position(5));
        check(2);
        show(3, Position(4));
        check(2);
        let rules = PublishedRules {
            position: Position(9),
            limits: state(4),
            ..PublishedRules::clone(&entry.read().1)
        };
        entry.publish_rules(rules);
        entry.publish(Delta::default(), Position(9));
        show(5, Position(8));
        check(4);
        show(6, Position(10));
        check(6);
    }
}

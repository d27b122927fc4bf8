use super::{Delta, LimitState};
use crate::model::{
    AccountChange, AccountOpening, AccountStatus, Floor, Limit, NormalSide, Patch, Timestamp,
};
use compact_str::CompactString;

/// One account's hot state: one cache line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub struct Account {
    balance: Balance,
    guards: Option<Box<Guards>>,
    normal: NormalSide,
    status: AccountStatus,
}

const _: () = assert!(size_of::<Account>() == 64);

/// What an account can refuse with. An account without guards has floor 0, no ceiling and no limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guards {
    /// Least `available`.
    pub floor: Floor,
    /// Most posted with what holds will add to it, in the account's normal sense.
    pub ceiling: Option<i128>,
    /// Caps on debits, with what is used of them.
    pub limits: Vec<LimitState>,
}

/// Why an account can't be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefusal {
    /// The account is closed, for ever.
    #[error("the account is closed")]
    Closed,
    /// The balance already breaks the new floor.
    #[error("the balance is already below the floor")]
    InsufficientFunds,
    /// The balance already breaks the new ceiling.
    #[error("the balance is already above the ceiling")]
    CeilingExceeded,
    /// Closing asks for balance zero and no holds on either side.
    #[error("the account has a balance or holds")]
    NotEmpty,
}

/// Sums of an account, free of its normal side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    /// Credits less debits.
    pub(super) net: i128,
    /// What live holds will debit at most.
    pub(super) held_debits: u128,
    /// What live holds will credit at most.
    pub(super) held_credits: u128,
}

impl Balance {
    /// The sums after `delta`, or `None` if one leaves its range.
    pub(super) fn checked_add(self, delta: Delta) -> Option<Self> {
        Some(Self {
            net: self.net.checked_add(delta.net)?,
            held_debits: self.held_debits.checked_add_signed(delta.held_debits)?,
            held_credits: self.held_credits.checked_add_signed(delta.held_credits)?,
        })
    }

    /// Posted in the normal sense; `None` outside `i128`.
    pub(super) fn posted(self, normal: NormalSide) -> Option<i128> {
        match normal {
            NormalSide::Credit => Some(self.net),
            NormalSide::Debit => self.net.checked_neg(),
        }
    }

    /// Posted less the holds that will decrease it; `None` outside `i128`.
    pub(super) fn available(self, normal: NormalSide) -> Option<i128> {
        let held = match normal {
            NormalSide::Credit => self.held_debits,
            NormalSide::Debit => self.held_credits,
        };
        self.posted(normal)?.checked_sub(i128::try_from(held).ok()?)
    }

    /// Posted with the holds that will increase it: what a ceiling guards; `None` outside `i128`.
    pub(super) fn filled(self, normal: NormalSide) -> Option<i128> {
        let held = match normal {
            NormalSide::Credit => self.held_credits,
            NormalSide::Debit => self.held_debits,
        };
        self.posted(normal)?.checked_add(i128::try_from(held).ok()?)
    }
}

impl Default for Guards {
    /// Those of an account that has none.
    fn default() -> Self {
        Self { floor: Self::FLOOR_DEFAULT, ceiling: None, limits: Vec::new() }
    }
}

impl Guards {
    /// The floor of an account without guards.
    pub const FLOOR_DEFAULT: Floor = Some(0);

    /// Boxed, or `None` if nothing differs from an account without guards: each state has one form.
    fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Account {
    /// An account without history.
    #[must_use]
    pub fn new(opening: &AccountOpening) -> Self {
        let limits = opening.limits.iter().cloned().map(LimitState::of_opening).collect();
        let guards = Guards { floor: opening.floor, ceiling: opening.ceiling, limits };
        Self {
            balance: Balance::default(),
            guards: guards.boxed(),
            normal: opening.normal,
            status: AccountStatus::Active,
        }
    }

    /// An account as a checkpoint has it; the parts are those that the accessors of the same names give.
    #[must_use]
    pub fn from_parts(
        net: i128,
        held_debits: u128,
        held_credits: u128,
        normal: NormalSide,
        status: AccountStatus,
        guards: Guards,
    ) -> Self {
        Self { balance: Balance { net, held_debits, held_credits }, guards: guards.boxed(), normal, status }
    }

    /// Posted credits less debits.
    #[must_use]
    pub fn net(&self) -> i128 {
        self.balance.net
    }

    /// What live holds will debit at most.
    #[must_use]
    pub fn held_debits(&self) -> u128 {
        self.balance.held_debits
    }

    /// What live holds will credit at most.
    #[must_use]
    pub fn held_credits(&self) -> u128 {
        self.balance.held_credits
    }

    /// The side on which the balance grows.
    #[must_use]
    pub fn normal(&self) -> NormalSide {
        self.normal
    }

    /// Whether it takes part in new operations.
    #[must_use]
    pub fn status(&self) -> AccountStatus {
        self.status
    }

    /// The guards, if there are others than floor 0.
    #[must_use]
    pub fn guards(&self) -> Option<&Guards> {
        self.guards.as_deref()
    }

    /// Posted in its normal sense, in minor units.
    #[must_use]
    pub fn posted(&self) -> i128 {
        self.balance.posted(self.normal).expect("posted is kept within i128")
    }

    /// What live holds will take off `posted` at most.
    #[must_use]
    pub fn held(&self) -> i128 {
        self.posted() - self.available()
    }

    /// Posted less held: what may not go below the floor.
    #[must_use]
    pub fn available(&self) -> i128 {
        self.balance.available(self.normal).expect("available is kept within i128")
    }

    /// Least `available`; `None` is unlimited.
    #[must_use]
    pub fn floor(&self) -> Floor {
        self.guards.as_ref().map_or(Guards::FLOOR_DEFAULT, |guards| guards.floor)
    }

    /// Most posted with what holds will add; `None` is unlimited.
    #[must_use]
    pub fn ceiling(&self) -> Option<i128> {
        self.guards.as_ref().and_then(|guards| guards.ceiling)
    }

    /// Caps on debits, with what is used of them.
    #[must_use]
    pub fn limits(&self) -> &[LimitState] {
        self.guards.as_ref().map_or(&[], |guards| &guards.limits)
    }

    /// Whether the account can refuse a debit (a transfer's, a hold's or a reversal's): such a leg is guarded.
    #[must_use]
    pub fn guards_debits(&self) -> bool {
        !self.limits().is_empty()
            || match self.normal {
                NormalSide::Credit => self.floor().is_some(),
                NormalSide::Debit => self.ceiling().is_some(),
            }
    }

    /// Whether the account can refuse a credit: such a leg is guarded.
    #[must_use]
    pub fn guards_credits(&self) -> bool {
        match self.normal {
            NormalSide::Credit => self.ceiling().is_some(),
            NormalSide::Debit => self.floor().is_some(),
        }
    }

    pub(super) fn balance(&self) -> Balance {
        self.balance
    }

    /// Adds what was decided.
    ///
    /// # Panics
    /// A sum leaves its range or more is released than is held: the ledger is broken.
    pub(super) fn add(&mut self, delta: Delta) {
        self.balance =
            self.balance.checked_add(delta).expect("a decided effect keeps every sum within its range");
    }

    /// Counts a debit on the limits.
    pub(super) fn take_limits(&mut self, code: Option<&CompactString>, amount: u64, now: Timestamp) {
        for limit in self.limits_mut() {
            limit.take(code, amount, now).expect("a decided debit keeps what is used within its range");
        }
    }

    pub(super) fn limits_mut(&mut self) -> &mut [LimitState] {
        self.guards.as_mut().map_or(&mut [], |guards| &mut guards.limits)
    }

    /// Makes a decided change.
    pub(super) fn change(&mut self, change: &AccountChange, now: Timestamp) {
        let mut guards = self.guards.take().map_or_else(Guards::default, |guards| *guards);
        if let Patch::Set(floor) = change.floor {
            guards.floor = floor;
        }
        if let Patch::Set(ceiling) = change.ceiling {
            guards.ceiling = ceiling;
        }
        if let Patch::Set(limits) = &change.limits {
            guards.limits = limits.iter().map(|limit| replaced(&guards.limits, limit, now)).collect();
        }
        if let Patch::Set(status) = change.status {
            self.status = status;
        }
        self.guards = guards.boxed();
    }
}

/// A limit that counts the same debits as one of `before` keeps what is used of that one.
fn replaced(before: &[LimitState], limit: &Limit, now: Timestamp) -> LimitState {
    let same =
        before.iter().find(|state| state.limit.window == limit.window && state.limit.code == limit.code);
    match same {
        Some(state) => LimitState { limit: limit.clone(), ..*state },
        None => LimitState::of_change(limit.clone(), now),
    }
}

/// Whether an account may be changed so. Rules in order: a closed account, the floor, the ceiling, closing.
///
/// # Errors
/// The first rule that the change breaks.
pub fn decide_change(account: &Account, change: &AccountChange) -> Result<(), ChangeRefusal> {
    if account.status == AccountStatus::Closed {
        return Err(ChangeRefusal::Closed);
    }
    let Balance { net, held_debits, held_credits } = account.balance;
    if let Patch::Set(Some(floor)) = change.floor
        && account.available() < floor
    {
        return Err(ChangeRefusal::InsufficientFunds);
    }
    if let Patch::Set(Some(ceiling)) = change.ceiling
        && account.balance.filled(account.normal).is_none_or(|filled| filled > ceiling)
    {
        return Err(ChangeRefusal::CeilingExceeded);
    }
    if change.status == Patch::Set(AccountStatus::Closed)
        && (net != 0 || held_debits != 0 || held_credits != 0)
    {
        return Err(ChangeRefusal::NotEmpty);
    }
    Ok(())
}

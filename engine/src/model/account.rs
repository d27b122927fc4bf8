use compact_str::CompactString;

use super::{Address, Metadata};

/// An account's dense number: its index in every array of the engine, given in order of opening, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNo(pub u32);

impl AccountNo {
    /// As an index into an array.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The side on which an account's balance grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormalSide {
    /// Liabilities and income, such as customers' money.
    Credit,
    /// Assets and expenses, such as a channel's receivable.
    Debit,
}

/// Whether an account takes part in new operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountStatus {
    /// Takes part.
    Active,
    /// Refuses new transfers, holds and reversals; captures, releases and expiry go on.
    Frozen,
    /// Refuses everything, for ever.
    Closed,
}

/// The least `available` of an account in minor units; `None` is unlimited, negative an overdraft.
pub type Floor = Option<i128>;

/// The span over which a spending limit counts, in Asia/Shanghai.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitWindow {
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
    /// The account's life.
    Lifetime,
}

/// A cap on an account's debits within a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The span over which it counts.
    pub window: LimitWindow,
    /// Counts only operations with this code; `None` counts all.
    pub code: Option<CompactString>,
    /// Most minor units in a window.
    pub amount: Option<u64>,
    /// Most operations in a window.
    pub count: Option<u32>,
}

impl Limit {
    /// Most limits of an account: the wallet's classes need five.
    pub const PER_ACCOUNT_MAX: usize = 16;
}

/// A request to open an account; also its journalled form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountOpening {
    /// The account's name.
    pub address: Address,
    /// The code of what it counts.
    pub asset: CompactString,
    /// The side on which it grows.
    pub normal: NormalSide,
    /// Least available.
    pub floor: Floor,
    /// Most posted (with credits that holds have set aside), in minor units; `None` is unlimited.
    pub ceiling: Option<i128>,
    /// Spending limits.
    pub limits: Vec<Limit>,
    /// The client's own data.
    pub metadata: Metadata,
    /// Whether product verbs alone move it: transactions without an attachment may not name it.
    pub managed: bool,
}

/// A field of a change: left as it is, or set.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// Not mentioned.
    #[default]
    Keep,
    /// Set to this.
    Set(T),
}

impl<T> Patch<T> {
    /// The new value, if there is one.
    pub fn as_set(&self) -> Option<&T> {
        match self {
            Self::Keep => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// A change to an account.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccountChange {
    /// Its status.
    pub status: Patch<AccountStatus>,
    /// Its floor.
    pub floor: Patch<Floor>,
    /// Its ceiling.
    pub ceiling: Patch<Option<i128>>,
    /// All its limits at once. A limit that was there before keeps what is used.
    pub limits: Patch<Vec<Limit>>,
}

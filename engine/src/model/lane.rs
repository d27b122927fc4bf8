/// How urgent a transaction is: a shard serves the first lane first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Somebody waits at a till.
    #[default]
    Checkout,
    /// Money on its way in: it is late by nature, and its owner is told of it.
    Recharge,
    /// Work on many wallets that nobody waits for.
    Batch,
}

impl Lane {
    /// All of them, the most urgent one first.
    pub const ALL: [Self; 3] = [Self::Checkout, Self::Recharge, Self::Batch];

    /// The lane's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Recharge => "recharge",
            Self::Batch => "batch",
        }
    }
}

//! What a client may ask for, and what that does to the accounts once it is done.
//!
//! Owns: the chart of a torture's accounts, the verbs, and their effects, computed from the auditor's own record alone.
//! Never asks the server, never draws. Invariant: the effects of an outcome sum to zero over all accounts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::channel::Channel;
use crate::money::Fen;

/// Ledger accounts among which money moves.
pub(crate) const PURSES: u16 = 64;

/// An account that the auditor keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Account {
    /// Where the purses' money comes from: debit-normal, without a floor.
    World,
    /// A ledger account with floor 0.
    Purse(u16),
    /// A wallet's balance.
    Customer(u16),
    /// The one merchant.
    Merchant,
    /// What a channel owes, by the channel's place: debit-normal.
    Channel(u32),
}

impl Account {
    /// The contract's address.
    pub(crate) fn address(self) -> String {
        match self {
            Self::World => "world".to_owned(),
            Self::Purse(number) => format!("purses:{number}"),
            Self::Customer(number) => format!("customers:{}", user(number)),
            Self::Merchant => format!("merchants:{MERCHANT}"),
            Self::Channel(index) => format!("channels:{}", Channel::drawn(index).name()),
        }
    }

    /// Whether it grows by debits.
    pub(crate) fn is_debit_normal(self) -> bool {
        match self {
            Self::World | Self::Channel(_) => true,
            Self::Purse(_) | Self::Customer(_) | Self::Merchant => false,
        }
    }

    /// Whether its available balance may not go below zero.
    pub(crate) fn has_floor(self) -> bool {
        match self {
            Self::Purse(_) | Self::Customer(_) => true,
            Self::World | Self::Merchant | Self::Channel(_) => false,
        }
    }
}

/// The merchant's name.
pub(crate) const MERCHANT: &str = "torture";

/// A wallet's name.
pub(crate) fn user(number: u16) -> String {
    format!("u{number}")
}

/// Money on its way between two accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leg {
    pub(crate) debit: Account,
    pub(crate) credit: Account,
    pub(crate) amount: Fen,
}

/// The parts of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parts {
    pub(crate) balance: Fen,
    pub(crate) channel: Fen,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verb {
    /// One transaction of transfers.
    Transfer(Vec<Leg>),
    /// A transaction that sets money aside.
    Hold { hold: Uuid, leg: Leg },
    /// A capture of a hold, in part or whole.
    Capture { hold: Uuid, leg: Leg, amount: Fen },
    /// A release of a hold.
    Release { hold: Uuid, leg: Leg },
    /// A reversal of a transaction's first transfer.
    Reverse { of: Uuid, leg: Leg, amount: Fen },
    /// An order of a recharge: nothing moves yet.
    Order { user: u16, channel: u32, amount: Fen },
    /// The channel's word that a recharge is paid; the intent's id is the notification's.
    Recharged { order: Uuid, user: u16, channel: u32, amount: Fen },
    /// A payment, together with a channel if the balance is short.
    Pay { user: u16, channel: u32, amount: Fen },
    /// The channel's word that its part of a payment is paid; the intent's id is the notification's.
    Settled { payment: Uuid, user: u16, channel: u32, parts: Parts },
    /// A refund of a payment; the parts are the payment's.
    Refund { payment: Uuid, user: u16, channel: u32, amount: Fen },
    /// A transfer between users.
    Give { user: u16, to: u16, amount: Fen },
}

impl Verb {
    /// Whether it is a transaction of the ledger's own contract: it has one record, under its own id.
    pub(crate) fn is_ledger(&self) -> bool {
        match self {
            Self::Transfer(_)
            | Self::Hold { .. }
            | Self::Capture { .. }
            | Self::Release { .. }
            | Self::Reverse { .. } => true,
            Self::Order { .. }
            | Self::Recharged { .. }
            | Self::Pay { .. }
            | Self::Settled { .. }
            | Self::Refund { .. }
            | Self::Give { .. } => false,
        }
    }
}

impl Verb {
    /// The operations that its one record shows if it was posted; `None` for verbs that the wallet makes several of.
    pub(crate) fn operations(&self) -> Option<Vec<Leg>> {
        match self {
            Self::Transfer(legs) => Some(legs.clone()),
            Self::Hold { leg, .. } | Self::Release { leg, .. } => Some(vec![*leg]),
            Self::Capture { leg, amount, .. } => Some(vec![Leg { amount: *amount, ..*leg }]),
            Self::Reverse { leg, amount, .. } => {
                Some(vec![Leg { debit: leg.credit, credit: leg.debit, amount: *amount }])
            }
            Self::Give { user, to, amount } => Some(vec![Leg {
                debit: Account::Customer(*user),
                credit: Account::Customer(*to),
                amount: *amount,
            }]),
            Self::Order { .. }
            | Self::Recharged { .. }
            | Self::Pay { .. }
            | Self::Settled { .. }
            | Self::Refund { .. } => None,
        }
    }
}

/// What came of an intent, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It took effect; with its position where the answer tells it.
    Done { position: Option<u64> },
    /// It was refused for good.
    Refused { code: String, position: Option<u64> },
    /// A payment or a refund took effect, with its parts; a payment may wait for its channel.
    Split { parts: Parts, waits: bool },
}

impl Outcome {
    /// The journal's place of it, where the answer tells it.
    pub(crate) fn position(&self) -> Option<u64> {
        match self {
            Self::Done { position } | Self::Refused { position, .. } => *position,
            Self::Split { .. } => None,
        }
    }
}

/// What happens to one account: credits less debits, and what is set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) posted: i128,
    pub(crate) held: i128,
}

/// What an intent with this outcome has done to the accounts.
pub(crate) fn effects(verb: &Verb, outcome: &Outcome) -> Vec<(Account, Change)> {
    if matches!(outcome, Outcome::Refused { .. }) {
        return Vec::new();
    }
    let parts = match outcome {
        Outcome::Split { parts, .. } => *parts,
        Outcome::Done { .. } | Outcome::Refused { .. } => Parts::default(),
    };
    match verb {
        Verb::Transfer(legs) => {
            legs.iter().flat_map(|leg| moved(leg.debit, leg.credit, leg.amount)).collect()
        }
        Verb::Hold { leg, .. } => vec![held(leg.debit, leg.amount.signed())],
        Verb::Capture { leg, amount, .. } => {
            let mut all = moved(leg.debit, leg.credit, *amount);
            all.push(held(leg.debit, -leg.amount.signed()));
            all
        }
        Verb::Release { leg, .. } => vec![held(leg.debit, -leg.amount.signed())],
        Verb::Reverse { leg, amount, .. } => moved(leg.credit, leg.debit, *amount),
        Verb::Order { .. } => Vec::new(),
        Verb::Recharged { user, channel, amount, .. } => {
            moved(Account::Channel(*channel), Account::Customer(*user), *amount)
        }
        Verb::Pay { user, .. } => match outcome {
            Outcome::Split { waits: true, .. } => {
                vec![held(Account::Customer(*user), parts.balance.signed())]
            }
            Outcome::Split { .. } | Outcome::Done { .. } | Outcome::Refused { .. } => {
                moved(Account::Customer(*user), Account::Merchant, parts.balance)
            }
        },
        Verb::Settled { user, channel, parts, .. } => {
            let mut all = moved(Account::Customer(*user), Account::Merchant, parts.balance);
            all.extend(moved(Account::Channel(*channel), Account::Merchant, parts.channel));
            all.push(held(Account::Customer(*user), -parts.balance.signed()));
            all
        }
        Verb::Refund { user, channel, .. } => {
            let mut all = moved(Account::Merchant, Account::Customer(*user), parts.balance);
            all.extend(moved(Account::Merchant, Account::Channel(*channel), parts.channel));
            all
        }
        Verb::Give { user, to, amount } => moved(Account::Customer(*user), Account::Customer(*to), *amount),
    }
}

fn moved(debit: Account, credit: Account, amount: Fen) -> Vec<(Account, Change)> {
    let change = |posted| Change { posted, held: 0 };
    vec![(debit, change(-amount.signed())), (credit, change(amount.signed()))]
}

fn held(account: Account, held: i128) -> (Account, Change) {
    (account, Change { posted: 0, held })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0197_A0B0_0000_7000_8000_0000_0000_0001);

    /// What an intent does to accounts, as posted and held; posted sums to zero in each case.
    fn check(verb: &Verb, outcome: &Outcome, expected: &[(Account, i128, i128)]) {
        let shown: Vec<(Account, i128, i128)> = effects(verb, outcome)
            .into_iter()
            .map(|(account, change)| (account, change.posted, change.held))
            .collect();
        assert_eq!(shown, expected, "{verb:?}");
        assert_eq!(shown.iter().map(|(_, posted, _)| posted).sum::<i128>(), 0, "{verb:?}");
    }

    #[test]
    fn effects_follow_from_the_record_alone() {
        let done = Outcome::Done { position: Some(1) };
        let (one, two) = (Account::Purse(1), Account::Purse(2));
        let leg = Leg { debit: one, credit: two, amount: Fen(10) };
        check(&Verb::Transfer(vec![leg]), &done, &[(one, -10, 0), (two, 10, 0)]);
        check(&Verb::Hold { hold: ID, leg }, &done, &[(one, 0, 10)]);
        let capture = Verb::Capture { hold: ID, leg, amount: Fen(4) };
        check(&capture, &done, &[(one, -4, 0), (two, 4, 0), (one, 0, -10)]);
        check(&Verb::Release { hold: ID, leg }, &done, &[(one, 0, -10)]);
        check(&Verb::Reverse { of: ID, leg, amount: Fen(3) }, &done, &[(two, -3, 0), (one, 3, 0)]);
        let refused = Outcome::Refused { code: "insufficient_funds".to_owned(), position: Some(1) };
        check(&capture, &refused, &[]);
    }

    #[test]
    fn effects_of_the_wallet_follow_the_parts() {
        let done = Outcome::Done { position: None };
        let parts = Parts { balance: Fen(6), channel: Fen(4) };
        let split = |waits| Outcome::Split { parts, waits };
        let (payer, shop, bank) = (Account::Customer(3), Account::Merchant, Account::Channel(2));
        let (user, channel, amount) = (3, 2, Fen(10));
        check(&Verb::Order { user, channel, amount }, &done, &[]);
        let recharged = Verb::Recharged { order: ID, user, channel, amount };
        check(&recharged, &done, &[(bank, -10, 0), (payer, 10, 0)]);
        check(&Verb::Pay { user, channel, amount }, &split(true), &[(payer, 0, 6)]);
        check(&Verb::Pay { user, channel, amount }, &split(false), &[(payer, -6, 0), (shop, 6, 0)]);
        let settled = Verb::Settled { payment: ID, user, channel, parts };
        check(&settled, &done, &[(payer, -6, 0), (shop, 6, 0), (bank, -4, 0), (shop, 4, 0), (payer, 0, -6)]);
        let refund = Verb::Refund { payment: ID, user, channel, amount };
        check(&refund, &split(false), &[(shop, -6, 0), (payer, 6, 0), (shop, -4, 0), (bank, 4, 0)]);
        let other = Account::Customer(4);
        check(&Verb::Give { user, to: 4, amount }, &done, &[(payer, -10, 0), (other, 10, 0)]);
    }
}

//! Names: of accounts, of channels, and the ids that a verb's transactions get.
//!
//! Owns the wallet's chart of accounts. Never looks anything up.

use std::fmt;

use compact_str::{CompactString, format_compact};
use serde::{Deserialize, Serialize};

use crate::model::{Address, HoldId, TransactionId};

/// The name of a user, merchant or promotion: exactly one part of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Part(CompactString);

impl Part {
    /// Reads a name; `None` if it is not one address part.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.contains(':') && Address::parse(text).is_ok()).then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An outside party that takes users' money in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Channel {
    /// Bank cards.
    BankCard,
    /// WeChat Pay.
    Wechat,
    /// Alipay.
    Alipay,
    /// Digital RMB.
    Ecny,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::BankCard, Self::Wechat, Self::Alipay, Self::Ecny];

    /// The contract's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BankCard => "bank-card",
            Self::Wechat => "wechat",
            Self::Alipay => "alipay",
            Self::Ecny => "ecny",
        }
    }

    /// Reads the contract's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str() == text)
    }
}

fn address(text: &str) -> Address {
    // A part of 32 bytes between two fixed ones stays below 64.
    Address::parse(text).expect("the wallet's account names fit the grammar")
}

/// A user's balance; the account that carries the user's cells.
pub(super) fn customer(user: &Part) -> Address {
    address(&format_compact!("customers:{user}"))
}

/// A user's shares of the wealth product.
pub(super) fn wealth(user: &Part) -> Address {
    address(&format_compact!("customers:{user}:wealth"))
}

/// A user's carbon points.
pub(super) fn carbon(user: &Part) -> Address {
    address(&format_compact!("customers:{user}:carbon"))
}

/// What a channel owes the platform.
pub(super) fn channel(channel: Channel) -> Address {
    address(&format_compact!("channels:{}", channel.as_str()))
}

/// A channel's money that fits no order.
pub(super) fn suspense(channel: Channel) -> Address {
    address(&format_compact!("suspense:{}", channel.as_str()))
}

/// What the platform owes a merchant; the account that carries the merchant's cell.
pub(super) fn merchant(merchant: &Part) -> Address {
    address(&format_compact!("merchants:{merchant}"))
}

/// A promotion's budget; the account that carries the promotion's cell.
pub(super) fn promotion(promotion: &Part) -> Address {
    address(&format_compact!("promos:{promotion}"))
}

/// The user of a [`wealth`] account; `None` for any other account.
pub(super) fn wealth_owner(account: &str) -> Option<Part> {
    account.strip_prefix(CUSTOMERS)?.strip_suffix(":wealth").and_then(Part::parse)
}

/// The user of a [`customer`] account; `None` for any other account.
pub(super) fn customer_owner(account: &str) -> Option<Part> {
    account.strip_prefix(CUSTOMERS).and_then(Part::parse)
}

/// What the addresses of all users' accounts start with.
pub(super) const CUSTOMERS: &str = "customers:";

/// What funds the wealth product's income.
pub(super) fn wealth_reserve() -> Address {
    address("reserve:wealth")
}

/// Income on its way to wallets.
pub(super) fn wealth_clearing() -> Address {
    address("wealth:clearing")
}

/// What the addresses of all wallets' [`wealth_owed`] start with.
pub(super) const WEALTH_OWED: &str = "suspense:wealth:";

/// Income of a wallet that took no part when it was paid.
pub(super) fn wealth_owed(user: &Part) -> Address {
    address(&format_compact!("{WEALTH_OWED}{user}"))
}

/// One of the platform's own accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    /// Where carbon points come from.
    Carbon,
    /// Merchants' fees.
    Fees,
    /// What funds promotions.
    Promotion,
    /// What is left of a wealth day's income.
    Rounding,
    /// Where tickets come from.
    Tickets,
}

impl Platform {
    const ALL: [Self; 5] = [Self::Carbon, Self::Fees, Self::Promotion, Self::Rounding, Self::Tickets];

    /// Behind `platform:`.
    const fn name(self) -> &'static str {
        match self {
            Self::Carbon => "carbon",
            Self::Fees => "fees",
            Self::Promotion => "promotion",
            Self::Rounding => "rounding",
            Self::Tickets => "tickets",
        }
    }
}

/// Whether an account is the wallet's own, of which nobody else may be the first owner: what is in it is owed to users, to
/// merchants, or to the platform.
pub(super) fn is_the_wallets(account: &str) -> bool {
    let behind = |prefix| account.strip_prefix(prefix);
    matches!(account, "reserve:wealth" | "wealth:clearing")
        || behind("platform:").is_some_and(|name| Platform::ALL.iter().any(|ours| ours.name() == name))
        || behind("suspense:").is_some_and(|name| Channel::parse(name).is_some())
        || behind("promos:").and_then(|name| name.strip_suffix(":slots")).and_then(Part::parse).is_some()
        || wealth_owed_owner(account).is_some()
}

/// Whether the wallet takes an account as its own although a caller of the ledger has opened it: what a channel owes and what
/// is owed to a merchant were in ledgers before there was a wallet.
pub(super) fn may_be_the_ledgers(address: &Address) -> bool {
    ["channels:", "merchants:"].iter().any(|prefix| address.as_str().starts_with(prefix))
}

/// The user of a [`wealth_owed`] account; `None` for any other account.
pub(super) fn wealth_owed_owner(account: &str) -> Option<Part> {
    account.strip_prefix(WEALTH_OWED).and_then(Part::parse)
}

/// Where a promotion's grants to payers come from.
pub(super) fn grants(promotion: &Part) -> Address {
    address(&format_compact!("promos:{promotion}:slots"))
}

/// A payer's grants of a promotion. An address has room for 15 bytes of a promotion's name: a longer one has its hash
/// there, which is longer than each name that is written out.
pub(super) fn slots(user: &Part, promotion: &Part) -> Address {
    const WRITTEN_BYTES_MAX: usize = 14;
    const HASH_DIGITS: usize = 15;
    if promotion.as_str().len() <= WRITTEN_BYTES_MAX {
        return address(&format_compact!("customers:{user}:slots:{promotion}"));
    }
    let hash = blake3::hash(promotion.as_str().as_bytes()).to_hex();
    let hash = hash.get(..HASH_DIGITS).unwrap_or_default();
    address(&format_compact!("customers:{user}:slots:{hash}"))
}

/// A user's payments that wait for their channel alone.
pub(super) fn tickets(user: &Part) -> Address {
    address(&format_compact!("customers:{user}:tickets"))
}

/// An account of the platform's own.
pub(super) fn platform(account: Platform) -> Address {
    debug_assert!(Platform::ALL.contains(&account), "{account:?} is not kept from others");
    address(&format_compact!("platform:{}", account.name()))
}

/// The id of a verb's transaction: a UUID of version 8, which clients can't choose, made of the verb, its own id and
/// the step.
pub(super) fn derive(verb: &str, id: &[u8], step: u32) -> TransactionId {
    TransactionId(derived(verb, id, step))
}

/// The id of the record that writes a user's cell from a revision: of those who write it at the same time, the second
/// one waits until the first one's is on disk.
pub(super) fn derive_revision(verb: &str, user: &Part, revision: u64) -> TransactionId {
    derive(verb, format_compact!("{user}\n{revision}").as_bytes(), 0)
}

/// The id of a verb's hold, likewise.
pub(super) fn derive_hold(verb: &str, id: &[u8], piece: u32) -> HoldId {
    HoldId(derived(verb, id, piece))
}

fn derived(verb: &str, id: &[u8], step: u32) -> u128 {
    let mut hasher = blake3::Hasher::new();
    // The length keeps verb and id apart.
    hasher.update(&u64::try_from(verb.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(verb.as_bytes());
    hasher.update(&step.to_le_bytes());
    hasher.update(id);
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_version_8_and_differ() {
        let one = derive("payment", &[7; 16], 0);
        let uuid = uuid::Uuid::from_u128(one.0);
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, uuid::Variant::RFC4122));
        assert_eq!(one, derive("payment", &[7; 16], 0));
        assert_ne!(one, derive("payment", &[7; 16], 1));
        assert_ne!(one, derive("payments", &[7; 16], 0));
        assert_ne!(derive("a", b"bc", 0), derive("ab", b"c", 0));
    }

    #[test]
    fn what_the_wallet_opens_is_the_wallets() {
        let part = Part::parse("a").unwrap();
        let mut ours = vec![wealth_reserve(), wealth_clearing(), wealth_owed(&part), grants(&part)];
        ours.extend(Platform::ALL.map(platform));
        ours.extend(Channel::ALL.map(suspense));
        for address in ours {
            assert!(is_the_wallets(address.as_str()), "{address}");
        }
        for other in
            ["platform:bank", "platform", "platform:fees:a", "reserve:cash", "promos:a", "suspense:a:b"]
        {
            assert!(!is_the_wallets(other), "{other}");
        }
    }

    #[test]
    fn an_accounts_owner_is_found() {
        let user = Part::parse("a").unwrap();
        assert_eq!(wealth_owner(wealth(&user).as_str()), Some(user.clone()));
        assert_eq!(customer_owner(customer(&user).as_str()), Some(user.clone()));
        assert_eq!(wealth_owed_owner(wealth_owed(&user).as_str()), Some(user));
        for other in ["customers:a", "customers:a:carbon", "customers:a:slots:wealth", "merchants:a:wealth"] {
            assert_eq!(wealth_owner(other), None, "{other}");
        }
        for other in ["customers:a:wealth", "merchants:a"] {
            assert_eq!(customer_owner(other), None, "{other}");
            assert_eq!(wealth_owed_owner(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_is_one_part() {
        assert_eq!(Part::parse("42").map(|part| customer(&part).to_string()), Some("customers:42".into()));
        let longest = "x".repeat(32);
        assert_eq!(wealth(&Part::parse(&longest).unwrap()).as_str().len(), 49);
        assert_eq!(
            slots(&Part::parse(&longest).unwrap(), &Part::parse(&longest).unwrap()).as_str().len(),
            64
        );
        let (user, short) = (Part::parse("42").unwrap(), Part::parse("618-half-price").unwrap());
        assert_eq!(slots(&user, &short).as_str(), "customers:42:slots:618-half-price");
        for wrong in ["", "a:b", "A", "-a", &"x".repeat(33), "a b"] {
            assert_eq!(Part::parse(wrong), None, "{wrong}");
        }
    }
}

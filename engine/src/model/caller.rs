//! Who asks, and what he may do.
//!
//! Owns the scopes and the rule of prefixes. Never authenticates: who the caller is was found out before. Invariant: a
//! caller that is bound to a prefix can't tell an account outside it from one that is not there.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::{Address, AddressError};

/// One thing that a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scope {
    /// Transfers and reversals.
    TransactionsWrite,
    /// Placing, capturing and releasing holds.
    HoldsWrite,
    /// Accounts, their past, transactions and holds.
    AccountsRead,
    /// Opening and changing accounts.
    AccountsWrite,
    /// Wallets, payments, recharges, promotions as they are.
    WalletRead,
    /// The wallet verbs of users.
    WalletWrite,
    /// The ledger as a whole: trial balance, events, counters.
    AuditRead,
    /// Floors below zero, and the wallet verbs of the platform.
    Operator,
    /// Debits of accounts that can't run out: they create money.
    MoneyIssue,
}

impl Scope {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::TransactionsWrite,
        Self::HoldsWrite,
        Self::AccountsRead,
        Self::AccountsWrite,
        Self::WalletRead,
        Self::WalletWrite,
        Self::AuditRead,
        Self::Operator,
        Self::MoneyIssue,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransactionsWrite => "transactions:write",
            Self::HoldsWrite => "holds:write",
            Self::AccountsRead => "accounts:read",
            Self::AccountsWrite => "accounts:write",
            Self::WalletRead => "wallet:read",
            Self::WalletWrite => "wallet:write",
            Self::AuditRead => "audit:read",
            Self::Operator => "operator",
            Self::MoneyIssue => "money:issue",
        }
    }

    /// Reads a stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// With one more.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | 1 << scope as u8)
    }

    /// Whether a scope is among them.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        scopes.into_iter().fold(Self::default(), Self::with)
    }
}

/// The first parts of addresses, whole: `customers:4` is not the beginning of `customers:42`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPrefix(Address);

impl AddressPrefix {
    /// Reads a prefix: an address, perhaps of fewer parts.
    ///
    /// # Errors
    /// Anything that is no address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Address::parse(text).map(Self)
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether an address is this one or below it.
    #[must_use]
    pub fn covers(&self, address: &str) -> bool {
        let rest = address.strip_prefix(self.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}

/// Why a caller may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// He lacks a scope.
    #[error("this needs the scope {}", .0.as_str())]
    Scope(Scope),
    /// An operator's adjustment needs a second operator's approval.
    #[error("an operator's adjustment needs the approval of a second operator")]
    Approval,
}

/// Who asks. Cheap to clone; the default is one who may do everything, such as the process itself.
#[derive(Clone, Debug, Default)]
pub struct Caller(Option<Arc<Bound>>);

#[derive(Debug)]
struct Bound {
    scopes: Scopes,
    prefix: Option<AddressPrefix>,
    approved: bool,
    /// He was let create money.
    let_issue: AtomicBool,
    /// And it was not refused for another reason.
    issued: AtomicBool,
    denied: AtomicBool,
}

impl Bound {
    fn deny(&self, denial: Denial) -> Result<(), Denial> {
        self.denied.store(true, Relaxed);
        Err(denial)
    }
}

impl Caller {
    /// One who may do everything: the process itself.
    pub const TRUSTED: Self = Self(None);

    /// One who may do what his scopes say, with accounts below his prefix, if he has one. `approved` says that a second
    /// operator has approved this very call.
    #[must_use]
    pub fn new(scopes: Scopes, prefix: Option<AddressPrefix>, approved: bool) -> Self {
        let [let_issue, issued, denied] = [(); 3].map(|()| AtomicBool::new(false));
        Self(Some(Arc::new(Bound { scopes, prefix, approved, let_issue, issued, denied })))
    }

    /// Whether he may do everything.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.0.is_none()
    }

    /// Whether he is bound to a prefix.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.prefix().is_some()
    }

    /// What he is bound to.
    #[must_use]
    pub fn prefix(&self) -> Option<&AddressPrefix> {
        self.0.as_ref().and_then(|bound| bound.prefix.as_ref())
    }

    /// Whether he may know an address. What he may not know is to be answered as what is not there.
    #[must_use]
    pub fn covers(&self, address: &str) -> bool {
        self.prefix().is_none_or(|prefix| prefix.covers(address))
    }

    /// Whether he has a scope.
    ///
    /// # Errors
    /// He has not.
    pub fn needs(&self, scope: Scope) -> Result<(), Denial> {
        match &self.0 {
            Some(bound) if !bound.scopes.has(scope) => bound.deny(Denial::Scope(scope)),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether he may create money: an operator only with a second one.
    ///
    /// # Errors
    /// He may not.
    pub fn may_issue(&self) -> Result<(), Denial> {
        let Some(bound) = &self.0 else { return Ok(()) };
        self.needs(Scope::MoneyIssue)?;
        if bound.scopes.has(Scope::Operator) && !bound.approved {
            return bound.deny(Denial::Approval);
        }
        bound.let_issue.store(true, Relaxed);
        Ok(())
    }

    /// Whether he may give an account a floor.
    ///
    /// # Errors
    /// The floor is below zero or none, and he is no operator, or has no second one's approval.
    pub fn may_set_floor(&self, floor: super::Floor) -> Result<(), Denial> {
        let Some(bound) = &self.0 else { return Ok(()) };
        if floor.is_some_and(|floor| floor >= 0) {
            return Ok(());
        }
        self.needs(Scope::Operator)?;
        if bound.approved { Ok(()) } else { bound.deny(Denial::Approval) }
    }

    /// Notes, if he was let create money in this call, that he has: `took_effect` says whether anything did.
    pub(crate) fn note_issued(&self, took_effect: impl FnOnce() -> bool) {
        if let Some(bound) = &self.0
            && bound.let_issue.load(Relaxed)
            && took_effect()
        {
            bound.issued.store(true, Relaxed);
        }
    }

    /// Whether he has created money in this call. Of a batch: whether he was let, and a part of it took effect.
    #[must_use]
    pub fn has_issued(&self) -> bool {
        self.0.as_ref().is_some_and(|bound| bound.issued.load(Relaxed))
    }

    /// Whether something in this call was refused because he may not do it: one of a batch, perhaps.
    #[must_use]
    pub fn was_denied(&self) -> bool {
        self.0.as_ref().is_some_and(|bound| bound.denied.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_parts() {
        let check = |prefix: &str, address: &str, covers: bool| {
            let prefix = AddressPrefix::parse(prefix).unwrap();
            assert_eq!(prefix.covers(address), covers, "{} {address}", prefix.as_str());
        };
        check("customers:4", "customers:4", true);
        check("customers:4", "customers:4:wealth", true);
        check("customers:4", "customers:42", false);
        check("customers:4", "customers", false);
        check("customers", "customers:4", true);
        check("customers", "customersx:4", false);
        check("customers", "merchants:4", false);
        assert!(AddressPrefix::parse("customers:").is_err());
        assert!(AddressPrefix::parse("").is_err());
    }

    #[test]
    fn scopes_are_what_was_given() {
        for (index, scope) in Scope::ALL.into_iter().enumerate() {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
            assert_eq!(scope as usize, index);
            let caller = Caller::new(Scopes::default().with(scope), None, false);
            for other in Scope::ALL {
                let expected = if other == scope { Ok(()) } else { Err(Denial::Scope(other)) };
                assert_eq!(caller.needs(other), expected);
                assert_eq!(Caller::TRUSTED.needs(other), Ok(()));
            }
        }
    }

    #[test]
    fn money_and_floors_need_what_they_need() {
        use Scope::{MoneyIssue, Operator};
        let caller =
            |scopes: &[Scope], approved| Caller::new(scopes.iter().copied().collect(), None, approved);
        let check = |scopes: &[Scope], approved, issue, floor| {
            let caller = caller(scopes, approved);
            caller.note_issued(|| true);
            assert_eq!(caller.may_issue(), issue, "{scopes:?} {approved}");
            caller.note_issued(|| false);
            assert!(!caller.has_issued(), "it was refused");
            caller.note_issued(|| true);
            assert_eq!((caller.has_issued(), caller.was_denied()), (issue.is_ok(), issue.is_err()));
            assert_eq!(caller.may_set_floor(None), floor, "{scopes:?} {approved}");
            assert_eq!(caller.may_set_floor(Some(-1)), floor);
            assert_eq!(caller.may_set_floor(Some(0)), Ok(()));
        };
        let lacks = |scope| Err(Denial::Scope(scope));
        check(&[], false, lacks(MoneyIssue), lacks(Operator));
        check(&[], true, lacks(MoneyIssue), lacks(Operator));
        check(&[MoneyIssue], false, Ok(()), lacks(Operator));
        check(&[Operator], true, lacks(MoneyIssue), Ok(()));
        check(&[Operator, MoneyIssue], false, Err(Denial::Approval), Err(Denial::Approval));
        check(&[Operator, MoneyIssue], true, Ok(()), Ok(()));
        assert!(Caller::TRUSTED.is_trusted() && !caller(&Scope::ALL, true).is_trusted());
        assert_eq!(Caller::TRUSTED.may_issue(), Ok(()));
        assert_eq!(Caller::TRUSTED.may_set_floor(None), Ok(()));
    }
}

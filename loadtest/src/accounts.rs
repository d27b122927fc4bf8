//! The chart of accounts that a run uses.
//!
//! Owns: addresses, normal sides and floors, and the dense numbers by which the harness calls its accounts. Never
//! knows balances. Money of customers, merchants and promotion budgets is a liability (credit-normal); what channels
//! owe and what promotions cost are assets and expenses (debit-normal).

use crate::skew::Merchant;

/// An account's place in the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountNo(pub(crate) u32);

/// On which side an account grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Normal {
    Debit,
    Credit,
}

/// An account to open.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) address: String,
    pub(crate) normal: Normal,
    pub(crate) role: Role,
}

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Customer,
    Merchant,
    Channel,
    /// Where promotion budgets come from.
    PromotionSource,
    PromotionBudget,
}

/// External payment channels.
const CHANNELS: [&str; 4] = ["wechat", "alipay", "bank-card", "ecny"];
/// Promotions besides the hot one; their budgets last.
const CALM_PROMOTIONS: u32 = 4;

/// All accounts of a run: customers, merchants, channels, promotions, in this order.
pub(crate) struct Chart {
    accounts: Vec<Account>,
    users: u32,
    merchants: u32,
}

impl Chart {
    /// `users` customers and `merchants` third-party merchants. The promotions are new with each `run`, since a
    /// budget must start at its size; everything else is kept from run to run.
    pub(crate) fn new(users: u32, merchants: u32, run: &str) -> Self {
        let mut accounts = Vec::new();
        let mut open = |address: String, normal, role| {
            accounts.push(Account { address, normal, role });
        };
        for user in 1..=users {
            open(format!("customers:{user}"), Normal::Credit, Role::Customer);
        }
        open("merchants:jd-self".to_owned(), Normal::Credit, Role::Merchant);
        for merchant in 1..=merchants {
            open(format!("merchants:{merchant}"), Normal::Credit, Role::Merchant);
        }
        for channel in CHANNELS {
            open(format!("channels:{channel}"), Normal::Debit, Role::Channel);
        }
        open("platform:promotion".to_owned(), Normal::Debit, Role::PromotionSource);
        open(format!("promos:{run}-hot"), Normal::Credit, Role::PromotionBudget);
        for promotion in 1..=CALM_PROMOTIONS {
            open(format!("promos:{run}-{promotion}"), Normal::Credit, Role::PromotionBudget);
        }
        Self { accounts, users, merchants }
    }

    /// All accounts with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AccountNo, &Account)> {
        (0..).map(AccountNo).zip(&self.accounts)
    }

    /// How many accounts there are.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// The address of an account of this chart.
    pub(crate) fn address(&self, account: AccountNo) -> &str {
        self.accounts.get(account.0 as usize).map_or("", |account| account.address.as_str())
    }

    /// How many customers there are.
    pub(crate) fn users(&self) -> u32 {
        self.users
    }

    /// A customer by rank from 0.
    pub(crate) fn customer(&self, rank: u32) -> AccountNo {
        AccountNo(rank)
    }

    /// A merchant's account.
    pub(crate) fn merchant(&self, merchant: Merchant) -> AccountNo {
        AccountNo(match merchant {
            Merchant::SelfOperated => self.users,
            Merchant::ThirdParty(rank) => self.users + 1 + rank,
        })
    }

    /// A channel by any number.
    pub(crate) fn channel(&self, draw: u32) -> AccountNo {
        AccountNo(self.users + 1 + self.merchants + draw % 4)
    }

    /// Where promotion budgets come from.
    pub(crate) fn promotion_source(&self) -> AccountNo {
        AccountNo(self.users + 1 + self.merchants + 4)
    }

    /// The promotion whose budget is meant to run dry.
    pub(crate) fn hot_promotion(&self) -> AccountNo {
        AccountNo(self.users + 1 + self.merchants + 5)
    }

    /// One of the other promotions, by any number.
    pub(crate) fn calm_promotion(&self, draw: u32) -> AccountNo {
        AccountNo(self.users + 1 + self.merchants + 6 + draw % CALM_PROMOTIONS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chart: &Chart, account: AccountNo, address: &str) {
        assert_eq!(chart.address(account), address);
    }

    #[test]
    fn numbers_lead_to_the_right_addresses() {
        let chart = Chart::new(10, 3, "r1");
        check(&chart, chart.customer(0), "customers:1");
        check(&chart, chart.customer(9), "customers:10");
        check(&chart, chart.merchant(Merchant::SelfOperated), "merchants:jd-self");
        check(&chart, chart.merchant(Merchant::ThirdParty(2)), "merchants:3");
        check(&chart, chart.channel(5), "channels:alipay");
        check(&chart, chart.promotion_source(), "platform:promotion");
        check(&chart, chart.hot_promotion(), "promos:r1-hot");
        check(&chart, chart.calm_promotion(3), "promos:r1-4");
        assert_eq!(chart.len(), 10 + 4 + 4 + 1 + 5);
    }
}

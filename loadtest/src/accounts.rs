//! The chart of accounts that a run uses.
//!
//! Owns: addresses and normal sides, and the dense numbers by which the harness calls its accounts. Never knows
//! balances. Money of customers, merchants and promotion budgets is a liability (credit-normal); what channels owe and
//! what promotions cost are assets and expenses (debit-normal).

use crate::channel::Channel;
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

/// An account that the audit compares.
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
    /// A channel's money that fits no order.
    Suspense,
    /// What the platform keeps of merchants' payments.
    Fees,
    /// Where promotion budgets come from.
    PromotionSource,
    PromotionBudget,
}

/// Promotions besides the hot one; their budgets last.
pub(crate) const CALM_PROMOTIONS: u32 = 4;
/// Channels, and as many accounts of suspense.
const CHANNELS: u32 = 4;

/// All accounts of a run: customers, merchants, channels, suspense, the platform's own, promotions, in this order.
pub(crate) struct Chart {
    accounts: Vec<Account>,
    run: String,
    users: u32,
    merchants: u32,
}

impl Chart {
    /// `users` customers and `merchants` third-party merchants. The promotions and the guessers' victims are new with
    /// each `run`, since a budget must start at its size and a lock lasts; everything else is kept from run to run.
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
        for channel in Channel::ALL {
            open(format!("channels:{}", channel.name()), Normal::Debit, Role::Channel);
        }
        for channel in Channel::ALL {
            open(format!("suspense:{}", channel.name()), Normal::Credit, Role::Suspense);
        }
        open("platform:fees".to_owned(), Normal::Credit, Role::Fees);
        open("platform:promotion".to_owned(), Normal::Debit, Role::PromotionSource);
        open(format!("promos:{run}-hot"), Normal::Credit, Role::PromotionBudget);
        for promotion in 1..=CALM_PROMOTIONS {
            open(format!("promos:{run}-{promotion}"), Normal::Credit, Role::PromotionBudget);
        }
        Self { accounts, run: run.to_owned(), users, merchants }
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

    /// The name of a user, merchant or promotion: the last part of its address.
    pub(crate) fn name(&self, account: AccountNo) -> &str {
        let address = self.address(account);
        address.rsplit_once(':').map_or(address, |(_, name)| name)
    }

    /// The name of a wallet whose password is guessed at.
    pub(crate) fn victim(&self, number: u32) -> String {
        format!("{}-victim-{number}", self.run)
    }

    /// How many customers there are.
    pub(crate) fn users(&self) -> u32 {
        self.users
    }

    /// How many third-party merchants there are.
    pub(crate) fn merchants(&self) -> u32 {
        self.merchants
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

    /// What a channel owes.
    pub(crate) fn channel(&self, channel: Channel) -> AccountNo {
        AccountNo(self.users + 1 + self.merchants + channel.index())
    }

    /// A channel's money that fits no order.
    pub(crate) fn suspense(&self, channel: Channel) -> AccountNo {
        AccountNo(self.users + 1 + self.merchants + CHANNELS + channel.index())
    }

    /// What the platform keeps of merchants' payments.
    pub(crate) fn fees(&self) -> AccountNo {
        AccountNo(self.users + 1 + self.merchants + 2 * CHANNELS)
    }

    /// Where promotion budgets come from.
    pub(crate) fn promotion_source(&self) -> AccountNo {
        AccountNo(self.fees().0 + 1)
    }

    /// The promotion whose budget is meant to run dry.
    pub(crate) fn hot_promotion(&self) -> AccountNo {
        AccountNo(self.fees().0 + 2)
    }

    /// One of the other promotions, by any number.
    pub(crate) fn calm_promotion(&self, draw: u32) -> AccountNo {
        AccountNo(self.fees().0 + 3 + draw % CALM_PROMOTIONS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chart: &Chart, account: AccountNo, address: &str, name: &str) {
        assert_eq!((chart.address(account), chart.name(account)), (address, name));
    }

    #[test]
    fn numbers_lead_to_the_right_addresses() {
        let chart = Chart::new(10, 3, "r1");
        check(&chart, chart.customer(0), "customers:1", "1");
        check(&chart, chart.customer(9), "customers:10", "10");
        check(&chart, chart.merchant(Merchant::SelfOperated), "merchants:jd-self", "jd-self");
        check(&chart, chart.merchant(Merchant::ThirdParty(2)), "merchants:3", "3");
        check(&chart, chart.channel(Channel::Alipay), "channels:alipay", "alipay");
        check(&chart, chart.suspense(Channel::Ecny), "suspense:ecny", "ecny");
        check(&chart, chart.fees(), "platform:fees", "fees");
        check(&chart, chart.promotion_source(), "platform:promotion", "promotion");
        check(&chart, chart.hot_promotion(), "promos:r1-hot", "r1-hot");
        check(&chart, chart.calm_promotion(3), "promos:r1-4", "r1-4");
        assert_eq!(chart.len(), 10 + 4 + 4 + 4 + 2 + 5);
    }
}

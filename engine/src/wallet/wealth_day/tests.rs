//! A day that is taken up under other settings.

use super::*;
use crate::{
    model::AccountOpening,
    wallet::{
        Class, Part, Settings,
        fixture::{Fixture, part, settings},
    },
};

/// Its second transaction is on disk, its first is not, and then a transaction is to credit fewer or more wallets.
#[tokio::test]
async fn other_settings_pay_a_begun_day_as_it_was_begun() {
    for credits in [1, 2, 4, 60] {
        let first = Settings { wealth_credits_per_transaction: 3, ..settings() };
        let fixture = Fixture::new(first).await;
        let users: Vec<Part> = (0..9).map(|no| part(&format!("u{no}"))).collect();
        for user in &users {
            fixture.wallet.open_customer(user, Class::III).await.unwrap();
            fixture.fund_account(&names::wealth(user), 1_000_000).await;
        }
        let (date, rate) = (Date::parse("2025-06-18").unwrap(), IncomeRate::parse("1.5").unwrap());
        let wallet = &fixture.wallet;
        let (position, began) = wallet.begin(date, rate).await.unwrap();
        for (address, kind) in [
            (names::wealth_reserve(), AccountKind::OPEN_DEBIT),
            (names::wealth_clearing(), AccountKind::OPEN_CREDIT),
        ] {
            wallet.ensure(address, kind).await.unwrap();
        }
        assert_eq!(wallet.fund(date, rate, position).await.unwrap().units, 9 * 150);
        let mut walk = credits::Walk::new(position);
        walk.chunk(wallet, &began).await.unwrap();
        let second = walk.chunk(wallet, &began).await.unwrap();
        wallet.credit(date, 1, 0, second).await.unwrap();
        let other = Settings { wealth_credits_per_transaction: credits, ..settings() };
        let fixture = fixture.restart_with(other);
        let day = fixture.wallet.pay_wealth_day(date, rate).await.unwrap();
        assert_eq!(
            (day.credited, day.remainder, day.wallets),
            (Amount(9 * 150), Amount::ZERO, 9),
            "{credits}"
        );
        for user in &users {
            assert_eq!(fixture.available(names::wealth(user).as_str()), 1_000_150, "{user:?}, {credits}");
        }
    }
}

/// An account that a ledger caller has opened and filled under a name like those of shares, whatever it holds.
#[tokio::test]
async fn what_ledger_callers_open_earns_nothing() {
    for asset in [AccountKind::CNY, AccountKind::CARBON] {
        let fixture = Fixture::new(settings()).await;
        let wallet = &fixture.wallet;
        fixture.fund_account(&names::wealth(&part("alice")), 1_000_000).await;
        let opening = AccountOpening {
            address: names::wealth(&part("mallory")),
            asset: asset.into(),
            normal: AccountKind::OPEN_CREDIT.normal,
            floor: None,
            ceiling: None,
            limits: Vec::new(),
            metadata: crate::model::Metadata::default(),
            managed: false,
        };
        wallet.engine().open_account(opening).await.unwrap();
        if asset == AccountKind::CNY {
            fixture.fund_account(&names::wealth(&part("mallory")), 1_000_000).await;
        }
        let (date, rate) = (Date::parse("2025-06-18").unwrap(), IncomeRate::parse("1.5").unwrap());
        let day = wallet.pay_wealth_day(date, rate).await.unwrap();
        assert_eq!((day.credited, day.wallets), (Amount(150), 1), "{asset}");
        // Nor is it taken for a user's wealth later on.
        assert!(wallet.open_customer(&part("mallory"), Class::III).await.is_err(), "{asset}");
    }
}

//! Orders whose money came before them, and ids that are a payment's.

use super::*;
use crate::wallet::{
    Notified, PaymentRequest,
    fixture::{Fixture, purchase, settings},
};

const ID: TransactionId = TransactionId(7);

fn order(units: u64) -> RechargeRequest {
    let (user, channel) = (part("alice"), Channel::Wechat);
    RechargeRequest { id: ID, user, channel, amount: Amount(units), promotion: None }
}

/// 50 fen of WeChat's and 1 yuan of alice's.
async fn pay(fixture: &Fixture) -> Result<(), WalletError> {
    let token = fixture.token("alice").await;
    let request = PaymentRequest { combine_with: Some(Channel::Wechat), ..purchase("alice", 150) };
    fixture.wallet.pay(ID, &request, Some(&token)).await.map(drop)
}

/// A channel's word names the id alone: its money is one order's, whoever says it again.
#[tokio::test]
async fn an_id_is_one_order() {
    let reused = || WalletError::IdReused { field: "/id".into() };
    for early in [false, true] {
        for recharge_first in [false, true] {
            let case = format!("early: {early}, recharge first: {recharge_first}");
            let fixture = Fixture::new(settings()).await;
            fixture.fund("alice", 100).await;
            let word = fixture.word(ID, true, 50);
            if early {
                let told = fixture.wallet.notified(&word).await.unwrap();
                assert_eq!(told, Notified::Suspended(SuspenseReason::UnknownOrder), "{case}");
            }
            let (taken, balance) = if recharge_first {
                assert!(!fixture.wallet.recharge(order(50)).await.unwrap().replayed);
                assert_eq!(pay(&fixture).await, Err(reused()), "{case}");
                (Notified::Credited, 150)
            } else {
                assert_eq!(pay(&fixture).await, Ok(()), "{case}");
                assert_eq!(fixture.wallet.recharge(order(50)).await.map(drop), Err(reused()), "{case}");
                (Notified::Settled, 0)
            };
            for _ in 0..3 {
                assert_eq!(fixture.wallet.notified(&word).await.unwrap(), taken, "{case}");
            }
            // Decided now, it is no other order's either; its own copies are answered.
            if recharge_first {
                assert_eq!(pay(&fixture).await, Err(reused()), "{case}");
                assert!(fixture.wallet.recharge(order(50)).await.unwrap().replayed, "{case}");
            } else {
                assert_eq!(fixture.wallet.recharge(order(50)).await.map(drop), Err(reused()), "{case}");
                assert_eq!(pay(&fixture).await, Ok(()), "{case}");
            }
            let expected = [("customers:alice", balance), ("channels:wechat", 50)].into_iter();
            for (account, units) in expected.chain(early.then_some(("suspense:wechat", 0))) {
                assert_eq!(fixture.available(account), units, "{account}, {case}");
            }
        }
    }
}

/// The ledger's cap on reversals guards what is in suspense, whoever believes that it is his.
#[tokio::test]
async fn money_is_taken_from_suspense_once() {
    let fixture = Fixture::new(settings()).await;
    let word = fixture.word(ID, true, 50);
    fixture.wallet.notified(&word).await.unwrap();
    fixture.wallet.recharge(order(50)).await.unwrap();
    fixture.wallet.notified(&word).await.unwrap();
    let settled = fixture.wallet.recharge_order(ID).await.unwrap().unwrap();
    let second = TransactionId(8);
    let money = (Money::of(&word), true);
    fixture.wallet.credit_recharge(second, &settled, money, false).await.unwrap();
    let decided = fixture.wallet.recharge_decision(second).await.unwrap();
    let refused = RejectionCode::ReversalExceedsOriginal;
    assert!(matches!(decided, Decision::Refused { code, .. } if code == refused));
    for (account, units) in [("customers:alice", 50), ("channels:wechat", 50), ("suspense:wechat", 0)] {
        assert_eq!(fixture.available(account), units, "{account}");
    }
}

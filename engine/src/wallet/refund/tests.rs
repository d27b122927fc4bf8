//! Copies of a refund at the same moment.

use std::sync::Arc;

use super::*;
use crate::wallet::fixture::{Fixture, purchase, settings};

/// A copy may look for the refund before the first one is on disk, and at what is left after: what leaves too little
/// for it is the refund that it is a copy of.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn copies_of_a_refund_have_its_outcome() {
    const COPIES: usize = 16;
    let fixture = Arc::new(Fixture::new(settings()).await);
    fixture.fund("alice", 100_000).await;
    for round in 1..=20 {
        let payment = TransactionId(round);
        let token = fixture.token("alice").await;
        fixture.wallet.pay(payment, &purchase("alice", 100), Some(&token)).await.unwrap();
        // All that was paid: there is nothing left for a second one.
        let request = RefundRequest { payment, amount: Amount(100), item: None, reason: None };
        let copies = (0..COPIES).map(|copy| {
            let (fixture, request) = (Arc::clone(&fixture), request.clone());
            tokio::spawn(async move {
                for _ in 0..copy % 4 {
                    tokio::task::yield_now().await;
                }
                fixture.wallet.refund(TransactionId(1_000 + round), &request).await
            })
        });
        let mut new = 0;
        for copy in futures_util::future::join_all(copies).await {
            let view = copy.unwrap().unwrap();
            assert_eq!((view.legs[0].amount, &view.request), (Amount(100), &request));
            new += usize::from(!view.replayed);
        }
        assert_eq!(new, 1, "round {round}");
        assert_eq!(fixture.wallet.refunds(payment).await.unwrap().len(), 1);
        let other = fixture.wallet.refund(TransactionId(2_000 + round), &request).await.unwrap_err();
        assert_eq!(other, WalletError::refused(WalletCode::RefundExceedsPaid));
    }
    assert_eq!(fixture.available("customers:alice"), 100_000);
}

/// What is left of the points is what the rest of the price would earn.
#[tokio::test]
async fn points_are_kept_for_what_is_kept() {
    let fixture = Fixture::new(settings()).await;
    fixture.fund("alice", 100_000).await;
    let mut id = 0;
    for (price, refunds) in [
        (100, vec![(99, 0), (1, 0)]),
        (100, vec![(1, 0)]),
        (250, vec![(50, 1), (100, 0), (100, 0)]),
        (1_000, vec![(1, 9), (99, 9), (1, 8), (899, 0)]),
    ] {
        id += 1;
        let payment = TransactionId(id);
        let token = fixture.token("alice").await;
        let before = fixture.available("customers:alice:carbon");
        fixture.wallet.pay(payment, &purchase("alice", price), Some(&token)).await.unwrap();
        for (amount, kept) in refunds {
            id += 1;
            let request = RefundRequest { payment, amount: Amount(amount), item: None, reason: None };
            fixture.wallet.refund(TransactionId(id), &request).await.unwrap();
            let points = fixture.available("customers:alice:carbon") - before;
            assert_eq!(points, kept, "{amount} of {price} refunded");
        }
        assert!(fixture.available("customers:alice:carbon") >= before);
    }
}

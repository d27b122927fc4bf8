//! Statements of two days that are compared at the same moment.

use super::*;
use crate::{
    model::TransactionId,
    wallet::{
        RechargeRequest,
        fixture::{Fixture, part, settings},
    },
};

const ID: TransactionId = TransactionId(7);

/// Today's statement lacks money of today that yesterday's has. Whichever comes first, and whatever it has seen of the
/// other one: nothing is left of the shortage.
#[tokio::test]
async fn of_two_days_statements_one_sees_the_other() {
    for missed in [true, false] {
        let fixture = Fixture::new(settings()).await;
        let wallet = &fixture.wallet;
        let (channel, amount) = (Channel::Wechat, Amount(100));
        let request = RechargeRequest { id: ID, user: part("alice"), channel, amount, promotion: None };
        wallet.recharge(request).await.unwrap();
        let word = fixture.word(ID, true, 100);
        wallet.notified(&word).await.unwrap();
        let now = wallet.engine().now();
        let yesterday = Date::of(now.plus_nanos(-24 * 3_600 * Timestamp::NANOS_PER_SECOND));
        let lacks = wallet.reconcile(channel, Date::of(now)).await.unwrap();
        let mut has = wallet.reconcile(channel, yesterday).await.unwrap();
        let order = format!("{ID}").into();
        let line = StatementLine { order, reference: word.reference.into(), amount, at: now };
        let booked = lacks.booked(&line).await.unwrap().unwrap();
        if missed {
            // It has looked for the other one, and not found it: it books after that one has looked, too.
            has.lines(vec![line]).await.unwrap();
            assert!(!lacks.book_missing(&booked).await.unwrap());
        } else {
            assert!(lacks.book_missing(&booked).await.unwrap());
            assert_eq!(fixture.available("suspense:wechat"), -100);
            has.lines(vec![line]).await.unwrap();
        }
        assert_eq!((has.finish().await.unwrap().matched, lacks.finish().await.unwrap().missing), (1, 0));
        for (account, expected) in [("channels:wechat", 100), ("suspense:wechat", 0)] {
            assert_eq!(fixture.available(account), expected, "{account}, missed: {missed}");
        }
    }
}

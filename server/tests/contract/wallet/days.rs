//! The close of a day.

use futures_util::future::join_all;
use serde_json::{Value, json};
use yue_engine::{model::Timestamp, wallet::Date};

use super::channel::{notify, recharge, word};
use crate::ledger::{Answer, Ledger};

const DAY_NANOS: i64 = 24 * 3_600 * 1_000_000_000;

/// So many days from today.
fn day(ledger: &Ledger, from_today: i64) -> String {
    Date::of(Timestamp(ledger.engine.now().0 + from_today * DAY_NANOS)).to_string()
}

async fn close(ledger: &Ledger, date: &str) -> Answer {
    ledger.post(&format!("/v1/days/{date}/close"), &json!({})).await
}

#[tokio::test]
async fn a_day_is_closed_once_it_is_over() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    notify(&ledger, "wechat", &word("b1", "paid", "100.00", "r1")).await.expect(200);
    let position = ledger.position().await;
    for date in [day(&ledger, 0), day(&ledger, 1), "2261-12-31".to_owned()] {
        let refused = close(&ledger, &date).await.expect_problem(422, "day_not_over");
        assert_eq!(refused.field(), "/date");
    }
    for date in ["yesterday", "2026-02-30", "1969-12-31", "2026-6-18"] {
        let refused = close(&ledger, date).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), "/date");
    }
    assert_eq!(ledger.position().await, position);
    // What came today is not in yesterday's books.
    let yesterday = day(&ledger, -1);
    let closed = close(&ledger, &yesterday).await.expect(200);
    assert!(!closed.replayed());
    let at = Date::parse(&yesterday).unwrap().end().to_string();
    let expected = json!({"date": yesterday, "position": 0, "at": at, "assets": [], "classes": []});
    assert_eq!(closed.body, expected);
    let position = ledger.position().await;
    for again in join_all((0..32).map(|_| close(&ledger, &yesterday))).await {
        let again = again.expect(200);
        assert!(again.replayed());
        assert_eq!(again.body, closed.body);
    }
    assert_eq!(ledger.position().await, position);
}

#[tokio::test]
async fn thirty_two_closes_at_once_are_one() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    let position = ledger.position().await;
    let date = day(&ledger, -3);
    let answers = join_all((0..32).map(|_| close(&ledger, &date))).await;
    let bodies: Vec<Value> = answers.into_iter().map(|answer| answer.expect(200).body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    // The mark and the result.
    assert_eq!(ledger.position().await, position + 2);
}

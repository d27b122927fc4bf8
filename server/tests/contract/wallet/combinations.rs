//! Payments together with a channel: each way in which the channel's part ends.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use yue_engine::model::{AccountChange, AccountStatus, Address, Patch};

use super::{
    channel::{notify, word},
    shop::{buyer, legs, open_shops, order, pay, payment, posted, promotion, refund, with},
    user::User,
};
use crate::ledger::{Answer, Ledger, id};

/// A payment of 100 yuan that waits for 60 of them from `wechat`, 30 being from balance, 10 from a promotion.
async fn waiting(ledger: &Ledger, digits: &str) {
    open_shops(ledger).await;
    let ten = promotion("ten", json!({"amount_off": "10.00"}), "1000.00", json!({"per_user": 1}));
    ledger.post("/v1/promotions", &ten).await.expect(201);
    let alice = buyer(ledger, "alice", 30_00).await;
    order_again(&alice, digits).await;
    assert_eq!(
        balances(ledger).await,
        ["30.00/30.00", "0.00/0.00", "1000.00/10.00", "0.00/0.00", "0.00/0.00"]
    );
    assert_eq!(ledger.balance("customers:alice:slots:ten").await, ("0".into(), "0".into()));
}

async fn order_again(alice: &User<'_>, digits: &str) {
    let body = with(
        order(digits, alice, "tp", &[("home", "70.00"), ("home", "30.00")]),
        json!({"combine_with": "wechat", "promotion": "ten"}),
    );
    let answer = pay(alice, &body).await.expect(201).body;
    assert_eq!(answer["status"], "awaiting_channel");
    let expected =
        [["balance", "30.00", "held"], ["wechat", "60.00", "awaiting"], ["promotion", "10.00", "held"]];
    assert_eq!(legs(&answer), expected);
    assert!(answer["expires_at"].is_string());
    // The first answer stays.
    let again = alice.ledger.post("/v1/payments", &body).await.expect(200);
    assert_eq!(again.body, answer);
}

/// Posted and held of all that takes part, the books being even.
async fn balances(ledger: &Ledger) -> [String; 5] {
    ledger.position().await;
    let mut balances = Vec::new();
    for account in ["customers:alice", "merchants:tp", "promos:ten", "channels:wechat", "suspense:wechat"] {
        let (posted, held) = ledger.balance(account).await;
        balances.push(format!("{posted}/{held}"));
    }
    balances.try_into().unwrap()
}

const UNTOUCHED: [&str; 5] = ["30.00/0.00", "0.00/0.00", "1000.00/0.00", "0.00/0.00", "0.00/0.00"];
const CAPTURED: [&str; 5] = ["0.00/0.00", "99.40/0.00", "990.00/0.00", "60.00/0.00", "0.00/0.00"];

async fn cancel(ledger: &Ledger, digits: &str) -> Answer {
    ledger.post(&format!("/v1/payments/{}/cancel", id(digits)), &Value::Null).await
}

async fn effect(ledger: &Ledger, word: &Value) -> String {
    let answer = notify(ledger, "wechat", word).await.expect(200).body;
    let reason = answer["reason"].as_str().unwrap_or_default();
    format!("{} {reason}", answer["effect"].as_str().unwrap()).trim().to_owned()
}

#[tokio::test]
async fn the_channels_success_captures_all_at_once() {
    let ledger = Ledger::new();
    waiting(&ledger, "e1").await;
    let success = word("e1", "paid", "60.00", "r1");
    assert_eq!(effect(&ledger, &success).await, "settled");
    assert_eq!(balances(&ledger).await, CAPTURED);
    assert_eq!(posted(&ledger, "customers:alice:slots:ten").await, "1");
    assert_eq!(posted(&ledger, "customers:alice:carbon").await, "90");
    let position = ledger.position().await;
    // Copies, and words that come too late to matter.
    for copy in [success.clone(), with(success.clone(), json!({"notification": "n2"}))] {
        assert_eq!(effect(&ledger, &copy).await, "settled");
    }
    assert_eq!(effect(&ledger, &word("e1", "failed", "60.00", "r1")).await, "unchanged");
    cancel(&ledger, "e1").await.expect_problem(422, "payment_not_cancellable");
    assert_eq!(ledger.position().await, position);
    let shown = payment(&ledger, "e1").await;
    assert_eq!(shown["status"], "paid");
    let expected =
        [["balance", "30.00", "paid"], ["wechat", "60.00", "paid"], ["promotion", "10.00", "paid"]];
    assert_eq!(legs(&shown), expected);
    // Other money for the same order is nobody's.
    assert_eq!(effect(&ledger, &word("e1", "paid", "60.00", "r2")).await, "suspended paid_again");
    assert_eq!(posted(&ledger, "suspense:wechat").await, "60.00");
}

#[tokio::test]
async fn failure_and_cancellation_give_all_back() {
    for failed in [true, false] {
        let ledger = Ledger::new();
        waiting(&ledger, "e1").await;
        if failed {
            assert_eq!(effect(&ledger, &word("e1", "failed", "60.00", "r1")).await, "failed");
            cancel(&ledger, "e1").await.expect_problem(422, "payment_not_cancellable");
        } else {
            let answer = cancel(&ledger, "e1").await.expect(200);
            assert!(!answer.replayed());
            assert_eq!(answer.body["status"], "cancelled");
            assert!(cancel(&ledger, "e1").await.expect(200).replayed());
        }
        assert_eq!(balances(&ledger).await, UNTOUCHED);
        let shown = payment(&ledger, "e1").await;
        assert_eq!(shown["status"], "cancelled");
        assert_eq!(legs(&shown)[0], ["balance", "30.00", "released"]);
        refund(&ledger, "e1", "f1", json!({"amount": "1.00"}))
            .await
            .expect_problem(422, "refund_exceeds_paid");
        // The payer's slot is free again, and so is the money.
        let alice = User { ledger: &ledger, name: "alice" };
        order_again(&alice, "e2").await;
        // A late success goes back, once.
        let late = word("e1", "paid", "60.00", "r1");
        for _ in 0..3 {
            assert_eq!(effect(&ledger, &late).await, "suspended paid_late");
        }
        assert_eq!(payment(&ledger, "e1").await["status"], "returned");
        assert_eq!(legs(&payment(&ledger, "e1").await)[1], ["wechat", "60.00", "returned"]);
        assert_eq!(balances(&ledger).await[3..], ["0.00/0.00", "0.00/0.00"]);
        let history = ledger.get("/v1/accounts/channels:wechat/history").await.expect(200).body;
        assert_eq!(history["items"].as_array().unwrap().len(), 2, "{history}");
        // And the next one is not touched by it.
        assert_eq!(effect(&ledger, &word("e2", "paid", "60.00", "r2")).await, "settled");
        assert_eq!(balances(&ledger).await, CAPTURED);
    }
}

#[tokio::test]
async fn of_success_and_cancellation_at_once_one_wins() {
    for round in 0..8 {
        let ledger = Ledger::new();
        waiting(&ledger, "e1").await;
        let success = word("e1", "paid", "60.00", "r1");
        let success = async {
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            effect(&ledger, &success).await
        };
        let (cancelled, said) = tokio::join!(cancel(&ledger, "e1"), success);
        let status = payment(&ledger, "e1").await["status"].clone();
        if cancelled.status == 200 {
            assert_eq!((said.as_str(), &status), ("suspended paid_late", &json!("returned")));
            assert_eq!(balances(&ledger).await, UNTOUCHED);
        } else {
            cancelled.expect_problem(422, "payment_not_cancellable");
            assert_eq!((said.as_str(), &status), ("settled", &json!("paid")));
            assert_eq!(balances(&ledger).await, CAPTURED);
        }
    }
}

#[tokio::test]
async fn thirty_two_successes_at_once_capture_once() {
    let ledger = Ledger::new();
    waiting(&ledger, "e1").await;
    let success = word("e1", "paid", "60.00", "r1");
    for said in join_all((0..32).map(|_| effect(&ledger, &success))).await {
        assert_eq!(said, "settled");
    }
    assert_eq!(balances(&ledger).await, CAPTURED);
}

#[tokio::test]
async fn money_that_does_not_fit_goes_to_suspense() {
    let ledger = Ledger::new();
    waiting(&ledger, "e1").await;
    assert_eq!(effect(&ledger, &word("e1", "paid", "59.99", "r1")).await, "suspended amount_differs");
    assert_eq!(effect(&ledger, &word("e1", "paid", "59.99", "r1")).await, "suspended amount_differs");
    assert_eq!(balances(&ledger).await[3..], ["59.99/0.00", "59.99/0.00"]);
    assert_eq!(payment(&ledger, "e1").await["status"], "awaiting_channel");
    let other = notify(&ledger, "alipay", &word("e1", "paid", "60.00", "r2")).await.expect(200).body;
    assert_eq!((&other["effect"], &other["reason"]), (&json!("suspended"), &json!("other_channel")));
    // The right money is still awaited.
    assert_eq!(effect(&ledger, &word("e1", "paid", "60.00", "r3")).await, "settled");
    assert_eq!(payment(&ledger, "e1").await["status"], "paid");
    ledger.position().await;
}

#[tokio::test]
async fn a_channel_that_is_quicker_than_the_payment_is_heard_later() {
    let ledger = Ledger::new();
    let early = word("e1", "paid", "60.00", "r1");
    assert_eq!(effect(&ledger, &early).await, "suspended unknown_order");
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 40_00).await;
    let body = with(order("e1", &alice, "tp", &[("home", "100.00")]), json!({"combine_with": "wechat"}));
    pay(&alice, &body).await.expect(201);
    assert_eq!(effect(&ledger, &early).await, "settled");
    ledger.position().await;
    assert_eq!(posted(&ledger, "merchants:tp").await, "99.40");
    assert_eq!(posted(&ledger, "channels:wechat").await, "60.00");
    assert_eq!(posted(&ledger, "suspense:wechat").await, "0.00");
    assert_eq!(effect(&ledger, &early).await, "settled");
}

#[tokio::test]
async fn a_payment_of_the_channel_alone_waits_like_any_other() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 0).await;
    for (digits, paid) in [("e1", true), ("e2", false)] {
        let body = with(order(digits, &alice, "tp", &[("home", "9.00")]), json!({"combine_with": "wechat"}));
        let answer = pay(&alice, &body).await.expect(201).body;
        assert_eq!(legs(&answer), [["wechat", "9.00", "awaiting"]]);
        if paid {
            assert_eq!(effect(&ledger, &word(digits, "paid", "9.00", "r1")).await, "settled");
            refund(&ledger, digits, "f1", json!({"amount": "9.00"})).await.expect(201);
        } else {
            cancel(&ledger, digits).await.expect(200);
        }
    }
    ledger.position().await;
    assert_eq!(posted(&ledger, "channels:wechat").await, "0.00");
    assert_eq!(ledger.balance("customers:alice:tickets").await, ("0".into(), "0".into()));
}

#[tokio::test]
async fn time_gives_all_back_also_while_nothing_runs() {
    for (asleep, own) in [(false, true), (true, true), (false, false)] {
        let ledger = Ledger::with_settings(|settings| settings.channel_wait_s = 1);
        if own {
            waiting(&ledger, "e1").await;
        } else {
            open_shops(&ledger).await;
            let alice = buyer(&ledger, "alice", 0).await;
            let body =
                with(order("e1", &alice, "tp", &[("home", "60.00")]), json!({"combine_with": "wechat"}));
            pay(&alice, &body).await.expect(201);
        }
        let ledger = if asleep { ledger.restart_after(Duration::from_millis(1_100)) } else { ledger };
        while payment(&ledger, "e1").await["status"] == "awaiting_channel" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(payment(&ledger, "e1").await["status"], "expired");
        if own {
            assert_eq!(balances(&ledger).await, UNTOUCHED);
        }
        cancel(&ledger, "e1").await.expect_problem(422, "payment_not_cancellable");
        assert_eq!(effect(&ledger, &word("e1", "paid", "60.00", "r1")).await, "suspended paid_late");
        assert_eq!(payment(&ledger, "e1").await["status"], "returned");
        assert_eq!(posted(&ledger, "channels:wechat").await, "0.00");
        assert_eq!(posted(&ledger, "merchants:tp").await, "0.00");
    }
}

async fn change_merchant(ledger: &Ledger, change: AccountChange) {
    let merchant = Address::parse("merchants:tp").unwrap();
    ledger.engine.change_account(&merchant, change).await.unwrap();
}

#[tokio::test]
async fn a_freeze_puts_a_capture_off() {
    let ledger = Ledger::new();
    waiting(&ledger, "e1").await;
    let status = |status| AccountChange { status: Patch::Set(status), ..AccountChange::default() };
    change_merchant(&ledger, status(AccountStatus::Frozen)).await;
    let paid = word("e1", "paid", "60.00", "r1");
    for _ in 0..2 {
        let refused = notify(&ledger, "wechat", &paid).await.expect_problem(422, "account_frozen");
        assert!(!refused.replayed());
    }
    assert_eq!(payment(&ledger, "e1").await["status"], "awaiting_channel");
    change_merchant(&ledger, status(AccountStatus::Active)).await;
    assert_eq!(effect(&ledger, &paid).await, "settled");
    assert_eq!(balances(&ledger).await, CAPTURED);
}

#[tokio::test]
async fn a_capture_that_is_refused_sends_the_money_back() {
    let ledger = Ledger::new();
    waiting(&ledger, "e1").await;
    // Room for what is set aside, and not for the channel's part.
    let ceiling = |most| AccountChange { ceiling: Patch::Set(most), ..AccountChange::default() };
    change_merchant(&ledger, ceiling(Some(50_00))).await;
    assert_eq!(effect(&ledger, &word("e1", "paid", "60.00", "r1")).await, "suspended paid_late");
    assert_eq!(balances(&ledger).await, UNTOUCHED);
    assert_eq!(payment(&ledger, "e1").await["status"], "returned");
    change_merchant(&ledger, ceiling(None)).await;
    assert_eq!(effect(&ledger, &word("e1", "paid", "60.00", "r1")).await, "suspended paid_late");
    assert_eq!(balances(&ledger).await, UNTOUCHED);
}

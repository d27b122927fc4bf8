//! What channels say: once, twice, late, in another order, with other amounts, for others' orders.

use futures_util::future::join_all;
use serde_json::{Value, json};
use yue_engine::{
    model::{AccountChange, AccountStatus, Address, Patch},
    wallet::{Channel, sign_notification},
};

use super::channel::{balances, notify, now_s, recharge, send, shown, word};
use crate::ledger::{Ledger, channel_key, id};

fn meaning(body: &Value) -> (&str, &str) {
    (body["effect"].as_str().unwrap(), body["reason"].as_str().unwrap_or_default())
}

/// Says something, and checks what it meant; a copy means the same, and writes nothing.
async fn means(ledger: &Ledger, channel: &str, word: &Value, effect: &str, reason: &str) {
    let first = notify(ledger, channel, word).await.expect(200);
    assert_eq!(meaning(&first.body), (effect, reason), "{word}");
    assert_eq!(first.body["notification"], word["notification"]);
    assert_eq!(first.body["order"], word["order"]);
    let position = ledger.position().await;
    for _ in 0..2 {
        assert_eq!(notify(ledger, channel, word).await.expect(200).body, first.body, "{word}");
    }
    assert_eq!(ledger.position().await, position, "{word}");
}

#[tokio::test]
async fn only_the_channel_itself_is_listened_to() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    let position = ledger.position().await;
    let body = word("b1", "paid", "100.00", "r1").to_string();
    let key = channel_key(Channel::Wechat);
    let sign = |at: u64| sign_notification(&key, at, body.as_bytes());
    let now = now_s();
    let good = sign(now);
    let (ts, sig) = good.split_once(',').unwrap();
    let other_key = sign_notification(&channel_key(Channel::Alipay), now, body.as_bytes());
    let other_body = sign_notification(&key, now, body.replace("100.00", "900.00").as_bytes());
    let upper = format!("{ts},sig={}", sig["sig=".len()..].to_uppercase());
    for signatures in [
        vec![],
        vec![""],
        vec![other_key.as_str()],
        vec![other_body.as_str()],
        vec![sign(now - 400).as_str()],
        vec![sign(now + 400).as_str()],
        vec![upper.as_str()],
        vec![sig],
        vec![ts],
        vec![format!("{good}0").as_str()],
        vec![good.replace(&format!("ts={now}"), &format!("ts={}", now + 1)).as_str()],
        vec![good.as_str(), good.as_str()],
    ] {
        let refused = send(&ledger, "wechat", &signatures, body.clone()).await;
        refused.expect_problem(401, "signature_invalid");
    }
    // The signature comes before what is said.
    send(&ledger, "wechat", &[], "{").await.expect_problem(401, "signature_invalid");
    // A channel without a key, one that is none, and the key of another one's route.
    let ecny = sign_notification(&channel_key(Channel::Ecny), now, body.as_bytes());
    send(&ledger, "ecny", &[&ecny], body.clone()).await.expect_problem(401, "signature_invalid");
    send(&ledger, "alipay", &[&good], body.clone()).await.expect_problem(401, "signature_invalid");
    send(&ledger, "paypal", &[&good], body.clone()).await.expect_problem(400, "malformed");
    assert_eq!(ledger.position().await, position);
    // Within the window, on either side, and over the bytes as they are.
    for at in [now - 200, now, now + 200] {
        send(&ledger, "wechat", &[&sign(at)], body.clone()).await.expect(200);
    }
    let spaced = format!(" {body}\n");
    let signed = sign_notification(&key, now, spaced.as_bytes());
    send(&ledger, "wechat", &[&signed], spaced).await.expect(200);
    assert_eq!(balances(&ledger).await, ["100.00", "100.00", "0.00"]);
}

#[tokio::test]
async fn what_a_channel_can_not_say_is_refused() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    let position = ledger.position().await;
    let check = async |field: &str, value: Option<Value>, status: u16, code: &str| {
        let mut body = word("b1", "paid", "100.00", "r1");
        match value {
            Some(value) => body[field] = value,
            None => drop(body.as_object_mut().unwrap().remove(field)),
        }
        let refused = notify(&ledger, "wechat", &body).await.expect_problem(status, code);
        assert_eq!(refused.field(), format!("/{field}"), "{body}");
    };
    for amount in ["0", "0.00", "-1.00", "1.001", "x"] {
        check("amount", Some(json!(amount)), 422, "amount_invalid").await;
    }
    for field in ["notification", "order", "result", "amount", "reference", "paid_at"] {
        check(field, None, 400, "malformed").await;
        check(field, Some(json!(7)), 400, "malformed").await;
    }
    check("result", Some(json!("maybe")), 400, "malformed").await;
    check("order", Some(json!("b1")), 400, "malformed").await;
    check("reference", Some(json!("")), 400, "malformed").await;
    check("reference", Some(json!("x".repeat(65))), 400, "malformed").await;
    check("paid_at", Some(json!("yesterday")), 400, "malformed").await;
    check("extra", Some(json!(1)), 400, "malformed").await;
    assert_eq!(ledger.position().await, position);
    assert_eq!(shown(&ledger, "b1").await["status"], "pending");
}

#[tokio::test]
async fn paid_is_credited_once() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    means(&ledger, "wechat", &word("b1", "paid", "100.00", "r1"), "credited", "").await;
    // Another notification of the same money, and an old one.
    let mut again = word("b1", "paid", "100", "r1");
    again["notification"] = json!("n-2");
    means(&ledger, "wechat", &again, "credited", "").await;
    means(&ledger, "wechat", &word("b1", "failed", "100.00", "r0"), "unchanged", "").await;
    // The same money with another amount can't be: nothing is booked, and it is said.
    means(&ledger, "wechat", &word("b1", "paid", "90.00", "r1"), "unchanged", "amount_differs").await;
    assert_eq!(balances(&ledger).await, ["100.00", "100.00", "0.00"]);
    // Other money of the same order.
    means(&ledger, "wechat", &word("b1", "paid", "100.00", "r2"), "suspended", "paid_again").await;
    means(&ledger, "wechat", &word("b1", "paid", "30.00", "r3"), "suspended", "paid_again").await;
    assert_eq!(balances(&ledger).await, ["100.00", "230.00", "130.00"]);
    assert_eq!(shown(&ledger, "b1").await["status"], "paid");
}

#[tokio::test]
async fn failed_is_the_end_and_later_money_waits() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    let mut bare = word("b1", "failed", "100.00", "r1");
    for field in ["reference", "paid_at"] {
        bare.as_object_mut().unwrap().remove(field);
    }
    bare["notification"] = json!("n");
    // Some say how much has come.
    bare["amount"] = json!("0.00");
    means(&ledger, "wechat", &bare, "failed", "").await;
    assert_eq!(shown(&ledger, "b1").await["status"], "failed");
    means(&ledger, "wechat", &word("b1", "paid", "100.00", "r1"), "suspended", "paid_after_failed").await;
    assert_eq!(balances(&ledger).await, ["0.00", "100.00", "100.00"]);
    let shown = shown(&ledger, "b1").await;
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("suspended"), &json!("paid_after_failed")));
    assert_eq!(shown["reference"], "r1");
}

#[tokio::test]
async fn money_that_does_not_fit_waits_with_a_reason() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    means(&ledger, "wechat", &word("b1", "paid", "99.99", "r1"), "suspended", "amount_differs").await;
    let suspended = shown(&ledger, "b1").await;
    assert_eq!((&suspended["status"], &suspended["reason"]), (&json!("suspended"), &json!("amount_differs")));
    // The same reference is the same money, whatever is said of it later.
    means(&ledger, "wechat", &word("b1", "paid", "100.00", "r1"), "suspended", "amount_differs").await;
    assert_eq!(balances(&ledger).await, ["0.00", "99.99", "99.99"]);
    // Other money that fits is the order's.
    means(&ledger, "wechat", &word("b1", "paid", "100.00", "r2"), "credited", "").await;
    assert_eq!(balances(&ledger).await, ["100.00", "199.99", "99.99"]);
    assert_eq!(shown(&ledger, "b1").await["status"], "paid");
    // Money of another channel, and its failures.
    recharge(&ledger, "b2").await;
    means(&ledger, "alipay", &word("b2", "failed", "100.00", "r3"), "unchanged", "other_channel").await;
    means(&ledger, "alipay", &word("b2", "paid", "100.00", "r3"), "suspended", "other_channel").await;
    assert_eq!(ledger.balance("suspense:alipay").await.0, "100.00");
    means(&ledger, "wechat", &word("b2", "paid", "100.00", "r4"), "credited", "").await;
    // Money of no order: its reference is its name. The same reference of another channel is other money.
    means(&ledger, "wechat", &word("b9", "failed", "5.00", "r5"), "unchanged", "unknown_order").await;
    means(&ledger, "wechat", &word("b9", "paid", "5.00", "r5"), "suspended", "unknown_order").await;
    means(&ledger, "bank-card", &word("b9", "paid", "5.00", "r5"), "suspended", "unknown_order").await;
    assert_eq!(balances(&ledger).await, ["200.00", "304.99", "104.99"]);
    ledger.get(&format!("/v1/recharges/{}", id("b9"))).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn money_that_came_before_its_order_is_the_orders() {
    let ledger = Ledger::new();
    let early = word("b1", "paid", "100.00", "r1");
    means(&ledger, "wechat", &early, "suspended", "unknown_order").await;
    recharge(&ledger, "b1").await;
    let waiting = shown(&ledger, "b1").await;
    assert_eq!((&waiting["status"], &waiting["reason"]), (&json!("suspended"), &json!("unknown_order")));
    assert_eq!(balances(&ledger).await, ["0.00", "100.00", "100.00"]);
    means(&ledger, "wechat", &early, "credited", "").await;
    assert_eq!(balances(&ledger).await, ["100.00", "100.00", "0.00"]);
    assert_eq!(shown(&ledger, "b1").await["status"], "paid");
}

#[tokio::test]
async fn money_that_the_wallet_refuses_waits() {
    let ledger = Ledger::new();
    let alice = Address::parse("customers:alice").unwrap();
    let change =
        async |change: AccountChange| drop(ledger.engine.change_account(&alice, change).await.unwrap());
    recharge(&ledger, "b1").await;
    change(AccountChange { ceiling: Patch::Set(Some(5_000)), ..AccountChange::default() }).await;
    means(&ledger, "wechat", &word("b1", "paid", "100.00", "r1"), "suspended", "ceiling_exceeded").await;
    // Final, though it would go through now.
    change(AccountChange { ceiling: Patch::Set(None), ..AccountChange::default() }).await;
    means(&ledger, "wechat", &word("b1", "paid", "100.00", "r1"), "suspended", "ceiling_exceeded").await;
    means(&ledger, "wechat", &word("b1", "paid", "100.00", "r2"), "suspended", "paid_again").await;
    means(&ledger, "wechat", &word("b1", "failed", "100.00", "r3"), "unchanged", "").await;
    recharge(&ledger, "b2").await;
    change(AccountChange { status: Patch::Set(AccountStatus::Frozen), ..AccountChange::default() }).await;
    means(&ledger, "wechat", &word("b2", "paid", "100.00", "r4"), "suspended", "account_frozen").await;
    change(AccountChange { status: Patch::Set(AccountStatus::Active), ..AccountChange::default() }).await;
    recharge(&ledger, "b3").await;
    change(AccountChange { status: Patch::Set(AccountStatus::Closed), ..AccountChange::default() }).await;
    means(&ledger, "wechat", &word("b3", "paid", "100.00", "r5"), "suspended", "account_closed").await;
    for (order, reason) in [("b1", "ceiling_exceeded"), ("b2", "account_frozen"), ("b3", "account_closed")] {
        let shown = shown(&ledger, order).await;
        assert_eq!((&shown["status"], &shown["reason"]), (&json!("suspended"), &json!(reason)));
    }
    assert_eq!(balances(&ledger).await, ["0.00", "400.00", "400.00"]);
}

#[tokio::test]
async fn thirty_two_copies_at_once_take_effect_once() {
    let ledger = Ledger::new();
    recharge(&ledger, "b1").await;
    let position = ledger.position().await;
    let fits = word("b1", "paid", "100.00", "r1");
    let answers = join_all((0..32).map(|_| notify(&ledger, "wechat", &fits))).await;
    assert!(answers.iter().all(|answer| meaning(&answer.body) == ("credited", "")));
    assert_eq!(ledger.position().await, position + 1);
    let strange = word("b9", "paid", "7.00", "r2");
    let answers = join_all((0..32).map(|_| notify(&ledger, "wechat", &strange))).await;
    assert!(answers.iter().all(|answer| meaning(&answer.body) == ("suspended", "unknown_order")));
    assert_eq!(ledger.position().await, position + 2);
    assert_eq!(balances(&ledger).await, ["100.00", "107.00", "7.00"]);
}

#[tokio::test]
async fn different_words_at_once_decide_once() {
    let ledger = Ledger::new();
    for number in 0..16 {
        let order = format!("b{number:02}");
        recharge(&ledger, &order).await;
        let reference = |of: usize| format!("r{number}-{of}");
        let words: Vec<Value> = (0..32)
            .map(|of| match of % 4 {
                0 => word(&order, "failed", "100.00", &reference(of)),
                1 => word(&order, "paid", "100.00", &reference(1)),
                2 => word(&order, "paid", "100.00", &reference(2)),
                _ => word(&order, "paid", "60.00", &reference(3)),
            })
            .collect();
        for answer in join_all(words.iter().map(|word| notify(&ledger, "wechat", word))).await {
            answer.expect(200);
        }
    }
    let [alice, channel, suspense] = balances(&ledger).await;
    // The channel took 260 a time; what is not credited waits.
    assert_eq!(channel, "4160.00");
    let yuan = |text: &str| text.strip_suffix(".00").unwrap().parse::<u32>().unwrap();
    assert_eq!(yuan(&alice) + yuan(&suspense), 4160);
    let mut credited = 0;
    for number in 0..16 {
        credited += u32::from(shown(&ledger, &format!("b{number:02}")).await["status"] == "paid");
    }
    assert_eq!(yuan(&alice), credited * 100);
}

/// All orders of so many things.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(count - 1);
    let inserted = |at: usize| {
        shorter.iter().map(move |order| {
            let mut order = order.clone();
            order.insert(at, count - 1);
            order
        })
    };
    (0..count).flat_map(inserted).collect()
}

#[tokio::test]
async fn in_whichever_order_words_come_the_money_is_there_once() {
    let ledger = Ledger::new();
    let (mut alice, mut suspense) = (0, 0);
    for (number, order_of_words) in permutations(5).into_iter().enumerate() {
        let order = format!("b{number:03}");
        recharge(&ledger, &order).await;
        let reference = |of: &str| format!("r{number}-{of}");
        let words = [
            word(&order, "paid", "100.00", &reference("right")),
            word(&order, "paid", "100.00", &reference("right")),
            word(&order, "failed", "100.00", &reference("none")),
            word(&order, "paid", "90.00", &reference("wrong")),
            word(&order, "failed", "100.00", &reference("none")),
        ];
        for &of in &order_of_words {
            notify(&ledger, "wechat", &words[of]).await.expect(200);
        }
        // The first word decides: paid, or failed. Money of another amount is no word of the order's.
        let paid = order_of_words.iter().find(|&&of| of != 3).is_some_and(|&of| of < 2);
        let (credited, waiting) = if paid { (100, 90) } else { (0, 190) };
        (alice, suspense) = (alice + credited, suspense + waiting);
        let shown = shown(&ledger, &order).await;
        assert_eq!(shown["status"], if paid { "paid" } else { "suspended" }, "{order_of_words:?}");
    }
    let yuan = |yuan: u32| format!("{yuan}.00");
    assert_eq!(balances(&ledger).await, [yuan(alice), yuan(120 * 190), yuan(suspense)]);
}

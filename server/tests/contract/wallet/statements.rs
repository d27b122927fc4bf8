//! Channels' statements against the books.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{Request, header},
};
use futures_util::{future::join_all, stream};
use serde_json::{Value, json};
use yue_engine::{model::Timestamp, wallet::Date};

use super::{
    channel::{balances, notify, recharge, shown, word},
    shop::{buyer, open_shops, order, pay, refund, with},
};
use yue_server::config::HttpLimits;

use crate::ledger::{Answer, Ledger, id};

const HEADER: &str = "order,reference,amount,at\n";
const DAY_NANOS: i64 = 24 * 3_600 * 1_000_000_000;

fn line(order: &str, reference: &str, amount: &str) -> String {
    format!("{},{reference},{amount},2026-06-18T12:00:00+08:00\n", id(order))
}

/// So many days from today.
fn day(ledger: &Ledger, from_today: i64) -> String {
    Date::of(Timestamp(ledger.engine.now().0 + from_today * DAY_NANOS)).to_string()
}

async fn send(ledger: &Ledger, channel: &str, date: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(format!("/v1/channels/{channel}/statements"))
        .header(header::CONTENT_TYPE, "text/csv; charset=utf-8")
        .header("Yue-Statement-Date", date);
    ledger.send(request.body(body.into()).unwrap()).await
}

fn counts(body: &Value) -> [u64; 4] {
    ["matched", "missing", "extra", "amount_differs"].map(|count| body[count].as_u64().unwrap())
}

/// Recharges that were paid: each by its own reference.
async fn paid(ledger: &Ledger, orders: &[&str]) {
    for order in orders {
        recharge(ledger, order).await;
        notify(ledger, "wechat", &word(order, "paid", "100.00", &format!("r-{order}"))).await.expect(200);
    }
}

#[tokio::test]
async fn each_difference_goes_to_suspense_once() {
    let ledger = Ledger::new();
    paid(&ledger, &["b1", "b2", "b3", "b4"]).await;
    recharge(&ledger, "b5").await;
    recharge(&ledger, "b6").await;
    notify(&ledger, "wechat", &word("b5", "paid", "99.00", "r-b5")).await.expect(200);
    notify(&ledger, "wechat", &word("b9", "paid", "5.00", "r-b9")).await.expect(200);
    assert_eq!(balances(&ledger).await, ["400.00", "504.00", "104.00"]);
    let statement = [
        HEADER.to_owned(),
        line("b1", "r-b1", "100.00"),
        line("b2", "r-b2", "120.00"),
        line("b3", "r-b3", "70.00"),
        line("b5", "r-b5", "99"),
        line("b9", "r-b9", "5.00"),
        line("b6", "r-b6", "100.00"),
        line("b1", "r-b1", "100.00"),
        "elsewhere,r-x,30.00,2026-06-18T12:00:00Z\n".to_owned(),
    ]
    .concat();
    let today = day(&ledger, 0);
    let answer = send(&ledger, "wechat", &today, statement.clone()).await.expect(200).body;
    assert_eq!(counts(&answer), [3, 1, 3, 2], "{answer}");
    assert_eq!((&answer["channel"], &answer["date"]), (&json!("wechat"), &json!(today)));
    assert_eq!(answer["truncated"], false);
    let row = |kind: &str, order: String, reference: &str, listed: Value, booked: Value, reason: &str| {
        json!({
            "kind": kind, "order": order, "reference": reference, "listed": listed, "booked": booked, "reason": reason,
        })
    };
    let (none, hundred) = (Value::Null, json!("100.00"));
    assert_eq!(
        answer["rows"],
        json!([
            row("amount_differs", id("b2"), "r-b2", json!("120.00"), hundred.clone(), "amount_differs"),
            row("amount_differs", id("b3"), "r-b3", json!("70.00"), hundred.clone(), "amount_differs"),
            row("extra", id("b6"), "r-b6", hundred.clone(), none.clone(), "not_notified"),
            row("extra", id("b1"), "r-b1", hundred.clone(), hundred.clone(), "listed_twice"),
            row("extra", "elsewhere".to_owned(), "r-x", json!("30.00"), none.clone(), "not_notified"),
            row("missing", id("b4"), "r-b4", none, hundred, "not_in_statement"),
        ])
    );
    // What the channel owes is what it says; what nobody can explain is in suspense.
    let after = ["400.00", "624.00", "224.00"];
    assert_eq!(balances(&ledger).await, after);
    let position = ledger.position().await;
    for again in join_all((0..8).map(|_| send(&ledger, "wechat", &today, statement.clone()))).await {
        assert_eq!(again.expect(200).body, answer);
    }
    assert_eq!(ledger.position().await, position);
    // A late notification finds its money in suspense.
    let pending = shown(&ledger, "b6").await;
    assert_eq!((&pending["status"], &pending["reason"]), (&json!("suspended"), &json!("not_notified")));
    let late = notify(&ledger, "wechat", &word("b6", "paid", "100.00", "r-b6")).await.expect(200);
    assert_eq!(late.body["effect"], "credited");
    assert_eq!(balances(&ledger).await, ["500.00", "624.00", "124.00"]);
    assert_eq!(send(&ledger, "wechat", &today, statement).await.expect(200).body, answer);
    assert_eq!(balances(&ledger).await, ["500.00", "624.00", "124.00"]);
}

#[tokio::test]
async fn thirty_two_at_once_book_once() {
    let ledger = Ledger::new();
    paid(&ledger, &["b1", "b2"]).await;
    let statement = [HEADER, &line("b1", "r-b1", "90.00"), &line("b7", "r-b7", "1.00")].concat();
    let today = day(&ledger, 0);
    let answers = join_all((0..32).map(|_| send(&ledger, "wechat", &today, statement.clone()))).await;
    for answer in answers {
        assert_eq!(counts(&answer.expect(200).body), [0, 1, 1, 1]);
    }
    assert_eq!(balances(&ledger).await, ["200.00", "91.00", "-109.00"]);
}

#[tokio::test]
async fn money_around_midnight_is_missing_on_neither_day() {
    let ledger = Ledger::new();
    paid(&ledger, &["b1", "b2"]).await;
    // The channel took it yesterday, by its own clock.
    let yesterday = [HEADER, &line("b1", "r-b1", "100.00")].concat();
    let answer = send(&ledger, "wechat", &day(&ledger, -1), yesterday).await.expect(200).body;
    assert_eq!(counts(&answer), [1, 0, 0, 0]);
    let today = [HEADER, &line("b2", "r-b2", "100.00")].concat();
    let answer = send(&ledger, "wechat", &day(&ledger, 0), today).await.expect(200).body;
    assert_eq!(counts(&answer), [1, 0, 0, 0], "{answer}");
    assert_eq!(balances(&ledger).await, ["200.00", "200.00", "0.00"]);
}

#[tokio::test]
async fn a_shortage_is_undone_when_a_statement_has_the_money() {
    // The day, from today, of the statement that has it, and the amount there.
    for (later, amount, after) in [
        (-1, "100.00", ["200.00", "200.00", "0.00"]),
        (0, "100.00", ["200.00", "200.00", "0.00"]),
        (-1, "90.00", ["200.00", "190.00", "-10.00"]),
        (0, "90.00", ["200.00", "190.00", "-10.00"]),
    ] {
        let ledger = Ledger::new();
        paid(&ledger, &["b1", "b2"]).await;
        let (today, later) = (day(&ledger, 0), day(&ledger, later));
        let own = [HEADER, &line("b2", "r-b2", "100.00")].concat();
        let answer = send(&ledger, "wechat", &today, own.clone()).await.expect(200).body;
        assert_eq!(counts(&answer), [1, 1, 0, 0]);
        assert_eq!(balances(&ledger).await, ["200.00", "100.00", "-100.00"]);
        let mut corrected = [HEADER, &line("b1", "r-b1", amount)].concat();
        if later == today {
            corrected.push_str(&line("b2", "r-b2", "100.00"));
        }
        for _ in 0..2 {
            let answer = send(&ledger, "wechat", &later, corrected.clone()).await.expect(200).body;
            let differs = u64::from(amount != "100.00");
            let matched = 1 - differs + u64::from(later == today);
            assert_eq!(counts(&answer), [matched, 0, 0, differs], "{answer}");
            assert_eq!(balances(&ledger).await, after, "{later} {amount}");
        }
        // Its own day's statement need not have it any more.
        if later != today {
            let answer = send(&ledger, "wechat", &today, own).await.expect(200).body;
            assert_eq!(counts(&answer), [1, 0, 0, 0]);
        }
        assert_eq!(balances(&ledger).await, after);
    }
}

#[tokio::test]
async fn the_last_of_several_statements_of_a_day_counts() {
    let ledger = Ledger::new();
    paid(&ledger, &["b1", "b2"]).await;
    let today = day(&ledger, 0);
    // What the statement has of `b1`, the counts, and what is in suspense.
    for (listed, expected, suspense) in [
        (Some("120.00"), [1, 0, 0, 1], "20.00"),
        (Some("120.00"), [1, 0, 0, 1], "20.00"),
        (Some("70.00"), [1, 0, 0, 1], "-30.00"),
        (Some("100.00"), [2, 0, 0, 0], "0.00"),
        (None, [1, 1, 0, 0], "-100.00"),
        (Some("100.00"), [2, 0, 0, 0], "0.00"),
        (None, [1, 1, 0, 0], "-100.00"),
        (Some("120.00"), [1, 0, 0, 1], "20.00"),
        (None, [1, 1, 0, 0], "-100.00"),
        (None, [1, 1, 0, 0], "-100.00"),
    ] {
        let mut statement = [HEADER, &line("b2", "r-b2", "100.00")].concat();
        if let Some(amount) = listed {
            statement.push_str(&line("b1", "r-b1", amount));
        }
        let answer = send(&ledger, "wechat", &today, statement).await.expect(200).body;
        assert_eq!(counts(&answer), expected, "{listed:?}: {answer}");
        assert_eq!(ledger.balance("suspense:wechat").await.0, suspense, "{listed:?}");
    }
    assert_eq!(balances(&ledger).await, ["200.00", "100.00", "-100.00"]);
}

/// Two payments of 9 yuan by WeChat alone, each refunded in part: `f1` 5, `f2` 2 yuan.
async fn refunded(ledger: &Ledger) -> String {
    open_shops(ledger).await;
    let alice = buyer(ledger, "alice", 0).await;
    let mut lines = HEADER.to_owned();
    for (payment, back, amount) in [("e1", "f1", "5.00"), ("e2", "f2", "2.00")] {
        let body = with(order(payment, &alice, "tp", &[("home", "9.00")]), json!({"combine_with": "wechat"}));
        pay(&alice, &body).await.expect(201);
        let reference = format!("r-{payment}");
        notify(ledger, "wechat", &word(payment, "paid", "9.00", &reference)).await.expect(200);
        refund(ledger, payment, back, json!({"amount": amount})).await.expect(201);
        lines.push_str(&line(payment, &reference, "9.00"));
    }
    assert_eq!(ledger.balance("channels:wechat").await.0, "11.00");
    lines
}

#[tokio::test]
async fn refunds_of_the_channels_part_are_compared_where_it_lists_them() {
    for (refunds, expected, channel) in [
        // None of them: it lists them elsewhere.
        (vec![], [2, 0, 0, 0], "11.00"),
        (vec![("f1", "5.00"), ("f2", "2.00")], [4, 0, 0, 0], "11.00"),
        // What did not go out the channel owes still.
        (vec![("f1", "5.00")], [3, 1, 0, 0], "13.00"),
        // What went out beyond, it does not.
        (vec![("f1", "6.00"), ("f2", "2.00")], [3, 0, 0, 1], "10.00"),
        (vec![("f1", "4.50"), ("f2", "2.00")], [3, 0, 0, 1], "11.50"),
        (vec![("f1", "5.00"), ("f2", "2.00"), ("f2", "2.00")], [4, 0, 1, 0], "9.00"),
    ] {
        let ledger = Ledger::new();
        let mut statement = refunded(&ledger).await;
        for (order, amount) in &refunds {
            statement.push_str(&line(order, &format!("back-{order}"), amount));
        }
        let today = day(&ledger, 0);
        let mut position = None;
        for _ in 0..2 {
            let answer = send(&ledger, "wechat", &today, statement.clone()).await.expect(200).body;
            assert_eq!(counts(&answer), expected, "{refunds:?}: {answer}");
            assert_eq!(ledger.balance("channels:wechat").await.0, channel, "{refunds:?}");
            let now = ledger.position().await;
            assert_eq!(*position.get_or_insert(now), now, "once: {refunds:?}");
        }
        if expected[1] == 1 {
            let answer = send(&ledger, "wechat", &today, statement.clone()).await.expect(200).body;
            let row = &answer["rows"][0];
            assert_eq!((&row["kind"], &row["order"]), (&json!("missing"), &json!(id("f2"))));
            assert_eq!((&row["listed"], &row["booked"]), (&Value::Null, &json!("2.00")));
            // Another day's statement has it.
            let other = [HEADER, &line("f2", "back-f2", "2.00")].concat();
            let answer = send(&ledger, "wechat", &day(&ledger, -1), other).await.expect(200).body;
            assert_eq!(counts(&answer), [1, 0, 0, 0]);
            assert_eq!(ledger.balance("channels:wechat").await.0, "11.00");
        }
    }
}

#[tokio::test]
async fn late_money_that_went_back_is_listed_as_it_came() {
    let ledger = Ledger::new();
    open_shops(&ledger).await;
    let alice = buyer(&ledger, "alice", 0).await;
    let body = with(order("e1", &alice, "tp", &[("home", "9.00")]), json!({"combine_with": "wechat"}));
    pay(&alice, &body).await.expect(201);
    ledger.post(&format!("/v1/payments/{}/cancel", id("e1")), &Value::Null).await.expect(200);
    notify(&ledger, "wechat", &word("e1", "paid", "9.00", "r-e1")).await.expect(200);
    let today = day(&ledger, 0);
    let statement = [HEADER, &line("e1", "r-e1", "9.00")].concat();
    let answer = send(&ledger, "wechat", &today, statement).await.expect(200).body;
    assert_eq!(counts(&answer), [1, 0, 0, 0], "{answer}");
    assert_eq!(ledger.balance("channels:wechat").await.0, "0.00");
    let answer = send(&ledger, "wechat", &today, HEADER).await.expect(200).body;
    assert_eq!(counts(&answer), [0, 1, 0, 0], "{answer}");
    assert_eq!(answer["rows"][0]["order"], json!(id("e1")));
}

#[tokio::test]
async fn what_a_statement_has_found_is_missing_in_no_other() {
    let ledger = Ledger::new();
    let (today, yesterday) = (day(&ledger, 0), day(&ledger, -1));
    // Booked today, of yesterday.
    let late = [HEADER, &line("b7", "r-b7", "30.00")].concat();
    let answer = send(&ledger, "wechat", &yesterday, late.clone()).await.expect(200).body;
    assert_eq!(counts(&answer), [0, 0, 1, 0]);
    let answer = send(&ledger, "wechat", &today, HEADER).await.expect(200).body;
    assert_eq!(counts(&answer), [0, 0, 0, 0], "{answer}");
    // Another channel's books are its own.
    let answer = send(&ledger, "alipay", &yesterday, late).await.expect(200).body;
    assert_eq!(counts(&answer), [0, 0, 1, 0]);
    assert_eq!(ledger.balance("suspense:wechat").await.0, "30.00");
    assert_eq!(ledger.balance("suspense:alipay").await.0, "30.00");
}

#[tokio::test]
async fn what_ledger_callers_book_is_no_order() {
    let ledger = Ledger::with_accounts().await;
    assert_eq!(ledger.balance("channels:wechat").await.0, "300.00");
    let answer = send(&ledger, "wechat", &day(&ledger, 0), HEADER).await.expect(200).body;
    assert_eq!(counts(&answer), [0, 0, 0, 0]);
    assert_eq!(ledger.balance("channels:wechat").await.0, "300.00");
}

#[tokio::test]
async fn one_bad_line_and_nothing_is_booked() {
    let ledger = Ledger::new();
    paid(&ledger, &["b1"]).await;
    let position = ledger.position().await;
    let today = day(&ledger, 0);
    let good = line("b7", "r-b7", "30.00");
    for (bad, field) in [
        (line("b8", "r-b8", "0.00"), "/3/amount"),
        (line("b8", "", "1.00"), "/3/reference"),
        ("x,y\n".to_owned(), "/3"),
        (format!("{good}{good}o,r,1.00,today\n"), "/5/at"),
    ] {
        let refused = send(&ledger, "wechat", &today, format!("{HEADER}{good}{bad}")).await;
        let refused = refused.expect_problem(400, "malformed");
        assert_eq!(refused.field(), field, "{bad}");
        assert!(refused.body["detail"].as_str().unwrap().starts_with("line "), "{}", refused.text);
    }
    for body in [good.clone(), String::new()] {
        let refused = send(&ledger, "wechat", &today, body).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), "/1");
    }
    let whole = format!("{HEADER}{good}");
    for date in ["", "today", "2026-02-30", "18.6.2026"] {
        let refused = send(&ledger, "wechat", date, whole.clone()).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), "/Yue-Statement-Date");
    }
    send(&ledger, "paypal", &today, whole.clone()).await.expect_problem(400, "malformed");
    let json = ledger.post("/v1/channels/wechat/statements", &json!({})).await;
    json.expect_problem(400, "malformed");
    let request = Request::post("/v1/channels/wechat/statements")
        .header(header::CONTENT_TYPE, "application/json")
        .header("Yue-Statement-Date", &today);
    let other = ledger.send(request.body(Body::from(whole.clone())).unwrap()).await;
    other.expect_problem(415, "unsupported_media_type");
    let tomorrow = day(&ledger, 1);
    send(&ledger, "wechat", &tomorrow, whole).await.expect_problem(422, "day_not_over");
    assert_eq!(ledger.position().await, position);
}

#[tokio::test]
async fn a_hundred_thousand_lines_are_read_as_they_come() {
    const LINES: usize = 100_000;
    let ledger = Ledger::new();
    paid(&ledger, &["b1", "b2"]).await;
    let piece = |number: usize| {
        let mut piece = if number == 0 { HEADER.to_owned() } else { String::new() };
        for _ in 0..LINES / 100 {
            piece.push_str(&line("b1", "r-b1", "100.00"));
        }
        Ok::<_, Infallible>(Bytes::from(piece))
    };
    let statement = |end: &str| {
        let end = Ok(Bytes::from(end.to_owned()));
        Body::from_stream(stream::iter((0..100).map(piece).chain([end])))
    };
    let today = day(&ledger, 0);
    let position = ledger.position().await;
    let refused = send(&ledger, "wechat", &today, statement("x")).await.expect_problem(400, "malformed");
    assert_eq!(refused.field(), format!("/{}", LINES + 2));
    assert_eq!(ledger.position().await, position);
    let answer =
        send(&ledger, "wechat", &today, statement(&line("b2", "r-b2", "100.00"))).await.expect(200).body;
    assert_eq!(counts(&answer), [2, 0, LINES as u64 - 1, 0]);
    assert_eq!((answer["rows"].as_array().unwrap().len(), &answer["truncated"]), (1_000, &json!(true)));
    assert_eq!(ledger.position().await, position + 1);
    assert_eq!(balances(&ledger).await, ["200.00", "300.00", "100.00"]);
}

#[tokio::test]
async fn a_statement_that_drips_is_cut() {
    let limits = HttpLimits { body_read_timeout: Duration::from_secs(1), ..HttpLimits::default() };
    let ledger = Ledger::with(|_| (), limits);
    // Each piece comes in time; all of them would take ten seconds.
    let drops = std::iter::once(HEADER).chain(std::iter::repeat_n("x", 200));
    let drips = stream::unfold(drops, |mut drops| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((Ok::<_, Infallible>(Bytes::from(drops.next()?)), drops))
    });
    let refused = send(&ledger, "wechat", &day(&ledger, 0), Body::from_stream(drips)).await;
    refused.expect_problem(408, "request_timeout");
}

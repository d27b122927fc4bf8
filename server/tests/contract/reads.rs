//! History, balance at a point, trial balance, health, metrics.

use serde_json::{Value, json};

use crate::ledger::{Ledger, capture, hold, id, reverse, transfer};

#[tokio::test]
async fn history_is_newest_first_with_the_balance_after_each_change() {
    let ledger = Ledger::with_accounts().await;
    let pay = json!({
        "id": id("a1"), "code": "payment",
        "operations": [
            transfer("customers:1", "merchants:7", "10"),
            {"type": "transfer", "debit": "customers:1", "credit": "customers:2", "amount": "1", "code": "tip"}
        ]
    });
    ledger.post("/v1/transactions", &pay).await.expect(201);
    ledger.submit("a2", &[hold("c1", "customers:1", "merchants:7", "5")]).await.expect(201);
    ledger.submit("a3", &[capture("c1", Some("4"))]).await.expect(201);
    ledger.submit("a4", &[transfer("customers:2", "customers:1", "100")]).await.expect(422);
    ledger.submit("a5", &[reverse("a1", 0, Some("2.5"))]).await.expect(201);
    let history = ledger.get("/v1/accounts/customers:1/history").await.expect(200).body;
    assert_eq!(history["next_cursor"], json!(null));
    let rows: Vec<_> = history["items"].as_array().unwrap().iter().map(row).collect();
    let expected = [
        ("a5", 0, "reverse", "credit", "2.50", "87.50", "merchants:7", json!(null)),
        ("a3", 0, "capture", "debit", "4.00", "85.00", "merchants:7", json!(null)),
        ("a1", 1, "transfer", "debit", "1.00", "89.00", "customers:2", json!("tip")),
        ("a1", 0, "transfer", "debit", "10.00", "90.00", "merchants:7", json!("payment")),
        ("0f1", 0, "transfer", "credit", "100.00", "100.00", "channels:wechat", json!(null)),
    ];
    let expected =
        expected.map(|(digits, operation, kind, direction, amount, balance, counterparty, code)| {
            let texts = [&id(digits), kind, direction, amount, balance, counterparty].map(str::to_owned);
            (texts, json!(operation), code)
        });
    assert_eq!(rows, expected);
    ledger.get("/v1/accounts/customers:none/history").await.expect_problem(404, "not_found");
}

fn row(item: &Value) -> ([String; 6], Value, Value) {
    let names = ["transaction", "type", "direction", "amount", "balance", "counterparty"];
    (
        names.map(|name| item[name].as_str().unwrap().to_owned()),
        item["operation"].clone(),
        item["code"].clone(),
    )
}

#[tokio::test]
async fn history_comes_in_pages_and_between_times() {
    let ledger = Ledger::with_accounts().await;
    for number in 0..7 {
        let twice = transfer("customers:1", "merchants:7", "1");
        ledger.submit(&format!("a{number}"), &[twice.clone(), twice]).await.expect(201);
    }
    let uri = "/v1/accounts/customers:1/history";
    let all = ledger.get(uri).await.expect(200).body["items"].as_array().unwrap().clone();
    assert_eq!(all.len(), 15);
    // Pages that cut transactions in two, and new rows that arrive meanwhile.
    let mut paged = Vec::new();
    let mut cursor = String::new();
    for number in 0.. {
        let page = ledger.get(&format!("{uri}?limit=3{cursor}")).await.expect(200).body;
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        ledger
            .submit(&format!("b{number}"), &[transfer("customers:1", "merchants:7", "1")])
            .await
            .expect(201);
    }
    assert_eq!(paged, all);
    // `from` inclusive, `to` exclusive, with any offset.
    let at = |index: usize| all[index]["at"].as_str().unwrap().to_owned();
    let between = async |from: &str, to: &str| {
        let page = ledger.get(&format!("{uri}?from={from}&to={to}")).await.expect(200).body;
        page["items"].as_array().unwrap().clone()
    };
    assert_eq!(between(&at(12), &at(4)).await, all[6..14]);
    assert_eq!(between(&at(4), &at(4)).await, [] as [Value; 0]);
    assert_eq!(between(&at(4), &at(12)).await, [] as [Value; 0]);
    let now = ledger.get(uri).await.expect(200).body["items"].as_array().unwrap().clone();
    assert_eq!(between("0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z").await, now);
    let shanghai: jiff::Timestamp = at(12).parse().unwrap();
    let shanghai = jiff::fmt::temporal::DateTimePrinter::new()
        .timestamp_with_offset_to_string(&shanghai, jiff::tz::offset(8));
    assert!(shanghai.ends_with("+08:00"));
    assert_eq!(between(&shanghai, &at(4)).await, all[6..14]);
    assert_eq!(between(&shanghai.replace('+', "%2B"), &at(4)).await, all[6..14]);
}

#[tokio::test]
async fn a_balance_in_the_past_is_that_of_the_last_change() {
    let ledger = Ledger::with_accounts().await;
    let opened = ledger.get("/v1/accounts/customers:2").await.body;
    let mut steps =
        vec![(opened["position"].as_u64().unwrap(), opened["opened_at"].clone(), "0.00".to_owned())];
    for (number, total) in (1..).zip(["1.00", "2.00", "3.00"]) {
        let posted =
            ledger.submit(&format!("a{number}"), &[transfer("customers:1", "customers:2", "1")]).await.body;
        steps.push((posted["position"].as_u64().unwrap(), posted["at"].clone(), total.to_owned()));
        ledger
            .submit(&format!("b{number}"), &[transfer("customers:1", "merchants:7", "1")])
            .await
            .expect(201);
    }
    let uri = "/v1/accounts/customers:2/balance";
    for (position, at, total) in &steps {
        let expected = json!({
            "address": "customers:2", "asset": "CNY", "posted": total, "position": position, "at": at
        });
        let at = at.as_str().unwrap();
        assert_eq!(ledger.get(&format!("{uri}?position={position}")).await.expect(200).body, expected);
        assert_eq!(ledger.get(&format!("{uri}?at={at}")).await.expect(200).body, expected);
        // Other accounts' records do not count.
        if total != "0.00" {
            let next = position + 1;
            assert_eq!(ledger.get(&format!("{uri}?position={next}")).await.expect(200).body, expected);
        }
    }
    let last = ledger.get(&format!("{uri}?at=9999-01-01T00:00:00Z")).await.expect(200).body;
    assert_eq!(last["posted"], "3.00");
    for before in ["position=0", "position=1", "at=2001-01-01T00:00:00Z"] {
        ledger.get(&format!("{uri}?{before}")).await.expect_problem(404, "not_found");
    }
    ledger.get("/v1/accounts/customers:none/balance?position=1").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn without_a_key_there_is_no_signed_head() {
    Ledger::new().get("/v1/head").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_trial_balance_has_every_asset_and_group() {
    let ledger = Ledger::new();
    let empty = ledger.get("/v1/trial-balance").await.expect(200).body;
    assert_eq!((&empty["position"], &empty["assets"], &empty["groups"]), (&json!(0), &json!([]), &json!([])));
    let ledger = Ledger::with_accounts().await;
    ledger.submit("a1", &[transfer("carbon:pool", "customers:1:carbon", "7")]).await.expect(201);
    ledger.submit("a2", &[transfer("customers:1", "merchants:7", "1.5")]).await.expect(201);
    ledger.submit("a3", &[hold("c1", "customers:1", "merchants:7", "5")]).await.expect(201);
    let trial = ledger.get("/v1/trial-balance").await.expect(200).body;
    let row = |name: &str, asset: &str, debits: &str, credits: &str| json!({"prefix": name, "asset": asset, "debits": debits, "credits": credits});
    let assets = json!([
        {"asset": "CARBON", "debits": "7", "credits": "7", "balanced": true},
        {"asset": "CNY", "debits": "301.50", "credits": "301.50", "balanced": true}
    ]);
    assert_eq!(trial["assets"], assets);
    let groups = trial["groups"].as_array().unwrap();
    for expected in [
        row("carbon", "CARBON", "7", "0"),
        row("channels", "CNY", "300.00", "0.00"),
        row("customers", "CARBON", "0", "7"),
        row("customers", "CNY", "1.50", "300.00"),
        row("merchants", "CNY", "0.00", "1.50"),
    ] {
        assert!(groups.contains(&expected), "{expected} is not in {trial}");
    }
    assert_eq!(groups.len(), 5);
}

#[tokio::test]
async fn bad_queries_are_malformed() {
    let ledger = Ledger::with_accounts().await;
    let account = "/v1/accounts/customers:1";
    let check = async |uri: String, field: &str| {
        let answer = ledger.get(&uri).await.expect_problem(400, "malformed");
        assert_eq!(answer.field(), field, "{uri}");
    };
    for limit in ["0", "1001", "-1", "x", "", "1.0", "%2B1"] {
        check(format!("/v1/accounts?limit={limit}"), "/limit").await;
        check(format!("{account}/history?limit={limit}"), "/limit").await;
    }
    let history = ledger.get(&format!("{account}/history?limit=1")).await.body;
    for cursor in ["x", "", "AAAA", history["next_cursor"].as_str().unwrap_or("EQ")] {
        check(format!("/v1/accounts?cursor={cursor}"), "/cursor").await;
    }
    check(format!("{account}/history?cursor=EWFiYw"), "/cursor").await;
    for time in ["now", "2026-06-18", "2026-06-18T00:00:00", "1", ""] {
        check(format!("{account}/history?from={time}"), "/from").await;
        check(format!("{account}/balance?at={time}"), "/at").await;
    }
    for position in ["-1", "x", "", "18446744073709551616"] {
        check(format!("{account}/balance?position={position}"), "/position").await;
        check(format!("/v1/events?after={position}"), "/after").await;
    }
    check(format!("{account}/balance"), "/at").await;
    check(format!("{account}/balance?at=2026-06-18T00:00:00Z&position=1"), "/at").await;
    for uri in ["/v1/accounts", account, "/v1/trial-balance", "/v1/events", &format!("/v1/holds/{}", id("1"))]
    {
        check(format!("{uri}?other=1"), "/other").await;
    }
    check("/v1/accounts/Customers:1".to_owned(), "/address").await;
    check(format!("/v1/accounts/{}", "a".repeat(65)), "/address").await;
    ledger.get("/v1/accounts/customers:1?").await.expect(200);
}

#[tokio::test]
async fn a_running_server_is_alive_ready_and_counted() {
    let ledger = Ledger::with_accounts().await;
    ledger.submit("a1", &[transfer("customers:2", "merchants:7", "1")]).await.expect(422);
    assert_eq!(ledger.get("/healthz").await.expect(200).body, json!({"status": "ok"}));
    assert_eq!(ledger.get("/readyz").await.expect(200).body, json!({"ready": true, "phase": "ready"}));
    let page = ledger.get("/metrics").await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "yue_transactions_posted_total 3",
        "yue_transactions_refused_total{code=\"insufficient_funds\"} 1",
        "yue_accounts 10",
        "yue_http_responses_total{route=\"POST /v1/accounts\",status=\"2xx\"} 10",
        "yue_http_responses_total{route=\"POST /v1/transactions\",status=\"4xx\"} 1",
        "yue_http_problems_total{code=\"insufficient_funds\"} 1",
    ] {
        assert!(page.text.lines().any(|other| other == line), "{line} is missing in:\n{}", page.text);
    }
}

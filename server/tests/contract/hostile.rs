//! What clients must not send: each is refused with 400 and the field, nothing is changed, and nothing is a 5xx.

use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};

use crate::ledger::{Answer, Ledger, id, transfer};

/// Sends raw bytes as a transaction.
async fn send(ledger: &Ledger, body: impl Into<Vec<u8>>) -> Answer {
    ledger.send_json(Method::POST, "/v1/transactions", body.into()).await
}

/// A good transaction as text; `from` is replaced by `to` in it.
fn with(from: &str, to: &str) -> String {
    let good = format!(
        r#"{{"id":"{}","operations":[{{"type":"transfer","debit":"customers:1","credit":"merchants:7","amount":"1.00"}}],"#,
        id("a1")
    ) + r#""code":"pay","reference":"r","metadata":{"k":"v"}}"#;
    assert!(good.contains(from), "{from}");
    good.replacen(from, to, 1)
}

#[tokio::test]
async fn malformed_text_is_refused_where_it_is() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    let check = async |body: Vec<u8>, field: &str| {
        let text = String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
        let answer = send(&ledger, body).await.expect_problem(400, "malformed");
        assert_eq!(answer.field(), field, "{text}: {}", answer.text);
    };
    for nothing in [
        "",
        " ",
        "null",
        "true",
        "1",
        "NaN",
        "\"x\"",
        "[]",
        "[[]]",
        "{",
        "}",
        "\u{feff}{}",
        "{}{}",
        "'",
        "\0",
    ] {
        check(nothing.into(), if nothing == "{}{}" { "/id" } else { "" }).await;
    }
    check(with(r#"{"k":"v"}}"#, r#"{"k":"v"}}x"#).into(), "").await;
    check(with(r#"{"k":"v"}}"#, r#"{"k":"v"}} {}"#).into(), "").await;
    check(with(r#"{"id""#, "\u{feff}{\"id\"").into(), "").await;
    // Duplicate keys, at each level.
    check(with(r#""code":"pay""#, r#""code":"pay","code":"pay""#).into(), "/code").await;
    check(with(r#""code":"pay""#, r#""code":null,"code":"pay""#).into(), "/code").await;
    check(with(r#""operations":["#, r#""operations":[],"operations":["#).into(), "/operations").await;
    check(with(r#""amount":"1.00""#, r#""amount":"1.00","amount":"9""#).into(), "/operations/0/amount").await;
    check(with(r#""amount":"1.00""#, r#""amount":"1.00","\u0061mount":"9""#).into(), "/operations/0/amount")
        .await;
    check(with(r#"{"k":"v"}"#, r#"{"k":"v","k":"w"}"#).into(), "/metadata/k").await;
    check(with(r#"{"k":"v"}"#, r#"{"k":"v","\u006b":"v"}"#).into(), "/metadata/k").await;
    // Unknown fields, at each level.
    check(with(r#""code":"pay""#, r#""kode":"pay""#).into(), "/kode").await;
    check(with(r#""amount":"1.00""#, r#""amount":"1.00","fee":null"#).into(), "/operations/0/fee").await;
    check(with(r#""amount":"1.00""#, r#""amount":"1.00","expires_in":5"#).into(), "/operations/0/expires_in")
        .await;
    // Bytes that are no text.
    check(with("pay", "p\u{1}y").into(), "/code").await;
    check(with("pay", r"p\u0000y").into(), "/code").await;
    check(with(r#""r""#, r#""\u0000""#).into(), "/reference").await;
    check(with(r#""v""#, r#""\u0000""#).into(), "/metadata/k").await;
    check(with("pay", r"\ud83d").into(), "/code").await;
    check(with("pay", r"\x").into(), "/code").await;
    let mut bytes = with("pay", "@").into_bytes();
    let place = bytes.iter().position(|&byte| byte == b'@').unwrap();
    bytes[place] = 0xff;
    check(bytes, "/code").await;
    assert_eq!(ledger.position().await, position);
}

#[tokio::test]
async fn wrong_types_are_refused_where_they_are() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(20_000), "}".repeat(20_000));
    let values = [
        "1",
        "-1",
        "1.5",
        "1e400",
        "-1e400",
        "1e-400",
        "NaN",
        "Infinity",
        "-0",
        "007",
        "0x1",
        "18446744073709551616",
        "true",
        "{}",
        r#"{"transfer":null}"#,
        "[]",
        r#"["a"]"#,
        deep.as_str(),
        deep_object.as_str(),
    ];
    for value in values {
        for (from, field) in [
            (format!("\"{}\"", id("a1")), "/id"),
            (r#""transfer""#.to_owned(), "/operations/0/type"),
            (r#""customers:1""#.to_owned(), "/operations/0/debit"),
            (r#""1.00""#.to_owned(), "/operations/0/amount"),
            (r#""pay""#.to_owned(), "/code"),
            (r#""r""#.to_owned(), "/reference"),
            (r#""v""#.to_owned(), "/metadata/k"),
        ] {
            let answer = send(&ledger, with(&from, value)).await.expect_problem(400, "malformed");
            let value = value.chars().take(40).collect::<String>();
            assert_eq!(answer.field(), field, "{value}: {}", answer.text);
        }
    }
    for value in ["null", "1", "\"x\"", "{}", r#"{"0":{}}"#] {
        let operations = with("", "");
        let start = operations.find("[{").unwrap();
        let end = operations.find("}]").unwrap() + 2;
        let body = operations.replace(&operations[start..end], value);
        let answer = send(&ledger, body).await.expect_problem(400, "malformed");
        assert_eq!(answer.field(), "/operations", "{value}");
    }
    // Arrays in the place of objects: serde would take them.
    let list = json!([id("a1"), [transfer("customers:1", "merchants:7", "1")], null, null, {}]);
    assert_eq!(send(&ledger, list.to_string()).await.expect_problem(400, "malformed").field(), "");
    let list = json!({"id": id("a1"), "operations": [["transfer", null, "customers:1", "merchants:7", "1"]]});
    assert_eq!(
        send(&ledger, list.to_string()).await.expect_problem(400, "malformed").field(),
        "/operations/0"
    );
    assert_eq!(ledger.position().await, position);
}

#[tokio::test]
async fn values_out_of_their_range_are_refused_where_they_are() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    let good = json!({
        "id": id("a1"), "code": "c", "reference": "r", "metadata": {"k": "v"},
        "operations": [
            transfer("customers:1", "merchants:7", "1"),
            {
                "type": "hold", "id": id("c1"), "debit": "customers:1", "credit": "merchants:7", "amount": "1",
                "expires_in": 900
            },
            {"type": "capture", "hold": id("c2")},
            {"type": "reverse", "transaction": id("b1"), "operation": 0}
        ]
    });
    let check = async |pointer: &str, value: Value, field: &str| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        let answer = ledger.post("/v1/transactions", &body).await.expect_problem(400, "malformed");
        assert_eq!(answer.field(), field, "{}", answer.text);
    };
    for bad in ["", "a1", &id("a1").replace('-', ""), &format!("{{{}}}", id("a1")), &format!(" {}", id("a1"))]
    {
        check("/id", json!(bad), "/id").await;
        check("/operations/1/id", json!(bad), "/operations/1/id").await;
        check("/operations/2/hold", json!(bad), "/operations/2/hold").await;
        check("/operations/3/transaction", json!(bad), "/operations/3/transaction").await;
    }
    check("/id", json!(id("a1").replace("-7000-", "-8000-")), "/id").await;
    for bad in ["", ":", "a:", "a::b", "A", "a b", "a:b:c:d:e", "é", "a\n", &"a".repeat(33), &"a:".repeat(40)]
    {
        check("/operations/0/debit", json!(bad), "/operations/0/debit").await;
        check("/operations/1/credit", json!(bad), "/operations/1/credit").await;
    }
    for bad in [json!(0), json!(2_592_001), json!(-1), json!(1.5), json!("900"), json!(u64::MAX), json!(null)]
    {
        check("/operations/1/expires_in", bad, "/operations/1/expires_in").await;
    }
    for bad in [json!(64), json!(-1), json!(256), json!(0.0), json!("0"), json!(null)] {
        check("/operations/3/operation", bad, "/operations/3/operation").await;
    }
    for bad in ["", &"x".repeat(65)] {
        check("/code", json!(bad), "/code").await;
    }
    for bad in ["", &"x".repeat(257), &"茶".repeat(86)] {
        check("/reference", json!(bad), "/reference").await;
    }
    for field in ["debit", "credit", "amount"] {
        check(&format!("/operations/0/{field}"), json!(null), &format!("/operations/0/{field}")).await;
    }
    let pairs: Value =
        (0..17).map(|number| (format!("k{number}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    check("/metadata", pairs, "/metadata").await;
    check("/metadata", json!({"a": "v", "": "v"}), "/metadata/").await;
    check("/metadata", json!({"k": "v".repeat(257)}), "/metadata/k").await;
    let long = "k".repeat(65);
    check("/metadata", json!({&long: "v"}), &format!("/metadata/{long}")).await;
    check("/operations", json!([]), "/operations").await;
    let many = vec![transfer("customers:1", "merchants:7", "0.01"); 65];
    check("/operations", json!(many), "/operations").await;
    assert_eq!(ledger.position().await, position);
    // The most that fits.
    let full = json!({
        "id": id("a1"), "code": "x".repeat(64), "reference": "茶".repeat(85), "operations": many[..64],
        "metadata": (0..16).map(|n| (format!("{n:064}"), json!("v".repeat(256)))).collect::<serde_json::Map<_, _>>()
    });
    ledger.post("/v1/transactions", &full).await.expect(201);
}

#[tokio::test]
async fn bad_accounts_are_refused_where_they_are() {
    let ledger = Ledger::with_accounts().await;
    let position = ledger.position().await;
    let limit = |fields: Value| json!({"limits": [{"window": "day", "count": 1}, fields]});
    let many: Vec<_> =
        (0..17).map(|number| json!({"window": "day", "code": format!("c{number}"), "count": 1})).collect();
    for (fields, field) in [
        (json!({"normal": "both"}), "/normal"),
        (json!({"normal": {"credit": null}}), "/normal"),
        (json!({"floor": 1}), "/floor"),
        (json!({"ceiling": 1}), "/ceiling"),
        (json!({"limits": {}}), "/limits"),
        (json!({"limits": many}), "/limits"),
        (limit(json!({})), "/limits/1/window"),
        (limit(json!({"window": "month"})), "/limits/1"),
        (limit(json!({"window": "month", "amount": null, "count": null})), "/limits/1"),
        (limit(json!({"window": "week", "count": 1})), "/limits/1/window"),
        (limit(json!({"window": "month", "count": 0})), "/limits/1/count"),
        (limit(json!({"window": "month", "count": -1})), "/limits/1/count"),
        (limit(json!({"window": "month", "count": 1, "code": ""})), "/limits/1/code"),
        (limit(json!({"window": "month", "count": 1, "used": null})), "/limits/1/used"),
        (limit(json!({"window": "day", "amount": "1"})), "/limits"),
        (limit(json!(["month", null, null, 1])), "/limits/1"),
        (json!({"metadata": {"a": 1}}), "/metadata/a"),
        (json!({"metadata": []}), "/metadata"),
        (json!({"status": "active", "posted": "1"}), "/posted"),
    ] {
        let check = async |answer: Answer| {
            assert_eq!(answer.expect_problem(400, "malformed").field(), field, "{fields}");
        };
        let mut opening = json!({"address": "a:1", "asset": "CNY"});
        opening.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        if fields.get("status").is_none() {
            check(ledger.post("/v1/accounts", &opening).await).await;
        }
        if !["/normal", "/metadata", "/metadata/a"].contains(&field) {
            check(ledger.patch("/v1/accounts/customers:1", &fields).await).await;
        }
    }
    for (body, field) in [
        (json!({"asset": "CNY"}), "/address"),
        (json!({"address": "a:1"}), "/asset"),
        (json!({"address": null, "asset": "CNY"}), "/address"),
        (json!({"address": "A", "asset": "CNY"}), "/address"),
        (json!({"address": "a:1", "asset": null}), "/asset"),
        (json!({"address": "a:1", "asset": "CNY", "status": "active"}), "/status"),
    ] {
        let answer = ledger.post("/v1/accounts", &body).await.expect_problem(400, "malformed");
        assert_eq!(answer.field(), field, "{body}");
    }
    for (body, field) in [
        (json!({"status": "gone"}), "/status"),
        (json!({"address": "a:1"}), "/address"),
        (json!({"normal": "credit"}), "/normal"),
        (json!({"metadata": {}}), "/metadata"),
        (json!([]), ""),
    ] {
        let answer = ledger.patch("/v1/accounts/customers:1", &body).await.expect_problem(400, "malformed");
        assert_eq!(answer.field(), field, "{body}");
    }
    assert_eq!(ledger.position().await, position);
}

/// Version 8 is the wallet's: who chose one could take an id that a payment will need.
#[tokio::test]
async fn nobody_chooses_a_derived_id() {
    let ledger = Ledger::with_accounts().await;
    let derived = "0197a0b0-0000-8000-8000-0000000000e1";
    let (debit, credit, amount) = ("customers:1", "merchants:7", "1.00");
    let hold = |hold: &str| {
        json!({
            "type": "hold", "id": hold, "debit": debit, "credit": credit, "amount": amount, "expires_in": 60,
        })
    };
    let pay = json!({"type": "transfer", "debit": debit, "credit": credit, "amount": amount});
    for (body, field) in [
        (json!({"id": derived, "operations": [pay]}), "/id"),
        (json!({"id": id("d1"), "operations": [hold(derived)]}), "/operations/0/id"),
    ] {
        let answer = send(&ledger, body.to_string()).await.expect_problem(400, "malformed");
        assert_eq!(answer.field(), field);
    }
    // What exists may be named: it is not there.
    let release = json!({"id": id("d2"), "operations": [{"type": "release", "hold": derived}]});
    send(&ledger, release.to_string()).await.expect_problem(422, "hold_not_found");
}

/// A browser sends what any page asks it to, to servers of its own machine too.
#[tokio::test]
async fn pages_of_other_sites_move_nothing() {
    let ledger = Ledger::with_accounts().await;
    let pay = json!({"id": id("d1"), "operations": [transfer("customers:1", "merchants:7", "1.00")]});
    let position = ledger.position().await;
    let check = async |name: &str, value: &str, uri: &str, body: String| {
        let request = Request::post(uri).header("host", "127.0.0.1:8080").header(name, value);
        ledger.send(request.body(Body::from(body)).unwrap()).await
    };
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        check(name, value, "/v1/transactions", pay.to_string()).await.expect_problem(400, "malformed");
        check(name, value, "/v1/days/2026-01-01/close", String::new()).await.expect_problem(400, "malformed");
    }
    // A page whose own name points here.
    let request = Request::post("/v1/transactions").header("host", "evil.example:8080");
    let request = request.header("origin", "http://evil.example:8080").body(Body::from(pay.to_string()));
    ledger.send(request.unwrap()).await.expect_problem(400, "malformed");
    assert_eq!(ledger.position().await, position);
    check("origin", "http://127.0.0.1:8080", "/v1/transactions", pay.to_string()).await.expect(201);
}

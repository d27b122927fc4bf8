//! Keys that are bound to a prefix: what is not theirs is not there.

use serde_json::{Value, json};

use super::guarded::{Draft, Guarded, Key};
use crate::ledger::{Ledger, capture, hold, id, release, reverse, transfer};

const EVERYTHING: &str =
    "transactions:write,holds:write,accounts:read,accounts:write,wallet:*,audit:read,operator";

/// A ledger with a user of a similar name, and a key for one user.
async fn bound() -> (Guarded, Key) {
    let ledger = Ledger::with_accounts().await;
    for address in ["customers:1:a", "customers:1-b", "customers:10", "customers:1.c"] {
        ledger.post("/v1/accounts", &json!({"address": address, "asset": "CNY"})).await.expect(201);
    }
    let guarded = Guarded::over(ledger, 100);
    let key = guarded.key(&format!("bound --scopes {EVERYTHING} --prefix customers:1"));
    (guarded, key)
}

/// What two answers have in common if nobody can tell them apart, but for places in the journal.
fn shape(answer: &crate::ledger::Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("position");
    }
    (answer.status, body)
}

#[tokio::test]
async fn foreign_accounts_are_not_there() {
    let (guarded, key) = bound().await;
    for suffix in ["", "/history", "/balance?position=99999"] {
        let uri = |address: &str| format!("/v1/accounts/{address}{suffix}");
        guarded.get(&key, &uri("customers:1")).await.expect(200);
        let unknown = guarded.get(&key, &uri("customers:unknown")).await.expect_problem(404, "not_found");
        for foreign in
            ["customers:2", "customers:10", "customers:1-b", "customers:1.c", "customers", "merchants:7"]
        {
            assert_eq!(shape(&guarded.get(&key, &uri(foreign)).await), shape(&unknown), "{foreign}{suffix}");
        }
    }
    for address in ["customers:2", "customers:unknown", "channels:wechat"] {
        let change =
            Draft::new("PATCH", &format!("/v1/accounts/{address}"), "{\"status\":\"frozen\"}").bearer(&key);
        guarded.send(&change).await.expect_problem(404, "not_found");
        let opening = json!({"address": address, "asset": "CNY"});
        guarded.post(&key, "/v1/accounts", &opening).await.expect_problem(404, "not_found");
    }
    guarded
        .post(&key, "/v1/accounts", &json!({"address": "customers:1:b", "asset": "CNY"}))
        .await
        .expect(201);
}

#[tokio::test]
async fn lists_show_what_is_below_the_prefix() {
    let (guarded, key) = bound().await;
    let own = ["customers:1", "customers:1:a", "customers:1:carbon"];
    let check = async |prefix: &str, limit: usize, expected: &[&str]| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let uri = format!("/v1/accounts?prefix={prefix}&limit={limit}{cursor}");
            let page = guarded.get(&key, &uri).await.expect(200).body;
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit, "{uri}");
            found.extend(items.iter().map(|item| item["address"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, expected, "{prefix} {limit}");
    };
    for limit in [1, 2, 3, 50] {
        check("", limit, &own).await;
        check("cust", limit, &own).await;
        check("customers:1", limit, &own).await;
        check("customers:1:", limit, &own[1..]).await;
        check("customers:1:c", limit, &own[2..]).await;
        check("customers:10", limit, &[]).await;
        check("merchants", limit, &[]).await;
    }
}

#[tokio::test]
async fn foreign_money_is_not_moved() {
    let (guarded, key) = bound().await;
    let ledger = &guarded.ledger;
    ledger.submit("20", &[hold("21", "customers:1", "merchants:7", "1.00")]).await.expect(201);
    ledger.submit("30", &[transfer("channels:wechat", "customers:2", "50.00")]).await.expect(201);
    ledger.submit("31", &[hold("32", "customers:2", "merchants:7", "1.00")]).await.expect(201);
    ledger.submit("33", &[transfer("customers:1", "merchants:7", "3.00")]).await.expect(201);
    let mut number = 0;
    let mut check = async |operation: Value, unknown: Value, expected: Option<&str>| {
        let mut send = async |operation: &Value| {
            number += 1;
            let body = json!({"id": id(&format!("b{number}")), "operations": [operation]});
            guarded.post(&key, "/v1/transactions", &body).await
        };
        let answer = send(&operation).await;
        match expected {
            None => drop(answer.expect(201)),
            Some(code) => {
                assert_eq!(answer.code(), code, "{}", answer.text);
                assert_eq!(shape(&answer), shape(&send(&unknown).await), "{operation}");
            }
        }
    };
    let unknown = || transfer("customers:unknown", "merchants:7", "1.00");
    check(transfer("customers:1", "customers:2", "1.00"), unknown(), None).await;
    for foreign in ["customers:2", "customers:10", "merchants:7", "channels:wechat", "customers:frozen"] {
        let credit = if foreign == "merchants:7" { "customers:2" } else { "merchants:7" };
        check(transfer(foreign, credit, "1.00"), unknown(), Some("account_not_found")).await;
        let place = hold("f0", foreign, credit, "1.00");
        check(place, hold("f1", "customers:unknown", credit, "1.00"), Some("account_not_found")).await;
    }
    check(capture("32", None), capture("ff", None), Some("hold_not_found")).await;
    check(release("32"), release("ff"), Some("hold_not_found")).await;
    check(capture("21", Some("0.50")), Value::Null, None).await;
    // The merchant would have to pay it back.
    check(reverse("33", 0, None), reverse("ff", 0, None), Some("transaction_not_found")).await;
    // What it received is its own to give back.
    check(reverse("0f1", 0, Some("1.00")), Value::Null, None).await;
    assert_eq!(guarded.ledger.balance("customers:2").await, ("51.00".into(), "1.00".into()));
}

#[tokio::test]
async fn one_foreign_debit_is_enough() {
    let (guarded, key) = bound().await;
    guarded.ledger.submit("30", &[transfer("channels:wechat", "customers:2", "50.00")]).await.expect(201);
    let operations =
        [transfer("customers:1", "merchants:7", "1.00"), transfer("customers:2", "merchants:7", "1.00")];
    let body = json!({"id": id("31"), "operations": operations});
    let answer = guarded.post(&key, "/v1/transactions", &body).await.expect_problem(422, "account_not_found");
    assert_eq!(answer.body["operation"], 1);
    // Refused for ever for the key that sent it, as a name that is not there would be.
    let again = guarded.post(&key, "/v1/transactions", &body).await.expect_problem(422, "account_not_found");
    assert!(again.replayed());
}

#[tokio::test]
async fn anothers_id_tells_nothing() {
    let (guarded, key) = bound().await;
    let ledger = &guarded.ledger;
    ledger.submit("30", &[transfer("channels:wechat", "customers:2", "50.00")]).await.expect(201);
    let theirs = [transfer("customers:2", "merchants:7", "1.00")];
    ledger.submit("31", &theirs).await.expect(201);
    ledger.submit("32", &[transfer("customers:2", "merchants:7", "99.00")]).await.expect(422);
    for (digits, amount) in [("31", "1.00"), ("31", "2.00"), ("32", "99.00")] {
        let body = json!({"id": id(digits), "operations": [transfer("customers:2", "merchants:7", amount)]});
        let answer = guarded.post(&key, "/v1/transactions", &body).await.expect_problem(409, "id_reused");
        assert_eq!(answer.field(), "/id", "{digits} {amount}");
    }
    // Of what was refused for an unknown name, too; the same body hears what it would hear anyway.
    let to = |amount: &str| transfer("customers:unknown", "merchants:7", amount);
    ledger.submit("40", &[to("1.00")]).await.expect(422);
    ledger.submit("41", &[hold("42", "customers:2", "merchants:7", "1.00")]).await.expect(201);
    ledger.submit("43", &[capture("42", Some("2.00"))]).await.expect(422);
    ledger.submit("44", &[transfer("customers:1", "merchants:7", "1.00")]).await.expect(201);
    ledger.submit("45", &[reverse("44", 0, Some("2.00"))]).await.expect(422);
    ledger.submit("46", &[transfer("customers:2", "customers:1", "1.00")]).await.expect(201);
    ledger.submit("47", &[reverse("46", 0, Some("2.00"))]).await.expect(422);
    for (digits, operation, expected) in [
        ("40", to("1.00"), (422, "account_not_found", "")),
        ("40", to("2.00"), (409, "id_reused", "/id")),
        ("43", capture("42", Some("2.00")), (409, "id_reused", "/id")),
        ("43", capture("42", Some("3.00")), (409, "id_reused", "/id")),
        ("45", reverse("44", 0, Some("2.00")), (409, "id_reused", "/id")),
        ("45", reverse("44", 0, Some("3.00")), (409, "id_reused", "/id")),
        // What he himself would have to give back.
        ("47", reverse("46", 0, Some("2.00")), (422, "reversal_exceeds_original", "")),
        ("47", reverse("46", 0, Some("3.00")), (409, "id_reused", "/operations/0/amount")),
    ] {
        let body = json!({"id": id(digits), "operations": [operation]});
        let answer = guarded.post(&key, "/v1/transactions", &body).await;
        let field = answer.body["field"].as_str().unwrap_or_default();
        assert_eq!((answer.status, answer.code(), field), expected, "{body}");
    }
    // That a hold's id is taken is said before its account is looked for.
    let taken = json!({"id": id("49"), "operations": [hold("42", "customers:2", "merchants:7", "1.00")]});
    let answer = guarded.post(&key, "/v1/transactions", &taken).await.expect_problem(422, "hold_exists");
    let again = guarded.post(&key, "/v1/transactions", &taken).await.expect_problem(422, "hold_exists");
    assert!(!answer.replayed() && again.replayed());
    // What stands behind the refused operation nobody has looked at.
    let own = [transfer("customers:1", "customers:1", "1.00"), capture("ff", None)];
    let body = json!({"id": id("48"), "operations": own});
    for _ in 0..2 {
        guarded.post(&key, "/v1/transactions", &body).await.expect_problem(422, "same_account");
    }
    let unknown = guarded.get(&key, &format!("/v1/transactions/{}", id("ff"))).await.expect(404);
    for foreign in ["30", "31", "32"] {
        let answer = guarded.get(&key, &format!("/v1/transactions/{}", id(foreign))).await;
        assert_eq!(shape(&answer), shape(&unknown), "{foreign}");
    }
    ledger.submit("33", &[transfer("customers:1", "merchants:7", "1.00")]).await.expect(201);
    guarded.get(&key, &format!("/v1/transactions/{}", id("33"))).await.expect(200);
    ledger.submit("34", &[hold("35", "customers:1", "merchants:7", "1.00")]).await.expect(201);
    ledger.submit("36", &[hold("37", "customers:2", "merchants:7", "1.00")]).await.expect(201);
    guarded.get(&key, &format!("/v1/holds/{}", id("35"))).await.expect(200);
    let unknown = guarded.get(&key, &format!("/v1/holds/{}", id("ff"))).await.expect(404);
    assert_eq!(shape(&guarded.get(&key, &format!("/v1/holds/{}", id("37"))).await), shape(&unknown));
}

#[tokio::test]
async fn the_whole_is_for_keys_without_a_prefix() {
    let (guarded, key) = bound().await;
    for (method, uri) in [
        ("GET", "/v1/trial-balance"),
        ("GET", "/v1/head"),
        ("GET", "/metrics"),
        ("POST", "/v1/promotions"),
        ("POST", "/v1/wealth/days"),
        ("POST", "/v1/days/2020-01-01/close"),
        ("POST", "/v1/channels/wechat/statements"),
    ] {
        guarded.send(&Draft::new(method, uri, "").bearer(&key)).await.expect_problem(403, "scope_missing");
    }
}

#[tokio::test]
async fn wallets_of_others_are_not_there() {
    let guarded = Guarded::over(Ledger::new(), 100);
    for user in ["alice", "alice2"] {
        guarded.ledger.post("/v1/wallets", &json!({"user": user, "class": "III"})).await.expect(201);
    }
    let key = guarded.key(&format!("bound --scopes {EVERYTHING} --prefix customers:alice"));
    guarded.get(&key, "/v1/wallets/alice").await.expect(200);
    let unknown = guarded.get(&key, "/v1/wallets/nobody").await.expect_problem(404, "not_found");
    assert_eq!(shape(&guarded.get(&key, "/v1/wallets/alice2").await), shape(&unknown));
    let device = id("d1");
    let payment = |user: &str| {
        json!({"id": id("1"), "user": user, "merchant": "m", "auth": null,
            "items": [{"name": "n", "kind": "goods", "category": "c", "amount": "1.00"}]})
    };
    let rows = |user: &str| {
        let wallet = |rest: &str| format!("/v1/wallets/{user}{rest}");
        [
            ("POST", "/v1/wallets".to_owned(), json!({"user": user, "class": "III"})),
            ("PATCH", wallet(""), json!({"status": "frozen"})),
            ("PUT", wallet("/password"), json!({"password": "283904"})),
            (
                "POST",
                wallet("/payment-tokens"),
                json!({"password": "283904", "max_amount": "1.00", "expires_in": 60}),
            ),
            ("DELETE", wallet(&format!("/devices/{device}")), Value::Null),
            ("PUT", wallet("/wealth"), json!({"enabled": true, "keep": "1.00"})),
            ("POST", wallet("/wealth/redemptions"), json!({"id": id("2"), "amount": "1.00"})),
            (
                "POST",
                wallet("/transfers"),
                json!({"id": id("3"), "to": "alice", "amount": "1.00", "auth": null}),
            ),
            (
                "POST",
                "/v1/recharges".to_owned(),
                json!({"id": id("4"), "user": user, "channel": "wechat", "amount": "1.00"}),
            ),
            ("POST", "/v1/payments".to_owned(), payment(user)),
        ]
    };
    for ((method, uri, body), (_, unknown_uri, unknown_body)) in
        rows("alice2").into_iter().zip(rows("nobody"))
    {
        let text = |body: &Value| if body.is_null() { String::new() } else { body.to_string() };
        let foreign = guarded.send(&Draft::new(method, &uri, &text(&body)).bearer(&key)).await;
        let unknown =
            guarded.send(&Draft::new(method, &unknown_uri, &text(&unknown_body)).bearer(&key)).await;
        assert_eq!(foreign.status, 404, "{method} {uri}: {}", foreign.text);
        assert_eq!(shape(&foreign), shape(&unknown), "{method} {uri}");
    }
    let own = guarded.ledger.get("/v1/wallets/alice2").await.expect(200);
    assert_eq!((&own.body["status"], &own.body["password"]["set"]), (&json!("active"), &json!(false)));
    let recharge = json!({"id": id("5"), "user": "alice2", "channel": "wechat", "amount": "1.00"});
    guarded.ledger.post("/v1/recharges", &recharge).await.expect(201);
    guarded.get(&key, &format!("/v1/recharges/{}", id("5"))).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn payments_are_their_parties() {
    let guarded = Guarded::over(Ledger::new(), 100);
    let ledger = &guarded.ledger;
    for user in ["alice", "bob"] {
        ledger.post("/v1/wallets", &json!({"user": user, "class": "III"})).await.expect(201);
        ledger.fund(user, 10_000).await;
        ledger.put(&format!("/v1/wallets/{user}/password"), &json!({"password": "283904"})).await.expect(204);
    }
    let terms = json!({"enabled": true, "kind": "self_operated", "refused_categories": [], "fee_rate": "0"});
    ledger.put("/v1/merchants/m", &terms).await.expect(200);
    let payer = guarded.key("payer --scopes wallet:* --prefix customers:alice");
    let other = guarded.key("other --scopes wallet:* --prefix customers:bob");
    let shop = guarded.key("shop --scopes wallet:* --prefix merchants:m");
    let asked = json!({"password": "283904", "max_amount": "5.00", "expires_in": 60});
    let token = guarded.post(&payer, "/v1/wallets/alice/payment-tokens", &asked).await.expect(201);
    let payment = json!({"id": id("1"), "user": "alice", "merchant": "m",
        "items": [{"name": "n", "kind": "goods", "category": "c", "amount": "5.00"}],
        "auth": {"type": "token", "token": token.body["token"]}});
    guarded.post(&other, "/v1/payments", &payment).await.expect_problem(404, "not_found");
    guarded.post(&payer, "/v1/payments", &payment).await.expect(201);
    let uri = format!("/v1/payments/{}", id("1"));
    for (key, status) in [(&payer, 200), (&shop, 200), (&other, 404)] {
        guarded.get(key, &uri).await.expect(status);
    }
    let refund = json!({"id": id("2"), "amount": "1.00", "reason": "r"});
    for (key, status) in [(&payer, 404), (&other, 404), (&shop, 201)] {
        guarded.post(key, &format!("{uri}/refunds"), &refund).await.expect(status);
    }
    for (key, status) in [(&shop, 404), (&other, 404), (&payer, 422)] {
        let cancel = Draft::new("POST", &format!("{uri}/cancel"), "").bearer(key);
        guarded.send(&cancel).await.expect(status);
    }
}

/// Whoever names a foreign account hears that it is not there; its owner hears nothing of it, and no text of a stranger's.
#[tokio::test]
async fn what_strangers_try_is_not_shown() {
    let (guarded, key) = bound().await;
    let stranger = guarded.key(&format!("stranger --scopes {EVERYTHING} --prefix customers:2"));
    let place = hold("e9", "customers:2", "merchants:7", "1.00");
    guarded
        .ledger
        .submit("30", &[transfer("channels:wechat", "customers:2", "50.00"), place])
        .await
        .expect(201);
    for (digits, operation, code) in [
        ("e1", transfer("customers:1", "customers:2", "1.00"), "account_not_found"),
        ("e3", transfer("customers:1", "customers:2", "0"), "amount_invalid"),
        ("e4", transfer("customers:1", "customers:2", "x"), "amount_invalid"),
        ("e5", hold("e9", "customers:1", "customers:2", "1.00"), "hold_exists"),
        ("e6", hold("e8", "customers:1", "customers:2", "0"), "amount_invalid"),
    ] {
        let body = json!({
            "id": id(digits), "operations": [operation],
            "reference": "a letter", "metadata": {"from": "a stranger"},
        });
        guarded.post(&stranger, "/v1/transactions", &body).await.expect_problem(422, code);
        let uri = format!("/v1/transactions/{}", id(digits));
        guarded.get(&key, &uri).await.expect_problem(404, "not_found");
    }
    // Its own refusals are shown.
    let own = json!({"id": id("e2"), "operations": [transfer("customers:1", "merchants:7", "99999.00")]});
    guarded.post(&key, "/v1/transactions", &own).await.expect_problem(422, "insufficient_funds");
    guarded.get(&key, &format!("/v1/transactions/{}", id("e2"))).await.expect(200);
    let whole = guarded.key("whole --scopes accounts:read");
    let uri = format!("/v1/transactions/{}", id("e1"));
    assert_eq!(guarded.get(&whole, &uri).await.expect(200).body["reference"], "a letter");
}

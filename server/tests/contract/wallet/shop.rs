//! Shops, buyers and orders, and the calls that tests make with them.

use serde_json::{Value, json};

use super::user::User;
use crate::ledger::{Answer, Ledger, id};

/// Opens the shops that most tests need: `jd-self`, and `tp`, which pays a fee and refuses gift cards.
pub(crate) async fn open_shops(ledger: &Ledger) {
    let own = json!({"enabled": true, "kind": "self_operated"});
    ledger.put("/v1/merchants/jd-self", &own).await.expect(200);
    let third = json!({
        "enabled": true, "kind": "third_party", "refused_categories": ["gift-cards"], "fee_rate": "0.006"
    });
    ledger.put("/v1/merchants/tp", &third).await.expect(200);
}

/// A user with money.
pub(crate) async fn buyer<'a>(ledger: &'a Ledger, name: &'static str, units: u64) -> User<'a> {
    let user = User::open(ledger, name, "III").await;
    if units > 0 {
        ledger.fund(name, units).await;
    }
    user
}

/// A payment's body without `auth`: items by category and amount.
pub(crate) fn order(digits: &str, user: &User<'_>, merchant: &str, items: &[(&str, &str)]) -> Value {
    let item = |&(category, amount): &(&str, &str)| {
        let kind = if category == "shipping" { "shipping" } else { "goods" };
        json!({"name": format!("some {category}"), "kind": kind, "category": category, "amount": amount})
    };
    let items: Vec<Value> = items.iter().map(item).collect();
    json!({"id": id(digits), "user": user.name, "merchant": merchant, "items": items})
}

/// A body with more fields.
pub(crate) fn with(mut body: Value, fields: Value) -> Value {
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// Pays with a new token. The one place that knows how tests authorise.
pub(crate) async fn pay(user: &User<'_>, order: &Value) -> Answer {
    let auth = user.token("100000.00").await;
    user.ledger.post("/v1/payments", &with(order.clone(), json!({"auth": auth}))).await
}

/// A payment as it is.
pub(crate) async fn payment(ledger: &Ledger, digits: &str) -> Value {
    ledger.get(&format!("/v1/payments/{}", id(digits))).await.expect(200).body
}

/// Refunds a part of a payment.
pub(crate) async fn refund(ledger: &Ledger, payment: &str, digits: &str, fields: Value) -> Answer {
    let body = with(json!({"id": id(digits)}), fields);
    ledger.post(&format!("/v1/payments/{}/refunds", id(payment)), &body).await
}

/// A promotion that runs.
pub(crate) fn promotion(name: &str, rule: Value, budget: &str, fields: Value) -> Value {
    let body = json!({
        "id": name, "name": "618", "kind": "payment_discount", "rule": rule, "budget": budget,
        "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2120-01-01T00:00:00Z",
    });
    with(body, fields)
}

/// The legs of an answer: source, amount, state.
pub(crate) fn legs(body: &Value) -> Vec<[&str; 3]> {
    let legs = body["legs"].as_array().unwrap().iter();
    legs.map(|leg| ["source", "amount", "state"].map(|field| leg[field].as_str().unwrap())).collect()
}

/// What an account has, the books being even.
pub(crate) async fn posted(ledger: &Ledger, address: &str) -> String {
    ledger.balance(address).await.0
}

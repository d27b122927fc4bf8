//! A user of the wallet, and the calls that tests make for one.

use serde_json::{Value, json};

use crate::ledger::{Answer, Ledger, id};

/// A user whose wallet is open.
pub(crate) struct User<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) name: &'static str,
}

/// Everybody's.
pub(crate) const PASSWORD: &str = "283904";

impl<'a> User<'a> {
    /// Opens a wallet and sets its password.
    pub(crate) async fn open(ledger: &'a Ledger, name: &'static str, class: &str) -> Self {
        ledger.post("/v1/wallets", &json!({"user": name, "class": class})).await.expect(201);
        let user = Self { ledger, name };
        user.set_password(&json!({"password": PASSWORD})).await.expect(204);
        user
    }

    pub(crate) fn uri(&self, rest: &str) -> String {
        format!("/v1/wallets/{}{rest}", self.name)
    }

    pub(crate) async fn get(&self) -> Answer {
        self.ledger.get(&self.uri("")).await.expect(200)
    }

    pub(crate) async fn available(&self) -> String {
        self.get().await.body["balance"]["available"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn patch(&self, change: &Value) -> Answer {
        self.ledger.patch(&self.uri(""), change).await
    }

    pub(crate) async fn set_password(&self, body: &Value) -> Answer {
        self.ledger.put(&self.uri("/password"), body).await
    }

    /// Asks for a token with some password.
    pub(crate) async fn try_token(&self, password: &str) -> Answer {
        let body = json!({"password": password, "max_amount": "1.00", "expires_in": 300});
        self.ledger.post(&self.uri("/payment-tokens"), &body).await
    }

    /// The `auth` of a new token.
    pub(crate) async fn token(&self, max_amount: &str) -> Value {
        let body = json!({"password": PASSWORD, "max_amount": max_amount, "expires_in": 300});
        let answer = self.ledger.post(&self.uri("/payment-tokens"), &body).await.expect(201);
        json!({"type": "token", "token": answer.body["token"]})
    }

    pub(crate) async fn transfer(&self, digits: &str, to: &User<'_>, amount: &str, auth: &Value) -> Answer {
        let body = json!({"id": id(digits), "to": to.name, "amount": amount, "auth": auth});
        self.ledger.post(&self.uri("/transfers"), &body).await
    }
}

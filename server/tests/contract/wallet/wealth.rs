//! Redeeming shares of the wealth product, and its days.

use serde_json::{Value, json};
use yue_engine::model::{
    Address, Amount, Attachment, Metadata, Operation, OperationKind, RequestedAmount, Transaction,
    TransactionId,
};

use crate::ledger::{Answer, Ledger, id};

/// Gives a wallet shares, as a recharge and a sweep would.
pub(crate) async fn give_shares(ledger: &Ledger, user: &str, units: u64) {
    let channel = json!({"address": "channels:wechat", "asset": "CNY", "normal": "debit", "floor": null});
    ledger.post("/v1/accounts", &channel).await;
    let (own, shares) = (format!("customers:{user}"), format!("customers:{user}:wealth"));
    let step = |debit: &str, credit: &str, code: &'static str| Operation {
        kind: OperationKind::Transfer {
            debit: Address::parse(debit).unwrap(),
            credit: Address::parse(credit).unwrap(),
            amount: RequestedAmount::from_units(Amount(units), 2),
        },
        code: Some(code.into()),
    };
    let operations = [step("channels:wechat", &own, "recharge"), step(&own, &shares, "wealth.buy")];
    let document = b"test".as_slice().into();
    let transaction = Transaction {
        id: TransactionId(uuid::Uuid::now_v7().as_u128()),
        operations: operations.into_iter().collect(),
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: Some(Box::new(Attachment { document, aliases: Vec::new(), cells: Vec::new() })),
    };
    ledger.wallet.engine().submit(transaction).await.unwrap().verdict.unwrap();
}

async fn opened(wallets: &[(&str, u64)]) -> Ledger {
    let ledger = Ledger::new();
    for &(user, units) in wallets {
        ledger.post("/v1/wallets", &json!({"user": user, "class": "III"})).await.expect(201);
        if units > 0 {
            give_shares(&ledger, user, units).await;
        }
    }
    ledger
}

async fn redeem(ledger: &Ledger, user: &str, body: &Value) -> Answer {
    ledger.post(&format!("/v1/wallets/{user}/wealth/redemptions"), body).await
}

async fn day(ledger: &Ledger, date: &str, income: &str) -> Answer {
    ledger.post("/v1/wealth/days", &json!({"date": date, "income_per_10k": income})).await
}

#[tokio::test]
async fn shares_are_redeemed_once() {
    let ledger = opened(&[("alice", 2_000_000), ("bob", 0)]).await;
    let body = json!({"id": id("1"), "amount": "6000.00"});
    let first = redeem(&ledger, "alice", &body).await.expect(201);
    assert_eq!(first.body["amount"], "6000.00");
    assert_eq!((&first.body["user"], &first.body["id"]), (&json!("alice"), &json!(id("1"))));
    assert_eq!(ledger.balance("customers:alice").await.0, "6000.00");
    assert_eq!(ledger.balance("customers:alice:wealth").await.0, "14000.00");
    // Again, also written otherwise; 32 at once.
    let again = redeem(&ledger, "alice", &json!({"id": id("1"), "amount": "6000"})).await.expect(200);
    assert!(again.replayed() && !first.replayed());
    assert_eq!(again.body, first.body);
    let copies = futures_util::future::join_all((0..32).map(|_| redeem(&ledger, "alice", &body))).await;
    assert!(copies.iter().all(|copy| copy.status == 200 && copy.body == first.body));
    // Other bodies.
    for (user, amount, field) in [("alice", "6000.01", "/amount"), ("bob", "6000.00", "/user")] {
        let other = redeem(&ledger, user, &json!({"id": id("1"), "amount": amount})).await;
        assert_eq!(other.expect_problem(409, "id_reused").field(), field);
    }
    // Final refusals, again the same.
    for (digits, user, amount, code) in
        [("2", "alice", "4000.01", "limit_exceeded"), ("3", "bob", "0.01", "insufficient_funds")]
    {
        for replayed in [false, true] {
            let refused = redeem(&ledger, user, &json!({"id": id(digits), "amount": amount})).await;
            let refused = refused.expect_problem(422, code);
            assert_eq!(refused.replayed(), replayed, "{}", refused.text);
        }
    }
    // Nothing is on record of what never was a redemption.
    let position = ledger.position().await;
    for (user, amount, status, code, field) in [
        ("alice", "0.001", 422, "amount_invalid", "/amount"),
        ("alice", "0", 422, "amount_invalid", "/amount"),
        ("alice", "-1", 422, "amount_invalid", "/amount"),
        ("carol", "1.00", 404, "not_found", ""),
        ("a:b", "1.00", 400, "malformed", "/user"),
    ] {
        let refused = redeem(&ledger, user, &json!({"id": id("4"), "amount": amount})).await;
        assert_eq!(refused.expect_problem(status, code).field(), field, "{user} {amount}");
    }
    for (body, field) in [
        (json!({"id": id("4")}), "/amount"),
        (json!({"id": "4", "amount": "1.00"}), "/id"),
        (json!({"id": id("4"), "amount": 1}), "/amount"),
        (json!({"id": id("4"), "amount": "1.00", "user": "alice"}), "/user"),
    ] {
        let refused = redeem(&ledger, "alice", &body).await;
        assert_eq!(refused.expect_problem(400, "malformed").field(), field, "{body}");
    }
    assert_eq!(ledger.position().await, position);
    redeem(&ledger, "alice", &json!({"id": id("4"), "amount": "4000.00"})).await.expect(201);
}

#[tokio::test]
async fn a_day_is_paid_once() {
    // 1.2345 fen, 12,344.9 fen, less than a fen.
    let ledger = opened(&[("alice", 10_000), ("bob", 99_999_999), ("carol", 99), ("dave", 0)]).await;
    let first = day(&ledger, "2025-06-18", "1.2345").await.expect(200);
    // 1,000,100.98 yuan earn 123.46 yuan, cut.
    assert_eq!(first.body, json!({"credited": "123.45", "remainder": "0.01", "wallets": 2}));
    assert!(!first.replayed());
    for (user, shares) in [("alice", "100.01"), ("bob", "1000123.43"), ("carol", "0.99"), ("dave", "0.00")] {
        assert_eq!(ledger.balance(&format!("customers:{user}:wealth")).await.0, shares, "{user}");
    }
    assert_eq!(ledger.balance("platform:rounding").await.0, "0.01");
    assert_eq!(ledger.balance("wealth:clearing").await.0, "0.00");
    let position = ledger.position().await;
    let copies = (0..32).map(|_| day(&ledger, "2025-06-18", "1.23450"));
    for copy in futures_util::future::join_all(copies).await {
        assert!(copy.replayed());
        assert_eq!(copy.expect(200).body, first.body);
    }
    let other = day(&ledger, "2025-06-18", "1.2346").await.expect_problem(409, "id_reused");
    assert_eq!(other.field(), "/income_per_10k");
    assert_eq!(ledger.position().await, position);
}

#[tokio::test]
async fn a_day_without_wallets_or_income() {
    let ledger = opened(&[]).await;
    let nothing = json!({"credited": "0.00", "remainder": "0.00", "wallets": 0});
    assert_eq!(day(&ledger, "2025-06-18", "1").await.expect(200).body, nothing);
    let ledger = opened(&[("alice", 10_000)]).await;
    assert_eq!(day(&ledger, "2025-06-18", "0").await.expect(200).body, nothing);
}

#[tokio::test]
async fn what_is_no_day() {
    let ledger = opened(&[("alice", 10_000)]).await;
    let position = ledger.position().await;
    for (date, income, field) in [
        ("2025-06-31", "1", "/date"),
        ("20250618", "1", "/date"),
        ("2200-01-01", "1", "/date"),
        ("2025-06-18", "-1", "/income_per_10k"),
        ("2025-06-18", "1.000000001", "/income_per_10k"),
        ("2025-06-18", "10000.01", "/income_per_10k"),
        ("2025-06-18", "", "/income_per_10k"),
    ] {
        let refused = day(&ledger, date, income).await.expect_problem(400, "malformed");
        assert_eq!(refused.field(), field, "{date} {income}");
    }
    assert_eq!(ledger.position().await, position);
}

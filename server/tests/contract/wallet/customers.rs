//! Opening, showing and changing wallets.

use serde_json::json;

use crate::ledger::{Ledger, transfer};

#[tokio::test]
async fn a_wallet_is_opened_once() {
    let ledger = Ledger::new();
    let body = json!({"user": "alice", "class": "II"});
    let opened = ledger.post("/v1/wallets", &body).await.expect(201).body;
    assert_eq!(opened["balance"], json!({"posted": "0.00", "held": "0.00", "available": "0.00"}));
    assert_eq!(opened["limits"][0]["window"], "year");
    assert_eq!(opened["limits"][0]["amount"], "100000.00");
    assert_eq!(ledger.post("/v1/wallets", &body).await.expect(200).body, opened);
    assert_eq!(ledger.get("/v1/wallets/alice").await.expect(200).body, opened);
    let other = json!({"user": "alice", "class": "III"});
    let refused = ledger.post("/v1/wallets", &other).await.expect_problem(409, "account_exists");
    assert_eq!(refused.field(), "/class");
    ledger.get("/v1/wallets/bob").await.expect_problem(404, "not_found");
    ledger.get("/v1/wallets/a:b").await.expect_problem(400, "malformed");
}

#[tokio::test]
async fn thirty_two_openings_at_once_are_one() {
    let ledger = Ledger::new();
    let body = json!({"user": "alice", "class": "I"});
    let answers = futures_util::future::join_all((0..32).map(|_| ledger.post("/v1/wallets", &body))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert_eq!(statuses[31], 201);
    assert_eq!(statuses.iter().filter(|&&status| status == 201).count(), 1, "{statuses:?}");
    // Three accounts, one profile.
    assert_eq!(ledger.position().await, 4);
}

#[tokio::test]
async fn a_wallets_accounts_are_the_wallets_alone() {
    let ledger = Ledger::with_accounts().await;
    ledger.post("/v1/wallets", &json!({"user": "alice", "class": "I"})).await.expect(201);
    for operation in [
        transfer("channels:wechat", "customers:alice", "1.00"),
        transfer("customers:alice", "channels:wechat", "1.00"),
        transfer("customers:1", "customers:alice:wealth", "1.00"),
    ] {
        let refused = ledger.submit("aa", &[transfer("customers:1", "customers:2", "1.00"), operation]).await;
        assert_eq!(refused.expect_problem(403, "wallet_account").body["operation"], 1);
    }
    // A user whose account belongs to the ledger's callers gets no wallet.
    let taken = ledger.post("/v1/wallets", &json!({"user": "1", "class": "I"})).await;
    assert_eq!(taken.expect_problem(409, "account_exists").field(), "/user");
}

//! Opening, showing and changing wallets.

use futures_util::future::join_all;
use serde_json::json;
use yue_engine::model::{AccountChange, AccountStatus, Address, Patch};

use super::user::User;
use crate::ledger::{Answer, Ledger, transfer};

#[tokio::test]
async fn a_wallet_is_opened_once() {
    let ledger = Ledger::new();
    let body = json!({"user": "alice", "class": "II"});
    let opened = ledger.post("/v1/wallets", &body).await.expect(201).body;
    assert_eq!(opened["balance"], json!({"posted": "0.00", "held": "0.00", "available": "0.00"}));
    let expected = json!({
        "user": "alice",
        "class": "II",
        "status": "active",
        "balance": {"posted": "0.00", "held": "0.00", "available": "0.00"},
        "wealth": {"amount": "0.00", "income_total": "0.00", "enabled": false, "keep": "0.00"},
        "carbon": "0",
        "password": {"set": false, "locked_until": null},
        "small_payment": {"enabled": false, "limit": "0.00", "daily_count": 0},
        "devices": [],
        "limits": [{"window": "year", "limit": "100000.00", "used": "0.00"}],
    });
    assert_eq!(opened, expected);
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
    let answers = join_all((0..32).map(|_| ledger.post("/v1/wallets", &body))).await;
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

#[tokio::test]
async fn a_class_brings_its_limits_and_keeps_what_is_used() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "I").await, User::open(&ledger, "bob", "I").await];
    ledger.fund("alice", 2_000_00).await;
    let token = alice.token("1500.00").await;
    alice.transfer("1", &bob, "900.00", &token).await.expect(201);
    let over = alice.transfer("2", &bob, "200.00", &alice.token("200.00").await).await;
    over.expect_problem(422, "limit_exceeded");
    let limits = |wallet: &Answer| wallet.body["limits"].clone();
    let before = alice.get().await;
    assert_eq!(limits(&before), json!([{"window": "lifetime", "limit": "1000.00", "used": "900.00"}]));
    for _ in 0..2 {
        let changed = alice.patch(&json!({"class": "III"})).await.expect(200);
        assert_eq!(changed.body["class"], "III");
        assert_eq!(limits(&changed)[0]["limit"], "200000.00");
    }
    alice.transfer("3", &bob, "200.00", &alice.token("200.00").await).await.expect(201);
    // What was used before counts, also after the classes between.
    let used = json!([{"window": "year", "limit": "200000.00", "used": "1100.00"}]);
    assert_eq!(limits(&alice.get().await), used);
    alice.patch(&json!({"class": "I"})).await.expect(200);
    let of_life = json!([{"window": "lifetime", "limit": "1000.00", "used": "1100.00"}]);
    assert_eq!(limits(&alice.get().await), of_life);
    let over = alice.transfer("4", &bob, "1.00", &alice.token("1.00").await).await;
    over.expect_problem(422, "limit_exceeded");
    alice.patch(&json!({"class": "III"})).await.expect(200);
    assert_eq!(limits(&alice.get().await), used);
    // Nothing is asked for: nothing is written.
    let position = ledger.position().await;
    alice.patch(&json!({})).await.expect(200);
    alice.patch(&json!({"class": "III", "status": "active"})).await.expect(200);
    assert_eq!(ledger.position().await, position);
    alice.patch(&json!({"class": "IV"})).await.expect_problem(400, "malformed");
    alice.patch(&json!({"balance": "1.00"})).await.expect_problem(400, "malformed");
    ledger.patch("/v1/wallets/carol", &json!({"class": "I"})).await.expect_problem(404, "not_found");
    let ledger = ledger.restart();
    assert_eq!(ledger.get("/v1/wallets/alice").await.body["class"], "III");
}

#[tokio::test]
async fn of_many_changes_at_once_all_parts_follow_one() {
    let ledger = Ledger::new();
    let alice = User::open(&ledger, "alice", "I").await;
    let classes = ["I", "II", "III"].into_iter().cycle().zip(["active", "frozen"].into_iter().cycle());
    let changes = classes.take(32).map(|(class, status)| (class, json!({"class": class, "status": status})));
    let answers = join_all(changes.map(async |(_, change)| alice.patch(&change).await)).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let wallet = alice.get().await.body;
    let limit = match wallet["class"].as_str().unwrap() {
        "I" => "1000.00",
        "II" => "100000.00",
        _ => "200000.00",
    };
    assert_eq!(wallet["limits"][0]["limit"], limit, "{wallet}");
    for account in ["customers:alice", "customers:alice:wealth"] {
        let account = ledger.get(&format!("/v1/accounts/{account}")).await.body;
        assert_eq!(account["status"], wallet["status"], "{account}");
    }
}

#[tokio::test]
async fn a_frozen_wallet_neither_pays_nor_receives_and_a_closed_one_stays_closed() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
    ledger.fund("alice", 10_00).await;
    bob.patch(&json!({"status": "frozen"})).await.expect(200);
    let token = alice.token("10.00").await;
    let refused = alice.transfer("1", &bob, "10.00", &token).await.expect_problem(422, "account_frozen");
    assert!(!refused.replayed());
    bob.patch(&json!({"status": "active"})).await.expect(200);
    // Final for its id; the token pays another one.
    let again = alice.transfer("1", &bob, "10.00", &token).await.expect_problem(422, "account_frozen");
    assert!(again.replayed());
    // Money can't be closed away, and the wallet is as it was.
    alice.patch(&json!({"status": "closed"})).await.expect_problem(422, "account_not_empty");
    assert_eq!(alice.get().await.body["status"], "active");
    alice.transfer("2", &bob, "10.00", &token).await.expect(201);
    for _ in 0..2 {
        let closed = alice.patch(&json!({"status": "closed"})).await.expect(200);
        assert_eq!(closed.body["status"], "closed");
    }
    for account in ["customers:alice", "customers:alice:wealth"] {
        assert_eq!(ledger.get(&format!("/v1/accounts/{account}")).await.body["status"], "closed");
    }
    for change in [json!({"status": "active"}), json!({"class": "III"}), json!({"status": "frozen"})] {
        alice.patch(&change).await.expect_problem(422, "account_closed");
    }
    let token = bob.token("1.00").await;
    bob.transfer("3", &alice, "1.00", &token).await.expect_problem(422, "account_closed");
}

#[tokio::test]
async fn the_same_change_again_finishes_what_a_crash_left() {
    let ledger = Ledger::new();
    let alice = User::open(&ledger, "alice", "I").await;
    let before = ledger.engine.account(&Address::parse("customers:alice").unwrap()).unwrap().limits;
    alice.patch(&json!({"class": "III", "status": "frozen"})).await.expect(200);
    // As it is if the process ends right after the first record of each change.
    let undo = async |account: &str, change: AccountChange| {
        ledger.engine.change_account(&Address::parse(account).unwrap(), change).await.unwrap();
    };
    let limits = Patch::Set(before.into_iter().map(|view| view.limit).collect());
    undo("customers:alice", AccountChange { limits, ..AccountChange::default() }).await;
    let status = Patch::Set(AccountStatus::Active);
    undo("customers:alice:wealth", AccountChange { status, ..AccountChange::default() }).await;
    assert_eq!(alice.get().await.body["limits"][0]["limit"], "1000.00");
    let finished = alice.patch(&json!({"class": "III", "status": "frozen"})).await.expect(200);
    assert_eq!(finished.body["limits"][0]["limit"], "200000.00");
    for account in ["customers:alice", "customers:alice:wealth"] {
        assert_eq!(ledger.get(&format!("/v1/accounts/{account}")).await.body["status"], "frozen");
    }
}

#[tokio::test]
async fn the_ledger_changes_no_rules_of_a_wallets_accounts() {
    let ledger = Ledger::new();
    let alice = User::open(&ledger, "alice", "I").await;
    for account in ["customers:alice", "customers:alice:wealth"] {
        let path = format!("/v1/accounts/{account}");
        for change in [
            json!({"floor": null}),
            json!({"ceiling": "1.00"}),
            json!({"limits": []}),
            json!({"status": "closed"}),
            json!({"status": "frozen", "floor": null}),
        ] {
            ledger.patch(&path, &change).await.expect_problem(403, "wallet_account");
        }
        ledger.patch(&path, &json!({})).await.expect(200);
        ledger.patch(&path, &json!({"status": "frozen"})).await.expect(200);
    }
    assert_eq!(alice.get().await.body["status"], "frozen");
    ledger.patch("/v1/accounts/customers:alice", &json!({"status": "active"})).await.expect(200);
    assert_eq!(alice.get().await.body["status"], "active");
}

#[tokio::test]
async fn an_account_of_a_ledger_caller_is_no_users() {
    let ledger = Ledger::new();
    for account in ["customers:bob:wealth", "customers:carol:carbon"] {
        let asset = if account.ends_with("carbon") { "CARBON" } else { "CNY" };
        ledger.post("/v1/accounts", &json!({"address": account, "asset": asset})).await.expect(201);
    }
    for user in ["bob", "carol"] {
        let taken = ledger.post("/v1/wallets", &json!({"user": user, "class": "I"})).await;
        taken.expect_problem(409, "account_exists");
        ledger.get(&format!("/v1/wallets/{user}")).await.expect_problem(404, "not_found");
    }
}

/// Whoever opened such an account before the wallet could take what comes into it.
#[tokio::test]
async fn the_wallets_own_accounts_are_the_wallets_to_open() {
    let ledger = Ledger::new();
    for (address, asset) in [
        ("suspense:ecny", "CNY"),
        ("suspense:wealth:alice", "CNY"),
        ("platform:fees", "CNY"),
        ("platform:carbon", "CARBON"),
        ("platform:tickets", "SLOT"),
        ("reserve:wealth", "CNY"),
        ("wealth:clearing", "CNY"),
        ("promos:half:slots", "SLOT"),
    ] {
        let opening = json!({"address": address, "asset": asset});
        let refused = ledger.post("/v1/accounts", &opening).await.expect_problem(403, "wallet_account");
        assert_eq!(refused.field(), "/address", "{address}");
        ledger.get(&format!("/v1/accounts/{address}")).await.expect(404);
    }
    for address in
        ["suspense:mine", "platform:mine", "suspense", "platform:fees:mine", "promos:half", "channels:ecny"]
    {
        ledger.post("/v1/accounts", &json!({"address": address, "asset": "CNY"})).await.expect(201);
    }
}

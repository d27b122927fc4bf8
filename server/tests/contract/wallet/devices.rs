//! Devices: registering, signing, revoking.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::Signer as _;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::user::{PASSWORD, User};
use crate::ledger::{Answer, Ledger, id};

/// A device's key, of either kind.
enum Key {
    Ed25519(ed25519_dalek::SigningKey),
    Es256(p256::ecdsa::SigningKey),
}

impl Key {
    fn ed25519(seed: u8) -> Self {
        Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]))
    }

    fn es256(seed: u8) -> Self {
        Self::Es256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "ed25519",
            Self::Es256(_) => "es256",
        }
    }

    fn public(&self) -> String {
        match self {
            Self::Ed25519(key) => STANDARD.encode(key.verifying_key().as_bytes()),
            Self::Es256(key) => STANDARD.encode(key.verifying_key().to_sec1_point(false).as_bytes()),
        }
    }

    fn sign(&self, text: &str) -> String {
        match self {
            Self::Ed25519(key) => STANDARD.encode(key.sign(text.as_bytes()).to_bytes()),
            Self::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(text.as_bytes());
                STANDARD.encode(signature.to_der().as_bytes())
            }
        }
    }
}

async fn add(user: &User<'_>, key: &Key, name: &str, password: &str) -> Answer {
    let body = json!({
        "password": password, "name": name, "algorithm": key.algorithm(), "public_key": key.public()
    });
    user.ledger.post(&user.uri("/devices"), &body).await
}

fn auth(device: &Value, key: &Key, counter: u64, text: &str) -> Value {
    json!({"type": "device", "device": device, "counter": counter, "signature": key.sign(text)})
}

/// The `auth` of a transfer from alice to bob.
fn signed(device: &Value, key: &Key, counter: u64, digits: &str, amount: &str) -> Value {
    auth(device, key, counter, &format!("transfer\n{}\nalice\nbob\n{amount}\n{counter}\n", id(digits)))
}

#[tokio::test]
async fn a_device_is_registered_once_with_the_password() {
    let ledger = Ledger::with_settings(|settings| settings.devices_max = 3);
    let alice = User::open(&ledger, "alice", "I").await;
    let (one, two) = (Key::ed25519(1), Key::es256(2));
    let wrong = add(&alice, &one, "phone", "739150").await.expect_problem(403, "password_wrong");
    assert_eq!(wrong.body["attempts_left"], 4);
    let device = add(&alice, &one, "phone", PASSWORD).await.expect(201).body["device"].clone();
    assert_eq!(add(&alice, &one, "phone", PASSWORD).await.expect(200).body["device"], device);
    let other = add(&alice, &one, "tablet", PASSWORD).await.expect_problem(409, "account_exists");
    assert_eq!(other.field(), "/name");
    let copies = join_all((0..32).map(|_| add(&alice, &two, "watch", PASSWORD))).await;
    assert_eq!(copies.iter().filter(|answer| answer.status == 201).count(), 1, "{copies:?}");
    assert_eq!(copies.iter().filter(|answer| answer.status == 200).count(), 31, "{copies:?}");
    assert!(copies.iter().all(|answer| answer.body == copies[0].body));
    let devices = json!([
        {"device": device, "name": "phone", "algorithm": "ed25519", "counter": 0},
        {"device": copies[0].body["device"], "name": "watch", "algorithm": "es256", "counter": 0},
    ]);
    assert_eq!(alice.get().await.body["devices"], devices);
    add(&alice, &Key::ed25519(3), "third", PASSWORD).await.expect(201);
    add(&alice, &Key::ed25519(4), "fourth", PASSWORD).await.expect_problem(422, "limit_exceeded");
    for (algorithm, public_key) in [
        ("ed25519", two.public()),
        ("es256", one.public()),
        ("ed25519", STANDARD.encode([0; 32])),
        ("ed25519", "?".into()),
        ("rsa", one.public()),
    ] {
        let body =
            json!({"password": PASSWORD, "name": "x", "algorithm": algorithm, "public_key": public_key});
        ledger.post("/v1/wallets/alice/devices", &body).await.expect_problem(400, "malformed");
    }
    let nobody = User { ledger: &ledger, name: "nobody" };
    add(&nobody, &one, "phone", PASSWORD).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_device_signs_what_is_paid_with_a_counter_that_grows() {
    for key in [Key::ed25519(1), Key::es256(2)] {
        let ledger = Ledger::new();
        let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
        ledger.fund("alice", 100_00).await;
        let device = add(&alice, &key, "phone", PASSWORD).await.expect(201).body["device"].clone();
        let good = signed(&device, &key, 5, "1", "12.30");
        let text = |verb: &str, digits: &str, user: &str, to: &str, amount: &str, counter: u64| {
            format!("{verb}\n{}\n{user}\n{to}\n{amount}\n{counter}\n", id(digits))
        };
        for other in [
            text("payment", "1", "alice", "bob", "12.30", 5),
            text("transfer", "2", "alice", "bob", "12.30", 5),
            text("transfer", "1", "bob", "bob", "12.30", 5),
            text("transfer", "1", "alice", "carol", "12.30", 5),
            text("transfer", "1", "alice", "bob", "12.3", 5),
            text("transfer", "1", "alice", "bob", "12.31", 5),
            text("transfer", "1", "alice", "bob", "12.30", 6),
        ] {
            let refused = alice.transfer("1", &bob, "12.30", &auth(&device, &key, 5, &other)).await;
            refused.expect_problem(403, "auth_invalid");
        }
        let stranger = Key::ed25519(9);
        for other in [
            signed(&device, &stranger, 5, "1", "12.30"),
            signed(&json!("0197a0b0-0000-7000-8000-000000000009"), &key, 5, "1", "12.30"),
        ] {
            alice.transfer("1", &bob, "12.30", &other).await.expect_problem(403, "auth_invalid");
        }
        alice.transfer("1", &bob, "12.30", &good).await.expect(201);
        assert!(alice.transfer("1", &bob, "12.30", &good).await.expect(200).replayed());
        // Replayed and lower counters.
        for counter in [5, 4, 0] {
            let refused =
                alice.transfer("2", &bob, "1.00", &signed(&device, &key, counter, "2", "1.00")).await;
            refused.expect_problem(403, "auth_invalid");
        }
        // What the ledger refuses uses no counter up.
        let poor = signed(&device, &key, 9, "3", "500.00");
        alice.transfer("3", &bob, "500.00", &poor).await.expect_problem(422, "insufficient_funds");
        assert_eq!(alice.get().await.body["devices"][0]["counter"], 5);
        alice.transfer("4", &bob, "1.00", &signed(&device, &key, 6, "4", "1.00")).await.expect(201);
        // Another wallet's device.
        let text = format!("transfer\n{}\nbob\nalice\n1.00\n7\n", id("5"));
        bob.transfer("5", &alice, "1.00", &auth(&device, &key, 7, &text))
            .await
            .expect_problem(403, "auth_invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_ids_with_one_counter_one_is_paid() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
    ledger.fund("alice", 100_00).await;
    let key = Key::ed25519(1);
    let device = add(&alice, &key, "phone", PASSWORD).await.expect(201).body["device"].clone();
    for counter in 1..=20 {
        let ids = [format!("{counter}0"), format!("{counter}1")];
        let pay = async |digits: &String| {
            alice.transfer(digits, &bob, "1.00", &signed(&device, &key, counter, digits, "1.00")).await.status
        };
        let mut statuses = join_all(ids.iter().map(pay)).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 403]);
    }
    assert_eq!(alice.available().await, "80.00");
}

#[tokio::test]
async fn a_revoked_device_pays_nothing_more() {
    let ledger = Ledger::new();
    let [alice, bob] = [User::open(&ledger, "alice", "II").await, User::open(&ledger, "bob", "II").await];
    ledger.fund("alice", 100_00).await;
    let key = Key::ed25519(1);
    let device = add(&alice, &key, "phone", PASSWORD).await.expect(201).body["device"].clone();
    let kept = add(&alice, &Key::es256(2), "watch", PASSWORD).await.expect(201).body["device"].clone();
    let uri = |user: &User<'_>| user.uri(&format!("/devices/{}", device.as_str().unwrap()));
    ledger.delete(&uri(&bob)).await.expect_problem(404, "not_found");
    let phone = uri(&alice);
    let answers = join_all((0..32).map(|_| ledger.delete(&phone))).await;
    assert!(answers.iter().all(|answer| answer.status == 204), "{answers:?}");
    ledger.delete(&uri(&alice)).await.expect(204);
    ledger.delete(&uri(&bob)).await.expect_problem(404, "not_found");
    ledger.delete(&alice.uri(&format!("/devices/{}", id("1")))).await.expect_problem(404, "not_found");
    ledger.delete(&alice.uri("/devices/phone")).await.expect_problem(400, "malformed");
    let devices = alice.get().await.body["devices"].clone();
    assert_eq!(devices.as_array().unwrap().len(), 1);
    assert_eq!(devices[0]["device"], kept);
    let signed_before = signed(&device, &key, 1, "1", "1.00");
    alice.transfer("1", &bob, "1.00", &signed_before).await.expect_problem(403, "auth_invalid");
    // The same key again is another device.
    let again = add(&alice, &key, "phone", PASSWORD).await.expect(201).body["device"].clone();
    assert_ne!(again, device);
    alice.transfer("1", &bob, "1.00", &signed_before).await.expect_problem(403, "auth_invalid");
}

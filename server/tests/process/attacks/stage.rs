//! What is attacked: a server with keys, accounts, wallets with money.

use std::{net::SocketAddr, path::Path, thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::signer::{Signer, now_s};
use crate::{
    client::Client,
    server::{Server, yue},
    wallet::shop::{PASSWORD, balance, expect, open_merchant, open_payer, recharge},
};

pub(super) struct Stage {
    server: Server,
    /// Everything may be looked at with it.
    admin: Signer,
    /// A checkout service: bound to the customers.
    pub(super) service: Signer,
    /// A service of the wallet.
    pub(super) wallet: Signer,
    _directory: TempDir,
}

/// A device of a user.
pub(super) struct Device {
    user: &'static str,
    device: Value,
    key: SigningKey,
}

fn add_key(file: &Path, words: &str) -> Signer {
    let words = ["keys", "add"].into_iter().chain(words.split(' ')).chain(["--keys", file.to_str().unwrap()]);
    let output = yue(&words.collect::<Vec<_>>()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Signer::read(&String::from_utf8(output.stdout).unwrap())
}

impl Stage {
    /// Money of the customers' accounts at the start, in yuan.
    const FUNDS: &str = "1000000.00";

    pub(super) fn set(idle_connections: usize) -> Self {
        raise_descriptors();
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("keys.toml");
        let admin = add_key(
            &file,
            "admin --scopes transactions:write,accounts:write,accounts:read,wallet:*,operator,money:issue,audit:read",
        );
        let second = add_key(&file, "second --scopes operator");
        let issuer = add_key(&file, "issuer --scopes transactions:write,money:issue");
        let service = add_key(&file, "service --scopes transactions:write,accounts:read --prefix customers");
        let wallet = add_key(&file, "wallet --scopes wallet:*");
        let connections = (idle_connections + 1_000).to_string();
        let keys = file.to_str().unwrap();
        let options = [
            "--keys",
            keys,
            "--connections-max",
            &connections,
            "--header-read-timeout-ms",
            "1000",
            "--idle-timeout-ms",
            "8000",
            "--wallet-password-hash-memory-kib",
            "64",
            "--wallet-small-payments-per-day",
            "1000000",
        ];
        let server = Server::start(&directory.path().join("data"), &options);
        let stage = Self { server, admin, service, wallet, _directory: directory };
        // What is signed in the second of the start is taken for older.
        let started = now_s();
        while now_s() < started + 2 {
            thread::sleep(Duration::from_millis(50));
        }
        stage.open(&second, &issuer);
        stage
    }

    fn open(&self, second: &Signer, issuer: &Signer) {
        let mut admin = self.admin();
        let bank = json!({"address": "bank:1", "asset": "CNY", "normal": "debit", "floor": null}).to_string();
        let refused = admin.send("POST", "/v1/accounts", &bank).unwrap();
        assert_eq!((refused.status, &refused.body["code"]), (403, &json!("approval_required")));
        let approval = second.sign("APPROVAL\nPOST", "/v1/accounts", &bank);
        let opened = admin.send_with("POST", "/v1/accounts", &format!("Yue-Approval: {approval}\r\n"), &bank);
        assert_eq!(opened.unwrap().status, 201);
        for address in ["customers:1", "customers:2", "merchants:7"] {
            let account = json!({"address": address, "asset": "CNY"});
            expect(&[201], || admin.post("/v1/accounts", &account));
        }
        let mut issuer = Client::with_bearer(self.address(), &issuer.bearer);
        for customer in ["customers:1", "customers:2"] {
            let transfer =
                json!({"type": "transfer", "debit": "bank:1", "credit": customer, "amount": Self::FUNDS});
            let body = json!({"id": Uuid::now_v7(), "operations": [transfer]});
            expect(&[201], || issuer.post("/v1/transactions", &body));
        }
        open_merchant(&mut admin, "shop");
        let mut wallet = Client::with_bearer(self.address(), &self.wallet.bearer);
        for user in ["alice", "bob"] {
            open_payer(&mut wallet, user);
            recharge(&mut wallet, user, "wechat", 1_000);
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn admin(&self) -> Client {
        Client::with_bearer(self.address(), &self.admin.bearer)
    }

    /// A payment of one fen.
    #[expect(clippy::unused_self, reason = "a payment is of this stage's accounts")]
    pub(super) fn payment_of(&self, customer: &str, id: Uuid) -> String {
        let transfer =
            json!({"type": "transfer", "debit": customer, "credit": "merchants:7", "amount": "0.01"});
        json!({"id": id, "operations": [transfer]}).to_string()
    }

    pub(super) fn token(&self, client: &mut Client, user: &str, max_amount: &str) -> Value {
        let asked = json!({"password": PASSWORD, "max_amount": max_amount, "expires_in": 300});
        let answer = expect(&[201], || client.post(&format!("/v1/wallets/{user}/payment-tokens"), &asked));
        answer["token"].clone()
    }

    pub(super) fn device(&self, client: &mut Client, user: &'static str) -> Device {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = STANDARD.encode(key.verifying_key().as_bytes());
        let body =
            json!({"password": PASSWORD, "name": "phone", "algorithm": "ed25519", "public_key": public});
        let answer = expect(&[201], || client.post(&format!("/v1/wallets/{user}/devices"), &body));
        Device { user, device: answer["device"].clone(), key }
    }

    /// What the attacks wanted did not happen: beside what is allowed once, nothing moved.
    pub(super) fn assert_untouched(&self) {
        let mut admin = self.admin();
        let (one, _) = balance(&mut admin, "customers:1");
        assert_eq!(one, 100_000_000 - 1, "one payment, whose signature was then replayed");
        assert_eq!(balance(&mut admin, "customers:alice").0, 1_000 - 1, "one payment, of the device");
        assert_eq!(balance(&mut admin, "customers:bob").0, 1_000);
    }
}

impl Device {
    pub(super) fn sign(&self, verb: &str, id: Uuid, to: &str, amount: &str, counter: u64) -> Value {
        let text = format!("{verb}\n{id}\n{}\n{to}\n{amount}\n{counter}\n", self.user);
        let signature = STANDARD.encode(self.key.sign(text.as_bytes()).to_bytes());
        json!({"type": "device", "device": self.device, "counter": counter, "signature": signature})
    }
}

/// Each idle connection has a descriptor here as well.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let _as_it_is = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

//! A naive ledger in memory: accounts, positions, events, and the ledger's own transfers, which saturation uses.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Acknowledges one payment and forgets it, its event too.
    LosesAWrite,
    /// Acknowledges one payment and leaves out its effect.
    DropsAnEffect,
    /// Applies a repeated id again.
    AppliesTwice,
    /// Debits once without a credit.
    DropsACredit,
    /// Uses one position for nothing.
    SkipsAPosition,
    /// Refuses nothing for lack of money.
    NoFloor,
    /// Lets refunds exceed what was paid.
    NoRefundCap,
    /// Cancels payments and keeps what they have set aside.
    CancelKeepsHolds,
    /// Keeps payments waiting beyond their expiry.
    NeverExpires,
    /// Credits a recharge with each copy of its notification.
    CreditsTwice,
    /// Takes any number of wrong passwords.
    NeverLocks,
    /// Gives no answer to some payments, though it applies them.
    SilentButApplies,
    /// Takes 60 ms for each answer.
    Slow,
}

/// At which plain payment, or at which position, a fault happens that happens once.
pub(crate) const UNLUCKY: u64 = 30;

#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    debit_normal: bool,
    floor: bool,
    /// Credits less debits.
    net: i128,
    pub(crate) held: i128,
}

impl Account {
    fn posted(&self) -> i128 {
        if self.debit_normal { -self.net } else { self.net }
    }
}

/// Money from one account to another.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) debit: String,
    pub(crate) credit: String,
    pub(crate) amount: i128,
}

/// From one address to another.
pub(crate) fn moves(debit: &str, credit: &str, amount: i128) -> Move {
    Move { debit: debit.to_owned(), credit: credit.to_owned(), amount }
}

/// The ledger.
pub(crate) struct Ledger {
    pub(crate) fault: Fault,
    accounts: HashMap<String, Account>,
    events: BTreeMap<u64, (&'static str, Value)>,
    position: u64,
    debits: i128,
    credits: i128,
    posted: HashSet<String>,
    plain: u64,
}

impl Ledger {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            accounts: HashMap::new(),
            events: BTreeMap::new(),
            position: 0,
            debits: 0,
            credits: 0,
            posted: HashSet::new(),
            plain: 0,
        }
    }

    pub(crate) fn events_after(&self, position: u64) -> Vec<(u64, &'static str, Value)> {
        let later = self.events.range(position + 1..);
        later.map(|(position, (kind, data))| (*position, *kind, data.clone())).collect()
    }

    pub(crate) fn event(&mut self, kind: &'static str, data: Value) -> u64 {
        self.position += 1;
        if self.fault == Fault::SkipsAPosition && self.position == UNLUCKY {
            self.position += 1;
        }
        self.events.insert(self.position, (kind, data));
        self.position
    }

    /// Opens an account that is not there yet. Channels and promotions' source grow on the debit side; customers and
    /// budgets have a floor.
    pub(crate) fn ensure(&mut self, address: &str) -> &mut Account {
        let debit_normal = address.starts_with("channels:") || address == "platform:promotion";
        let floor = ["customers:", "promos:", "load:"].iter().any(|prefix| address.starts_with(prefix));
        if !self.accounts.contains_key(address) {
            self.event("account_opened", json!({"address": address}));
        }
        self.accounts.entry(address.to_owned()).or_insert(Account {
            debit_normal,
            floor,
            ..Account::default()
        })
    }

    pub(crate) fn open(&mut self, body: &Value) -> (u16, Value) {
        let known = self.accounts.len();
        self.ensure(body["address"].as_str().unwrap());
        (if self.accounts.len() > known { 201 } else { 200 }, json!({}))
    }

    pub(crate) fn account(&self, address: &str) -> (u16, Value) {
        let Some(account) = self.accounts.get(address) else {
            return (404, json!({"code": "not_found"}));
        };
        let (posted, held) = (account.posted(), account.held);
        (200, json!({"posted": text(posted), "held": text(held), "available": text(posted - held)}))
    }

    /// What can be spent.
    pub(crate) fn available(&mut self, address: &str) -> i128 {
        let account = self.ensure(address);
        account.posted() - account.held
    }

    /// Whether the account has this much; some faults do not care.
    pub(crate) fn affords(&mut self, address: &str, amount: i128) -> bool {
        let guarded = self.ensure(address).floor && self.fault != Fault::NoFloor;
        !guarded || self.available(address) >= amount
    }

    /// Moves money under an id; the position.
    pub(crate) fn post(&mut self, id: &str, legs: &[Move]) -> u64 {
        for leg in legs {
            self.ensure(&leg.debit).net -= leg.amount;
            self.ensure(&leg.credit).net += leg.amount;
            self.debits += leg.amount;
            self.credits += leg.amount;
        }
        let operations: Vec<Value> = legs
            .iter()
            .map(|leg| {
                json!({"type": "transfer", "debit": leg.debit, "credit": leg.credit, "amount": text(leg.amount)})
            })
            .collect();
        self.event("transaction_posted", json!({"id": id, "operations": operations}))
    }

    /// Moves money by a verb that faults choose from: a payment from balance alone. Whether it is kept.
    pub(crate) fn post_plain(&mut self, id: &str, legs: &[Move]) -> bool {
        self.plain += 1;
        if self.plain < UNLUCKY {
            self.post(id, legs);
            return true;
        }
        let position = self.post(id, legs);
        let fault = self.fault;
        if matches!(fault, Fault::LosesAWrite | Fault::DropsAnEffect | Fault::DropsACredit) {
            // Once is enough.
            self.fault = Fault::None;
        }
        if matches!(fault, Fault::LosesAWrite | Fault::DropsAnEffect) {
            self.unpost(legs);
        }
        if fault == Fault::LosesAWrite {
            self.events.remove(&position);
        }
        if fault == Fault::DropsACredit {
            self.ensure(&legs[0].credit).net -= legs[0].amount;
            self.credits -= legs[0].amount;
        }
        fault != Fault::LosesAWrite
    }

    fn unpost(&mut self, legs: &[Move]) {
        for leg in legs {
            self.ensure(&leg.debit).net += leg.amount;
            self.ensure(&leg.credit).net -= leg.amount;
            self.debits -= leg.amount;
            self.credits -= leg.amount;
        }
    }

    pub(crate) fn trial_balance(&self) -> (u16, Value) {
        let assets = json!([{
            "asset": "CNY", "debits": text(self.debits), "credits": text(self.credits),
            "balanced": self.debits == self.credits
        }]);
        (200, json!({"position": self.position, "assets": assets}))
    }

    pub(crate) fn batch(&mut self, body: &Value) -> (u16, Value) {
        let transactions = body["transactions"].as_array().unwrap();
        let results: Vec<Value> = transactions.iter().map(|one| self.transaction(one, false).1).collect();
        (200, json!({"results": results}))
    }

    /// A transfer of the ledger's own; faults choose from single ones.
    pub(crate) fn transaction(&mut self, body: &Value, single: bool) -> (u16, Value) {
        let (id, operation) = (body["id"].as_str().unwrap(), &body["operations"][0]);
        let side = |name: &str| operation[name].as_str().unwrap();
        let leg = moves(side("debit"), side("credit"), fen(&operation["amount"]));
        if !self.posted.insert(id.to_owned()) {
            return (200, json!({"id": id, "status": "posted", "position": self.position}));
        }
        if single {
            self.post_plain(id, &[leg]);
        } else {
            self.post(id, &[leg]);
        }
        (201, json!({"id": id, "status": "posted", "position": self.position}))
    }
}

/// An amount on the wire as fen.
pub(crate) fn fen(amount: &Value) -> i128 {
    let (whole, fraction) = amount.as_str().unwrap().split_once('.').unwrap();
    whole.parse::<i128>().unwrap() * 100 + fraction.parse::<i128>().unwrap()
}

/// Fen as an amount on the wire.
pub(crate) fn text(fen: i128) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.unsigned_abs() / 100, fen.unsigned_abs() % 100)
}

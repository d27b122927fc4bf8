//! A naive ledger in memory that keeps the HTTP contract as far as the harness uses it, or breaks it in one way.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What the ledger does wrong.
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
    /// Lets reversals exceed their original.
    NoReversalCap,
    /// Keeps holds for ever.
    NeverExpires,
    /// Gives no answer to some payments, though it applies them.
    SilentButApplies,
    /// Takes 60 ms for each answer.
    Slow,
}

/// From which transaction on, or at which position, a fault happens that happens once.
const UNLUCKY: u64 = 140;

#[derive(Clone, Debug, Default)]
struct Account {
    debit_normal: bool,
    /// Credits less debits.
    net: i128,
    held: i128,
}

impl Account {
    fn posted(&self) -> i128 {
        if self.debit_normal { -self.net } else { self.net }
    }
}

#[derive(Clone, Debug)]
struct Hold {
    debit: String,
    credit: String,
    amount: i128,
    state: &'static str,
    expires_at: Instant,
}

#[derive(Clone, Debug)]
struct Moved {
    debit: String,
    credit: String,
    amount: i128,
    reversed: i128,
}

#[derive(Clone, Debug, Default)]
struct State {
    accounts: HashMap<String, Account>,
    holds: HashMap<String, Hold>,
    moved: HashMap<(String, u64), Moved>,
    debits: i128,
    credits: i128,
}

/// The ledger.
pub(crate) struct Ledger {
    fault: Fault,
    state: State,
    outcomes: HashMap<String, (u16, Value)>,
    events: BTreeMap<u64, (&'static str, Value)>,
    position: u64,
    single: u64,
    lost: Option<String>,
}

type Refusal = (&'static str, usize);

impl Ledger {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            state: State::default(),
            outcomes: HashMap::new(),
            events: BTreeMap::new(),
            position: 0,
            single: 0,
            lost: None,
        }
    }

    pub(crate) fn fault(&self) -> Fault {
        self.fault
    }

    pub(crate) fn events_after(&self, position: u64) -> Vec<(u64, &'static str, Value)> {
        let later = self.events.range(position + 1..);
        later.map(|(position, (kind, data))| (*position, *kind, data.clone())).collect()
    }

    fn event(&mut self, kind: &'static str, data: Value) -> u64 {
        self.position += 1;
        if self.fault == Fault::SkipsAPosition && self.position == UNLUCKY {
            self.position += 1;
        }
        self.events.insert(self.position, (kind, data));
        self.position
    }

    pub(crate) fn open(&mut self, body: &Value) -> (u16, Value) {
        let address = body["address"].as_str().unwrap().to_owned();
        if self.state.accounts.contains_key(&address) {
            return (200, json!({}));
        }
        let debit_normal = body["normal"] == "debit";
        self.event("account", json!({"address": address}));
        self.state.accounts.insert(address, Account { debit_normal, ..Account::default() });
        (201, json!({}))
    }

    pub(crate) fn account(&self, address: &str) -> (u16, Value) {
        let Some(account) = self.state.accounts.get(address) else {
            return (404, json!({"code": "not_found"}));
        };
        let body = json!({
            "address": address,
            "posted": text(account.posted()),
            "held": text(account.held),
            "available": text(account.posted() - account.held),
        });
        (200, body)
    }

    pub(crate) fn hold(&mut self, id: &str) -> (u16, Value) {
        self.expire();
        match self.state.holds.get(id) {
            Some(hold) => (200, json!({"state": hold.state})),
            None => (404, json!({"code": "not_found"})),
        }
    }

    pub(crate) fn transaction(&self, id: &str) -> (u16, Value) {
        let lost = self.lost.as_deref() == Some(id);
        match self.outcomes.get(id).filter(|_| !lost) {
            Some((201, body)) => (200, body.clone()),
            Some((_, body)) => (200, json!({"id": id, "status": "rejected", "code": body["code"]})),
            None => (404, json!({"code": "not_found"})),
        }
    }

    pub(crate) fn trial_balance(&self) -> (u16, Value) {
        let (debits, credits) = (self.state.debits, self.state.credits);
        let assets = json!([{
            "asset": "CNY", "debits": text(debits), "credits": text(credits), "balanced": debits == credits
        }]);
        (200, json!({"position": self.position, "assets": assets}))
    }

    pub(crate) fn batch(&mut self, body: &Value) -> (u16, Value) {
        let transactions = body["transactions"].as_array().unwrap();
        let results: Vec<Value> = transactions
            .iter()
            .map(|transaction| match self.post(transaction) {
                (200 | 201, answer) => answer,
                (_, answer) => json!({"id": transaction["id"], "status": "rejected", "code": answer["code"]}),
            })
            .collect();
        (200, json!({"results": results}))
    }

    /// A transaction on its own; faults that happen once happen here.
    pub(crate) fn post_single(&mut self, body: &Value) -> (u16, Value) {
        self.single += 1;
        self.expire();
        let id = body["id"].as_str().unwrap().to_owned();
        let forgets = matches!(self.fault, Fault::LosesAWrite | Fault::DropsAnEffect);
        let before = forgets.then(|| self.state.clone());
        let known = self.outcomes.contains_key(&id);
        let answer = self.post(body);
        // A plain payment or transfer: other checks see to promotions and holds.
        let operations = body["operations"].as_array().unwrap();
        let first_post =
            answer.0 == 201 && !known && operations[0]["type"] == "transfer" && operations.len() <= 2;
        let unlucky = first_post && self.single >= UNLUCKY;
        match (self.fault, before) {
            (Fault::LosesAWrite, Some(before)) if unlucky => {
                self.state = before;
                // Copies in flight are still told the outcome.
                self.lost = Some(id);
                self.events.remove(&answer.1["position"].as_u64().unwrap());
                self.fault = Fault::None;
            }
            (Fault::DropsAnEffect, Some(before)) if unlucky => {
                self.state = before;
                self.fault = Fault::None;
            }
            (Fault::DropsACredit, _) if unlucky => {
                let credit = body["operations"][0]["credit"].as_str().unwrap();
                let amount = fen(&body["operations"][0]["amount"]);
                self.state.accounts.get_mut(credit).unwrap().net -= amount;
                self.state.credits -= amount;
                self.fault = Fault::None;
            }
            _ => {}
        }
        answer
    }

    fn post(&mut self, body: &Value) -> (u16, Value) {
        let id = body["id"].as_str().unwrap().to_owned();
        match self.outcomes.get(&id) {
            Some((201, answer)) if self.fault != Fault::AppliesTwice => return (200, answer.clone()),
            Some((422, answer)) => return (422, answer.clone()),
            Some(_) | None => {}
        }
        let mut state = self.touched(body);
        match apply(&mut state, body, self.fault) {
            Ok(()) => {
                self.state.accounts.extend(state.accounts);
                self.state.holds.extend(state.holds);
                self.state.moved.extend(state.moved);
                self.state.debits += state.debits;
                self.state.credits += state.credits;
                let position = self.event("transaction", json!({"id": id, "status": "posted"}));
                let answer = json!({"id": id, "status": "posted", "position": position});
                self.outcomes.insert(id, (201, answer.clone()));
                (201, answer)
            }
            Err((code, operation)) => {
                self.event("transaction", json!({"id": id, "status": "rejected", "code": code}));
                let answer = json!({"code": code, "operation": operation, "retryable": false});
                self.outcomes.insert(id, (422, answer.clone()));
                (422, answer)
            }
        }
    }

    /// A copy of what a transaction can touch, so that a refusal leaves nothing behind.
    fn touched(&self, body: &Value) -> State {
        let mut copy = State::default();
        let mut take = |address: &str| {
            if let Some(account) = self.state.accounts.get(address) {
                copy.accounts.insert(address.to_owned(), account.clone());
            }
        };
        for operation in body["operations"].as_array().unwrap() {
            for side in ["debit", "credit"] {
                take(operation[side].as_str().unwrap_or_default());
            }
            if let Some(hold) = operation["hold"].as_str().and_then(|id| self.state.holds.get(id)) {
                take(&hold.debit);
                take(&hold.credit);
            }
            if let Some(moved) = self.state.moved.get(&original(operation)) {
                take(&moved.debit);
                take(&moved.credit);
            }
        }
        for operation in body["operations"].as_array().unwrap() {
            if let Some((id, hold)) =
                operation["hold"].as_str().and_then(|id| self.state.holds.get_key_value(id))
            {
                copy.holds.insert(id.clone(), hold.clone());
            }
            if let Some((key, moved)) = self.state.moved.get_key_value(&original(operation)) {
                copy.moved.insert(key.clone(), moved.clone());
            }
        }
        copy
    }

    fn expire(&mut self) {
        if self.fault == Fault::NeverExpires {
            return;
        }
        let now = Instant::now();
        let due: Vec<String> = self
            .state
            .holds
            .iter()
            .filter(|(_, hold)| hold.state == "held" && hold.expires_at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            let hold = self.state.holds.get_mut(&id).unwrap();
            hold.state = "expired";
            self.state.accounts.get_mut(&hold.debit).unwrap().held -= hold.amount;
            self.event("expiry", json!({"id": id}));
        }
    }
}

fn original(operation: &Value) -> (String, u64) {
    let transaction = operation["transaction"].as_str().unwrap_or_default().to_owned();
    (transaction, operation["operation"].as_u64().unwrap_or_default())
}

fn apply(state: &mut State, body: &Value, fault: Fault) -> Result<(), Refusal> {
    let id = body["id"].as_str().unwrap();
    for (index, operation) in body["operations"].as_array().unwrap().iter().enumerate() {
        let refuse = |code| (code, index);
        let side = |name: &str| operation[name].as_str().unwrap_or_default().to_owned();
        match operation["type"].as_str().unwrap() {
            "transfer" => {
                let moved = Moved {
                    debit: side("debit"),
                    credit: side("credit"),
                    amount: fen(&operation["amount"]),
                    reversed: 0,
                };
                transfer(state, &moved, fault).map_err(refuse)?;
                state.moved.insert((id.to_owned(), index as u64), moved);
            }
            "hold" => {
                let amount = fen(&operation["amount"]);
                let account = state.accounts.get_mut(&side("debit")).ok_or(refuse("account_not_found"))?;
                if account.posted() - account.held < amount {
                    return Err(refuse("insufficient_funds"));
                }
                account.held += amount;
                let expires_in = Duration::from_secs(operation["expires_in"].as_u64().unwrap());
                let hold = Hold {
                    debit: side("debit"),
                    credit: side("credit"),
                    amount,
                    state: "held",
                    expires_at: Instant::now() + expires_in,
                };
                state.holds.insert(side("id"), hold);
            }
            "capture" | "release" => {
                let hold = state.holds.get_mut(&side("hold")).ok_or(refuse("hold_not_found"))?;
                if hold.state != "held" {
                    return Err(refuse("hold_expired"));
                }
                let captures = operation["type"] == "capture";
                hold.state = if captures { "captured" } else { "released" };
                let hold = hold.clone();
                state.accounts.get_mut(&hold.debit).unwrap().held -= hold.amount;
                if captures {
                    let moved = Moved {
                        debit: hold.debit,
                        credit: hold.credit,
                        amount: fen(&operation["amount"]),
                        reversed: 0,
                    };
                    transfer(state, &moved, fault).map_err(refuse)?;
                    state.moved.insert((id.to_owned(), index as u64), moved);
                }
            }
            _ => {
                let amount = fen(&operation["amount"]);
                let key = original(operation);
                let moved = state.moved.get_mut(&key).ok_or(refuse("transaction_not_found"))?;
                if moved.reversed + amount > moved.amount && fault != Fault::NoReversalCap {
                    return Err(refuse("reversal_exceeds_original"));
                }
                moved.reversed += amount;
                let back =
                    Moved { debit: moved.credit.clone(), credit: moved.debit.clone(), amount, reversed: 0 };
                transfer(state, &back, fault).map_err(refuse)?;
            }
        }
    }
    Ok(())
}

fn transfer(state: &mut State, moved: &Moved, fault: Fault) -> Result<(), &'static str> {
    if !state.accounts.contains_key(&moved.credit) {
        return Err("account_not_found");
    }
    let debit = state.accounts.get_mut(&moved.debit).ok_or("account_not_found")?;
    if !debit.debit_normal && debit.posted() - debit.held < moved.amount && fault != Fault::NoFloor {
        return Err("insufficient_funds");
    }
    debit.net -= moved.amount;
    state.accounts.get_mut(&moved.credit).unwrap().net += moved.amount;
    state.debits += moved.amount;
    state.credits += moved.amount;
    Ok(())
}

fn fen(amount: &Value) -> i128 {
    let (whole, fraction) = amount.as_str().unwrap().split_once('.').unwrap();
    whole.parse::<i128>().unwrap() * 100 + fraction.parse::<i128>().unwrap()
}

fn text(fen: i128) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.unsigned_abs() / 100, fen.unsigned_abs() % 100)
}

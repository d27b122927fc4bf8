//! A naive wallet in memory that keeps the HTTP contract as far as the harness uses it, or breaks it in one way.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::ledger::{Fault, Ledger, Move, fen, moves, text};

/// Wrong passwords that lock.
const TRIES_MAX: u32 = 5;

/// An answer.
pub(crate) type Answer = (u16, Value);

#[derive(Default)]
struct User {
    counter: u64,
    wrong: u32,
}

/// A payment that was not refused.
#[derive(Clone)]
pub(crate) struct Payment {
    pub(crate) request: Value,
    pub(crate) status: &'static str,
    pub(crate) total: i128,
    pub(crate) fee: i128,
    /// Source, account and amount: promotion, balance, channel.
    pub(crate) legs: Vec<(String, String, i128)>,
    pub(crate) refunded: Vec<i128>,
    pub(crate) refunds: Vec<Value>,
}

/// The wallet.
pub(crate) struct Wallet {
    pub(crate) ledger: Ledger,
    users: HashMap<String, User>,
    third_parties: HashSet<String>,
    promotions: HashMap<String, Value>,
    grants: HashMap<(String, String), u64>,
    pub(crate) payments: HashMap<String, Payment>,
    recharges: HashMap<String, Value>,
    tokens: HashSet<String>,
    /// Final answers by id.
    answers: HashMap<String, Answer>,
}

impl Wallet {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            ledger: Ledger::new(fault),
            users: HashMap::new(),
            third_parties: HashSet::new(),
            promotions: HashMap::new(),
            grants: HashMap::new(),
            payments: HashMap::new(),
            recharges: HashMap::new(),
            tokens: HashSet::new(),
            answers: HashMap::new(),
        }
    }

    pub(crate) fn open(&mut self, body: &Value) -> Answer {
        let user = body["user"].as_str().unwrap().to_owned();
        self.ledger.ensure(&format!("customers:{user}"));
        self.users.entry(user).or_default();
        (201, json!({}))
    }

    pub(crate) fn show(&self, user: &str) -> Answer {
        let Some(state) = self.users.get(user) else {
            return (404, json!({"code": "not_found"}));
        };
        let locked = (state.wrong >= TRIES_MAX && self.ledger.fault != Fault::NeverLocks)
            .then_some("2126-06-18T00:00:00Z");
        let device = json!({"device": format!("d-{user}"), "counter": state.counter});
        let limits = json!([{"window": "year", "limit": "200000.00", "used": "0.00"}]);
        (
            200,
            json!({"devices": [device], "limits": limits, "password": {"set": true, "locked_until": locked}}),
        )
    }

    pub(crate) fn token(&mut self, user: &str, body: &Value) -> Answer {
        let state = self.users.get_mut(user).unwrap();
        if state.wrong >= TRIES_MAX && self.ledger.fault != Fault::NeverLocks {
            return (423, json!({"code": "password_locked"}));
        }
        if body["password"] != "283904" {
            state.wrong += 1;
            return (403, json!({"code": "password_wrong"}));
        }
        let token = format!("t-{user}-{}", self.tokens.len());
        self.tokens.insert(token.clone());
        (201, json!({"token": token}))
    }

    pub(crate) fn set_merchant(&mut self, merchant: &str, body: &Value) -> Answer {
        self.ledger.ensure(&format!("merchants:{merchant}"));
        if body["kind"] == "third_party" {
            self.third_parties.insert(merchant.to_owned());
        }
        (200, json!({}))
    }

    pub(crate) fn promote(&mut self, body: &Value) -> Answer {
        let id = body["id"].as_str().unwrap();
        let budget = moves("platform:promotion", &format!("promos:{id}"), fen(&body["budget"]));
        self.ledger.post(id, &[budget]);
        self.promotions.insert(id.to_owned(), body.clone());
        (201, json!({}))
    }

    pub(crate) fn show_promotion(&mut self, id: &str) -> Answer {
        let budget = fen(&self.promotions[id]["budget"]);
        let left = self.ledger.available(&format!("promos:{id}"));
        (200, json!({"budget": text(budget), "spent": text(budget - left), "left": text(left)}))
    }

    /// Whether what is shown allows it; each counter and each token once.
    fn authorised(&mut self, user: &str, auth: &Value) -> bool {
        match auth["type"].as_str().unwrap() {
            "device" => {
                let state = self.users.get_mut(user).unwrap();
                let counter = auth["counter"].as_u64().unwrap();
                let grows = counter > state.counter && auth["device"] == format!("d-{user}");
                state.counter = state.counter.max(counter);
                grows
            }
            "token" => self.tokens.remove(auth["token"].as_str().unwrap()),
            _ => true,
        }
    }

    /// The answer that a repeated id gets.
    fn again(&mut self, id: &str) -> Option<Answer> {
        let (status, body) = self.answers.get(id)?.clone();
        Some((if status == 201 { 200 } else { status }, body))
    }

    fn keep(&mut self, id: &str, answer: Answer) -> Answer {
        self.answers.insert(id.to_owned(), answer.clone());
        answer
    }

    pub(crate) fn transfer(&mut self, from: &str, body: &Value) -> Answer {
        let (id, to) = (body["id"].as_str().unwrap(), body["to"].as_str().unwrap());
        let leg = moves(&format!("customers:{from}"), &format!("customers:{to}"), fen(&body["amount"]));
        if let Some(answer) = self.again(id) {
            if self.ledger.fault == Fault::AppliesTwice && answer.0 == 200 {
                self.ledger.post(id, &[leg]);
            }
            return answer;
        }
        if !self.authorised(from, &body["auth"]) {
            return (403, json!({"code": "auth_invalid"}));
        }
        let answer = if self.ledger.affords(&leg.debit, leg.amount) {
            (201, json!({"id": id, "position": self.ledger.post(id, &[leg])}))
        } else {
            (422, json!({"code": "insufficient_funds"}))
        };
        self.keep(id, answer)
    }

    pub(crate) fn pay(&mut self, body: &Value) -> Answer {
        let (id, user) = (body["id"].as_str().unwrap(), body["user"].as_str().unwrap());
        if let Some(answer) = self.again(id) {
            let payment = self.payments.get(id).cloned();
            let plain = payment.filter(|payment| payment.status == "paid" && payment.legs.len() == 1);
            if let Some(payment) = plain.filter(|_| self.ledger.fault == Fault::AppliesTwice) {
                self.ledger.post(id, &payment.moves());
            }
            return answer;
        }
        if !self.authorised(user, &body["auth"]) {
            return (403, json!({"code": "auth_invalid"}));
        }
        let answer = match self.compose(user, body) {
            Ok(payment) => {
                let answer = payment.show(id, self.ledger.fault);
                self.place(id, payment);
                (201, answer)
            }
            Err(code) => (422, json!({"code": code})),
        };
        self.keep(id, answer)
    }

    fn compose(&mut self, user: &str, body: &Value) -> Result<Payment, &'static str> {
        let total: i128 = body["items"].as_array().unwrap().iter().map(|item| fen(&item["amount"])).sum();
        let merchant = body["merchant"].as_str().unwrap();
        let fee = if self.third_parties.contains(merchant) { total * 6 / 1_000 } else { 0 };
        let (mut legs, mut need) = (Vec::new(), total);
        if let Some(promotion) = body["promotion"].as_str() {
            let address = format!("promos:{promotion}");
            let grants = self.grants.entry((promotion.to_owned(), user.to_owned())).or_default();
            let capped = self.promotions[promotion]["per_user"].as_u64().is_some_and(|most| *grants >= most);
            if !capped && self.ledger.affords(&address, 500) {
                *grants += 1;
                need -= 500;
                legs.push(("promotion".to_owned(), address, 500));
            } else if body["on_promotion_exhausted"] == "refuse" {
                return Err("promotion_exhausted");
            }
        }
        let customer = format!("customers:{user}");
        let own = match body["combine_with"].as_str() {
            Some(_) => need.min(self.ledger.available(&customer)),
            None if self.ledger.affords(&customer, need) => need,
            None => return Err("insufficient_funds"),
        };
        if own > 0 {
            legs.push(("balance".to_owned(), customer, own));
        }
        let mut status = "paid";
        if need > own {
            let channel = body["combine_with"].as_str().unwrap();
            legs.push((channel.to_owned(), format!("channels:{channel}"), need - own));
            status = "awaiting_channel";
        }
        let refunded = vec![0; legs.len()];
        Ok(Payment { request: body.clone(), status, total, fee, legs, refunded, refunds: Vec::new() })
    }

    fn place(&mut self, id: &str, payment: Payment) {
        let kept = if payment.status == "awaiting_channel" {
            self.hold(&payment, 1);
            self.ledger.event("transaction_posted", json!({"id": format!("{id}-hold")}));
            true
        } else if payment.legs.len() == 1 {
            self.ledger.post_plain(id, &payment.moves())
        } else {
            self.ledger.post(id, &payment.moves());
            true
        };
        if kept {
            self.payments.insert(id.to_owned(), payment);
        }
    }

    fn hold(&mut self, payment: &Payment, times: i128) {
        for (_, account, amount) in payment.legs.iter().filter(|leg| !leg.1.starts_with("channels:")) {
            self.ledger.ensure(account).held += amount * times;
        }
    }

    pub(crate) fn show_payment(&self, id: &str) -> Answer {
        match self.payments.get(id) {
            Some(payment) => (200, payment.show(id, self.ledger.fault)),
            None => (404, json!({"code": "not_found"})),
        }
    }

    pub(crate) fn cancel(&mut self, id: &str) -> Answer {
        let payment = self.payments.get_mut(id).unwrap();
        if payment.status == "awaiting_channel" {
            payment.status = "cancelled";
            let payment = payment.clone();
            if self.ledger.fault != Fault::CancelKeepsHolds {
                self.hold(&payment, -1);
            }
            self.release_grant(&payment);
            self.ledger.event("transaction_posted", json!({"id": format!("{id}-end")}));
        }
        self.show_payment(id)
    }

    fn release_grant(&mut self, payment: &Payment) {
        if payment.legs[0].0 == "promotion" {
            let [promotion, user] = ["promotion", "user"].map(|key| payment.request[key].as_str().unwrap());
            *self.grants.get_mut(&(promotion.to_owned(), user.to_owned())).unwrap() -= 1;
        }
    }

    pub(crate) fn order(&mut self, body: &Value) -> Answer {
        let id = body["id"].as_str().unwrap();
        if let Some(answer) = self.again(id) {
            return answer;
        }
        let mut recharge = body.clone();
        recharge["status"] = json!("pending");
        self.recharges.insert(id.to_owned(), recharge.clone());
        self.ledger.event("wallet_changed", json!({}));
        self.keep(id, (201, recharge))
    }

    pub(crate) fn show_recharge(&self, id: &str) -> Answer {
        self.recharges.get(id).map_or((404, json!({"code": "not_found"})), |recharge| (200, recharge.clone()))
    }

    pub(crate) fn notify(&mut self, channel: &str, body: &Value) -> Answer {
        let notification = body["notification"].as_str().unwrap();
        let twice = self.ledger.fault == Fault::CreditsTwice;
        match self.answers.get(notification) {
            Some(answer) if !twice || answer.1["effect"] != "credited" => return answer.clone(),
            Some(_) | None => {}
        }
        let order = body["order"].as_str().unwrap();
        let effect = if self.payments.contains_key(order) {
            self.payment_notified(order, body)
        } else {
            self.recharge_notified(order, channel, body)
        };
        self.keep(notification, (200, json!({"effect": effect})))
    }

    fn recharge_notified(&mut self, order: &str, channel: &str, body: &Value) -> &'static str {
        let recharge = self.recharges.get_mut(order).unwrap();
        let same = recharge["amount"] == body["amount"];
        let (status, effect, to) = match (body["result"] == "paid", same) {
            (true, true) => ("paid", "credited", format!("customers:{}", recharge["user"].as_str().unwrap())),
            (true, false) => ("suspended", "suspended", format!("suspense:{channel}")),
            (false, _) => ("failed", "failed", String::new()),
        };
        recharge["status"] = json!(status);
        if !to.is_empty() {
            let money = moves(&format!("channels:{channel}"), &to, fen(&body["amount"]));
            self.ledger.post(&format!("{order}-{}", self.ledger.events_after(0).len()), &[money]);
        }
        effect
    }

    fn payment_notified(&mut self, order: &str, body: &Value) -> &'static str {
        let payment = self.payments.get_mut(order).unwrap();
        let (effect, status) = match (payment.status, body["result"] == "paid") {
            ("awaiting_channel", true) => ("settled", "paid"),
            ("awaiting_channel", false) => ("failed", "cancelled"),
            ("cancelled", true) => ("suspended", "returned"),
            (other, _) => ("unchanged", other),
        };
        let waited = payment.status == "awaiting_channel";
        payment.status = status;
        let payment = payment.clone();
        if waited {
            self.hold(&payment, -1);
            let legs = if status == "paid" { payment.moves() } else { Vec::new() };
            self.ledger.post(&format!("{order}-end"), &legs);
        }
        if status == "cancelled" && waited {
            self.release_grant(&payment);
        }
        effect
    }

    pub(crate) fn refund(&mut self, id: &str, body: &Value) -> Answer {
        let refund = body["id"].as_str().unwrap();
        if let Some(answer) = self.again(refund) {
            return answer;
        }
        let Some(payment) = self.payments.get_mut(id) else {
            return (404, json!({"code": "not_found"}));
        };
        let amount = fen(&body["amount"]);
        let before: i128 = payment.refunded.iter().sum();
        if before + amount > payment.total && self.ledger.fault != Fault::NoRefundCap {
            return (422, json!({"code": "refund_exceeds_paid"}));
        }
        let mut back = payment.give_back(amount, self.ledger.fault == Fault::NoRefundCap);
        let legs: Vec<Value> =
            back.iter().map(|(source, one)| json!({"source": source, "amount": text(one.amount)})).collect();
        let fee = |refunded: i128| payment.fee * refunded / payment.total;
        back.push((
            "fee".to_owned(),
            moves("platform:fees", &payment.merchant(), fee(before + amount) - fee(before)),
        ));
        payment.refunds.push(json!({"id": refund, "amount": text(amount)}));
        let money: Vec<Move> = back.into_iter().map(|(_, money)| money).collect();
        self.ledger.post(refund, &money);
        self.keep(refund, (201, json!({"id": refund, "legs": legs})))
    }
}

impl Payment {
    fn merchant(&self) -> String {
        format!("merchants:{}", self.request["merchant"].as_str().unwrap())
    }

    fn moves(&self) -> Vec<Move> {
        let to = self.merchant();
        let legs = self.legs.iter().map(|(_, account, amount)| moves(account, &to, *amount));
        legs.chain([moves(&to, "platform:fees", self.fee)]).collect()
    }

    fn show(&self, id: &str, fault: Fault) -> Value {
        let leg =
            |(source, _, amount): &(String, String, i128)| json!({"source": source, "amount": text(*amount)});
        let refundable =
            if self.status == "paid" { self.total - self.refunded.iter().sum::<i128>() } else { 0 };
        let expires_at =
            if fault == Fault::NeverExpires { "2020-06-18T00:00:00Z" } else { "2126-06-18T00:00:00Z" };
        json!({
            "id": id, "status": self.status, "legs": self.legs.iter().map(leg).collect::<Vec<_>>(),
            "amount": text(self.total), "refundable": text(refundable), "refunds": self.refunds,
            "expires_at": expires_at,
        })
    }

    /// Own money first, the promotion's last; what is too much goes to the first.
    fn give_back(&mut self, amount: i128, uncapped: bool) -> Vec<(String, Move)> {
        let merchant = self.merchant();
        let mut order: Vec<usize> = (0..self.legs.len()).collect();
        order.sort_by_key(|&index| match self.legs[index].0.as_str() {
            "balance" => 0,
            "promotion" => 2,
            _ => 1,
        });
        let (mut wanted, mut back) = (amount, Vec::new());
        for (rank, &index) in order.iter().enumerate() {
            let (source, account, paid) = &self.legs[index];
            let left = if uncapped && rank == 0 { wanted } else { paid - self.refunded[index] };
            let part = left.min(wanted);
            self.refunded[index] += part;
            wanted -= part;
            if part > 0 {
                back.push((source.clone(), moves(&merchant, account, part)));
            }
        }
        back
    }
}

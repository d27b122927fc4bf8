//! What the sandbox has taken, and what it has done to it.
//!
//! Owns the orders and the totals. Invariant: what was injected is counted when it is decided, and an order is open as
//! long as anything is still to be said of it.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use serde::Serialize;
use yue_engine::{
    model::{Amount, Timestamp, TransactionId, format_units},
    wallet::Channel,
};

use super::plan::{Answering, End, Plan};
use crate::wire::{texts::display, wallet::customer::CNY_SCALE};

/// An order as the channel has it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Order {
    #[serde(serialize_with = "display")]
    pub(super) order: TransactionId,
    #[serde(serialize_with = "name")]
    pub(super) channel: Channel,
    #[serde(serialize_with = "yuan")]
    pub(super) amount: Amount,
    /// `open`, `paid`, `failed`, `abandoned`.
    state: &'static str,
    /// What was paid.
    #[serde(serialize_with = "maybe_yuan")]
    paid: Option<Amount>,
    /// The channel's own, of what was paid.
    reference: Option<String>,
    /// When it was decided.
    #[serde(serialize_with = "maybe_time")]
    paid_at: Option<Timestamp>,
    /// Whether there is nothing more to notify.
    done: bool,
}

/// How an order is to be answered.
pub(super) enum Taken {
    /// Taken now.
    New(Order),
    /// Taken before, with the same body.
    Again(Order),
    /// Taken before, with another body.
    Reused(&'static str),
    /// There are too many.
    Full,
}

/// Counts of all that was done.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Totals {
    orders: u64,
    /// Orders of which anything is still to be said.
    open: u64,
    paid: u64,
    failed: u64,
    abandoned: u64,
    wrong_amounts: u64,
    late: u64,
    duplicated: u64,
    reordered: u64,
    timeouts: u64,
    lost_answers: u64,
    notifications: Notifications,
    channels: BTreeMap<&'static str, Taking>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Notifications {
    sent: u64,
    acknowledged: u64,
}

/// What a channel has taken.
#[derive(Clone, Debug, Default, Serialize)]
struct Taking {
    /// Of all that was paid.
    #[serde(serialize_with = "sum")]
    paid: u128,
    /// Of what was paid with another amount than ordered.
    #[serde(serialize_with = "sum")]
    wrong_amounts: u128,
}

/// The orders and the totals.
#[derive(Debug, Default)]
pub(super) struct Book {
    orders: HashMap<TransactionId, Order>,
    totals: Totals,
}

impl Book {
    pub(super) fn take(
        &mut self,
        (channel, order, amount): (Channel, TransactionId, Amount),
        plan: &Plan,
        orders_max: usize,
    ) -> Taken {
        let full = self.orders.len() >= orders_max;
        match self.orders.entry(order) {
            Entry::Occupied(first) if first.get().channel != channel => Taken::Reused("/channel"),
            Entry::Occupied(first) if first.get().amount != amount => Taken::Reused("/amount"),
            Entry::Occupied(first) => Taken::Again(first.get().clone()),
            Entry::Vacant(_) if full => Taken::Full,
            Entry::Vacant(place) => {
                let (paid, reference, paid_at) = (None, None, None);
                let taken =
                    Order { order, channel, amount, state: "open", paid, reference, paid_at, done: false };
                let totals = &mut self.totals;
                totals.orders += 1;
                totals.open += 1;
                totals.timeouts += u64::from(plan.answering == Answering::Silent);
                totals.lost_answers += u64::from(plan.answering == Answering::Lost);
                Taken::New(place.insert(taken).clone())
            }
        }
    }

    /// The payer has paid, or will not.
    pub(super) fn decide(&mut self, order: TransactionId, plan: &Plan, reference: &str, now: Timestamp) {
        let Some(order) = self.orders.get_mut(&order) else { return };
        let totals = &mut self.totals;
        let counts = [
            (&mut totals.wrong_amounts, plan.wrong_amount),
            (&mut totals.late, plan.late),
            (&mut totals.duplicated, plan.duplicates > 0),
            (&mut totals.reordered, plan.reordered),
            (&mut totals.failed, plan.end == End::Failed),
            (&mut totals.abandoned, plan.end == End::Abandoned),
        ];
        counts.into_iter().for_each(|(count, happened)| *count += u64::from(happened));
        order.state = match plan.end {
            End::Failed => "failed",
            End::Abandoned => "abandoned",
            End::Paid(amount) => {
                totals.paid += 1;
                let taking = totals.channels.entry(order.channel.as_str()).or_default();
                taking.paid += u128::from(amount.units());
                taking.wrong_amounts += if plan.wrong_amount { amount.units().into() } else { 0 };
                (order.paid, order.reference, order.paid_at) =
                    (Some(amount), Some(reference.into()), Some(now));
                "paid"
            }
        };
    }

    /// All was said of an order.
    pub(super) fn done(&mut self, order: TransactionId) {
        if let Some(order) = self.orders.get_mut(&order) {
            order.done = true;
            self.totals.open -= 1;
        }
    }

    pub(super) fn sent(&mut self) {
        self.totals.notifications.sent += 1;
    }

    pub(super) fn acknowledged(&mut self) {
        self.totals.notifications.acknowledged += 1;
    }

    pub(super) fn order(&self, order: TransactionId) -> Option<Order> {
        self.orders.get(&order).cloned()
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals.clone()
    }
}

fn name<S: serde::Serializer>(channel: &Channel, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(channel.as_str())
}

fn yuan<S: serde::Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_units(amount.units().into(), CNY_SCALE))
}

fn maybe_yuan<S: serde::Serializer>(amount: &Option<Amount>, serializer: S) -> Result<S::Ok, S::Error> {
    match amount {
        Some(amount) => yuan(amount, serializer),
        None => serializer.serialize_none(),
    }
}

fn maybe_time<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => display(time, serializer),
        None => serializer.serialize_none(),
    }
}

fn sum<S: serde::Serializer>(units: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::wire::texts::unsigned_units(*units, CNY_SCALE))
}

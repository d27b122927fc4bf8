//! Reads payments and recharges again, one by one.

use std::collections::{HashMap, HashSet};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde::Deserialize;
use uuid::Uuid;

use super::{Audit, CLIENTS, Settled};
use crate::answer;
use crate::book::{Payment, PaymentNo, Recharge, RechargeState, State};
use crate::closed::{self, After};
use crate::money::{self, Fen};
use crate::wire::Answer;
use crate::worker::Findings;

/// Something to look at again.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Payment { worker: usize, number: PaymentNo, payment: &'a Payment },
    Recharge(&'a Recharge),
}

impl Entry<'_> {
    fn id(&self) -> Uuid {
        match self {
            Self::Payment { payment, .. } => payment.id,
            Self::Recharge(recharge) => recharge.id,
        }
    }
}

#[derive(Deserialize)]
struct ShownPayment {
    status: String,
    amount: String,
    refundable: String,
    refunds: Vec<ShownRefund>,
}

#[derive(Deserialize)]
struct ShownRefund {
    id: Uuid,
    amount: String,
}

#[derive(Deserialize)]
struct ShownRecharge {
    status: String,
    amount: String,
}

/// The refunds of each payment, by worker and payment.
type Refunds = HashMap<(usize, PaymentNo), HashSet<(Uuid, Fen)>>;

/// Each order of the sample, and each whose outcome had to be settled, is as it was acknowledged.
pub(super) fn check(
    audit: &Audit,
    findings: &[Findings],
    settled: &Settled,
) -> Result<(String, Vec<String>), String> {
    let all: Vec<Entry<'_>> =
        findings.iter().enumerate().flat_map(|(worker, found)| entries(worker, found)).collect();
    let chosen: Vec<Entry<'_>> = if all.len() <= audit.sample {
        all.clone()
    } else {
        let mut rng = SmallRng::seed_from_u64(audit.seed);
        let always = all.iter().filter(|entry| settled.contains(&entry.id()));
        always.chain(all.sample(&mut rng, audit.sample)).copied().collect()
    };
    let mut refunds = Refunds::new();
    for (worker, found) in findings.iter().enumerate() {
        for refund in found.book.refunds() {
            refunds.entry((worker, refund.payment)).or_default().insert((refund.id, refund.amount));
        }
    }
    let mut failures = Vec::new();
    closed::each(
        &audit.endpoint,
        CLIENTS,
        &chosen,
        |entry, out| {
            let kind = match entry {
                Entry::Payment { .. } => "payments",
                Entry::Recharge(_) => "recharges",
            };
            audit.endpoint.get(out, &format!("/v1/{kind}/{}", entry.id()));
        },
        |entry, answer| {
            if matches!(answer.status, 429 | 503) {
                return Ok(After::Again);
            }
            let same = match entry {
                Entry::Payment { worker, number, payment } => {
                    is_payment(payment, refunds.get(&(*worker, *number)), &answer)
                }
                Entry::Recharge(recharge) => is_recharge(recharge, &answer),
            };
            if same.is_none() {
                failures.push(difference(entry, &answer));
            }
            Ok(After::Next)
        },
    )?;
    Ok((format!("{} of {} orders read again", chosen.len(), all.len()), failures))
}

fn entries(worker: usize, found: &Findings) -> impl Iterator<Item = Entry<'_>> {
    let payments = found.book.payments().filter(|(_, payment)| payment.state != State::Asked);
    let recharges = found.book.recharges().iter();
    let asked = |recharge: &&Recharge| recharge.state != RechargeState::Asked;
    payments
        .map(move |(number, payment)| Entry::Payment { worker, number, payment })
        .chain(recharges.filter(asked).map(Entry::Recharge))
}

/// `Some` if the payment is shown as the book has it.
fn is_payment(payment: &Payment, refunds: Option<&HashSet<(Uuid, Fen)>>, answer: &Answer) -> Option<()> {
    let statuses: &[&str] = match payment.state {
        State::Rejected => return (answer.status == 404).then_some(()),
        State::Waiting => &["awaiting_channel"],
        State::Paid => &["paid"],
        State::Cancelled => &["cancelled", "expired"],
        State::Returned => &["returned"],
        State::Asked | State::Cancelling | State::Settling => return None,
    };
    let shown = serde_json::from_slice::<ShownPayment>(&answer.body).ok().filter(|_| answer.status == 200)?;
    let refunded: Option<HashSet<(Uuid, Fen)>> =
        shown.refunds.iter().map(|refund| Some((refund.id, money::parse(&refund.amount)?))).collect();
    let none = HashSet::new();
    let refundable = match payment.state {
        State::Paid => payment.total.0.checked_sub(payment.refunded.sum().0)?,
        State::Asked
        | State::Rejected
        | State::Waiting
        | State::Cancelling
        | State::Settling
        | State::Cancelled
        | State::Returned => 0,
    };
    let same = statuses.contains(&shown.status.as_str())
        && money::parse(&shown.amount)? == payment.total
        && money::parse(&shown.refundable)? == Fen(refundable)
        && answer::facts(answer)?.legs == payment.legs
        && shown.refunds.len() == refunded.as_ref()?.len()
        && refunded? == *refunds.unwrap_or(&none);
    same.then_some(())
}

/// `Some` if the recharge is shown as the book has it.
fn is_recharge(recharge: &Recharge, answer: &Answer) -> Option<()> {
    let status = match recharge.state {
        RechargeState::Rejected => return (answer.status == 404).then_some(()),
        RechargeState::Pending => "pending",
        RechargeState::Paid => "paid",
        RechargeState::Failed => "failed",
        RechargeState::Suspended => "suspended",
        RechargeState::Asked => return None,
    };
    let shown =
        serde_json::from_slice::<ShownRecharge>(&answer.body).ok().filter(|_| answer.status == 200)?;
    (shown.status == status && money::parse(&shown.amount)? == recharge.amount).then_some(())
}

fn difference(entry: &Entry<'_>, answer: &Answer) -> String {
    match entry {
        Entry::Payment { payment, .. } => format!(
            "payment {}: acknowledged {:?} of {:?} with {:?} refunded, shown {}",
            payment.id,
            payment.state,
            payment.legs,
            payment.refunded,
            answer.excerpt()
        ),
        Entry::Recharge(recharge) => {
            format!("recharge {}: acknowledged {:?}, shown {}", recharge.id, recharge.state, answer.excerpt())
        }
    }
}

//! The hard checks: whether the ledger has kept each promise, seen from outside after the load.
//!
//! Owns: the settling of unknown outcomes, and the comparison of the harness's own books with what the server says.
//! Never trusts an answer twice: balances, single payments and recharges, and the event stream are three separate
//! accounts of the same history. It assumes that nobody else writes to the run's accounts.

mod balances;
mod events;
mod orders;
mod passwords;
mod promotions;
mod reread;
mod settle;
mod trial;

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::accounts::Chart;
use crate::setup::Balance;
use crate::verdict::Check;
use crate::wire::Endpoint;
use crate::worker::Findings;

pub(crate) use events::read as read_events;
pub(crate) use trial::{position, read as trial_balance};

/// Connections of the audit.
const CLIENTS: usize = 64;

/// What the audit works with.
pub(crate) struct Audit {
    pub(crate) endpoint: Endpoint,
    pub(crate) chart: Arc<Chart>,
    /// The balance of each account before the run, by account number.
    pub(crate) before: Vec<Balance>,
    /// The ledger's position before the run.
    pub(crate) from_position: u64,
    /// At most so many payments and recharges are read again one by one; balances cover all.
    pub(crate) sample: usize,
    pub(crate) seed: u64,
}

impl Audit {
    /// All hard checks, in the order of the report. What cannot be looked at has failed.
    pub(crate) fn run(&self, findings: &mut [Findings]) -> Vec<Check> {
        // 1. Give each operation an outcome.
        let (settled, settling) = settle::unknown_outcomes(self, findings);
        let mut checks = vec![settling];
        // 2. Let the channels say what is left to say, and end the payments that nobody pays.
        checks.push(or_failed("holds end", "none held past its expiry", orders::end(self, findings)));
        // 3. Compare.
        let findings = &*findings;
        checks.push(or_failed("conservation", "debits = credits", trial::check(self)));
        checks.push(or_failed("balances", "each as acknowledged", balances::as_acknowledged(self, findings)));
        checks.push(or_failed(
            "no guard broken",
            "none below its floor, no refund above what was paid",
            balances::guards(self, findings),
        ));
        checks.push(or_failed(
            "suspense",
            "what fits no order, to the fen",
            balances::suspense(self, findings),
        ));
        checks.push(or_failed(
            "promotions",
            "spent ≤ budget, caps by payer kept",
            promotions::check(self, findings),
        ));
        checks.push(or_failed(
            "passwords",
            "locked by the fifth wrong one",
            passwords::check(self, findings),
        ));
        checks.push(or_failed(
            "acknowledged writes",
            "each there, with its outcome",
            reread::check(self, findings, &settled),
        ));
        match events::check(self, findings) {
            Ok(both) => checks.extend(both),
            Err(error) => checks.push(failed("positions", "gap-free", error)),
        }
        checks.push(copies(findings));
        checks.push(contract(findings));
        checks
    }
}

/// Ids whose outcome the audit had to settle; always read again.
type Settled = HashSet<Uuid>;

fn or_failed(
    name: &'static str,
    threshold: &'static str,
    check: Result<(String, Vec<String>), String>,
) -> Check {
    match check {
        Ok((measured, failures)) => Check::hard(name, threshold, measured, failures),
        Err(error) => failed(name, threshold, error),
    }
}

fn failed(name: &'static str, threshold: &'static str, error: String) -> Check {
    Check::hard(name, threshold, "not checked".to_owned(), vec![error])
}

fn copies(findings: &[Findings]) -> Check {
    let copies: u64 = findings.iter().map(|found| found.totals.copies).sum();
    let retries: u64 = findings.iter().map(|found| found.totals.retries).sum();
    Check::hard(
        "same id, same outcome",
        "no copy told otherwise",
        format!("{copies} concurrent copies, {retries} retries"),
        findings.iter().flat_map(|found| found.disagreements.iter().cloned()).collect(),
    )
}

fn contract(findings: &[Findings]) -> Check {
    let unexpected = findings.iter().flat_map(|found| found.unexpected.iter().cloned());
    Check::hard("answers", "none outside the contract", "all looked at".to_owned(), unexpected.collect())
}

//! The comparison of a server that has come back with the record.
//!
//! Owns the order: look, trial balance, events, balances, and only then are unknown ids sent again; so that half an effect
//! is seen before anything can complete it. Never judges: the record does.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::event::Event;
use super::load::Logs;
use super::log::{Acknowledgement, Intent};
use super::record::{Record, State};
use super::request::{self, Reply};
use super::verb::{Account, Outcome};
use crate::auditor::{read_events, trial_balance};
use crate::channel::Keys;
use crate::closed::{self, After};
use crate::money;
use crate::wire::Endpoint;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom as _;
use serde::Deserialize;

/// Connections of an audit.
const CLIENTS: usize = 32;
/// Old acknowledged ids that are looked at and sent again in each audit.
const OLD_SAMPLE: usize = 32;

/// How long ids are sent again that the server does not take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an audit works with.
pub(crate) struct Audit<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) keys: &'a Keys,
    pub(crate) logs: &'a Logs,
}

#[derive(Deserialize)]
struct Balance {
    posted: String,
    held: String,
}

impl Audit<'_> {
    /// Compares everything from entry `first` on, a sample of what was before, and all balances. Gives what had no
    /// outcome and has one now.
    pub(crate) fn run(
        &self,
        record: &mut Record,
        first: usize,
        rng: &mut SmallRng,
    ) -> Result<Vec<(Intent, Outcome)>, String> {
        let open: Vec<usize> = (first..record.len()).filter(|index| !record.is_known(*index)).collect();
        let old: Vec<usize> = (0..first).sample(rng, OLD_SAMPLE);
        let looked_at: Vec<usize> = old.iter().copied().chain(first..record.len()).collect();
        self.look(record, &looked_at)?;
        self.events(record)?;
        self.balances(record)?;
        let again: Vec<usize> = open.iter().copied().chain(old).collect();
        self.repeat(record, &again)?;
        let settled = outcomes(record, &open);
        let lines: Vec<Acknowledgement> = settled
            .iter()
            .map(|(intent, outcome)| Acknowledgement { id: intent.id, outcome: outcome.clone() })
            .collect();
        self.logs.acknowledgements.append_all(&lines).map_err(|error| error.to_string())?;
        Ok(settled)
    }

    /// Everything from the first entry on, each by itself.
    pub(crate) fn whole(&self, record: &mut Record) -> Result<(), String> {
        let indices: Vec<usize> = (0..record.len()).collect();
        self.look(record, &indices)?;
        self.events(record)?;
        self.balances(record)
    }

    fn look(&self, record: &mut Record, indices: &[usize]) -> Result<(), String> {
        let can =
            |index: &usize| record.get(*index).is_some_and(|entry| request::can_look(&entry.intent.verb));
        let indices: Vec<usize> = indices.iter().copied().filter(can).collect();
        let cell = RefCell::new(record);
        closed::each(
            self.endpoint,
            CLIENTS,
            &indices,
            |index, out| {
                if let Some(entry) = cell.borrow().get(*index) {
                    request::look(&entry.intent, self.endpoint, out);
                }
            },
            |index, answer| {
                if matches!(answer.status, 429 | 503) {
                    return Ok(After::Again);
                }
                let mut record = cell.borrow_mut();
                let shown = record.get(*index).map(|entry| request::judge_look(&entry.intent, &answer));
                match shown {
                    Some(Ok(shown)) => record.shown(*index, shown),
                    Some(Err(text)) => record.findings.other.push(format!("a look is answered {text}")),
                    None => {}
                }
                Ok(After::Next)
            },
        )
    }

    /// Debits equal credits, and the events up to there are the record's.
    fn events(&self, record: &mut Record) -> Result<(), String> {
        let trial = trial_balance(self.endpoint)?;
        record
            .findings
            .other
            .extend(trial.unbalanced().into_iter().map(|text| format!("trial balance: {text}")));
        let from = record.audited;
        let read = read_events(self.endpoint, from, trial.position, |position, name, data| {
            record.event(&Event::read(position, name, data));
        });
        if let Err(error) = read {
            record.findings.other.push(format!("the events end after {}: {error}", record.audited));
        }
        record.events_end();
        Ok(())
    }

    fn balances(&self, record: &mut Record) -> Result<(), String> {
        let accounts = record.accounts();
        let each = |account: &Account, out: &mut Vec<u8>| {
            self.endpoint.get(out, &format!("/v1/accounts/{}", account.address()));
        };
        closed::each(self.endpoint, CLIENTS, &accounts, each, |account, answer| {
            if matches!(answer.status, 429 | 503) {
                return Ok(After::Again);
            }
            let shown = serde_json::from_slice::<Balance>(&answer.body).ok();
            let amounts = shown.and_then(|shown| {
                Some((money::parse_signed(&shown.posted)?, money::parse_signed(&shown.held)?))
            });
            match (answer.status, amounts) {
                (200, Some((posted, held))) => record.balance(*account, posted, held),
                // Nothing has ever come to it.
                (404, _) => record.balance(*account, 0, 0),
                _ => return Err(format!("no balance of {}: {}", account.address(), answer.excerpt())),
            }
            Ok(After::Next)
        })
    }

    /// Sends ids again: those without an outcome get one, the others must have the one that they had.
    fn repeat(&self, record: &mut Record, indices: &[usize]) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let cell = RefCell::new(record);
        closed::each(
            self.endpoint,
            CLIENTS,
            indices,
            |index, out| {
                if let Some(entry) = cell.borrow().get(*index) {
                    request::build(&entry.intent, self.endpoint, self.keys, out);
                }
            },
            |index, answer| {
                let mut record = cell.borrow_mut();
                let Some(entry) = record.get(*index) else { return Ok(After::Next) };
                let id = entry.intent.id;
                match request::judge(&entry.intent, &answer) {
                    Reply::Final(outcome) => {
                        record.repeated(*index, outcome);
                    }
                    Reply::NotTaken(_) if Instant::now() < until => return Ok(After::Again),
                    Reply::NotTaken(_) => return Err(format!("{id} is not taken for {PATIENCE:?}")),
                    Reply::Unknown | Reply::Unexpected(_) => {
                        record.findings.other.push(format!("{id} sent again: {}", answer.excerpt()));
                    }
                }
                Ok(After::Next)
            },
        )
    }
}

/// The outcomes that the record has of these entries.
fn outcomes(record: &Record, indices: &[usize]) -> Vec<(Intent, Outcome)> {
    let known = indices.iter().filter_map(|index| {
        let entry = record.get(*index)?;
        match &entry.state {
            State::Known(outcome) => Some((entry.intent.clone(), outcome.clone())),
            State::Unknown | State::NotTaken => None,
        }
    });
    known.collect()
}

#[cfg(test)]
mod tests;

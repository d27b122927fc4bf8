//! Reads acknowledged transactions again, one by one.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde::Deserialize;

use super::{Audit, CLIENTS, Settled};
use crate::book::{Acknowledged, Outcome};
use crate::closed::{self, After};
use crate::wire::Answer;
use crate::worker::Findings;

#[derive(Deserialize)]
struct Shown {
    status: String,
    position: Option<u64>,
}

/// Each transaction of the sample, and each whose outcome had to be settled, has the outcome that was acknowledged.
pub(super) fn check(
    audit: &Audit,
    findings: &[Findings],
    settled: &Settled,
) -> Result<(String, Vec<String>), String> {
    let all: Vec<Acknowledged> =
        findings.iter().flat_map(|found| found.book.acknowledged().iter().copied()).collect();
    let chosen: Vec<Acknowledged> = if all.len() <= audit.sample {
        all.clone()
    } else {
        let mut rng = SmallRng::seed_from_u64(audit.seed);
        let always = all.iter().filter(|entry| settled.contains(&entry.id));
        always.chain(all.sample(&mut rng, audit.sample)).copied().collect()
    };
    let mut failures = Vec::new();
    closed::each(
        &audit.endpoint,
        CLIENTS,
        &chosen,
        |entry, out| audit.endpoint.get(out, &format!("/v1/transactions/{}", entry.id)),
        |entry, answer| {
            if matches!(answer.status, 429 | 503) {
                return Ok(After::Again);
            }
            failures.extend(difference(entry, &answer));
            Ok(After::Next)
        },
    )?;
    Ok((format!("{} of {} read again", chosen.len(), all.len()), failures))
}

fn difference(entry: &Acknowledged, answer: &Answer) -> Option<String> {
    let shown = serde_json::from_slice::<Shown>(&answer.body).ok().filter(|_| answer.status == 200);
    let same = match (&shown, entry.outcome) {
        (Some(shown), Outcome::Posted { position }) => {
            // A single transaction's position may be left to the event stream.
            shown.status == "posted" && shown.position.is_none_or(|shown| shown == position)
        }
        (Some(shown), Outcome::Rejected) => shown.status == "rejected",
        (None, _) => false,
    };
    (!same).then(|| format!("{}: acknowledged {:?}, shown {}", entry.id, entry.outcome, answer.excerpt()))
}

//! Ends the holds that still wait, and sees that the abandoned ones have expired by themselves.

use std::time::{Duration, Instant};

use serde::Deserialize;
use uuid::Uuid;

use super::{Audit, CLIENTS, settle};
use crate::book::{Hold, HoldState};
use crate::closed::{self, After};
use crate::operation::{ABANDONED_EXPIRES_S, Operation};
use crate::worker::Findings;

/// How long after its expiry a hold may still be shown as held: the expiry is an event of its own.
const EXPIRY_GRACE: Duration = Duration::from_secs(2);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
struct Shown {
    state: String,
}

/// Releases what waits, then waits for what must expire.
pub(super) fn check(audit: &Audit, findings: &mut [Findings]) -> Result<(String, Vec<String>), String> {
    let releases: Vec<(usize, Operation)> = findings
        .iter_mut()
        .enumerate()
        .flat_map(|(worker, found)| {
            let waiting = found.book.left_over();
            let builds = &mut found.builds;
            let build = |(number, hold): (_, Hold)| (worker, builds.release(number, &hold));
            waiting.into_iter().map(build).collect::<Vec<_>>()
        })
        .collect();
    let mut failures = settle::send_again(audit, findings, &releases)?;
    let abandoned: Vec<Uuid> = findings
        .iter()
        .flat_map(|found| found.book.holds())
        .filter(|hold| hold.abandoned && hold.state == HoldState::Held)
        .map(|hold| hold.id)
        .collect();
    let deadline = Instant::now() + Duration::from_secs(ABANDONED_EXPIRES_S) + EXPIRY_GRACE;
    let mut held = abandoned.clone();
    while !held.is_empty() && Instant::now() < deadline {
        held = still_held(audit, &held, &mut failures)?;
        if !held.is_empty() {
            std::thread::sleep(ASK_AGAIN_AFTER);
        }
    }
    failures.extend(held.iter().map(|id| format!("{id} is held past its expiry")));
    let measured = format!("{} released at the end, {} expired", releases.len(), abandoned.len());
    Ok((measured, failures))
}

fn still_held(audit: &Audit, holds: &[Uuid], failures: &mut Vec<String>) -> Result<Vec<Uuid>, String> {
    let mut held = Vec::new();
    closed::each(
        &audit.endpoint,
        CLIENTS,
        holds,
        |id, out| audit.endpoint.get(out, &format!("/v1/holds/{id}")),
        |id, answer| {
            let shown = serde_json::from_slice::<Shown>(&answer.body);
            match (answer.status, shown) {
                (429 | 503, _) => return Ok(After::Again),
                (200, Ok(shown)) if shown.state == "expired" => {}
                (200, Ok(shown)) if shown.state == "held" => held.push(*id),
                _ => failures.push(format!("the abandoned hold {id}: {}", answer.excerpt())),
            }
            Ok(After::Next)
        },
    )?;
    Ok(held)
}

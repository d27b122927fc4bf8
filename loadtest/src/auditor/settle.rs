//! Gives each operation of unknown outcome its outcome, by sending the same id again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Audit, CLIENTS, Settled};
use crate::answer::{self, Reply};
use crate::book::Effect;
use crate::closed::{self, After};
use crate::operation::Operation;
use crate::verdict::Check;
use crate::worker::Findings;

/// How long a server that is coming back may take to tell.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// Settles what the workers left; the ids, and whether all have an outcome now.
pub(super) fn unknown_outcomes(audit: &Audit, findings: &mut [Findings]) -> (Settled, Check) {
    let unsettled: Vec<(usize, Operation)> = findings
        .iter_mut()
        .enumerate()
        .flat_map(|(worker, found)| {
            let operations = std::mem::take(&mut found.unsettled);
            let builds = &found.builds;
            let again = |operation: Operation| {
                // A signature is good for minutes only.
                let operation = if let Effect::Notify(notice) = &operation.effect {
                    builds.notify(notice)
                } else {
                    operation
                };
                (worker, operation)
            };
            operations.into_iter().map(again).collect::<Vec<_>>()
        })
        .collect();
    let ids: Settled = unsettled.iter().filter_map(|(_, operation)| operation.id).collect();
    let failures = send_again(audit, findings, &unsettled).unwrap_or_else(|error| vec![error]);
    let check = Check::hard(
        "outcomes settled",
        "each by sending its id again",
        format!("{} were unknown", ids.len()),
        failures,
    );
    (ids, check)
}

/// Sends operations until each has a final answer, and enters them into the books; those that got none are named.
pub(super) fn send_again(
    audit: &Audit,
    findings: &mut [Findings],
    operations: &[(usize, Operation)],
) -> Result<Vec<String>, String> {
    let deadline = Instant::now() + SETTLE_MAX;
    let mut failures = Vec::new();
    let mut seen = HashSet::new();
    closed::each(
        &audit.endpoint,
        CLIENTS,
        operations,
        |(_, operation), out| out.extend_from_slice(&operation.request),
        |(worker, operation), answer| {
            let kind = operation.kind;
            let reply = answer::judge(operation, &answer);
            match (reply, operation.id, findings.get_mut(*worker)) {
                (Reply::Final(outcome, _), Some(id), Some(found)) => {
                    if seen.insert((id, kind)) {
                        found.book.enter(id, &operation.effect, outcome, Instant::now());
                    }
                }
                (Reply::Overloaded(_) | Reply::Unknown, _, _) if Instant::now() < deadline => {
                    return Ok(After::Again);
                }
                // Not known under its id, and its authorisation is void by now: it has not happened, and will not.
                (Reply::Unexpected(_), Some(id), Some(found)) if answer::is_auth_invalid(&answer) => {
                    if seen.insert((id, kind)) {
                        found.book.not_taken(&operation.effect, Instant::now());
                    }
                }
                (_, id, _) => failures.push(format!("{}: {}", id.unwrap_or_default(), answer.excerpt())),
            }
            Ok(After::Next)
        },
    )?;
    Ok(failures)
}

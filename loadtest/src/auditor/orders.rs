//! Ends the orders that still wait: channels say what is left to say, and what nobody pays is cancelled.
//!
//! A payment whose channel says nothing may wait until its expiry, and not longer.

use serde::Deserialize;

use super::{Audit, CLIENTS, settle};
use crate::book::{Effect, Facts, Legs, Outcome, PaymentNo, Shown, State};
use crate::closed::{self, After};
use crate::operation::Operation;
use crate::worker::Findings;

/// How long after its expiry a payment may still be shown as waiting: the expiry is an event of its own.
const EXPIRY_GRACE_S: i64 = 2;
/// Rounds of notifications: what a channel says of a payment that is being cancelled comes in the next one.
const ROUNDS: usize = 3;

#[derive(Deserialize)]
struct Waiting {
    status: String,
    expires_at: Option<jiff::Timestamp>,
}

/// Ends what waits; what should have ended by itself and has not.
pub(super) fn end(audit: &Audit, findings: &mut [Findings]) -> Result<(String, Vec<String>), String> {
    let mut failures = Vec::new();
    let mut notified = 0;
    for _ in 0..ROUNDS {
        let left: Vec<(usize, Operation)> = findings
            .iter_mut()
            .enumerate()
            .flat_map(|(worker, found)| {
                let notices = found.book.take_left();
                let builds = &found.builds;
                notices.into_iter().map(|notice| (worker, builds.notify(&notice))).collect::<Vec<_>>()
            })
            .collect();
        notified += left.len();
        failures.extend(settle::send_again(audit, findings, &left)?);
    }
    let waiting: Vec<(usize, PaymentNo, uuid::Uuid)> = findings
        .iter()
        .enumerate()
        .flat_map(|(worker, found)| {
            let open = found.book.payments().filter(|(_, payment)| payment.state == State::Waiting);
            open.map(move |(number, payment)| (worker, number, payment.id))
        })
        .collect();
    let expired = look(audit, findings, &waiting, &mut failures)?;
    let cancels: Vec<(usize, Operation)> = findings
        .iter()
        .enumerate()
        .flat_map(|(worker, found)| {
            let open = found.book.payments().filter(|(_, payment)| payment.state == State::Waiting);
            open.map(move |(number, payment)| (worker, found.builds.cancel(number, payment.id)))
        })
        .collect();
    failures.extend(settle::send_again(audit, findings, &cancels)?);
    let measured = format!("{notified} settled at the end, {} cancelled, {expired} expired", cancels.len());
    Ok((measured, failures))
}

/// Looks at payments that wait: how many have expired as they should.
fn look(
    audit: &Audit,
    findings: &mut [Findings],
    waiting: &[(usize, PaymentNo, uuid::Uuid)],
    failures: &mut Vec<String>,
) -> Result<usize, String> {
    let mut expired = 0;
    closed::each(
        &audit.endpoint,
        CLIENTS,
        waiting,
        |(_, _, id), out| audit.endpoint.get(out, &format!("/v1/payments/{id}")),
        |(worker, number, id), answer| {
            let shown = serde_json::from_slice::<Waiting>(&answer.body).ok();
            match (answer.status, shown, findings.get_mut(*worker)) {
                (429 | 503, _, _) => return Ok(After::Again),
                (200, Some(shown), Some(found)) if shown.status == "expired" => {
                    let facts = Facts { shown: Shown::Cancelled, legs: Legs::default(), position: None };
                    let now = std::time::Instant::now();
                    found.book.enter(*id, &Effect::Cancel(*number), Outcome::Done(facts), now);
                    expired += 1;
                }
                (200, Some(shown), _) if shown.status == "awaiting_channel" => {
                    let late = |at: jiff::Timestamp| {
                        at.as_second() + EXPIRY_GRACE_S < jiff::Timestamp::now().as_second()
                    };
                    if shown.expires_at.is_none_or(late) {
                        failures.push(format!("{id} is held past its expiry"));
                    }
                }
                _ => failures.push(format!("the abandoned payment {id}: {}", answer.excerpt())),
            }
            Ok(After::Next)
        },
    )?;
    Ok(expired)
}

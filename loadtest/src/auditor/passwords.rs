//! Passwords: guessing ends with a lock, after five tries.

use serde::Deserialize;

use super::{Audit, CLIENTS};
use crate::builds::VICTIMS;
use crate::closed::{self, After};
use crate::worker::Findings;

/// Wrong passwords that lock.
const TRIES_MAX: u32 = 5;

#[derive(Deserialize)]
struct Wallet {
    password: Password,
}

#[derive(Deserialize)]
struct Password {
    locked_until: Option<String>,
}

/// No victim's password was tried more than five times, and who was tried so often is locked.
pub(super) fn check(audit: &Audit, findings: &[Findings]) -> Result<(String, Vec<String>), String> {
    let tries =
        |victim: u32| -> u32 { findings.iter().filter_map(|found| found.book.guesses().get(&victim)).sum() };
    let victims: Vec<(u32, u32)> = (0..VICTIMS).map(|victim| (victim, tries(victim))).collect();
    let (mut failures, mut locked) = (Vec::new(), 0);
    closed::each(
        &audit.endpoint,
        CLIENTS,
        &victims,
        |(victim, _), out| {
            audit.endpoint.get(out, &format!("/v1/wallets/{}", audit.chart.victim(*victim)));
        },
        |(victim, tries), answer| {
            if matches!(answer.status, 429 | 503) {
                return Ok(After::Again);
            }
            let wallet = serde_json::from_slice::<Wallet>(&answer.body)
                .map_err(|error| format!("{}: {error}", audit.chart.victim(*victim)))?;
            let is_locked = wallet.password.locked_until.is_some();
            locked += usize::from(is_locked);
            if *tries > TRIES_MAX || (*tries == TRIES_MAX && !is_locked) {
                let state = if is_locked { "locked" } else { "not locked" };
                failures.push(format!("{}: {tries} tries, {state}", audit.chart.victim(*victim)));
            }
            Ok(After::Next)
        },
    )?;
    Ok((format!("{locked} of {VICTIMS} wallets locked"), failures))
}

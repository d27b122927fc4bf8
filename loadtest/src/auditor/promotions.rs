//! Promotions: no budget is overdrawn, and no payer has had one more often than it may be had.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Audit, CLIENTS, balances};
use crate::accounts::{AccountNo, Role};
use crate::book::State;
use crate::closed::{self, After};
use crate::money::{self, Signed};
use crate::setup::PER_USER;
use crate::worker::Findings;

#[derive(Deserialize)]
struct Shown {
    budget: String,
    spent: String,
    left: String,
}

/// What the books say, what the accounts say, and what the promotions themselves say.
pub(super) fn check(audit: &Audit, findings: &[Findings]) -> Result<(String, Vec<String>), String> {
    let budgets = balances::read(audit, |account| account.role == Role::PromotionBudget)?;
    let mut failures = Vec::new();
    let mut numbers = Vec::new();
    for (number, account, balance) in &budgets {
        // What the books say, which need not be what the server says.
        let left = balances::expected(audit, findings, *number, account);
        if left < 0 || balance.posted < 0 {
            failures.push(format!(
                "{}: {} left by its grants, shown {}",
                account.address,
                Signed(left),
                Signed(balance.posted)
            ));
        }
        numbers.push((*number, left));
    }
    closed::each(
        &audit.endpoint,
        CLIENTS,
        &numbers,
        |(number, _), out| {
            audit.endpoint.get(out, &format!("/v1/promotions/{}", audit.chart.name(*number)));
        },
        |(number, left), answer| {
            if matches!(answer.status, 429 | 503) {
                return Ok(After::Again);
            }
            let adds_up = serde_json::from_slice::<Shown>(&answer.body).ok().is_some_and(|shown| {
                let [budget, spent, shown] =
                    [&shown.budget, &shown.spent, &shown.left].map(|text| money::parse_signed(text));
                shown == Some(*left)
                    && budget.zip(spent).is_some_and(|(budget, spent)| budget - spent == *left)
            });
            if !adds_up {
                let name = audit.chart.name(*number);
                failures.push(format!(
                    "{name}: {} left by its grants, shown {}",
                    Signed(*left),
                    answer.excerpt()
                ));
            }
            Ok(After::Next)
        },
    )?;
    failures.extend(caps(audit, findings));
    let hot = numbers.iter().find(|(number, _)| *number == audit.chart.hot_promotion());
    let left = hot.map_or(0, |(_, left)| *left);
    Ok((format!("{} budgets; the hot one has {} left", budgets.len(), Signed(left)), failures))
}

/// Payers who have had the capped promotion too often.
fn caps(audit: &Audit, findings: &[Findings]) -> Vec<String> {
    let capped = audit.chart.calm_promotion(0);
    let mut had: HashMap<AccountNo, usize> = HashMap::new();
    for (_, payment) in findings.iter().flat_map(|found| found.book.payments()) {
        let granted = payment.state == State::Paid && payment.legs.promotion.0 > 0;
        if granted && payment.promotion == Some(capped) {
            *had.entry(payment.user).or_default() += 1;
        }
    }
    let over = had.into_iter().filter(|(_, times)| *times > PER_USER);
    over.map(|(user, times)| format!("{} had it {times} times", audit.chart.address(user))).collect()
}

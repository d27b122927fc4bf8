//! Balances: each account against the sum of its acknowledged effects, and against its guards.

use super::Audit;
use crate::accounts::{Account, AccountNo, Normal, Role};
use crate::money::Signed;
use crate::setup::{self, Balance};
use crate::worker::Findings;

/// What an account should show on its normal side.
pub(super) fn expected(audit: &Audit, findings: &[Findings], number: AccountNo, account: &Account) -> i128 {
    let index = number.0 as usize;
    let credits: i128 = findings.iter().filter_map(|found| found.book.effects().get(index)).sum();
    let grown = match account.normal {
        Normal::Credit => credits,
        Normal::Debit => -credits,
    };
    before(audit, number).posted + grown
}

fn before(audit: &Audit, number: AccountNo) -> Balance {
    audit.before.get(number.0 as usize).copied().unwrap_or_default()
}

/// Balances with their accounts, of those that `wanted` selects.
pub(super) fn read(
    audit: &Audit,
    wanted: impl Fn(&Account) -> bool,
) -> Result<Vec<(AccountNo, &Account, Balance)>, String> {
    let accounts: Vec<(AccountNo, &Account)> =
        audit.chart.iter().filter(|(_, account)| wanted(account)).collect();
    let balances = setup::read_balances(&audit.endpoint, &accounts)?;
    let with_accounts = accounts.into_iter().zip(balances);
    Ok(with_accounts.map(|((number, account), (_, balance))| (number, account, balance)).collect())
}

/// The strong check: what the server shows is what it has acknowledged, neither less nor more, and nothing stays held.
pub(super) fn as_acknowledged(audit: &Audit, findings: &[Findings]) -> Result<(String, Vec<String>), String> {
    let mut failures = Vec::new();
    let balances = read(audit, |_| true)?;
    for (number, account, balance) in &balances {
        let expected = expected(audit, findings, *number, account);
        if balance.posted != expected {
            failures.push(format!(
                "{}: shown {}, acknowledged {}",
                account.address,
                Signed(balance.posted),
                Signed(expected)
            ));
        }
        let held = before(audit, *number).held;
        if balance.held != held {
            failures.push(format!(
                "{}: {} is held, with no hold",
                account.address,
                Signed(balance.held - held)
            ));
        }
    }
    Ok((format!("{} accounts", balances.len()), failures))
}

/// Nothing below its floor, no reversal above its original, nothing posted that nobody can afford.
pub(super) fn guards(audit: &Audit, findings: &[Findings]) -> Result<(String, Vec<String>), String> {
    let mut failures: Vec<String> =
        findings.iter().flat_map(|found| found.book.broken_guards().iter().cloned()).collect();
    let guarded = |account: &Account| account.role != Role::Channel && account.role != Role::PromotionSource;
    let balances = read(audit, guarded)?;
    for (_, account, balance) in &balances {
        if balance.posted < 0 || balance.available < 0 {
            failures.push(format!(
                "{}: posted {}, available {}",
                account.address,
                Signed(balance.posted),
                Signed(balance.available)
            ));
        }
    }
    let refunds: usize = findings.iter().map(|found| found.book.refunds().len()).sum();
    Ok((format!("{} accounts, {refunds} refunds", balances.len()), failures))
}

/// What is in suspense is what the harness sent there: money of other amounts than ordered.
pub(super) fn suspense(audit: &Audit, findings: &[Findings]) -> Result<(String, Vec<String>), String> {
    let mut failures = Vec::new();
    let mut injected = 0;
    for (number, account, balance) in read(audit, |account| account.role == Role::Suspense)? {
        let expected = expected(audit, findings, number, account);
        injected += expected - before(audit, number).posted;
        if balance.posted != expected {
            failures.push(format!(
                "{}: {}, and {} came that fits no order",
                account.address,
                Signed(balance.posted),
                Signed(expected)
            ));
        }
    }
    Ok((format!("{} sent there", Signed(injected)), failures))
}

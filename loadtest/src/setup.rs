//! Brings the server to where a run starts.
//!
//! Owns: the opening of accounts, their balances before the run, and the money that users and promotions start
//! with. Not measured. What it funds enters the book like everything else.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use uuid::Uuid;

use crate::accounts::{Account, AccountNo, Chart, Normal};
use crate::book::{Book, Effect, Leg, Outcome};
use crate::closed::{self, After};
use crate::mix;
use crate::money::{self, Fen};
use crate::operation::{self, HOT_PROMOTION_SHARE, Ids, PAYMENT_MEAN, PROMOTION, TRANSFER_MAX, push};
use crate::scenario::Scenario;
use crate::skew;
use crate::wire::{Answer, Endpoint};

/// Connections that open accounts.
const CLIENTS: usize = 64;
/// Transactions in one batch; the server takes ten times as many.
const BATCH: usize = 1_000;
/// How often transactions that the server did not take are sent again.
const ROUNDS_MAX: u32 = 20;
/// What each user has besides what it is expected to spend: 2,000 yuan.
const POCKET_MONEY_FEN: f64 = 200_000.0;
/// Users get this times what they are expected to spend, so that few run out.
const SPENDING_FACTOR: f64 = 2.0;

/// An account as the server shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Shown {
    pub(crate) posted: String,
    pub(crate) held: String,
    pub(crate) available: String,
}

/// Balances in fen, each counted on the account's normal side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) posted: i128,
    pub(crate) held: i128,
    pub(crate) available: i128,
}

impl Balance {
    /// Reads `GET /v1/accounts/{address}`.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let shown: Shown = serde_json::from_slice(body).ok()?;
        Some(Self {
            posted: money::parse_signed(&shown.posted)?,
            held: money::parse_signed(&shown.held)?,
            available: money::parse_signed(&shown.available)?,
        })
    }
}

/// Opens all accounts of the chart; gives each one's balance before the run, by account number.
pub(crate) fn open_accounts(endpoint: &Endpoint, chart: &Chart) -> Result<Vec<Balance>, String> {
    let accounts: Vec<(AccountNo, &Account)> = chart.iter().collect();
    let mut old = Vec::new();
    let mut body = String::new();
    closed::each(
        endpoint,
        CLIENTS,
        &accounts,
        |(_, account), out| {
            body.clear();
            let normal = match account.normal {
                Normal::Credit => "credit",
                Normal::Debit => "debit",
            };
            push(
                &mut body,
                format_args!(r#"{{"address":"{}","asset":"CNY","normal":"{normal}"}}"#, account.address),
            );
            endpoint.post(out, "/v1/accounts", body.as_bytes());
        },
        |(number, account), answer| match answer.status {
            201 => Ok(After::Next),
            200 => {
                old.push((*number, *account));
                Ok(After::Next)
            }
            429 | 503 => Ok(After::Again),
            _ => Err(format!("{} does not open: {}", account.address, answer.excerpt())),
        },
    )?;
    let mut balances = vec![Balance::default(); chart.len()];
    for (number, balance) in read_balances(endpoint, &old)? {
        if let Some(slot) = balances.get_mut(number.0 as usize) {
            *slot = balance;
        }
    }
    Ok(balances)
}

/// Reads the balances of accounts.
pub(crate) fn read_balances(
    endpoint: &Endpoint,
    accounts: &[(AccountNo, &Account)],
) -> Result<Vec<(AccountNo, Balance)>, String> {
    let mut balances = Vec::with_capacity(accounts.len());
    closed::each(
        endpoint,
        CLIENTS,
        accounts,
        |(_, account), out| endpoint.get(out, &format!("/v1/accounts/{}", account.address)),
        |(number, account), answer| match (answer.status, Balance::parse(&answer.body)) {
            (429 | 503, _) => Ok(After::Again),
            (200, Some(balance)) => {
                balances.push((*number, balance));
                Ok(After::Next)
            }
            _ => Err(format!("{} is not shown: {}", account.address, answer.excerpt())),
        },
    )?;
    Ok(balances)
}

/// Gives users what they will spend, and promotions their budgets.
pub(crate) fn fund(
    endpoint: &Endpoint,
    chart: &Arc<Chart>,
    scenario: &Scenario,
    book: &mut Book,
) -> Result<(), String> {
    let mut ids = Ids::new();
    let mut waiting: Vec<(Uuid, Leg)> = recharges(chart, scenario)
        .into_iter()
        .chain(budgets(chart, scenario))
        .map(|leg| (ids.next(), leg))
        .collect();
    for _ in 0..ROUNDS_MAX {
        waiting = post_batches(endpoint, chart, &waiting, book)?;
        if waiting.is_empty() {
            return Ok(());
        }
    }
    Err(format!("the server does not take {} recharges", waiting.len()))
}

/// What each user gets at the start, from the channels.
fn recharges(chart: &Chart, scenario: &Scenario) -> Vec<Leg> {
    let end = scenario.plan.seconds();
    let spent = scenario.expected(end, mix::pay_share) * PAYMENT_MEAN
        + scenario.expected(end, mix::transfer_share) * TRANSFER_MAX as f64;
    (0..)
        .zip(skew::user_shares(chart.users()))
        .map(|(user, share)| Leg {
            debit: chart.channel(user),
            credit: chart.customer(user),
            amount: whole_fen(POCKET_MONEY_FEN + share * spent * SPENDING_FACTOR),
        })
        .collect()
}

/// The budgets of the promotions: the hot one's lasts until its moment, the others' to the end.
fn budgets(chart: &Chart, scenario: &Scenario) -> Vec<Leg> {
    let budget = |credit, fen: f64| Leg {
        debit: chart.promotion_source(),
        credit,
        // A multiple of what one payment takes.
        amount: Fen(whole_fen(fen).0.div_ceil(PROMOTION.0).max(1) * PROMOTION.0),
    };
    let one = PROMOTION.0 as f64;
    let until_dry = scenario.promotion_payments_until_dry() * HOT_PROMOTION_SHARE * one;
    let to_the_end = scenario.expected(scenario.plan.seconds(), mix::promotion_share) * one * SPENDING_FACTOR;
    let calm = (0..4).map(|number| budget(chart.calm_promotion(number), to_the_end));
    std::iter::once(budget(chart.hot_promotion(), until_dry)).chain(calm).collect()
}

/// A sum of fen that is not negative, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an expectation for sizing; float casts saturate"
)]
fn whole_fen(fen: f64) -> Fen {
    Fen(fen as u64)
}

#[derive(Deserialize)]
struct Results {
    results: Vec<BatchResult>,
}

#[derive(Deserialize)]
struct BatchResult {
    id: Uuid,
    status: String,
    position: Option<u64>,
}

/// Posts transfers in batches; gives those that the server did not take.
fn post_batches(
    endpoint: &Endpoint,
    chart: &Chart,
    transfers: &[(Uuid, Leg)],
    book: &mut Book,
) -> Result<Vec<(Uuid, Leg)>, String> {
    let batches: Vec<&[(Uuid, Leg)]> = transfers.chunks(BATCH).collect();
    let mut left = Vec::new();
    let mut body = String::new();
    closed::each(
        endpoint,
        4,
        &batches,
        |batch, out| {
            body.clear();
            body.push_str(r#"{"transactions":["#);
            for (id, leg) in *batch {
                push(&mut body, format_args!(r#"{{"id":"{id}","operations":["#));
                operation::push_transfer(&mut body, chart, leg);
                body.pop();
                body.push_str("]},");
            }
            body.pop();
            body.push_str("]}");
            endpoint.post(out, "/v1/transactions/batch", body.as_bytes());
        },
        |batch, answer| match answer.status {
            429 | 503 => Ok(After::Again),
            200 => enter_results(batch, &answer, book, &mut left).map(|()| After::Next),
            _ => Err(format!("a batch is not taken: {}", answer.excerpt())),
        },
    )?;
    Ok(left)
}

fn enter_results(
    batch: &[(Uuid, Leg)],
    answer: &Answer,
    book: &mut Book,
    left: &mut Vec<(Uuid, Leg)>,
) -> Result<(), String> {
    let results: Results =
        serde_json::from_slice(&answer.body).map_err(|error| format!("a batch's results: {error}"))?;
    if results.results.len() != batch.len() {
        return Err(format!("{} results for {} transactions", results.results.len(), batch.len()));
    }
    for ((id, leg), result) in batch.iter().zip(results.results) {
        match (result.status.as_str(), result.position) {
            ("posted", Some(position)) if result.id == *id => {
                let effect = Effect::Transfers { legs: vec![*leg], refundable: false };
                book.enter(*id, &effect, Outcome::Posted { position }, Instant::now());
            }
            ("unavailable", _) if result.id == *id => left.push((*id, *leg)),
            (status, _) => return Err(format!("the recharge {id} is {status}: {}", answer.excerpt())),
        }
    }
    Ok(())
}

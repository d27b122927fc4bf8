//! Brings the server to where a run starts.
//!
//! Owns: the opening of wallets, merchants and promotions, the balances before the run, and the money that payers start
//! with. Not measured. What moves money enters the book like everything else.

mod enrol;

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;

use crate::accounts::{Account, AccountNo, CALM_PROMOTIONS, Chart};
use crate::answer::{self, Reply};
use crate::book::{Book, Effect, Leg, Recharge, RechargeState};
use crate::builds::{FEE_THOUSANDTHS, HOT_PROMOTION_SHARE, PROMOTION, VICTIMS};
use crate::channel::{Channel, Keys};
use crate::closed::{self, After};
use crate::mix::{self, Kind};
use crate::money::{self, Fen};
use crate::operation::{self, Ids, Operation};
use crate::payers::{Mode, Payer, Purse, SPENT_MAX};
use crate::scenario::Scenario;
use crate::skew::Merchant;
use crate::wire::{Answer, Endpoint};

pub(crate) use enrol::enrol;

/// Connections that prepare.
pub(super) const CLIENTS: usize = 64;
/// What payers start with: more than they spend, or very little.
const FULL_PURSE: Fen = Fen(SPENT_MAX + 1_000_000);
const SHORT_PURSE: Fen = Fen(1_000);
/// Budgets that last have this times what is expected to be given.
const BUDGET_FACTOR: f64 = 2.0;
/// How often a payer can have the first of the lasting promotions.
pub(crate) const PER_USER: usize = 20;

/// An account as the server shows it.
#[derive(Clone, Debug, Deserialize)]
struct Shown {
    posted: String,
    held: String,
    available: String,
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
    fn parse(body: &[u8]) -> Option<Self> {
        let shown: Shown = serde_json::from_slice(body).ok()?;
        Some(Self {
            posted: money::parse_signed(&shown.posted)?,
            held: money::parse_signed(&shown.held)?,
            available: money::parse_signed(&shown.available)?,
        })
    }
}

/// Opens all wallets of the chart and of the victims, and sets the merchants' terms.
pub(crate) fn open(endpoint: &Endpoint, chart: &Chart) -> Result<(), String> {
    let users = (0..chart.users()).map(|rank| chart.name(chart.customer(rank)).to_owned());
    let wallets: Vec<String> = users.chain((0..VICTIMS).map(|number| chart.victim(number))).collect();
    each(endpoint, &wallets, |user, out| {
        let body = format!(r#"{{"user":"{user}","class":"III"}}"#);
        endpoint.post(out, "/v1/wallets", body.as_bytes());
    })?;
    let third = (0..chart.merchants()).map(Merchant::ThirdParty);
    let merchants: Vec<Merchant> = std::iter::once(Merchant::SelfOperated).chain(third).collect();
    each(endpoint, &merchants, |merchant, out| {
        let kind = match merchant {
            Merchant::SelfOperated => "self_operated",
            Merchant::ThirdParty(_) => "third_party",
        };
        let path = format!("/v1/merchants/{}", chart.name(chart.merchant(*merchant)));
        let body = format!(
            r#"{{"enabled":true,"kind":"{kind}","refused_categories":[],"fee_rate":"0.{FEE_THOUSANDTHS:03}"}}"#
        );
        endpoint.put(out, &path, body.as_bytes());
    })
}

/// One request for each item; each must be answered with success.
pub(super) fn each<T>(
    endpoint: &Endpoint,
    items: &[T],
    build: impl FnMut(&T, &mut Vec<u8>),
) -> Result<(), String> {
    closed::each(endpoint, CLIENTS, items, build, |_, answer| succeeded(&answer))
}

pub(super) fn succeeded(answer: &Answer) -> Result<After, String> {
    match answer.status {
        200..=299 => Ok(After::Next),
        429 | 503 => Ok(After::Again),
        _ => Err(format!("a step of the setup is refused: {}", answer.excerpt())),
    }
}

/// Reads the balances of accounts; of one that is not open yet they are zero.
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
            (404, _) => {
                balances.push((*number, Balance::default()));
                Ok(After::Next)
            }
            (200, Some(balance)) => {
                balances.push((*number, balance));
                Ok(After::Next)
            }
            _ => Err(format!("{} is not shown: {}", account.address, answer.excerpt())),
        },
    )?;
    balances.sort_unstable_by_key(|(number, _)| *number);
    Ok(balances)
}

/// Makes the promotions: the hot one's budget lasts until its moment, the others' to the end. The first of
/// those can be had so often by a payer.
pub(crate) fn promote(
    endpoint: &Endpoint,
    chart: &Chart,
    scenario: &Scenario,
    book: &mut Book,
) -> Result<(), String> {
    let one = PROMOTION.0 as f64;
    let until_dry = scenario.promotion_payments_until_dry() * HOT_PROMOTION_SHARE * one;
    let to_the_end = scenario.expected(scenario.plan.seconds(), mix::promotion_share) * one * BUDGET_FACTOR;
    let calm = (0..CALM_PROMOTIONS).map(|number| (chart.calm_promotion(number), to_the_end));
    let promotions: Vec<(AccountNo, Fen)> = std::iter::once((chart.hot_promotion(), until_dry))
        .chain(calm)
        // A multiple of what one payment takes.
        .map(|(promotion, fen)| (promotion, Fen(whole(fen).div_ceil(PROMOTION.0).max(1) * PROMOTION.0)))
        .collect();
    each(endpoint, &promotions, |(promotion, budget), out| {
        let per_user = if *promotion == chart.calm_promotion(0) {
            format!(r#","per_user":{PER_USER}"#)
        } else {
            String::new()
        };
        let body = format!(
            r#"{{"id":"{}","name":"618: five yuan off","kind":"payment_discount","rule":{{"amount_off":"{PROMOTION}"}},"budget":"{budget}"{per_user},"starts_at":"2020-01-01T00:00:00+08:00","ends_at":"2120-01-01T00:00:00+08:00"}}"#,
            chart.name(*promotion)
        );
        endpoint.post(out, "/v1/promotions", body.as_bytes());
    })?;
    for (promotion, budget) in promotions {
        book.apply(Leg { debit: chart.promotion_source(), credit: promotion, amount: budget });
    }
    Ok(())
}

/// A sum of fen that is not negative, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an expectation for sizing; float casts saturate"
)]
fn whole(fen: f64) -> u64 {
    fen as u64
}

/// Gives each payer what it starts with, as a recharge and its notification.
pub(crate) fn fund(
    endpoint: &Endpoint,
    chart: &Chart,
    keys: &Keys,
    payers: u32,
    book: &mut Book,
) -> Result<(), String> {
    let mut ids = Ids::new();
    let mut orders = Vec::new();
    for payer in (0..payers).map(Payer) {
        let amount = match payer.purse() {
            Purse::Full => FULL_PURSE,
            Purse::Short => SHORT_PURSE,
        };
        let channel = Channel::drawn(payer.0);
        let recharge = Recharge {
            id: ids.next(),
            user: AccountNo(payer.0),
            amount,
            channel,
            accounts: (chart.channel(channel), chart.suspense(channel)),
            comes: Some(amount),
            state: RechargeState::Asked,
        };
        let mut request = Vec::new();
        endpoint.post(&mut request, "/v1/recharges", operation::recharge(chart, &recharge).as_bytes());
        let effect = Effect::Order(book.plan_recharge(recharge));
        orders.push(Operation { kind: Kind::Recharge, id: Some(recharge.id), request, effect, payer: None });
    }
    perform(endpoint, &orders, book)?;
    let notices: Vec<Operation> =
        book.take_left().iter().map(|notice| operation::notify(endpoint, keys, notice)).collect();
    perform(endpoint, &notices, book)
}

/// Sends operations until each is done, and enters them into the book.
fn perform(endpoint: &Endpoint, operations: &[Operation], book: &mut Book) -> Result<(), String> {
    closed::each(
        endpoint,
        CLIENTS,
        operations,
        |operation, out| out.extend_from_slice(&operation.request),
        |operation, answer| match (answer::judge(operation, &answer), operation.id) {
            (Reply::Overloaded(_) | Reply::Unknown, _) => Ok(After::Again),
            (Reply::Final(outcome, None), Some(id)) => {
                book.enter(id, &operation.effect, outcome, Instant::now());
                Ok(After::Next)
            }
            _ => Err(format!("a payer is not funded: {}", answer.excerpt())),
        },
    )
}

/// How many payers a run needs at the least, for what they show.
pub(crate) fn payers_min(mode: Mode, scenario: &Scenario) -> u64 {
    let spends = whole(scenario.expected(scenario.plan.seconds(), mix::spend_share) * 1.2);
    match mode {
        // Three in four pay without a channel, and those do most of it.
        Mode::Small => spends.div_ceil(u64::from(crate::payers::SMALL_A_DAY)).max(4),
        Mode::Token | Mode::Password | Mode::Device => 4,
    }
}

/// What the workers' payers start with.
pub(crate) type Payers = Arc<[crate::payers::Enrolled]>;

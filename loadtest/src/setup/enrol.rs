//! Passwords, devices, small payments and tokens of the payers.
//!
//! Each costs the server a password hash of about 25 ms, so payers are few. A payer of an earlier run keeps all of it.

use std::time::Instant;

use serde::Deserialize;

use super::{Payers, succeeded};
use crate::accounts::{AccountNo, Chart};
use crate::builds::VICTIMS;
use crate::closed::{self, After};
use crate::money;
use crate::operation;
use crate::payers::{Enrolled, Mode, PASSWORD, Payer, SMALL_A_DAY, TOKEN_SECONDS};
use crate::wire::Endpoint;

/// Connections that wait for hashes.
const CLIENTS: usize = 16;
/// The most of a small payment; above each price.
const SMALL_MAX: &str = "1000.00";

#[derive(Deserialize)]
struct Wallet {
    devices: Vec<Device>,
    limits: Vec<Limit>,
}

#[derive(Deserialize)]
struct Device {
    device: String,
    counter: u64,
}

#[derive(Deserialize)]
struct Limit {
    used: String,
}

#[derive(Deserialize)]
struct Registered {
    device: String,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// Gives the first `count` users and the victims a password, and payers what they show.
pub(crate) fn enrol(endpoint: &Endpoint, chart: &Chart, mode: Mode, count: u32) -> Result<Payers, String> {
    let payers: Vec<Payer> = (0..count).map(Payer).collect();
    let names: Vec<String> = payers.iter().map(|payer| chart.name(AccountNo(payer.0)).to_owned()).collect();
    let victims = (0..VICTIMS).map(|number| chart.victim(number));
    let with_password: Vec<String> = names.iter().cloned().chain(victims).collect();
    hashed(endpoint, &with_password, |user, out| {
        let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
        endpoint.put(out, &format!("/v1/wallets/{user}/password"), body.as_bytes());
    })?;
    let mut enrolled = vec![Enrolled::default(); payers.len()];
    match mode {
        Mode::Device => register(endpoint, chart, &payers, &mut enrolled)?,
        Mode::Small => hashed(endpoint, &names, |user, out| {
            let body = format!(
                r#"{{"password":"{PASSWORD}","enabled":true,"limit":"{SMALL_MAX}","daily_count":{SMALL_A_DAY}}}"#
            );
            endpoint.put(out, &format!("/v1/wallets/{user}/small-payment"), body.as_bytes());
        })?,
        Mode::Token => fetch_tokens(endpoint, chart, &payers, &mut enrolled)?,
        Mode::Password => {}
    }
    look_up(endpoint, chart, &payers, &mut enrolled)?;
    Ok(enrolled.into())
}

/// Requests that a hash each answers.
fn hashed(
    endpoint: &Endpoint,
    users: &[String],
    build: impl FnMut(&String, &mut Vec<u8>),
) -> Result<(), String> {
    closed::each(endpoint, CLIENTS, users, build, |_, answer| succeeded(&answer))
}

fn register(
    endpoint: &Endpoint,
    chart: &Chart,
    payers: &[Payer],
    enrolled: &mut [Enrolled],
) -> Result<(), String> {
    closed::each(
        endpoint,
        CLIENTS,
        payers,
        |payer, out| {
            use base64::Engine as _;
            let key = payer.device_key().verifying_key();
            let key = base64::engine::general_purpose::STANDARD.encode(key.as_bytes());
            let body = format!(
                r#"{{"password":"{PASSWORD}","name":"yue-load","algorithm":"ed25519","public_key":"{key}"}}"#
            );
            let path = format!("/v1/wallets/{}/devices", chart.name(AccountNo(payer.0)));
            endpoint.post(out, &path, body.as_bytes());
        },
        |payer, answer| {
            let after = succeeded(&answer)?;
            if let (After::Next, Some(slot)) = (&after, enrolled.get_mut(payer.0 as usize)) {
                let registered: Registered =
                    serde_json::from_slice(&answer.body).map_err(|error| format!("a device: {error}"))?;
                slot.device = Some((registered.device, 0));
            }
            Ok(after)
        },
    )
}

fn fetch_tokens(
    endpoint: &Endpoint,
    chart: &Chart,
    payers: &[Payer],
    enrolled: &mut [Enrolled],
) -> Result<(), String> {
    closed::each(
        endpoint,
        CLIENTS,
        payers,
        |payer, out| {
            let path = format!("/v1/wallets/{}/payment-tokens", chart.name(AccountNo(payer.0)));
            endpoint.post(out, &path, operation::token(PASSWORD, TOKEN_SECONDS).as_bytes());
        },
        |payer, answer| {
            let after = succeeded(&answer)?;
            if let (After::Next, Some(slot)) = (&after, enrolled.get_mut(payer.0 as usize)) {
                let token: Token =
                    serde_json::from_slice(&answer.body).map_err(|error| format!("a token: {error}"))?;
                slot.token = Some((token.token, Instant::now()));
            }
            Ok(after)
        },
    )
}

/// How far the devices' counters are, and what of the year's limit is used.
fn look_up(
    endpoint: &Endpoint,
    chart: &Chart,
    payers: &[Payer],
    enrolled: &mut [Enrolled],
) -> Result<(), String> {
    closed::each(
        endpoint,
        super::CLIENTS,
        payers,
        |payer, out| endpoint.get(out, &format!("/v1/wallets/{}", chart.name(AccountNo(payer.0)))),
        |payer, answer| {
            let after = succeeded(&answer)?;
            if let (After::Next, Some(slot)) = (&after, enrolled.get_mut(payer.0 as usize)) {
                let wallet: Wallet =
                    serde_json::from_slice(&answer.body).map_err(|error| format!("a wallet: {error}"))?;
                slot.spent = wallet
                    .limits
                    .iter()
                    .filter_map(|limit| money::parse(&limit.used))
                    .map(|used| used.0)
                    .max()
                    .unwrap_or(0);
                if let Some((device, counter)) = &mut slot.device {
                    let known = wallet.devices.iter().find(|known| known.device == *device);
                    *counter = known.ok_or("a device is registered, and not shown")?.counter;
                }
            }
            Ok(after)
        },
    )
}

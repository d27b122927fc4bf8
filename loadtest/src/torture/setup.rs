//! The accounts and wallets of a torture.
//!
//! Owns: what is opened before the first fault, and the first money, which is in the record like everything later.

use super::draw::Style;
use super::load::Logs;
use super::log::{Acknowledgement, Intent};
use super::record::{Record, State};
use super::request::{self, Reply};
use super::verb::{Account, Leg, MERCHANT, PURSES, Verb, user};
use crate::channel::Keys;
use crate::closed::{self, After};
use crate::money::Fen;
use crate::operation::Ids;
use crate::payers::PASSWORD;
use crate::wire::{Answer, Endpoint};

/// What each purse starts with.
const START: Fen = Fen(1_000_000);
/// Connections.
const CLIENTS: usize = 16;

/// Opens everything, and gives each purse its first money.
pub(crate) fn prepare(
    endpoint: &Endpoint,
    keys: &Keys,
    logs: &Logs,
    style: Style,
    record: &mut Record,
) -> Result<(), String> {
    let world = r#"{"address":"world","asset":"CNY","normal":"debit","floor":null}"#.to_owned();
    let purse = |number| format!(r#"{{"address":"{}","asset":"CNY"}}"#, Account::Purse(number).address());
    let openings: Vec<String> = std::iter::once(world).chain((0..PURSES).map(purse)).collect();
    post(endpoint, &openings, |_| "/v1/accounts".to_owned())?;
    fund(endpoint, keys, logs, record)?;
    if !style.wallet {
        return Ok(());
    }
    let merchant = r#"{"enabled":true,"kind":"self_operated"}"#;
    put(endpoint, &[(format!("/v1/merchants/{MERCHANT}"), merchant.to_owned())])?;
    let users: Vec<String> = (0..style.clients).map(user).collect();
    let wallets: Vec<String> =
        users.iter().map(|user| format!(r#"{{"user":"{user}","class":"III"}}"#)).collect();
    post(endpoint, &wallets, |_| "/v1/wallets".to_owned())?;
    let of_each = |what: &str, body: &str| -> Vec<(String, String)> {
        users.iter().map(|user| (format!("/v1/wallets/{user}/{what}"), body.to_owned())).collect()
    };
    put(endpoint, &of_each("password", &format!(r#"{{"password":"{PASSWORD}"}}"#)))?;
    let small =
        format!(r#"{{"password":"{PASSWORD}","enabled":true,"limit":"1000.00","daily_count":1000000}}"#);
    put(endpoint, &of_each("small-payment", &small))
}

fn fund(endpoint: &Endpoint, keys: &Keys, logs: &Logs, record: &mut Record) -> Result<(), String> {
    let mut ids = Ids::new();
    let intents: Vec<Intent> = (0..PURSES)
        .map(|number| Intent {
            id: ids.next(),
            verb: Verb::Transfer(vec![Leg {
                debit: Account::World,
                credit: Account::Purse(number),
                amount: START,
            }]),
            bulky: false,
        })
        .collect();
    logs.intents.append_all(&intents).map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    closed::each(
        endpoint,
        CLIENTS,
        &intents,
        |intent, out| request::build(intent, endpoint, keys, out),
        |intent, answer| match request::judge(intent, &answer) {
            Reply::Final(outcome) => {
                lines.push(Acknowledgement { id: intent.id, outcome: outcome.clone() });
                record.add(intent.clone(), State::Known(outcome));
                Ok(After::Next)
            }
            Reply::NotTaken(_) => Ok(After::Again),
            Reply::Unknown | Reply::Unexpected(_) => Err(format!("no first money: {}", answer.excerpt())),
        },
    )?;
    logs.acknowledgements.append_all(&lines).map_err(|error| error.to_string())
}

fn post(endpoint: &Endpoint, bodies: &[String], path: impl Fn(&str) -> String) -> Result<(), String> {
    closed::each(
        endpoint,
        CLIENTS,
        bodies,
        |body, out| endpoint.post(out, &path(body), body.as_bytes()),
        |body, answer| taken(body, &answer),
    )
}

fn put(endpoint: &Endpoint, requests: &[(String, String)]) -> Result<(), String> {
    closed::each(
        endpoint,
        CLIENTS,
        requests,
        |(path, body), out| endpoint.put(out, path, body.as_bytes()),
        |(path, _), answer| taken(path, &answer),
    )
}

fn taken(what: &str, answer: &Answer) -> Result<After, String> {
    match answer.status {
        200 | 201 | 204 => Ok(After::Next),
        429 | 503 => Ok(After::Again),
        _ => Err(format!("{what}: {}", answer.excerpt())),
    }
}

//! Password checks beside live payments by token: what a hash of 19 MiB costs those who pay.
//!
//! Windows without and with checks take turns in one run, so that what else the machine does meets both. Tokens are
//! fetched before: each costs a hash itself.

use std::{
    io,
    net::SocketAddr,
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Arguments,
    client::Client,
    payers::{PASSWORD, each, open_wallet, recharge},
    server::Server,
    till::{Till, Window, print_ratio},
};

/// What is measured.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Checks {
    /// Password checks.
    #[arg(long, default_value_t = NonZero::<u32>::MIN.saturating_add(999))]
    checks: NonZero<u32>,
    /// Windows of each kind.
    #[arg(long, default_value_t = NonZero::<u32>::MIN.saturating_add(9))]
    windows: NonZero<u32>,
    /// Payments a second.
    #[arg(long, default_value_t = NonZero::<u32>::MIN.saturating_add(74))]
    payments_per_second: NonZero<u32>,
    /// Seconds of payments in a window; fewer if its checks end before. More need more tokens, which must all be spent
    /// in the five minutes that a token is good for.
    #[arg(long, default_value_t = 3)]
    window_seconds: u64,
}

/// Payers, a connection of the till each.
const PAYERS: usize = 32;
/// Who asks for checks, again and again.
const GUESSERS: usize = 32;
/// Seconds that a token is good for; the most that there are.
const TOKEN_S: u32 = 300;
/// For connections and caches.
const WARM_UP: Duration = Duration::from_secs(1);
const FUNDS: &str = "10000.00";

type Tokens = Vec<Mutex<Vec<String>>>;

pub(crate) fn run(arguments: &Arguments, checks: Checks) -> Result<(), Box<dyn std::error::Error>> {
    let data = arguments.data()?;
    // All cores hash while tokens are fetched; then the default is measured.
    let cores = thread::available_parallelism()?;
    let server = Server::start(
        data.path(),
        &arguments.server_options(&["--wallet-password-hashes-max", &cores.to_string()]),
    )?;
    enrol(server.address)?;
    let tokens = fetch_tokens(server.address, checks.tokens())?;
    server.stop()?;

    let server = Server::start(data.path(), &arguments.server_options(&[]))?;
    let payment = |connection: usize| {
        let token = tokens.get(connection)?.lock().ok()?.pop()?;
        Some(payment(connection, &token))
    };
    let per_second = checks.payments_per_second.get();
    let till = Till { address: server.address, per_second, connections: PAYERS, payment: &payment };
    till.run_for(WARM_UP);
    let (mut alone, mut beside, mut hashing) = (Window::default(), Window::default(), Duration::ZERO);
    for window in 0..checks.windows.get() {
        alone.add(till.run_for(checks.window()));
        let share = (window + 1) * checks.checks.get() / checks.windows
            - window * checks.checks.get() / checks.windows;
        let (paid, took) = checked(&till, checks.window(), share)?;
        beside.add(paid);
        hashing += took;
    }
    if !alone.cut.is_empty() || !beside.cut.is_empty() {
        return Err("a payment was not answered".into());
    }
    if tokens.iter().any(|left| left.lock().is_ok_and(|left| left.is_empty())) {
        return Err("tokens ran out".into());
    }
    println!("figure passwords_checked {} checks", checks.checks);
    println!(
        "figure passwords_per_second {:.1} checks/s",
        f64::from(checks.checks.get()) / hashing.as_secs_f64()
    );
    println!("figure passwords_payments_per_second {per_second} payments/s");
    print_ratio("passwords", &alone, &beside);
    println!("figure passwords_memory_peak {:.0} MiB", server.memory_peak_mib());
    server.stop()?;
    Ok(())
}

impl Checks {
    fn window(self) -> Duration {
        Duration::from_secs(self.window_seconds)
    }

    /// As many as payments, and as payers do not all pay equally often, a few more.
    fn tokens(self) -> usize {
        let seconds = WARM_UP.as_secs() + 2 * u64::from(self.windows.get()) * self.window_seconds;
        let payments = seconds * u64::from(self.payments_per_second.get());
        usize::try_from(payments + payments / 8).unwrap_or(usize::MAX)
    }
}

fn payer(number: usize) -> String {
    format!("p{number}")
}

fn guesser(number: usize) -> String {
    format!("g{number}")
}

fn payment(payer_no: usize, token: &str) -> String {
    let payment = json!({
        "id": Uuid::now_v7(), "user": payer(payer_no), "merchant": "jd-self",
        "auth": {"type": "token", "token": token},
        "items": [{"name": "a thing", "kind": "goods", "category": "home", "amount": "0.01"}],
    });
    payment.to_string()
}

fn enrol(address: SocketAddr) -> io::Result<()> {
    Client::new(address).expect(
        "PUT",
        "/v1/merchants/jd-self",
        &json!({"enabled": true, "kind": "self_operated"}),
    )?;
    each(PAYERS + GUESSERS, |number| {
        let mut client = Client::new(address);
        match number.checked_sub(PAYERS) {
            Some(number) => open_wallet(&mut client, &guesser(number)),
            None => {
                open_wallet(&mut client, &payer(number))?;
                recharge(&mut client, &payer(number), FUNDS)
            }
        }
    })
}

/// A token, for which a password is checked.
fn fetch_token(client: &mut Client, user: &str) -> io::Result<String> {
    let body = json!({"password": PASSWORD, "max_amount": "1.00", "expires_in": TOKEN_S});
    let answer = client.expect("POST", &format!("/v1/wallets/{user}/payment-tokens"), &body)?;
    let token = answer.get("token").and_then(Value::as_str);
    token.map(str::to_owned).ok_or_else(|| io::Error::other(format!("no token: {answer}")))
}

fn fetch_tokens(address: SocketAddr, count: usize) -> io::Result<Tokens> {
    let started = Instant::now();
    let tokens: Tokens = (0..PAYERS).map(|_| Mutex::default()).collect();
    each(PAYERS, |number| {
        let (mut client, mut mine) = (Client::new(address), Vec::new());
        for _ in 0..count.div_ceil(PAYERS) {
            let token = fetch_token(&mut client, &payer(number))?;
            mine.push(token);
        }
        // The oldest is spent first.
        mine.reverse();
        if let Some(Ok(mut tokens)) = tokens.get(number).map(Mutex::lock) {
            *tokens = mine;
        }
        Ok(())
    })?;
    eprintln!("  {count} tokens in {:?}", started.elapsed());
    Ok(tokens)
}

/// Payments while so many passwords are checked, for a time at the most, and how long the checks took.
fn checked(till: &Till<'_>, most: Duration, checks: u32) -> io::Result<(Window, Duration)> {
    let (next, done) = (AtomicU32::new(0), AtomicBool::new(false));
    let check = |number: usize| {
        let mut client = Client::new(till.address);
        while next.fetch_add(1, Relaxed) < checks {
            fetch_token(&mut client, &guesser(number))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let checking = scope.spawn(|| {
            let started = Instant::now();
            let checked = each(GUESSERS, check);
            done.store(true, Relaxed);
            checked.map(|()| started.elapsed())
        });
        let end = Instant::now() + most;
        let window = till.run(&|| !done.load(Relaxed) && Instant::now() < end);
        Ok((window, checking.join().expect("no panic")?))
    })
}

//! Password checks beside live payments by token: what a hash of 19 MiB costs those who pay.
//!
//! Windows without and with checks take turns in one run, so that what else the machine does meets both. Tokens are
//! fetched before: each costs a hash itself.

use std::{
    io,
    net::SocketAddr,
    num::NonZero,
    sync::{
        Barrier, Mutex,
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
    payers::{PASSWORD, allow_small, each, open_wallet, recharge},
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
    /// Payments a second without a password, all the time and not measured: as in a festival, the journal always has
    /// something to sync. 0 for none.
    #[arg(long, default_value_t = 400)]
    others_per_second: u32,
    /// Seconds of payments in a window; fewer if its checks end before. More need more tokens, which must all be spent
    /// in the five minutes that a token is good for.
    #[arg(long, default_value_t = 3)]
    window_seconds: u64,
}

/// Payers, a connection of the till each.
const PAYERS: usize = 32;
/// Who pays without a password.
const OTHERS: usize = 32;
/// Who asks for checks, again and again.
const GUESSERS: usize = 32;
/// From one's first check to the next one's.
const BETWEEN_GUESSERS: Duration = Duration::from_millis(20);
/// Seconds that a token is good for; the most that there are.
const TOKEN_S: u32 = 300;
/// For connections and caches.
const WARM_UP: Duration = Duration::from_secs(1);
const FUNDS: &str = "10000.00";

/// Options of a server whose users pay without a password as often as they like.
const ANY_COUNT: [&str; 2] = ["--wallet-small-payments-per-day", "4294967295"];

/// What came of the windows.
struct Measured {
    alone: Window,
    beside: Window,
    /// How long all checks took.
    hashing: Duration,
}

type Tokens = Vec<Mutex<Vec<String>>>;

pub(crate) fn run(arguments: &Arguments, checks: Checks) -> Result<(), Box<dyn std::error::Error>> {
    let data = arguments.data()?;
    // All cores hash while tokens are fetched; then the default is measured.
    let cores = thread::available_parallelism()?;
    let all_cores = ["--wallet-password-hashes-max", &cores.to_string()];
    let server = Server::start(data.path(), &arguments.server_options(&[all_cores, ANY_COUNT].concat()))?;
    enrol(server.address)?;
    let tokens = fetch_tokens(server.address, checks.tokens())?;
    server.stop()?;

    let server = Server::start(data.path(), &arguments.server_options(&ANY_COUNT))?;
    let Measured { alone, beside, hashing } = checks.measure(server.address, &tokens)?;
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
    println!("figure passwords_payments_per_second {} payments/s", checks.payments_per_second);
    println!("figure passwords_other_payments_per_second {} payments/s", checks.others_per_second);
    print_ratio("passwords", &alone, &beside);
    println!("figure passwords_memory_peak {:.0} MiB", server.memory_peak_mib());
    server.stop()?;
    Ok(())
}

impl Checks {
    /// Windows without and with checks in turns, others paying all the time.
    fn measure(self, address: SocketAddr, tokens: &Tokens) -> io::Result<Measured> {
        let payment = |connection: usize| {
            let token = tokens.get(connection)?.lock().ok()?.pop()?;
            Some(payment(&payer(connection), &json!({"type": "token", "token": token})))
        };
        let per_second = self.payments_per_second.get();
        let till = Till { address, per_second, connections: PAYERS, payment: &payment };
        let small = |connection: usize| Some(self::payment(&other(connection), &json!({"type": "small"})));
        let others_per_second = self.others_per_second.max(1);
        let others = Till { address, per_second: others_per_second, connections: OTHERS, payment: &small };
        let over = AtomicBool::new(self.others_per_second == 0);
        thread::scope(|scope| {
            let paying = scope.spawn(|| others.run(&|| !over.load(Relaxed)));
            let measured = self.take_turns(&till);
            over.store(true, Relaxed);
            paying.join().expect("no panic").tell("others");
            measured
        })
    }

    fn take_turns(self, till: &Till<'_>) -> io::Result<Measured> {
        let (mut alone, mut beside, mut hashing) = (Window::default(), Window::default(), Duration::ZERO);
        till.run_for(WARM_UP);
        for window in 0..self.windows.get() {
            alone.add(till.run_for(self.window()));
            let until = |window: u32| window * self.checks.get() / self.windows;
            let (paid, took) = checked(till, self.window(), until(window + 1) - until(window))?;
            beside.add(paid);
            hashing += took;
        }
        Ok(Measured { alone, beside, hashing })
    }

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

fn other(number: usize) -> String {
    format!("s{number}")
}

fn payment(user: &str, auth: &Value) -> String {
    let payment = json!({
        "id": Uuid::now_v7(), "user": user, "merchant": "jd-self", "auth": auth,
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
    each(PAYERS, |number| {
        let mut client = Client::new(address);
        open_wallet(&mut client, &payer(number))?;
        recharge(&mut client, &payer(number), FUNDS)
    })?;
    each(OTHERS, |number| {
        let mut client = Client::new(address);
        open_wallet(&mut client, &other(number))?;
        allow_small(&mut client, &other(number), u32::MAX)?;
        recharge(&mut client, &other(number), FUNDS)
    })?;
    each(GUESSERS, |number| open_wallet(&mut Client::new(address), &guesser(number)))
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
    let (next, done, opened) = (AtomicU32::new(0), AtomicBool::new(false), Barrier::new(GUESSERS));
    let check = |number: usize| {
        let mut client = Client::new(till.address);
        let ready = client.open();
        opened.wait();
        ready?;
        // One after the other, as people come: each window would otherwise begin with all of them in the same instant.
        thread::sleep(BETWEEN_GUESSERS * u32::try_from(number).unwrap_or(u32::MAX));
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

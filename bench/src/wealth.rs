//! A day of the wealth product over many wallets, beside live payments, through a server that is killed inside.
//!
//! The server is killed while income is paid, twice, and while idle balances are swept; each time it is started again
//! and the same call takes the day up. Payments come at a fixed rate in windows with and without the day, which take
//! turns. In the end every wallet's income is computed here a second time, and compared to the fen.

mod check;
mod prepare;

use std::{
    io,
    net::SocketAddr,
    num::NonZero,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Arguments,
    client::Client,
    payers::{allow_small, each, open_wallet},
    server::Server,
    till::{Till, Window, print_ratio},
    workload::Numbers,
};

pub(crate) use prepare::prepare;

/// What is measured.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Day {
    /// Wallets with shares.
    #[arg(long, default_value_t = 1_000_000)]
    wallets: u64,
    /// Payments a second, without and beside the day.
    #[arg(long, default_value_t = NonZero::<u32>::MIN.saturating_add(499))]
    payments_per_second: NonZero<u32>,
    /// Seconds of a window without the day.
    #[arg(long, default_value_t = 10)]
    window_seconds: u64,
    /// One of so many wallets has idle balance that is swept.
    #[arg(long, default_value_t = NonZero::<u64>::MIN.saturating_add(9))]
    swept_every: NonZero<u64>,
}

/// When the server is killed.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// So many thirds of the income are paid.
    Income(u128),
    /// A wallet in the middle is swept.
    Sweep,
}

const STOPS: [Stop; 3] = [Stop::Income(1), Stop::Income(2), Stop::Sweep];
/// Fen that each wallet has beside its shares.
const BALANCE: u64 = 100_000;
/// Fen that a swept wallet keeps.
const KEEP: u64 = 90_000;
/// Merchants that are paid.
const MERCHANTS: u64 = 10;
/// Of the wallets, the first ones pay; a connection each.
const PAYERS: usize = 64;
const DATE: &str = "2025-06-18";
const RATE: &str = "1.2345";
/// [`RATE`] in ten-thousandths, and what they are of: 10,000 yuan.
const RATE_UNITS: (u128, u128) = (12_345, 100_000_000);

/// What came of payments and the day beside one another.
struct Beside {
    window: Window,
    end: End,
}

enum End {
    /// By [`Stop`].
    Killed,
    /// With the answer to the day.
    Paid(Server, Value),
}

/// Fen that each payer has sent.
struct Purses(Vec<AtomicU64>);

pub(crate) fn run(arguments: &Arguments, day: Day) -> Result<(), Box<dyn std::error::Error>> {
    let data = arguments.data()?;
    let started = Instant::now();
    day.prepare_apart(arguments, data.path())?;
    eprintln!("{} wallets in {:?}", day.wallets, started.elapsed());
    let options = arguments.server_options(&["--wallet-small-payments-per-day", &u32::MAX.to_string()]);
    let mut server = Server::start(data.path(), &options)?;
    enrol(&server)?;

    let purses = Purses((0..PAYERS).map(|_| AtomicU64::new(0)).collect());
    let (mut alone, mut beside) = (Window::default(), Window::default());
    let (mut took, mut restart) = (Duration::ZERO, Duration::ZERO);
    for stop in STOPS {
        alone.add(day.window(server.address, &purses));
        let started = Instant::now();
        let Beside { window, end: End::Killed } = day.beside(server, &purses, Some(stop))? else {
            return Err(format!("the day was over before the kill: {stop:?}").into());
        };
        took += started.elapsed();
        let restarted = Instant::now();
        server = Server::start(data.path(), &options)?;
        restart = restart.max(restarted.elapsed());
        settle(&mut server.client(), &window.cut)?;
        window.tell(&format!("killed at {stop:?}, {} payments cut", window.cut.len()));
        beside.add(window);
    }
    alone.add(day.window(server.address, &purses));
    let started = Instant::now();
    let Beside { window, end: End::Paid(server, answer) } = day.beside(server, &purses, None)? else {
        return Err("nobody has killed the server".into());
    };
    took += started.elapsed();
    beside.add(window);
    alone.add(day.window(server.address, &purses));
    let memory = server.memory_peak_mib();
    if pay_day(&mut server.client())? != answer {
        return Err("the day is answered in another way when it is asked for again".into());
    }
    server.stop()?;
    let paid: Vec<u64> = purses.0.iter().map(|purse| purse.load(Relaxed)).collect();
    check::check(arguments, data.path(), day, &answer, &paid)?;

    println!("figure wealth_day_seconds {:.2} s", took.as_secs_f64());
    println!("figure wealth_day_wallets {} wallets", day.wallets);
    println!("figure wealth_day_wallets_per_second {:.0} wallets/s", day.wallets as f64 / took.as_secs_f64());
    println!("figure wealth_day_kills {} kills", STOPS.len());
    println!("figure wealth_day_restart_most {:.2} s", restart.as_secs_f64());
    println!("figure wealth_payments_per_second {} payments/s", day.payments_per_second);
    print_ratio("wealth", &alone, &beside);
    println!("figure wealth_memory_peak {memory:.0} MiB");
    Ok(())
}

fn enrol(server: &Server) -> io::Result<()> {
    let mut client = server.client();
    for no in 0..MERCHANTS {
        let terms = json!({"enabled": true, "kind": "self_operated"});
        client.expect("PUT", &format!("/v1/merchants/m{no}"), &terms)?;
    }
    each(PAYERS, |number| {
        let mut client = server.client();
        let user = format!("u{number}");
        open_wallet(&mut client, &user)?;
        allow_small(&mut client, &user, u32::MAX)
    })
}

/// What a server's end left unanswered is paid by the same id, once.
fn settle(client: &mut Client, cut: &[String]) -> io::Result<()> {
    for body in cut {
        match client.call("POST", "/v1/payments", body)? {
            (200 | 201, _) => {}
            (status, answer) => return Err(io::Error::other(format!("a cut payment: {status} {answer}"))),
        }
    }
    Ok(())
}

fn pay_day(client: &mut Client) -> io::Result<Value> {
    client.expect("POST", "/v1/wealth/days", &json!({"date": DATE, "income_per_10k": RATE}))
}

impl Purses {
    /// A connection's next payment: a fen of its payer's.
    fn payment(&self, connection: usize) -> Option<String> {
        let number = self.0.get(connection)?.fetch_add(1, Relaxed);
        let payment = json!({
            "id": Uuid::now_v7(), "user": format!("u{connection}"), "merchant": format!("m{}", number % MERCHANTS),
            "auth": {"type": "small"},
            "items": [{"name": "a thing", "kind": "goods", "category": "home", "amount": "0.01"}],
        });
        Some(payment.to_string())
    }
}

impl Day {
    /// In a process of its own, so that its memory is the machine's again.
    fn prepare_apart(self, arguments: &Arguments, data: &Path) -> io::Result<()> {
        let status = Command::new(std::env::current_exe()?)
            .args(["wallets", "--data"])
            .arg(data)
            .args(["--wallets", &self.wallets.to_string(), "--swept-every", &self.swept_every.to_string()])
            .args(arguments.server_options(&[]))
            .status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("the wallets were not made")) }
    }

    fn on_till<T>(self, address: SocketAddr, purses: &Purses, run: impl FnOnce(&Till<'_>) -> T) -> T {
        let payment = |connection: usize| purses.payment(connection);
        let per_second = self.payments_per_second.get();
        run(&Till { address, per_second, connections: PAYERS, payment: &payment })
    }

    /// Payments alone, after some that fill caches.
    fn window(self, address: SocketAddr, purses: &Purses) -> Window {
        self.on_till(address, purses, |till| {
            till.run_for(Duration::from_secs(2));
            till.run_for(Duration::from_secs(self.window_seconds))
        })
    }

    /// Payments beside the day, until the server is killed or the day is paid.
    fn beside(
        self,
        server: Server,
        purses: &Purses,
        stop: Option<Stop>,
    ) -> Result<Beside, Box<dyn std::error::Error>> {
        let (address, over) = (server.address, AtomicBool::new(false));
        thread::scope(|scope| {
            let day = scope.spawn(|| pay_day(&mut Client::new(address)));
            let paying =
                scope.spawn(|| self.on_till(address, purses, |till| till.run(&|| !over.load(Relaxed))));
            let mut watcher = server.client();
            let reached = loop {
                let reached = stop.map_or(Ok(false), |stop| self.has_reached(&mut watcher, stop));
                if day.is_finished() || !matches!(reached, Ok(false)) {
                    break reached;
                }
                thread::sleep(Duration::from_millis(20));
            };
            over.store(true, Relaxed);
            let killed = reached? && !day.is_finished();
            let server = if killed { server.kill().map(|()| None)? } else { Some(server) };
            let window = paying.join().expect("no panic");
            let answer = day.join().expect("no panic");
            let end = match server {
                Some(server) => End::Paid(server, answer?),
                None => End::Killed,
            };
            Ok(Beside { window, end })
        })
    }

    fn has_reached(self, client: &mut Client, stop: Stop) -> io::Result<bool> {
        match stop {
            Stop::Income(thirds) => {
                let (funded, left) = (self.funded(), posted(client, "wealth:clearing")?);
                Ok(left > 0 && u128::from(left) * 3 <= funded * (3 - thirds))
            }
            Stop::Sweep => {
                // Wallets are swept in the order of their names.
                let mut names: Vec<String> = self.swept().map(|no| format!("{no}")).collect();
                names.sort_unstable();
                let no = names.get(names.len() / 2).and_then(|name| name.parse().ok()).unwrap_or_default();
                let shares = posted(client, &format!("customers:u{no}:wealth"))?;
                Ok(u128::from(shares) > u128::from(shares_of(no)) + income_of(no))
            }
        }
    }

    /// Fen that all shares earn together.
    fn funded(self) -> u128 {
        let all: u128 = (0..self.wallets).map(|no| u128::from(shares_of(no))).sum();
        all * RATE_UNITS.0 / RATE_UNITS.1
    }

    /// The wallets whose idle balance is swept.
    fn swept(self) -> impl Iterator<Item = u64> {
        (0..self.wallets).filter(move |no| no.is_multiple_of(self.swept_every.get()))
    }
}

/// What an account has, in fen; zero before it is there.
fn posted(client: &mut Client, account: &str) -> io::Result<u64> {
    match client.call("GET", &format!("/v1/accounts/{account}"), "")? {
        (200, answer) => fen(&answer, "posted").ok_or_else(|| io::Error::other(answer.to_string())),
        (404, _) => Ok(0),
        (status, answer) => Err(io::Error::other(format!("{account}: {status} {answer}"))),
    }
}

/// An answer's amount as fen.
fn fen(answer: &Value, field: &str) -> Option<u64> {
    answer.get(field)?.as_str()?.replace('.', "").parse().ok()
}

/// Odd shares, some of which earn nothing.
fn shares_of(no: u64) -> u64 {
    1 + Numbers(no).below(5_000_000)
}

/// What they earn.
fn income_of(no: u64) -> u128 {
    u128::from(shares_of(no)) * RATE_UNITS.0 / RATE_UNITS.1
}

//! `yue-load`: rehearses a shopping festival's first minute against a Yue server, and audits what the server kept.
//!
//! Owns: the command line and the exit code. 0 passed, 1 a service level was missed, 2 a promise was broken,
//! 3 the run is invalid or could not be made, 64 the command line is wrong.

mod accounts;
mod answer;
mod arrivals;
mod auditor;
mod book;
mod builds;
mod channel;
mod closed;
mod connection;
mod machine;
mod mix;
mod money;
mod operation;
mod overload;
mod payers;
mod phases;
mod priority;
mod progress;
mod recorder;
mod report;
mod retry;
mod run;
mod saturate;
mod scenario;
mod setup;
mod skew;
mod slo;
mod timer;
mod torture;
mod verdict;
mod wire;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::channel::Keys;
use crate::payers::Mode;
use crate::retry::Style;
use crate::scenario::{Length, Name, Rate, Scenario};
use crate::wire::Endpoint;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of a run that could not be made.
const NOT_RUN: u8 = 3;
/// The exit code of a wrong command line, as `sysexits.h` has it.
const USAGE: u8 = 64;
/// The peak of a quick run without `--peak`: for a demonstration on two cores.
const QUICK_PEAK: Rate = Rate(2_000.0);
const SMOKE_RATE: Rate = Rate(200.0);

/// Rehearses a shopping festival's first minute against a Yue server.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Offers the load of a scenario to the wallet, and audits what it kept. Needs the server's channel keys in
    /// YUE_CHANNEL_KEY_WECHAT, _ALIPAY, _ECNY and _BANK_CARD: it plays the channels.
    Run(RunArgs),
    /// Finds out how much the server takes: clients that send as soon as they have their answer.
    Saturate(SaturateArgs),
    /// Starts a server of its own, and kills, stops and starves it under load, again and again; a record outside says
    /// what must be there. Needs `yue` and strace; as root also file systems that are full or lose power.
    Torture(TortureArgs),
    /// Offers up to ten times what the server takes, and judges what is kept: goodput, accepted latency, recovery.
    Overload(OverloadArgs),
}

#[derive(Args)]
struct Server {
    /// Where the server is.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A bearer key, for a server that has keys.
    #[arg(long, env = "YUE_KEY", hide_env_values = true)]
    key: Option<String>,
}

impl Server {
    fn endpoint(&self) -> Result<Endpoint, String> {
        Endpoint::parse(&self.url, self.key.as_deref())
    }
}

#[derive(Args)]
struct RunArgs {
    scenario: Name,
    #[command(flatten)]
    server: Server,
    /// The highest offered rate in requests per second: a number, or 10k, 100k, 256k (payments of 2017), 583k
    /// (orders of 2020). Needed for 618-midnight, but with --quick.
    #[arg(long)]
    peak: Option<Rate>,
    /// A little over a minute instead of three.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// The lengths of the real night, 67 minutes, instead of three.
    #[arg(long)]
    full: bool,
    /// Multiplies the length of each phase.
    #[arg(long, default_value_t = 1.0, value_parser = parse_factor)]
    time_scale: f64,
    /// Customers.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    users: u32,
    /// Third-party merchants.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    merchants: u32,
    /// Users who pay: the first ones. Each costs the server two password hashes at the start, 25 ms each.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(4..=1_000_000))]
    payers: u32,
    /// What payers show.
    #[arg(long, value_enum, default_value = "device")]
    auth: Mode,
    /// The most requests in flight; what arrives beyond is dropped and counted.
    #[arg(long, default_value_t = 1_024, value_parser = parse_count)]
    connections: usize,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1, value_parser = parse_count)]
    threads: usize,
    /// Repeats the users, amounts and moments of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// How users come again.
    #[arg(long, value_enum, default_value = "polite")]
    retry: Style,
    /// How many payments and recharges are read again one by one, at most; balances cover all.
    #[arg(long, default_value_t = 20_000)]
    audit_sample: usize,
    /// The folder for the report: SCENARIO.html and SCENARIO.json.
    #[arg(long, default_value = "out")]
    report: PathBuf,
}

impl RunArgs {
    fn scenario(&self) -> Result<Scenario, String> {
        let length = match (self.quick, self.full) {
            (true, _) => Length::Quick,
            (false, true) => Length::Full,
            (false, false) => Length::Standard,
        };
        match (self.scenario, self.peak) {
            (Name::Smoke, peak) => Ok(Scenario::smoke(peak.unwrap_or(SMOKE_RATE), self.time_scale)),
            (Name::Midnight, None) if self.quick => {
                Ok(Scenario::midnight(QUICK_PEAK, length, self.time_scale))
            }
            (Name::Midnight, None) => Err("618-midnight needs --peak, for example --peak 10k".to_owned()),
            (Name::Midnight, Some(peak)) => Ok(Scenario::midnight(peak, length, self.time_scale)),
        }
    }

    fn settings(self) -> Result<run::Settings, String> {
        let scenario = self.scenario()?;
        if self.payers > self.users {
            return Err(format!("{} payers of {} users", self.payers, self.users));
        }
        let payers_min = setup::payers_min(self.auth, &scenario);
        if u64::from(self.payers) < payers_min {
            return Err(format!("for {} this needs --payers {payers_min}", self.auth.label()));
        }
        Ok(run::Settings {
            endpoint: self.server.endpoint()?,
            keys: Keys::from_environment()?,
            scenario,
            payers: self.payers,
            auth: self.auth,
            seed: self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())),
            users: self.users,
            merchants: self.merchants,
            connections: self.connections,
            threads: self.threads,
            retry: self.retry,
            audit_sample: self.audit_sample,
            report: self.report,
        })
    }
}

#[derive(Args)]
struct SaturateArgs {
    #[command(flatten)]
    server: Server,
    /// Connections, each with one request in flight.
    #[arg(long, default_value_t = 64, value_parser = parse_count)]
    clients: usize,
    /// Threads of the clients.
    #[arg(long, default_value_t = 1, value_parser = parse_count)]
    threads: usize,
    /// How long it is measured, after one second of warm-up.
    #[arg(long, default_value_t = 10.0, value_parser = parse_factor)]
    seconds: f64,
    /// Accounts among which the money moves.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    accounts: u32,
    /// Transactions in a request; 1 is a single transaction.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Of the amounts and accounts.
    #[arg(long, default_value_t = 618)]
    seed: u64,
}

impl SaturateArgs {
    fn settings(&self) -> Result<saturate::Settings, String> {
        Ok(saturate::Settings {
            endpoint: self.server.endpoint()?,
            clients: self.clients,
            threads: self.threads,
            seconds: self.seconds,
            accounts: self.accounts,
            batch: usize::try_from(self.batch).map_err(|error| error.to_string())?,
            seed: self.seed,
        })
    }
}

#[derive(Args)]
struct TortureArgs {
    /// Kills under load; every other fault comes in proportion.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cycles: u32,
    /// Repeats the choices of an earlier run, as far as processes allow.
    #[arg(long)]
    seed: Option<u64>,
    /// The server's binary; default: `yue` beside this one.
    #[arg(long)]
    yue: Option<PathBuf>,
    /// Where data and record go: on a disk, since on a tmpfs a sync costs nothing. Removed after a run that passed.
    #[arg(long, default_value = "out/torture")]
    folder: PathBuf,
    /// A fault that must be found, so that the exit code must be 2.
    #[arg(long, value_enum)]
    plant: Option<torture::Plant>,
}

impl TortureArgs {
    fn settings(self) -> Result<torture::Settings, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let seed = self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        Ok(torture::Settings {
            cycles: self.cycles,
            seed,
            binary: self.yue.unwrap_or_else(|| own.with_file_name("yue")),
            folder: torture::new_folder(&self.folder, seed)?,
            plant: self.plant,
        })
    }
}

#[derive(Args)]
struct OverloadArgs {
    #[command(flatten)]
    server: Server,
    /// Connections, each with one request in flight; an arrival that finds none free is shed, and counted.
    #[arg(long, default_value_t = 1_024, value_parser = parse_count)]
    connections: usize,
    /// Accounts among which the money moves.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    accounts: u32,
    /// Rounds of 1, 2, 5 and 10 times the capacity; each multiple is judged over all of them.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// The length of each stage of a round.
    #[arg(long, default_value_t = 3.0, value_parser = parse_factor)]
    seconds: f64,
    /// The length of each step of the search for the capacity.
    #[arg(long, default_value_t = 4.0, value_parser = parse_factor)]
    step_seconds: f64,
    /// The length of the stage at the base (0.8 times the capacity, or less) before the rounds, and, after them, of one at 10
    /// times the capacity and of one at the base again: longer than a recovery may take.
    #[arg(long, default_value_t = 15.0, value_parser = parse_factor)]
    long_seconds: f64,
    /// Transfers a second of which multiples are offered, instead of the capacity that a search finds: for two builds at
    /// the same loads.
    #[arg(long, value_parser = parse_factor)]
    capacity: Option<f64>,
    /// Of the arrivals and accounts.
    #[arg(long, default_value_t = 618)]
    seed: u64,
    /// The folder for the report: overload.html and overload.json.
    #[arg(long, default_value = "out")]
    report: PathBuf,
}

impl OverloadArgs {
    fn settings(self) -> Result<overload::Settings, String> {
        Ok(overload::Settings {
            endpoint: self.server.endpoint()?,
            connections: self.connections,
            accounts: self.accounts,
            rounds: self.rounds,
            seconds: self.seconds,
            step_seconds: self.step_seconds,
            long_seconds: self.long_seconds,
            capacity: self.capacity,
            seed: self.seed,
            report: self.report,
        })
    }
}

fn parse_factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        Ok(_) | Err(_) => Err("must be a number above zero".to_owned()),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value) if (1..=65_536).contains(&value) => Ok(value),
        Ok(_) | Err(_) => Err("must be a number from 1 to 65536".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let settings_error = |error: String| {
        eprintln!("error: {error}");
        ExitCode::from(USAGE)
    };
    let result = match cli.command {
        Command::Run(arguments) => match arguments.settings() {
            Ok(settings) => run::run(&settings),
            Err(error) => return settings_error(error),
        },
        Command::Saturate(arguments) => match arguments.settings() {
            Ok(settings) => saturate::run(&settings),
            Err(error) => return settings_error(error),
        },
        Command::Torture(arguments) => match arguments.settings() {
            Ok(settings) => torture::run(&settings),
            Err(error) => return settings_error(error),
        },
        Command::Overload(arguments) => match arguments.settings() {
            Ok(settings) => overload::run(&settings),
            Err(error) => return settings_error(error),
        },
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("the run could not be made: {error}");
            ExitCode::from(NOT_RUN)
        }
    }
}

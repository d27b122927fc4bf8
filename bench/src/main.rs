//! `yue-bench`: the headline measurements in one process, on a real data directory.
//!
//! Each subcommand checks its work and ends with lines `figure NAME VALUE UNIT`. Every figure holds for records that
//! are synced to the journal and named by the synced witness before the answer, with ids checked and the index following.

mod client;
mod history;
mod passwords;
mod payers;
mod restart;
mod server;
mod till;
mod wealth;
mod workload;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use workload::{Workload, config};
use yue_engine::Engine;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Headline measurements of the Yue ledger.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Where the data directory is made; must not be a memory file system, where syncs are free.
    #[arg(long, global = true, default_value = "out")]
    out: PathBuf,
    /// Shards of the engine; by default half the cores.
    #[arg(long, global = true)]
    shards: Option<u16>,
    /// Transfers.
    #[arg(long, global = true, default_value_t = 10_000_000)]
    transfers: u64,
    /// Accounts among which they go.
    #[arg(long, global = true, default_value_t = 10_000)]
    accounts: u64,
}

#[derive(Subcommand)]
enum Command {
    /// Durable transfers a second, with time-ordered and with random ids.
    Engine,
    /// Pages of the history of an account with a tenth of all transfers.
    History,
    /// Restart after kill -9, verification, and refusal of a damaged journal.
    Restart,
    /// Password checks beside live payments, through a server.
    Passwords(passwords::Checks),
    /// A day of the wealth product over many wallets beside live payments, through a server that is killed inside.
    Wealth(wealth::Day),
    /// Used by `wealth`: opens and funds the wallets.
    #[command(hide = true)]
    Wallets {
        #[command(flatten)]
        day: wealth::Day,
        /// The data directory.
        #[arg(long)]
        data: PathBuf,
    },
    /// Used by `restart`: transfers until it is killed.
    #[command(hide = true)]
    Victim {
        /// The data directory.
        #[arg(long)]
        data: PathBuf,
    },
}

impl Arguments {
    fn workload(&self) -> Workload {
        Workload {
            accounts: self.accounts,
            transfers: self.transfers,
            hot_every: 0,
            random_ids: false,
            batch: 2_048,
            depth: 16,
        }
    }

    /// What a server is started with.
    fn server_options(&self, more: &[&str]) -> Vec<String> {
        let shards = self.shards.map(|shards| format!("--shards={shards}"));
        shards.into_iter().chain(more.iter().map(|&option| option.to_owned())).collect()
    }

    fn data(&self) -> std::io::Result<tempfile::TempDir> {
        std::fs::create_dir_all(&self.out)?;
        tempfile::tempdir_in(&self.out)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match &arguments.command {
            Command::Engine => engine(&arguments).await,
            Command::History => history::run(&arguments).await,
            Command::Restart => restart::run(&arguments).await,
            Command::Passwords(checks) => passwords::run(&arguments, *checks),
            Command::Wealth(day) => wealth::run(&arguments, *day),
            Command::Wallets { day, data } => wealth::prepare(&arguments, *day, data).await,
            Command::Victim { data } => restart::victim(&arguments, data).await,
        }
    })
}

async fn engine(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    for (name, random_ids) in [("time_ordered", false), ("random", true)] {
        let data = arguments.data()?;
        let work = Workload { random_ids, ..arguments.workload() };
        let engine = Engine::open(config(data.path(), arguments.shards))?;
        work.prepare(&engine).await;
        let before = engine.metrics();
        eprintln!("{} transfers among {} accounts, {name} ids", work.transfers, work.accounts);
        let took = work.run(&engine).await;
        let after = engine.metrics();
        work.check(&engine).await;
        let per_second = work.transfers as f64 / took.as_secs_f64();
        println!("figure engine_transfers_{name}_ids {per_second:.0} transfers/s");
        let groups = after.groups - before.groups;
        println!(
            "figure engine_records_per_group_{name}_ids {:.0} records",
            work.transfers as f64 / groups as f64
        );
        let sync_ms = (after.sync_nanos - before.sync_nanos) as f64 / groups as f64 / 1e6;
        println!("figure engine_group_sync_mean_{name}_ids {sync_ms:.2} ms");
        engine.close();
        let bytes = directory_bytes(data.path())?;
        println!("figure engine_bytes_per_transfer_{name}_ids {:.0} B", bytes as f64 / work.transfers as f64);
        println!("figure engine_memory_peak_{name}_ids {:.0} MiB", memory_peak_mib("self"));
    }
    Ok(())
}

/// Bytes of all files below a directory.
fn directory_bytes(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { directory_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// The greatest resident size so far of a process, by its number or `self`.
fn memory_peak_mib(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

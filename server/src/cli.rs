//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    auth::commands::KeysArguments,
    config::Options,
    heads::{PublicKey, commands::HeadsArguments},
    sandbox_channel::SandboxArguments,
};

/// Yue: a ledger engine for stored-value wallets.
#[derive(Debug, Parser)]
#[command(name = "yue", version, about, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API on a data directory.
    Serve(ServeArguments),
    /// Check a data directory offline: the journal's chain, the witness, every balance.
    Verify(VerifyArguments),
    /// Build a data directory's index anew from its journal, offline.
    Reindex(ReindexArguments),
    /// Print the configuration that `serve` would run with, as a configuration file.
    Config(ServeArguments),
    /// Make, list, rotate and revoke keys.
    Keys(KeysArguments),
    /// Make the key that signs the journal's heads.
    Heads(HeadsArguments),
    /// Play the four channels on loopback, for rehearsals: take orders, pay them or not, notify the wallet.
    SandboxChannel(SandboxArguments),
}

/// Arguments of `serve` and `config`.
#[derive(Args, Clone, Debug)]
pub struct ServeArguments {
    /// A TOML file with any of the options below, named with `_` instead of `-`; flags and environment win.
    #[arg(long, env = "YUE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The options.
    #[command(flatten)]
    pub options: Options,
}

/// Arguments of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArguments {
    /// The data directory. No other process may use it meanwhile.
    #[arg(long, env = "YUE_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// A log of signed heads that was kept elsewhere: the journal must have each of them.
    #[arg(long, value_name = "FILE", requires = "heads_public_key")]
    pub heads_log: Option<PathBuf>,
    /// The public key of those who signed them, as `yue heads keygen` printed it.
    #[arg(long, value_name = "KEY", requires = "heads_log")]
    pub heads_public_key: Option<PublicKey>,
}

/// Arguments of `reindex`.
#[derive(Args, Clone, Debug)]
pub struct ReindexArguments {
    /// The data directory. No other process may use it meanwhile; it needs room for a second index.
    #[arg(long, env = "YUE_DATA", value_name = "DIR")]
    pub data: PathBuf,
}

//! `yue heads`: the key that signs heads.
//!
//! Owns what is printed. Never prints a secret.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{HeadsError, SecretKey};

/// Arguments of `heads`.
#[derive(Args, Clone, Debug)]
pub struct HeadsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: HeadsCommand,
}

/// What to do with the key.
#[derive(Clone, Debug, Subcommand)]
pub enum HeadsCommand {
    /// Make a key in a new file, and print its public half: keep that apart from the server.
    Keygen(KeyFile),
    /// Print the public half of a key.
    PublicKey(KeyFile),
}

/// Which key.
#[derive(Args, Clone, Debug)]
pub struct KeyFile {
    /// The file with the secret key.
    #[arg(long, env = "YUE_HEADS_KEY", value_name = "FILE")]
    pub heads_key: PathBuf,
}

/// Does it, and gives what is to be printed.
///
/// # Errors
/// The key can't be made or read.
pub fn run(arguments: &HeadsArguments) -> Result<String, HeadsError> {
    let key = match &arguments.command {
        HeadsCommand::Keygen(KeyFile { heads_key }) => SecretKey::generate(heads_key)?,
        HeadsCommand::PublicKey(KeyFile { heads_key }) => SecretKey::read(heads_key)?,
    };
    Ok(format!("{}\n", key.public()))
}

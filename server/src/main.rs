//! The binary `yue`.

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use yue_server::{
    auth::commands as keys,
    cli::{Cli, Command, ServeArguments},
    config::{Options, Settings},
    heads::commands as heads,
    reindex::reindex,
    sandbox_channel,
    serve::serve,
    verify::verify,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(arguments) => run_serve(arguments),
        Command::Verify(arguments) => verify(&arguments).map_err(Into::into),
        Command::Reindex(arguments) => reindex(&arguments).map_err(Into::into),
        Command::Keys(arguments) => keys::run(&arguments).map(|text| print!("{text}")).map_err(Into::into),
        Command::Heads(arguments) => heads::run(&arguments).map(|text| print!("{text}")).map_err(Into::into),
        Command::Config(arguments) => print_config(arguments),
        Command::SandboxChannel(arguments) => sandbox_channel::run(arguments).map_err(Into::into),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("yue: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_serve(arguments: ServeArguments) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load(arguments)?;
    let filter = EnvFilter::try_new(&settings.log)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    serve(settings)?;
    Ok(())
}

fn print_config(arguments: ServeArguments) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load(arguments)?;
    print!("{}", toml::to_string(&Options::from(&settings))?);
    Ok(())
}

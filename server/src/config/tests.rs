use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
use yue_engine::config::JournalRetention;

use super::*;
use crate::cli::{Cli, Command};

fn options(toml: &str) -> Options {
    toml::from_str(toml).unwrap()
}

fn refusal(toml: &str) -> String {
    Settings::resolve(options(toml)).unwrap_err().to_string()
}

#[test]
fn an_earlier_source_wins() {
    let flags = options("data = 'flag'\nshards = 3");
    let file = options("data = 'file'\nshards = 4\nconnections_max = 5\nassets = ['USD=2', 'JPY=0']");
    let settings = Settings::resolve(flags.or(file)).unwrap();
    assert_eq!(settings.engine.data, Path::new("flag"));
    assert_eq!(settings.engine.shards, 3);
    assert_eq!(settings.http.connections_max, 5);
    assert_eq!(settings.http.event_streams_max, 256);
    assert_eq!(settings.engine.assets.len(), 2);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn refuses_what_can_not_be() {
    let check = |toml: &str, message: &str| {
        let refusal = refusal(toml);
        assert!(refusal.contains(message), "{toml}: {refusal}");
    };
    check("", "no data directory");
    check("data = 'd'\nlisten = '0.0.0.0:1'", "no authentication");
    check("data = 'd'\nlisten = '[::]:1'", "no authentication");
    check("data = 'd'\nlisten = '127.0.0.1'", "not an address");
    check("data = 'd'\nshards = 0", "shards is out of its range");
    check("data = 'd'\nshards = 65", "shards is out of its range");
    check("data = 'd'\nconnections_max = 0", "connections-max is out of its range");
    check("data = 'd'\nbatch_bytes_max = 1000000000", "body-memory-bytes-max is out of its range");
    check("data = 'd'\nchannel_wait_s = 0", "channel-wait-s is out of its range");
    check("data = 'd'\nchannel_wait_s = 2592001", "channel-wait-s is out of its range");
    check("data = 'd'\npassword_attempts_max = 0", "password-attempts-max is out of its range");
    check("data = 'd'\npassword_hashes_max = 0", "password-hashes-max is out of its range");
    check("data = 'd'\npassword_hashes_max = 257", "password-hashes-max is out of its range");
    check("data = 'd'\nassets = ['CNY=3']", "CNY");
    check("data = 'd'\nassets = ['usd=2']", "usd");
    assert!(toml::from_str::<Options>("dat = 'd'").is_err());
    assert!(toml::from_str::<Options>("journal_retention = 'never'").is_err());
    assert!(toml::from_str::<Options>("journal_retention = -1").is_err());
    assert!(toml::from_str::<Options>("assets = ['USD']").is_err());
    assert!(toml::from_str::<Options>("assets = ['USD=x']").is_err());
}

#[test]
fn the_printed_configuration_is_a_configuration_file_with_all_options() {
    let settings = Settings::resolve(options("data = 'd'\nassets = ['USD=2']")).unwrap();
    let printed = toml::to_string(&Options::from(&settings)).unwrap();
    let again = Settings::resolve(options(&printed)).unwrap();
    assert_eq!(toml::to_string(&Options::from(&again)).unwrap(), printed);
    for name in names() {
        assert!(printed.contains(&format!("{name} = ")), "{name} is missing in:\n{printed}");
    }
}

#[test]
fn the_journal_is_kept_for_ever_or_for_so_many_records() {
    let check = |toml: &str, expected| {
        let settings = Settings::resolve(options(&format!("data = 'd'\n{toml}"))).unwrap();
        assert_eq!(settings.engine.journal_retention, expected, "{toml}");
    };
    check("", JournalRetention::Forever);
    check("journal_retention = 'forever'", JournalRetention::Forever);
    check("journal_retention = '1000'", JournalRetention::Records(1_000));
    check("journal_retention = 1000", JournalRetention::Records(1_000));
    check("journal_retention = 0", JournalRetention::Records(0));
}

#[test]
fn the_documentation_lists_each_option() {
    let page = include_str!("../../../docs/operations/configuration.md");
    for name in names() {
        let row = format!("| `--{}` | `YUE_{}` | `{name}` |", name.replace('_', "-"), name.to_uppercase());
        assert!(page.contains(&row), "docs/operations/configuration.md lacks the row {row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `--")).count();
    assert_eq!(rows, names().len() + 1, "each row is an option, and one is --config");
}

#[test]
fn flags_are_read() {
    let arguments = [
        "yue",
        "serve",
        "--data",
        "d",
        "--listen",
        "127.0.0.1:0",
        "--shards",
        "2",
        "--assets",
        "USD=2,JPY=0",
    ];
    let Command::Serve(arguments) = Cli::try_parse_from(arguments).unwrap().command else { panic!("serve") };
    let settings = Settings::load(arguments).unwrap();
    assert_eq!((settings.engine.shards, settings.listen.port(), settings.engine.assets.len()), (2, 0, 2));
}

/// The options' names as in a configuration file.
fn names() -> Vec<String> {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let flags = serve.get_arguments().filter_map(|argument| argument.get_long());
    let names = flags.filter(|flag| !["help", "version", "config"].contains(flag));
    names.map(|flag| flag.replace('-', "_")).collect()
}

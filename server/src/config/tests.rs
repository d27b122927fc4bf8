use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
use yue_engine::{
    config::JournalRetention,
    model::{Limit, LimitWindow},
};

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
    check("data = 'd'\nlisten = '0.0.0.0:1'\ninsecure_plaintext = true", "no authentication");
    check("data = 'd'\nlisten = '0.0.0.0:1'\ntls_cert = 'c'\ntls_key = 'k'", "no authentication");
    check("data = 'd'\nlisten = '0.0.0.0:1'\nkeys = 'k'", "without TLS");
    check("data = 'd'\ntls_cert = 'c'", "--tls-cert needs --tls-key");
    check("data = 'd'\ntls_key = 'c'", "--tls-key needs --tls-cert");
    check("data = 'd'\nkeys = 'k'\ntls_client_ca = 'c'", "--tls-client-ca needs --tls-cert");
    check("data = 'd'\naudit_log = 'a'", "--audit-log needs --keys");
    check("data = 'd'\nnonces_max = 0", "nonces-max is out of its range");
    check("data = 'd'\nlisten = '127.0.0.1'", "not an address");
    check("data = 'd'\nheads_key = 'k'", "--heads-key needs --heads-log");
    check("data = 'd'\nheads_log = 'l'", "--heads-log needs --heads-key");
    check("data = 'd'\nheads_interval_ms = 0", "heads-interval-ms is out of its range: 1 to 86400000");
    check("data = 'd'\nshards = 0", "shards is out of its range");
    check("data = 'd'\nshards = 65", "shards is out of its range");
    check("data = 'd'\nconnections_max = 0", "connections-max is out of its range");
    check("data = 'd'\nbatch_bytes_max = 1000000000", "body-memory-bytes-max is out of its range");
    check("data = 'd'\nassets = ['CNY=3']", "CNY");
    check("data = 'd'\nassets = ['usd=2']", "usd");
    let wallet = |line: &str, message: &str| check(&format!("data = 'd'\n[wallet]\n{line}"), message);
    wallet("payment_hold_seconds = 0", "wallet.payment_hold_seconds is out of its range: 1 to 2592000");
    wallet("payment_hold_seconds = 2592001", "wallet.payment_hold_seconds is out of its range");
    wallet("token_seconds_max = 301", "wallet.token_seconds_max is out of its range: 1 to 300");
    wallet("password_attempts_max = 0", "wallet.password_attempts_max");
    wallet("password_hashes_max = 0", "wallet.password_hashes_max is out of its range: 1 to 256");
    wallet("password_hashes_max = 257", "wallet.password_hashes_max is out of its range");
    wallet("password_lock_seconds = 0", "wallet.password_lock_seconds");
    wallet("password_hash_memory_kib = 7", "wallet.password_hash_memory_kib");
    wallet("small_payment_max = '0.00'", "wallet.small_payment_max");
    wallet("wealth_credits_per_transaction = 65", "wallet.wealth_credits_per_transaction");
    wallet("class_one_limits = ['day=1.00', 'day=2.00']", "wallet.class_one_limits");
    wallet("class_three_limits = ['day=0.00']", "wallet.class_three_limits");
    for unread in [
        "payment_hold_s = 1",
        "payment_hold_seconds = -1",
        "small_payment_max = '1.001'",
        "small_payment_max = '-1.00'",
        "small_payment_max = 1.5",
        "class_one_limits = ['week=1.00']",
        "class_one_limits = ['day']",
    ] {
        let refusal = toml::from_str::<Options>(&format!("[wallet]\n{unread}")).unwrap_err().to_string();
        assert!(refusal.contains(unread), "the line is shown: {refusal}");
    }
    assert!(toml::from_str::<Options>("dat = 'd'").is_err());
    assert!(toml::from_str::<Options>("journal_retention = 'never'").is_err());
    assert!(toml::from_str::<Options>("journal_retention = -1").is_err());
    assert!(toml::from_str::<Options>("assets = ['USD']").is_err());
    assert!(toml::from_str::<Options>("assets = ['USD=x']").is_err());
}

#[test]
fn the_wallets_section_sets_its_limits() {
    let file = "
        data = 'd'
        [wallet]
        class_one_limits = ['day=5.00', 'lifetime=10']
        class_two_limits = []
        payment_hold_seconds = 2
        password_lock_seconds = 3
        small_payment_max = '7.50'
        carbon_point_price = '0.00'
    ";
    let settings = Settings::resolve(options(file)).unwrap().wallet;
    let default = yue_engine::wallet::Settings::default();
    let limit =
        |window, units| Limit { window, code: Some("spend".into()), amount: Some(units), count: None };
    let [one, two, three] = &settings.class_limits;
    assert_eq!(*one, [limit(LimitWindow::Day, 500), limit(LimitWindow::Lifetime, 1_000)]);
    assert_eq!(*two, []);
    assert_eq!(*three, default.class_limits[2]);
    assert_eq!((settings.channel_wait_s, settings.password_lock_s), (2, 3));
    assert_eq!((settings.small_payment_units_max, settings.carbon_units_per_point), (750, 0));
    assert_eq!((settings.refund_days, settings.token_s_max), (default.refund_days, default.token_s_max));
    // An earlier source wins here too, option by option.
    let flags = options("[wallet]\npayment_hold_seconds = 9");
    let settings = Settings::resolve(flags.or(options(file))).unwrap().wallet;
    assert_eq!((settings.channel_wait_s, settings.password_lock_s), (9, 3));
}

#[test]
fn the_printed_configuration_is_a_configuration_file_with_all_options() {
    let security = "keys = 'k'\naudit_log = 'a'\nheads_key = 'h'\nheads_log = 'l'\ntls_cert = 'c'\ntls_key = 'p'\ntls_client_ca = 'ca'";
    let settings =
        Settings::resolve(options(&format!("data = 'd'\nassets = ['USD=2']\n{security}"))).unwrap();
    let printed = toml::to_string(&Options::from(&settings)).unwrap();
    let again = Settings::resolve(options(&printed)).unwrap();
    assert_eq!(toml::to_string(&Options::from(&again)).unwrap(), printed);
    for name in names() {
        let key = name.strip_prefix("wallet.").unwrap_or(&name);
        assert!(format!("\n{printed}").contains(&format!("\n{key} = ")), "{name} is missing in:\n{printed}");
    }
    assert!(printed.contains("\n[wallet]\n"), "{printed}");
}

#[test]
fn with_keys_and_tls_any_address_is_listened_on() {
    for rest in ["insecure_plaintext = true", "tls_cert = 'c'\ntls_key = 'k'"] {
        let settings =
            Settings::resolve(options(&format!("data = 'd'\nlisten = '0.0.0.0:1'\nkeys = 'k'\n{rest}")));
        assert_eq!(settings.unwrap().listen.to_string(), "0.0.0.0:1", "{rest}");
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
        let flag = name.replace(['_', '.'], "-");
        let variable = name.replace('.', "_").to_uppercase();
        let row = format!("| `--{flag}` | `YUE_{variable}` | `{name}` |");
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
        "--wallet-payment-hold-seconds",
        "5",
        "--wallet-class-one-limits",
        "day=1.00,year=2.00",
    ];
    let Command::Serve(arguments) = Cli::try_parse_from(arguments).unwrap().command else { panic!("serve") };
    let settings = Settings::load(arguments).unwrap();
    assert_eq!((settings.engine.shards, settings.listen.port(), settings.engine.assets.len()), (2, 0, 2));
    assert_eq!((settings.wallet.channel_wait_s, settings.wallet.class_limits[0].len()), (5, 2));
}

/// The options' names as in a configuration file, the wallet's with their table.
fn names() -> Vec<String> {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let flags = serve.get_arguments().filter_map(|argument| argument.get_long());
    let names = flags.filter(|flag| !["help", "version", "config"].contains(flag));
    let section = |flag: &str| match flag.strip_prefix("wallet-").filter(|_| flag != "wallet-secret") {
        Some(key) => format!("wallet.{}", key.replace('-', "_")),
        None => flag.replace('-', "_"),
    };
    names.map(section).collect()
}

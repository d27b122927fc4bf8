//! `yue keys`: keys made, listed, rotated, revoked.
//!
//! Owns what is printed. A secret is printed once, when it is made, and is nowhere else. A running server takes an edit
//! within a second.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use super::{
    file::{KeyEntry, KeysError, KeysFile, NewSecret},
    keys::SECRETS_MAX,
};

/// Arguments of `keys`.
#[derive(Args, Clone, Debug)]
pub struct KeysArguments {
    /// The keys file.
    #[arg(long, env = "YUE_KEYS", value_name = "FILE", global = true)]
    pub keys: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What to do with keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key, and print its secret: it is shown this once.
    Add(AddArguments),
    /// List the keys.
    List,
    /// Make a further secret of a key, and let its old one end.
    Rotate(RotateArguments),
    /// Take a key out, with all its secrets, at once.
    Revoke {
        /// The key.
        id: String,
    },
}

/// Arguments of `keys add`.
#[derive(Args, Clone, Debug)]
pub struct AddArguments {
    /// The key's name: a-z, 0-9, - and _.
    pub id: String,
    /// What it is for.
    #[arg(long, default_value = "")]
    pub label: String,
    /// What it may do: transactions:write, holds:write, accounts:read, accounts:write, wallet:read, wallet:write,
    /// wallet:*, audit:read, operator, money:issue.
    #[arg(long, value_delimiter = ',', required = true)]
    pub scopes: Vec<String>,
    /// The accounts that it is bound to: first parts of addresses, whole.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Requests a second.
    #[arg(long)]
    pub rate: Option<u32>,
    /// Requests at once.
    #[arg(long, requires = "rate")]
    pub burst: Option<u32>,
    /// SHA-256 of a client certificate that stands for the key, in hexadecimal.
    #[arg(long, value_name = "SHA256")]
    pub certificate: Vec<String>,
    /// Keep no signing key: the secret goes as a bearer only, and the file is of no use to a thief.
    #[arg(long)]
    pub bearer_only: bool,
}

/// Arguments of `keys rotate`.
#[derive(Args, Clone, Debug)]
pub struct RotateArguments {
    /// The key.
    pub id: String,
    /// Seconds until the old secret ends.
    #[arg(long, default_value_t = 86_400, value_name = "SECONDS")]
    pub grace: u32,
    /// Keep no signing key of the new secret.
    #[arg(long)]
    pub bearer_only: bool,
}

/// Does it, and gives what is to be printed.
///
/// # Errors
/// No file is named; it can't be read or written; the key is there, or is not.
pub fn run(arguments: &KeysArguments) -> Result<String, KeysError> {
    let Some(path) = &arguments.keys else {
        return Err(KeysError::new("".as_ref(), "name it: --keys FILE, or YUE_KEYS"));
    };
    match &arguments.command {
        KeysCommand::Add(add) => KeysFile::edit(path, |file| {
            let secret = NewSecret::random();
            let AddArguments { id, label, scopes, prefix, rate, burst, certificate, bearer_only } =
                add.clone();
            let text = describe(&id, &secret, !bearer_only);
            file.keys.push(KeyEntry {
                id,
                label,
                scopes,
                prefix,
                rate,
                burst,
                certificates: certificate,
                secrets: vec![secret.entry(!bearer_only)],
            });
            Ok(text)
        }),
        KeysCommand::Rotate(rotate) => KeysFile::edit(path, |file| {
            let now = Timestamp::now();
            let key = find(file, &rotate.id)?;
            // What has ended makes room.
            key.secrets.retain(|secret| !has_ended(secret.not_after.as_deref(), now));
            if key.secrets.len() >= SECRETS_MAX {
                return Err(
                    "two secrets are in force: wait until the older one ends, or revoke the key".to_owned()
                );
            }
            let end = now + SignedDuration::from_secs(rotate.grace.into());
            for old in &mut key.secrets {
                old.not_after = Some(end.to_string());
            }
            let secret = NewSecret::random();
            key.secrets.push(secret.entry(!rotate.bearer_only));
            Ok(format!("{}the old secret ends {end}\n", describe(&rotate.id, &secret, !rotate.bearer_only)))
        }),
        KeysCommand::Revoke { id } => KeysFile::edit(path, |file| {
            find(file, id)?;
            file.keys.retain(|key| key.id != *id);
            Ok(format!("{id} is revoked\n"))
        }),
        KeysCommand::List => Ok(KeysFile::read(path)?.keys.iter().map(list).collect()),
    }
}

fn find<'a>(file: &'a mut KeysFile, id: &str) -> Result<&'a mut KeyEntry, String> {
    file.keys.iter_mut().find(|key| key.id == id).ok_or_else(|| format!("there is no key {id:?}"))
}

fn has_ended(not_after: Option<&str>, now: Timestamp) -> bool {
    not_after.and_then(|end| end.parse::<Timestamp>().ok()).is_some_and(|end| end <= now)
}

fn describe(id: &str, secret: &NewSecret, signs: bool) -> String {
    let mut text = format!("key      {id}\nbearer   {}\n", secret.bearer(id));
    if signs {
        text.push_str(&format!("signing  {}\n", secret.signing_key()));
    }
    text.push_str("this is shown once\n");
    text
}

fn list(key: &KeyEntry) -> String {
    let mut text = format!("{}  {}", key.id, key.scopes.join(","));
    for (name, value) in [("prefix", key.prefix.clone()), ("rate", key.rate.map(|rate| rate.to_string()))] {
        if let Some(value) = value {
            text.push_str(&format!("  {name} {value}"));
        }
    }
    for secret in &key.secrets {
        let signs = if secret.signing.is_some() { "signs" } else { "bearer only" };
        text.push_str(&format!(
            "  secret {} ({signs})",
            secret.not_after.as_deref().unwrap_or("without end")
        ));
    }
    if !key.label.is_empty() {
        text.push_str(&format!("  # {}", key.label));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn keys(line: &str, path: &std::path::Path) -> Result<String, String> {
        let path = path.to_str().unwrap();
        let words = ["yue", "keys"].into_iter().chain(line.split(' ')).chain(["--keys", path]);
        let Command::Keys(arguments) = Cli::try_parse_from(words).unwrap().command else { panic!("keys") };
        run(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_made_rotated_and_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let made =
            keys("add checkout --scopes transactions:write,accounts:read --prefix customers --rate 5", &path);
        let made = made.unwrap();
        let bearer = made.lines().find_map(|line| line.strip_prefix("bearer   ")).unwrap();
        let file = std::fs::read_to_string(&path).unwrap();
        let (_, secret) = bearer.split_once('.').unwrap();
        assert!(secret.len() >= 43 && !file.contains(secret), "{file}");
        assert!(keys("add checkout --scopes operator", &path).unwrap_err().contains("twice"));
        assert!(keys("add other --scopes everything", &path).unwrap_err().contains("no scope"));
        assert!(
            keys("list", &path).unwrap().starts_with("checkout  transactions:write,accounts:read  prefix")
        );
        assert!(keys("rotate checkout", &path).unwrap().contains("the old secret ends"));
        assert!(keys("rotate checkout", &path).unwrap_err().contains("two secrets"));
        assert!(keys("rotate nobody", &path).unwrap_err().contains("no key"));
        assert!(keys("list", &path).unwrap().contains("without end"));
        keys("revoke checkout", &path).unwrap();
        assert_eq!(keys("list", &path).unwrap(), "");
        assert!(keys("revoke checkout", &path).is_err());
    }

    #[test]
    fn an_edit_through_a_link_is_one_of_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("keys.toml"), folder.path().join("link.toml"));
        std::os::unix::fs::symlink("keys.toml", &link).unwrap();
        assert!(
            keys("add a --scopes operator", &link).unwrap_err().contains("link.toml"),
            "it leads nowhere"
        );
        assert!(link.is_symlink() && !path.exists());
        keys("add a --scopes operator", &path).unwrap();
        keys("add b --scopes operator", &link).unwrap();
        keys("revoke a", &link).unwrap();
        assert!(link.is_symlink());
        assert!(keys("list", &path).unwrap().starts_with("b  operator"));
        assert!(!folder.path().join("link.toml.lock").exists(), "one lock whatever the name");
    }

    #[test]
    fn a_secret_that_ends_at_once_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        keys("add a --scopes operator --bearer-only", &path).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("signing"));
        for _ in 0..3 {
            keys("rotate a --grace 0", &path).unwrap();
        }
    }
}

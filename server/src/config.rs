//! Configuration: flags, environment, file and defaults, in this order of precedence.
//!
//! Owns the options of the server and their names; the engine's limits keep their defaults where the engine defines
//! them. Never opens anything but the configuration file. Invariant: [`Options`] is the only list of options (flags,
//! environment and file are read into it), and `docs/operations/configuration.md` documents each of them.

mod options;
mod security;
mod wallet;

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    time::Duration,
};

pub use options::{AssetOption, Options};
pub use security::{HeadsFiles, Security, TlsFiles};
pub use wallet::{SpendingLimit, WalletOptions, Yuan};
use yue_engine::{config::Config, model::Assets};

use crate::{cli::ServeArguments, secrets};

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file {path}: {reason}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// No data directory.
    #[error("no data directory: give --data DIR, YUE_DATA, or `data` in the configuration file")]
    NoData,
    /// A value that is out of its range.
    #[error("{name} is out of its range: {range}")]
    Range {
        /// Which option.
        name: &'static str,
        /// What it may be.
        range: &'static str,
    },
    /// An address that is none.
    #[error("can't listen on {0:?}: not an address with a port, such as 127.0.0.1:8080")]
    Listen(String),
    /// Without keys everybody who reaches the port can move money.
    #[error(
        "refused to listen on {0}: without --keys there is no authentication, so it listens on loopback only \
         (127.0.0.1 or [::1])"
    )]
    NotLoopback(SocketAddr),
    /// Others could read along.
    #[error(
        "refused to listen on {0} without TLS: give --tls-cert and --tls-key, or --insecure-plaintext if a proxy in \
         front has it"
    )]
    Plaintext(SocketAddr),
    /// One option needs another one.
    #[error("{0} needs {1}")]
    Needs(&'static str, &'static str),
    /// An asset that can't be.
    #[error("assets: {0}")]
    Asset(#[from] yue_engine::model::AssetError),
}

/// The bounds of the HTTP side.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Open event streams.
    pub event_streams_max: usize,
    /// Bytes of a body. 64 operations with the longest texts and metadata are about 40 KiB.
    pub body_bytes_max: usize,
    /// Bytes of a batch's body.
    pub batch_bytes_max: usize,
    /// Bytes of all bodies together, but for small ones, that are being read or parsed: 32 of the largest batches.
    pub body_memory_bytes_max: usize,
    /// From a request's first byte to the end of its headers.
    pub header_read_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_read_timeout: Duration,
    /// Without any progress while an answer waits to be taken.
    pub write_timeout: Duration,
    /// Without anything between two requests.
    pub idle_timeout: Duration,
    /// From SIGTERM to the end of the last request.
    pub drain_timeout: Duration,
    /// The mean time from a command's body to its answer from which on fewer are let in; at least three times what
    /// a group of the journal takes.
    pub admission_target: Duration,
    /// Refusals for overload that leave in a second; more of them wait for their turn, half a second at the most.
    pub refusals_per_second_max: usize,
}

/// Refusals a second for each processor: each costs both sides together some ten microseconds by estimate, so that
/// these take 2 % of it.
const REFUSALS_PER_CORE: usize = 2_000;

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            event_streams_max: 256,
            body_bytes_max: 256 << 10,
            batch_bytes_max: 16 << 20,
            body_memory_bytes_max: 512 << 20,
            header_read_timeout: Duration::from_secs(5),
            body_read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(25),
            admission_target: Duration::from_millis(3),
            refusals_per_second_max: std::thread::available_parallelism()
                .map_or(1, std::num::NonZero::get)
                .saturating_mul(REFUSALS_PER_CORE),
        }
    }
}

/// What `serve` runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The filter of log lines.
    pub log: String,
    /// Threads that serve connections.
    pub http_threads: usize,
    /// The HTTP side's bounds.
    pub http: HttpLimits,
    /// Who may call, and how.
    pub security: Security,
    /// The file with the wallet's secrets; made if it is missing.
    pub wallet_secret: PathBuf,
    /// The wallet's part.
    pub wallet: yue_engine::wallet::Settings,
    /// The engine's part.
    pub engine: Config,
}

impl Settings {
    const LISTEN_DEFAULT: &str = "127.0.0.1:8080";

    /// Reads the file, if one is named, and fills in what flags and environment leave open.
    ///
    /// # Errors
    /// An unreadable file, a value out of its range, or an address that must not be listened on.
    pub fn load(arguments: ServeArguments) -> Result<Self, ConfigError> {
        let file = match &arguments.config {
            Some(path) => Options::from_file(path)?,
            None => Options::default(),
        };
        Self::resolve(arguments.options.or(file))
    }

    fn resolve(options: Options) -> Result<Self, ConfigError> {
        let Options { data, listen, shards, assets, log, http_threads, .. } = options.clone();
        let mut engine = Config::new(data.ok_or(ConfigError::NoData)?);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        engine.shards =
            in_range("shards", shards.unwrap_or(engine.shards), 1..=Config::SHARDS_MAX, "1 to 64")?;
        engine.assets = assets.unwrap_or_default().into_iter().map(AssetOption::into_asset).collect();
        Assets::new(engine.assets.clone())?;
        options.set_engine_limits(&mut engine);
        in_range("storage-reserve-percent", engine.storage_reserve_percent, 0..=50, "0 to 50")?;
        let security = Security::of(&options)?;
        let settings = Self {
            listen: security.check(listen_address(listen.as_deref().unwrap_or(Self::LISTEN_DEFAULT))?)?,
            security,
            log: log.unwrap_or_else(|| "info".to_owned()),
            http_threads: in_range("http-threads", http_threads.unwrap_or(cores), 1..=1_024, "1 to 1024")?,
            http: options.http_limits(),
            wallet: options.wallet.settings()?,
            wallet_secret: options.wallet_secret.unwrap_or_else(|| engine.data.join(secrets::FILE)),
            engine,
        };
        settings.check_bounds()
    }

    /// A bound of zero would refuse everything.
    fn check_bounds(self) -> Result<Self, ConfigError> {
        let bounds = [
            ("connections-max", self.http.connections_max),
            ("refusals-per-second-max", self.http.refusals_per_second_max),
            ("body-bytes-max", self.http.body_bytes_max),
            ("batch-bytes-max", self.http.batch_bytes_max),
            ("mailbox-commands-max", self.engine.mailbox_commands_max),
            ("recharge-commands-max", self.engine.recharge_commands_max),
            ("batch-commands-max", self.engine.batch_commands_max),
            ("parked-commands-max", self.engine.parked_commands_max),
            ("account-commands-max", self.engine.account_commands_max),
            ("in-flight-commands-max", self.engine.in_flight_commands_max),
            ("group-records-max", self.engine.group_records_max),
            ("group-bytes-max", self.engine.group_bytes_max),
            ("address-groups-max", self.engine.address_groups_max),
            ("segment-records", usize::try_from(self.engine.segment_records).unwrap_or(usize::MAX)),
        ];
        for (name, bound) in bounds {
            in_range(name, bound, 1..=usize::MAX, "1 or more")?;
        }
        let largest = self.http.batch_bytes_max.max(self.http.body_bytes_max);
        let room = largest..=usize::MAX;
        in_range("body-memory-bytes-max", self.http.body_memory_bytes_max, room, "the largest body or more")?;
        Ok(self)
    }
}

fn in_range<T: PartialOrd>(
    name: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
    text: &'static str,
) -> Result<T, ConfigError> {
    if range.contains(&value) { Ok(value) } else { Err(ConfigError::Range { name, range: text }) }
}

fn listen_address(text: &str) -> Result<SocketAddr, ConfigError> {
    text.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| ConfigError::Listen(text.to_owned()))
}

#[cfg(test)]
mod tests;

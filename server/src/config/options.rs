use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use yue_engine::{
    config::{Config, JournalRetention},
    model::Asset,
};

use super::{ConfigError, HttpLimits, Settings, WalletOptions};

/// Everything that can be set. Absent means: the next source decides.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The data directory; made if it is missing.
    #[arg(long, env = "YUE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, env = "YUE_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// The file with the wallet's secrets, for passwords and payment tokens; made if it is missing
    /// [default: wallet.secret in the data directory].
    #[arg(long, env = "YUE_WALLET_SECRET", value_name = "FILE")]
    pub wallet_secret: Option<PathBuf>,
    /// The file with the keys of those who may call; without it everybody may, on loopback only. See `yue keys`.
    #[arg(long, env = "YUE_KEYS", value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Nonces of signed requests that are remembered; with more in ten minutes signed requests are refused with 503
    /// [default: 1048576].
    #[arg(long, env = "YUE_NONCES_MAX", value_name = "N")]
    pub nonces_max: Option<usize>,
    /// A file to which operators' calls and refusals of authorisation are added, as lines of JSON.
    #[arg(long, env = "YUE_AUDIT_LOG", value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// The key that signs the journal's heads; see `yue heads`.
    #[arg(long, env = "YUE_HEADS_KEY", value_name = "FILE")]
    pub heads_key: Option<PathBuf>,
    /// A file to which signed heads are added, as lines of JSON.
    #[arg(long, env = "YUE_HEADS_LOG", value_name = "FILE")]
    pub heads_log: Option<PathBuf>,
    /// Milliseconds between two signed heads [default: 60000].
    #[arg(long, env = "YUE_HEADS_INTERVAL_MS", value_name = "MS")]
    pub heads_interval_ms: Option<u64>,
    /// Certificates of the server, in PEM: serve TLS.
    #[arg(long, env = "YUE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the server's certificate, in PEM.
    #[arg(long, env = "YUE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Certificates, in PEM, of those who sign clients' certificates; these then stand for keys.
    #[arg(long, env = "YUE_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Serve without TLS on an address that is not loopback, because a proxy in front has it; bearer keys are refused
    /// there [default: false].
    #[arg(long, env = "YUE_INSECURE_PLAINTEXT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub insecure_plaintext: Option<bool>,
    /// Threads that own accounts; may change between starts [default: half of the cores].
    #[arg(long, env = "YUE_SHARDS", value_name = "N")]
    pub shards: Option<u16>,
    /// Assets beside CNY=2, ECNY=2, CARBON=0 and SLOT=0, as CODE=SCALE,CODE=SCALE; fixed once used.
    #[arg(long, env = "YUE_ASSETS", value_name = "CODE=SCALE", value_delimiter = ',')]
    pub assets: Option<Vec<AssetOption>>,
    /// What is logged to stderr: a level, or directives such as `info,yue_engine=debug` [default: info].
    #[arg(long, env = "YUE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Threads that serve connections [default: the cores].
    #[arg(long, env = "YUE_HTTP_THREADS", value_name = "N")]
    pub http_threads: Option<usize>,
    /// Open connections; further ones are closed at once [default: 10000].
    #[arg(long, env = "YUE_CONNECTIONS_MAX", value_name = "N")]
    pub connections_max: Option<usize>,
    /// Open event streams; further ones are refused with 503 [default: 256].
    #[arg(long, env = "YUE_EVENT_STREAMS_MAX", value_name = "N")]
    pub event_streams_max: Option<usize>,
    /// Bytes of a request's body; more is refused with 413 [default: 262144].
    #[arg(long, env = "YUE_BODY_BYTES_MAX", value_name = "BYTES")]
    pub body_bytes_max: Option<usize>,
    /// Bytes of a batch's body; more is refused with 413 [default: 16777216].
    #[arg(long, env = "YUE_BATCH_BYTES_MAX", value_name = "BYTES")]
    pub batch_bytes_max: Option<usize>,
    /// Bytes of all larger bodies together that are being read or parsed; more is refused with 503 [default: 536870912].
    #[arg(long, env = "YUE_BODY_MEMORY_BYTES_MAX", value_name = "BYTES")]
    pub body_memory_bytes_max: Option<usize>,
    /// Milliseconds from a request's first byte to the end of its headers [default: 5000].
    #[arg(long, env = "YUE_HEADER_READ_TIMEOUT_MS", value_name = "MS")]
    pub header_read_timeout_ms: Option<u64>,
    /// Milliseconds in which a body must arrive [default: 10000].
    #[arg(long, env = "YUE_BODY_READ_TIMEOUT_MS", value_name = "MS")]
    pub body_read_timeout_ms: Option<u64>,
    /// Milliseconds that a client may take nothing of an answer that waits for it [default: 10000].
    #[arg(long, env = "YUE_WRITE_TIMEOUT_MS", value_name = "MS")]
    pub write_timeout_ms: Option<u64>,
    /// Milliseconds that a connection may be idle between two requests [default: 60000].
    #[arg(long, env = "YUE_IDLE_TIMEOUT_MS", value_name = "MS")]
    pub idle_timeout_ms: Option<u64>,
    /// Milliseconds that requests in flight get to end after SIGTERM [default: 25000].
    #[arg(long, env = "YUE_DRAIN_TIMEOUT_MS", value_name = "MS")]
    pub drain_timeout_ms: Option<u64>,
    /// Milliseconds that a command shall take from its body to its answer: while the mean is above it (and above three
    /// times a journal group's time), fewer are let in and the others refused with 503 [default: 3].
    #[arg(long, env = "YUE_ADMISSION_TARGET_MS", value_name = "MS")]
    pub admission_target_ms: Option<u64>,
    /// Refusals for overload that leave in a second; more wait for their turn, half a second at the most
    /// [default: 2000 for each core].
    #[arg(long, env = "YUE_REFUSALS_PER_SECOND_MAX", value_name = "N")]
    pub refusals_per_second_max: Option<usize>,
    /// Commands that may wait in one shard's mailbox for the checkout lane; more are refused [default: 65536].
    #[arg(long, env = "YUE_MAILBOX_COMMANDS_MAX", value_name = "N")]
    pub mailbox_commands_max: Option<usize>,
    /// The same for the lane of recharges [default: 65536].
    #[arg(long, env = "YUE_RECHARGE_COMMANDS_MAX", value_name = "N")]
    pub recharge_commands_max: Option<usize>,
    /// The same for the lane of batch work [default: 65536].
    #[arg(long, env = "YUE_BATCH_COMMANDS_MAX", value_name = "N")]
    pub batch_commands_max: Option<usize>,
    /// Commands that may wait in one shard for reserved accounts; more are refused [default: 16384].
    #[arg(long, env = "YUE_PARKED_COMMANDS_MAX", value_name = "N")]
    pub parked_commands_max: Option<usize>,
    /// Commands in flight that may name one account which can refuse them; more are refused [default: 16384].
    #[arg(long, env = "YUE_ACCOUNT_COMMANDS_MAX", value_name = "N")]
    pub account_commands_max: Option<usize>,
    /// Commands in flight in the whole engine; more are refused [default: 262144].
    #[arg(long, env = "YUE_IN_FLIGHT_COMMANDS_MAX", value_name = "N")]
    pub in_flight_commands_max: Option<usize>,
    /// Records in one journal group, written and synced together [default: 16384].
    #[arg(long, env = "YUE_GROUP_RECORDS_MAX", value_name = "N")]
    pub group_records_max: Option<usize>,
    /// Bytes of records in one journal group [default: 4194304].
    #[arg(long, env = "YUE_GROUP_BYTES_MAX", value_name = "BYTES")]
    pub group_bytes_max: Option<usize>,
    /// Records by which the index may lag behind the journal before writes are refused [default: 1000000].
    #[arg(long, env = "YUE_INDEX_LAG_RECORDS_MAX", value_name = "N")]
    pub index_lag_records_max: Option<u64>,
    /// Records in a segment of the index: what a start replays at the most [default: 131072].
    #[arg(long, env = "YUE_SEGMENT_RECORDS", value_name = "N")]
    pub segment_records: Option<u32>,
    /// Bytes of the index's block cache [default: 268435456].
    #[arg(long, env = "YUE_INDEX_CACHE_BYTES", value_name = "BYTES")]
    pub index_cache_bytes: Option<usize>,
    /// Bytes up to which a journal is walked whole at each start [default: 4294967296].
    #[arg(long, env = "YUE_FULL_CHECK_BYTES_MAX", value_name = "BYTES")]
    pub full_check_bytes_max: Option<u64>,
    /// Records of the journal that are kept behind its newest snapshot, or `forever`; what is deleted is in the index
    /// alone [default: forever].
    #[arg(long, env = "YUE_JOURNAL_RETENTION", value_name = "RECORDS")]
    pub journal_retention: Option<RetentionOption>,
    /// Percent of the file system kept free: below it writes are refused with 503 storage_low [default: 5].
    #[arg(long, env = "YUE_STORAGE_RESERVE_PERCENT", value_name = "PERCENT")]
    pub storage_reserve_percent: Option<u8>,
    /// Milliseconds between two looks at the clock for holds that ran out [default: 20].
    #[arg(long, env = "YUE_EXPIRY_INTERVAL_MS", value_name = "MS")]
    pub expiry_interval_ms: Option<u64>,
    /// Milliseconds that a command waits for a change of its account before it is refused [default: 5000].
    #[arg(long, env = "YUE_CHANGE_WAIT_MS_MAX", value_name = "MS")]
    pub change_wait_ms_max: Option<u64>,
    /// Milliseconds that a read waits for the index to show what is acknowledged before it is refused with 503
    /// [default: 5000].
    #[arg(long, env = "YUE_READ_WAIT_MS_MAX", value_name = "MS")]
    pub read_wait_ms_max: Option<u64>,
    /// First parts of addresses, which are rows of the trial balance; an opening with one more is refused with 422
    /// [default: 4096].
    #[arg(long, env = "YUE_ADDRESS_GROUPS_MAX", value_name = "N")]
    pub address_groups_max: Option<usize>,
    /// The wallet's options, a table of their own in a file.
    #[command(flatten, next_help_heading = "Wallet options")]
    pub wallet: WalletOptions,
}

/// How much of the journal is kept: `forever`, or a number of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "RetentionText", into = "String")]
pub struct RetentionOption(JournalRetention);

/// As a file has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum RetentionText {
    Text(String),
    Records(u64),
}

impl FromStr for RetentionOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("forever", _) => Ok(Self(JournalRetention::Forever)),
            (_, Ok(records)) => Ok(Self(JournalRetention::Records(records))),
            (_, Err(_)) => Err(format!("{text:?} is neither `forever` nor a number of records")),
        }
    }
}

impl TryFrom<RetentionText> for RetentionOption {
    type Error = String;

    fn try_from(text: RetentionText) -> Result<Self, Self::Error> {
        match text {
            RetentionText::Text(text) => text.parse(),
            RetentionText::Records(records) => Ok(Self(JournalRetention::Records(records))),
        }
    }
}

impl From<RetentionOption> for String {
    fn from(RetentionOption(retention): RetentionOption) -> Self {
        match retention {
            JournalRetention::Forever => "forever".to_owned(),
            JournalRetention::Records(records) => records.to_string(),
        }
    }
}

/// One asset, as `CODE=SCALE`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetOption(Asset);

impl AssetOption {
    /// The asset.
    #[must_use]
    pub fn into_asset(self) -> Asset {
        self.0
    }
}

impl FromStr for AssetOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (code, scale) = text.split_once('=').ok_or_else(|| format!("{text:?} is not CODE=SCALE"))?;
        let scale = scale.parse().map_err(|_| format!("{scale:?} is no number of decimals"))?;
        Ok(Self(Asset { code: code.into(), scale }))
    }
}

impl TryFrom<String> for AssetOption {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AssetOption> for String {
    fn from(AssetOption(asset): AssetOption) -> Self {
        format!("{}={}", asset.code, asset.scale)
    }
}

/// Takes the first of two sources that has a value, for each named field; all must be named, but for the wallet's.
macro_rules! first_of {
    ($first:ident, $second:ident, { $($field:ident),+ $(,)? }) => {
        Options { $($field: $first.$field.or($second.$field)),+, wallet: $first.wallet.or($second.wallet) }
    };
}

impl Options {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// A file that can't be read, or has a key that is no option.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::File { path: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        toml::from_str(&text).map_err(|error| refused(error.to_string()))
    }

    /// These options, and `other`'s where these are absent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        first_of!(self, other, {
            data, listen, shards, assets, log, http_threads, connections_max, event_streams_max, body_bytes_max,
            batch_bytes_max, body_memory_bytes_max, header_read_timeout_ms, body_read_timeout_ms, write_timeout_ms, idle_timeout_ms,
            drain_timeout_ms, admission_target_ms, refusals_per_second_max, account_commands_max, mailbox_commands_max, recharge_commands_max, batch_commands_max, parked_commands_max, in_flight_commands_max, group_records_max,
            group_bytes_max, index_lag_records_max, segment_records, index_cache_bytes, full_check_bytes_max,
            journal_retention, storage_reserve_percent, expiry_interval_ms, change_wait_ms_max, read_wait_ms_max,
            address_groups_max, wallet_secret, keys, nonces_max, audit_log, heads_key, heads_log, heads_interval_ms, tls_cert, tls_key, tls_client_ca,
            insecure_plaintext,
        })
    }

    pub(super) fn http_limits(&self) -> HttpLimits {
        let default = HttpLimits::default();
        let time = |milliseconds: Option<u64>, default| milliseconds.map_or(default, Duration::from_millis);
        HttpLimits {
            connections_max: self.connections_max.unwrap_or(default.connections_max),
            event_streams_max: self.event_streams_max.unwrap_or(default.event_streams_max),
            body_bytes_max: self.body_bytes_max.unwrap_or(default.body_bytes_max),
            batch_bytes_max: self.batch_bytes_max.unwrap_or(default.batch_bytes_max),
            body_memory_bytes_max: self.body_memory_bytes_max.unwrap_or(default.body_memory_bytes_max),
            header_read_timeout: time(self.header_read_timeout_ms, default.header_read_timeout),
            body_read_timeout: time(self.body_read_timeout_ms, default.body_read_timeout),
            write_timeout: time(self.write_timeout_ms, default.write_timeout),
            idle_timeout: time(self.idle_timeout_ms, default.idle_timeout),
            drain_timeout: time(self.drain_timeout_ms, default.drain_timeout),
            admission_target: time(self.admission_target_ms, default.admission_target),
            refusals_per_second_max: self.refusals_per_second_max.unwrap_or(default.refusals_per_second_max),
        }
    }

    pub(super) fn set_engine_limits(&self, engine: &mut Config) {
        fn set<T: Copy>(limit: &mut T, option: Option<T>) {
            *limit = option.unwrap_or(*limit);
        }
        set(&mut engine.mailbox_commands_max, self.mailbox_commands_max);
        set(&mut engine.recharge_commands_max, self.recharge_commands_max);
        set(&mut engine.batch_commands_max, self.batch_commands_max);
        set(&mut engine.parked_commands_max, self.parked_commands_max);
        set(&mut engine.account_commands_max, self.account_commands_max);
        set(&mut engine.in_flight_commands_max, self.in_flight_commands_max);
        set(&mut engine.group_records_max, self.group_records_max);
        set(&mut engine.group_bytes_max, self.group_bytes_max);
        set(&mut engine.index_lag_records_max, self.index_lag_records_max);
        set(&mut engine.segment_records, self.segment_records);
        set(&mut engine.index_cache_bytes, self.index_cache_bytes);
        set(&mut engine.full_check_bytes_max, self.full_check_bytes_max);
        set(&mut engine.journal_retention, self.journal_retention.map(|RetentionOption(kept)| kept));
        set(&mut engine.storage_reserve_percent, self.storage_reserve_percent);
        set(&mut engine.expiry_interval_ms, self.expiry_interval_ms);
        set(&mut engine.change_wait_ms_max, self.change_wait_ms_max);
        set(&mut engine.read_wait_ms_max, self.read_wait_ms_max);
        set(&mut engine.address_groups_max, self.address_groups_max);
    }
}

impl From<&Settings> for Options {
    /// All options with the values that are in force.
    fn from(settings: &Settings) -> Self {
        let Settings { listen, log, http_threads, http, wallet, engine, wallet_secret, security } = settings;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).ok();
        Self {
            data: Some(engine.data.clone()),
            wallet_secret: Some(wallet_secret.clone()),
            listen: Some(listen.to_string()),
            keys: security.keys.clone(),
            nonces_max: Some(security.nonces_max),
            audit_log: security.audit_log.clone(),
            heads_key: security.heads.as_ref().map(|heads| heads.key.clone()),
            heads_log: security.heads.as_ref().map(|heads| heads.log.clone()),
            heads_interval_ms: milliseconds(security.heads_interval),
            tls_cert: security.tls.as_ref().map(|tls| tls.cert.clone()),
            tls_key: security.tls.as_ref().map(|tls| tls.key.clone()),
            tls_client_ca: security.tls.as_ref().and_then(|tls| tls.client_ca.clone()),
            insecure_plaintext: Some(security.insecure_plaintext),
            shards: Some(engine.shards),
            assets: Some(engine.assets.iter().cloned().map(AssetOption).collect()),
            log: Some(log.clone()),
            http_threads: Some(*http_threads),
            connections_max: Some(http.connections_max),
            event_streams_max: Some(http.event_streams_max),
            body_bytes_max: Some(http.body_bytes_max),
            batch_bytes_max: Some(http.batch_bytes_max),
            body_memory_bytes_max: Some(http.body_memory_bytes_max),
            header_read_timeout_ms: milliseconds(http.header_read_timeout),
            body_read_timeout_ms: milliseconds(http.body_read_timeout),
            write_timeout_ms: milliseconds(http.write_timeout),
            idle_timeout_ms: milliseconds(http.idle_timeout),
            drain_timeout_ms: milliseconds(http.drain_timeout),
            admission_target_ms: milliseconds(http.admission_target),
            refusals_per_second_max: Some(http.refusals_per_second_max),
            mailbox_commands_max: Some(engine.mailbox_commands_max),
            recharge_commands_max: Some(engine.recharge_commands_max),
            batch_commands_max: Some(engine.batch_commands_max),
            parked_commands_max: Some(engine.parked_commands_max),
            account_commands_max: Some(engine.account_commands_max),
            in_flight_commands_max: Some(engine.in_flight_commands_max),
            group_records_max: Some(engine.group_records_max),
            group_bytes_max: Some(engine.group_bytes_max),
            index_lag_records_max: Some(engine.index_lag_records_max),
            segment_records: Some(engine.segment_records),
            index_cache_bytes: Some(engine.index_cache_bytes),
            full_check_bytes_max: Some(engine.full_check_bytes_max),
            journal_retention: Some(RetentionOption(engine.journal_retention)),
            storage_reserve_percent: Some(engine.storage_reserve_percent),
            expiry_interval_ms: Some(engine.expiry_interval_ms),
            change_wait_ms_max: Some(engine.change_wait_ms_max),
            read_wait_ms_max: Some(engine.read_wait_ms_max),
            address_groups_max: Some(engine.address_groups_max),
            wallet: WalletOptions::from(wallet),
        }
    }
}

//! One data directory under torture: its server, its clients and its record.
//!
//! Owns: starts with their audits, and loads with something that happens meanwhile. Never chooses what happens.
//! Invariant: between a load and the next one on a new process there is an audit.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;

use super::audit::Audit;
use super::draw::{Shopper, Style};
use super::load::{Done, Load, Logs};
use super::log::{self, Acknowledgement, Intent, Log};
use super::process::{CHANNEL_KEY, Server, Start, tail};
use super::record::Record;
use super::setup;
use crate::channel::Keys;

/// How long a drain may take: the server's own limit, and then some.
const DRAIN: Duration = Duration::from_secs(40);
/// The most kills in a row before a start is let through.
const EARLY_KILLS_MAX: u32 = 6;
/// One start in so many is killed before, again and again.
const EARLY_KILLS_EVERY: u32 = 4;

/// The server's options: payments without a password, and waits for channels longer than any torture; segments so small
/// that the index is always at one.
const OPTIONS: [&str; 8] = [
    "--log",
    "warn",
    "--segment-records",
    "4096",
    "--wallet-small-payments-per-day",
    "1000000",
    "--wallet-payment-hold-seconds",
    "86400",
];

/// What was met on the way, beside the record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) recovery_kills: u64,
    pub(crate) drains: u64,
    pub(crate) second_processes: u64,
    pub(crate) slowest_start: Duration,
}

/// One data directory.
pub(crate) struct Rig {
    pub(crate) start: Start,
    pub(crate) record: Record,
    pub(crate) tally: Tally,
    pub(crate) server: Option<Server>,
    keys: Keys,
    logs: Logs,
    pub(crate) folder: PathBuf,
    /// What each server is started under; nothing, but for a planted fault.
    pub(crate) tracer: Vec<String>,
    shoppers: Vec<Shopper>,
    /// The first entry that no audit has looked at.
    first: usize,
    /// What a start takes, so that a kill meets one.
    usual_start: Duration,
}

impl Rig {
    /// A new directory at `data`, with its record and logs in `folder`; opens the accounts.
    pub(crate) fn new(
        binary: &Path,
        folder: &Path,
        data: &Path,
        style: Style,
        seed: u64,
    ) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(text)?;
        let log = |name: &str| Log::create(&folder.join(name)).map_err(text);
        let mut rig = Self {
            start: Start {
                binary: binary.to_owned(),
                data: data.to_owned(),
                log: folder.join("server.log"),
                options: OPTIONS.map(str::to_owned).to_vec(),
            },
            record: Record::default(),
            tally: Tally::default(),
            server: None,
            keys: Keys::all(CHANNEL_KEY.as_bytes()),
            logs: Logs { intents: log("intents")?, acknowledgements: log("acknowledgements")? },
            folder: folder.to_owned(),
            tracer: Vec::new(),
            shoppers: (0..style.clients).map(|number| Shopper::new(number, style, seed)).collect(),
            first: 0,
            usual_start: Duration::from_millis(100),
        };
        let server = rig.serve()?;
        setup::prepare(&server.endpoint, &rig.keys, &rig.logs, style, &mut rig.record)?;
        rig.first = rig.record.len();
        rig.server = Some(server);
        Ok(rig)
    }

    fn serve(&mut self) -> Result<Server, String> {
        match self.start.serve(&self.tracer).map_err(text)? {
            Ok(server) => {
                self.usual_start = (self.usual_start * 3 + server.took) / 4;
                self.tally.slowest_start = self.tally.slowest_start.max(server.took);
                Ok(server)
            }
            Err(status) => {
                let end = format!("the start is refused: {status}: {}", tail(&self.start.log));
                self.record.findings.lost.push(end.clone());
                Err(end)
            }
        }
    }

    /// A server that serves and has been compared with the record. One that still lives is taken as it is.
    pub(crate) fn up(&mut self, rng: &mut SmallRng) -> Result<(), String> {
        if self.server.is_none() {
            if rng.random_ratio(1, EARLY_KILLS_EVERY) {
                self.kill_early(rng)?;
            }
            self.server = Some(self.serve()?);
        }
        self.audit(rng)
    }

    /// Kills starts in their first moments, several times in a row.
    pub(crate) fn kill_early(&mut self, rng: &mut SmallRng) -> Result<(), String> {
        for _ in 0..rng.random_range(1..=EARLY_KILLS_MAX) {
            let after = self.usual_start.mul_f64(rng.random_range(0.0..1.3));
            self.start.kill_early(after).map_err(text)?;
            self.tally.recovery_kills += 1;
        }
        Ok(())
    }

    /// A start that must come to serve, and is killed then.
    pub(crate) fn start_once(&mut self) -> Result<(), String> {
        self.serve()?.kill().map_err(text)
    }

    fn audit(&mut self, rng: &mut SmallRng) -> Result<(), String> {
        let Some(server) = &self.server else { return Ok(()) };
        let audit = Audit { endpoint: &server.endpoint, keys: &self.keys, logs: &self.logs };
        let settled = audit.run(&mut self.record, self.first, rng)?;
        for (intent, outcome) in settled {
            for shopper in &mut self.shoppers {
                shopper.settled(&intent, &outcome);
            }
        }
        self.first = self.record.len();
        Ok(())
    }

    /// All clients at work, while `meanwhile` runs on this thread; the load is over when it is done.
    pub(crate) fn load<T>(
        &mut self,
        meanwhile: impl FnOnce(&mut Server, &AtomicU64, &AtomicU64) -> Result<T, String>,
    ) -> Result<T, String> {
        let Some(mut server) = self.server.take() else { return Err("no server".to_owned()) };
        let (stop, low, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let endpoint = server.endpoint.clone();
        let load = Load {
            endpoint: &endpoint,
            keys: &self.keys,
            logs: &self.logs,
            stop: &stop,
            storage_low: &low,
            acknowledged: &acknowledged,
        };
        let (result, all) = thread::scope(|scope| {
            let load = &load;
            let threads: Vec<_> =
                self.shoppers.iter_mut().map(|shopper| scope.spawn(move || load.run(shopper))).collect();
            let result = meanwhile(&mut server, &acknowledged, &low);
            stop.store(true, Relaxed);
            let all: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            (result, all)
        });
        for done in all {
            let done = done.map_err(|_| "a client panicked".to_owned())??;
            self.take(done);
        }
        self.server = Some(server);
        result
    }

    fn take(&mut self, done: Done) {
        let Done { entries, unexpected } = done;
        for (intent, state) in entries {
            self.record.add(intent, state);
        }
        self.record.findings.other.extend(unexpected);
    }

    /// The log that the journal writes now.
    pub(crate) fn journal_log(&self) -> Option<PathBuf> {
        let files = fs::read_dir(self.start.data.join("journal")).ok()?;
        let logs = files.filter_map(|file| Some(file.ok()?.path()));
        logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max()
    }

    /// A server that was killed, or ended itself, is gone.
    pub(crate) fn gone(&mut self) -> Result<(), String> {
        self.server.take().map_or(Ok(()), |server| server.kill().map_err(text))
    }

    /// SIGTERM, and an end in good order.
    pub(crate) fn drain(&mut self) -> Result<(), String> {
        if let Some(server) = &self.server {
            server.signal(Signal::TERM).map_err(text)?;
        }
        self.drained()
    }

    /// The end in good order of one that has got SIGTERM.
    pub(crate) fn drained(&mut self) -> Result<(), String> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        self.tally.drains += 1;
        match server.ended_within(DRAIN).map_err(text)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                self.record.findings.other.push(format!("SIGTERM ended it with {status}"));
                Ok(())
            }
            None => {
                self.record.findings.other.push("SIGTERM did not end it".to_owned());
                Ok(())
            }
        }
    }

    /// The whole record once more, read back from its files; then `yue verify` of the directory.
    pub(crate) fn finish(&mut self, rng: &mut SmallRng) -> Result<(), String> {
        self.up(rng)?;
        self.compare_files()?;
        if let Some(server) = &self.server {
            let audit = Audit { endpoint: &server.endpoint, keys: &self.keys, logs: &self.logs };
            audit.whole(&mut self.record)?;
        }
        self.drain()?;
        let verified = self.start.verify().map_err(text)?;
        if !verified.contains("verdict    SOUND") {
            self.record.findings.other.push(format!("yue verify: {verified}"));
        }
        Ok(())
    }

    /// The files are the record: what is in memory must be what they say.
    fn compare_files(&mut self) -> Result<(), String> {
        let intents: Vec<Intent> = log::read(&self.folder.join("intents")).map_err(text)?;
        let lines: Vec<Acknowledgement> = log::read(&self.folder.join("acknowledgements")).map_err(text)?;
        let differ = self.record.compare(&intents, &lines);
        self.record.findings.other.extend(differ);
        Ok(())
    }
}

/// The dice of one cycle.
pub(crate) fn dice(seed: u64, rig: u64, cycle: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(rig * 100_000 + cycle))
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

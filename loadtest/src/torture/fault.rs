//! What is done to the server under load.
//!
//! Owns: the faults, one function each, and what must follow from it. Never audits: the next start does.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;
use rustix::process::{Pid, Signal, kill_process};

use super::process::{Server, is_abort};
use super::rig::{Rig, text};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// kill -9.
    Kill,
    /// A write or a sync says EIO.
    Eio,
    /// A write or a sync says ENOSPC.
    Enospc,
    /// SIGSTOP, and later SIGCONT.
    Stop,
}

impl Fault {
    /// The name in the progress.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Eio => "EIO",
            Self::Enospc => "ENOSPC",
            Self::Stop => "SIGSTOP",
        }
    }
}

/// One cycle's fault; the text says what was done.
pub(crate) fn inflict(rig: &mut Rig, fault: Fault, rng: &mut SmallRng) -> Result<String, String> {
    match fault {
        Fault::Kill => kill(rig, rng),
        Fault::Eio => inject(rig, "EIO", rng),
        Fault::Enospc => inject(rig, "ENOSPC", rng),
        Fault::Stop => stop(rig, rng),
    }
}

fn pause(rng: &mut SmallRng, most_ms: u64) -> Duration {
    // Often short, so that kills meet the first requests too.
    let most = if rng.random_bool(0.3) { most_ms / 10 } else { most_ms };
    Duration::from_millis(rng.random_range(0..=most))
}

fn kill(rig: &mut Rig, rng: &mut SmallRng) -> Result<String, String> {
    let after = pause(rng, 800);
    rig.load(|server, _, _| {
        thread::sleep(after);
        server.signal(Signal::KILL).map_err(text)
    })?;
    rig.gone()?;
    Ok(format!("after {after:.0?}"))
}

/// The system calls that fail, and whether only those on the journal's log do.
const CALLS: [(&str, bool); 5] = [
    ("fdatasync", false),
    ("fsync,fdatasync", false),
    ("pwrite64", false),
    ("write", true),
    ("fdatasync", true),
];
/// The first ones of them are of any file. Writes to any file would also be those between threads.
const CALLS_OF_ANY_FILE: usize = 3;
/// How long a fault may take to be met, and the server to end.
const ENDS: Duration = Duration::from_secs(4);
/// How often another call is tried when one was not met.
const TRIES: u32 = 8;
/// One fault in so many is met by a start.
const AT_START_EVERY: u32 = 5;

/// One call of a thread that fails.
struct Injection {
    calls: &'static str,
    error: &'static str,
    number: u32,
    /// Only of this file.
    path: Option<PathBuf>,
    /// The server is started under it.
    at_start: bool,
    /// Where strace writes.
    trace: PathBuf,
}

impl Injection {
    fn draw(rig: &Rig, error: &'static str, rng: &mut SmallRng) -> Self {
        let at_start = rng.random_ratio(1, AT_START_EVERY);
        // A start writes another log than the one that is there before it.
        let calls = if at_start { CALLS.get(..CALLS_OF_ANY_FILE).unwrap_or_default() } else { &CALLS };
        let drawn = calls.get(rng.random_range(0..calls.len().max(1))).copied();
        let (calls, of_log) = drawn.unwrap_or(("fdatasync", false));
        let path = rig.journal_log().filter(|_| of_log);
        let number = rng.random_range(1..=6);
        Self { calls, error, number, path, at_start, trace: rig.folder.join("strace") }
    }

    /// The words of the command, without what it traces.
    fn strace(&self) -> Vec<String> {
        let Self { calls, error, number, .. } = self;
        let mut words: Vec<String> = ["strace", "-f", "-qq", "-o"].map(str::to_owned).to_vec();
        words.push(self.trace.to_string_lossy().into_owned());
        words.extend(["-e".to_owned(), format!("trace={calls}")]);
        words.extend(["-e".to_owned(), format!("inject={calls}:error={error}:when={number}")]);
        if let Some(path) = &self.path {
            words.extend(["-P".to_owned(), path.to_string_lossy().into_owned()]);
        }
        words
    }

    /// Whether strace has made a call fail; it may still be writing that down.
    fn was_met(&self, server_has_ended: bool) -> Result<bool, String> {
        let until = Instant::now() + if server_has_ended { ENDS } else { Duration::ZERO };
        loop {
            let trace = fs::read_to_string(&self.trace)
                .map_err(|error| format!("strace has written nothing; may it trace here? {error}"))?;
            let met = trace.contains("(INJECTED)");
            if met || Instant::now() >= until {
                fs::remove_file(&self.trace).map_err(text)?;
                return Ok(met);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn describe(&self) -> String {
        let of = if self.path.is_some() { " of the journal's log" } else { "" };
        format!("{} from {}{of}, call {} of a thread", self.error, self.calls, self.number)
    }
}

fn inject(rig: &mut Rig, error: &'static str, rng: &mut SmallRng) -> Result<String, String> {
    for _ in 0..TRIES {
        let injection = Injection::draw(rig, error, rng);
        let text = injection.describe();
        let (ended, when) = if injection.at_start {
            (at_start(rig, &injection)?, "of a start".to_owned())
        } else {
            let after = pause(rng, 300);
            (attached(rig, &injection, after)?, format!("after {after:.0?} of load"))
        };
        let met = injection.was_met(ended.is_some())?;
        match ended {
            Some(Ended::Aborted | Ended::Refused) if met => {
                rig.gone()?;
                return Ok(format!("{text}, {when}"));
            }
            None if !met => rig.up(rng)?,
            None | Some(_) => {
                rig.record.findings.other.push(format!("{text}, {when}: met: {met}, and then {ended:?}"));
                rig.gone()?;
                return Ok(format!("{text}, {when}: NOT STOPPED"));
            }
        }
    }
    Err(format!("{error} was never met: does strace work here?"))
}

/// How a server ended that met an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Aborted,
    /// A start that said why it can't serve.
    Refused,
    Otherwise,
}

/// The fault comes to a server under load.
fn attached(rig: &mut Rig, injection: &Injection, after: Duration) -> Result<Option<Ended>, String> {
    let status = rig.load(|server, _, _| {
        thread::sleep(after);
        let tracer = Tracer::attach(server, injection)?;
        let ended = server.ended_within(ENDS).map_err(text)?;
        tracer.end()?;
        Ok(ended)
    })?;
    Ok(status.map(|status| if is_abort(status) { Ended::Aborted } else { Ended::Otherwise }))
}

/// The server is started under the fault, which its recovery meets, or its first load.
fn at_start(rig: &mut Rig, injection: &Injection) -> Result<Option<Ended>, String> {
    rig.gone()?;
    let mut words = injection.strace();
    // The server stays this process's child; only the calls in question are stopped at.
    words.extend(["-D", "--seccomp-bpf"].map(str::to_owned));
    let status = match rig.start.serve(&words).map_err(text)? {
        Err(status) if is_abort(status) => return Ok(Some(Ended::Aborted)),
        Err(status) if status.code() == Some(1) => return Ok(Some(Ended::Refused)),
        Err(_) => return Ok(Some(Ended::Otherwise)),
        Ok(server) => {
            rig.server = Some(server);
            rig.load(|server, _, _| server.ended_within(ENDS).map_err(text))?
        }
    };
    if status.is_none() {
        rig.gone()?;
    }
    Ok(status.map(|status| if is_abort(status) { Ended::Aborted } else { Ended::Otherwise }))
}

/// strace beside the server.
struct Tracer(Child);

impl Tracer {
    fn attach(server: &Server, injection: &Injection) -> Result<Self, String> {
        let words = injection.strace();
        let mut command = Command::new("strace");
        command.args(words.get(1..).unwrap_or_default()).args(["-p", &server.id().to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Self).map_err(|error| format!("strace: {error}"))
    }

    /// Lets the server go.
    fn end(mut self) -> Result<(), String> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).ok();
        self.0.wait().map(drop).map_err(text)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

fn stop(rig: &mut Rig, rng: &mut SmallRng) -> Result<String, String> {
    // Some are longer than the clients wait.
    let stopped = if rng.random_bool(0.3) { 700..=1_800 } else { 1..=300 };
    let stopped = Duration::from_millis(rng.random_range(stopped));
    let (before, after) = (pause(rng, 200), pause(rng, 200));
    let drains = rng.random_bool(0.5);
    rig.load(|server, _, _| {
        thread::sleep(before);
        server.signal(Signal::STOP).map_err(text)?;
        thread::sleep(stopped);
        server.signal(Signal::CONT).map_err(text)?;
        thread::sleep(after);
        if drains { server.signal(Signal::TERM).map_err(text) } else { Ok(()) }
    })?;
    if drains {
        rig.drained()?;
    }
    Ok(format!("for {stopped:.0?}{}", if drains { ", then SIGTERM under load" } else { "" }))
}

/// Whether a second process on the directory keeps away, and the first one goes on.
pub(crate) fn second_process(rig: &mut Rig) -> Result<(), String> {
    let start = rig.start.clone();
    let (second, goes_on) = rig.load(|_, acknowledged, _| {
        let second = start.second().map_err(text)?;
        let before = acknowledged.load(Relaxed);
        let until = Instant::now() + ENDS;
        while acknowledged.load(Relaxed) == before && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        Ok((second, acknowledged.load(Relaxed) > before))
    })?;
    rig.tally.second_processes += 1;
    if second != (Some(1), false) || !goes_on {
        rig.record.findings.other.push(format!(
            "a second process must end with 1 before it binds: {second:?}; the first one goes on: {goes_on}"
        ));
    }
    Ok(())
}

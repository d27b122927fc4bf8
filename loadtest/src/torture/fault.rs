//! What is done to the server under load.
//!
//! Owns: the faults, one function each, and what must follow from it. Never audits: the next start does.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use rustix::process::Signal;

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
/// How long a fault may take to be met, and the server to end.
const ENDS: Duration = Duration::from_secs(10);
/// How often another call is tried when one was not met.
const TRIES: u32 = 5;

fn inject(rig: &mut Rig, error: &str, rng: &mut SmallRng) -> Result<String, String> {
    for _ in 0..TRIES {
        let (calls, log_only) =
            CALLS.get(rng.random_range(0..CALLS.len())).copied().unwrap_or(("fdatasync", false));
        let number = rng.random_range(1..=6);
        let after = pause(rng, 300);
        let trace = rig.folder.join("strace");
        let path = rig.journal_log().filter(|_| log_only);
        let injected = rig
            .load(|server, _, _| {
                thread::sleep(after);
                let tracer = Tracer::attach(server, &trace, calls, path.as_deref(), error, number)?;
                let ended = server.ended_within(ENDS).map_err(text)?;
                tracer.end()?;
                let injected = fs::read_to_string(&trace).unwrap_or_default().contains("(INJECTED)");
                Ok((injected, ended))
            })?
            .result;
        let on = if path.is_some() { " of the journal's log" } else { "" };
        match injected {
            (_, Some(status)) if is_abort(status) => {
                rig.gone()?;
                return Ok(format!("{error} from {calls}{on}, call {number} of a thread, after {after:.0?}"));
            }
            (true, ended) => {
                rig.record
                    .findings
                    .other
                    .push(format!("{error} from {calls}{on}: it must abort, it was {ended:?}"));
                rig.gone()?;
                return Ok(format!("{error} from {calls}{on}: NOT ABORTED"));
            }
            (false, Some(status)) => return Err(format!("the server ended with {status} before {error}")),
            (false, None) => rig.look(rng)?,
        }
    }
    Err(format!("{error} was never met: does strace work here?"))
}

/// strace beside the server.
struct Tracer(Child);

impl Tracer {
    fn attach(
        server: &Server,
        trace: &std::path::Path,
        calls: &str,
        path: Option<&std::path::Path>,
        error: &str,
        number: u32,
    ) -> Result<Self, String> {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-p", &server.id().to_string(), "-o"]).arg(trace);
        command.args(["-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={calls}:error={error}:when={number}")]);
        if let Some(path) = path {
            command.arg("-P").arg(path);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Self).map_err(|error| format!("strace: {error}"))
    }

    /// Lets the server go.
    fn end(mut self) -> Result<(), String> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), Signal::TERM).ok();
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

/// Whether a second process on the directory keeps away.
pub(crate) fn second_process(rig: &mut Rig) -> Result<(), String> {
    let start = rig.start.clone();
    let second = rig.load(|_, acknowledged, _| {
        let second = start.second().map_err(text);
        // And the first one goes on.
        let before = acknowledged.load(Relaxed);
        thread::sleep(Duration::from_millis(50));
        second.map(|second| (second, acknowledged.load(Relaxed) > before))
    })?;
    rig.tally.second_processes += 1;
    if second.result != ((Some(1), false), true) {
        rig.record.findings.other.push(format!(
            "a second process must end with 1 before it binds, and the first one go on: {:?}",
            second.result
        ));
    }
    Ok(())
}

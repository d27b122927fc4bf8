//! The tortured server, as a process.
//!
//! Owns: its start, its signals and its end. Ends with the value: whatever happens, no server is left behind.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::client::Client;
use crate::wire::Endpoint;

/// The key of each channel, `YUE_CHANNEL_KEY_…` in the environment.
pub(crate) const CHANNEL_KEY: &str = "a key of a channel";
/// From the port to the first answer of `/readyz`.
const READY: Duration = Duration::from_secs(60);
/// A look at a process.
const LOOK: Duration = Duration::from_millis(2);

/// Words before a command: the kernel kills it when this process ends, however that ends.
const DIES_WITH_US: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];

/// How a server is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// The binary `yue`.
    pub(crate) binary: PathBuf,
    pub(crate) data: PathBuf,
    /// Where its log lines go.
    pub(crate) log: PathBuf,
    pub(crate) options: Vec<String>,
}

impl Start {
    fn command(&self, tracer: &[String]) -> io::Result<Command> {
        let mut words = DIES_WITH_US.to_vec();
        words.extend(tracer.iter().map(String::as_str));
        let binary = self.binary.to_string_lossy();
        words.push(&binary);
        let Some((program, arguments)) = words.split_first() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut command = Command::new(program);
        command.args(arguments).args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&self.data);
        command.args(&self.options).stdin(Stdio::null());
        for channel in ["WECHAT", "ALIPAY", "ECNY", "BANK_CARD"] {
            command.env(format!("YUE_CHANNEL_KEY_{channel}"), CHANNEL_KEY);
        }
        command.stderr(File::options().create(true).append(true).open(&self.log)?);
        Ok(command)
    }

    /// Starts a server, kills it after a while, and waits for its end.
    pub(crate) fn kill_early(&self, after: Duration) -> io::Result<()> {
        let mut child = named(self.command(&[])?.stdout(Stdio::null()).spawn())?;
        thread::sleep(after);
        child.kill()?;
        child.wait().map(drop)
    }

    /// Starts one that must not start, as the directory is in use: gives its exit code and whether it bound a port.
    pub(crate) fn second(&self) -> io::Result<(Option<i32>, bool)> {
        let output = named(self.command(&[])?.stdout(Stdio::piped()).output())?;
        Ok((output.status.code(), !output.stdout.is_empty()))
    }

    /// What `yue verify` says of the directory.
    pub(crate) fn verify(&self) -> io::Result<String> {
        let output = Command::new(&self.binary).arg("verify").arg("--data").arg(&self.data).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }

    /// Starts, and waits until requests are served. `Err` holds how a start ended that did not come so far.
    pub(crate) fn serve(&self, tracer: &[String]) -> io::Result<Result<Server, ExitStatus>> {
        let started = Instant::now();
        let mut child = named(self.command(tracer)?.stdout(Stdio::piped()).spawn())?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let Some(url) = url else {
            return Ok(Err(child.wait()?));
        };
        let endpoint = Endpoint::parse(&url, None).map_err(io::Error::other)?;
        let mut server = Server { child, endpoint, took: Duration::ZERO };
        loop {
            if server.is_ready() {
                server.took = started.elapsed();
                return Ok(Ok(server));
            }
            if let Some(status) = server.child.try_wait()? {
                return Ok(Err(status));
            }
            if started.elapsed() > READY {
                return Err(io::Error::other("the server was not ready in time"));
            }
            thread::sleep(LOOK);
        }
    }
}

/// A server that serves.
pub(crate) struct Server {
    child: Child,
    pub(crate) endpoint: Endpoint,
    /// From the start to the first answer.
    pub(crate) took: Duration,
}

impl Server {
    fn is_ready(&self) -> bool {
        self.answers("/readyz")
    }

    /// Whether a read is answered with 200.
    pub(crate) fn answers(&self, path: &str) -> bool {
        let mut request = Vec::new();
        self.endpoint.get(&mut request, path);
        let answer = Client::new(self.endpoint.clone(), Duration::from_secs(10)).call(&request);
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// How it ended, if it does within a time.
    pub(crate) fn ended_within(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// What could not be started, in the error.
fn named<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::other(format!("{}: {error}", DIES_WITH_US.join(" "))))
}

/// Whether a process stopped itself at once, as it must after an error.
pub(crate) fn is_abort(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::ABORT.as_raw())
}

/// The end of a log, for people.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

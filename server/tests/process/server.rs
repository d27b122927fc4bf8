//! A `yue serve` on a temporary directory.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::client::Client;

/// More than any step of these tests takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

/// The key of each channel, `YUE_CHANNEL_KEY_…` in the environment.
pub(crate) const CHANNEL_KEY: &str = "a key of a channel";

/// `yue` with arguments, and an environment without options, with the channels' keys.
pub(crate) fn yue(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yue"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    for channel in ["WECHAT", "ALIPAY", "ECNY", "BANK_CARD"] {
        command.env(format!("YUE_CHANNEL_KEY_{channel}"), CHANNEL_KEY);
    }
    command
}

impl Server {
    /// Starts, and waits until requests are served. Log lines go to a file beside the directory.
    pub(crate) fn start(data: &Path, options: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", data, options)
    }

    /// As above, on an address, for clients that do not hear of another one.
    pub(crate) fn start_on(listen: &str, data: &Path, options: &[&str]) -> Self {
        Self::start_encrypted(listen, data, options, |server| {
            server.client().get("/readyz").map(|answer| answer.status).ok() == Some(200)
        })
    }

    /// As above, for who knows how to ask whether it is ready.
    pub(crate) fn start_encrypted(
        listen: &str,
        data: &Path,
        options: &[&str],
        ready: impl Fn(&Self) -> bool,
    ) -> Self {
        let log = File::options().create(true).append(true).open(data.with_extension("log")).unwrap();
        let mut arguments = vec!["serve", "--listen", listen, "--data", data.to_str().unwrap()];
        arguments.extend(options);
        let mut child = yue(&arguments).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let address = listening(child.stdout.take().unwrap());
        let server = Self { child, address };
        let deadline = Instant::now() + PATIENCE;
        while !ready(&server) {
            assert!(Instant::now() < deadline, "not ready after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Memory that the process has in use.
    pub(crate) fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        kib.unwrap().parse::<u64>().unwrap() / 1_024
    }

    /// SIGKILL: at any instruction.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    /// A failed test leaves no server behind.
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// The address in the first line.
pub(crate) fn listening(stdout: ChildStdout) -> SocketAddr {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address = line.strip_prefix("listening on http").and_then(|rest| rest.trim_end().split_once("://"));
    let address = address.map(|(_, address)| address.replace("0.0.0.0", "127.0.0.1"));
    address.unwrap_or_else(|| panic!("the first line is {line:?}")).parse().unwrap()
}

//! A `yue serve` of the same build, as a process of its own.

use std::{
    io::{self, BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::client::Client;

/// The key of the channel `bank-card`.
pub(crate) const CHANNEL_KEY: &str = "a key of a channel";

/// Ends with the value: whatever happens, no server is left behind.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    const READY: Duration = Duration::from_secs(300);
    const STOPPED: Duration = Duration::from_secs(60);

    /// Starts, and waits until requests are served.
    pub(crate) fn start(data: &Path, options: &[String]) -> io::Result<Self> {
        let binary = std::env::current_exe()?.with_file_name("yue");
        let mut child = Command::new(&binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--data"])
            .arg(data)
            .args(options)
            .env("YUE_CHANNEL_KEY_BANK_CARD", CHANNEL_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("{}: {error}", binary.display())))?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://").and_then(|text| text.parse().ok());
        let server = match address {
            Some(address) => Self { child, address },
            None => {
                child.wait()?;
                return Err(io::Error::other("the server did not start"));
            }
        };
        let deadline = Instant::now() + Self::READY;
        while !matches!(server.client().call("GET", "/readyz", ""), Ok((200, _))) {
            if Instant::now() > deadline {
                return Err(io::Error::other("the server was not ready in time"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The process's greatest resident size so far.
    pub(crate) fn memory_peak_mib(&self) -> f64 {
        crate::memory_peak_mib(&self.child.id().to_string())
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// SIGTERM, and the end of the drain.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + Self::STOPPED;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("the server ended with {status}"))),
                None if Instant::now() > deadline => {
                    return Err(io::Error::other("the server does not stop"));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

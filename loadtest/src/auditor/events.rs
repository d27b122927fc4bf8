//! The event stream: no position is missing, and each acknowledged transaction is at its own, once.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::{Audit, trial};
use crate::book::Outcome;
use crate::verdict::Check;
use crate::wire::Endpoint;
use crate::worker::Findings;

/// The most positions that are read; of a longer run the last ones.
const WINDOW_MAX: u64 = 5_000_000;
/// The longest wait for the next bytes.
const SILENCE_MAX: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Data {
    id: Option<Uuid>,
}

/// What the stream says, checked while it is read.
struct Watch {
    last: u64,
    /// Acknowledged transactions by their positions; an entry goes when its event has come.
    expected: HashMap<u64, Uuid>,
    acknowledged: HashSet<Uuid>,
    seen: HashSet<Uuid>,
    gaps: Vec<String>,
    doubled: Vec<String>,
    differing: Vec<String>,
}

impl Watch {
    fn event(&mut self, position: u64, data: &str) {
        if position != self.last + 1 {
            self.gaps.push(format!("{position} follows {}", self.last));
        }
        self.last = position;
        let id = serde_json::from_str::<Data>(data).ok().and_then(|data| data.id);
        if let Some(id) = id.filter(|id| self.acknowledged.contains(id))
            && !self.seen.insert(id)
        {
            self.doubled.push(format!("{id} is there again at {position}"));
        }
        match self.expected.remove(&position) {
            Some(expected) if Some(expected) != id => {
                self.differing.push(format!("{position} should be {expected}, is {data}"));
            }
            Some(_) | None => {}
        }
    }

    fn checks(mut self, from: u64) -> [Check; 2] {
        let measured = format!("{} to {} read", from + 1, self.last);
        let transactions = format!("{} transactions in the event stream", self.seen.len());
        let missing = self.expected.iter();
        self.differing.extend(missing.map(|(position, id)| format!("{id} is not there at {position}")));
        self.differing.append(&mut self.doubled);
        [
            Check::hard("positions", "gap-free", measured, self.gaps),
            Check::hard("effects", "each at its position, once", transactions, self.differing),
        ]
    }
}

/// Reads the stream from the start of the run to where the ledger is now.
pub(super) fn check(audit: &Audit, findings: &[Findings]) -> Result<[Check; 2], String> {
    let until = trial::position(&audit.endpoint)?;
    let from = audit.from_position.max(until.saturating_sub(WINDOW_MAX));
    let acknowledged = || findings.iter().flat_map(|found| found.book.acknowledged());
    let mut watch = Watch {
        last: from,
        expected: acknowledged()
            .filter_map(|entry| match entry.outcome {
                Outcome::Posted { position } if position > from => Some((position, entry.id)),
                Outcome::Posted { .. } | Outcome::Rejected => None,
            })
            .collect(),
        acknowledged: acknowledged().map(|entry| entry.id).collect(),
        seen: HashSet::new(),
        gaps: Vec::new(),
        doubled: Vec::new(),
        differing: Vec::new(),
    };
    if let Err(error) = read(&audit.endpoint, from, until, &mut watch) {
        watch.gaps.push(format!("the stream ends after {} of {until}: {error}", watch.last));
    }
    Ok(watch.checks(from))
}

/// Gives each event after `from` to the watch, until position `until`.
fn read(endpoint: &Endpoint, from: u64, until: u64, watch: &mut Watch) -> std::io::Result<()> {
    if from >= until {
        return Ok(());
    }
    let mut stream = TcpStream::connect(endpoint.address)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut request = Vec::new();
    endpoint.get(&mut request, &format!("/v1/events?after={from}"));
    stream.write_all(&request)?;
    let mut lines = BufReader::with_capacity(1 << 20, Body::open(stream)?);
    let (mut line, mut data, mut position) = (String::new(), String::new(), None);
    while watch.last < until {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            if let Some(position) = position.take() {
                watch.event(position, &data);
            }
            data.clear();
        } else if let Some(value) = text.strip_prefix("id:") {
            position = value.trim().parse().ok();
        } else if let Some(value) = text.strip_prefix("data:") {
            data.push_str(value.strip_prefix(' ').unwrap_or(value));
        }
    }
    Ok(())
}

/// The body of a streamed answer, out of its chunks.
struct Body {
    source: BufReader<TcpStream>,
    chunked: bool,
    left_in_chunk: usize,
    started: bool,
}

impl Body {
    /// Reads the head of the answer.
    fn open(stream: TcpStream) -> std::io::Result<Self> {
        let mut source = BufReader::with_capacity(1 << 18, stream);
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            if source.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            head.push_str(&line.to_ascii_lowercase());
        }
        if !head.starts_with("http/1.1 200") {
            let status = head.lines().next().unwrap_or_default();
            return Err(std::io::Error::other(format!("the stream is refused: {status}")));
        }
        Ok(Self {
            source,
            chunked: head.contains("transfer-encoding: chunked"),
            left_in_chunk: 0,
            started: false,
        })
    }

    fn next_chunk(&mut self) -> std::io::Result<usize> {
        let mut line = String::new();
        if std::mem::replace(&mut self.started, true) {
            self.source.read_line(&mut line)?;
            line.clear();
        }
        self.source.read_line(&mut line)?;
        let size = line.trim_end().split(';').next().unwrap_or_default();
        usize::from_str_radix(size, 16).map_err(|_| std::io::ErrorKind::InvalidData.into())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.chunked {
            return self.source.read(buffer);
        }
        if self.left_in_chunk == 0 {
            self.left_in_chunk = self.next_chunk()?;
        }
        let most = buffer.len().min(self.left_in_chunk);
        let count = self.source.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left_in_chunk -= count;
        Ok(count)
    }
}

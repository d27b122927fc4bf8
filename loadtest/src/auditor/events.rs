//! The event stream: no position is missing, no transaction is there twice, and each acknowledged transfer is at its own
//! position.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::{Audit, trial};
use crate::accounts::Chart;
use crate::book::{Leg, Transferred};
use crate::verdict::Check;
use crate::wire::Endpoint;
use crate::worker::Findings;

/// The most positions that are read; of a longer run the last ones.
const WINDOW_MAX: u64 = 5_000_000;
/// The longest wait for the next bytes.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// What the names of transactions' events start with.
const TRANSACTION: &str = "transaction";

#[derive(Deserialize)]
struct Data<'a> {
    id: Option<Uuid>,
    #[serde(borrow, default)]
    operations: Vec<Operation<'a>>,
}

#[derive(Deserialize)]
struct Operation<'a> {
    #[serde(borrow)]
    debit: Option<Cow<'a, str>>,
    #[serde(borrow)]
    credit: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Option<Cow<'a, str>>,
}

impl Data<'_> {
    fn moves(&self, chart: &Chart, leg: Leg) -> bool {
        let amount = leg.amount.to_string();
        let wanted = [chart.address(leg.debit), chart.address(leg.credit), &amount];
        self.operations.iter().any(|Operation { debit, credit, amount }| {
            [debit, credit, amount]
                .into_iter()
                .zip(wanted)
                .all(|(one, wanted)| one.as_deref() == Some(wanted))
        })
    }
}

/// What the stream says, checked while it is read.
struct Watch<'a> {
    chart: &'a Chart,
    last: u64,
    /// Acknowledged transfers by their positions; an entry goes when its event has come.
    expected: HashMap<u64, Transferred>,
    seen: HashSet<Uuid>,
    gaps: Vec<String>,
    doubled: Vec<String>,
    differing: Vec<String>,
}

impl Watch<'_> {
    fn event(&mut self, position: u64, name: &str, data: &str) {
        if position != self.last + 1 {
            self.gaps.push(format!("{position} follows {}", self.last));
        }
        self.last = position;
        let expected = self.expected.remove(&position);
        let shown = serde_json::from_str::<Data<'_>>(data).ok();
        let id = shown.as_ref().and_then(|data| data.id).filter(|_| name.starts_with(TRANSACTION));
        if let Some(id) = id
            && !self.seen.insert(id)
        {
            self.doubled.push(format!("{id} is there again at {position}"));
        }
        if let Some(transfer) = expected
            && !shown.is_some_and(|data| data.moves(self.chart, transfer.leg))
        {
            self.differing.push(format!("{position} should be the transfer {}, is {data}", transfer.id));
        }
    }

    fn checks(mut self, from: u64) -> [Check; 2] {
        let measured = format!("{} to {} read", from + 1, self.last);
        let transactions = format!("{} transactions in the event stream", self.seen.len());
        let missing = self.expected.iter();
        let missing =
            missing.map(|(position, transfer)| format!("{} is not there at {position}", transfer.id));
        self.differing.extend(missing);
        self.differing.append(&mut self.doubled);
        [
            Check::hard("positions", "gap-free", measured, self.gaps),
            Check::hard("effects", "each once, transfers at their positions", transactions, self.differing),
        ]
    }
}

/// Reads the stream from the start of the run to where the ledger is now.
pub(super) fn check(audit: &Audit, findings: &[Findings]) -> Result<[Check; 2], String> {
    let until = trial::position(&audit.endpoint)?;
    let from = audit.from_position.max(until.saturating_sub(WINDOW_MAX));
    let transfers = findings.iter().flat_map(|found| found.book.transfers());
    let mut watch = Watch {
        chart: &audit.chart,
        last: from,
        expected: transfers
            .filter(|transfer| transfer.position > from)
            .map(|transfer| (transfer.position, *transfer))
            .collect(),
        seen: HashSet::new(),
        gaps: Vec::new(),
        doubled: Vec::new(),
        differing: Vec::new(),
    };
    let read = read(&audit.endpoint, from, until, |position, name, data| watch.event(position, name, data));
    if let Err(error) = read {
        watch.gaps.push(format!("the stream ends after {} of {until}: {error}", watch.last));
    }
    Ok(watch.checks(from))
}

/// Gives each event after `from` (its position, name and data) to `each`, until position `until`.
pub(crate) fn read(
    endpoint: &Endpoint,
    from: u64,
    until: u64,
    mut each: impl FnMut(u64, &str, &str),
) -> std::io::Result<()> {
    if from >= until {
        return Ok(());
    }
    let mut last = from;
    let mut stream = TcpStream::connect(endpoint.address)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut request = Vec::new();
    endpoint.get(&mut request, &format!("/v1/events?after={from}"));
    stream.write_all(&request)?;
    let mut lines = BufReader::with_capacity(1 << 20, Body::open(stream)?);
    let (mut line, mut name, mut data, mut position) = (String::new(), String::new(), String::new(), None);
    while last < until {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            if let Some(position) = position.take() {
                each(position, &name, &data);
                last = position;
            }
            data.clear();
        } else if let Some(value) = text.strip_prefix("id:") {
            position = value.trim().parse().ok();
        } else if let Some(value) = text.strip_prefix("event:") {
            name.clear();
            name.push_str(value.trim());
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

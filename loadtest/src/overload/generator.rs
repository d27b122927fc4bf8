//! An open-loop generator that stays cheap when most of what it sends is refused.
//!
//! Owns: one loop over many connections, each with one request in flight, and the arrivals, in ticks. Never waits for an
//! answer before the next arrival and never queues one: an arrival that finds no free connection is shed and counted.
//! Invariants: latency counts from the moment at which a request was meant to be sent, and each arrival of a stage is
//! counted once: as shed, or as sent and then, when its answer has come or the generator is drained, by its end.

#![expect(clippy::indexing_slicing, reason = "indices of this module's own lists, which only grow")]

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write as _};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Exp1;
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use super::probe::{Ended, Probe};
use super::record::{End, Second, Totals};
use crate::connection::{Connection, SCRATCH_BYTES};
use crate::operation::Ids;
use crate::wire::{Answer, Endpoint};

/// Arrivals and answers are looked after this often, all that are there at once. A generator that woke for each of them
/// would, at a higher priority on the server's own processors, break off the server's work as often; what it measures
/// is longer than the truth by as much, and what one look takes, at most.
const TICK: Duration = Duration::from_micros(200);
/// Time-outs and the turn of seconds are looked after this often.
const HOUSEKEEPING_EVERY: Duration = Duration::from_millis(10);
/// Longer than the server's longest wait before a refusal, and than any stall that a run may have and go on.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before a connection that broke is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(50);

/// A stretch of constant load.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) label: String,
    /// Arrivals a second; `None`: as soon as a connection is free.
    pub(crate) rate: Option<f64>,
    /// Connections in use.
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    /// Seconds at its start that are shown, but not in its totals.
    pub(crate) settle: f64,
}

struct Flight {
    id: Uuid,
    intended: Instant,
    sent: Instant,
    stage: usize,
    counted: bool,
}

struct Line {
    connection: Option<Connection>,
    flight: Option<Flight>,
    reopen_at: Instant,
}

/// See the module.
pub(crate) struct Generator {
    endpoint: Endpoint,
    accounts: u32,
    poll: Poll,
    lines: Vec<Line>,
    free: VecDeque<usize>,
    probe: Probe,
    last_posted: Option<Uuid>,
    rng: SmallRng,
    ids: Ids,
    body: Vec<u8>,
    request: Vec<u8>,
    scratch: Vec<u8>,
    stage: usize,
    counts_from: Instant,
    counts_until: Instant,
    second: Second,
    second_ends: Instant,
    pub(crate) seconds: Vec<Second>,
    pub(crate) stages: Vec<Totals>,
    /// Of all that was sent: posted, and perhaps posted (no answer, or one that says so).
    pub(crate) posted: u64,
    pub(crate) unknown: u64,
    pub(crate) examples: Vec<String>,
}

impl Generator {
    const EXAMPLES_MAX: usize = 10;

    pub(crate) fn new(endpoint: &Endpoint, connections: usize, accounts: u32, seed: u64) -> io::Result<Self> {
        let poll = Poll::new()?;
        let now = Instant::now();
        let line = |token| {
            let connection = Connection::open(endpoint, poll.registry(), Token(token))?;
            Ok::<_, io::Error>(Line { connection: Some(connection), flight: None, reopen_at: now })
        };
        let lines = (0..connections).map(line).collect::<io::Result<Vec<_>>>()?;
        let probe = Probe::new(endpoint, poll.registry(), Token(connections), now)?;
        Ok(Self {
            endpoint: endpoint.clone(),
            accounts,
            poll,
            lines,
            free: VecDeque::new(),
            probe,
            last_posted: None,
            rng: SmallRng::seed_from_u64(seed),
            ids: Ids::new(),
            body: Vec::new(),
            request: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
            stage: 0,
            counts_from: now,
            counts_until: now,
            second: Second::new(0),
            second_ends: now + Duration::from_secs(1),
            seconds: Vec::new(),
            stages: Vec::new(),
            posted: 0,
            unknown: 0,
            examples: Vec::new(),
        })
    }

    /// Offers one stage's load; its totals are the last of `stages`, complete but for what is still in flight (`drain`).
    pub(crate) fn run(&mut self, stage: &Stage) -> io::Result<()> {
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(stage.seconds);
        self.stage = self.stages.len();
        self.stages.push(Totals::new());
        self.counts_from = start + Duration::from_secs_f64(stage.settle);
        self.counts_until = end;
        self.second = Second::new(self.stage);
        self.second_ends = start + Duration::from_secs(1);
        self.free =
            (0..stage.connections.min(self.lines.len())).filter(|&index| self.is_free(index)).collect();
        let mut cpu_before = None;
        let mut next = start + self.gap(stage.rate);
        let mut housekeeping_at = start;
        let mut events = self.events();
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            if cpu_before.is_none() && now >= self.counts_from {
                cpu_before = Some(thread_seconds());
            }
            self.take_answers(&mut events, stage)?;
            self.send_due(stage, &mut next, now);
            if now >= housekeeping_at {
                self.keep_house(stage, now);
                housekeeping_at = now + HOUSEKEEPING_EVERY;
            }
            sleep((now + TICK).saturating_duration_since(Instant::now()));
        }
        // What was due since the last look.
        self.send_due(stage, &mut next, end);
        let totals = &mut self.stages[self.stage];
        totals.seconds = (stage.seconds - stage.settle).max(0.0);
        totals.generator_seconds = cpu_before.map_or(0.0, |before| thread_seconds() - before);
        self.turn_second();
        Ok(())
    }

    /// Waits for the last answers; what has none by then is lost.
    pub(crate) fn drain(&mut self, within: Duration) -> io::Result<()> {
        let until = Instant::now() + within;
        let mut events = self.events();
        let nothing =
            Stage { label: String::new(), rate: Some(0.0), connections: 0, seconds: 0.0, settle: 0.0 };
        let waits = |generator: &Self| {
            generator.probe.is_asked() || generator.lines.iter().any(|line| line.flight.is_some())
        };
        while waits(self) && Instant::now() < until {
            self.take_answers(&mut events, &nothing)?;
            sleep(TICK);
        }
        let now = Instant::now();
        for index in 0..self.lines.len() {
            if self.lines[index].flight.is_some() {
                self.broke(index, now);
            }
        }
        if let Some(ended) = self.probe.fail(now) {
            self.probed(&ended);
        }
        Ok(())
    }

    /// Room for an event of each connection and of the probe.
    fn events(&self) -> Events {
        Events::with_capacity(self.lines.len() + 1)
    }

    fn is_free(&self, index: usize) -> bool {
        self.lines.get(index).is_some_and(|line| line.flight.is_none() && line.connection.is_some())
    }

    fn gap(&mut self, rate: Option<f64>) -> Duration {
        let Some(rate) = rate else { return Duration::ZERO };
        let unit: f64 = self.rng.sample(Exp1);
        Duration::from_secs_f64(unit / rate.max(1e-3))
    }

    /// Sends what is due; what finds no free connection is shed.
    fn send_due(&mut self, stage: &Stage, next: &mut Instant, now: Instant) {
        while *next <= now {
            let intended = if stage.rate.is_some() { *next } else { now };
            *next = intended + self.gap(stage.rate);
            match self.free.pop_front() {
                Some(index) => {
                    self.offered(intended);
                    self.send(index, intended);
                }
                // A closed loop's next request comes after an answer.
                None if stage.rate.is_none() => return,
                None => {
                    self.offered(intended);
                    self.shed(intended, now);
                }
            }
        }
    }

    fn offered(&mut self, intended: Instant) {
        self.second.offered += 1;
        if intended >= self.counts_from {
            self.stages[self.stage].offered += 1;
        }
    }

    fn shed(&mut self, intended: Instant, now: Instant) {
        self.second.shed += 1;
        if intended >= self.counts_from {
            let totals = &mut self.stages[self.stage];
            totals.shed += 1;
            totals.lateness.record(now.saturating_duration_since(intended));
        }
    }

    fn send(&mut self, index: usize, intended: Instant) {
        let from = self.rng.random_range(0..self.accounts);
        let to = (from + self.rng.random_range(1..self.accounts)) % self.accounts;
        let id = self.ids.next();
        self.body.clear();
        // Writing to a Vec does not fail.
        let _infallible = write!(
            self.body,
            r#"{{"id":"{id}","operations":[{{"type":"transfer","debit":"load:{from}","credit":"load:{to}","amount":"0.01"}}]}}"#
        );
        self.request.clear();
        self.endpoint.post(&mut self.request, "/v1/transactions", &self.body);
        let sent = Instant::now();
        let counted = intended >= self.counts_from;
        if counted {
            self.stages[self.stage].lateness.record(sent.saturating_duration_since(intended));
        }
        let line = &mut self.lines[index];
        line.flight = Some(Flight { id, intended, sent, stage: self.stage, counted });
        if let Some(connection) = &mut line.connection
            && connection.send(&self.request).is_err()
        {
            self.broke(index, sent);
        }
    }

    /// Takes up all answers that are there.
    fn take_answers(&mut self, events: &mut Events, stage: &Stage) -> io::Result<()> {
        match self.poll.poll(events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in events.iter() {
            self.ready(event.token(), stage);
        }
        Ok(())
    }

    fn ready(&mut self, token: Token, stage: &Stage) {
        let Token(index) = token;
        // The probe's token lies behind the last line.
        let Some(line) = self.lines.get_mut(index) else {
            if let Some(ended) = self.probe.ready(&mut self.scratch) {
                self.probed(&ended);
            }
            return;
        };
        let Some(connection) = &mut line.connection else { return };
        let received = connection.flush().and_then(|()| connection.receive(&mut self.scratch));
        let now = Instant::now();
        match received {
            Ok(None) => {}
            Ok(Some(answer)) => {
                let Some(flight) = line.flight.take() else { return };
                let end = self.judge(&answer);
                if end == End::Accepted {
                    self.last_posted = Some(flight.id);
                }
                self.ended(&flight, end, now);
                if answer.closes {
                    self.reopen(index, now);
                }
                if index < stage.connections && self.is_free(index) {
                    self.free.push_back(index);
                }
            }
            Err(_) => self.broke(index, now),
        }
    }

    fn judge(&mut self, answer: &Answer) -> End {
        match (answer.status, answer.retry_after) {
            (201, _) => {
                self.posted += 1;
                End::Accepted
            }
            (503, Some(after)) if !answer.may_have_taken_effect() => End::Refused(after),
            _ => {
                if answer.may_have_taken_effect() {
                    self.unknown += 1;
                }
                if self.examples.len() < Self::EXAMPLES_MAX {
                    self.examples.push(answer.excerpt());
                }
                End::Unexpected
            }
        }
    }

    fn ended(&mut self, flight: &Flight, end: End, now: Instant) {
        let latency = now.saturating_duration_since(flight.intended);
        self.second.ended(flight.stage, end, latency);
        if (self.counts_from..self.counts_until).contains(&now) && end == End::Accepted {
            self.stages[self.stage].posted += 1;
        }
        if flight.counted {
            self.stages[flight.stage].ended(end, latency);
        }
    }

    /// A connection broke: what was in flight on it may have been posted.
    fn broke(&mut self, index: usize, now: Instant) {
        let line = &mut self.lines[index];
        line.connection = None;
        line.reopen_at = now + REOPEN_AFTER;
        if let Some(flight) = line.flight.take() {
            self.unknown += 1;
            self.ended(&flight, End::Lost, now);
        }
        self.free.retain(|&other| other != index);
    }

    fn reopen(&mut self, index: usize, now: Instant) {
        let line = &mut self.lines[index];
        line.connection = None;
        match Connection::open(&self.endpoint, self.poll.registry(), Token(index)) {
            Ok(connection) => line.connection = Some(connection),
            Err(_) => line.reopen_at = now + REOPEN_AFTER,
        }
    }

    fn keep_house(&mut self, stage: &Stage, now: Instant) {
        for index in 0..self.lines.len() {
            let line = &self.lines[index];
            let late = |flight: &Flight| now.saturating_duration_since(flight.sent) > TIMEOUT;
            if line.flight.as_ref().is_some_and(late) {
                self.broke(index, now);
            } else if line.connection.is_none() && now >= line.reopen_at {
                self.reopen(index, now);
                if index < stage.connections && self.is_free(index) {
                    self.free.push_back(index);
                }
            }
        }
        if now >= self.second_ends {
            self.turn_second();
        }
        let registry = self.poll.registry();
        if let Some(ended) = self.probe.ask(&self.endpoint, registry, self.last_posted, self.stage, now) {
            self.probed(&ended);
        }
    }

    fn probed(&mut self, ended: &Ended) {
        let totals = &mut self.stages[ended.stage];
        match ended.latency {
            Some(latency) => {
                totals.probe_latency.record(latency);
                for latency in ended.omitted() {
                    totals.probe_latency.record(latency);
                }
            }
            None => totals.probes_failed += 1,
        }
    }

    fn turn_second(&mut self) {
        let second = std::mem::replace(&mut self.second, Second::new(self.stage));
        self.second_ends += Duration::from_secs(1);
        self.seconds.push(second);
    }
}

/// Processor time of this thread.
fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests;

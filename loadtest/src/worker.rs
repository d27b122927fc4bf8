//! One thread of the open-model generator.
//!
//! Owns: a part of the arrivals, its connections, its book and its recorder; one poll loop sends and receives. Never
//! waits for an answer before it sends what is due, and never blocks but in its poll. Invariant: each arrival is sent
//! at its moment, or counted as dropped. What users do sets the rate; channels' notifications and payment tokens come on
//! top of it.

mod ended;
mod flight;
mod pool;
mod start;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::iter::Peekable;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use slab::Slab;

use crate::arrivals::Arrivals;
use crate::book::Book;
use crate::builds::Builds;
use crate::operation::Operation;
use crate::phases::PhaseName;
use crate::priority;
use crate::recorder::{End, Recorder, Second, Totals};
use crate::retry::{Retries, STATUS_QUERY_EVERY, Style, TIMEOUT};
use crate::timer::Timer;
use crate::wire::Endpoint;
use flight::{Attempt, Flight, FlightKey, Role};
use pool::{Pool, Ticket};

/// Answers in a row before what is due is sent.
const EVENTS_MAX: usize = 64;
/// Time-outs, repairs and the turn of seconds are looked after this often.
const HOUSEKEEPING_EVERY: Duration = Duration::from_millis(10);
/// How long the loop waits for the last answers after the last arrival.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// What a worker needs.
pub(crate) struct Assignment {
    pub(crate) endpoint: Endpoint,
    pub(crate) arrivals: Arrivals,
    pub(crate) builds: Builds,
    pub(crate) book: Book,
    pub(crate) connections: usize,
    pub(crate) retry: Style,
    pub(crate) seed: u64,
    pub(crate) start: Instant,
    /// Receives each second of the run with its number, when it is over.
    pub(crate) seconds: Sender<(usize, Second)>,
}

/// What a worker has seen.
pub(crate) struct Findings {
    pub(crate) totals: Totals,
    pub(crate) book: Book,
    pub(crate) builds: Builds,
    /// Which place the kernel gave to the thread.
    pub(crate) scheduling: &'static str,
    /// Transactions whose outcome is not known.
    pub(crate) unsettled: Vec<Operation>,
    /// Copies of a transaction that were told different outcomes.
    pub(crate) disagreements: Vec<String>,
    /// Answers that the contract does not allow.
    pub(crate) unexpected: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Retry,
    AskStatus,
}

struct Worker {
    poll: Poll,
    timer: Timer,
    pool: Pool<Attempt>,
    endpoint: Endpoint,
    arrivals: Peekable<Arrivals>,
    builds: Builds,
    flights: Slab<Flight>,
    serial: u64,
    agenda: BinaryHeap<Reverse<(Instant, FlightKey, Action)>>,
    deadlines: VecDeque<(Instant, Ticket)>,
    retries: Retries,
    rng: SmallRng,
    start: Instant,
    /// Of the latest arrival.
    phase: PhaseName,
    second: usize,
    seconds: Sender<(usize, Second)>,
    recorder: Recorder,
    book: Book,
    unsettled: Vec<Operation>,
    disagreements: Vec<String>,
    unexpected: Vec<String>,
}

/// Runs the assignment to its end on this thread.
pub(crate) fn run(assignment: Assignment) -> io::Result<Findings> {
    let scheduling = priority::raise();
    let mut worker = Worker::new(assignment)?;
    worker.work()?;
    Ok(worker.findings(scheduling))
}

impl Worker {
    fn new(assignment: Assignment) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), Token(assignment.connections))?;
        let pool = Pool::open(assignment.endpoint.clone(), assignment.connections, poll.registry())?;
        Ok(Self {
            poll,
            timer,
            pool,
            endpoint: assignment.endpoint,
            arrivals: assignment.arrivals.peekable(),
            builds: assignment.builds,
            flights: Slab::new(),
            serial: 0,
            agenda: BinaryHeap::new(),
            deadlines: VecDeque::new(),
            retries: Retries::new(assignment.retry),
            rng: SmallRng::seed_from_u64(assignment.seed),
            start: assignment.start,
            phase: PhaseName::WarmUp,
            second: 0,
            seconds: assignment.seconds,
            recorder: Recorder::new(),
            book: assignment.book,
            unsettled: Vec::new(),
            disagreements: Vec::new(),
            unexpected: Vec::new(),
        })
    }

    fn work(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut housekeeping_at = self.start;
        let mut drained_by = None;
        loop {
            self.send_due();
            let now = Instant::now();
            self.run_agenda(now);
            if now >= housekeeping_at {
                self.keep_house(now);
                housekeeping_at = now + HOUSEKEEPING_EVERY;
            }
            if self.arrivals.peek().is_none() {
                let drained_by = *drained_by.get_or_insert(now + DRAIN_MAX);
                if self.flights.is_empty() || now >= drained_by {
                    return Ok(());
                }
            } else {
                self.send_notifications(now);
            }
            self.wait(&mut events, housekeeping_at)?;
            for event in &events {
                let now = Instant::now();
                if let Some((attempt, answer)) = self.pool.ready(event.token(), self.poll.registry(), now) {
                    self.attempt_ended(attempt, answer.as_ref(), now);
                }
            }
        }
    }

    /// Sleeps until something is due or an answer is there.
    fn wait(&mut self, events: &mut Events, housekeeping_at: Instant) -> io::Result<()> {
        let next_arrival = self.arrivals.peek().map(|arrival| self.start + arrival.after);
        let next_action = self.agenda.peek().map(|Reverse((due, _, _))| *due);
        // Without a connection a channel waits; what is left after the last arrival is the audit's.
        let channel = self.book.next_due().filter(|_| next_arrival.is_some() && self.pool.has_idle());
        let due =
            [next_arrival, next_action, channel].into_iter().flatten().fold(housekeeping_at, Instant::min);
        let now = Instant::now();
        let timeout = if due > now {
            self.timer.set(due, now)?;
            None
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    fn flight(&mut self, key: FlightKey) -> Option<&mut Flight> {
        self.flights.get_mut(key.slot).filter(|flight| flight.serial == key.serial)
    }

    fn send_try(&mut self, key: FlightKey, now: Instant) {
        if let Some(flight) = self.flight(key) {
            flight.tries += 1;
            flight.planned = false;
        }
        self.send_copy(key, now);
    }

    fn send_copy(&mut self, key: FlightKey, now: Instant) {
        let Some(flight) = self.flights.get_mut(key.slot) else {
            return;
        };
        let attempt = Attempt { flight: key, role: Role::Try };
        if let Some(ticket) = self.pool.send(attempt, &flight.operation.request) {
            flight.waiting += 1;
            self.deadlines.push_back((now + TIMEOUT, ticket));
        }
    }

    fn run_agenda(&mut self, now: Instant) {
        while let Some(Reverse((due, key, action))) = self.agenda.peek().copied() {
            if due > now {
                return;
            }
            self.agenda.pop();
            let Some(flight) = self.flight(key).filter(|flight| !flight.ended) else {
                continue;
            };
            let id = flight.operation.id;
            if !self.pool.has_idle() {
                let later = now + Duration::from_millis(1);
                self.agenda.push(Reverse((later, key, action)));
                return;
            }
            match (action, id) {
                (Action::Retry, _) => {
                    self.recorder.totals.retries += 1;
                    self.send_try(key, now);
                }
                (Action::AskStatus, Some(id)) => {
                    let mut request = Vec::new();
                    self.endpoint.get(&mut request, &format!("/v1/payments/{id}"));
                    let attempt = Attempt { flight: key, role: Role::StatusQuery };
                    if let Some(ticket) = self.pool.send(attempt, &request) {
                        self.deadlines.push_back((now + TIMEOUT, ticket));
                    }
                    self.recorder.totals.status_queries += 1;
                    self.agenda.push(Reverse((now + STATUS_QUERY_EVERY, key, action)));
                }
                (Action::AskStatus, None) => {}
            }
        }
    }

    fn keep_house(&mut self, now: Instant) {
        self.pool.repair(self.poll.registry(), now);
        while let Some((_, ticket)) = self.deadlines.pop_front_if(|(deadline, _)| *deadline <= now) {
            if let Some(attempt) = self.pool.expire(ticket, self.poll.registry()) {
                self.recorder.timed_out();
                self.attempt_ended(attempt, None, now);
            }
        }
        while now.saturating_duration_since(self.start).as_secs() > self.second as u64 {
            self.turn_second();
        }
    }

    fn turn_second(&mut self) {
        let second = self.recorder.turn();
        // Nobody listens any more if the run was stopped.
        self.seconds.send((self.second, second)).ok();
        self.second += 1;
    }

    fn findings(mut self, scheduling: &'static str) -> Findings {
        let now = Instant::now();
        for mut flight in std::mem::take(&mut self.flights) {
            if !flight.1.ended {
                self.not_asked(&flight.1, End::Unanswered, now);
                let latency = now.saturating_duration_since(flight.1.intended);
                self.recorder.ended(flight.1.operation.kind, flight.1.phase, End::Unanswered, latency);
            }
            if flight.1.outcome.is_none() {
                flight.1.unknown = true;
                self.set_aside(flight.1, now);
            }
        }
        self.turn_second();
        Findings {
            totals: self.recorder.totals,
            book: self.book,
            builds: self.builds,
            scheduling,
            unsettled: self.unsettled,
            disagreements: self.disagreements,
            unexpected: self.unexpected,
        }
    }
}

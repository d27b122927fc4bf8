//! A run from the first process to the last audit.
//!
//! Owns the scheduler, the simulated clock, and what survives a process. Invariant: at most one thing happens at a
//! time, and chance chooses it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Options, Report, STEP,
    audit::Auditor,
    clients::{Call, Clients},
    faults::{Faults, INDEX_STALLS, JOURNAL_STALLS, SEALER_STALLS, aborted},
    random::Random,
    verbs::Verbs,
    workload::Workload,
    world::{Remains, World},
};
use crate::{
    config::{Config, JournalRetention},
    index::IndexOptions,
    journal::{
        Head,
        faulty::{Fault, FaultyJournal},
    },
    model::{Position, Timestamp, Transaction},
};

/// 618's eve in Shanghai, a minute before midnight.
const START: Timestamp = Timestamp(1_750_175_940_000_000_000);
pub(super) const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

pub(super) struct Life {
    pub(super) random: Random,
    pub(super) now: Timestamp,
    pub(super) auditor: Auditor,
    pub(super) clients: Clients,
    pub(super) workload: Workload,
    verbs: Verbs,
    pub(super) report: Report,
    pub(super) config: Config,
    pub(super) index_options: IndexOptions,
    /// Chance for the retainer: a journal that is kept for ever must run as if there were none.
    pub(super) retained: Random,
    pub(super) faults: Faults,
    /// The last event that a client has read.
    pub(super) events_read: Position,
    /// What the last process would have signed at its end.
    pub(super) signed: Head,
    steps: u64,
    /// Records that the workload knows.
    learned: usize,
    pace: Pace,
}

/// How often things happen in this run.
struct Pace {
    crash: usize,
    fault: usize,
    change: usize,
    calls_max: usize,
    weights: [usize; 14],
}

impl Life {
    /// Times that a transaction is sent again to a quiet engine before it counts as stuck.
    const ROUNDS_MAX: usize = 20;

    pub(super) fn new(options: &Options) -> Self {
        let mut random = Random::new(options.seed);
        let mut config = Config::new(&options.directory);
        config.mailbox_commands_max = *random.pick(&[2, 8, 64]);
        config.recharge_commands_max = config.mailbox_commands_max;
        config.batch_commands_max = config.mailbox_commands_max;
        config.parked_commands_max = *random.pick(&[1, 4, 64]);
        config.in_flight_commands_max = *random.pick(&[6, 20, 64]);
        // From a chance of its own: the others stay as they were.
        config.account_commands_max = *Random::new(options.seed.rotate_left(32)).pick(&[3, 16, 64]);
        config.index_lag_records_max = *random.pick(&[20, 100, 1_000]);
        config.page_rows_max = 100_000;
        let index_options = IndexOptions {
            segment_records_max: *random.pick(&[4, 20, 60, 300]),
            block_cache_bytes: 1 << 20,
            write_buffer_bytes: 1 << 20,
            in_memory: options.in_memory,
            ..IndexOptions::default()
        };
        let mut weights = [0; 14];
        weights.fill_with(|| *random.pick(&[2, 10, 10, 10, 30]));
        let pace = Pace {
            crash: *random.pick(&[200, 1_000, 4_000]),
            fault: *random.pick(&[30, 100, 400]),
            change: *random.pick(&[20, 100]),
            calls_max: *random.pick(&[3, 12, 40]),
            weights,
        };
        let workload = Workload::new(&mut random);
        let mut retained = Random::new(!options.seed);
        let (forever, records) = (JournalRetention::Forever, JournalRetention::Records);
        config.journal_retention = *retained.pick(&[forever, records(0), records(10), records(200)]);
        Self {
            random,
            retained,
            now: START,
            auditor: Auditor::new(options.verbose),
            clients: Clients::default(),
            workload,
            verbs: Verbs::new(options.seed),
            report: Report::default(),
            config,
            index_options,
            faults: Faults::new(&options.without),
            events_read: Position::ZERO,
            signed: Head::default(),
            steps: options.steps,
            learned: 0,
            pace,
        }
    }

    pub(super) fn run(mut self) -> Report {
        let image = FaultyJournal::new().crash();
        let mut world = self.start(Remains { image, failed: None });
        self.open_accounts(&mut world);
        while self.report.steps < self.steps {
            self.report.steps += 1;
            STEP.set(self.report.steps);
            self.auditor.step += 1;
            self.disturb(&world);
            // A crash in the middle of something is worth more than one at rest.
            let odds = if world.is_midway() { self.pace.crash / 4 } else { self.pace.crash };
            if self.random.once_in(odds) {
                world = self.crash(world);
            } else if self.random.once_in(1_000) {
                self.settle(&mut world);
                self.audit_quiet(&world);
            } else if !self.survives_step(&mut world) {
                world = self.crash(world);
            }
            for entry in &self.auditor.journal[self.learned..] {
                self.workload.learn(&entry.record);
            }
            self.learned = self.auditor.journal.len();
            self.auditor.published(&world.shared.directory);
            if self.report.steps.is_multiple_of(4) {
                self.auditor.limits_shown(&world.shared.directory, self.now);
            }
            let in_flight = world.shared.counters.in_flight();
            assert!(in_flight <= self.config.in_flight_commands_max, "{in_flight} commands are in flight");
            if world.is_parked() {
                self.auditor.coverage.hit("parked");
            }
        }
        self.finish(world)
    }

    /// One step of the process; `false` if it met an error of its disk and ended.
    fn survives_step(&mut self, world: &mut World) -> bool {
        let step = AssertUnwindSafe(|| self.retain(world) && self.step(world));
        catch_unwind(step).unwrap_or_else(|payload| {
            aborted(payload);
            self.met_index_fault();
            false
        })
    }

    /// In most runs all accounts are there before anything else; in the others what names late ones is refused.
    fn open_accounts(&mut self, world: &mut World) {
        let late = self.random.once_in(4);
        let mut openings = self.workload.accounts.clone();
        while !openings.is_empty() {
            openings.retain(|it| !self.auditor.names.accounts.contains_key(&it.address));
            for opening in openings.iter().take(self.config.in_flight_commands_max) {
                if !late || !self.random.once_in(4) {
                    self.clients.call(Call::Open(opening.clone()), &world.front, &mut self.auditor);
                }
            }
            if late {
                return;
            }
            self.settle(world);
        }
    }

    /// One step of somebody; `false` if the journal has failed.
    fn step(&mut self, world: &mut World) -> bool {
        loop {
            let shard = self.random.below(world.stations.len());
            let auditor = &mut self.auditor;
            let done = match self.random.weighted(&self.pace.weights) {
                0 => self.call(world),
                1 => self.clients.poll(&mut self.random, &world.front, auditor),
                2 => world.take_command(shard, self.now, auditor),
                3 => world.take_control(shard, self.now, auditor),
                4 => world.flush(shard, auditor),
                5 => world.send(shard),
                6 => {
                    let faulty = world.can_commit() && self.random.once_in(self.pace.fault);
                    let fault = if faulty { self.append_fault() } else { None };
                    let most = 1 + self.random.below(4);
                    if self.faults.is_slow(JOURNAL_STALLS) {
                        continue;
                    }
                    match world.commit(most, fault.map(|it| it.0), self.now, &mut self.auditor) {
                        Ok(done) => done,
                        Err(_) => {
                            let (_, kind) = fault.expect("an append fails if it must");
                            self.auditor.coverage.fault(kind);
                            return false;
                        }
                    }
                }
                7 => world.notify(),
                8 => !self.faults.is_slow(INDEX_STALLS) && world.follow(),
                9 if self.faults.is_slow(SEALER_STALLS) => false,
                9 => world.seal(auditor) || world.notify_sealed(),
                10 => world.notify_sealed(),
                11 => world.tick(shard, self.now, auditor),
                12 => self.pass_time(),
                _ => self.read_events(world),
            };
            if done {
                return true;
            }
        }
    }

    pub(super) fn append_fault(&mut self) -> Option<(Fault, &'static str)> {
        self.faults.of_append(&mut self.random)
    }

    fn call(&mut self, world: &World) -> bool {
        if self.clients.waiting() >= self.pace.calls_max {
            return self.random.once_in(50) && self.clients.leave(&mut self.random, &mut self.auditor);
        }
        let call = match self.random.below(100) {
            0..6 => {
                let count = 1 + self.random.below(6);
                Call::Batch((0..count).map(|_| self.transaction(world)).collect())
            }
            6..10 => Call::Open(self.workload.opening(&mut self.random)),
            10..16 => match self.workload.sent.len() {
                0 => return false,
                _ => {
                    let own = self.random.pick(&self.workload.sent).id;
                    Call::Read(self.verbs.alias().unwrap_or(own))
                }
            },
            16..26 if self.random.once_in(self.pace.change) => {
                let (address, change) = self.workload.change(&mut self.random);
                Call::Change(address, change)
            }
            26..32 => match self.clients.unsettled.values().next().cloned() {
                Some(transaction) => Call::Submit(transaction),
                None => return false,
            },
            _ => Call::Submit(self.transaction(world)),
        };
        self.clients.now = Some(self.now);
        self.clients.call(call, &world.front, &mut self.auditor);
        self.clients.now = None;
        true
    }

    /// The next transaction that somebody asks for: an ordinary one, or a verb's.
    fn transaction(&mut self, world: &World) -> Transaction {
        self.verbs.overtaken(std::mem::take(&mut self.clients.overtaken));
        if let Some(again) = self.verbs.again(&world.front) {
            return again;
        }
        let before = self.workload.sent.len();
        let mut transaction = self.workload.transaction(&mut self.random);
        let Workload { accounts, sent, .. } = &mut self.workload;
        match sent.split_at_mut_checked(before) {
            Some((earlier, [fresh])) => {
                self.verbs.attach(&world.front, accounts, earlier, fresh);
                transaction.clone_from(fresh);
            }
            Some(_) | None => self.verbs.alter(&world.front, accounts, &mut transaction),
        }
        transaction
    }

    pub(super) fn pass_time(&mut self) -> bool {
        let random = &mut self.random;
        let by = match random.weighted(&[60, 25, 8, 4, 1, 1]) {
            0 => random.between(1, 1_000_000),
            1 => random.between(1_000_000, SECOND),
            2 => random.between(SECOND, 1_000 * SECOND),
            3 => {
                self.auditor.coverage.hit("clock back");
                -random.between(1, 5 * SECOND)
            }
            4 => random.between(3_600 * SECOND, 3 * DAY),
            _ => {
                // Around the next midnight of Shanghai.
                self.auditor.coverage.hit("midnight");
                let since = (self.now.0 + 8 * 3_600 * SECOND).rem_euclid(DAY);
                DAY - since + random.between(-2, 2)
            }
        };
        self.set_now(self.now.plus_nanos(by));
        true
    }

    /// Sets the clock.
    pub(super) fn set_now(&mut self, now: Timestamp) {
        self.now = now;
        self.clients.time_is(now);
    }

    /// Everything that was asked gets its answer; then the last audit.
    fn finish(mut self, mut world: World) -> Report {
        let (mut left, mut rounds) = (usize::MAX, 0);
        loop {
            self.settle(&mut world);
            let again: Vec<_> = self.clients.unsettled.values().take(2).cloned().collect();
            if again.is_empty() {
                break;
            }
            rounds = if self.clients.unsettled.len() < left { 0 } else { rounds + 1 };
            left = self.clients.unsettled.len();
            assert!(rounds < Self::ROUNDS_MAX, "{left} transactions are never settled: {again:?}");
            for transaction in again {
                self.clients.call(Call::Submit(transaction), &world.front, &mut self.auditor);
            }
        }
        self.audit_quiet(&world);
        world = self.crash(world);
        // Once more, all of them: each id has its outcome for ever.
        for transaction in self.workload.sent.clone() {
            self.auditor.step += 1;
            self.clients.call(Call::Submit(transaction), &world.front, &mut self.auditor);
            self.settle(&mut world);
        }
        self.audit_quiet(&world);
        self.report.submitted = self.clients.submitted;
        self.report.records = self.auditor.end().0;
        self.report.faults = self.auditor.coverage.faults();
        self.report.coverage = std::mem::take(&mut self.auditor.coverage);
        drop(Arc::clone(&world.front));
        self.report
    }
}

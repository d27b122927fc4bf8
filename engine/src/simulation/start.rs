//! From one process to the next: a crash, what may happen to a directory meanwhile, and starts until one takes traffic.
//!
//! Owns what a crash leaves. Never repairs anything. Invariant: a start that a fault ended is followed by another one on the
//! same disk.

use std::path::Path;

use super::{
    audit::{Auditor, Decided},
    faults::is_injected,
    folder,
    life::{Life, SECOND},
    retained::is_too_old,
    world::{Remains, World},
};
use crate::{
    index::memory,
    journal::{
        Head, Journal, JournalOptions,
        faulty::{DurableImage, FaultyJournal},
    },
    model::Position,
    recovery::{self, Assembled},
    threads::Shared,
};

impl Life {
    /// The process ends here and now, and another one starts on what is left.
    pub(super) fn crash(&mut self, mut world: World) -> World {
        self.auditor.tell(|| "crash".into());
        self.report.crashes += 1;
        world.note_crash(&mut self.auditor);
        self.signed = world.shared.state.synced_head.load();
        self.clients.cut(&mut self.auditor);
        let remains = world.crash();
        if let Some(disk) = memory::disk(&self.config.data.join("index")) {
            // What was staged may have been flushed by the store itself.
            if self.random.once_in(2) { disk.lose_staged() } else { disk.keep_staged() }
        }
        self.start(remains)
    }

    /// Starts a process; again, if it dies before it takes traffic.
    pub(super) fn start(&mut self, mut remains: Remains) -> World {
        loop {
            self.report.processes += 1;
            self.heal();
            self.auditor.step += 1;
            self.damage(&remains.image);
            self.refuse_trimmed(&remains.image);
            self.disturb_index(&remains.image);
            if self.random.once_in(8) {
                let by = self.random.between(1, 3_600 * SECOND);
                self.set_now(self.now.plus_nanos(-by));
            } else if let Some((due, _)) = self.auditor.model.live.first()
                && self.random.once_in(4)
            {
                let after = due.plus_nanos(self.random.between(0, SECOND));
                self.set_now(self.now.max(after));
            } else {
                self.pass_time();
            }
            let shards = u16::try_from(1 + self.random.below(4)).unwrap_or(1);
            if std::mem::replace(&mut self.config.shards, shards) != shards {
                self.auditor.coverage.hit("shards changed");
            }
            let Some((shared, mut assembled)) = self.open(&mut remains) else {
                self.auditor.coverage.hit("crash: in the replay of a start");
                self.report.crashes += 1;
                continue;
            };
            self.auditor.restart(self.config.shards);
            let expiry = self.auditor.model.live.first().is_some_and(|(due, _)| *due <= self.now);
            let fault = if expiry && self.random.once_in(4) { self.append_fault() } else { None };
            if let Some((fault, _)) = fault {
                assembled.committer.journal().fail_next(fault);
            }
            let settled = recovery::settle_overdue(&shared, &mut assembled, self.now);
            let crashes = self.random.once_in(20);
            if settled.is_err() || crashes {
                if settled.is_err() {
                    let (_, kind) = fault.expect("the expiry of a start fails if it must");
                    self.auditor.coverage.fault(kind);
                    self.auditor.coverage.hit("crash: in the expiry of a start");
                } else {
                    self.auditor.coverage.hit("crash: replayed only");
                }
                self.report.crashes += 1;
                self.signed = shared.state.synced_head.load();
                remains = Remains { image: assembled.committer.into_journal().crash(), failed: None };
                continue;
            }
            absorb(&mut self.auditor, assembled.committer.journal(), None);
            let segment = self.index_options.segment_records_max;
            // One that met no expiry never was.
            assembled.committer.journal().forget_fault();
            let world = World::new(&self.config, segment, shared, assembled);
            self.auditor.restart(self.config.shards);
            self.audit_ids(&world);
            self.auditor.audit_cells(&world);
            if !self.auditor.model.cells.is_empty() {
                self.auditor.coverage.hit("cells after a start");
            }
            let overdue = self.auditor.model.live.first().is_some_and(|(due, _)| *due <= self.now);
            assert!(!overdue, "no command is taken before the holds that ran out have expired");
            if expiry {
                self.auditor.coverage.hit("expired at a start");
            }
            return world;
        }
    }

    /// Recovers from the disk; `None` if a fault of it ended the process.
    fn open(&mut self, remains: &mut Remains) -> Option<(Shared, Assembled<FaultyJournal>)> {
        const STALE: &str = "refused: a stale read";
        let stale = if self.random.once_in(20) { 1 + self.random.below(3) } else { 0 };
        let stale = if self.faults.allows(STALE) { stale } else { 0 };
        if self.random.once_in(25)
            && let Some((fault, kind)) = self.faults.of_index(&mut self.random)
            && let Some(disk) = memory::disk(&self.config.data.join("index"))
        {
            disk.fail_next(fault);
            self.faults.index = Some(kind);
        }
        // The whole chain, or from the last sealed checkpoint.
        let options = JournalOptions {
            full_check_bytes_max: *self.random.pick(&[0, u64::MAX]),
            ..JournalOptions::default()
        };
        let (image, mut unread) = (remains.image.clone(), false);
        let opened = recovery::open(&self.config, &self.index_options, |index| {
            let mut journal = FaultyJournal::reopen_with(image, &options, index)?;
            absorb(&mut self.auditor, &journal, remains.failed.take());
            unread = stale > 0 && index.position < journal.head().position;
            journal.stale_reads(stale);
            Ok(journal)
        });
        match opened {
            Ok((shared, mut assembled)) => {
                assert!(!unread, "a journal whose end can't be read is opened");
                assembled.committer.journal().stale_reads(0);
                check_signed(self.signed, assembled.committer.journal());
                self.heal();
                Some((shared, assembled))
            }
            Err(error) if is_injected(&error.to_string()) => {
                self.met_index_fault();
                None
            }
            Err(_) if unread => {
                self.heal();
                self.auditor.coverage.fault(STALE);
                None
            }
            Err(error) => {
                let files = folder::file_names(&self.config.data.join("index"));
                panic!("a sound directory is refused: {error}; the index's folder has {files:?}")
            }
        }
    }

    /// What a trimmed journal would not start with is not done to the index.
    fn disturb_index(&mut self, image: &DurableImage) {
        let Self { config, index_options, random, .. } = self;
        let is_needed = |older: Option<&Path>| match older {
            None => image.base().is_some(),
            Some(older) => is_too_old(older, index_options, image),
        };
        let hit = folder::disturb_index(&config.data, index_options.in_memory, random, is_needed);
        if let Some(hit) = hit {
            self.auditor.coverage.hit(hit);
        }
    }
}

/// Whatever a crash left, the journal ends a group where an earlier process has said that it is on disk.
fn check_signed(signed: Head, journal: &FaultyJournal) {
    let base = journal.base().map_or(Head::default(), |base| base.head);
    if signed.position <= base.position {
        assert!(signed.position < base.position || signed.hash == base.hash, "a signed head was rewritten");
        return;
    }
    let mut found = None;
    let read = journal.read(Position(signed.position.0 - 1), &mut |group| {
        found.get_or_insert(group.head());
        Ok(())
    });
    read.expect("a journal that was opened can be read");
    assert_eq!(found, Some(signed), "a signed head is gone");
}

/// Audits what the journal has beyond what the auditor knows.
fn absorb(auditor: &mut Auditor, journal: &FaultyJournal, mut failed: Option<Vec<Decided>>) {
    let known = auditor.end();
    assert!(journal.head().position >= known, "an acknowledged record is lost");
    let mut groups = Vec::new();
    let read = journal.read(known, &mut |group| {
        groups.push(group);
        Ok(())
    });
    read.expect("a journal that was opened can be read");
    for group in groups.iter().filter(|group| group.first > known) {
        auditor.committed(group, failed.take());
    }
}

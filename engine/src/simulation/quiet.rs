//! What must hold when nothing is on its way.
//!
//! Owns the audit of a quiet engine: nothing is left over, and whatever can be asked is answered as the model says.

use futures_util::FutureExt;

use super::{audit::Auditor, life::Life, world::World};
use crate::{
    directory::{Directory, Found},
    index::{Direction, Point},
    journal::Record,
    model::{AccountNo, HoldEnd, NormalSide, Position, Timestamp, TransactionId},
    shard::ShardNo,
    view::HistoryQuery,
};

/// A posted change of an account.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) position: Position,
    pub(super) operation: u8,
    pub(super) credit: bool,
    pub(super) amount: u64,
    pub(super) balance: i128,
    pub(super) transaction: TransactionId,
}

impl Life {
    /// Lets everything that is on its way arrive.
    pub(super) fn settle(&mut self, world: &mut World) {
        let mut idle = 0;
        self.heal();
        self.hurry(world);
        // Somebody may wait for time to pass: a hold that expires waits for nobody, so two rounds are enough.
        while idle < 2 {
            let mut done = false;
            self.auditor.step += 1;
            while self.clients.poll(&mut self.random, &world.front, &mut self.auditor) {
                done = true;
            }
            for shard in 0..world.stations.len() {
                while world.take_control(shard, self.now, &mut self.auditor)
                    || world.take_command(shard, self.now, &mut self.auditor)
                {
                    done = true;
                }
                done |= world.tick(shard, self.now, &mut self.auditor);
                done |= world.flush(shard, &mut self.auditor);
                while world.send(shard) {
                    done = true;
                }
            }
            done |= world.commit(usize::MAX, None, self.now, &mut self.auditor).expect("no fault is planned");
            while world.notify() || world.follow() || world.seal(&mut self.auditor) || world.notify_sealed() {
                done = true;
            }
            idle = if done { 0 } else { idle + 1 };
        }
        assert_eq!(self.clients.waiting(), 0, "calls wait, and nothing is on its way");
    }

    /// To be called when all has settled.
    pub(super) fn audit_quiet(&mut self, world: &World) {
        self.auditor.coverage.hit("quiet");
        assert_eq!(world.leftover(), None, "something is left over");
        self.auditor.published(&world.shared.directory);
        let accounts: Vec<AccountNo> = self.auditor.model.accounts.keys().copied().collect();
        for no in accounts {
            self.audit_account(world, no);
            self.audit_history(world, no);
        }
        self.auditor.audit_cells(world);
        self.audit_ids(world);
        self.audit_holds(world);
        self.audit_totals(world);
    }

    fn audit_account(&self, world: &World, no: AccountNo) {
        let (auditor, model) = (&self.auditor, &self.auditor.model.accounts[&no]);
        let address = &auditor.names.addresses[&no];
        let view = world.front.account(address, self.now).expect("an open account");
        let found = (view.posted, view.available, view.status, view.floor, view.ceiling, view.position);
        let expected = (
            model.posted(),
            model.available(),
            model.status,
            model.floor,
            model.ceiling,
            auditor.changed[&no],
        );
        assert_eq!(found, expected, "{address}");
        let used = |amount: u128, count: u64| {
            (i128::try_from(amount).unwrap_or(-1), i64::try_from(count).unwrap_or(-1))
        };
        let found: Vec<_> =
            view.limits.iter().map(|it| (it.limit.clone(), used(it.used_amount, it.used_count))).collect();
        let expected: Vec<_> = model.limits.iter().map(|it| (it.limit.clone(), it.used(self.now))).collect();
        assert_eq!(found, expected, "limits of {address}");
    }

    fn audit_history(&mut self, world: &World, no: AccountNo) {
        let address = self.auditor.names.addresses[&no].clone();
        let rows = self.auditor.rows.get(&no).cloned().unwrap_or_default();
        let query = HistoryQuery { limit: usize::MAX, ..HistoryQuery::default() };
        let page = world
            .front
            .history(&address, query)
            .now_or_never()
            .expect("nothing to wait for")
            .expect("the index is there")
            .expect("an account");
        let found = page.items.iter().rev().map(|it| {
            let credit = it.direction == Direction::Credit;
            (it.position, it.operation, credit, it.amount.0, it.balance, it.transaction, it.at)
        });
        let expected = rows.iter().map(|it| {
            let at = self.auditor.entry(it.position).at;
            (it.position, it.operation, it.credit, it.amount, it.balance, it.transaction, at)
        });
        assert!(
            found.clone().eq(expected.clone()),
            "history of {address}: {:?}",
            found.zip(expected).find(|(a, b)| a != b)
        );
        for _ in 0..3 {
            let position = Position(self.random.next() % (self.auditor.end().0 + 1));
            let at = world
                .front
                .balance_at(&address, Point::Position(position))
                .now_or_never()
                .expect("nothing to wait for")
                .expect("the index is there");
            let last = rows.iter().rev().find(|row| row.position <= position);
            if let Some(row) = last {
                let found = at.map(|at| (at.posted, at.position));
                assert_eq!(found, Some((row.balance, row.position)), "{address} at {position}");
            } else {
                assert!(at.is_none_or(|at| at.posted == 0), "{address} at {position}");
            }
        }
    }

    /// Every id is found where the front looks for it: in the directory until it is sealed, then in the index.
    pub(super) fn audit_ids(&self, world: &World) {
        for (&id, known) in &self.auditor.ids {
            let found = match world.shared.directory.transactions.find(id) {
                Found::Known(position) => Some(position),
                Found::Absent => world.front.index.find_transaction(id).expect("the index is sound"),
                Found::InFlight(_) => continue,
            };
            assert_eq!(found, known.position, "where {id} is found; sealed {}", world.front.index.sealed());
        }
    }

    fn audit_holds(&mut self, world: &World) {
        let model = &self.auditor.model;
        let count = model.holds.len();
        let chosen: Vec<usize> = (0..count.min(20)).map(|_| self.random.below(count)).collect();
        for index in chosen {
            let (&id, hold) = model.holds.iter().nth(index).expect("below the count");
            let view = world.front.hold_view(id).now_or_never().expect("nothing to wait for");
            let view = view.expect("the index is there").expect("a hold");
            let found = (view.ended, view.amount.0, view.captured.0, view.expires_at);
            assert_eq!(found, (hold.ended, hold.amount, hold.captured, hold.expires_at), "hold {id}");
            assert!(hold.ended != Some(HoldEnd::Captured) || hold.captured <= hold.amount, "hold {id}");
        }
    }

    fn audit_totals(&self, world: &World) {
        let trial = world.follower.trial_balance();
        assert_eq!(trial.position, self.auditor.end(), "the index has followed");
        let assets: std::collections::BTreeSet<_> = trial.rows.iter().map(|row| row.asset.clone()).collect();
        for asset in assets {
            let rows = || trial.rows.iter().filter(|row| row.asset == asset);
            let debits: u128 = rows().map(|row| row.debits).sum();
            let credits: u128 = rows().map(|row| row.credits).sum();
            assert_eq!(debits, credits, "{asset}: debits and credits");
        }
        let sum: i128 = self.auditor.model.accounts.values().map(|account| account.net).sum();
        assert_eq!(sum, 0, "all accounts together");
        let moved: u128 = self.auditor.rows.values().flatten().map(|row| u128::from(row.amount)).sum();
        let told: u128 = trial.rows.iter().map(|row| row.debits + row.credits).sum();
        assert_eq!(moved, told, "the turnover");
    }
}

impl Auditor {
    /// What a record adds to the histories of its accounts.
    pub(super) fn add_rows(&mut self, record: &Record, position: Position) {
        let Record::Posted(posted) = record else { return };
        for (index, operation) in (0_u8..).zip(&posted.operations) {
            let Some(amount) = operation.kind.moved() else { continue };
            let (debit, credit) = operation.kind.accounts();
            for (no, is_credit) in [(debit, false), (credit, true)] {
                let grows = (self.model.accounts[&no].normal == NormalSide::Credit) == is_credit;
                let rows = self.rows.entry(no).or_default();
                let before = rows.last().map_or(0, |row| row.balance);
                let units = i128::from(amount.0);
                rows.push(Row {
                    position,
                    operation: index,
                    credit: is_credit,
                    amount: amount.0,
                    balance: before + if grows { units } else { -units },
                    transaction: posted.id,
                });
            }
        }
    }

    /// A shard that has nothing on its way shows what is used of each limit.
    pub(super) fn limits_shown(&self, directory: &Directory, now: Timestamp) {
        let idle = |shard: u16| self.dependencies.is_idle(ShardNo(shard));
        for (_, view) in (0..).zip(&self.views).filter(|(no, view)| view.is_idle(self.end()) && idle(*no)) {
            for (&no, account) in view.shadow.accounts.iter().filter(|(_, it)| !it.limits.is_empty()) {
                let (_, rules) = directory.entry(no).read();
                let found = rules.limits.iter().map(|state| state.used_at(now));
                let found = found.map(|(amount, count)| (amount as i128, count as i64));
                let expected = account.limits.iter().map(|limit| limit.used(now));
                assert!(
                    found.clone().eq(expected.clone()),
                    "limits of {} are shown as {:?}, and are {:?}",
                    self.names.addresses[&no],
                    found.collect::<Vec<_>>(),
                    expected.collect::<Vec<_>>()
                );
            }
        }
    }
}

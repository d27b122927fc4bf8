//! Who may use which of a shard's accounts: first come, first served, for commands whose guards live in several
//! shards.
//!
//! Owns the queues. Never decides. Invariant: a ticket waits only for tickets that were handed out before it, and a
//! command holds accounts only while it waits for a higher shard: so no circle of waiting can form.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::model::AccountNo;

/// A command's place in the queues of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// The queues of a shard. `Work` is what waits.
pub(crate) struct Reservations<Work> {
    /// By account: the tickets that want it, the holder first. No entry where nobody does.
    queues: FxHashMap<AccountNo, VecDeque<Ticket>>,
    tickets: FxHashMap<Ticket, Held<Work>>,
    last: u64,
    waiting: usize,
}

struct Held<Work> {
    accounts: SmallVec<[AccountNo; 2]>,
    /// `None` once it holds its accounts.
    work: Option<Work>,
}

impl<Work> Default for Reservations<Work> {
    fn default() -> Self {
        Self { queues: FxHashMap::default(), tickets: FxHashMap::default(), last: 0, waiting: 0 }
    }
}

#[cfg(feature = "simulation")]
impl<Work> std::fmt::Debug for Reservations<Work> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = (self.queues.len(), self.tickets.len(), self.waiting);
        write!(f, "{} accounts queued for, {} tickets, {} waiting", counts.0, counts.1, counts.2)
    }
}

impl<Work> Reservations<Work> {
    /// Whether nobody holds or awaits anything.
    #[cfg(feature = "simulation")]
    pub(crate) fn is_idle(&self) -> bool {
        self.queues.is_empty() && self.tickets.is_empty() && self.waiting == 0
    }

    /// Whether somebody holds or awaits one of the accounts.
    pub(crate) fn blocks(&self, accounts: &[AccountNo]) -> bool {
        !self.queues.is_empty() && accounts.iter().any(|account| self.queues.contains_key(account))
    }

    /// How many commands wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes the accounts, which nobody wants, until [`Reservations::release`].
    pub(crate) fn hold(&mut self, accounts: SmallVec<[AccountNo; 2]>) -> Ticket {
        assert!(!self.blocks(&accounts), "a reservation takes accounts that nobody wants");
        self.enter(accounts, None)
    }

    /// Queues behind whoever wants the accounts.
    pub(crate) fn wait(&mut self, accounts: SmallVec<[AccountNo; 2]>, work: Work) {
        self.waiting += 1;
        self.enter(accounts, Some(work));
    }

    fn enter(&mut self, mut accounts: SmallVec<[AccountNo; 2]>, work: Option<Work>) -> Ticket {
        accounts.sort_unstable();
        accounts.dedup();
        self.last += 1;
        let ticket = Ticket(self.last);
        for &account in &accounts {
            self.queues.entry(account).or_default().push_back(ticket);
        }
        self.tickets.insert(ticket, Held { accounts, work });
        ticket
    }

    /// Gives a ticket's accounts back. The tickets that may run now, in order of arrival, are put into `ready`; each
    /// of them holds its accounts until it is released in turn.
    ///
    /// # Panics
    /// On a ticket that was released before: a broken invariant.
    pub(crate) fn release(&mut self, ticket: Ticket, ready: &mut Vec<(Ticket, Work)>) {
        let held = self.tickets.remove(&ticket).expect("a ticket is released once");
        assert!(held.work.is_none(), "a ticket that waits is not released");
        let start = ready.len();
        for account in held.accounts {
            let queue = self.queues.get_mut(&account).expect("a ticket stands in its queues");
            assert_eq!(queue.pop_front(), Some(ticket), "a ticket holds its accounts");
            let Some(&next) = queue.front() else {
                self.queues.remove(&account);
                continue;
            };
            if self.is_first_everywhere(next)
                && let Some(work) = self.tickets.get_mut(&next).and_then(|held| held.work.take())
            {
                self.waiting -= 1;
                ready.push((next, work));
            }
        }
        if let Some(new) = ready.get_mut(start..) {
            new.sort_unstable_by_key(|(ticket, _)| *ticket);
        }
    }

    fn is_first_everywhere(&self, ticket: Ticket) -> bool {
        let Some(held) = self.tickets.get(&ticket) else { return false };
        held.accounts
            .iter()
            .all(|account| self.queues.get(account).and_then(VecDeque::front) == Some(&ticket))
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    const A: AccountNo = AccountNo(1);
    const B: AccountNo = AccountNo(2);

    #[test]
    fn serves_in_order_of_arrival() {
        let mut queues = Reservations::default();
        let first = queues.hold(smallvec![A]);
        queues.wait(smallvec![A, B], "second");
        assert!(queues.blocks(&[B]), "who arrives later queues behind the second one, also for B alone");
        queues.wait(smallvec![B], "third");
        let mut ready = Vec::new();
        queues.release(first, &mut ready);
        let (second, work) = ready.pop().unwrap();
        assert_eq!((work, queues.waiting()), ("second", 1));
        queues.release(second, &mut ready);
        let (third, work) = ready.pop().unwrap();
        assert_eq!(work, "third");
        queues.release(third, &mut ready);
        assert!(ready.is_empty() && !queues.blocks(&[A, B]));
    }

    #[test]
    fn one_release_can_free_several() {
        let mut queues = Reservations::default();
        let first = queues.hold(smallvec![A, B, A]);
        queues.wait(smallvec![B], "b");
        queues.wait(smallvec![A], "a");
        let mut ready = Vec::new();
        queues.release(first, &mut ready);
        assert_eq!(ready.iter().map(|(_, work)| *work).collect::<Vec<_>>(), ["b", "a"]);
    }
}

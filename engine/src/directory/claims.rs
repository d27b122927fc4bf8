use std::hash::Hash;

use dashmap::{DashMap, Entry};
use tokio::sync::oneshot;

use super::{Settled, Waiters, wake};
use crate::view::Unavailable;

/// Ids in flight, and ids whose outcome is known but not yet sealed in the index.
pub(crate) struct Claims<Id: Eq + Hash, Outcome>(DashMap<Id, State<Outcome>, foldhash::fast::RandomState>);

enum State<Outcome> {
    // Boxed: nearly no id is ever waited for.
    #[allow(clippy::box_collection)]
    InFlight(Option<Box<Waiters>>),
    Known(Outcome),
}

/// What [`Claims::claim`] found.
pub(crate) enum Claim<Outcome> {
    /// The id is the caller's until it settles or abandons it.
    Claimed,
    /// Somebody else's.
    InFlight(Settled),
    /// Settled before.
    Known(Outcome),
}

/// What [`Claims::find`] found.
pub(crate) enum Found<Outcome> {
    /// Not here: look in the index.
    Absent,
    /// Wait, then look again.
    InFlight(Settled),
    /// Settled.
    Known(Outcome),
}

impl<Id: Eq + Hash, Outcome> Default for Claims<Id, Outcome> {
    fn default() -> Self {
        Self(DashMap::default())
    }
}

impl<Id: Eq + Hash + Copy, Outcome: Copy> Claims<Id, Outcome> {
    pub(crate) fn claim(&self, id: Id) -> Claim<Outcome> {
        match self.0.entry(id) {
            Entry::Vacant(vacant) => {
                vacant.insert(State::InFlight(None));
                Claim::Claimed
            }
            Entry::Occupied(mut occupied) => match occupied.get_mut() {
                State::Known(outcome) => Claim::Known(*outcome),
                State::InFlight(waiters) => Claim::InFlight(join(waiters)),
            },
        }
    }

    pub(crate) fn find(&self, id: Id) -> Found<Outcome> {
        // The common miss takes a read lock only.
        match self.0.get(&id).as_deref() {
            None => return Found::Absent,
            Some(State::Known(outcome)) => return Found::Known(*outcome),
            Some(State::InFlight(_)) => {}
        }
        match self.0.get_mut(&id).as_deref_mut() {
            None => Found::Absent,
            Some(State::Known(outcome)) => Found::Known(*outcome),
            Some(State::InFlight(waiters)) => Found::InFlight(join(waiters)),
        }
    }

    /// How many ids are claimed.
    #[cfg(feature = "simulation")]
    pub(crate) fn in_flight(&self) -> usize {
        self.0.iter().filter(|row| matches!(row.value(), State::InFlight(_))).count()
    }

    /// The claimed id's outcome is known.
    pub(crate) fn settle(&self, id: Id, outcome: Outcome) {
        if let Some(State::InFlight(Some(waiters))) = self.0.insert(id, State::Known(outcome)) {
            wake(*waiters, Ok(()));
        }
    }

    /// The claim ends without a trace: it was not admitted (`Err`), or the answer is elsewhere (`Ok`).
    pub(crate) fn abandon(&self, id: Id, why: Result<(), Unavailable>) {
        let in_flight = |_: &Id, state: &State<Outcome>| matches!(state, State::InFlight(_));
        if let Some((_, State::InFlight(Some(waiters)))) = self.0.remove_if(&id, in_flight) {
            wake(*waiters, why);
        }
    }

    /// Drops a known outcome that the index has sealed; `false` if the id is still in flight.
    pub(crate) fn forget(&self, id: Id) -> bool {
        let known = |_: &Id, state: &State<Outcome>| matches!(state, State::Known(_));
        self.0.remove_if(&id, known).is_some() || !self.0.contains_key(&id)
    }
}

fn join(waiters: &mut Option<Box<Waiters>>) -> Settled {
    let (sender, settled) = oneshot::channel();
    waiters.get_or_insert_default().push(sender);
    settled
}

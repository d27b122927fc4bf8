//! A client that follows the events, across crashes.
//!
//! Owns the last position that it has read. Never reads what is not indexed: it would wait. Invariant: each event follows the
//! one before without a gap, and says what the journal has at its position.

use futures_util::FutureExt;

use super::{life::Life, world::World};
use crate::{
    journal::Record,
    model::Position,
    view::{Event, EventView},
};

impl Life {
    /// Reads on, if that needs no wait; `false` if there is nothing new.
    pub(super) fn read_events(&mut self, world: &World) -> bool {
        let (front, synced) = (&world.front, world.shared.state.synced());
        if self.events_read >= synced || front.index.applied() < synced || !front.directory.shows(synced) {
            return false;
        }
        let limit = 1 + self.random.below(30);
        let read = front.events(self.events_read, limit).now_or_never().expect("nothing to wait for");
        let events = read.expect("the index is there");
        assert!(!events.is_empty(), "there are events after {}", self.events_read);
        for event in &events {
            assert_eq!(event.position, self.events_read.next(), "events have no gap");
            self.check_event(event, synced);
            self.events_read = event.position;
        }
        self.auditor.coverage.hit("events read");
        true
    }

    fn check_event(&self, EventView { position, at, event }: &EventView, synced: Position) {
        let entry = self.auditor.entry(*position);
        assert!(*position <= synced && *at == entry.at, "the event at {position}, synced up to {synced}");
        let fits = match (&entry.record, event) {
            (Record::AccountOpened { opening, .. }, Event::AccountOpened(view)) => {
                opening.address == view.address
            }
            (Record::AccountChanged { no, .. }, Event::AccountChanged(view)) => {
                self.auditor.names.addresses[no] == view.address
            }
            (Record::Posted(posted), Event::TransactionPosted(view)) => {
                posted.id == view.request.id && view.verdict.is_ok() && !posted.operations.is_empty()
            }
            (Record::Posted(posted), Event::WalletChanged) => posted.operations.is_empty(),
            (Record::Refused(refused), Event::TransactionRefused(view)) => {
                refused.transaction == view.request && view.verdict == Err(refused.rejection)
            }
            (Record::HoldExpired { hold, held, .. }, Event::HoldExpired(view)) => {
                (*hold, *held) == (view.id, view.amount)
            }
            (Record::Snapshot(_), Event::Snapshot) => true,
            _ => false,
        };
        assert!(fits, "the event at {position} says {event:?}, the journal {:?}", entry.record);
    }
}

//! A shard's mailbox: three bounded lanes, of which the more urgent one is emptied first.
//!
//! Owns the order in which a shard takes messages. Never looks into one. Invariants: a lane keeps its order; between two
//! looks at a lane a shard takes at most [`Inbox::HIGHER_BEFORE_LOWER`] messages of more urgent lanes, so that none
//! starves. Messages of different lanes have no order between them, and nothing may depend on one: what refers to a
//! command in flight waits in the front until that is settled.

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::Input;
use crate::{config::Config, model::Lane};

/// Where messages go in.
pub(crate) struct Mailbox<T = Input> {
    checkout: Sender<T>,
    recharge: Sender<T>,
    batch: Sender<T>,
}

/// Where the shard takes them out.
pub(crate) struct Inbox<T = Input> {
    pub(crate) checkout: Receiver<T>,
    pub(crate) recharge: Receiver<T>,
    pub(crate) batch: Receiver<T>,
    /// Messages of more urgent lanes since the last look at the lane.
    before_recharge: u32,
    before_batch: u32,
}

/// A new mailbox, each lane with its own limit.
pub(crate) fn mailbox<T>(config: &Config) -> (Mailbox<T>, Inbox<T>) {
    let (to_checkout, checkout) = bounded(config.mailbox_commands_max);
    let (to_recharge, recharge) = bounded(config.recharge_commands_max);
    let (to_batch, batch) = bounded(config.batch_commands_max);
    let mailbox = Mailbox { checkout: to_checkout, recharge: to_recharge, batch: to_batch };
    (mailbox, Inbox { checkout, recharge, batch, before_recharge: 0, before_batch: 0 })
}

impl<T> Mailbox<T> {
    /// Puts a message into the most urgent lane, if that is not full.
    pub(crate) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.try_send_in(Lane::Checkout, message)
    }

    /// Puts a message into a lane, if that is not full.
    pub(crate) fn try_send_in(&self, lane: Lane, message: T) -> Result<(), TrySendError<T>> {
        self.lane(lane).try_send(message)
    }

    /// Messages that wait in a lane.
    pub(crate) fn depth(&self, lane: Lane) -> usize {
        self.lane(lane).len()
    }

    fn lane(&self, lane: Lane) -> &Sender<T> {
        match lane {
            Lane::Checkout => &self.checkout,
            Lane::Recharge => &self.recharge,
            Lane::Batch => &self.batch,
        }
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        let Self { checkout, recharge, batch } = self;
        Self { checkout: checkout.clone(), recharge: recharge.clone(), batch: batch.clone() }
    }
}

impl<T> Inbox<T> {
    /// Messages of more urgent lanes after which a lane is looked at once: a lane that has to wait gets at least every
    /// 65th message, or a 64th of a busy shard; the more urgent ones lose no more than that.
    pub(crate) const HIGHER_BEFORE_LOWER: u32 = 64;

    /// The next message, if one is there. While the first lane has messages, a look at the others is rare.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.overdue().or_else(|| self.most_urgent())
    }

    fn overdue(&mut self) -> Option<T> {
        if self.before_batch >= Self::HIGHER_BEFORE_LOWER {
            self.before_batch = 0;
            if let Ok(message) = self.batch.try_recv() {
                return Some(message);
            }
        }
        if self.before_recharge >= Self::HIGHER_BEFORE_LOWER {
            self.before_recharge = 0;
            if let Ok(message) = self.recharge.try_recv() {
                self.before_batch += 1;
                return Some(message);
            }
        }
        None
    }

    fn most_urgent(&mut self) -> Option<T> {
        if let Ok(message) = self.checkout.try_recv() {
            self.before_recharge += 1;
            self.before_batch += 1;
            return Some(message);
        }
        self.before_recharge = 0;
        if let Ok(message) = self.recharge.try_recv() {
            self.before_batch += 1;
            return Some(message);
        }
        self.before_batch = 0;
        self.batch.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: usize = Inbox::<Lane>::HIGHER_BEFORE_LOWER as usize;

    fn filled(lanes: &[(Lane, usize)]) -> (Mailbox<Lane>, Inbox<Lane>) {
        let (mailbox, inbox) = mailbox(&Config::new("unused"));
        for &(lane, count) in lanes {
            (0..count).for_each(|_| mailbox.try_send_in(lane, lane).unwrap());
        }
        (mailbox, inbox)
    }

    fn runs(inbox: &mut Inbox<Lane>) -> Vec<(Lane, usize)> {
        let mut runs: Vec<(Lane, usize)> = Vec::new();
        while let Some(lane) = inbox.take() {
            match runs.last_mut() {
                Some((last, count)) if *last == lane => *count += 1,
                Some(_) | None => runs.push((lane, 1)),
            }
        }
        runs
    }

    #[test]
    fn the_urgent_lane_is_emptied_first() {
        use Lane::{Batch, Checkout, Recharge};
        let (_mailbox, mut inbox) = filled(&[(Batch, 3), (Recharge, 3), (Checkout, GUARD)]);
        assert_eq!(runs(&mut inbox)[0], (Checkout, GUARD));
        let (mailbox, mut inbox) = filled(&[(Batch, 3), (Recharge, 5)]);
        assert_eq!(inbox.take(), Some(Recharge));
        mailbox.try_send(Checkout).unwrap();
        assert_eq!(runs(&mut inbox), [(Checkout, 1), (Recharge, 4), (Batch, 3)]);
    }

    #[test]
    fn no_lane_starves() {
        use Lane::{Batch, Checkout, Recharge};
        let (_mailbox, mut inbox) = filled(&[(Checkout, GUARD * 3), (Recharge, 10), (Batch, 10)]);
        let expected = [
            (Checkout, GUARD),
            (Batch, 1),
            (Recharge, 1),
            // The recharge counted against the batch.
            (Checkout, GUARD - 1),
            (Batch, 1),
            (Checkout, 1),
            (Recharge, 1),
            (Checkout, GUARD - 2),
            (Batch, 1),
            (Checkout, 2),
            (Recharge, 8),
            (Batch, 7),
        ];
        assert_eq!(runs(&mut inbox), expected);
        // Recharges don't starve the batch either.
        let (_mailbox, mut inbox) = filled(&[(Recharge, GUARD + 10), (Batch, 2)]);
        assert_eq!(runs(&mut inbox), [(Recharge, GUARD), (Batch, 1), (Recharge, 10), (Batch, 1)]);
    }

    #[test]
    fn each_lane_has_its_own_limit() {
        let mut config = Config::new("unused");
        (config.mailbox_commands_max, config.recharge_commands_max, config.batch_commands_max) = (1, 2, 3);
        let (mailbox, _inbox) = mailbox(&config);
        for (lane, limit) in [(Lane::Checkout, 1), (Lane::Recharge, 2), (Lane::Batch, 3)] {
            let taken = (0..10).filter(|_| mailbox.try_send_in(lane, lane).is_ok()).count();
            assert_eq!((taken, mailbox.depth(lane)), (limit, limit), "{lane:?}");
        }
    }
}

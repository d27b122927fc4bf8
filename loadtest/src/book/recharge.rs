//! Recharges: an order, and what its channel says of it.

use std::time::Instant;

use uuid::Uuid;

use super::{Book, CHANNEL_ANSWERS_AFTER, Facts, Leg, Notice, Order, RechargeNo, Shown};
use crate::accounts::AccountNo;
use crate::channel::Channel;
use crate::money::Fen;

/// Where a recharge stands, as far as answers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RechargeState {
    /// No final answer yet.
    Asked,
    Rejected,
    Pending,
    Paid,
    Failed,
    /// Another amount came.
    Suspended,
}

/// A recharge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recharge {
    pub(crate) id: Uuid,
    pub(crate) user: AccountNo,
    pub(crate) amount: Fen,
    pub(crate) channel: Channel,
    /// What the channel owes, and its suspense.
    pub(crate) accounts: (AccountNo, AccountNo),
    /// What the channel will say: the amount that came, or nothing.
    pub(crate) comes: Option<Fen>,
    pub(crate) state: RechargeState,
}

impl Book {
    /// Notes a recharge that is about to be ordered.
    pub(crate) fn plan_recharge(&mut self, recharge: Recharge) -> RechargeNo {
        self.recharges.push(recharge);
        RechargeNo(self.recharges.len() - 1)
    }

    /// All recharges.
    pub(crate) fn recharges(&self) -> &[Recharge] {
        &self.recharges
    }

    pub(super) fn ordered(&mut self, number: RechargeNo, now: Instant) {
        let Some(recharge) = self.recharges.get_mut(number.0) else {
            return;
        };
        recharge.state = RechargeState::Pending;
        let Recharge { id, channel, amount, comes, accounts: (owed, suspense), .. } = *recharge;
        let amount = comes.unwrap_or(amount);
        let notice = Notice {
            order: Order::Recharge(number),
            id,
            channel,
            paid: comes.is_some(),
            amount,
            suspense: Leg { debit: owed, credit: suspense, amount },
        };
        self.say(notice, now + CHANNEL_ANSWERS_AFTER);
    }

    pub(super) fn not_ordered(&mut self, number: RechargeNo) {
        if let Some(recharge) = self.recharges.get_mut(number.0) {
            recharge.state = RechargeState::Rejected;
        }
    }

    pub(super) fn recharge_notified(&mut self, number: RechargeNo, notice: &Notice, facts: Facts) {
        let Some(recharge) = self.recharges.get_mut(number.0) else {
            return;
        };
        let Recharge { id, user, amount, accounts: (owed, _), .. } = *recharge;
        let (state, shown) = match (notice.paid, notice.amount == amount) {
            (true, true) => (RechargeState::Paid, Shown::Paid),
            (true, false) => (RechargeState::Suspended, Shown::Suspended),
            (false, _) => (RechargeState::Failed, Shown::Failed),
        };
        recharge.state = state;
        if state == RechargeState::Paid {
            self.apply(Leg { debit: owed, credit: user, amount });
        } else if state == RechargeState::Suspended {
            self.apply(notice.suspense);
        }
        if facts.shown != shown {
            self.broken(id, &format!("its channel's word made it {:?}, not {shown:?}", facts.shown));
        }
    }
}

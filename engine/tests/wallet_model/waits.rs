//! What ends the wait of the naive model's payments: the channel's word, a cancellation, time.

use super::{
    books::Op,
    channels::{Money, Suspended, from_suspense, receivable, suspense},
    naive::{Expected, Naive, says},
    payments::{End, From, moved},
};

impl Naive {
    pub(crate) fn payment_notified(&mut self, money: Money, paid: bool) -> String {
        let payment = self.payments[&money.order].clone();
        if payment.channel() != Some(money.channel) {
            return if paid {
                self.suspend(money, "other_channel")
            } else {
                "unchanged other_channel".into()
            };
        }
        match (payment.end, paid) {
            (None, true) => self.take(money),
            (None, false) => {
                drop(self.end(money.order, End::Failed));
                "failed".into()
            }
            (Some((End::Failed, _)), false) => "failed".into(),
            (Some(_), false) => "unchanged -".into(),
            (Some((End::Captured(reference), Ok(()))), true) if reference == money.reference => {
                "settled".into()
            }
            (Some((End::Captured(_), Ok(()))), true) => self.suspend(money, "paid_again"),
            (Some(_), true) => self.send_back(money),
        }
    }

    /// The channel's part has come.
    pub(crate) fn take(&mut self, money: Money) -> String {
        let id = money.order;
        let payment = self.payments[&id].clone();
        let fits = payment.sum(From::Channel) == money.amount;
        let early = match self.waits_in_suspense(&money) {
            Some((true, _)) if fits => true,
            Some((_, reason)) => return format!("suspended {reason}"),
            None if !fits => return self.suspend(money, "amount_differs"),
            None => false,
        };
        let user = self.user_of(id);
        let is_ticket = payment.pieces.iter().all(|it| it.from == From::Channel) && !payment.slot;
        let key = |key: &String| key.clone();
        let mut ops: Vec<Op> = vec![];
        if !is_ticket {
            ops.extend(payment.holds.iter().map(|it| Op::Capture { key: key(it) }));
        }
        for piece in payment.pieces.iter().filter(|piece| piece.from == From::Channel) {
            let (debit, credit, amount, code) = moved(&payment.request, piece);
            ops.push(Op::Move { debit, credit, amount, code });
        }
        ops.extend(self.fee_and_points(user, &payment));
        if is_ticket {
            ops.extend(payment.holds.iter().map(|it| Op::Release { key: key(it) }));
        }
        if early {
            ops.push(from_suspense(&money));
        }
        let outcome = self.books.post(&ops, self.now).map_err(|(code, _)| code);
        let changed = self.payments.get_mut(&id).unwrap();
        changed.end = Some((End::Captured(money.reference.clone()), outcome));
        let Err(code) = outcome else {
            changed.paid_at = Some(self.now);
            return "settled".into();
        };
        if code != "hold_expired" {
            let rest: Vec<Op> = payment.holds.iter().map(|it| Op::Release { key: key(it) }).collect();
            // If they have run out meanwhile, that is as good.
            let released = self.books.post(&rest, self.now);
            assert!(matches!(released, Ok(()) | Err(("hold_expired", _))), "{released:?}");
        }
        self.send_back(money)
    }

    /// Money that nobody waits for goes back to its channel.
    pub(crate) fn send_back(&mut self, money: Money) -> String {
        let payment = &self.payments[&money.order];
        if payment.sum(From::Channel) != money.amount {
            return self.suspend(money, "amount_differs");
        }
        if let Some(reference) = &payment.late {
            let same = *reference == money.reference;
            return if same { "suspended paid_late".into() } else { self.suspend(money, "paid_again") };
        }
        let mut ops = vec![from_suspense(&money)];
        match self.waits_in_suspense(&money) {
            Some((true, _)) => {}
            // It has been booked there for another reason.
            Some((false, reason)) => return format!("suspended {reason}"),
            None => {
                let (debit, credit) = (receivable(money.channel), suspense(money.channel));
                ops.insert(0, Op::Move { debit, credit, amount: money.amount, code: "suspense" });
                self.suspense.insert(money.key(), Suspended { money: money.clone(), reason: "paid_late" });
            }
        }
        self.books.post(&ops, self.now).unwrap();
        self.payments.get_mut(&money.order).unwrap().late = Some(money.reference);
        "suspended paid_late".into()
    }

    /// Gives back what it waits with, unless its wait has ended.
    pub(crate) fn end(&mut self, id: u128, end: End) -> (End, Result<(), &'static str>) {
        let payment = self.payments[&id].clone();
        if let Some(ended) = payment.end {
            return ended;
        }
        let ops: Vec<Op> = payment.holds.iter().map(|key| Op::Release { key: key.clone() }).collect();
        let ended = (end, self.books.post(&ops, self.now).map_err(|(code, _)| code));
        self.payments.get_mut(&id).unwrap().end = Some(ended.clone());
        ended
    }

    pub(crate) fn cancel(&mut self, id: u128) -> Expected {
        let Some(payment) = self.payments.get(&id).filter(|payment| payment.is_placed()) else {
            return says("not_found", None);
        };
        if payment.channel().is_none() {
            return says("payment_not_cancellable", None);
        }
        let before = payment.end.is_some();
        match self.end(id, End::Cancelled) {
            (End::Cancelled, Ok(())) => says("cancelled", Some(before)),
            _ => says("payment_not_cancellable", None),
        }
    }
}

//! The naive model's refunds.

use yue_engine::wallet::{Channel, RefundRequest};

use super::{
    books::Op,
    naive::{Expected, Naive, again, carbon, says},
    payments::{From, Pay, moved},
    verbs::USERS,
};

const DAY_NS: i64 = 86_400 * 1_000_000_000;

impl Naive {
    pub(crate) fn refund(&mut self, id: u128, request: &RefundRequest) -> Expected {
        let (order, amount) = (request.payment.0, request.amount.units());
        let body = (order, amount, request.item, request.reason.as_ref().map(ToString::to_string));
        if let Some((first, outcome)) = self.refunds.get(&id) {
            let fields = [
                (first.0 != body.0, "/payment"),
                (first.1 != body.1, "/amount"),
                (first.2 != body.2, "/item"),
                (first.3 != body.3, "/reason"),
            ];
            return again(&fields, outcome);
        }
        let Some(payment) = self.payments.get(&order).filter(|payment| payment.is_placed()) else {
            return says("not_found", None);
        };
        let Some(paid_at) = payment.paid_at else { return says("refund_exceeds_paid", None) };
        if self.now >= paid_at + i64::from(self.rules.refund_days) * DAY_NS {
            return says("refund_window_closed", None);
        }
        if payment.refunds.len() >= self.rules.refunds_max {
            return says("refund_count_exceeded", None);
        }
        let mut after = payment.clone();
        let Some(shares) = after.give_back(amount, request.item) else {
            return says("refund_exceeds_paid", None);
        };
        let ops = self.refund_ops(payment, &after, &shares);
        let outcome = match self.books.post(&ops, self.now) {
            Ok(()) => {
                after.refunds.push((id, amount));
                let said = format!("refunded {:?}", after.refund_legs(&shares));
                self.payments.insert(order, after);
                Ok(said)
            }
            Err((code, _)) => Err(code.to_owned()),
        };
        self.refunds.insert(id, (body, outcome.clone()));
        says(outcome.unwrap_or_else(|code| code), Some(false))
    }

    pub(crate) fn refund_ops(&self, before: &Pay, after: &Pay, shares: &[u64]) -> Vec<Op> {
        let total = u128::from(before.total());
        let part = |whole: u64, payment: &Pay| {
            let back: u128 = payment.pieces.iter().map(|piece| u128::from(piece.refunded)).sum();
            u64::try_from(u128::from(whole) * back / total).unwrap()
        };
        let back = |whole: u64| part(whole, after) - part(whole, before);
        let merchant = format!("merchants:{}", before.request.merchant);
        let mut ops = vec![];
        let mut push = |from: String, to: String, amount: u64, code| {
            if amount > 0 {
                ops.push(Op::Back { from, to, amount, code, at: before.at });
            }
        };
        push("platform:fees".into(), merchant, back(before.fee), "fee");
        for (piece, share) in before.pieces.iter().zip(shares) {
            let (debit, credit, _, code) = moved(&before.request, piece);
            push(credit, debit, *share, code);
        }
        let user = USERS.iter().position(|name| *name == before.request.user.as_str()).unwrap();
        // Of points those of what is kept are left, whole ones.
        let kept = |payment: &Pay| {
            let left: u128 =
                payment.pieces.iter().map(|piece| u128::from(piece.amount - piece.refunded)).sum();
            u64::try_from(u128::from(before.points) * left / total).unwrap()
        };
        push(carbon(user), "platform:carbon".into(), kept(before) - kept(after), "carbon");
        ops
    }
}

impl Pay {
    /// Moves an amount back, own money first; what each piece gives. `None` if there is less.
    pub(crate) fn give_back(&mut self, amount: u64, item: Option<u8>) -> Option<Vec<u64>> {
        let mut shares = vec![0; self.pieces.len()];
        let mut wanted = amount;
        for wanted_item in 0..self.request.items.len() {
            if item.is_some_and(|item| usize::from(item) != wanted_item) {
                continue;
            }
            for from in [From::Balance, From::Channel, From::Promotion] {
                for (piece, share) in self.pieces.iter_mut().zip(&mut shares) {
                    if piece.item == wanted_item && piece.from == from {
                        *share = wanted.min(piece.amount - piece.refunded);
                        piece.refunded += *share;
                        wanted -= *share;
                    }
                }
            }
        }
        (wanted == 0).then_some(shares)
    }

    pub(crate) fn refund_legs(&self, shares: &[u64]) -> Vec<String> {
        let leg = |from: From| {
            let of = self.pieces.iter().zip(shares).filter(|(piece, _)| piece.from == from);
            let amount: u64 = of.map(|(_, share)| *share).sum();
            let name = match from {
                From::Balance => "balance",
                From::Promotion => "promotion",
                From::Channel => self.request.combine_with.map_or("", Channel::as_str),
            };
            (amount > 0).then(|| format!("{name} {amount}"))
        };
        [From::Balance, From::Channel, From::Promotion].into_iter().filter_map(leg).collect()
    }
}

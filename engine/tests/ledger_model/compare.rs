use std::collections::BTreeSet;

use super::{Run, hold_end, naive::Did};
use crate::cases::Case;
use yue_engine::ledger::{Hold, Ledger};
use yue_engine::model::{Amount, TransactionId};

impl Run {
    pub(crate) fn compare(&self) {
        let mut sum = 0_i128;
        for no in self.numbers() {
            let account = self.one.account(no).unwrap();
            let rules = &self.naive.rules[no.index()];
            assert_eq!(
                Some(account),
                self.split[self.owners[no.index()]].account(no),
                "{no:?} split over shards"
            );
            assert_eq!(Some(account.net()), self.naive.net(no), "{no:?} net");
            assert_eq!(Some(account.posted()), self.naive.posted(no), "{no:?} posted");
            assert_eq!(Some(account.available()), self.naive.available(no), "{no:?} available");
            assert_eq!(account.held_debits(), self.naive.held(|hold| hold.debit == no), "{no:?} held debits");
            assert_eq!(
                account.held_credits(),
                self.naive.held(|hold| hold.credit == no),
                "{no:?} held credits"
            );
            assert_eq!((account.floor(), account.ceiling()), (rules.floor, rules.ceiling), "{no:?} guards");
            let used = account.limits().iter().map(|limit| (limit.limit.clone(), limit.used_at(self.now)));
            let naive =
                rules.limits.iter().map(|limit| (limit.0.clone(), self.naive.used(no, limit, self.now)));
            assert_eq!(used.collect::<Vec<_>>(), naive.collect::<Vec<_>>(), "{no:?} limits");
            let folded = self.folded.get(&no).copied().unwrap_or_default();
            assert_eq!(account.net(), rules.base + folded.net, "{no:?} folded effects");
            let held =
                [account.held_debits(), account.held_credits()].map(|sum| i128::try_from(sum).unwrap());
            assert_eq!(held, [folded.held_debits, folded.held_credits], "{no:?} folded effects");
            sum = sum.wrapping_add(account.net()).wrapping_sub(rules.base);
        }
        assert_eq!(sum, 0, "debits are credits");
        self.compare_holds();
        self.compare_totals();
    }

    fn compare_holds(&self) {
        let mut live = vec![];
        for (id, placed) in self.naive.holds() {
            let end = self.naive.end(id);
            let forgotten = end.is_some_and(|end| end < *self.sealed.last().unwrap());
            let expected = Hold {
                debit: placed.debit,
                credit: placed.credit,
                held: Amount(placed.amount),
                captured: Amount(match end.map(|end| &self.naive.history[end].did) {
                    Some(Did::Capture { amount, .. }) => *amount,
                    _ => 0,
                }),
                placed_at: self.naive.history[placed.index].at,
                expires_at: placed.expires_at,
                code: self.naive.history[placed.index].code.clone(),
                ended: end.map(|end| hold_end(&self.naive.history[end].did)),
            };
            assert_eq!(self.one.hold(id), (!forgotten).then_some(&expected), "hold {id}");
            assert_eq!(
                self.split[self.owners[placed.debit.index()]].hold(id),
                self.one.hold(id),
                "split hold {id}"
            );
            if end.is_none() {
                live.push((placed.expires_at, id));
            }
        }
        live.sort();
        assert_eq!(self.one.expiries().collect::<Vec<_>>(), live, "in order of expiry");
        let split: usize = self.split.iter().map(|shard| shard.holds().count()).sum();
        assert_eq!(split, self.one.holds().count(), "each hold lives in one shard");
    }

    fn compare_totals(&self) {
        let recent = &self.naive.history[*self.sealed.last().unwrap()..];
        let changed: BTreeSet<_> = recent
            .iter()
            .filter_map(|entry| match entry.did {
                Did::Reverse { original, .. } => Some(original),
                _ => None,
            })
            .collect();
        let total = |&of: &(TransactionId, u8)| {
            u64::try_from(self.naive.reversed(of, self.naive.history.len())).unwrap()
        };
        let expected: Vec<_> = changed.iter().map(|of| (of.0, of.1, Amount(total(of)))).collect();
        assert_eq!(self.one.reversed_totals().collect::<Vec<_>>(), expected, "reversed totals");
        let mut split: Vec<_> = self.split.iter().flat_map(Ledger::reversed_totals).collect();
        split.sort();
        assert_eq!(split, expected, "split reversed totals");
    }

    /// Recovery without a checkpoint: all records again.
    pub(crate) fn replay(&self, case: &Case) {
        let mut replayed = Self::new(case).one;
        for record in &self.records {
            replayed.apply(record);
        }
        for no in self.numbers() {
            assert_eq!(replayed.account(no), self.one.account(no), "{no:?} replayed");
        }
    }
}

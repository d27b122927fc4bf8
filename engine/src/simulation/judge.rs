//! The auditor's judgement of one record, when its shard has decided it.
//!
//! Owns nothing. Invariant: a verdict is right if some state that the lower shards can have had while they were reserved
//! leads to it; with one shard there is one such state.

use std::collections::BTreeMap;

use super::{
    audit::{Auditor, id_of},
    model::{NotPosted, Resolved, Verdict},
    names::{Pass, Thing, things},
    shard_view::ShardView,
};
use crate::{
    journal::Record,
    model::{HoldId, OperationKind, PostedKind, Rejection, RejectionCode as Code, Timestamp, Transaction},
    shard::ShardNo,
};

/// A request with numbers for names, or its refusal in the first pass.
pub(super) type Passed = Result<Resolved, (Code, u8)>;

impl Auditor {
    pub(super) fn pass(&self, transaction: &Transaction, hidden: &[Thing]) -> Passed {
        Pass { names: &self.names, model: &self.model, hidden }.run(transaction)
    }

    /// A shard has decided a record.
    pub(super) fn judge(&mut self, shard: ShardNo, view: &mut ShardView, record: &Record) {
        self.tell(|| format!("shard {} sends {record:?}", shard.0));
        assert!(record.decided_at() >= view.stamp, "a shard's stamps never go back: {record:?}");
        view.stamp = record.decided_at();
        match record {
            Record::Posted(posted) => {
                let id = posted.id;
                assert!(self.flushed.insert(id), "{id} is decided twice");
                let bodies = self.ids.get(&id).map(|it| it.bodies.clone()).unwrap_or_default();
                let fits = bodies.iter().any(|body| {
                    let predicted = self.predict(view, body, record.decided_at());
                    predicted.iter().any(|verdict| {
                        verdict.as_ref().is_ok_and(|kinds| self.is_posted(body, kinds, record))
                    })
                });
                let all = || {
                    bodies
                        .iter()
                        .map(|body| self.predict(view, body, record.decided_at()))
                        .collect::<Vec<_>>()
                };
                assert!(fits, "shard {} posted {record:?}, but the model says {:?}", shard.0, all());
                self.takes_aliases(record);
            }
            Record::Refused(refused) => {
                let (body, rejection) = (&refused.transaction, refused.rejection);
                assert!(self.flushed.insert(body.id), "{} is decided twice", body.id);
                let asked = self.asked_for(body);
                assert!(refused.seen <= view.seen, "a refusal was not decided in the future: {refused:?}");
                if rejection.code < Code::HoldCaptured {
                    self.judge_first_pass(body, rejection);
                } else {
                    // With its cells: one that was overtaken is not decided at all.
                    let predict = |asked| self.predict(view, asked, refused.decided_at);
                    let predicted: Vec<_> = asked.iter().flat_map(predict).collect();
                    let refusal = NotPosted::Refused(rejection.code, rejection.operation);
                    let fits = predicted.iter().any(|verdict| verdict.as_ref().err() == Some(&refusal));
                    assert!(fits, "shard {} refused {refused:?}, but the model says {predicted:?}", shard.0);
                }
                self.coverage.refused(rejection.code, self.passed.contains_key(&body.id));
            }
            Record::HoldExpired { hold, .. } => {
                // One whose account is reserved queues for it; those of one account keep their order.
                let debit = view.shadow.holds[hold].debit;
                let in_order = |id: &HoldId| id == hold || !view.placed_above.contains(id);
                let own = |(_, id): &&(Timestamp, HoldId)| view.shadow.holds[id].debit == debit;
                let mut live = view.shadow.live.iter().filter(own).filter(|(_, id)| in_order(id));
                let (due, next) = live.next().expect("a hold that expires lives");
                assert_eq!(next, hold, "holds of an account expire in order");
                assert!(*due <= record.decided_at(), "hold {hold} expires too early");
            }
            Record::Snapshot(_) => panic!("no shard writes a snapshot"),
            Record::AccountOpened { opening, .. } => {
                let sent = self.openings.get(&opening.address).is_some_and(|sent| sent.contains(opening));
                assert!(sent, "nobody asked for {opening:?}");
            }
            Record::AccountChanged { no, change, .. } => {
                assert!(
                    view.shadow.accounts[no].allows(change),
                    "{change:?} is not allowed: {:?}",
                    view.shadow.accounts[no]
                );
            }
        }
        if let Some(id) = id_of(record)
            && self.passed.remove(&id).is_some()
            && matches!(record, Record::Posted(_))
        {
            self.coverage.cross_shard_posted += 1;
        }
    }

    /// Whether the record is this body with these effects.
    pub(super) fn is_posted(&self, body: &Transaction, kinds: &[PostedKind], record: &Record) -> bool {
        let Record::Posted(posted) = record else { return false };
        posted.id == body.id
            && (&posted.code, &posted.reference, &posted.metadata)
                == (&body.code, &body.reference, &body.metadata)
            && posted.operations.iter().map(|operation| &operation.kind).eq(kinds)
            && posted.operations.iter().map(|it| &it.code).eq(body.operations.iter().map(|it| &it.code))
            && self.is_attached(body, posted)
    }

    /// What may come of a body: one verdict for each state that the lower shards can have had.
    fn predict(&self, view: &ShardView, body: &Transaction, now: Timestamp) -> Vec<Verdict> {
        let resolved = match self.pass(body, &[]) {
            Ok(resolved) => resolved,
            Err((code, operation)) => return vec![Err(NotPosted::Refused(code, operation))],
        };
        let mut states = vec![view.shadow.part(&resolved)];
        for models in self.passed.get(&body.id).into_iter().flat_map(BTreeMap::values) {
            states = states
                .iter()
                .flat_map(|state| {
                    models.iter().map(|lower| {
                        let mut both = state.clone();
                        both.extend(lower.clone());
                        both
                    })
                })
                .take(64)
                .collect();
        }
        states.into_iter().map(|state| state.decide(&resolved, now)).collect()
    }

    /// What is in the journal may not have been visible when the command was prepared, if nobody was told of it.
    ///
    /// Only what the refused operation names can have gone either way: the operations before it passed, so they saw all
    /// that they ask for, and none of the holds that they place.
    fn judge_first_pass(&self, body: &Transaction, rejection: Rejection) {
        let began =
            self.ids.get(&body.id).and_then(|id| id.pending.iter().min().copied()).unwrap_or_default();
        let is_doubtful = |thing: &Thing| {
            self.names.is_known(thing) && self.shown.get(thing).is_none_or(|&shown| shown >= began)
        };
        let (passed, refused) = body.operations.split_at(usize::from(rejection.operation));
        let refused = refused.first().expect("a refusal names an operation of the body");
        let doubtful: Vec<Thing> = things(&refused.kind).into_iter().filter(is_doubtful).collect();
        let unseen: Vec<Thing> = passed
            .iter()
            .filter_map(|operation| match operation.kind {
                OperationKind::Hold { id, .. } => Some(Thing::Hold(id)),
                OperationKind::Transfer { .. }
                | OperationKind::Capture { .. }
                | OperationKind::Release { .. }
                | OperationKind::Reverse { .. } => None,
            })
            .filter(|hold| is_doubtful(hold) && !doubtful.contains(hold))
            .collect();
        let refusal = (rejection.code, rejection.operation);
        let fits = (0..1_usize << doubtful.len()).any(|mask| {
            let hidden = doubtful.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
            let hidden: Vec<Thing> =
                hidden.map(|(_, thing)| thing.clone()).chain(unseen.iter().cloned()).collect();
            self.pass(body, &hidden).err() == Some(refusal)
        });
        let seen = self.pass(body, &[]);
        assert!(
            fits,
            "{body:?} is refused with {rejection:?}; of {doubtful:?} unseen or not, the model says {seen:?}"
        );
    }
}

//! The callers: calls of the engine's front that are polled by hand.
//!
//! Owns the calls that have no answer, and what has to be asked again. Never looks inside the engine. Invariant: a call
//! is polled only when it was woken, as a runtime does.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::{
    OPERATIONS,
    attachments::{aliases, difference, shows_cells},
    audit::Auditor,
    names::Thing,
    random::Random,
};
use crate::{
    front::Front,
    journal::Record,
    model::{
        AccountChange, AccountNo, AccountOpening, Address, Caller, Lane, Timestamp, Transaction,
        TransactionId,
    },
    view::{AccountError, Outcome, SubmitError, TransactionView, Unavailable},
};

type Submitted = Result<Outcome, SubmitError>;

/// What is called.
pub(super) enum Call {
    Submit(Transaction),
    Batch(Vec<Transaction>),
    Open(AccountOpening),
    Change(Address, AccountChange),
    Read(TransactionId),
}

/// Any lane, and for a copy most often the same.
fn lane_of(transaction: &Transaction) -> Lane {
    let [checkout, recharge, batch] = Lane::ALL;
    match transaction.id.0 % 3 {
        0 => checkout,
        1 => recharge,
        _ => batch,
    }
}

/// A deadline for one submission in four: at once, soon, or late enough.
fn deadline_of(transaction: &Transaction, now: Timestamp) -> Option<Timestamp> {
    let choice = transaction.id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let after = *[0, 1_000_000, 1_000_000_000].get(usize::try_from(choice / 4 % 3).ok()?)?;
    choice.is_multiple_of(4).then(|| now.plus_nanos(after))
}

enum Answer {
    Submit(Vec<Submitted>),
    Open(Result<(AccountNo, bool), AccountError>),
    Change(Result<AccountNo, AccountError>),
    Read(Option<Box<TransactionView>>),
}

/// A deadline, and what the clock has shown since it was set.
struct Due {
    deadline: Timestamp,
    latest: Timestamp,
    /// The clock has not been behind what it had shown before.
    steady: bool,
}

impl Due {
    /// How far times of records and stamps of shards may run ahead of a clock that never went back: many records in one moment.
    const AHEAD_NS_MAX: i64 = 1_000_000;

    /// A call was refused as late: only if some moment since was.
    fn was_late(&self) {
        assert!(
            self.deadline < self.latest,
            "late before {:?}: it was never later than {:?}",
            self.deadline,
            self.latest
        );
    }

    /// A call was the first to be decided: not after its deadline.
    fn was_in_time(&self, decided_at: Timestamp) {
        let most = self.deadline.plus_nanos(Self::AHEAD_NS_MAX);
        assert!(
            !self.steady || decided_at <= most,
            "decided at {decided_at:?}, too late for {:?}",
            self.deadline
        );
    }
}

struct Task {
    /// Of a submission.
    bodies: Vec<Transaction>,
    due: Option<Due>,
    opening: Option<AccountOpening>,
    read: Option<TransactionId>,
    began: u64,
    woken: Arc<Woken>,
    future: Pin<Box<dyn Future<Output = Answer>>>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(super) struct Clients {
    tasks: Vec<Task>,
    /// Bodies without an outcome: to be sent again.
    pub(super) unsettled: BTreeMap<TransactionId, Transaction>,
    /// What was made from something that is not the newest any more.
    pub(super) overtaken: Vec<Transaction>,
    pub(super) submitted: u64,
    /// The time from which deadlines count; without it nobody sets one.
    pub(super) now: Option<Timestamp>,
    /// The latest time that the clock has shown.
    latest: Timestamp,
    /// Answers that refused for the time being.
    pub(super) refused: u64,
}

impl Clients {
    pub(super) fn waiting(&self) -> usize {
        self.tasks.len()
    }

    /// The clock shows another time.
    pub(super) fn time_is(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
        let behind = now < self.latest;
        for due in self.tasks.iter_mut().filter_map(|task| task.due.as_mut()) {
            due.latest = due.latest.max(now);
            due.steady &= !behind;
        }
    }

    /// Begins a call; nothing happens before its first poll.
    pub(super) fn call(&mut self, call: Call, front: &Arc<Front>, auditor: &mut Auditor) {
        let front = Arc::clone(front);
        let (mut bodies, mut opened, mut read, mut due) = (Vec::new(), None, None, None);
        let future: Pin<Box<dyn Future<Output = Answer>>> = match call {
            Call::Submit(transaction) => {
                bodies.push(transaction.clone());
                let latest = self.latest;
                let deadline = self.now.and_then(|now| deadline_of(&transaction, now));
                due = self.now.zip(deadline).map(|(now, deadline)| Due {
                    deadline,
                    latest: now,
                    steady: now >= latest,
                });
                Box::pin(async move {
                    let lane = lane_of(&transaction);
                    Answer::Submit(vec![front.submit(lane, &Caller::TRUSTED, deadline, transaction).await])
                })
            }
            Call::Batch(transactions) => {
                bodies.clone_from(&transactions);
                auditor.coverage.hit("batch");
                let lane = transactions.first().map_or(Lane::Checkout, lane_of);
                Box::pin(async move {
                    Answer::Submit(front.submit_batch(lane, &Caller::TRUSTED, None, transactions).await)
                })
            }
            Call::Open(opening) => {
                opened = Some(opening.clone());
                auditor.openings.entry(opening.address.clone()).or_default().push(opening.clone());
                Box::pin(async move { Answer::Open(front.open_account(opening).await) })
            }
            Call::Change(address, change) => Box::pin(async move {
                Answer::Change(front.change_account(&Caller::TRUSTED, &address, change).await)
            }),
            Call::Read(id) => {
                read = Some(id);
                Box::pin(async move {
                    let found = front.transaction(id).await.expect("no wait runs out here");
                    Answer::Read(found.map(Box::new))
                })
            }
        };
        for body in &bodies {
            auditor.tell(|| format!("a client asks for {body:?}"));
            let id = auditor.ids.entry(body.id).or_default();
            if !id.bodies.contains(body) {
                id.bodies.push(body.clone());
            }
            id.pending.push(auditor.step);
            auditor.asks_for_aliases(body);
            self.unsettled.entry(body.id).or_insert_with(|| body.clone());
            self.submitted += 1;
            OPERATIONS.set(self.submitted);
        }
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.tasks.push(Task { bodies, due, opening: opened, read, began: auditor.step, woken, future });
    }

    /// Polls one of the calls that were woken.
    pub(super) fn poll(&mut self, random: &mut Random, front: &Front, auditor: &mut Auditor) -> bool {
        let woken = |(_, task): &(usize, &Task)| task.woken.0.load(Ordering::Relaxed);
        let woken: Vec<usize> = self.tasks.iter().enumerate().filter(woken).map(|(index, _)| index).collect();
        if woken.is_empty() {
            return false;
        }
        let index = *random.pick(&woken);
        let task = &mut self.tasks[index];
        task.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.woken));
        if let Poll::Ready(answer) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            let task = self.tasks.swap_remove(index);
            self.answered(&task, answer, front, auditor);
        }
        true
    }

    /// A client goes away and does not wait for its answer.
    pub(super) fn leave(&mut self, random: &mut Random, auditor: &mut Auditor) -> bool {
        if self.tasks.is_empty() {
            return false;
        }
        let task = self.tasks.swap_remove(random.below(self.tasks.len()));
        drop(task);
        auditor.coverage.hit("client gone");
        true
    }

    /// The process is gone, and no answer will come.
    pub(super) fn cut(&mut self, auditor: &mut Auditor) {
        self.tasks.clear();
        auditor.ids.values_mut().for_each(|id| id.pending.clear());
    }

    fn answered(&mut self, task: &Task, answer: Answer, front: &Front, auditor: &mut Auditor) {
        match answer {
            Answer::Submit(results) => {
                assert_eq!(results.len(), task.bodies.len(), "a batch has a result for each transaction");
                for (body, result) in task.bodies.iter().zip(results) {
                    match (&result, &task.due) {
                        (Err(SubmitError::Unavailable(Unavailable::Late)), due) => {
                            due.as_ref().expect("a call without a deadline is never late").was_late();
                        }
                        (Ok(outcome), Some(due)) if !outcome.replayed => due.was_in_time(outcome.decided_at),
                        (Ok(_) | Err(_), _) => {}
                    }
                    self.settled(body, &result, task.began, front, auditor);
                }
            }
            Answer::Open(result) => opened(task.opening.as_ref().expect("an opening"), result, auditor),
            Answer::Change(result) => match result {
                Ok(_) => auditor.coverage.hit("account changed"),
                Err(AccountError::Unavailable(_)) => auditor.coverage.hit("overloaded"),
                Err(AccountError::NotFound) => {}
                Err(
                    AccountError::NotEmpty
                    | AccountError::Closed
                    | AccountError::BelowFloor
                    | AccountError::AboveCeiling,
                ) => auditor.coverage.hit("change refused"),
                Err(
                    error @ (AccountError::Exists { .. }
                    | AccountError::AssetUnknown
                    | AccountError::GroupsFull
                    | AccountError::Denied(_)),
                ) => {
                    panic!("a change is answered with {error}")
                }
            },
            Answer::Read(found) => {
                let id = task.read.expect("a read");
                let known = auditor.ids.get(&id);
                match found {
                    Some(view) => {
                        let known = known.expect("a transaction that is read was sent");
                        let told = (Some(view.position), view.at, view.verdict.is_ok());
                        let entry = auditor.entry(view.position);
                        let posted = matches!(entry.record, Record::Posted(_));
                        assert_eq!(told, (known.position, entry.at, posted), "the transaction {id} as read");
                        if view.request.id != id {
                            auditor.coverage.hit("alias read");
                        }
                        let differs = known.decided.as_ref().and_then(|body| difference(body, &view.request));
                        assert_eq!(differs, None, "the request of {id} as read");
                    }
                    None => {
                        let shown = auditor.shown.get(&Thing::Original(id));
                        assert!(shown.is_none_or(|&shown| shown >= task.began), "{id} can't be read back");
                    }
                }
            }
        }
    }

    fn settled(
        &mut self,
        body: &Transaction,
        result: &Submitted,
        began: u64,
        front: &Front,
        auditor: &mut Auditor,
    ) {
        let step = auditor.step;
        let known = auditor.ids.get_mut(&body.id).expect("an id that was sent");
        if let Some(at) = known.pending.iter().position(|&it| it == began) {
            known.pending.swap_remove(at);
        }
        auditor.tell(|| format!("{} is answered: {result:?}", body.id));
        let known = auditor.ids.get_mut(&body.id).expect("an id that was sent");
        match result {
            Ok(outcome) => {
                self.unsettled.remove(&body.id);
                known.firsts += u32::from(!outcome.replayed);
                assert!(known.firsts <= 1, "{} has two first answers", body.id);
                let decided = known.decided.clone();
                assert_eq!(
                    known.position,
                    Some(outcome.position),
                    "{}: an answer of what is not on disk",
                    body.id
                );
                let entry = auditor.entry(outcome.position);
                let verdict = match &entry.record {
                    Record::Refused(refused) => Err(refused.rejection),
                    Record::Posted(_) => Ok(()),
                    Record::AccountOpened { .. }
                    | Record::AccountChanged { .. }
                    | Record::HoldExpired { .. }
                    | Record::Snapshot(_) => {
                        panic!("an answer leads to no transaction")
                    }
                };
                assert_eq!((outcome.at, outcome.verdict), (entry.at, verdict), "the answer to {}", body.id);
                let differs = decided.and_then(|decided| difference(&decided, body));
                assert_eq!(differs, None, "{} is answered for another body", body.id);
                let own = outcome.replayed || auditor.is_first_answer_of(body, &entry.record);
                assert!(own, "{} is answered for another attachment", body.id);
                shows(&entry.record, outcome, front);
                shows_cells(&entry.record, outcome, front);
                let things: Vec<Thing> = match &entry.record {
                    Record::Posted(_) => {
                        let placed = body.operations.iter().flat_map(|it| super::names::things(&it.kind));
                        let own = |it: &Thing| matches!(it, Thing::Hold(id) if auditor.names.holds.get(id).is_some_and(|it| it.2 == body.id));
                        let ids = aliases(&entry.record).iter().copied().chain([body.id]);
                        placed.filter(own).chain(ids.map(Thing::Original)).collect()
                    }
                    Record::Refused(_)
                    | Record::AccountOpened { .. }
                    | Record::AccountChanged { .. }
                    | Record::HoldExpired { .. }
                    | Record::Snapshot(_) => Vec::new(),
                };
                for thing in things {
                    auditor.shown.entry(thing).or_insert(step);
                }
                auditor.coverage.posted += u64::from(verdict.is_ok());
                if outcome.replayed {
                    auditor.coverage.hit("replayed");
                    auditor.replayed(body);
                }
            }
            Err(SubmitError::IdReused { field }) => {
                let decided = known.decided.as_ref().expect("an id that is used has a record");
                assert_eq!(difference(decided, body).as_ref(), Some(field), "{}", body.id);
                self.unsettled.remove(&body.id);
                auditor.coverage.hit("id reused");
            }
            Err(SubmitError::Unavailable(Unavailable::Late)) => {
                self.refused += 1;
                auditor.coverage.hit("deadline passed");
            }
            Err(SubmitError::Unavailable(why)) => {
                if *why == Unavailable::Overloaded("the queue of one of its accounts") {
                    auditor.coverage.hit("account's queue full");
                }
                self.refused += 1;
                auditor.coverage.hit("overloaded");
            }
            Err(SubmitError::Conflict) => {
                // Nothing happened, and nothing will: its verb makes it anew, or not at all.
                self.unsettled.remove(&body.id);
                self.overtaken.push(body.clone());
                auditor.conflicted(body, began);
            }
            Err(SubmitError::Managed { .. } | SubmitError::Denied { .. }) => {
                panic!("{}: a transaction was refused for what it names", body.id)
            }
            Err(SubmitError::Unknown) => panic!("{}: a shard dropped an answer while it ran", body.id),
        }
    }
}

/// An answer comes after each account that the transaction touches shows it.
fn shows(record: &Record, outcome: &Outcome, front: &Front) {
    let Record::Posted(posted) = record else { return };
    for operation in &posted.operations {
        let (debit, credit) = operation.kind.accounts();
        for no in [debit, credit] {
            let (balance, _) = front.directory.entry(no).read();
            assert!(
                balance.position >= outcome.position,
                "{} is answered, but account {} shows position {} of {}",
                posted.id,
                no.0,
                balance.position,
                outcome.position
            );
        }
    }
}

fn opened(opening: &AccountOpening, result: Result<(AccountNo, bool), AccountError>, auditor: &mut Auditor) {
    let known = auditor.names.accounts.get(&opening.address).map(|known| known.no);
    match result {
        Ok((no, first)) => {
            assert_eq!(known, Some(no), "{} is open before it is on disk", opening.address);
            let step = auditor.step;
            auditor.shown.entry(Thing::Account(opening.address.clone())).or_insert(step);
            auditor.coverage.hit(if first { "account opened" } else { "account exists" });
        }
        Err(AccountError::Exists { .. }) => {
            assert!(known.is_some(), "{} exists before it is on disk", opening.address);
            auditor.coverage.hit("account exists");
        }
        Err(AccountError::Unavailable(_)) => auditor.coverage.hit("overloaded"),
        Err(
            error @ (AccountError::AssetUnknown
            | AccountError::GroupsFull
            | AccountError::NotFound
            | AccountError::NotEmpty
            | AccountError::Closed
            | AccountError::BelowFloor
            | AccountError::AboveCeiling
            | AccountError::Denied(_)),
        ) => assert!(opening.floor > Some(0), "an opening is answered with {error}"),
    }
}

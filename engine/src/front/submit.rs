//! From a transaction to its outcome: claims, waits, the shard's answer, replays.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crossbeam::channel::TrySendError;
use futures_util::future::join_all;
use tokio::{sync::oneshot, time::timeout};

use super::{Front, Prepared, Terms, Wait, callers::Hearing};
use crate::{
    config::Config,
    fatal::fatal,
    journal::Record,
    model::{AccountNo, Caller, Lane, Position, Timestamp, Transaction},
    planted::{Bug, planted},
    shard::{
        Envelope, Input, ShardNo,
        completion::{Answer, BatchReply, Reply},
    },
    storage::bytes_of,
    view::{Outcome, SubmitError, Unavailable},
};

/// What of a batch has another way than through the shards at once.
#[derive(Default)]
struct Later {
    /// Ids that have an outcome.
    known: Vec<(u32, Transaction, Position)>,
    /// What waits, or has to be resolved again.
    waiting: Vec<(u32, Transaction)>,
    /// What can't be submitted as it is.
    refused: Vec<(u32, SubmitError)>,
}

impl Front {
    /// Transactions of a batch that are prepared, or answered again, in one turn of the caller's thread: others get
    /// theirs in between. At a few microseconds each, a turn is about a millisecond.
    const TRANSACTIONS_PER_TURN_MAX: usize = 256;

    /// Rounds of waiting after which a transaction that still meets others in its way is refused.
    const WAITS_MAX: usize = 64;

    /// Commands of one batch that travel to a shard in one message: others get their turn in between.
    const fn commands_per_message_max(lane: Lane) -> usize {
        match lane {
            Lane::Checkout => 512,
            // More urgent lanes wait for at most one message.
            Lane::Recharge | Lane::Batch => 16,
        }
    }

    pub(crate) async fn submit(
        &self,
        lane: Lane,
        caller: &Caller,
        deadline: Option<Timestamp>,
        transaction: Transaction,
    ) -> Result<Outcome, SubmitError> {
        self.submit_as(Terms { caller, lane, deadline, alone: true }, transaction).await
    }

    async fn submit_as(
        &self,
        terms: Terms<'_>,
        mut transaction: Transaction,
    ) -> Result<Outcome, SubmitError> {
        self.admission()?;
        self.take_room(bytes_of(&transaction))?;
        for _ in 0..Self::WAITS_MAX {
            let (sender, answer) = oneshot::channel();
            let prepared =
                self.prepare(transaction, terms, || Reply::One(sender)).unwrap_or_else(|error| fatal(&error));
            transaction = match prepared {
                Prepared::Known(transaction, position) => {
                    // It has an outcome, but not one that could be told.
                    self.indexed(position).await.map_err(|_| SubmitError::Unknown)?;
                    return self.replay(terms.caller, transaction, position);
                }
                Prepared::Wait(transaction, wait) => {
                    self.wait(wait).await?;
                    transaction
                }
                Prepared::Refused(error) => return Err(error),
                Prepared::Ready(envelope) => {
                    self.dispatch_one(terms.lane, envelope);
                    match answer.await {
                        Ok(Answer::Done(outcome)) => return Ok(outcome),
                        Ok(Answer::Unavailable(why)) => return Err(why.into()),
                        Ok(Answer::Stale(command)) => command.transaction,
                        Ok(Answer::Conflict) => return Err(SubmitError::Conflict),
                        // The shard has stopped with the answer on its way.
                        Err(_) => return Err(SubmitError::Unknown),
                    }
                }
            };
        }
        Err(Unavailable::Overloaded("what the transaction waits for").into())
    }

    /// One result for each, in the order given; there is no order between them.
    pub(crate) async fn submit_batch(
        &self,
        lane: Lane,
        caller: &Caller,
        deadline: Option<Timestamp>,
        transactions: Vec<Transaction>,
    ) -> Vec<Result<Outcome, SubmitError>> {
        if transactions.is_empty() {
            return Vec::new();
        }
        let bytes = transactions.iter().map(bytes_of).sum();
        if let Err(why) = self.admission().and_then(|()| self.take_room(bytes)) {
            return transactions.iter().map(|_| Err(why.into())).collect();
        }
        let terms = Terms { caller, lane, deadline, alone: false };
        let (reply, done) = BatchReply::new(transactions.len());
        let mut later = Later::default();
        let mut transactions = (0_u32..).zip(transactions).peekable();
        while transactions.peek().is_some() {
            // What is claimed goes on its way before the next turn: this call may end at any wait.
            let chunk = transactions.by_ref().take(Self::TRANSACTIONS_PER_TURN_MAX);
            self.dispatch_chunk(terms, chunk, &reply, &mut later);
            tokio::task::yield_now().await;
        }
        // Never an error: this thread keeps a handle on the sender.
        let _ = done.await;
        let mut results: Vec<Result<Outcome, SubmitError>> = Vec::new();
        for (index, answer) in (0_u32..).zip(reply.take()) {
            results.push(match answer {
                Some(Answer::Done(outcome)) => Ok(outcome),
                Some(Answer::Unavailable(why)) => Err(why.into()),
                Some(Answer::Conflict) => Err(SubmitError::Conflict),
                Some(Answer::Stale(command)) => {
                    later.waiting.push((index, command.transaction));
                    Err(Unavailable::Stopping.into())
                }
                None => Err(SubmitError::Unknown),
            });
        }
        for (index, result) in self.submit_later(terms, later).await {
            if let Some(slot) = usize::try_from(index).ok().and_then(|index| results.get_mut(index)) {
                *slot = result;
            }
        }
        results
    }

    /// Prepares a part of a batch and sends what is ready to its shards.
    fn dispatch_chunk(
        &self,
        terms: Terms<'_>,
        chunk: impl Iterator<Item = (u32, Transaction)>,
        reply: &Arc<BatchReply>,
        later: &mut Later,
    ) {
        let mut ready: Vec<Vec<Box<Envelope>>> = self.mailboxes.iter().map(|_| Vec::new()).collect();
        for (index, transaction) in chunk {
            let to = || Reply::Many(Arc::clone(reply), index);
            match self.prepare(transaction, terms, to).unwrap_or_else(|error| fatal(&error)) {
                Prepared::Ready(envelope) => {
                    if let Some(commands) = ready.get_mut(first_shard(&envelope).index()) {
                        commands.push(envelope);
                    }
                }
                Prepared::Known(transaction, position) => {
                    later.known.push((index, transaction, position));
                    reply.skip();
                }
                Prepared::Wait(transaction, _) => {
                    later.waiting.push((index, transaction));
                    reply.skip();
                }
                Prepared::Refused(error) => {
                    later.refused.push((index, error));
                    reply.skip();
                }
            }
        }
        for (shard, commands) in (0..).map(ShardNo).zip(ready) {
            self.dispatch(terms.lane, shard, commands);
        }
    }

    /// What is left of a batch when the rest of it is answered.
    async fn submit_later(&self, terms: Terms<'_>, later: Later) -> Vec<(u32, Result<Outcome, SubmitError>)> {
        let Later { known, waiting, refused } = later;
        let mut results: Vec<_> = refused.into_iter().map(|(index, error)| (index, Err(error))).collect();
        // One wait for all of them.
        let newest = known.iter().map(|(_, _, position)| *position).max().unwrap_or(Position::ZERO);
        let shown = self.indexed(newest).await;
        let mut known = known.into_iter().peekable();
        while known.peek().is_some() {
            for (index, transaction, position) in known.by_ref().take(Self::TRANSACTIONS_PER_TURN_MAX) {
                let result = shown.map_err(|_| SubmitError::Unknown);
                results.push((index, result.and_then(|()| self.replay(terms.caller, transaction, position))));
            }
            tokio::task::yield_now().await;
        }
        let submitted = waiting.into_iter().map(|(index, transaction)| async move {
            (index, Box::pin(self.submit_as(terms, transaction)).await)
        });
        results.extend(join_all(submitted).await);
        results
    }

    /// The outcome of an id that has one, which the index shows, if the body is the same.
    fn replay(
        &self,
        caller: &Caller,
        transaction: Transaction,
        position: Position,
    ) -> Result<Outcome, SubmitError> {
        let (at, record) = self.record(position).unwrap_or_else(|error| fatal(&error));
        // The verb compares documents itself: it may have composed other operations from the same request.
        let by_product = |first: bool| match (first, transaction.attachment.is_some()) {
            (true, true) => Some(None),
            (true, false) | (false, true) => Some(Some("/id".to_owned())),
            (false, false) => None,
        };
        let (difference, verdict, hearing) = match &record {
            Record::Posted(posted) => {
                let difference = by_product(posted.attachment.is_some());
                let hearing = self.hearing(caller, &posted.operations);
                (difference.unwrap_or_else(|| self.request(posted).difference(&transaction)), Ok(()), hearing)
            }
            Record::Refused(refused) => {
                let first = &refused.transaction;
                let difference = by_product(first.attachment.is_some());
                let hearing = self.hearing_of_refusal(caller, first, refused.rejection);
                let hearing = hearing.unwrap_or_else(|error| fatal(&error));
                (
                    difference.unwrap_or_else(|| first.difference(&transaction)),
                    Err(refused.rejection),
                    hearing,
                )
            }
            Record::AccountOpened { .. }
            | Record::AccountChanged { .. }
            | Record::HoldExpired { .. }
            | Record::Snapshot(_) => {
                fatal(&format_args!("position {position} holds no transaction, but an id leads there"))
            }
        };
        match (hearing, difference) {
            (Hearing::All, Some(field)) => return Err(SubmitError::IdReused { field }),
            // Which field differs would tell of the other's body.
            (Hearing::Same, Some(_)) | (Hearing::Nothing, _) => {
                return Err(SubmitError::IdReused { field: "/id".to_owned() });
            }
            (Hearing::All | Hearing::Same, None) => {}
        }
        self.counters.replayed();
        let decided_at = record.decided_at();
        Ok(Outcome { id: transaction.id, position, at, decided_at, verdict, replayed: true })
    }

    pub(crate) async fn wait(&self, wait: Wait) -> Result<(), Unavailable> {
        match wait {
            Wait::Copy(settled) => settled.await.unwrap_or(Err(Unavailable::Stopping)),
            // Whether it was admitted or not, the next look tells what it means here.
            Wait::Settled(settled) => {
                drop(settled.await);
                Ok(())
            }
            Wait::Indexed(position) => self.indexed(position).await,
            Wait::Change(account) => self.wait_for_change(account).await,
        }
    }

    /// Waits until nothing marks the account.
    pub(crate) async fn wait_for_change(&self, account: AccountNo) -> Result<(), Unavailable> {
        self.within_change_wait(self.directory.entry(account).unmarked()).await
    }

    /// Bounds a wait for a change of an account.
    pub(crate) async fn within_change_wait<T>(
        &self,
        wait: impl Future<Output = T>,
    ) -> Result<T, Unavailable> {
        let most = Duration::from_millis(self.config.change_wait_ms_max);
        timeout(most, wait).await.map_err(|_| Unavailable::Overloaded("a change of an account"))
    }

    fn dispatch_one(&self, lane: Lane, envelope: Box<Envelope>) {
        let shard = first_shard(&envelope);
        match self.count_in(1) {
            Ok(()) => self.send(lane, shard, Input::Command(envelope)),
            Err(why) => envelope.completion.refuse(&self.directory, &self.counters, why),
        }
    }

    #[expect(clippy::vec_box, reason = "an envelope is large and goes on alone")]
    fn dispatch(&self, lane: Lane, shard: ShardNo, commands: Vec<Box<Envelope>>) {
        let mut commands = commands.into_iter();
        loop {
            let most = Self::commands_per_message_max(lane).min(self.config.in_flight_commands_max);
            let message: Vec<_> = commands.by_ref().take(most).collect();
            if message.is_empty() {
                return;
            }
            match self.count_in(message.len()) {
                Ok(()) => self.send(lane, shard, Input::Commands(message)),
                Err(why) => self.refuse(Input::Commands(message), why),
            }
        }
    }

    /// Counts commands in, which are in flight from here on: also those that are refused now, until their end.
    pub(super) fn count_in(&self, commands: usize) -> Result<(), Unavailable> {
        if self.counters.enter(commands) > self.config.in_flight_commands_max
            && !planted(Bug::InFlightUnbounded)
        {
            return Err(Unavailable::Overloaded("the engine"));
        }
        // What a stop did not see in flight must not reach a shard that may be gone.
        if self.state.stopping.load(Ordering::SeqCst) { Err(Unavailable::Stopping) } else { Ok(()) }
    }

    fn send(&self, lane: Lane, shard: ShardNo, input: Input) {
        let Some(mailbox) = self.mailboxes.get(shard.index()) else { return };
        if let Err(error) = mailbox.try_send_in(lane, input) {
            let why = Self::not_sent(&error);
            self.refuse(error.into_inner(), why);
        }
    }

    pub(super) fn not_sent(error: &TrySendError<Input>) -> Unavailable {
        if error.is_full() { Unavailable::Overloaded("a shard's mailbox") } else { Unavailable::Stopping }
    }

    fn refuse(&self, input: Input, why: Unavailable) {
        let commands = match input {
            Input::Command(envelope) => vec![envelope],
            Input::Commands(envelopes) => envelopes,
            Input::Open { .. }
            | Input::Change { .. }
            | Input::Look { .. }
            | Input::Decided { .. }
            | Input::Synced(_)
            | Input::Sealed(_) => Vec::new(),
        };
        for envelope in commands {
            envelope.completion.refuse(&self.directory, &self.counters, why);
        }
    }
}

fn first_shard(envelope: &Envelope) -> ShardNo {
    envelope.guards.first().unwrap_or(ShardNo(0))
}

const _: () = assert!(Config::BATCH_TRANSACTIONS_MAX <= u32::MAX as usize);

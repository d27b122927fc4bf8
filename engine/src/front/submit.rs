//! From a transaction to its outcome: claims, waits, the shard's answer, replays.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::oneshot, time::timeout};

use super::{Front, Prepared, Wait};
use crate::{
    config::Config,
    fatal::fatal,
    journal::Record,
    model::{AccountNo, Lane, Position, Transaction},
    shard::{
        Envelope, Input, ShardNo,
        completion::{Answer, BatchReply, Reply},
    },
    view::{Outcome, SubmitError, Unavailable},
};

impl Front {
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
        mut transaction: Transaction,
    ) -> Result<Outcome, SubmitError> {
        self.admission()?;
        for _ in 0..Self::WAITS_MAX {
            let (sender, answer) = oneshot::channel();
            let prepared =
                self.prepare(transaction, || Reply::One(sender)).unwrap_or_else(|error| fatal(&error));
            transaction = match prepared {
                Prepared::Known(transaction, position) => return self.replay(transaction, position).await,
                Prepared::Wait(transaction, wait) => {
                    self.wait(wait).await?;
                    transaction
                }
                Prepared::Refused(error) => return Err(error),
                Prepared::Ready(envelope) => {
                    self.dispatch_one(lane, envelope);
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
        transactions: Vec<Transaction>,
    ) -> Vec<Result<Outcome, SubmitError>> {
        if transactions.is_empty() {
            return Vec::new();
        }
        if let Err(why) = self.admission() {
            return transactions.iter().map(|_| Err(why.into())).collect();
        }
        let (reply, done) = BatchReply::new(transactions.len());
        let mut later = Vec::new();
        let mut refused = Vec::new();
        let mut ready: Vec<Vec<Box<Envelope>>> = self.mailboxes.iter().map(|_| Vec::new()).collect();
        for (index, transaction) in (0_u32..).zip(transactions) {
            let to = || Reply::Many(Arc::clone(&reply), index);
            match self.prepare(transaction, to).unwrap_or_else(|error| fatal(&error)) {
                Prepared::Ready(envelope) => {
                    if let Some(commands) = ready.get_mut(first_shard(&envelope).index()) {
                        commands.push(envelope);
                    }
                }
                Prepared::Known(transaction, _) | Prepared::Wait(transaction, _) => {
                    later.push((index, transaction));
                    reply.skip();
                }
                Prepared::Refused(error) => {
                    refused.push((index, error));
                    reply.skip();
                }
            }
        }
        for (shard, commands) in (0..).map(ShardNo).zip(ready) {
            self.dispatch(lane, shard, commands);
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
                    later.push((index, command.transaction));
                    Err(Unavailable::Stopping.into())
                }
                None => Err(SubmitError::Unknown),
            });
        }
        let submitted = later.into_iter().map(|(index, transaction)| async move {
            (index, Box::pin(self.submit(lane, transaction)).await)
        });
        let refused = refused.into_iter().map(|(index, error)| (index, Err(error)));
        for (index, result) in join_all(submitted).await.into_iter().chain(refused) {
            if let Some(slot) = usize::try_from(index).ok().and_then(|index| results.get_mut(index)) {
                *slot = result;
            }
        }
        results
    }

    /// The outcome of an id that has one, if the body is the same.
    async fn replay(&self, transaction: Transaction, position: Position) -> Result<Outcome, SubmitError> {
        self.index.wait_for(position).await;
        let (at, record) = self.record(position).unwrap_or_else(|error| fatal(&error));
        // The verb compares documents itself: it may have composed other operations from the same request.
        let by_product = |first: bool| match (first, transaction.attachment.is_some()) {
            (true, true) => Some(None),
            (true, false) | (false, true) => Some(Some("/id".to_owned())),
            (false, false) => None,
        };
        let (difference, verdict) = match &record {
            Record::Posted(posted) => {
                let difference = by_product(posted.attachment.is_some());
                (difference.unwrap_or_else(|| self.request(posted).difference(&transaction)), Ok(()))
            }
            Record::Refused(refused) => {
                let first = &refused.transaction;
                let difference = by_product(first.attachment.is_some());
                (difference.unwrap_or_else(|| first.difference(&transaction)), Err(refused.rejection))
            }
            Record::AccountOpened { .. } | Record::AccountChanged { .. } | Record::HoldExpired { .. } => {
                fatal(&format_args!("position {position} holds no transaction, but an id leads there"))
            }
        };
        if let Some(field) = difference {
            return Err(SubmitError::IdReused { field });
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
            Wait::Indexed(position) => {
                self.index.wait_for(position).await;
                Ok(())
            }
            Wait::Change(account) => self.wait_for_change(account).await,
        }
    }

    /// Waits until nothing marks the account.
    pub(crate) async fn wait_for_change(&self, account: AccountNo) -> Result<(), Unavailable> {
        let entry = self.directory.entry(account);
        self.within_change_wait(async {
            loop {
                let quiet = entry.quiet.notified();
                if !entry.is_marked() {
                    return;
                }
                quiet.await;
            }
        })
        .await
    }

    /// Bounds a wait for a change of an account.
    pub(crate) async fn within_change_wait(&self, wait: impl Future<Output = ()>) -> Result<(), Unavailable> {
        let most = Duration::from_millis(self.config.change_wait_ms_max);
        timeout(most, wait).await.map_err(|_| Unavailable::Overloaded("a change of an account"))
    }

    fn dispatch_one(&self, lane: Lane, envelope: Box<Envelope>) {
        let shard = first_shard(&envelope);
        if !self.counters.enter(1, self.config.in_flight_commands_max) {
            // `refuse` counts it out.
            self.counters.force_enter(1);
            return envelope.completion.refuse(
                &self.directory,
                &self.counters,
                Unavailable::Overloaded("the engine"),
            );
        }
        self.send(lane, shard, Input::Command(envelope));
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
            if self.counters.enter(message.len(), self.config.in_flight_commands_max) {
                self.send(lane, shard, Input::Commands(message));
            } else {
                self.counters.force_enter(message.len());
                self.refuse(Input::Commands(message), Unavailable::Overloaded("the engine"));
            }
        }
    }

    fn send(&self, lane: Lane, shard: ShardNo, input: Input) {
        let Some(mailbox) = self.mailboxes.get(shard.index()) else { return };
        if let Err(error) = mailbox.try_send_in(lane, input) {
            let why = if error.is_full() {
                Unavailable::Overloaded("a shard's mailbox")
            } else {
                Unavailable::Stopping
            };
            self.refuse(error.into_inner(), why);
        }
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

//! Opening and changing accounts.

use std::sync::Arc;

use super::{Front, callers::may_change};
use crate::{
    directory::{AccountEntry, AddressClaim},
    metrics::InFlight,
    model::{AccountChange, AccountNo, AccountOpening, AccountStatus, Address, Caller, Patch},
    shard::{AccountReply, Input, ShardNo},
    storage::ACCOUNT_BYTES,
    view::{AccountError, Unavailable},
};

impl Front {
    /// The account's number, and whether this call opened it.
    pub(crate) async fn open_account(
        &self,
        opening: AccountOpening,
    ) -> Result<(AccountNo, bool), AccountError> {
        let asset = self.assets.find(&opening.asset).ok_or(AccountError::AssetUnknown)?;
        // A new account's balance is zero; an open one is compared with its first body instead.
        if self.directory.find(opening.address.as_str()).is_none() {
            if opening.floor.is_some_and(|floor| floor > 0) {
                return Err(AccountError::BelowFloor);
            }
            if opening.ceiling.is_some_and(|ceiling| ceiling < 0) {
                return Err(AccountError::AboveCeiling);
            }
        }
        self.admission()?;
        self.take_room(ACCOUNT_BYTES)?;
        let opening = Arc::new(opening);
        loop {
            match self.directory.claim_address(&opening.address, self.config.address_groups_max) {
                AddressClaim::Open(no) => {
                    let first = &self.directory.entry(no).opening;
                    return match difference(first, &opening) {
                        None => Ok((no, false)),
                        Some(field) => Err(AccountError::Exists { field }),
                    };
                }
                AddressClaim::InFlight(settled) => settled.await.unwrap_or(Err(Unavailable::Stopping))?,
                AddressClaim::GroupsFull => return Err(AccountError::GroupsFull),
                AddressClaim::Claimed => {
                    let shard = ShardNo(opening.address.shard(self.directory.shards()));
                    let scale = self.assets.get(asset).scale;
                    let input = |reply| Input::Open { opening: Arc::clone(&opening), asset, scale, reply };
                    // Nobody can go away between the claim and here, and behind it the opening ends in any case.
                    let sent = self.send_account(shard, input).inspect_err(|&why| {
                        self.directory.abandon_opening(&opening.address, why);
                    });
                    return Ok((answer(sent?).await?, true));
                }
            }
        }
    }

    /// Puts an opening or a change into its shard's mailbox. From then on it is in flight until the shard answers.
    pub(super) fn send_account(
        &self,
        shard: ShardNo,
        input: impl FnOnce(AccountReply) -> Input,
    ) -> Result<AccountAnswer, Unavailable> {
        let entered = self.count_in(1);
        let (reply, answer) = AccountReply::new(InFlight::new(&self.counters));
        entered?;
        let mailbox = self.mailboxes.get(shard.index()).ok_or(Unavailable::Stopping)?;
        mailbox.try_send(input(reply)).map_err(|error| Self::not_sent(&error))?;
        Ok(answer)
    }

    pub(crate) async fn change_account(
        &self,
        caller: &Caller,
        address: &Address,
        change: AccountChange,
    ) -> Result<AccountNo, AccountError> {
        // One look for both: whose the account is never changes once it is there.
        let found = self.directory.find(address.as_str());
        let managed = found.is_some_and(|no| self.directory.entry(no).opening.managed);
        may_change(caller, address, managed, &change)?;
        self.admission()?;
        self.take_room(ACCOUNT_BYTES)?;
        let no = found.ok_or(AccountError::NotFound)?;
        let entry = self.directory.entry(no);
        // One deadline for both: other changes may take the mark first, again and again.
        let mut mark = self
            .within_change_wait(async {
                while !entry.mark() {
                    entry.unmarked().await;
                }
                // The mark must end also when the caller goes away while it waits.
                let mark = Mark { entry, sent: false };
                entry.has_left().await;
                mark
            })
            .await?;
        if closes_again(entry.flags().status, &change) {
            return Ok(no);
        }
        let sent = self.send_account(entry.shard, |reply| Input::Change { no, change, reply })?;
        mark.sent = true;
        answer(sent).await
    }
}

type AccountAnswer = tokio::sync::oneshot::Receiver<Result<AccountNo, AccountError>>;
/// Whether a change says no more than what is there already, for ever. To be asked with the mark: the change before has
/// been published then.
fn closes_again(status: AccountStatus, change: &AccountChange) -> bool {
    let closing = AccountChange { status: Patch::Set(AccountStatus::Closed), ..AccountChange::default() };
    status == AccountStatus::Closed && *change == closing
}

/// A shard that took a message answers it before it stops.
async fn answer(answer: AccountAnswer) -> Result<AccountNo, AccountError> {
    answer.await.unwrap_or(Err(Unavailable::Stopping.into()))
}

/// A marked account; unmarked unless the change is on its way (the shard unmarks it then).
struct Mark<'a> {
    entry: &'a AccountEntry,
    sent: bool,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        if !self.sent {
            self.entry.unmark();
        }
    }
}

/// JSON Pointer of the first field in which two openings differ.
fn difference(first: &AccountOpening, other: &AccountOpening) -> Option<String> {
    let fields = [
        (first.asset == other.asset, "/asset"),
        (first.normal == other.normal, "/normal"),
        (first.floor == other.floor, "/floor"),
        (first.ceiling == other.ceiling, "/ceiling"),
        (first.limits == other.limits, "/limits"),
        (first.metadata == other.metadata, "/metadata"),
        // Not a field of a body: the address is the product's.
        (first.managed == other.managed, "/address"),
    ];
    fields.into_iter().find(|(same, _)| !same).map(|(_, field)| field.to_owned())
}

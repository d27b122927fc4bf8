//! Opening and changing accounts.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Front;
use crate::{
    config::Config,
    directory::{AddressClaim, Directory},
    model::{AccountChange, AccountNo, AccountOpening, AccountStatus, Address, Patch},
    shard::Input,
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
            match self.directory.claim_address(&opening, asset) {
                AddressClaim::Open(no) => {
                    let first = &self.directory.entry(no).opening;
                    return match difference(first, &opening) {
                        None => Ok((no, false)),
                        Some(field) => Err(AccountError::Exists { field }),
                    };
                }
                AddressClaim::InFlight(settled) => settled.await.unwrap_or(Err(Unavailable::Stopping))?,
                AddressClaim::Claimed(no) => {
                    // The opening must end also when the caller goes away: the shard answers to nobody then.
                    let guard =
                        Opening { directory: &self.directory, address: &opening.address, sent: false };
                    return self.send_opening(no, &opening, guard).await;
                }
            }
        }
    }

    async fn send_opening(
        &self,
        no: AccountNo,
        opening: &Arc<AccountOpening>,
        mut guard: Opening<'_>,
    ) -> Result<(AccountNo, bool), AccountError> {
        if no.0 >= Config::ACCOUNTS_MAX {
            return Err(Unavailable::Overloaded("the table of accounts").into());
        }
        let entry = self.directory.entry(no);
        let scale = self.assets.get(entry.asset).scale;
        let (reply, opened) = oneshot::channel();
        let input = Input::Open { no, opening: Arc::clone(opening), scale, reply };
        let mailbox = self.mailboxes.get(entry.shard.index()).ok_or(Unavailable::Stopping)?;
        mailbox.try_send(input).map_err(|_| Unavailable::Overloaded("a shard's mailbox"))?;
        guard.sent = true;
        opened.await.unwrap_or(Err(Unavailable::Stopping.into()))?;
        Ok((no, true))
    }

    pub(crate) async fn change_account(
        &self,
        address: &Address,
        change: AccountChange,
    ) -> Result<AccountNo, AccountError> {
        self.admission()?;
        self.take_room(ACCOUNT_BYTES)?;
        let no = self.directory.find(address.as_str()).ok_or(AccountError::NotFound)?;
        let entry = self.directory.entry(no);
        while !entry.mark() {
            self.wait_for_change(no).await?;
        }
        // The mark must end also when the caller goes away while it waits.
        let mut guard = Mark { front: self, no, sent: false };
        self.within_change_wait(async {
            loop {
                let quiet = entry.quiet.notified();
                if entry.is_quiet() {
                    return;
                }
                quiet.await;
            }
        })
        .await?;
        if closes_again(entry.flags().status, &change) {
            return Ok(no);
        }
        let (reply, changed) = oneshot::channel();
        let mailbox = self.mailboxes.get(entry.shard.index()).ok_or(Unavailable::Stopping)?;
        mailbox
            .try_send(Input::Change { no, change, reply })
            .map_err(|_| Unavailable::Overloaded("a shard's mailbox"))?;
        guard.sent = true;
        changed.await.unwrap_or(Err(Unavailable::Stopping.into()))?;
        Ok(no)
    }
}

/// Whether a change says no more than what is there already, for ever. To be asked with the mark: the change before has
/// been published then.
fn closes_again(status: AccountStatus, change: &AccountChange) -> bool {
    let closing = AccountChange { status: Patch::Set(AccountStatus::Closed), ..AccountChange::default() };
    status == AccountStatus::Closed && *change == closing
}

/// An address that is claimed; given back unless the opening is on its way.
struct Opening<'a> {
    directory: &'a Directory,
    address: &'a Address,
    sent: bool,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.sent {
            self.directory.abandon_opening(self.address, Unavailable::Overloaded("a shard's mailbox"));
        }
    }
}

/// A marked account; unmarked unless the change is on its way (the shard unmarks it then).
struct Mark<'a> {
    front: &'a Front,
    no: AccountNo,
    sent: bool,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        if !self.sent {
            self.front.directory.entry(self.no).unmark();
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
    ];
    fields.into_iter().find(|(same, _)| !same).map(|(_, field)| field.to_owned())
}

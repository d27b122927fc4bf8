//! What can be asked: published balances at once, the past through the index.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::timeout;

use tokio::sync::oneshot;

use super::{Front, Wait};
use crate::{
    directory::{Found, PublishedBalance, PublishedRules},
    fatal::fatal,
    index::{self, IndexError},
    journal::{PostedTransaction, Record, RefusedTransaction},
    ledger::Account,
    model::{
        AccountNo, AccountOpening, AccountStatus, Address, Asset, CellKind, HoldId, Position, Timestamp,
        TransactionId,
    },
    planted::{Bug, planted},
    shard::{Input, Look},
    view::{
        AccountView, BalanceView, Event, EventView, HistoryCursor, HistoryEntry, HistoryQuery, HoldView,
        LimitView, Moment, Page, Point, PostedOperationView, TransactionView, Unavailable,
    },
};

/// An index that can't be read can't be trusted with the next duplicate either.
pub(super) fn sound<T>(result: Result<T, IndexError>) -> T {
    result.unwrap_or_else(|error| fatal(&error))
}

impl Front {
    /// Waits until the index shows everything up to a position.
    pub(crate) async fn indexed(&self, position: Position) -> Result<(), Unavailable> {
        if self.index.applied() >= position {
            return Ok(());
        }
        let most = Duration::from_millis(self.config.read_wait_ms_max);
        timeout(most, self.index.wait_for(position)).await.map_err(|_| Unavailable::Overloaded("the index"))
    }

    /// Waits until the shards show everything up to a position that the index shows: what one read tells, the next one
    /// and the next decision know.
    pub(crate) async fn shown(&self, position: Position) -> Result<(), Unavailable> {
        // They are at it: a look, another one after the other tasks, then one each millisecond.
        for look in 0..self.config.read_wait_ms_max.max(2) {
            if self.directory.shows(position) {
                return Ok(());
            }
            if look == 0 {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        // A shard that has stopped shows nothing more, and nobody decides any more.
        if self.state.stopping.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Unavailable::Overloaded("a shard"))
        }
    }

    pub(crate) fn account(&self, address: &Address, now: Timestamp) -> Option<AccountView> {
        self.directory.find(address.as_str()).map(|no| self.account_view(no, now))
    }

    pub(crate) fn account_view(&self, no: AccountNo, now: Timestamp) -> AccountView {
        let (balance, rules) = self.directory.entry(no).read();
        self.shown_view(no, &balance, &rules, now)
    }

    fn shown_view(
        &self,
        no: AccountNo,
        balance: &PublishedBalance,
        rules: &PublishedRules,
        now: Timestamp,
    ) -> AccountView {
        let entry = self.directory.entry(no);
        let (posted, held) = match entry.opening.normal {
            crate::model::NormalSide::Credit => (balance.net, balance.held_debits),
            crate::model::NormalSide::Debit => (-balance.net, balance.held_credits),
        };
        let limits = rules.limits.iter().map(|state| {
            let (used_amount, used_count) = state.used_at(now);
            LimitView { limit: state.limit.clone(), used_amount, used_count }
        });
        AccountView {
            address: entry.opening.address.clone(),
            asset: self.asset(no),
            normal: entry.opening.normal,
            status: rules.status,
            posted,
            held,
            available: posted - held,
            floor: rules.floor,
            ceiling: rules.ceiling,
            limits: limits.collect(),
            position: balance.position,
            opened_at: entry.opened_at().1,
            metadata: entry.opening.metadata.clone(),
            managed: entry.opening.managed,
        }
    }

    /// See [`crate::Engine::moment`].
    pub(crate) async fn moment(
        &self,
        addresses: &[Address],
        kinds: &'static [CellKind],
        now: Timestamp,
    ) -> Result<Moment, Unavailable> {
        let numbers: Vec<_> = addresses.iter().map(|address| self.directory.find(address.as_str())).collect();
        let accounts: Vec<_> = numbers.iter().copied().flatten().collect();
        let Some(&first) = accounts.first() else {
            let cells = kinds.iter().map(|_| None).collect();
            return Ok(Moment { accounts: numbers.iter().map(|_| None).collect(), cells });
        };
        let shard = self.directory.shard_of(first);
        let (reply, look) = oneshot::channel();
        let mailbox = self.mailboxes.get(shard.index()).ok_or(Unavailable::Stopping)?;
        mailbox
            .try_send(Input::Look { accounts: accounts.clone(), kinds, reply })
            .map_err(|_| Unavailable::Overloaded("a shard's mailbox"))?;
        let Look { accounts: shown, cells } = look.await.map_err(|_| Unavailable::Stopping)?;
        let mut views = accounts
            .iter()
            .zip(&shown)
            .map(|(&no, (balance, rules))| self.shown_view(no, balance, rules, now));
        let accounts = numbers.iter().map(|no| no.and_then(|_| views.next())).collect();
        // Cells belong to the first address that was asked for.
        let cells = if numbers.first().is_some_and(Option::is_some) {
            cells
        } else {
            kinds.iter().map(|_| None).collect()
        };
        Ok(Moment { accounts, cells })
    }

    pub(crate) fn accounts(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Page<AccountView, Address> {
        let limit = limit.clamp(1, self.config.page_rows_max);
        let mut numbers: Vec<_> = self.directory.list(prefix, after).take(limit + 1).collect();
        let more = numbers.len() > limit;
        numbers.truncate(limit);
        let items: Vec<_> = numbers.into_iter().map(|no| self.account_view(no, now)).collect();
        let next = items.last().filter(|_| more).map(|last| last.address.clone());
        Page { items, next }
    }

    /// Waits for one in flight.
    pub(crate) async fn transaction(
        &self,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, Unavailable> {
        let position = loop {
            match self.directory.transactions.find(id) {
                Found::Known(position) => break position,
                Found::InFlight(settled) => {
                    let _ = self.wait(Wait::Settled(settled)).await;
                }
                Found::Absent => match sound(self.index.find_transaction(id)) {
                    Some(position) => break position,
                    None => return Ok(None),
                },
            }
        };
        self.indexed(position).await?;
        match sound(self.record(position)) {
            (at, Record::Posted(posted)) => Ok(Some(self.posted_view(position, at, &posted))),
            (at, Record::Refused(refused)) => Ok(Some(refused_view(position, at, refused))),
            (
                _,
                Record::AccountOpened { .. }
                | Record::AccountChanged { .. }
                | Record::HoldExpired { .. }
                | Record::Snapshot(_),
            ) => fatal(&format_args!("position {position} holds no transaction, but an id leads there")),
        }
    }

    fn posted_view(&self, position: Position, at: Timestamp, posted: &PostedTransaction) -> TransactionView {
        let operations = posted.operations.iter().map(|operation| {
            let (debit, credit) = operation.kind.accounts();
            PostedOperationView {
                kind: operation.kind.clone(),
                code: operation.code.clone(),
                debit: self.address(debit),
                credit: self.address(credit),
                asset: self.asset(debit),
            }
        });
        let verdict = Ok(operations.collect());
        TransactionView {
            position,
            at,
            decided_at: posted.decided_at,
            request: self.request(posted),
            verdict,
        }
    }

    /// Waits for one in flight.
    pub(crate) async fn hold_view(&self, id: HoldId) -> Result<Option<HoldView>, Unavailable> {
        while let Found::InFlight(settled) = self.directory.holds.find(id) {
            let _ = self.wait(Wait::Settled(settled)).await;
        }
        self.indexed(self.state.synced()).await?;
        let found = sound(self.index.find_hold(id));
        self.shown(self.index.applied()).await?;
        Ok(found.map(|row| HoldView {
            id,
            ended: row.ended.map(|(end, _)| end),
            amount: row.amount,
            captured: row.captured,
            expires_at: row.expires_at,
            debit: self.address(row.debit),
            credit: self.address(row.credit),
            asset: self.asset(row.debit),
        }))
    }

    pub(crate) async fn history(
        &self,
        address: &Address,
        query: HistoryQuery,
    ) -> Result<Option<Page<HistoryEntry, HistoryCursor>>, Unavailable> {
        let Some(account) = self.directory.find(address.as_str()) else { return Ok(None) };
        self.indexed(self.state.synced()).await?;
        let limit = query.limit.clamp(1, self.config.page_rows_max);
        let HistoryQuery { from, to, cursor: before, .. } = query;
        let query = index::HistoryQuery { account, from, to, before, limit: limit + 1 };
        let mut rows = sound(self.index.history(&query));
        self.shown(self.index.applied()).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(index::HistoryRow::cursor);
        let items = rows.into_iter().map(|row| HistoryEntry {
            position: row.position,
            at: row.at,
            transaction: row.transaction,
            operation: row.operation,
            kind: row.kind,
            direction: row.direction,
            amount: row.amount,
            balance: row.balance,
            counterparty: self.address(row.counterparty),
            code: row.code,
        });
        Ok(Some(Page { items: items.collect(), next }))
    }

    pub(crate) async fn balance_at(
        &self,
        address: &Address,
        point: Point,
    ) -> Result<Option<BalanceView>, Unavailable> {
        let Some(account) = self.directory.find(address.as_str()) else { return Ok(None) };
        self.indexed(self.state.synced()).await?;
        let found = sound(self.index.balance_at(account, point));
        self.shown(self.index.applied()).await?;
        Ok(found.map(|index::BalanceAt { posted, position, at }| BalanceView {
            posted,
            asset: self.asset(account),
            position,
            at,
        }))
    }

    pub(crate) async fn events(&self, after: Position, limit: usize) -> Result<Vec<EventView>, Unavailable> {
        self.indexed(self.state.synced()).await?;
        let limit = limit.clamp(1, self.config.page_rows_max);
        let mut records = sound(self.index.records(after, limit));
        if planted(Bug::EventsWithAGap) {
            records.retain(|(_, _, record)| !matches!(record, Record::HoldExpired { .. }));
        }
        self.shown(self.index.applied()).await?;
        let view =
            |(position, at, record)| EventView { position, at, event: self.event(position, at, record) };
        Ok(records.into_iter().map(view).collect())
    }

    /// A record as an event. What it says is as of the record, so that the same event always says the same.
    fn event(&self, position: Position, at: Timestamp, record: Record) -> Event {
        match record {
            Record::Snapshot(_) => Event::Snapshot,
            Record::AccountOpened { no, opening, .. } => {
                Event::AccountOpened(Arc::new(self.opened_view(no, opening, position, at)))
            }
            Record::AccountChanged { no, decided_at, .. } => {
                let account = sound(self.index.account_as_changed(position)).unwrap_or_else(|| {
                    fatal(&format_args!(
                        "position {position} changes an account, and the index does not say how"
                    ))
                });
                Event::AccountChanged(Arc::new(self.changed_view(no, &account, position, decided_at)))
            }
            Record::Posted(posted) if posted.operations.is_empty() => Event::WalletChanged,
            Record::Posted(posted) => Event::TransactionPosted(self.posted_view(position, at, &posted)),
            Record::Refused(refused) => Event::TransactionRefused(refused_view(position, at, refused)),
            Record::HoldExpired { hold, debit, credit, held, .. } => {
                let row = sound(self.index.find_hold(hold)).unwrap_or_else(|| {
                    fatal(&format_args!("position {position} expires a hold that the index does not know"))
                });
                Event::HoldExpired(HoldView {
                    id: hold,
                    ended: Some(crate::model::HoldEnd::Expired),
                    amount: held,
                    captured: crate::model::Amount::ZERO,
                    expires_at: row.expires_at,
                    debit: self.address(debit),
                    credit: self.address(credit),
                    asset: self.asset(debit),
                })
            }
        }
    }

    /// An account as it was when it was opened.
    fn opened_view(
        &self,
        no: AccountNo,
        opening: AccountOpening,
        position: Position,
        at: Timestamp,
    ) -> AccountView {
        let unused = |limit| LimitView { limit, used_amount: 0, used_count: 0 };
        AccountView {
            address: opening.address,
            asset: self.asset(no),
            normal: opening.normal,
            status: AccountStatus::Active,
            posted: 0,
            held: 0,
            available: 0,
            floor: opening.floor,
            ceiling: opening.ceiling,
            limits: opening.limits.into_iter().map(unused).collect(),
            position,
            opened_at: at,
            metadata: opening.metadata,
            managed: opening.managed,
        }
    }

    /// An account as it was right after the record that changed its rules.
    fn changed_view(
        &self,
        no: AccountNo,
        account: &Account,
        position: Position,
        decided_at: Timestamp,
    ) -> AccountView {
        let entry = self.directory.entry(no);
        let limits = account.limits().iter().map(|state| {
            let (used_amount, used_count) = state.used_at(decided_at);
            LimitView { limit: state.limit.clone(), used_amount, used_count }
        });
        AccountView {
            address: entry.opening.address.clone(),
            asset: self.asset(no),
            normal: entry.opening.normal,
            status: account.status(),
            posted: account.posted(),
            held: account.held(),
            available: account.available(),
            floor: account.floor(),
            ceiling: account.ceiling(),
            limits: limits.collect(),
            position,
            opened_at: entry.opened_at().1,
            metadata: entry.opening.metadata.clone(),
            managed: entry.opening.managed,
        }
    }

    pub(crate) fn address(&self, no: AccountNo) -> Address {
        self.directory.entry(no).opening.address.clone()
    }

    pub(crate) fn asset(&self, no: AccountNo) -> Asset {
        self.assets.get(self.directory.entry(no).asset).clone()
    }
}

fn refused_view(position: Position, at: Timestamp, refused: RefusedTransaction) -> TransactionView {
    let RefusedTransaction { transaction, rejection, decided_at, .. } = refused;
    TransactionView { position, at, decided_at, request: transaction, verdict: Err(rejection) }
}

//! Wires it all: the only type that callers need.
use crate::{config::Config, model::*, view::*};
use std::sync::Arc;

/// stub while being written
#[derive(Clone)]
pub struct Engine(Arc<()>);
#[derive(Debug, thiserror::Error)]
/// Why an engine did not start.
pub enum OpenError {
    /// stub
    #[error("{0}")]
    Stub(String),
}
#[allow(unused_variables, clippy::todo, missing_docs)]
impl Engine {
    /// Recovers and starts (blocking; returns when ready). Aborts the process on journal errors later.
    pub fn open(config: Config) -> Result<Self, OpenError> { todo!() }
    /// Stops taking commands, waits for what was admitted, syncs, joins the threads.
    pub fn close(self) { todo!() }
    pub fn assets(&self) -> &Assets { todo!() }
    /// (view, true) when this call opened it
    pub async fn open_account(&self, opening: AccountOpening) -> Result<(AccountView, bool), AccountError> { todo!() }
    pub async fn change_account(&self, address: &Address, change: AccountChange) -> Result<AccountView, AccountError> { todo!() }
    /// no waiting, no disk
    pub fn account(&self, address: &Address) -> Option<AccountView> { todo!() }
    /// by address; `after` exclusive
    pub fn accounts(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page<AccountView, Address> { todo!() }
    pub async fn submit(&self, transaction: Transaction) -> Result<Outcome, SubmitError> { todo!() }
    /// one result each, in the order given
    pub async fn submit_batch(&self, transactions: Vec<Transaction>) -> Vec<Result<Outcome, SubmitError>> { todo!() }
    pub async fn transaction(&self, id: TransactionId) -> Option<TransactionView> { todo!() }
    pub async fn hold(&self, id: HoldId) -> Option<HoldView> { todo!() }
    pub async fn history(&self, address: &Address, query: HistoryQuery) -> Option<Page<HistoryEntry, HistoryCursor>> { todo!() }
    /// None: no such account, or the point is before its opening
    pub async fn balance_at(&self, address: &Address, point: Point) -> Option<BalanceView> { todo!() }
    pub async fn trial_balance(&self) -> TrialBalance { todo!() }
    /// events after a position, at most limit; empty when there is none yet
    pub async fn events(&self, after: Position, limit: usize) -> Vec<EventView> { todo!() }
    /// changes whenever `events` has more
    pub fn head(&self) -> tokio::sync::watch::Receiver<Position> { todo!() }
    /// for /metrics; a plain struct of atomics/counters, see metrics.rs
    pub fn metrics(&self) -> crate::metrics::Snapshot { todo!() }
    /// cheap, before any parsing: Err if new writes would be refused now
    pub fn admission(&self) -> Result<(), Unavailable> { todo!() }
}

//! How a step of a day is decided once, although the engine may be busy and an account may take no part for a while.

use std::time::Duration;

use super::{Date, step_id};
use crate::{
    view::Unavailable,
    wallet::{
        Wallet, WalletError,
        document::Document,
        step::{Draft, Settled},
    },
};

/// Milliseconds between two tries while the engine is overloaded.
const RETRY_MS: u64 = 20;

impl Wallet {
    /// Decides a step of the day that always has the same content; `fill` adds what it moves.
    pub(super) async fn settle<D: Document + Clone + Sync>(
        &self,
        verb: &str,
        date: Date,
        document: &D,
        fill: impl Fn(&mut Draft<D>) + Sync,
    ) -> Result<Settled<D>, WalletError> {
        let id = |attempt| step_id(verb, date, &[], attempt);
        let (posted, attempt) = self.posted_attempt(id).await?;
        if let Some(posted) = posted {
            return Ok(posted);
        }
        let make = || {
            let mut draft = Draft::new(id(attempt), document.clone());
            fill(&mut draft);
            draft
        };
        let settled = self.submit_patiently(make).await?.ok_or_else(Self::overtaken)?;
        settled.posted()?;
        Ok(settled)
    }

    /// Submits, and tries again for a while when the engine is overloaded: nobody waits at a till.
    pub(super) async fn submit_patiently<D: Document>(
        &self,
        make: impl Fn() -> Draft<D> + Send,
    ) -> Result<Option<Settled<D>>, WalletError> {
        let mut waited_ms = 0;
        loop {
            match self.submit(make()).await {
                Err(WalletError::Unavailable(Unavailable::Overloaded(_)))
                    if waited_ms < self.settings().wealth_patience_ms =>
                {
                    tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
                    waited_ms += RETRY_MS;
                }
                other => return other,
            }
        }
    }
}

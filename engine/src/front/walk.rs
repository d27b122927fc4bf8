//! Walks over many accounts, a page at a time: what a day's work goes through.
//!
//! Never keeps more than a page, and never looks at more accounts in one turn than a page has rows.

use super::{Front, reads::sound};
use crate::{
    index::Point,
    model::{AccountNo, Address, NormalSide, Position},
    view::{Page, PastBalance, Unavailable},
};

impl Front {
    /// See [`crate::Engine::addresses`].
    pub(crate) fn addresses<T>(
        &self,
        prefix: &str,
        after: Option<&str>,
        take: impl Fn(&Address) -> Option<T>,
    ) -> Page<T, Address> {
        self.walk(prefix, after, |_, address| take(address))
    }

    /// See [`crate::Engine::balances_at`].
    pub(crate) async fn balances_at(
        &self,
        prefix: &str,
        after: Option<&str>,
        position: Position,
        take: impl Fn(&Address) -> bool + Send,
    ) -> Result<Page<PastBalance, Address>, Unavailable> {
        // The index follows the shards' notices: what it shows, they show after a moment. From then on, a published
        // balance that has not changed since the position is the balance there.
        self.indexed(position).await?;
        self.shown(position).await?;
        Ok(self.walk(prefix, after, |no, address| {
            if take(address) { self.past_balance(no, address, position) } else { None }
        }))
    }

    fn past_balance(&self, no: AccountNo, address: &Address, position: Position) -> Option<PastBalance> {
        let entry = self.directory.entry(no);
        let (balance, rules) = entry.read();
        let posted = if balance.position <= position {
            match entry.opening.normal {
                NormalSide::Credit => balance.net,
                NormalSide::Debit => -balance.net,
            }
        } else {
            // None: it was opened later.
            sound(self.index.balance_at(no, Point::Position(position)))?.posted
        };
        let managed = entry.opening.managed;
        Some(PastBalance { address: address.clone(), posted, status: rules.status, managed })
    }

    fn walk<T>(
        &self,
        prefix: &str,
        after: Option<&str>,
        take: impl Fn(AccountNo, &Address) -> Option<T>,
    ) -> Page<T, Address> {
        let mut items = Vec::new();
        let (mut looked_at, mut last) = (0, None);
        for no in self.directory.list(prefix, after).take(self.config.page_rows_max) {
            let address = &self.directory.entry(no).opening.address;
            items.extend(take(no, address));
            (looked_at, last) = (looked_at + 1, Some(address));
        }
        let more = looked_at == self.config.page_rows_max;
        Page { items, next: last.filter(|_| more).cloned() }
    }
}

//! What product verbs put beside their operations: documents, aliases, cells, and what no honest verb would.
//!
//! Owns a chance of its own, so that the rest of a run is disturbed as little as can be. Reads cells where the wallet reads
//! them: as they are shown. Invariant: an attachment has each alias and each cell once, as `model::Attachment` wants it.

use super::random::Random;
use crate::{
    front::Front,
    model::{AccountOpening, Address, Attachment, CellKind, CellWrite, Transaction, TransactionId},
};

/// One of so many new transactions is a verb's.
const VERB_EACH: usize = 8;
/// Aliases that are likely to be named again.
const RECENT: usize = 16;
/// Verbs that were overtaken and are to be made anew, at the most.
const OVERTAKEN_MAX: usize = 8;
/// One of so many documents and cells is as large as can be.
const LARGE_EACH: usize = 300;
const KINDS: [CellKind; 3] = [CellKind(0), CellKind(7), CellKind(u8::MAX)];

pub(super) struct Verbs {
    random: Random,
    aliases: Vec<TransactionId>,
    overtaken: Vec<Transaction>,
    next: u128,
    /// One of so many things is wrong.
    honest: usize,
}

impl Verbs {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed.rotate_left(16) ^ 0x5afe);
        let honest = *random.pick(&[4, 12, 40]);
        Self { random, aliases: Vec::new(), overtaken: Vec::new(), next: 0, honest }
    }

    /// Perhaps makes a verb of a transaction that was never sent.
    pub(super) fn attach(
        &mut self,
        front: &Front,
        accounts: &[AccountOpening],
        sent: &[Transaction],
        transaction: &mut Transaction,
    ) {
        if !self.random.once_in(VERB_EACH) {
            return;
        }
        if self.random.once_in(3) {
            transaction.operations.clear();
        }
        let aliases = self.some_aliases(sent, transaction.id);
        let attachment = Attachment { document: self.bytes(), aliases, cells: self.cells(front, accounts) };
        transaction.attachment = Some(Box::new(attachment));
    }

    /// Perhaps the copy of a transaction has another attachment, an ordinary one has any, or it has an alias for its id.
    pub(super) fn alter(&mut self, front: &Front, accounts: &[AccountOpening], copy: &mut Transaction) {
        if let Some(alias) = self.alias()
            && copy.attachment.as_ref().is_none_or(|attachment| !attachment.aliases.contains(&alias))
        {
            copy.id = alias;
        }
        match (&mut copy.attachment, self.random.below(24)) {
            (Some(attachment), 0..4) => attachment.document = self.bytes(),
            (Some(attachment), 4..12) => attachment.cells = self.cells(front, accounts),
            (Some(_), 12..15) if !copy.operations.is_empty() => copy.attachment = None,
            (None, 0) => {
                let (document, cells) = (self.bytes(), self.cells(front, accounts));
                copy.attachment = Some(Box::new(Attachment { document, aliases: Vec::new(), cells }));
            }
            (Some(_) | None, _) => {}
        }
    }

    /// A verb that was overtaken is to be made anew.
    pub(super) fn overtaken(&mut self, transactions: impl IntoIterator<Item = Transaction>) {
        for transaction in transactions {
            if self.overtaken.len() < OVERTAKEN_MAX {
                self.overtaken.push(transaction);
            }
        }
    }

    /// A verb that was overtaken, from what is shown now, under the same id.
    pub(super) fn again(&mut self, front: &Front) -> Option<Transaction> {
        if self.overtaken.is_empty() || !self.random.once_in(4) {
            return None;
        }
        let mut transaction = self.overtaken.swap_remove(self.random.below(self.overtaken.len()));
        for write in transaction.attachment.iter_mut().flat_map(|attachment| &mut attachment.cells) {
            write.revision = self.revision(front, &write.account, write.kind);
        }
        Some(transaction)
    }

    /// An alias of some verb, in place of a transaction's own id.
    pub(super) fn alias(&mut self) -> Option<TransactionId> {
        if self.aliases.is_empty() || !self.random.once_in(12) {
            return None;
        }
        let end = self.aliases.len();
        Some(self.aliases[end - 1 - self.random.below(end.min(RECENT))])
    }

    fn some_aliases(&mut self, sent: &[Transaction], own: TransactionId) -> Vec<TransactionId> {
        let mut aliases = Vec::new();
        for _ in 0..self.random.weighted(&[60, 25, 10, 2, 3]) {
            let alias = match self.random.below(2 * self.honest) {
                0 if !sent.is_empty() => sent[sent.len() - 1 - self.random.below(sent.len().min(RECENT))].id,
                1 if !self.aliases.is_empty() => *self.random.pick(&self.aliases),
                _ => {
                    self.next += 1;
                    TransactionId(0x8a11_a5e5 << 96 | u128::from(self.random.next()) << 32 | self.next)
                }
            };
            if alias != own && !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        self.aliases.extend(&aliases);
        aliases
    }

    fn cells(&mut self, front: &Front, accounts: &[AccountOpening]) -> Vec<CellWrite<Address>> {
        let mut cells: Vec<CellWrite<Address>> = Vec::new();
        let count = match self.random.below(64) {
            0..6 => 0,
            6..44 => 1,
            44..56 => 2,
            56..60 => 3,
            60..63 => Attachment::<Address>::CELLS_MAX,
            // More than any verb has.
            _ => 3 * Attachment::<Address>::CELLS_MAX,
        };
        for _ in 0..count {
            // Some accounts are hot, each third write.
            let end = if self.random.once_in(3) { 3 } else { accounts.len() };
            let account = accounts[accounts.len() - 1 - self.random.below(end)].address.clone();
            let unknown = self.random.once_in(20 * self.honest);
            let account = if unknown { Address::parse("nobody:2").expect("an address") } else { account };
            let kind = *self.random.pick(&KINDS);
            if !cells.iter().any(|write| (&write.account, write.kind) == (&account, kind)) {
                let revision = self.revision(front, &account, kind);
                cells.push(CellWrite { account, kind, revision, value: self.bytes() });
            }
        }
        cells
    }

    /// The one after what is shown, most often.
    fn revision(&mut self, front: &Front, account: &Address, kind: CellKind) -> u64 {
        let no = front.directory.find(account.as_str());
        let shown = no.and_then(|no| front.directory.entry(no).cell(kind)).map_or(0, |cell| cell.revision);
        match self.random.below(4 * self.honest) {
            0 => shown,
            1 => shown + 2,
            2 => 0,
            3 => u64::MAX,
            _ => shown + 1,
        }
    }

    fn bytes(&mut self) -> Box<[u8]> {
        let len = match self.random.below(LARGE_EACH) {
            0 => Attachment::<Address>::BYTES_MAX,
            1..30 => 0,
            _ => 1 + self.random.below(40),
        };
        let word = self.random.next().to_le_bytes();
        word.into_iter().cycle().take(len).collect()
    }
}

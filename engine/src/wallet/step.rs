//! A step of a verb: one ledger transaction with its document, found again under its id.
//!
//! Owns the way from a draft to an outcome. Never composes: the verbs do.

use std::time::Duration;

use compact_str::CompactString;
use smallvec::SmallVec;

use super::{
    Wallet, WalletError,
    code::{Refusal, WalletCode},
    document::{CellContent, Document, Held, decode, encode},
};
use crate::{
    model::{
        Address, Amount, Attachment, CellWrite, HoldId, Lane, Metadata, Operation, OperationKind, Position,
        Rejection, RequestedAmount, Timestamp, Transaction, TransactionId,
    },
    view::{SubmitError, TransactionView, Unavailable},
};

/// A transaction in the making.
pub(super) struct Draft<D> {
    pub(super) id: TransactionId,
    pub(super) document: D,
    pub(super) operations: SmallVec<[Operation; 2]>,
    pub(super) aliases: Vec<TransactionId>,
    pub(super) cells: Vec<CellWrite<Address>>,
    pub(super) lane: Lane,
}

/// A step that is on disk.
pub(super) struct Settled<D> {
    /// Its own, also where it was found by an alias.
    pub(super) id: TransactionId,
    pub(super) document: D,
    pub(super) verdict: Result<(), Rejection>,
    pub(super) position: Position,
    pub(super) at: Timestamp,
    pub(super) decided_at: Timestamp,
    /// Whether it was on disk before this call.
    pub(super) replayed: bool,
}

impl<D: Document> Draft<D> {
    pub(super) fn new(id: TransactionId, document: D) -> Self {
        Self {
            id,
            document,
            operations: SmallVec::new(),
            aliases: Vec::new(),
            cells: Vec::new(),
            lane: D::LANE,
        }
    }

    fn push(&mut self, kind: OperationKind, code: &'static str) -> &mut Self {
        self.operations.push(Operation { kind, code: Some(CompactString::const_new(code)) });
        self
    }

    /// Moves CNY; nothing if the amount is zero.
    pub(super) fn transfer(
        &mut self,
        debit: &Address,
        credit: &Address,
        amount: Amount,
        code: &'static str,
    ) -> &mut Self {
        self.move_units(debit, credit, amount, Self::CNY_SCALE, code)
    }

    /// Moves units of an asset without decimals (points, slots); nothing if there are none.
    pub(super) fn transfer_whole(
        &mut self,
        debit: &Address,
        credit: &Address,
        units: u64,
        code: &'static str,
    ) -> &mut Self {
        self.move_units(debit, credit, Amount(units), 0, code)
    }

    /// The decimals of CNY; fixed by the ledger.
    pub(super) const CNY_SCALE: u8 = 2;

    fn move_units(
        &mut self,
        debit: &Address,
        credit: &Address,
        amount: Amount,
        scale: u8,
        code: &'static str,
    ) -> &mut Self {
        if amount == Amount::ZERO {
            return self;
        }
        let (debit, credit) = (debit.clone(), credit.clone());
        let amount = RequestedAmount::from_units(amount, scale);
        self.push(OperationKind::Transfer { debit, credit, amount }, code)
    }

    /// Sets an amount aside, in units of an asset of `scale` decimals.
    pub(super) fn hold(
        &mut self,
        id: HoldId,
        (debit, credit): (&Address, &Address),
        (amount, scale): (Amount, u8),
        expires_in: u32,
        code: &'static str,
    ) -> &mut Self {
        let (debit, credit) = (debit.clone(), credit.clone());
        let amount = RequestedAmount::from_units(amount, scale);
        self.push(OperationKind::Hold { id, debit, credit, amount, expires_in }, code)
    }

    /// Captures a hold whole.
    pub(super) fn capture(&mut self, hold: HoldId, code: &'static str) -> &mut Self {
        self.push(OperationKind::Capture { hold, amount: None }, code)
    }

    /// Releases a hold.
    pub(super) fn release(&mut self, hold: HoldId, code: &'static str) -> &mut Self {
        self.push(OperationKind::Release { hold }, code)
    }

    /// Moves an amount of an earlier operation back.
    pub(super) fn reverse(
        &mut self,
        (transaction, operation): (TransactionId, u8),
        (amount, scale): (Amount, u8),
        code: &'static str,
    ) -> &mut Self {
        let amount = Some(RequestedAmount::from_units(amount, scale));
        self.push(OperationKind::Reverse { transaction, operation, amount }, code)
    }

    /// Writes a cell with it.
    pub(super) fn write<C: CellContent>(&mut self, cell: &Held<C>) -> &mut Self {
        self.cells.push(cell.write());
        self
    }

    /// Goes in the order of another lane than others of its kind.
    pub(super) fn in_lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Takes an id beside its own.
    pub(super) fn alias(&mut self, alias: TransactionId) -> &mut Self {
        self.aliases.push(alias);
        self
    }
}

impl Wallet {
    /// Times that a verb is composed anew when others come first; then it is refused as overloaded.
    pub(super) const TRIES_MAX: usize = 64;
    /// How long an overtaken verb waits at the most for what came first to be shown: about a group of the journal.
    const CONFLICT_WAIT_MAX: Duration = Duration::from_millis(5);

    /// A cell as it is on disk.
    pub(super) fn cell<C: CellContent>(&self, account: Address) -> Held<C> {
        let cell = self.engine().cell(&account, C::KIND);
        Held::read(account, cell.as_ref())
    }

    /// The step of an id, if it is on disk or on its way there.
    ///
    /// # Errors
    /// The index is too far behind to tell.
    pub(super) async fn find<D: Document>(
        &self,
        id: TransactionId,
    ) -> Result<Option<Settled<D>>, WalletError> {
        Ok(self.engine().transaction(id).await?.map(settled))
    }

    /// The attempt at a step that was posted; or else the next attempt's number. A refused attempt is a record, too: one
    /// of the step's accounts took no part then.
    pub(super) async fn posted_attempt<D: Document>(
        &self,
        id: impl Fn(u32) -> TransactionId + Send,
    ) -> Result<(Option<Settled<D>>, u32), WalletError> {
        let mut attempt = 0;
        while let Some(settled) = self.find::<D>(id(attempt)).await? {
            if settled.verdict.is_ok() {
                return Ok((Some(settled), attempt));
            }
            attempt += 1;
        }
        Ok((None, attempt))
    }

    /// Submits a draft; `None` if something that it was made from has changed meanwhile: make it anew.
    pub(super) async fn submit<D: Document>(
        &self,
        draft: Draft<D>,
    ) -> Result<Option<Settled<D>>, WalletError> {
        let Draft { id, document, operations, aliases, cells, lane } = draft;
        let bytes = encode(&document);
        if bytes.len() > Attachment::<Address>::BYTES_MAX {
            // Callers bound what they let in; what is left is their mistake, and nothing was applied.
            return Err(Unavailable::Overloaded("a wallet's document").into());
        }
        let attachment = Some(Box::new(Attachment { document: bytes, aliases, cells }));
        let (code, reference, metadata) = (None, None, Metadata::default());
        let transaction = Transaction { id, operations, code, reference, metadata, attachment };
        let deadline = self.deadline();
        let submitted = self.engine().submit_by(lane, deadline, transaction).await;
        if submitted.is_ok() {
            self.has_begun();
        }
        match submitted {
            // Somebody else's copy came first: what is on disk is its document.
            Ok(outcome) if outcome.replayed => self.find(id).await,
            Ok(outcome) => Ok(Some(Settled {
                id,
                document,
                verdict: outcome.verdict,
                position: outcome.position,
                at: outcome.at,
                decided_at: outcome.decided_at,
                replayed: false,
            })),
            Err(SubmitError::Conflict) => {
                // What came first may not be on disk yet, and what is read is what is on disk.
                let mut head = self.engine().head();
                let _ = tokio::time::timeout(Self::CONFLICT_WAIT_MAX, head.changed()).await;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is said when a verb was overtaken too often.
    pub(super) fn overtaken() -> WalletError {
        Unavailable::Overloaded("a wallet's turn").into()
    }
}

impl<D> Settled<D> {
    /// A refusal of the ledger as the wallet's, final and on record.
    pub(super) fn refusal(&self, code: WalletCode) -> WalletError {
        let (position, replayed) = (Some(self.position), self.replayed);
        WalletError::Refused(Box::new(Refusal { position, replayed, ..Refusal::new(code) }))
    }

    /// `Err` with the ledger's own code if it was refused.
    pub(super) fn posted(&self) -> Result<(), WalletError> {
        self.verdict.map_err(|rejection| self.refusal(WalletCode::Ledger(rejection.code)))
    }
}

fn settled<D: Document>(view: TransactionView) -> Settled<D> {
    let attachment = view.request.attachment.as_deref();
    let document = decode(attachment.map(|attachment| &*attachment.document).unwrap_or_default());
    Settled {
        id: view.request.id,
        document,
        verdict: view.verdict.map(|_| ()),
        position: view.position,
        at: view.at,
        decided_at: view.decided_at,
        replayed: true,
    }
}

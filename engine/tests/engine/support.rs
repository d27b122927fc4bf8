use smallvec::SmallVec;
use tempfile::TempDir;
use yue_engine::{
    Config, Engine,
    model::{
        AccountOpening, Address, Amount, Attachment, CellKind, CellWrite, HoldId, Metadata, NormalSide,
        Operation, OperationKind, RejectionCode, RequestedAmount, Transaction, TransactionId,
    },
    view::{Outcome, SubmitError},
};

pub(crate) struct Yue {
    pub(crate) engine: Engine,
    pub(crate) data: TempDir,
}

impl Yue {
    pub(crate) fn new(shards: u16) -> Self {
        Self::start(tempfile::tempdir().unwrap(), shards)
    }

    pub(crate) fn start(data: TempDir, shards: u16) -> Self {
        let engine = Engine::open(config(&data, shards)).unwrap();
        Self { engine, data }
    }

    /// Stops and starts on the same directory.
    pub(crate) async fn restart(self, shards: u16) -> Self {
        let Self { engine, data } = self;
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        Self::start(data, shards)
    }

    pub(crate) async fn open(&self, name: &str) {
        self.open_with(name, |_| ()).await;
    }

    pub(crate) async fn open_with(&self, name: &str, change: impl FnOnce(&mut AccountOpening)) {
        let mut opening = opening(name);
        change(&mut opening);
        assert!(self.engine.open_account(opening).await.unwrap().1, "{name} is new");
    }

    pub(crate) async fn fund(&self, name: &str, units: u64) {
        let outcome = self.engine.submit(one(transfer("channels:bank", name, units))).await.unwrap();
        assert_eq!(outcome.verdict, Ok(()));
    }

    pub(crate) fn posted(&self, name: &str) -> i128 {
        self.engine.account(&address(name)).unwrap().posted
    }

    pub(crate) fn available(&self, name: &str) -> i128 {
        self.engine.account(&address(name)).unwrap().available
    }

    pub(crate) async fn assert_balanced(&self) -> u64 {
        let balance = self.engine.trial_balance().await.unwrap();
        for totals in &balance.assets {
            assert_eq!(totals.debits, totals.credits, "{}", totals.asset.code);
        }
        balance.position.0
    }
}

pub(crate) fn config(data: &TempDir, shards: u16) -> Config {
    let mut config = Config::new(data.path());
    config.shards = shards;
    // Small, so that the tests seal segments.
    config.segment_records = 256;
    config
}

pub(crate) fn opening(name: &str) -> AccountOpening {
    let debit = name.starts_with("channels");
    AccountOpening {
        address: address(name),
        asset: "CNY".into(),
        normal: if debit { NormalSide::Debit } else { NormalSide::Credit },
        floor: Some(0),
        ceiling: None,
        limits: Vec::new(),
        metadata: Metadata::default(),
        managed: false,
    }
}

pub(crate) fn address(name: &str) -> Address {
    Address::parse(name).unwrap()
}

pub(crate) fn id() -> TransactionId {
    TransactionId(uuid::Uuid::now_v7().as_u128())
}

pub(crate) fn hold_id() -> HoldId {
    HoldId(uuid::Uuid::now_v7().as_u128())
}

pub(crate) fn amount(units: u64) -> RequestedAmount {
    RequestedAmount::from_units(Amount(units), 2)
}

pub(crate) fn transfer(debit: &str, credit: &str, units: u64) -> OperationKind {
    OperationKind::Transfer { debit: address(debit), credit: address(credit), amount: amount(units) }
}

pub(crate) fn hold(id: HoldId, debit: &str, credit: &str, units: u64, expires_in: u32) -> OperationKind {
    OperationKind::Hold {
        id,
        debit: address(debit),
        credit: address(credit),
        amount: amount(units),
        expires_in,
    }
}

pub(crate) fn one(kind: OperationKind) -> Transaction {
    many([kind])
}

pub(crate) fn many(kinds: impl IntoIterator<Item = OperationKind>) -> Transaction {
    Transaction {
        id: id(),
        operations: kinds.into_iter().map(|kind| Operation { kind, code: None }).collect::<SmallVec<_>>(),
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: None,
    }
}

pub(crate) const KIND: CellKind = CellKind(7);

/// A transaction as a product verb's, with further ids and cells of [`KIND`].
pub(crate) fn attach(
    mut transaction: Transaction,
    aliases: &[TransactionId],
    cells: &[(&str, u64, &str)],
) -> Transaction {
    let cells = cells.iter().map(|(account, revision, value)| CellWrite {
        account: address(account),
        kind: KIND,
        revision: *revision,
        value: value.as_bytes().into(),
    });
    let document = b"document".as_slice().into();
    transaction.attachment =
        Some(Box::new(Attachment { document, aliases: aliases.to_vec(), cells: cells.collect() }));
    transaction
}

/// Revision and content of an account's cell.
pub(crate) fn cell(yue: &Yue, account: &str) -> Option<(u64, String)> {
    let cell = yue.engine.cell(&address(account), KIND)?;
    Some((cell.revision, String::from_utf8(cell.value.to_vec()).unwrap()))
}

pub(crate) fn code(outcome: &Result<Outcome, SubmitError>) -> Option<RejectionCode> {
    outcome.as_ref().unwrap().verdict.err().map(|rejection| rejection.code)
}

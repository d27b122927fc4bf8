//! Transactions: single ones, batches of them, and their outcomes.

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, de, de::IgnoredAny};
use smallvec::SmallVec;
use utoipa::ToSchema;
use yue_engine::{
    config::Config,
    model::{Operation, Position, Rejection, Timestamp, Transaction, TransactionId},
    view::{Outcome, SubmitError, TransactionView},
};

use super::{
    metadata::{MetadataIn, MetadataOut},
    operation::{OperationIn, OperationOut, OperationSchema},
    texts::{Label, NewTransactionId, display},
};
use crate::{
    json::{Object, Text, read_elements},
    problem::Problem,
};

/// A transaction: operations that happen together or not at all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Transaction)]
pub(crate) struct TransactionIn {
    /// The idempotency key: it takes effect once, for ever. Version 8 is reserved.
    #[schema(value_type = String, format = "uuid")]
    id: Text<NewTransactionId>,
    /// What happens, in order of effect.
    #[schema(value_type = Vec<OperationSchema>, min_items = 1, max_items = 64)]
    operations: OperationsIn,
    /// The kind of business, for limits and statements.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "payment")]
    code: Option<Text<Label<{ Transaction::CODE_BYTES_MAX }>>>,
    /// The client's reference.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    reference: Option<Text<Label<{ Transaction::REFERENCE_BYTES_MAX }>>>,
    /// The client's own data: at most 16 pairs, keys of at most 64 and values of at most 256 bytes.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    metadata: Option<MetadataIn>,
}

impl From<TransactionIn> for Transaction {
    fn from(body: TransactionIn) -> Self {
        let TransactionIn { id: Text(NewTransactionId(id)), operations, code, reference, metadata } = body;
        Self {
            id,
            operations: operations.0,
            code: code.map(|Text(Label(code))| code),
            reference: reference.map(|Text(Label(reference))| reference),
            metadata: metadata.map(|MetadataIn(metadata)| metadata).unwrap_or_default(),
            attachment: None,
        }
    }
}

struct OperationsIn(SmallVec<[Operation; 2]>);

impl<'de> Deserialize<'de> for OperationsIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "an array of 1 to 64 operations";
        let mut operations = SmallVec::new();
        read_elements(deserializer, EXPECTED, |OperationIn(operation)| {
            if operations.len() >= Transaction::OPERATIONS_MAX {
                return Err(format!("more than {} operations", Transaction::OPERATIONS_MAX));
            }
            operations.push(operation);
            Ok(())
        })?;
        if operations.is_empty() {
            return Err(de::Error::invalid_length(0, &EXPECTED));
        }
        Ok(Self(operations))
    }
}

/// Many transactions, with no order between them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TransactionBatch)]
pub(crate) struct BatchIn {
    /// At most 10,000.
    #[schema(value_type = Vec<TransactionIn>, max_items = 10_000)]
    pub(crate) transactions: TransactionsIn,
}

/// The transactions of a batch, as many as may be in one.
pub(crate) struct TransactionsIn {
    /// The transactions in the order given.
    pub(crate) taken: Vec<Transaction>,
    /// Whether there were more.
    pub(crate) too_many: bool,
}

impl<'de> Deserialize<'de> for TransactionsIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> de::Visitor<'de> for Elements {
            type Value = TransactionsIn;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of at most 10000 transactions")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
                let mut taken = Vec::new();
                while taken.len() < Config::BATCH_TRANSACTIONS_MAX {
                    match elements.next_element::<Object<TransactionIn>>()? {
                        Some(Object(transaction)) => taken.push(transaction.into()),
                        None => return Ok(TransactionsIn { taken, too_many: false }),
                    }
                }
                let mut too_many = false;
                while elements.next_element::<IgnoredAny>()?.is_some() {
                    too_many = true;
                }
                Ok(TransactionsIn { taken, too_many })
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

/// A transaction that took effect.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PostedTransaction)]
pub(crate) struct PostedOut {
    /// The transaction.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    id: TransactionId,
    /// Always `posted`; a refusal is a problem.
    #[schema(value_type = String, example = "posted")]
    status: &'static str,
    /// Its place in the journal.
    #[schema(example = 17)]
    position: u64,
    /// Its time.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime, example = "2026-06-18T00:00:00.000000000Z")]
    at: Timestamp,
}

impl PostedOut {
    /// The shape of a posted outcome.
    pub(crate) fn new(outcome: &Outcome) -> Self {
        Self { id: outcome.id, status: "posted", position: outcome.position.0, at: outcome.at }
    }
}

/// The results of a batch, in the order given.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchResults)]
pub(crate) struct ResultsOut {
    /// One for each transaction.
    pub(crate) results: Vec<ResultOut>,
}

/// What came of one transaction of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchResult)]
pub(crate) struct ResultOut {
    /// The transaction.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    id: TransactionId,
    /// `unavailable`: nothing was applied, the id stays free; try again.
    #[schema(value_type = ResultStatus)]
    status: &'static str,
    /// The journal's record of the transaction or of its refusal; `null` if there is none.
    #[schema(required = true)]
    position: Option<u64>,
    /// Why it was refused or not taken; `null` if it was posted.
    #[schema(required = true, value_type = Option<String>, example = json!(null))]
    code: Option<&'static str>,
    /// Index of the operation that was refused, where there is one.
    #[schema(required = true, example = json!(null))]
    operation: Option<u8>,
    /// Whether this repeats an earlier outcome.
    replayed: bool,
    /// Of `id_reused`: JSON Pointer of the field that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
}

/// What came of one transaction of a batch.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum ResultStatus {
    /// It took effect.
    Posted,
    /// It was refused, finally.
    Rejected,
    /// It was not taken.
    Unavailable,
}

impl ResultOut {
    /// The shape of one result.
    pub(crate) fn new(id: TransactionId, result: Result<Outcome, SubmitError>) -> Self {
        let shape = Self {
            id,
            status: "rejected",
            position: None,
            code: None,
            operation: None,
            replayed: false,
            field: None,
        };
        match result {
            Ok(Outcome { position, verdict: Ok(()), replayed, .. }) => {
                Self { status: "posted", position: Some(position.0), replayed, ..shape }
            }
            Ok(Outcome { position, verdict: Err(Rejection { code, operation }), replayed, .. }) => Self {
                position: Some(position.0),
                code: Some(code.as_str()),
                operation: Some(operation),
                replayed,
                ..shape
            },
            Err(SubmitError::IdReused { field }) => {
                Self { code: Some("id_reused"), field: Some(field), ..shape }
            }
            Err(SubmitError::Unavailable(unavailable)) => Self {
                status: "unavailable",
                code: Some(Problem::from(unavailable).code().as_str()),
                ..shape
            },
            Err(SubmitError::Managed { operation }) => {
                Self { code: Some("wallet_account"), operation: Some(operation), ..shape }
            }
            Err(SubmitError::Denied { operation, denial }) => {
                let code = Problem::from(denial).code().as_str();
                Self { code: Some(code), operation: Some(operation), ..shape }
            }
            Err(SubmitError::Conflict) => Self { status: "unavailable", code: Some("overloaded"), ..shape },
            Err(SubmitError::Unknown) => Self { status: "unavailable", code: Some("overloaded"), ..shape },
        }
    }
}

/// A transaction, or a refusal, that is in the journal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TransactionRecord)]
pub(crate) struct TransactionOut {
    /// The transaction.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = "uuid")]
    id: TransactionId,
    /// Whether it took effect.
    #[schema(value_type = TransactionStatus)]
    status: &'static str,
    /// Of a posted transaction its own code; of a refused one why it was refused.
    #[schema(required = true, value_type = Option<String>, example = "payment")]
    code: Option<CompactString>,
    /// Index of the operation that was refused; `null` if it was posted.
    #[schema(required = true, example = json!(null))]
    operation: Option<u8>,
    /// The code that the request had, whatever came of it.
    #[schema(required = true, value_type = Option<String>, example = "payment")]
    request_code: Option<CompactString>,
    /// Its place in the journal.
    #[schema(example = 17)]
    position: u64,
    /// Its time.
    #[serde(serialize_with = "display")]
    #[schema(value_type = String, format = DateTime, example = "2026-06-18T00:00:00.000000000Z")]
    at: Timestamp,
    /// The client's reference.
    #[schema(required = true, value_type = Option<String>, example = json!(null))]
    reference: Option<CompactString>,
    /// The client's own data.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    metadata: MetadataOut,
    /// Its operations, in order.
    operations: Vec<OperationOut>,
}

/// Whether a transaction took effect.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum TransactionStatus {
    /// It took effect.
    Posted,
    /// It was refused, finally.
    Rejected,
}

impl TransactionOut {
    /// The shape of a transaction.
    pub(crate) fn new(view: &TransactionView) -> Self {
        let shape = Self::shape(&view.request, view.position, view.at);
        match &view.verdict {
            Ok(operations) => Self {
                operations: operations
                    .iter()
                    .map(|done| OperationOut::posted(done, view.decided_at))
                    .collect(),
                ..shape
            },
            Err(Rejection { code, operation }) => Self {
                status: "rejected",
                code: Some(CompactString::const_new(code.as_str())),
                operation: Some(*operation),
                operations: view.request.operations.iter().map(OperationOut::requested).collect(),
                ..shape
            },
        }
    }

    fn shape(request: &Transaction, position: Position, at: Timestamp) -> Self {
        Self {
            id: request.id,
            status: "posted",
            code: request.code.clone(),
            operation: None,
            request_code: request.code.clone(),
            position: position.0,
            at,
            reference: request.reference.clone(),
            metadata: MetadataOut(request.metadata.clone()),
            operations: Vec::new(),
        }
    }
}

//! Operations of a transaction.

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;
use yue_engine::{
    model::{
        Address, Amount, HoldId, Operation, OperationKind, PostedKind, RequestedAmount, Timestamp,
        Transaction, TransactionId, format_units,
    },
    view::PostedOperationView,
};

use super::texts::{Label, NewHoldId};
use crate::json::{FromText, Object, Ranged, Text};

/// The index of an operation.
type OperationIndex = Ranged<0, 63>;
const _: () =
    assert!(Transaction::OPERATIONS_MAX == 64, "the greatest index follows the number of operations");

/// An operation as read.
pub(super) struct OperationIn(pub(super) Operation);

impl<'de> Deserialize<'de> for OperationIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(fields) = Object::<Fields>::deserialize(deserializer)?;
        fields.into_operation().map(Self)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Transfer,
    Hold,
    Capture,
    Release,
    Reverse,
}

impl FromText for Kind {
    const EXPECTED: &'static str = "transfer, hold, capture, release or reverse";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "transfer" => Some(Self::Transfer),
            "hold" => Some(Self::Hold),
            "capture" => Some(Self::Capture),
            "release" => Some(Self::Release),
            "reverse" => Some(Self::Reverse),
            _ => None,
        }
    }
}

/// The fields of all types together: the type may be the last key, and a tagged enum would buffer all before it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    r#type: Text<Kind>,
    id: Option<Text<NewHoldId>>,
    debit: Option<Text<Address>>,
    credit: Option<Text<Address>>,
    amount: Option<Text<RequestedAmount>>,
    expires_in: Option<Ranged<1, { Transaction::EXPIRES_IN_S_MAX }>>,
    hold: Option<Text<HoldId>>,
    transaction: Option<Text<TransactionId>>,
    operation: Option<OperationIndex>,
    code: Option<Text<Label<{ Transaction::CODE_BYTES_MAX }>>>,
}

impl Fields {
    fn into_operation<E: de::Error>(self) -> Result<Operation, E> {
        let Self {
            r#type: Text(kind),
            id,
            debit,
            credit,
            amount,
            expires_in,
            hold,
            transaction,
            operation,
            code,
        } = self;
        let given = [
            ("id", id.is_some()),
            ("debit", debit.is_some()),
            ("credit", credit.is_some()),
            ("amount", amount.is_some()),
            ("expires_in", expires_in.is_some()),
            ("hold", hold.is_some()),
            ("transaction", transaction.is_some()),
            ("operation", operation.is_some()),
        ];
        let known = kind.fields();
        if let Some((stranger, _)) = given.into_iter().find(|(name, given)| *given && !known.contains(name)) {
            return Err(E::unknown_field(stranger, known));
        }
        let amount = amount.map(|Text(amount)| amount);
        let kind = match kind {
            Kind::Transfer => OperationKind::Transfer {
                debit: required(debit, "debit")?.0,
                credit: required(credit, "credit")?.0,
                amount: required(amount, "amount")?,
            },
            Kind::Hold => OperationKind::Hold {
                id: required(id, "id")?.0.0,
                debit: required(debit, "debit")?.0,
                credit: required(credit, "credit")?.0,
                amount: required(amount, "amount")?,
                expires_in: required(expires_in, "expires_in")?.0,
            },
            Kind::Capture => OperationKind::Capture { hold: required(hold, "hold")?.0, amount },
            Kind::Release => OperationKind::Release { hold: required(hold, "hold")?.0 },
            Kind::Reverse => OperationKind::Reverse {
                transaction: required(transaction, "transaction")?.0,
                operation: u8::try_from(required(operation, "operation")?.0).map_err(E::custom)?,
                amount,
            },
        };
        Ok(Operation { kind, code: code.map(|Text(Label(code))| code) })
    }
}

fn required<T, E: de::Error>(field: Option<T>, name: &'static str) -> Result<T, E> {
    field.ok_or_else(|| E::missing_field(name))
}

impl Kind {
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Transfer => &["type", "debit", "credit", "amount", "code"],
            Self::Hold => &["type", "id", "debit", "credit", "amount", "expires_in", "code"],
            Self::Capture => &["type", "hold", "amount", "code"],
            Self::Release => &["type", "hold", "code"],
            Self::Reverse => &["type", "transaction", "operation", "amount", "code"],
        }
    }
}

/// An operation of a request.
#[derive(ToSchema)]
#[schema(as = Operation)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "for the OpenAPI document; the fast reader is `Fields`")]
pub(crate) enum OperationSchema {
    /// Moves an amount.
    #[schema(title = "Transfer")]
    Transfer {
        /// The account that is debited.
        #[schema(example = "customers:42")]
        debit: String,
        /// The account that is credited.
        #[schema(example = "merchants:7")]
        credit: String,
        /// How much: a decimal string above zero.
        #[schema(example = "5.00")]
        amount: String,
        /// Overrides the transaction's code.
        #[schema(min_length = 1, max_length = 64)]
        code: Option<String>,
    },
    /// Sets an amount aside.
    #[schema(title = "Hold")]
    Hold {
        /// The hold's own id, unique for ever.
        #[schema(format = "uuid")]
        id: String,
        /// The account that a capture debits.
        #[schema(example = "customers:42")]
        debit: String,
        /// The account that a capture credits.
        #[schema(example = "merchants:7")]
        credit: String,
        /// How much: a decimal string above zero.
        #[schema(example = "25.00")]
        amount: String,
        /// Seconds until it runs out.
        #[schema(minimum = 1, maximum = 2_592_000, example = 900)]
        expires_in: u32,
        /// Overrides the transaction's code.
        #[schema(min_length = 1, max_length = 64)]
        code: Option<String>,
    },
    /// Moves what a hold has set aside, and releases the rest.
    #[schema(title = "Capture")]
    Capture {
        /// Which hold.
        #[schema(format = "uuid")]
        hold: String,
        /// How much; all of it if absent.
        #[schema(example = "20.00")]
        amount: Option<String>,
        /// Overrides the transaction's code.
        #[schema(min_length = 1, max_length = 64)]
        code: Option<String>,
    },
    /// Gives back what a hold has set aside.
    #[schema(title = "Release")]
    Release {
        /// Which hold.
        #[schema(format = "uuid")]
        hold: String,
        /// Overrides the transaction's code.
        #[schema(min_length = 1, max_length = 64)]
        code: Option<String>,
    },
    /// Moves a posted transfer or capture back.
    #[schema(title = "Reverse")]
    Reverse {
        /// The original transaction.
        #[schema(format = "uuid")]
        transaction: String,
        /// The index of its operation.
        #[schema(maximum = 63)]
        operation: u8,
        /// How much; what is left if absent.
        #[schema(example = "1.00")]
        amount: Option<String>,
        /// Overrides the transaction's code.
        #[schema(min_length = 1, max_length = 64)]
        code: Option<String>,
    },
}

/// An operation of a transaction: what it did if that was posted, and as it was asked for if it was refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TransactionOperation)]
pub(crate) struct OperationOut {
    /// `transfer`, `hold`, `capture`, `release` or `reverse`.
    #[schema(value_type = String, example = "transfer")]
    r#type: &'static str,
    /// A hold's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false, format = "uuid")]
    id: Option<String>,
    /// The hold that is captured or released.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false, format = "uuid")]
    hold: Option<String>,
    /// The transaction that is reversed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, nullable = false, format = "uuid")]
    transaction: Option<String>,
    /// The index of the operation that is reversed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    operation: Option<u8>,
    /// The account on the debit side; of a refused capture, release or reversal it is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "customers:42")]
    debit: Option<String>,
    /// The account on the credit side.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "merchants:7")]
    credit: Option<String>,
    /// What moved, was set aside or was given back; of a refused operation as it was asked for, `null` for "all".
    #[schema(required = true, example = "5.00")]
    amount: Option<String>,
    /// Seconds until a hold runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_in: Option<u32>,
    /// When a hold that was placed runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    expires_at: Option<String>,
    /// Overrides the transaction's code.
    #[schema(required = true, value_type = Option<String>)]
    code: Option<CompactString>,
}

impl OperationOut {
    fn of(kind: &'static str, code: Option<&CompactString>) -> Self {
        Self {
            r#type: kind,
            id: None,
            hold: None,
            transaction: None,
            operation: None,
            debit: None,
            credit: None,
            amount: None,
            expires_in: None,
            expires_at: None,
            code: code.cloned(),
        }
    }

    /// What an operation did that was decided at a time.
    pub(super) fn posted(view: &PostedOperationView, decided_at: Timestamp) -> Self {
        let units = |amount: Amount| Some(format_units(amount.units().into(), view.asset.scale));
        let shape = Self {
            debit: Some(view.debit.to_string()),
            credit: Some(view.credit.to_string()),
            ..Self::of(view.kind.name(), view.code.as_ref())
        };
        match &view.kind {
            PostedKind::Transfer { amount, .. } => Self { amount: units(*amount), ..shape },
            PostedKind::Hold { id, amount, expires_in, .. } => Self {
                id: Some(id.to_string()),
                amount: units(*amount),
                expires_in: Some(*expires_in),
                expires_at: Some(decided_at.plus_seconds(*expires_in).to_string()),
                ..shape
            },
            PostedKind::Capture { hold, amount, .. } => {
                Self { hold: Some(hold.to_string()), amount: units(*amount), ..shape }
            }
            PostedKind::Release { hold, held, .. } => {
                Self { hold: Some(hold.to_string()), amount: units(*held), ..shape }
            }
            PostedKind::Reverse { transaction, operation, amount, .. } => Self {
                transaction: Some(transaction.to_string()),
                operation: Some(*operation),
                amount: units(*amount),
                ..shape
            },
        }
    }

    /// What an operation asked for.
    pub(super) fn requested(request: &Operation) -> Self {
        let shape = Self::of(request.kind.name(), request.code.as_ref());
        match &request.kind {
            OperationKind::Transfer { debit, credit, amount } => Self {
                debit: Some(debit.to_string()),
                credit: Some(credit.to_string()),
                amount: Some(amount.to_string()),
                ..shape
            },
            OperationKind::Hold { id, debit, credit, amount, expires_in } => Self {
                id: Some(id.to_string()),
                debit: Some(debit.to_string()),
                credit: Some(credit.to_string()),
                amount: Some(amount.to_string()),
                expires_in: Some(*expires_in),
                ..shape
            },
            OperationKind::Capture { hold, amount } => Self {
                hold: Some(hold.to_string()),
                amount: amount.as_ref().map(ToString::to_string),
                ..shape
            },
            OperationKind::Release { hold } => Self { hold: Some(hold.to_string()), ..shape },
            OperationKind::Reverse { transaction, operation, amount } => Self {
                transaction: Some(transaction.to_string()),
                operation: Some(*operation),
                amount: amount.as_ref().map(ToString::to_string),
                ..shape
            },
        }
    }
}

//! A refused transaction: the whole request, addresses as text, amounts as they were written.

use rust_decimal::Decimal;
use smallvec::SmallVec;

use super::{
    AMOUNT, ATTACHMENT, CAPTURE, CODE, HOLD, KIND_MASK, METADATA, REFERENCE, REFUSED, RELEASE, REVERSE,
    RecordError, TRANSACTION_CODE, TRANSFER, account, attachment, flag, hold_id, only, put_count,
    put_text_if, put_transaction_head, transaction_flags, transaction_id,
};
use crate::{
    journal::{
        RefusedTransaction,
        bytes::{Reader, put_text, put_u64, put_u128},
    },
    model::{
        Address, Operation, OperationKind, Position, Rejection, RejectionCode, RequestedAmount, Timestamp,
        Transaction,
    },
};

/// The first byte of a requested amount: a text, or 1 + the scale of a decimal, 30 + the scale if it is negative.
const AMOUNT_TEXT: u8 = 0;
const AMOUNT_DECIMAL: u8 = 1;
const AMOUNT_NEGATIVE: u8 = AMOUNT_DECIMAL + 29;
const AMOUNT_END: u8 = AMOUNT_NEGATIVE + 29;
const MANTISSA_MAX: u128 = (1 << 96) - 1;

pub(super) fn encode_refused(buffer: &mut Vec<u8>, refused: &RefusedTransaction) {
    let RefusedTransaction { transaction, rejection, seen, decided_at } = refused;
    let flags = transaction_flags(
        transaction.code.is_some(),
        transaction.reference.is_some(),
        &transaction.metadata,
        transaction.attachment.is_some(),
    );
    put_transaction_head(buffer, REFUSED, *decided_at, transaction.id, flags);
    attachment::put_refused(buffer, transaction.attachment.as_deref());
    buffer.push(rejection.code as u8);
    buffer.push(rejection.operation);
    put_u64(buffer, seen.0);
    put_count(buffer, transaction.operations.len());
    for operation in &transaction.operations {
        encode_operation(buffer, operation);
    }
    put_text_if(buffer, transaction.code.as_deref());
    put_text_if(buffer, transaction.reference.as_deref());
    account::put_metadata(buffer, &transaction.metadata);
}

pub(super) fn decode_refused(
    reader: &mut Reader<'_>,
    decided_at: Timestamp,
) -> Result<RefusedTransaction, RecordError> {
    let id = transaction_id(reader)?;
    let flags = reader.u8()?;
    only(flags, TRANSACTION_CODE | REFERENCE | METADATA | ATTACHMENT)?;
    let attachment = attachment::refused(reader, flags)?;
    let code = RejectionCode::from_u8(reader.u8()?).ok_or(RecordError)?;
    let rejection = Rejection { code, operation: reader.u8()? };
    let seen = Position(reader.u64()?);
    let mut operations = SmallVec::new();
    for _ in 0..reader.count()? {
        operations.push(decode_operation(reader)?);
    }
    let transaction = Transaction {
        id,
        operations,
        code: reader.text_if(flags & TRANSACTION_CODE != 0)?,
        reference: reader.text_if(flags & REFERENCE != 0)?,
        metadata: account::metadata(reader, flags)?,
        attachment,
    };
    Ok(RefusedTransaction { transaction, rejection, seen, decided_at })
}

fn encode_operation(buffer: &mut Vec<u8>, operation: &Operation) {
    let code = flag(operation.code.is_some(), CODE);
    match &operation.kind {
        OperationKind::Transfer { debit, credit, amount } => {
            buffer.push(TRANSFER | code);
            put_text(buffer, debit.as_str());
            put_text(buffer, credit.as_str());
            put_amount(buffer, amount);
        }
        OperationKind::Hold { id, debit, credit, amount, expires_in } => {
            buffer.push(HOLD | code);
            buffer.extend_from_slice(&id.0.to_le_bytes());
            put_text(buffer, debit.as_str());
            put_text(buffer, credit.as_str());
            put_amount(buffer, amount);
            put_u64(buffer, u64::from(*expires_in));
        }
        OperationKind::Capture { hold, amount } => {
            buffer.push(CAPTURE | code | flag(amount.is_some(), AMOUNT));
            buffer.extend_from_slice(&hold.0.to_le_bytes());
            put_amount_if(buffer, amount.as_ref());
        }
        OperationKind::Release { hold } => {
            buffer.push(RELEASE | code);
            buffer.extend_from_slice(&hold.0.to_le_bytes());
        }
        OperationKind::Reverse { transaction, operation, amount } => {
            buffer.push(REVERSE | code | flag(amount.is_some(), AMOUNT));
            buffer.extend_from_slice(&transaction.0.to_le_bytes());
            buffer.push(*operation);
            put_amount_if(buffer, amount.as_ref());
        }
    }
    put_text_if(buffer, operation.code.as_deref());
}

fn decode_operation(reader: &mut Reader<'_>) -> Result<Operation, RecordError> {
    let head = reader.u8()?;
    let kind = match head & KIND_MASK {
        TRANSFER => {
            only(head, KIND_MASK | CODE)?;
            let (debit, credit) = (address(reader)?, address(reader)?);
            OperationKind::Transfer { debit, credit, amount: amount(reader)? }
        }
        HOLD => {
            only(head, KIND_MASK | CODE)?;
            let id = hold_id(reader)?;
            let (debit, credit) = (address(reader)?, address(reader)?);
            OperationKind::Hold { id, debit, credit, amount: amount(reader)?, expires_in: reader.u32()? }
        }
        CAPTURE => {
            only(head, KIND_MASK | CODE | AMOUNT)?;
            OperationKind::Capture { hold: hold_id(reader)?, amount: amount_if(reader, head)? }
        }
        RELEASE => {
            only(head, KIND_MASK | CODE)?;
            OperationKind::Release { hold: hold_id(reader)? }
        }
        REVERSE => {
            only(head, KIND_MASK | CODE | AMOUNT)?;
            let transaction = transaction_id(reader)?;
            OperationKind::Reverse { transaction, operation: reader.u8()?, amount: amount_if(reader, head)? }
        }
        _ => return Err(RecordError),
    };
    Ok(Operation { kind, code: reader.text_if(head & CODE != 0)? })
}

fn address(reader: &mut Reader<'_>) -> Result<Address, RecordError> {
    Address::parse(reader.text()?).map_err(|_| RecordError)
}

fn put_amount(buffer: &mut Vec<u8>, amount: &RequestedAmount) {
    match amount {
        RequestedAmount::Invalid(text) => {
            buffer.push(AMOUNT_TEXT);
            put_text(buffer, text);
        }
        RequestedAmount::Decimal(value) => {
            let base = if value.is_sign_negative() { AMOUNT_NEGATIVE } else { AMOUNT_DECIMAL };
            buffer.push(base + u8::try_from(value.scale()).unwrap_or(0));
            put_u128(buffer, value.mantissa().unsigned_abs());
        }
    }
}

fn put_amount_if(buffer: &mut Vec<u8>, amount: Option<&RequestedAmount>) {
    if let Some(amount) = amount {
        put_amount(buffer, amount);
    }
}

fn amount(reader: &mut Reader<'_>) -> Result<RequestedAmount, RecordError> {
    let (negative, scale) = match reader.u8()? {
        AMOUNT_TEXT => return Ok(RequestedAmount::Invalid(reader.text()?.into())),
        head @ AMOUNT_DECIMAL..AMOUNT_NEGATIVE => (false, head - AMOUNT_DECIMAL),
        head @ AMOUNT_NEGATIVE..AMOUNT_END => (true, head - AMOUNT_NEGATIVE),
        AMOUNT_END.. => return Err(RecordError),
    };
    let mantissa = reader.u128()?;
    if mantissa > MANTISSA_MAX {
        return Err(RecordError);
    }
    let mut value = Decimal::from_i128_with_scale(mantissa.cast_signed(), u32::from(scale));
    value.set_sign_negative(negative);
    Ok(RequestedAmount::Decimal(value))
}

fn amount_if(reader: &mut Reader<'_>, head: u8) -> Result<Option<RequestedAmount>, RecordError> {
    if head & AMOUNT == 0 { Ok(None) } else { amount(reader).map(Some) }
}

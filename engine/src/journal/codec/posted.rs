//! What a posted transaction did.

use smallvec::SmallVec;

use super::{
    AMOUNT, ATTACHMENT, CAPTURE, CODE, HOLD, KIND_MASK, METADATA, ORIGINAL_CODE, POSTED, REFERENCE, RELEASE,
    REVERSE, RecordError, TRANSACTION_CODE, TRANSFER, account, attachment, flag, hold_id, legs, only,
    put_count, put_legs, put_text_if, put_transaction_head, transaction_flags, transaction_id,
};
use crate::{
    journal::{
        PostedTransaction,
        bytes::{Reader, put_u64},
    },
    model::{Amount, PostedKind, PostedOperation, Timestamp},
};

pub(super) fn encode_posted(buffer: &mut Vec<u8>, posted: &PostedTransaction) {
    let flags = transaction_flags(
        posted.code.is_some(),
        posted.reference.is_some(),
        &posted.metadata,
        posted.attachment.is_some(),
    );
    put_transaction_head(buffer, POSTED, posted.decided_at, posted.id, flags);
    attachment::put_posted(buffer, posted.attachment.as_deref());
    put_count(buffer, posted.operations.len());
    for operation in &posted.operations {
        encode_posted_operation(buffer, operation);
    }
    put_text_if(buffer, posted.code.as_deref());
    put_text_if(buffer, posted.reference.as_deref());
    account::put_metadata(buffer, &posted.metadata);
}

#[inline]
pub(super) fn decode_posted(
    reader: &mut Reader<'_>,
    decided_at: Timestamp,
) -> Result<PostedTransaction, RecordError> {
    let id = transaction_id(reader)?;
    let flags = reader.u8()?;
    only(flags, TRANSACTION_CODE | REFERENCE | METADATA | ATTACHMENT)?;
    let attachment = attachment::posted(reader, flags)?;
    let mut operations = SmallVec::new();
    for _ in 0..reader.count()? {
        operations.push(decode_posted_operation(reader)?);
    }
    Ok(PostedTransaction {
        id,
        decided_at,
        operations,
        code: reader.text_if(flags & TRANSACTION_CODE != 0)?,
        reference: reader.text_if(flags & REFERENCE != 0)?,
        metadata: account::metadata(reader, flags)?,
        attachment,
    })
}

fn encode_posted_operation(buffer: &mut Vec<u8>, operation: &PostedOperation) {
    let code = flag(operation.code.is_some(), CODE);
    match &operation.kind {
        PostedKind::Transfer { debit, credit, amount } => {
            buffer.push(TRANSFER | code);
            put_legs(buffer, *debit, *credit, *amount);
        }
        PostedKind::Hold { id, debit, credit, amount, expires_in } => {
            buffer.push(HOLD | code);
            buffer.extend_from_slice(&id.0.to_le_bytes());
            put_legs(buffer, *debit, *credit, *amount);
            put_u64(buffer, u64::from(*expires_in));
        }
        PostedKind::Capture { hold, debit, credit, held, amount, explicit } => {
            buffer.push(CAPTURE | code | flag(*explicit, AMOUNT));
            buffer.extend_from_slice(&hold.0.to_le_bytes());
            put_legs(buffer, *debit, *credit, *amount);
            put_u64(buffer, held.0);
        }
        PostedKind::Release { hold, debit, credit, held } => {
            buffer.push(RELEASE | code);
            buffer.extend_from_slice(&hold.0.to_le_bytes());
            put_legs(buffer, *debit, *credit, *held);
        }
        PostedKind::Reverse {
            transaction,
            operation,
            debit,
            credit,
            amount,
            explicit,
            total,
            original_at,
            original_code,
        } => {
            buffer.push(
                REVERSE | code | flag(*explicit, AMOUNT) | flag(original_code.is_some(), ORIGINAL_CODE),
            );
            buffer.extend_from_slice(&transaction.0.to_le_bytes());
            buffer.push(*operation);
            put_legs(buffer, *debit, *credit, *amount);
            put_u64(buffer, total.0);
            buffer.extend_from_slice(&original_at.0.to_le_bytes());
            put_text_if(buffer, original_code.as_deref());
        }
    }
    put_text_if(buffer, operation.code.as_deref());
}

#[inline]
fn decode_posted_operation(reader: &mut Reader<'_>) -> Result<PostedOperation, RecordError> {
    let head = reader.u8()?;
    let explicit = head & AMOUNT != 0;
    let kind = match head & KIND_MASK {
        TRANSFER => {
            only(head, KIND_MASK | CODE)?;
            let (debit, credit, amount) = legs(reader)?;
            PostedKind::Transfer { debit, credit, amount }
        }
        HOLD => {
            only(head, KIND_MASK | CODE)?;
            let id = hold_id(reader)?;
            let (debit, credit, amount) = legs(reader)?;
            PostedKind::Hold { id, debit, credit, amount, expires_in: reader.u32()? }
        }
        CAPTURE => {
            only(head, KIND_MASK | CODE | AMOUNT)?;
            let hold = hold_id(reader)?;
            let (debit, credit, amount) = legs(reader)?;
            PostedKind::Capture { hold, debit, credit, held: Amount(reader.u64()?), amount, explicit }
        }
        RELEASE => {
            only(head, KIND_MASK | CODE)?;
            let hold = hold_id(reader)?;
            let (debit, credit, held) = legs(reader)?;
            PostedKind::Release { hold, debit, credit, held }
        }
        REVERSE => {
            only(head, KIND_MASK | CODE | AMOUNT | ORIGINAL_CODE)?;
            let transaction = transaction_id(reader)?;
            let operation = reader.u8()?;
            let (debit, credit, amount) = legs(reader)?;
            PostedKind::Reverse {
                transaction,
                operation,
                debit,
                credit,
                amount,
                explicit,
                total: Amount(reader.u64()?),
                original_at: Timestamp(i64::from_le_bytes(reader.array()?)),
                original_code: reader.text_if(head & ORIGINAL_CODE != 0)?,
            }
        }
        _ => return Err(RecordError),
    };
    Ok(PostedOperation { kind, code: reader.text_if(head & CODE != 0)? })
}

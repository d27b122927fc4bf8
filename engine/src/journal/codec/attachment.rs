//! What a product verb put beside a transaction: aliases, cells, document, in this order behind the head.

use super::{ATTACHMENT, RecordError, put_count, transaction_id};
use crate::{
    journal::bytes::{Reader, put_bytes, put_u64},
    model::{AccountNo, Attachment, CellKind, CellWrite, TransactionId},
};

pub(super) fn put_posted(buffer: &mut Vec<u8>, attachment: Option<&Attachment<AccountNo>>) {
    let Some(Attachment { document, aliases, cells }) = attachment else { return };
    put_count(buffer, aliases.len());
    for alias in aliases {
        buffer.extend_from_slice(&alias.0.to_le_bytes());
    }
    put_count(buffer, cells.len());
    for CellWrite { account, kind, revision, value } in cells {
        put_u64(buffer, u64::from(account.0));
        buffer.push(kind.0);
        put_u64(buffer, *revision);
        put_bytes(buffer, value);
    }
    put_bytes(buffer, document);
}

#[inline]
pub(super) fn posted(
    reader: &mut Reader<'_>,
    flags: u8,
) -> Result<Option<Box<Attachment<AccountNo>>>, RecordError> {
    if flags & ATTACHMENT == 0 {
        return Ok(None);
    }
    let aliases = aliases(reader)?;
    let mut cells = Vec::new();
    for _ in 0..reader.count()? {
        let (account, kind) = (AccountNo(reader.u32()?), CellKind(reader.u8()?));
        cells.push(CellWrite { account, kind, revision: reader.u64()?, value: reader.bytes()?.into() });
    }
    Ok(Some(Box::new(Attachment { document: reader.bytes()?.into(), aliases, cells })))
}

/// The aliases at the start of an attachment.
pub(super) fn aliases(reader: &mut Reader<'_>) -> Result<Vec<TransactionId>, RecordError> {
    let mut aliases = Vec::new();
    for _ in 0..reader.count()? {
        aliases.push(transaction_id(reader)?);
    }
    Ok(aliases)
}

/// Of a refused transaction the document alone: it has taken no alias and written no cell.
pub(super) fn put_refused<Account>(buffer: &mut Vec<u8>, attachment: Option<&Attachment<Account>>) {
    if let Some(attachment) = attachment {
        put_bytes(buffer, &attachment.document);
    }
}

pub(super) fn refused<Account>(
    reader: &mut Reader<'_>,
    flags: u8,
) -> Result<Option<Box<Attachment<Account>>>, RecordError> {
    if flags & ATTACHMENT == 0 {
        return Ok(None);
    }
    let document = reader.bytes()?.into();
    Ok(Some(Box::new(Attachment { document, aliases: Vec::new(), cells: Vec::new() })))
}

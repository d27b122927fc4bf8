//! The byte form of a record; `docs/formats.md` has it as tables.
//!
//! Owns the format. Never looks at what a record means. Invariant: each record has one form, `decode` takes no other,
//! and no input makes it panic or allocate more than a small multiple of the input's length.

mod account;
mod attachment;
mod posted;
mod refused;
mod snapshot;

use std::borrow::Cow;

use super::bytes::{Reader, Scratch, put_text, put_u64};
use super::{PartHead, Record, RecordError, SnapshotContent, SnapshotPart};
use crate::model::{AccountNo, Amount, HoldId, Metadata, Timestamp, TransactionId};

const ACCOUNT_OPENED: u8 = 1;
const ACCOUNT_CHANGED: u8 = 2;
const POSTED: u8 = 3;
const REFUSED: u8 = 4;
const HOLD_EXPIRED: u8 = 5;
const SNAPSHOT: u8 = 6;

/// Kinds of operation, the lowest bits of an operation's first byte.
const TRANSFER: u8 = 0;
const HOLD: u8 = 1;
const CAPTURE: u8 = 2;
const RELEASE: u8 = 3;
const REVERSE: u8 = 4;
const KIND_MASK: u8 = 0b111;

/// Flags of an operation, beside its kind.
const CODE: u8 = 1 << 3;
const AMOUNT: u8 = 1 << 4;
const ORIGINAL_CODE: u8 = 1 << 5;

/// Flags of a transaction.
const TRANSACTION_CODE: u8 = 1;
const REFERENCE: u8 = 1 << 1;
const METADATA: u8 = 1 << 2;
const ATTACHMENT: u8 = 1 << 3;

impl Record {
    /// Appends the record's form of [`super::Group::VERSION`].
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Posted(posted) => posted::encode_posted(buffer, posted),
            Self::Refused(refused) => refused::encode_refused(buffer, refused),
            Self::AccountOpened { no, opening, scale, decided_at } => {
                put_head(buffer, ACCOUNT_OPENED, *decided_at);
                put_u64(buffer, u64::from(no.0));
                buffer.push(*scale);
                account::encode_opening(buffer, opening);
            }
            Self::AccountChanged { no, change, decided_at } => {
                put_head(buffer, ACCOUNT_CHANGED, *decided_at);
                put_u64(buffer, u64::from(no.0));
                account::encode_change(buffer, change);
            }
            Self::HoldExpired { hold, debit, credit, held, decided_at } => {
                put_head(buffer, HOLD_EXPIRED, *decided_at);
                buffer.extend_from_slice(&hold.0.to_le_bytes());
                put_legs(buffer, *debit, *credit, *held);
            }
            Self::Snapshot(part) => snapshot::encode_part(buffer, part),
        }
    }

    /// Reads a record's form of [`super::Group::VERSION`].
    ///
    /// # Errors
    /// Anything but the one form that [`Record::encode`] writes.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8()?;
        let decided_at = Timestamp(i64::from_le_bytes(reader.array()?));
        let record = match tag {
            POSTED => Self::Posted(posted::decode_posted(&mut reader, decided_at)?),
            REFUSED => Self::Refused(refused::decode_refused(&mut reader, decided_at)?),
            ACCOUNT_OPENED => {
                let no = AccountNo(reader.u32()?);
                let scale = reader.u8()?;
                Self::AccountOpened { no, opening: account::decode_opening(&mut reader)?, scale, decided_at }
            }
            ACCOUNT_CHANGED => {
                let no = AccountNo(reader.u32()?);
                Self::AccountChanged { no, change: account::decode_change(&mut reader)?, decided_at }
            }
            HOLD_EXPIRED => {
                let hold = hold_id(&mut reader)?;
                let (debit, credit, held) = legs(&mut reader)?;
                Self::HoldExpired { hold, debit, credit, held, decided_at }
            }
            SNAPSHOT => Self::Snapshot(snapshot::decode_part(&mut reader, decided_at)?),
            _ => return Err(RecordError),
        };
        reader.finish()?;
        Ok(record)
    }

    /// The id of the transaction that encoded bytes post or refuse, and its aliases, without decoding the rest; none
    /// for another record.
    pub fn transaction_ids(bytes: &[u8]) -> impl Iterator<Item = TransactionId> {
        let (id, aliases) = Self::peek_ids(bytes).unwrap_or_default();
        id.into_iter().chain(aliases)
    }

    fn peek_ids(bytes: &[u8]) -> Option<(Option<TransactionId>, Vec<TransactionId>)> {
        let (head, rest) = bytes.split_first_chunk::<9>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (flags, rest) = rest.split_first()?;
        let id = matches!(head, [POSTED | REFUSED, ..]).then(|| TransactionId(u128::from_le_bytes(*id)))?;
        let aliases = if matches!(head, [POSTED, ..]) && flags & ATTACHMENT != 0 {
            attachment::aliases(&mut Reader::new(rest)).ok()?
        } else {
            Vec::new()
        };
        Some((Some(id), aliases))
    }

    /// What the encoded part of a snapshot says about its place, without decoding the rest; `None` for another record.
    ///
    /// # Errors
    /// It is a part, but not one that [`Record::encode`] wrote.
    pub fn snapshot_part(bytes: &[u8]) -> Result<Option<PartHead>, RecordError> {
        if bytes.first() != Some(&SNAPSHOT) {
            return Ok(None);
        }
        let mut reader = Reader::new(bytes);
        let _head: [u8; 1 + 8] = reader.array()?;
        snapshot::part_head(&mut reader).map(Some)
    }

    /// The form in which the index keeps a record: the same, but for parts of snapshots, whose content it has elsewhere.
    #[must_use]
    pub fn indexed(bytes: &[u8]) -> Cow<'_, [u8]> {
        match Self::snapshot_part(bytes) {
            Ok(Some(_)) => match Self::decode(bytes) {
                Ok(record) => {
                    let mut indexed = Vec::new();
                    record.into_indexed().encode(&mut indexed);
                    Cow::Owned(indexed)
                }
                Err(RecordError) => Cow::Borrowed(bytes),
            },
            Ok(None) | Err(RecordError) => Cow::Borrowed(bytes),
        }
    }

    /// As the index keeps it.
    #[must_use]
    pub fn into_indexed(self) -> Self {
        match self {
            Self::Snapshot(part) => {
                Self::Snapshot(SnapshotPart { content: SnapshotContent::default(), ..part })
            }
            Self::AccountOpened { .. }
            | Self::AccountChanged { .. }
            | Self::Posted(_)
            | Self::Refused(_)
            | Self::HoldExpired { .. } => self,
        }
    }
}

fn put_head(buffer: &mut Vec<u8>, tag: u8, decided_at: Timestamp) {
    let mut scratch = Scratch::<{ 1 + 8 }>::new();
    scratch.bytes(&[tag]);
    scratch.bytes(&decided_at.0.to_le_bytes());
    scratch.append_to(buffer);
}

/// The head of a posted or refused transaction.
#[inline]
fn put_transaction_head(buffer: &mut Vec<u8>, tag: u8, decided_at: Timestamp, id: TransactionId, flags: u8) {
    let mut scratch = Scratch::<{ 1 + 8 + 16 + 1 }>::new();
    scratch.bytes(&[tag]);
    scratch.bytes(&decided_at.0.to_le_bytes());
    scratch.bytes(&id.0.to_le_bytes());
    scratch.bytes(&[flags]);
    scratch.append_to(buffer);
}

#[inline]
fn put_legs(buffer: &mut Vec<u8>, debit: AccountNo, credit: AccountNo, amount: Amount) {
    let mut scratch = Scratch::<{ 5 + 5 + 10 }>::new();
    scratch.u64(u64::from(debit.0));
    scratch.u64(u64::from(credit.0));
    scratch.u64(amount.0);
    scratch.append_to(buffer);
}

#[inline]
fn legs(reader: &mut Reader<'_>) -> Result<(AccountNo, AccountNo, Amount), RecordError> {
    Ok((AccountNo(reader.u32()?), AccountNo(reader.u32()?), Amount(reader.u64()?)))
}

fn hold_id(reader: &mut Reader<'_>) -> Result<HoldId, RecordError> {
    reader.array().map(u128::from_le_bytes).map(HoldId)
}

fn transaction_id(reader: &mut Reader<'_>) -> Result<TransactionId, RecordError> {
    reader.array().map(u128::from_le_bytes).map(TransactionId)
}

/// Refuses flags that the format does not know.
const fn only(flags: u8, known: u8) -> Result<(), RecordError> {
    if flags & !known == 0 { Ok(()) } else { Err(RecordError) }
}

const fn flag(present: bool, flag: u8) -> u8 {
    if present { flag } else { 0 }
}

fn put_count(buffer: &mut Vec<u8>, count: usize) {
    put_u64(buffer, u64::try_from(count).unwrap_or(u64::MAX));
}

fn put_text_if(buffer: &mut Vec<u8>, text: Option<&str>) {
    if let Some(text) = text {
        put_text(buffer, text);
    }
}

fn transaction_flags(code: bool, reference: bool, metadata: &Metadata, attachment: bool) -> u8 {
    flag(code, TRANSACTION_CODE)
        | flag(reference, REFERENCE)
        | flag(!metadata.is_empty(), METADATA)
        | flag(attachment, ATTACHMENT)
}

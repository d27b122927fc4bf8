//! Groups of records: what is written and synced at once, and the links of the hash chain.
//!
//! Owns the stored form of a group (`docs/formats.md`). Never reads what is in a record. Invariant: a group that decodes
//! has the content that was hashed, and its positions and times exist.

use super::{Record, RecordError};
use crate::model::{Position, Timestamp};

/// A link of the hash chain: BLAKE3 over a group's header (which has the previous link) and its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// A place that the index has sealed: everything up to it can be read back without the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last position of a group.
    pub position: Position,
    /// That group's hash.
    pub hash: Hash,
}

/// The end of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last record's position.
    pub position: Position,
    /// The last record's time.
    pub at: Timestamp,
    /// The last group's hash.
    pub hash: Hash,
}

/// Records that are written and synced together. The record at index `i` has position `first + i` and time `at + i` ns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Position of the first record.
    pub first: Position,
    /// How many records there are, at least 1.
    pub count: u32,
    /// Time of the first record.
    pub at: Timestamp,
    /// Hash of the group before.
    pub previous: Hash,
    /// Hash of this group.
    pub hash: Hash,
    /// The records, each framed by its length (`u32`, little-endian).
    pub records: Vec<u8>,
}

/// A group in its stored form, its hash checked.
#[derive(Clone, Copy, Debug)]
pub struct GroupRef<'a> {
    /// Position of the first record.
    pub first: Position,
    /// How many records there are, at least 1.
    pub count: u32,
    /// Time of the first record.
    pub at: Timestamp,
    /// Hash of the group before.
    pub previous: Hash,
    /// Hash of this group.
    pub hash: Hash,
    /// The framed records.
    pub records: &'a [u8],
}

/// Why bytes are no group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Too short, no record, or beyond the last position or time.
    #[error("malformed group header")]
    Header,
    /// Written by another version.
    #[error("the group has format version {0}; this program knows version {known}", known = Group::VERSION)]
    Version(u8),
    /// The bytes are not those that were hashed.
    #[error("the group's hash does not fit its content")]
    Hash,
    /// A frame leaves its group, or the count is wrong.
    #[error("malformed record frame")]
    Frame,
    /// A record does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Group {
    /// Version of the format, the first byte of each group.
    pub const VERSION: u8 = 1;
    const HEADER_BYTES: usize = 1 + 8 + 4 + 8 + 32;
    const FRAME_BYTES: usize = 4;

    /// Chains records that are framed already.
    #[must_use]
    pub fn new(after: Head, at: Timestamp, count: u32, records: Vec<u8>) -> Self {
        let mut group = Self {
            first: after.position.next(),
            count,
            at,
            previous: after.hash,
            hash: Hash::default(),
            records,
        };
        group.hash = group.compute_hash();
        group
    }

    /// Appends a framed record to a buffer.
    pub fn frame(buffer: &mut Vec<u8>, record: &Record) {
        let start = buffer.len();
        buffer.extend_from_slice(&[0; Self::FRAME_BYTES]);
        record.encode(buffer);
        let length =
            u32::try_from(buffer.len() - start - Self::FRAME_BYTES).expect("a record is far below 4 GiB");
        if let Some(frame) = buffer.get_mut(start..start + Self::FRAME_BYTES) {
            frame.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// The end of the journal once this group is there.
    #[must_use]
    pub fn head(&self) -> Head {
        let last = u64::from(self.count) - 1;
        Head {
            position: self.first.plus(last),
            at: self.at.plus_nanos(i64::try_from(last).unwrap_or(i64::MAX)),
            hash: self.hash,
        }
    }

    /// The checkpoint at this group's end.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { position: self.head().position, hash: self.hash }
    }

    /// The frames' contents, in order; `Err` where a frame leaves the group.
    pub fn frames(&self) -> impl Iterator<Item = Result<&[u8], GroupError>> {
        frames(&self.records)
    }

    fn header(&self) -> [u8; Self::HEADER_BYTES] {
        let mut header = [0; Self::HEADER_BYTES];
        let fields: [&[u8]; 5] = [
            &[Self::VERSION],
            &self.first.0.to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.at.0.to_le_bytes(),
            &self.previous.0,
        ];
        let mut rest = header.as_mut_slice();
        for field in fields {
            let (target, tail) = rest.split_at_mut(field.len());
            target.copy_from_slice(field);
            rest = tail;
        }
        header
    }

    fn compute_hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.header()).update(&self.records);
        Hash(*hasher.finalize().as_bytes())
    }

    /// The stored form: header, records, hash.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode_into(&mut bytes);
        bytes
    }

    /// Appends the stored form.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.reserve(Self::HEADER_BYTES + self.records.len() + 32);
        bytes.extend_from_slice(&self.header());
        bytes.extend_from_slice(&self.records);
        bytes.extend_from_slice(&self.hash.0);
    }

    /// Reads the stored form and checks its hash.
    ///
    /// # Errors
    /// Another version, a short header, or a hash that does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Self, GroupError> {
        GroupRef::decode(bytes).map(GroupRef::to_group)
    }
}

impl<'a> GroupRef<'a> {
    /// Reads the stored form and checks its hash, without a copy.
    ///
    /// # Errors
    /// Another version, a malformed header, or a hash that does not fit.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, GroupError> {
        let fields = || {
            let (version, rest) = bytes.split_first_chunk::<1>()?;
            let (first, rest) = rest.split_first_chunk::<8>()?;
            let (count, rest) = rest.split_first_chunk::<4>()?;
            let (at, rest) = rest.split_first_chunk::<8>()?;
            let (previous, rest) = rest.split_first_chunk::<32>()?;
            let (records, hash) = rest.split_last_chunk::<32>()?;
            let group = Self {
                first: Position(u64::from_le_bytes(*first)),
                count: u32::from_le_bytes(*count),
                at: Timestamp(i64::from_le_bytes(*at)),
                previous: Hash(*previous),
                hash: Hash(*hash),
                records,
            };
            // The positions and times of the records, and the ones after them, must exist.
            group.first.0.checked_add(u64::from(group.count))?;
            group.at.0.checked_add(i64::from(group.count))?;
            (group.count > 0).then_some((*version, group))
        };
        let ([version], group) = fields().ok_or(GroupError::Header)?;
        if version != Group::VERSION {
            return Err(GroupError::Version(version));
        }
        let hashed = bytes.get(..bytes.len() - group.hash.0.len()).unwrap_or_default();
        if blake3::hash(hashed).as_bytes() == &group.hash.0 { Ok(group) } else { Err(GroupError::Hash) }
    }

    /// The frames' contents, in order; `Err` where a frame leaves the group.
    pub fn frames(&self) -> impl Iterator<Item = Result<&'a [u8], GroupError>> + use<'a> {
        frames(self.records)
    }

    /// The end of the journal with this group as its last.
    #[must_use]
    pub fn head(&self) -> Head {
        let last = self.count - 1;
        Head {
            position: self.first.plus(u64::from(last)),
            at: self.at.plus_nanos(i64::from(last)),
            hash: self.hash,
        }
    }

    /// A copy that owns its records.
    #[must_use]
    pub fn to_group(self) -> Group {
        let Self { first, count, at, previous, hash, records } = self;
        Group { first, count, at, previous, hash, records: records.to_vec() }
    }
}

fn frames(mut rest: &[u8]) -> impl Iterator<Item = Result<&[u8], GroupError>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = rest.split_first_chunk::<{ Group::FRAME_BYTES }>().and_then(|(length, tail)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            tail.split_at_checked(length)
        });
        match frame {
            Some((body, tail)) => {
                rest = tail;
                Some(Ok(body))
            }
            None => {
                rest = &[];
                Some(Err(GroupError::Frame))
            }
        }
    })
}

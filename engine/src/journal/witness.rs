//! The witness: a file beside the journal that remembers how far the journal was acknowledged.
//!
//! Owns the file `witness`: two slots, each in a block of its own, written in turn, so that a torn write leaves the
//! other one. Never looks into the journal. Invariant: the slot of the last write that returned `Ok` survives anything
//! but damage to that slot itself; a witness is created whole or not at all.

use std::{
    fs::{File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::FileExt,
    path::Path,
};

use super::{Checkpoint, Hash, Head, JournalError};
use crate::model::{Position, Timestamp};

/// The name of the file in the data directory.
pub(super) const FILE_NAME: &str = "witness";

const SLOTS: usize = 2;
/// A slot's block: a write of one touches no byte of the other, whatever the device's sector.
const BLOCK_BYTES: usize = 4096;
const VERSION: u32 = 1;
const MARK: [u8; 8] = *b"yue-wtns";

/// What a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Witness {
    /// How many slots were written before, from the creation on.
    pub(super) sequence: u64,
    /// The end of the journal that was synced.
    pub(super) head: Head,
    /// The newest checkpoint of the index at that time.
    pub(super) sealed: Checkpoint,
}

/// The blocks of a witness, as they lie in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocks(pub(super) [Vec<u8>; SLOTS]);

impl Witness {
    /// Bytes of a block that mean something: mark, CRC-32, version, sequence, head, sealed checkpoint.
    pub(super) const CONTENT_BYTES: usize = 8 + 4 + 4 + 8 + (8 + 8 + 32) + (8 + 32);

    /// The witness after this one.
    pub(super) const fn next(self, head: Head, sealed: Checkpoint) -> Self {
        Self { sequence: self.sequence + 1, head, sealed }
    }

    /// The block that this witness belongs into: never the one of the witness before.
    pub(super) const fn slot(self) -> usize {
        if self.sequence.is_multiple_of(2) { 0 } else { 1 }
    }

    /// A block: mark, CRC-32 of what follows, version, sequence, head, sealed checkpoint, zeros.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut content = Vec::with_capacity(BLOCK_BYTES);
        content.extend_from_slice(&VERSION.to_le_bytes());
        content.extend_from_slice(&self.sequence.to_le_bytes());
        content.extend_from_slice(&self.head.position.0.to_le_bytes());
        content.extend_from_slice(&self.head.at.0.to_le_bytes());
        content.extend_from_slice(&self.head.hash.0);
        content.extend_from_slice(&self.sealed.position.0.to_le_bytes());
        content.extend_from_slice(&self.sealed.hash.0);
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        block.extend_from_slice(&MARK);
        block.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
        block.append(&mut content);
        block.resize(BLOCK_BYTES, 0);
        block
    }

    /// Reads a block; `Ok(None)` if it is damaged.
    fn decode(block: &[u8]) -> Result<Option<Self>, JournalError> {
        let fields = || {
            let (mark, rest) = block.split_first_chunk::<8>()?;
            let (crc, content) = rest.split_first_chunk::<4>()?;
            let (version, rest) = content.split_first_chunk::<4>()?;
            let (sequence, rest) = rest.split_first_chunk::<8>()?;
            let (position, rest) = rest.split_first_chunk::<8>()?;
            let (at, rest) = rest.split_first_chunk::<8>()?;
            let (hash, rest) = rest.split_first_chunk::<32>()?;
            let (sealed, rest) = rest.split_first_chunk::<8>()?;
            let (sealed_hash, rest) = rest.split_first_chunk::<32>()?;
            let content = content.get(..content.len() - rest.len())?;
            if mark != &MARK || crc32fast::hash(content) != u32::from_le_bytes(*crc) {
                return None;
            }
            let witness = Self {
                sequence: u64::from_le_bytes(*sequence),
                head: Head {
                    position: Position(u64::from_le_bytes(*position)),
                    at: Timestamp(i64::from_le_bytes(*at)),
                    hash: Hash(*hash),
                },
                sealed: Checkpoint {
                    position: Position(u64::from_le_bytes(*sealed)),
                    hash: Hash(*sealed_hash),
                },
            };
            Some((u32::from_le_bytes(*version), witness))
        };
        match fields() {
            None => Ok(None),
            Some((VERSION, witness)) => Ok(Some(witness)),
            Some((version, _)) => Err(JournalError::Witness(format!(
                "it has format version {version}, this program knows version {VERSION}"
            ))),
        }
    }
}

impl Blocks {
    /// A witness that was never written again.
    pub(super) fn new(first: Witness) -> Self {
        let mut blocks = Self([vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]]);
        blocks.put(first);
        blocks
    }

    /// Writes a witness over the older slot.
    pub(super) fn put(&mut self, witness: Witness) {
        if let Some(block) = self.0.get_mut(witness.slot()) {
            *block = witness.encode();
        }
    }

    /// The newer one of the undamaged slots.
    pub(super) fn newest(&self) -> Result<Witness, JournalError> {
        let mut newest: Option<Witness> = None;
        for (slot, block) in self.0.iter().enumerate() {
            match Witness::decode(block)? {
                Some(witness) if witness.slot() == slot => {
                    newest = newest.filter(|other| other.sequence > witness.sequence).or(Some(witness));
                }
                // The second slot is empty until the second write.
                None if block.iter().all(|&byte| byte == 0) => {}
                Some(_) | None => {
                    tracing::warn!(slot, "a slot of the journal's witness is damaged; using the other")
                }
            }
        }
        newest.ok_or_else(|| {
            JournalError::Witness("no slot is readable; restore the data directory from a copy".into())
        })
    }
}

/// The witness file, open for writing.
#[derive(Debug)]
pub(super) struct WitnessFile {
    file: File,
    last: Witness,
}

impl WitnessFile {
    /// Creates a witness; after an `Ok` it and its name are durable.
    pub(super) fn create(directory: &Path, first: Witness) -> Result<Self, JournalError> {
        let path = directory.join(FILE_NAME);
        let unfinished = directory.join("witness.new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished)?;
        // All blocks are written once here, so that a later write changes no metadata of the file.
        file.write_all_at(&Blocks::new(first).0.concat(), 0)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)?;
        sync_directory(directory)?;
        Ok(Self { file, last: first })
    }

    /// Reads the witness without changing it; `None` if there is none.
    pub(super) fn read(directory: &Path) -> Result<Option<Witness>, JournalError> {
        match std::fs::read(directory.join(FILE_NAME)) {
            Ok(bytes) => {
                let (first, second) = bytes
                    .split_at_checked(BLOCK_BYTES)
                    .filter(|(_, second)| second.len() == BLOCK_BYTES)
                    .ok_or_else(|| JournalError::Witness(format!("it has {} bytes", bytes.len())))?;
                Blocks([first.to_vec(), second.to_vec()]).newest().map(Some)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file in which [`WitnessFile::read`] found `last`.
    pub(super) fn open(directory: &Path, last: Witness) -> Result<Self, JournalError> {
        Ok(Self { file: OpenOptions::new().write(true).open(directory.join(FILE_NAME))?, last })
    }

    /// Writes and syncs the next witness.
    pub(super) fn write(&mut self, head: Head, sealed: Checkpoint) -> Result<(), JournalError> {
        let next = self.last.next(head, sealed);
        let offset = if next.slot() == 0 { 0 } else { BLOCK_BYTES as u64 };
        self.file.write_all_at(&next.encode(), offset)?;
        self.file.sync_data()?;
        self.last = next;
        Ok(())
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> Result<(), JournalError> {
    Ok(File::open(directory)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(position: u64) -> Head {
        Head { position: Position(position), at: Timestamp(7), hash: Hash([9; 32]) }
    }

    #[test]
    fn survives_one_damaged_slot() {
        let directory = tempfile::tempdir().unwrap();
        let sealed = Checkpoint { position: Position(1), hash: Hash([8; 32]) };
        let mut file = WitnessFile::create(directory.path(), Witness::default()).unwrap();
        for position in 1..4 {
            file.write(head(position), sealed).unwrap();
            let read = WitnessFile::read(directory.path()).unwrap().unwrap();
            assert_eq!(read, Witness { sequence: position, head: head(position), sealed });
        }
        let path = directory.path().join(FILE_NAME);
        let sound = std::fs::read(&path).unwrap();
        for byte in 0..Witness::CONTENT_BYTES {
            let mut bytes = sound.clone();
            bytes[BLOCK_BYTES + byte] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(WitnessFile::read(directory.path()).unwrap().unwrap().head, head(2), "byte {byte}");
            bytes[byte] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert!(
                matches!(WitnessFile::read(directory.path()), Err(JournalError::Witness(_))),
                "byte {byte}"
            );
        }
        std::fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        assert!(matches!(WitnessFile::read(directory.path()), Err(JournalError::Witness(_))));
    }

    #[test]
    fn refuses_a_newer_version() {
        let mut block = Witness::default().encode();
        block[12] = 2;
        let crc = crc32fast::hash(&block[12..Witness::CONTENT_BYTES]).to_le_bytes();
        block[8..12].copy_from_slice(&crc);
        assert!(matches!(Witness::decode(&block), Err(JournalError::Witness(_))));
    }
}

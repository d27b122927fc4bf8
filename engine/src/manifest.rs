//! A look at RocksDB's manifest before RocksDB reads it.
//!
//! Owns the knowledge of one flaw: RocksDB 11.8 reads for ever where one flipped bit turns a record of the manifest into a
//! record of a recycled log (`log::Reader::ReadPhysicalRecord` returns without having taken it). A manifest is never a
//! recycled log, so such a record is damage. Never judges anything else, and never writes. Invariant: each store, the
//! journal's and the index's, is looked at before it is opened, for reading too.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

const BLOCK_BYTES: usize = 32 << 10;
/// CRC, length, type.
const HEADER_BYTES: usize = 4 + 2 + 1;

/// Why a store must not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    /// A file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// RocksDB would hang.
    #[error("{name} is damaged (a record has the type of a recycled log)")]
    Damaged { name: String },
}

/// Refuses a manifest on which RocksDB would hang. Whatever else is wrong, RocksDB finds and names.
pub(crate) fn check_manifest(directory: &Path) -> Result<(), ManifestError> {
    let read = |name: &str| match fs::read(directory.join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    };
    let current = String::from_utf8(read("CURRENT")?).unwrap_or_default();
    let name = current.trim_end();
    if !name.starts_with("MANIFEST-") || name.contains('/') {
        return Ok(());
    }
    if read(name)?.chunks(BLOCK_BYTES).any(has_recycled_record) {
        return Err(ManifestError::Damaged { name: name.to_owned() });
    }
    Ok(())
}

fn has_recycled_record(mut block: &[u8]) -> bool {
    while let Some((header, rest)) = block.split_first_chunk::<HEADER_BYTES>() {
        let [_, _, _, _, low, high, kind] = *header;
        // 5 to 8: the four kinds of fragment; 11 and 131: two kinds of information.
        if matches!(kind, 5..=8 | 11 | 131) {
            return true;
        }
        let length = usize::from(u16::from_le_bytes([low, high]));
        // A record beyond its block, or the zeros at a block's end: RocksDB drops the rest of the block.
        let Some(next) = rest.get(length..).filter(|_| (kind, length) != (0, 0)) else { return false };
        block = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_recycled_record() {
        let record = |kind: u8, length: u16| {
            let mut bytes = vec![1, 2, 3, 4];
            bytes.extend(length.to_le_bytes());
            bytes.push(kind);
            bytes.resize(HEADER_BYTES + usize::from(length), 5);
            bytes
        };
        let check = |records: &[Vec<u8>], expected: bool| {
            assert_eq!(has_recycled_record(&records.concat()), expected)
        };
        check(&[], false);
        check(&[record(1, 9), record(2, 300), record(4, 0), vec![5; 6]], false);
        check(&[record(1, 9), record(5, 9)], true);
        check(&[record(1, 9), record(11, 0)], true);
        check(&[record(1, 9), vec![0; 100], record(5, 9)], false);
        check(&[record(1, 9), record(1, 9)[..10].to_vec()], false);
    }
}

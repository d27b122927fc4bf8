//! The room on the file system of the data directory: what is kept free, and what may still be admitted.
//!
//! Owns the sizes that follow the file system's, the reserve, and the account of what was admitted. Never refuses
//! anything itself, and never frees anything. Invariant: what is admitted fits beside the reserve, and the reserve holds
//! what is still to be written about records that are in the journal: its tables, the index's segments, and a start's
//! recovery. So a full disk is refused before it happens, and a start after it needs no more than there is.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{config::Config, model::Transaction, threads::Shared};

/// Sizes that a small file system makes smaller: buffers are written while what they replace is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Of the journal, and of each column family of the index.
    pub(crate) write_buffer_bytes: u64,
    /// Bytes of records in a segment of the index.
    pub(crate) segment_bytes_max: u64,
    /// Bytes of records in a group of the journal.
    pub(crate) group_bytes_max: u64,
}

impl Sizes {
    const WRITE_BUFFER_BYTES_MIN: u64 = 1 << 20;
    const WRITE_BUFFER_BYTES_MAX: u64 = 64 << 20;
    const SEGMENT_BYTES_MIN: u64 = 1 << 20;
    const SEGMENT_BYTES_MAX: u64 = 256 << 20;
    /// Write buffers that the journal may need room for at once: two tables, and the two log files beside them with
    /// what RocksDB allocates of them in advance.
    const WRITE_BUFFERS: u64 = 5;
    /// Segments that the index may need room for: three that are not sealed, at up to twice their records' bytes with
    /// ids and postings, and two more while tables are merged.
    const SEGMENTS: u64 = 8;

    /// The sizes on a file system of so many bytes.
    fn on(total: u64, config: &Config) -> Self {
        let write_buffer_bytes =
            (total / 64).clamp(Self::WRITE_BUFFER_BYTES_MIN, Self::WRITE_BUFFER_BYTES_MAX);
        let group_bytes = u64::try_from(config.group_bytes_max).unwrap_or(u64::MAX);
        Self {
            write_buffer_bytes,
            segment_bytes_max: (total / 128).clamp(Self::SEGMENT_BYTES_MIN, Self::SEGMENT_BYTES_MAX),
            group_bytes_max: group_bytes.min(write_buffer_bytes / 2),
        }
    }

    /// The sizes on the file system of the data directory.
    pub(crate) fn of(config: &Config) -> Self {
        // What can't be told is told by the first write.
        Self::on(fs4::total_space(&config.data).unwrap_or(u64::MAX), config)
    }

    /// Bytes that what is in the journal may still need.
    fn needs(self) -> u64 {
        // A buffer and a segment are full only after the group that fills them.
        Self::WRITE_BUFFERS * (self.write_buffer_bytes + self.group_bytes_max)
            + Self::SEGMENTS * (self.segment_bytes_max + self.group_bytes_max)
    }

    /// Bytes of a file system that are kept free.
    fn reserve(self, total: u64, config: &Config) -> u64 {
        (total / 100 * u64::from(config.storage_reserve_percent)).max(self.needs())
    }
}

/// Bytes that an opening or a change of an account may take, in journal and index: its texts are bounded.
pub(crate) const ACCOUNT_BYTES: u64 = 32 << 10;

/// Bytes that a transaction may take in journal and index, whether it is posted or refused. Rather too many.
pub(crate) fn bytes_of(transaction: &Transaction) -> u64 {
    /// Id, stamp, counts, and the index's entry for the id.
    const FIXED: usize = 128;
    /// Two addresses, an amount, a hold's id, and the index's postings.
    const OPERATION: usize = 256;
    /// An id, and the index's entry for it.
    const ALIAS: usize = 64;
    /// An account, a kind, a revision, and the index's key.
    const CELL: usize = 64;
    let text = |text: &Option<compact_str::CompactString>| text.as_ref().map_or(0, |text| text.len());
    let operations: usize =
        transaction.operations.iter().map(|operation| OPERATION + text(&operation.code)).sum();
    let metadata: usize = transaction.metadata.iter().map(|(key, value)| key.len() + value.len() + 4).sum();
    let attachment = transaction.attachment.as_ref().map_or(0, |attachment| {
        // The index keeps a cell beside its record.
        let cells = attachment.cells.iter().map(|write| CELL + 2 * write.value.len());
        attachment.document.len() + ALIAS * attachment.aliases.len() + cells.sum::<usize>()
    });
    let texts = text(&transaction.code) + text(&transaction.reference) + metadata;
    u64::try_from(2 * (FIXED + operations + texts + attachment)).unwrap_or(u64::MAX)
}

/// What was admitted, and up to where it may go.
#[derive(Debug)]
pub(crate) struct Room {
    /// Bytes admitted since the start.
    admitted: AtomicU64,
    /// What `admitted` may become.
    most: AtomicU64,
}

impl Default for Room {
    /// Without a bound, until the first look.
    fn default() -> Self {
        Self { admitted: AtomicU64::new(0), most: AtomicU64::new(u64::MAX) }
    }
}

impl Room {
    /// Takes room for what is about to be admitted; `false` if there is none.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let before = self.admitted.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.most.load(Ordering::Relaxed);
        if !fits {
            self.admitted.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }
}

/// Looks at the file system from time to time.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// What was admitted one and two ticks ago: what came before is taken to be on the disk.
    admitted: [u64; 2],
}

impl Watch {
    /// Between two looks.
    const INTERVAL: Duration = Duration::from_secs(1);
    /// Between two looks when there is not much left.
    const INTERVAL_NEAR: Duration = Duration::from_millis(50);

    /// To be called once a second.
    pub(crate) fn tick(&mut self, shared: &Shared) {
        self.admitted = [shared.state.room.admitted.load(Ordering::Relaxed), self.admitted[0]];
    }

    /// Refuses new writes before the disk is full. Tells when to look again.
    pub(crate) fn look(&self, shared: &Shared) -> Duration {
        let (total, available) = match fs4::statvfs(&shared.config.data) {
            Ok(stats) => (stats.total_space(), stats.available_space()),
            Err(error) => {
                tracing::warn!(%error, "the free space of the data directory is unknown");
                return Self::INTERVAL;
            }
        };
        let sizes = Sizes::on(total, &shared.config);
        let reserve = sizes.reserve(total, &shared.config);
        // Less than a group is nearly nothing, and better refused before it is parsed.
        let low = self.update(&shared.state.room, available, reserve) < sizes.group_bytes_max;
        if shared.state.storage_low.swap(low, Ordering::Relaxed) != low {
            tracing::warn!(low, available, reserve, "the storage reserve is reached, or free again");
        }
        if available / 2 < reserve { Self::INTERVAL_NEAR } else { Self::INTERVAL }
    }

    /// Sets the bound; tells how far it is.
    fn update(&self, room: &Room, available: u64, reserve: u64) -> u64 {
        // What was admitted since the older tick may be on the disk or not: it counts as not.
        let most = available.checked_sub(reserve).map_or(0, |left| self.admitted[1].saturating_add(left));
        room.most.store(most, Ordering::Relaxed);
        most.saturating_sub(room.admitted.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;

    use super::*;
    use crate::model::{Address, Attachment, CellKind, CellWrite, Metadata, TransactionId};

    const MIB: u64 = 1 << 20;

    #[test]
    fn sizes_and_reserve_follow_the_file_system() {
        let config = Config::new("unused");
        let check = |total: u64, buffer: u64, segment: u64, reserve: u64| {
            let sizes = Sizes::on(total, &config);
            assert_eq!((sizes.write_buffer_bytes, sizes.segment_bytes_max), (buffer, segment), "{total}");
            assert_eq!(sizes.reserve(total, &config) / MIB, reserve, "{total}");
            assert!(sizes.group_bytes_max <= sizes.write_buffer_bytes / 2, "{total}");
        };
        check(0, MIB, MIB, 19);
        check(64 * MIB, MIB, MIB, 19);
        check(256 * MIB, 4 * MIB, 2 * MIB, 62);
        check(4_096 * MIB, 64 * MIB, 32 * MIB, 628);
        check(65_536 * MIB, 64 * MIB, 256 * MIB, 3_276);
        check(1 << 40, 64 * MIB, 256 * MIB, 52_428);
    }

    #[test]
    fn what_a_verb_writes_beside_its_postings_takes_room() {
        let check = |document: usize, aliases: usize, cells: &[usize], least: u64| {
            let cells = cells.iter().map(|&bytes| CellWrite {
                account: Address::parse("customers:1").unwrap(),
                kind: CellKind(0),
                revision: 1,
                value: vec![0; bytes].into(),
            });
            let attachment = Attachment {
                document: vec![0; document].into(),
                aliases: vec![TransactionId(0); aliases],
                cells: cells.collect(),
            };
            let plain = Transaction {
                id: TransactionId(1),
                operations: SmallVec::new(),
                code: None,
                reference: None,
                metadata: Metadata::default(),
                attachment: None,
            };
            let attached = Transaction { attachment: Some(Box::new(attachment)), ..plain.clone() };
            let room = bytes_of(&attached) - bytes_of(&plain);
            assert!(room >= least, "{room} for {document}, {aliases}, least {least}");
        };
        check(0, 0, &[], 0);
        // Journal and index.
        check(16_384, 0, &[], 2 * 16_384);
        check(0, 4, &[], 2 * 4 * 16);
        // The index has a cell twice: in its record, and as it is.
        check(0, 0, &[16_384, 100], 3 * 16_484);
        check(1_000, 2, &[10; 8], 2_000 + 64 + 240);
    }

    #[test]
    fn no_more_is_admitted_than_there_is_room_for() {
        let room = Room::default();
        assert!(room.take(1_000), "there is no bound before the first look");
        let mut watch = Watch { admitted: [1_000, 1_000] };
        assert_eq!(watch.update(&room, 700, 400), 300);
        assert!(!room.take(301));
        assert!(room.take(300));
        assert!(!room.take(1));
        // What was admitted since the last ticks is still to be written.
        assert_eq!(watch.update(&room, 700, 400), 0);
        assert!(!room.take(1));
        watch.admitted = [1_300, 1_300];
        assert_eq!(watch.update(&room, 410, 400), 10);
        assert!(room.take(10) && !room.take(1));
        assert_eq!(watch.update(&room, 399, 400), 0);
        assert!(!room.take(1));
        assert_eq!(watch.update(&room, 1_000, 400), 590);
        assert!(room.take(1));
    }
}

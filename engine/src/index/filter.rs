//! A filter of ids: most ids that are not in a run are told apart with one look at one cache line.
//!
//! Owns its bits and their byte form (blocks of eight 32-bit words, one bit set in each word, little-endian). Never has a
//! false negative. The hash is fixed, so that the byte form means the same in each process.

/// Bits an id: one absent id in a thousand passes, and costs a look at the disk, which is a hundred looks at a filter.
const BITS_PER_ID: u64 = 16;
const BLOCK_BITS: u64 = 256;
const BLOCK_BYTES: usize = 32;
/// Odd numbers without a pattern; each picks a bit of its own.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// Half a cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Block([u32; 8]);

/// Which ids may be in a run.
pub(super) struct Filter {
    blocks: Vec<Block>,
}

impl Filter {
    /// An empty filter for about so many ids.
    pub(super) fn with_capacity(ids: u64) -> Self {
        let blocks = (ids.saturating_mul(BITS_PER_ID) / BLOCK_BITS).saturating_add(1);
        Self { blocks: vec![Block::default(); usize::try_from(blocks).unwrap_or(usize::MAX)] }
    }

    /// Bytes in memory and on disk.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    pub(super) fn insert(&mut self, id: u128) {
        let (index, bits) = self.place(id);
        if let Some(block) = self.blocks.get_mut(index) {
            for (word, bit) in block.0.iter_mut().zip(bits) {
                *word |= bit;
            }
        }
    }

    /// `false` only if the id was never inserted.
    pub(super) fn may_contain(&self, id: u128) -> bool {
        let (index, bits) = self.place(id);
        self.blocks
            .get(index)
            .is_none_or(|block| block.0.iter().zip(bits).all(|(word, bit)| word & bit == bit))
    }

    fn place(&self, id: u128) -> (usize, [u32; 8]) {
        let hash = hash(id);
        let count = u128::try_from(self.blocks.len()).unwrap_or(u128::MAX);
        // The hash as a fraction of 2^64 picks the block, its low half the bits.
        let index = usize::try_from((u128::from(hash) * count) >> 64).unwrap_or(usize::MAX);
        let low = u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default();
        (index, SALTS.map(|salt| 1 << (low.wrapping_mul(salt) >> 27)))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| block.0).flat_map(u32::to_le_bytes).collect()
    }

    /// `None` if the bytes are no filter.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(BLOCK_BYTES) {
            return None;
        }
        let blocks = bytes.chunks_exact(BLOCK_BYTES).map(|chunk| {
            let mut block = Block::default();
            for (word, bytes) in block.0.iter_mut().zip(chunk.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            block
        });
        Some(Self { blocks: blocks.collect() })
    }
}

/// Mixes all bits of an id into 64.
fn hash(id: u128) -> u64 {
    const PRIMES: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9];
    let [one, two, three] = PRIMES;
    let high = u64::try_from(id >> 64).unwrap_or_default();
    let low = u64::try_from(id & u128::from(u64::MAX)).unwrap_or_default();
    let mut hash = (high ^ one).wrapping_mul(two).rotate_left(29) ^ low.wrapping_mul(three);
    hash = (hash ^ (hash >> 32)).wrapping_mul(one);
    hash = (hash ^ (hash >> 29)).wrapping_mul(two);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_most_absent_ids_apart() {
        // Counting ids, ids that share their high half, random-looking ids.
        let kinds: [fn(u64) -> u128; 3] = [
            u128::from,
            |n| u128::from(n / 4096) << 80 | 7 << 76 | u128::from(hash(u128::from(n)) >> 2),
            |n| u128::from(hash(u128::from(n))) << 64 | u128::from(hash(u128::from(n) << 70)),
        ];
        for id in kinds {
            const COUNT: u64 = 100_000;
            let mut filter = Filter::with_capacity(COUNT);
            (0..COUNT).for_each(|n| filter.insert(id(n)));
            let filter = Filter::decode(&filter.encode()).unwrap();
            assert!((0..COUNT).all(|n| filter.may_contain(id(n))));
            let passed = (COUNT..2 * COUNT).filter(|&n| filter.may_contain(id(n))).count();
            assert!(passed < 200, "{passed} of {COUNT} absent ids passed");
        }
        assert!(Filter::decode(&[0; 31]).is_none());
    }
}

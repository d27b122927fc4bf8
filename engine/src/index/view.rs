//! What a reader sees at one instant: sealed segments and the tails after them, without a gap.
//!
//! Owns the list of segments. Views are immutable and swapped whole: the follower adds a tail, the sealer replaces the
//! oldest frozen tail by a segment that is already on disk.

use std::sync::{Arc, atomic::AtomicU64};

use super::{
    IndexError,
    id_run::Runs,
    tail::Tail,
    wire::{self, Wire},
};
use crate::model::{Position, Timestamp};

/// A sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) no: u32,
    pub(super) first: Position,
    pub(super) last: Position,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
}

impl Segment {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40);
        wire::put_u64(&mut bytes, self.first.0);
        wire::put_u64(&mut bytes, self.last.0);
        wire::put_i128(&mut bytes, i128::from(self.first_at.0));
        wire::put_i128(&mut bytes, i128::from(self.last_at.0));
        bytes
    }

    pub(super) fn decode(no: u32, bytes: &[u8]) -> Result<Self, IndexError> {
        let mut wire = Wire(bytes);
        let (first, last) = (Position(wire.u64()?), Position(wire.u64()?));
        let (first_at, last_at) = (wire.timestamp()?, wire.timestamp()?);
        wire.end()?;
        Ok(Self { no, first, last, first_at, last_at })
    }
}

/// Everything at one instant.
#[derive(Clone)]
pub(super) struct View {
    /// In order, from the first record on, without a gap.
    pub(super) segments: Arc<Vec<Segment>>,
    pub(super) runs: Arc<Runs>,
    /// In order, without a gap after the segments and between each other; the last one is still growing.
    pub(super) tails: Vec<Arc<Tail>>,
}

impl View {
    /// The last position on disk.
    pub(super) fn sealed(&self) -> Position {
        self.segments.last().map_or(Position::ZERO, |segment| segment.last)
    }

    /// The segment that has a position.
    pub(super) fn segment_of(&self, position: Position) -> Option<&Segment> {
        let index = self.segments.partition_point(|segment| segment.first <= position).checked_sub(1)?;
        self.segments.get(index).filter(|segment| position <= segment.last)
    }

    /// The tail that has or may get a position, and its index.
    pub(super) fn tail_of(&self, position: Position) -> Option<(usize, &Arc<Tail>)> {
        let index = self.tails.partition_point(|tail| tail.first <= position).checked_sub(1)?;
        self.tails.get(index).map(|tail| (index, tail))
    }
}

/// What readers know of an account; in an array by account number.
#[derive(Debug, Default)]
pub(super) struct AccountHead {
    /// The position of its opening; zero until it is open.
    pub(super) opened: AtomicU64,
    /// The position of its newest posting; zero if it has none.
    pub(super) posting: AtomicU64,
}

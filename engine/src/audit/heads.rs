//! Heads that somebody kept outside of the directory, beside the walk.
//!
//! Owns which of them the journal still has. Never looks at signatures: who kept them has. Invariant: a head counts as
//! held only if the journal ends a group at its position, with its hash.

use std::{iter::Peekable, vec::IntoIter};

use super::{Heads, Report};
use crate::{journal::Checkpoint, model::Position};

/// See the module.
pub(super) struct KeptHeads {
    waiting: Peekable<IntoIter<Checkpoint>>,
    found: Heads,
    /// The first one whose position has another hash, and how many there are.
    rewritten: Option<(Position, u64)>,
}

impl KeptHeads {
    pub(super) fn new(kept: &[Checkpoint]) -> Self {
        let mut kept = kept.to_vec();
        kept.sort_by_key(|head| head.position);
        Self { waiting: kept.into_iter().peekable(), found: Heads::default(), rewritten: None }
    }

    /// Where a trimmed journal begins: nothing tells what was before.
    pub(super) fn begin(&mut self, base: Position) {
        while self.waiting.next_if(|head| head.position < base).is_some() {
            self.found.trimmed += 1;
        }
    }

    /// At the end of a group.
    pub(super) fn arrive(&mut self, end: Checkpoint) {
        while let Some(kept) = self.waiting.next_if(|kept| kept.position <= end.position) {
            if kept == end {
                self.found.held += 1;
            } else {
                // Within a group, too: what is hashed together never changes.
                self.rewritten.get_or_insert((kept.position, 0)).1 += 1;
            }
        }
    }

    /// When all was walked.
    pub(super) fn finish(mut self, report: &mut Report) {
        if let Some((position, count)) = self.rewritten {
            report.find(|| {
                format!(
                    "rewritten: at position {position} the journal has another hash than the signed head \
                     ({count} of the heads differ)"
                )
            });
        }
        if let Some(beyond) = self.waiting.next() {
            let (end, position, count) = (report.position, beyond.position, 1 + self.waiting.count());
            report.find(|| {
                format!(
                    "rolled back: the journal ends at position {end}, before the signed head of position {position} \
                     ({count} of the heads lie beyond the end)"
                )
            });
        }
        report.heads = self.found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Hash;

    fn head(position: u64, hash: u8) -> Checkpoint {
        Checkpoint { position: Position(position), hash: Hash([hash; 32]) }
    }

    #[test]
    fn heads_are_held_against_the_ends_of_groups() {
        // A journal that begins after 4, with groups that end at 6, 7 and 10.
        let check = |kept: &[(u64, u8)], held: u64, trimmed: u64, findings: &[&str]| {
            let kept: Vec<_> = kept.iter().map(|&(position, hash)| head(position, hash)).collect();
            let mut heads = KeptHeads::new(&kept);
            heads.begin(Position(4));
            for end in [head(4, 1), head(6, 2), head(7, 3), head(10, 4)] {
                heads.arrive(end);
            }
            let mut report = Report { position: Position(10), ..Report::default() };
            heads.finish(&mut report);
            assert_eq!((report.heads, report.findings.len()), (Heads { held, trimmed }, findings.len()));
            for (finding, expected) in report.findings.iter().zip(findings) {
                assert!(finding.starts_with(expected), "{finding}");
            }
        };
        check(&[], 0, 0, &[]);
        check(&[(4, 1), (6, 2), (7, 3), (10, 4), (10, 4)], 5, 0, &[]);
        check(&[(10, 4), (6, 2)], 2, 0, &[]);
        check(&[(1, 9), (3, 9), (6, 2)], 1, 2, &[]);
        check(&[(4, 2)], 0, 0, &["rewritten: at position 4 "]);
        check(&[(5, 2), (6, 2), (7, 4)], 1, 0, &["rewritten: at position 5 "]);
        check(&[(10, 4), (11, 4), (12, 4)], 1, 0, &["rolled back: the journal ends at position 10, before"]);
        check(&[(9, 4), (11, 4)], 0, 0, &["rewritten: at position 9 ", "rolled back: "]);
    }
}

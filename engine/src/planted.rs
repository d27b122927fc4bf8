//! Bugs that are planted on purpose, so that the simulation shows that it finds them.
//!
//! Owns their names, and which one is planted in this thread. Each is one line where it bites, `planted(Bug::X)`. Invariant:
//! without the feature `planted-bugs` that is a constant `false`, and nothing of it is left; with it, there is no release.

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("planted bugs are for tests: never in a release");

macro_rules! bugs {
    ($($name:ident $promise:literal $what:literal;)*) => {
        /// A bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(feature = "planted-bugs"), allow(dead_code, unreachable_pub))]
        pub enum Bug {
            $(#[doc = $what] $name,)*
        }

        #[cfg(feature = "planted-bugs")]
        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What it does, and the promise that it breaks.
            #[must_use]
            pub const fn describe(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => ($what, $promise),)*
                }
            }
        }
    };
}

bugs! {
    AcknowledgedBeforeSync "G1" "a client hears of a transaction before the journal has it";
    CellShownBeforeSync "G1" "a cell is shown as soon as it is decided";
    GoesOnAfterError "G7" "an error of the journal is ignored";
    GroupHalfWritten "G2" "only the first batch of a group is written, and all are acknowledged";
    MessageBeforeBatch "G2" "a shard tells another one of a record before the record is queued";
    LegDropped "G2" "a free leg does not reach its shard";
    CellNotSealed "G2" "the index seals a segment without the cells that were written in it";
    CellsForgottenByRestart "G2" "cells are not known after a start";
    CellOfRefused "G2" "a refused transaction writes its cells";
    FreeLegTwiceInRecovery "G2" "a replay adds the last free leg again";
    DedupeSkippedAfterRestart "G3" "ids that are not sealed are not known after a start";
    SealedIdsNotLookedUp "G3" "the index is not asked for an old id";
    IdsForgottenEarly "G3" "ids leave the directory with their answer, not when they are sealed";
    SealedAliasesNotLookedUp "G3" "the index is not asked for an old alias";
    RevisionNotChecked "G4" "a cell is written from an older revision";
    ReservationKeptOnRefusal "G4" "a refusal does not give back what lower shards reserved";
    ReservationLeaked "G4" "a full queue does not give back what lower shards reserved";
    LimitsShownAsBefore "G4" "a credit shows the limits as they were before a debit in flight";
    InFlightUnbounded "G8" "commands in flight are counted and not bounded";
    DeadlineIgnored "G8" "a command is decided after its deadline";
    DeadlineByStamp "G8" "a deadline goes by the latest time ever, though the clock went back";
    FloorOffByOne "G6" "one minor unit below the floor is accepted";
    CaptureAfterExpiry "G6" "a hold that has run out is captured";
    ReversalCapOffByOne "G6" "one minor unit more than the original is reversed";
    ReversedByAlias "G6" "an operation is reversed once more by an alias of its transaction";
    WindowResetByRestart "G6" "what is used of limits is zero after a start";
    ExpiryAppliedTwice "G6" "a hold expires twice";
    OverdueNotExpired "G6" "a start takes traffic before overdue holds have expired";
    WitnessNotChecked "G9" "a start does not compare the journal's end with the witness";
    ChainNotChecked "G9" "a start does not compare a group's previous hash";
    IndexWatermarkAhead "G9" "the index's watermark becomes durable before its segment";
    EventsWithAGap "G10" "events leave expiries out";
    TimeBeforeDecision "G10" "a record's time may lie before its decision";
}

#[cfg(feature = "planted-bugs")]
std::thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, or takes it out.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether a bug is planted.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Never.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

//! What an overload run has seen, as numbers: one set for each stage, one for each second.
//!
//! Owns: the counters. Never judges. Invariant: each arrival after a stage's first moments is counted once: as sent and
//! then by its answer, or as shed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::recorder::Latency;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Posted.
    Accepted,
    /// 503 with `Retry-After`, in seconds.
    Refused(u64),
    /// No answer in time, or a broken connection: it may have been posted.
    Lost,
    /// An answer that the contract does not allow.
    Unexpected,
}

/// One second of the run, by the moment at which things ended.
#[derive(Clone)]
pub(crate) struct Second {
    pub(crate) stage: usize,
    pub(crate) offered: u64,
    pub(crate) shed: u64,
    /// Of the second's own stage.
    pub(crate) accepted: u64,
    /// Accepted now, and offered in the stage before.
    pub(crate) accepted_earlier: u64,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
    /// Of what was accepted of its own stage.
    pub(crate) latency: Latency,
}

impl Second {
    pub(super) fn new(stage: usize) -> Self {
        let latency = Latency::new(2);
        Self { stage, offered: 0, shed: 0, accepted: 0, accepted_earlier: 0, refused: 0, lost: 0, latency }
    }

    pub(super) fn ended(&mut self, stage: usize, end: End, latency: Duration) {
        match end {
            End::Accepted if stage != self.stage => self.accepted_earlier += 1,
            End::Accepted => {
                self.accepted += 1;
                self.latency.record(latency);
            }
            End::Refused(_) => self.refused += 1,
            End::Lost | End::Unexpected => self.lost += 1,
        }
    }
}

/// One stage, without its first moments.
#[derive(Clone)]
pub(crate) struct Totals {
    /// The counted part.
    pub(crate) seconds: f64,
    pub(crate) offered: u64,
    /// Arrivals for which no connection was free: the server never saw them.
    pub(crate) shed: u64,
    /// Posted in the counted part, whenever it was asked for.
    pub(crate) posted: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
    pub(crate) unexpected: u64,
    /// From the moment at which it was meant to be sent, of what was accepted and of what was refused.
    pub(crate) latency: Latency,
    pub(crate) refusal_latency: Latency,
    /// How late the generator sent or shed.
    pub(crate) lateness: Latency,
    /// The values of `Retry-After`.
    pub(crate) retry_after: BTreeSet<u64>,
    /// Health and reads of an outcome, asked beside the load; its first moments count here.
    pub(crate) probe_latency: Latency,
    pub(crate) probes_failed: u64,
    /// Processor time of the generator's thread.
    pub(crate) generator_seconds: f64,
}

impl Totals {
    pub(super) fn new() -> Self {
        Self {
            seconds: 0.0,
            offered: 0,
            shed: 0,
            posted: 0,
            accepted: 0,
            refused: 0,
            lost: 0,
            unexpected: 0,
            latency: Latency::new(3),
            refusal_latency: Latency::new(3),
            lateness: Latency::new(3),
            retry_after: BTreeSet::new(),
            probe_latency: Latency::new(3),
            probes_failed: 0,
            generator_seconds: 0.0,
        }
    }

    pub(super) fn ended(&mut self, end: End, latency: Duration) {
        match end {
            End::Accepted => {
                self.accepted += 1;
                self.latency.record(latency);
            }
            End::Refused(after) => {
                self.refused += 1;
                self.refusal_latency.record(latency);
                self.retry_after.insert(after);
            }
            End::Lost => self.lost += 1,
            End::Unexpected => self.unexpected += 1,
        }
    }

    /// Adds another stage at the same load; the histograms are of one kind.
    pub(super) fn merge(&mut self, other: &Self) {
        let Self {
            seconds,
            offered,
            shed,
            posted,
            accepted,
            refused,
            lost,
            unexpected,
            latency,
            refusal_latency,
            lateness,
            retry_after,
            probe_latency,
            probes_failed,
            generator_seconds,
        } = other;
        self.seconds += seconds;
        self.offered += offered;
        self.shed += shed;
        self.posted += posted;
        self.accepted += accepted;
        self.refused += refused;
        self.lost += lost;
        self.unexpected += unexpected;
        self.latency.merge(latency);
        self.refusal_latency.merge(refusal_latency);
        self.lateness.merge(lateness);
        self.retry_after.extend(retry_after);
        self.probe_latency.merge(probe_latency);
        self.probes_failed += probes_failed;
        self.generator_seconds += generator_seconds;
    }

    /// Posted a second.
    pub(crate) fn goodput(&self) -> f64 {
        self.posted as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Offered a second.
    pub(crate) fn rate(&self) -> f64 {
        self.offered as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Posted, of what was offered: 0 to about 1.
    pub(crate) fn share(&self) -> f64 {
        self.posted as f64 / self.offered.max(1) as f64
    }
}

//! Whether a key that was good when its request's head came is still in force when the body is there.
//!
//! Owns the second look at a key, over what was shown of it. Never sees a request. Invariant: for a key that was taken
//! out of force, or changed what it may, before the last byte of a request, nothing of the request is done.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Gate,
    keys::{Key, Keys},
    refusals::no_such_key,
};
use crate::problem::Problem;

/// What was shown of a key. A signature is not kept: it is checked with the body.
#[derive(Clone)]
pub(super) enum Shown {
    /// The hash of a secret.
    Secret([u8; 32]),
    /// The hash of a certificate.
    Certificate([u8; 32]),
}

/// A key that was shown, and the keys that were in force then.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(super) gate: Gate,
    pub(super) keys: Arc<Keys>,
    pub(super) key: Arc<Key>,
    pub(super) shown: Shown,
    /// When the secret ends that was shown.
    pub(super) ends_at: Option<Timestamp>,
}

impl Standing {
    /// Refuses a key that is not in force any more, or not as it was. Cheap while the keys are the same.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let in_force = self.gate.0.keys.load();
        let has_ended = self.ends_at.is_some_and(|end| end <= Timestamp::now());
        if Arc::ptr_eq(&in_force, &self.keys) && !has_ended {
            return Ok(());
        }
        let key = match &self.shown {
            Shown::Secret(hash) => {
                let found = in_force.of_secret(&self.key.id, hash, Timestamp::now());
                found.map(|(key, _)| key)
            }
            Shown::Certificate(certificate) => in_force.of_certificate(certificate),
        };
        let good = key.is_some_and(|key| key.is_still(&self.key));
        if good { Ok(()) } else { Err(no_such_key()) }
    }
}

//! For how long a key is good.
//!
//! Owns the end of what was shown, the news that the keys have changed, and how many streams each key has. Never looks at the keys: who was let in by
//! others than those in force asks again. Invariant: no change after the key was looked at is missed.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};

use super::keys::Key;

/// For how long a request's key is known to be in force; what outlives its request asks for it.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    changes: watch::Receiver<()>,
    /// When the secret ends that was shown.
    ends_at: Option<Timestamp>,
    streams: Streams,
}

/// The streams that a key has. A count that outlives the keys file that the key was read from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<AtomicUsize>);

/// One stream of a key, as long as it is kept.
#[derive(Debug)]
pub(crate) struct StreamOfKey(Streams);

impl Drop for StreamOfKey {
    fn drop(&mut self) {
        let StreamOfKey(Streams(count)) = self;
        count.fetch_sub(1, Relaxed);
    }
}

/// Where changes of the keys are told.
#[derive(Debug, Default)]
pub(super) struct Changes(watch::Sender<()>);

impl Changes {
    pub(super) fn tell(&self) {
        self.0.send_replace(());
    }

    /// Hears of the changes from now on.
    pub(super) fn heard(&self) -> InForce {
        InForce { changes: self.0.subscribe(), ends_at: None, streams: Streams::default() }
    }
}

impl InForce {
    pub(super) fn of(self, key: &Key, ends_at: Option<Timestamp>) -> Self {
        Self { ends_at, streams: key.streams.clone(), ..self }
    }

    /// One more stream of the key, which has so many at the most.
    pub(crate) fn stream(&self, most: usize) -> Option<StreamOfKey> {
        let Streams(count) = &self.streams;
        let more = |count| (count < most).then_some(count + 1);
        count.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(StreamOfKey(self.streams.clone()))
    }

    /// Waits until the keys have changed, whichever did, or the secret that was shown has ended.
    pub(crate) async fn end(&mut self) {
        let left = self.ends_at.map(|end| Timestamp::now().duration_until(end));
        // What has ended already is no time to wait.
        let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
        let ended = async {
            match left {
                Some(left) => sleep(left).await,
                None => pending().await,
            }
        };
        tokio::select! {
            // An error: there is no gate any more, and no process.
            _ = self.changes.changed() => {}
            () = ended => {}
        }
    }
}

//! For how long a key is good.
//!
//! Owns the end of what was shown, and the news that the keys have changed. Never looks at the keys: who was let in by
//! others than those in force asks again. Invariant: no change after the key was looked at is missed.

use std::{future::pending, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};

/// For how long a request's key is known to be in force; what outlives its request asks for it.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    changes: watch::Receiver<()>,
    /// When the secret ends that was shown.
    ends_at: Option<Timestamp>,
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
        InForce { changes: self.0.subscribe(), ends_at: None }
    }
}

impl InForce {
    pub(super) fn until(self, ends_at: Option<Timestamp>) -> Self {
        Self { ends_at, ..self }
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

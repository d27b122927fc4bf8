//! Turns at long work: a few at a time, some more wait, and the rest are refused.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::view::Unavailable;

/// Who may work now, and how many may wait for it.
pub(super) struct Queue {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    what: &'static str,
}

impl Queue {
    /// `what` is refused as overloaded when too many wait.
    pub(super) fn new(running_max: usize, waiting_max: usize, what: &'static str) -> Self {
        let permits = |most: usize| Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
        Self { running: permits(running_max), waiting: permits(waiting_max), what }
    }

    /// Whether somebody may wait now.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.available_permits() > 0
    }

    /// A turn, which ends with the value.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        let full = |_| Unavailable::Overloaded(self.what);
        let _waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(full)?;
        Arc::clone(&self.running).acquire_owned().await.map_err(|_| Unavailable::Stopping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_finds_no_room_to_wait_is_refused() {
        let queue = Arc::new(Queue::new(1, 2, "the queue"));
        let turn = queue.turn().await.unwrap();
        let waiting: [_; 2] = std::array::from_fn(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { queue.turn().await.map(drop) })
        });
        while queue.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.turn().await.map(drop), Err(Unavailable::Overloaded("the queue")));
        drop(turn);
        for one in waiting {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        assert!(queue.turn().await.is_ok());
    }
}

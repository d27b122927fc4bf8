//! How many requests a key may send.
//!
//! Owns one number a key: the time at which its bucket would be full again (the generic cell rate algorithm). Never
//! waits. Invariant: in any time `t` a key is let through at most `burst + rate × t` times.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::time::Instant;

const NANOS: u64 = 1_000_000_000;

/// A key's bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: u32,
    burst: u32,
    origin: Instant,
    /// When all that was let through is made up for, in nanoseconds since the origin.
    full_at: AtomicU64,
}

impl Bucket {
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        Self { rate, burst, origin: Instant::now(), full_at: AtomicU64::new(0) }
    }

    /// Whether it has this rate and burst.
    pub(crate) fn is_of(&self, rate: u32, burst: u32) -> bool {
        (self.rate, self.burst) == (rate, burst)
    }

    /// Takes one request.
    ///
    /// # Errors
    /// There is none: the whole seconds until there is one.
    pub(crate) fn take(&self) -> Result<(), u64> {
        let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let each = NANOS / u64::from(self.rate.max(1));
        let most = each.saturating_mul(u64::from(self.burst));
        let taken = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            let next = full_at.max(now).saturating_add(each);
            (next - now <= most).then_some(next)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(full_at) => {
                let wait = full_at.saturating_add(each).saturating_sub(now).saturating_sub(most);
                Err(wait.div_ceil(NANOS).max(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_gets_its_burst_and_then_its_rate() {
        let bucket = Bucket::new(2, 3);
        let taken = || (0..10).filter(|_| bucket.take().is_ok()).count();
        assert_eq!(taken(), 3);
        assert_eq!(bucket.take(), Err(1));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(taken(), 1);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_bucket_says_how_long() {
        let bucket = Bucket::new(1, 5);
        for _ in 0..5 {
            bucket.take().unwrap();
        }
        assert_eq!(bucket.take(), Err(1));
    }
}

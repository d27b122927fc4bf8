//! A timer that wakes a poll loop at a precise moment.
//!
//! Owns: one `timerfd`. Poll's own time-out is rounded up to whole milliseconds, which would make an open-model
//! harness late by as much as it tolerates.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A one-shot timer that makes its token ready.
pub(crate) struct Timer {
    timer: OwnedFd,
    set_to: Option<Instant>,
}

impl Timer {
    /// Registers the timer; edge-triggered, so that it need not be read.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, set_to: None })
    }

    /// Wakes the loop at `when`; replaces what was set before.
    pub(crate) fn set(&mut self, when: Instant, now: Instant) -> io::Result<()> {
        if self.set_to == Some(when) {
            return Ok(());
        }
        // Zero would switch the timer off.
        let after = when.saturating_duration_since(now).max(Duration::from_nanos(1));
        let value = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(after.subsec_nanos()),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        self.set_to = Some(when);
        Ok(())
    }
}

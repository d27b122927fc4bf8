//! A connection that does not wait for ever.
//!
//! Owns a connection's time-outs: for the head of a request (from its first byte), between requests, and for an
//! answer that its client does not take. Bodies are timed where they are read. Invariant: a wait that is bounded ends
//! with an error at its bound; and a request that is being worked on is never cut.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// The bounds of a connection's waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From a request's first byte to the end of its head.
    pub(super) header_read: Duration,
    /// Without progress of a write.
    pub(super) write: Duration,
    /// Without anything, between requests.
    pub(super) idle: Duration,
}

/// How many requests of a connection have begun, and whether one is being worked on: told by the service, read by the
/// guard, in one task; the number is even between requests.
#[derive(Debug, Default)]
pub(super) struct Requests(AtomicU64);

impl Requests {
    /// A request's head is there.
    pub(super) fn begin(&self) {
        self.0.store((self.0.load(Relaxed) + 1) | 1, Relaxed);
    }

    /// Its answer is there.
    pub(super) fn end(&self) {
        self.0.store((self.0.load(Relaxed) | 1) + 1, Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A stream with time-outs.
pub(super) struct Guarded<S> {
    stream: S,
    requests: Arc<Requests>,
    timeouts: Timeouts,
    /// When bytes last moved.
    moved: Instant,
    /// The first bytes after request number so-and-so: the start of the next head.
    head: Option<(u64, Instant)>,
    /// Since when a write waits.
    write_waits: Option<Instant>,
    /// One timer for all bounds. It is set again only when it fires too early or would fire too late, and not at each
    /// request: most requests cost a look at the clock and nothing else.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, requests: Arc<Requests>, timeouts: Timeouts) -> Self {
        Self { stream, requests, timeouts, moved: Instant::now(), head: None, write_waits: None, timer: None }
    }

    /// Whether a deadline has passed; if not, the task is woken when it does.
    fn passed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
    }

    /// Until when the next bytes must be there; `None` while a request is worked on.
    fn read_deadline(&self) -> Option<Instant> {
        let now = self.requests.now();
        if now % 2 == 1 {
            return None;
        }
        match self.head {
            Some((number, started)) if number == now => Some(started + self.timeouts.header_read),
            Some(_) | None => Some(self.moved + self.timeouts.idle),
        }
    }

    fn write_moved<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(result) => {
                self.write_waits = None;
                self.moved = Instant::now();
                Poll::Ready(result)
            }
            Poll::Pending => {
                let since = *self.write_waits.get_or_insert_with(Instant::now);
                if self.passed(since + self.timeouts.write, cx) {
                    Poll::Ready(Err(timed_out()))
                } else {
                    Poll::Pending
                }
            }
        }
    }
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if result.is_ready() {
            if buffer.filled().len() > before {
                let (number, now) = (self.requests.now(), Instant::now());
                self.moved = now;
                if self.head.is_none_or(|(other, _)| other != number) {
                    self.head = Some((number, now));
                }
            }
            return result;
        }
        match self.read_deadline() {
            Some(deadline) if self.passed(deadline, cx) => Poll::Ready(Err(timed_out())),
            Some(_) | None => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.write_moved(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.write_moved(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::timeout,
    };

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        header_read: Duration::from_secs(5),
        write: Duration::from_secs(10),
        idle: Duration::from_secs(60),
    };

    struct Setup {
        guarded: Guarded<DuplexStream>,
        client: DuplexStream,
        requests: Arc<Requests>,
    }

    fn setup() -> Setup {
        let (server, client) = duplex(16);
        let requests = Arc::new(Requests::default());
        Setup { guarded: Guarded::new(server, Arc::clone(&requests), TIMEOUTS), client, requests }
    }

    /// The seconds after which a read fails by time-out; `None` if it never does.
    async fn read_ends_after(guarded: &mut Guarded<DuplexStream>) -> Option<u64> {
        let started = Instant::now();
        let read = timeout(Duration::from_secs(600), guarded.read(&mut [0; 16])).await.ok()?;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        Some(started.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_after_the_idle_time() {
        let mut setup = setup();
        assert_eq!(read_ends_after(&mut setup.guarded).await, Some(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_timed_from_its_first_byte() {
        let mut setup = setup();
        setup.client.write_all(b"GET").await.unwrap();
        setup.guarded.read_exact(&mut [0; 3]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        setup.client.write_all(b" /").await.unwrap();
        setup.guarded.read_exact(&mut [0; 2]).await.unwrap();
        assert_eq!(read_ends_after(&mut setup.guarded).await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_worked_on_is_not_timed_and_the_next_one_is() {
        let mut setup = setup();
        setup.client.write_all(b"GET").await.unwrap();
        setup.guarded.read_exact(&mut [0; 3]).await.unwrap();
        setup.requests.begin();
        assert_eq!(read_ends_after(&mut setup.guarded).await, None);
        setup.requests.end();
        setup.guarded.write_all(b"answer").await.unwrap();
        assert_eq!(read_ends_after(&mut setup.guarded).await, Some(60));
        setup.client.write_all(b"P").await.unwrap();
        setup.guarded.read_exact(&mut [0; 1]).await.unwrap();
        assert_eq!(read_ends_after(&mut setup.guarded).await, Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut() {
        let mut setup = setup();
        let started = Instant::now();
        let error = setup.guarded.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_takes_something_is_not_cut() {
        let Setup { mut guarded, mut client, .. } = setup();
        let reader = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                client.read_exact(&mut [0; 16]).await.unwrap();
            }
            client
        });
        guarded.write_all(&[0; 160]).await.unwrap();
        reader.await.unwrap();
    }
}

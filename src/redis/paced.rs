//! A socket that is read no further than what was read is taken.
//!
//! The library hands messages on through a queue without a bound. So the socket below it gives some room of bytes, and no
//! more until whoever takes the messages has found the queue empty: the rest waits in the kernel, then in Redis, which drops
//! a subscriber that lags too far (`client-output-buffer-limit pubsub`).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::base::sync::lock;

/// How much is read before any of it is taken.
pub(super) const ROOM: usize = 256 << 10;
/// The longest message. One that is longer ends the connection: it would be in memory whole before anybody can look at it.
pub(super) const LONGEST: usize = 64 << 20;

/// The socket.
pub(super) struct Paced<S> {
    inner: S,
    tap: Tap,
}

/// Says how far may be read. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Tap(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    room: usize,
    /// Read since a message was last taken.
    untaken: usize,
    /// When anything was last heard.
    heard: Instant,
    /// Who waits for room.
    reader: Option<Waker>,
    /// Who is to find out that there is no more room.
    taker: Option<Waker>,
}

impl Tap {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            room: ROOM,
            untaken: 0,
            heard: Instant::now(),
            reader: None,
            taker: None,
        })))
    }

    /// A message was taken.
    pub(super) fn took(&self) {
        lock(&self.0).untaken = 0;
    }

    /// Nothing is there to be taken: more may be read. `taker` is woken when that is used up.
    pub(super) fn open(&self, taker: &Waker) {
        let mut state = lock(&self.0);
        state.room = ROOM;
        state.taker = Some(taker.clone());
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether a message was longer than any may be.
    pub(super) fn is_overrun(&self) -> bool {
        lock(&self.0).untaken > LONGEST
    }

    /// When anything was last heard.
    pub(super) fn heard(&self) -> Instant {
        lock(&self.0).heard
    }
}

impl<S> Paced<S> {
    pub(super) const fn new(inner: S, tap: Tap) -> Self {
        Self { inner, tap }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut state = lock(&this.tap.0);
        if state.room == 0 {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        let mut state = lock(&this.tap.0);
        state.heard = Instant::now();
        state.room = state.room.saturating_sub(read);
        state.untaken += read;
        let too_long = state.untaken > LONGEST;
        let taker = (state.room == 0).then(|| state.taker.take()).flatten();
        drop(state);
        if let Some(taker) = taker {
            taker.wake();
        }
        if too_long {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn no_more_is_read_than_was_taken() {
        let (mut far, near) = tokio::io::duplex(4 * ROOM);
        far.write_all(&vec![b'x'; 3 * ROOM]).await.unwrap();
        let tap = Tap::new();
        let mut paced = Paced::new(near, tap.clone());
        let mut read = vec![0; ROOM];
        paced.read_exact(&mut read).await.unwrap();
        let more = std::future::poll_fn(|cx| {
            let mut room = [0; 10];
            let mut buf = ReadBuf::new(&mut room);
            Poll::Ready(Pin::new(&mut paced).poll_read(cx, &mut buf).is_pending())
        });
        assert!(more.await);
        tap.open(Waker::noop());
        paced.read_exact(&mut read).await.unwrap();
    }

    #[tokio::test]
    async fn a_message_has_a_longest_length() {
        let tap = Tap::new();
        let mut paced = Paced::new(tokio::io::repeat(b'x').take(u64::MAX), tap.clone());
        let mut room = vec![0; ROOM];
        let error = loop {
            tap.open(Waker::noop());
            match paced.read(&mut room).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(tap.is_overrun());
        tap.took();
        assert!(!tap.is_overrun());
    }
}

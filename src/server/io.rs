//! A client's socket as hyper sees it: guarded against ambiguous framing, and with the timers that hyper does not have.
//!
//! The guard looks at every byte before hyper does. At the first one that makes a message ambiguous it puts a NUL in its
//! place and delivers nothing more, so that hyper itself answers 400, after the answers to earlier requests, and closes.
//!
//! Timers: a head must be whole within `header_timeout` of its first byte (of the accept, for the first), a connection
//! without a request may be silent for `keepalive`, a write may stall for `body_idle`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;

use super::Settings;
use super::activity::Activity;
use crate::wire::guard::{Guard, Verdict};

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

/// The times one connection may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    header: Duration,
    keepalive: Duration,
    write: Duration,
}

/// What a read waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The rest of a head, or the very first one.
    Head,
    /// The request with this number.
    Request(u64),
}

#[derive(Debug)]
pub(super) struct ClientIo {
    socket: Socket,
    guard: Guard,
    poisoned: bool,
    activity: Arc<Activity>,
    patience: Patience,
    reading: Option<(Awaited, Pin<Box<Sleep>>)>,
    writing: Option<Pin<Box<Sleep>>>,
    refused: Counter,
}

impl ClientIo {
    pub(super) fn new(
        socket: Socket,
        guard: Guard,
        activity: Arc<Activity>,
        settings: &Settings,
        refused: Counter,
    ) -> Self {
        let patience = Patience {
            header: settings.header_timeout,
            keepalive: settings.keepalive,
            write: settings.body_idle,
        };
        Self {
            socket,
            guard,
            poisoned: false,
            activity,
            patience,
            reading: None,
            writing: None,
            refused,
        }
    }

    /// What the next byte would be, if there is a limit on the wait for it.
    fn awaited(&self) -> Option<Awaited> {
        if self.activity.is_upgraded() || self.poisoned {
            return None;
        }
        let first = self.activity.begun() == 0 && !self.guard.is_http2();
        match self.activity.is_idle() {
            _ if self.guard.in_head() => Some(Awaited::Head),
            true if first => Some(Awaited::Head),
            true => Some(Awaited::Request(self.activity.begun())),
            false => None,
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(awaited) = self.awaited() else {
            self.reading = None;
            return Poll::Pending;
        };
        let patience = match awaited {
            Awaited::Head => self.patience.header,
            Awaited::Request(_) => self.patience.keepalive,
        };
        let timer = match &mut self.reading {
            Some((same, timer)) if *same == awaited => timer,
            other => {
                &mut other
                    .insert((awaited, Box::pin(tokio::time::sleep(patience))))
                    .1
            }
        };
        timer
            .as_mut()
            .poll(cx)
            .map(|()| io::ErrorKind::TimedOut.into())
    }

    /// Lets `guard` look at what was read since `before`.
    fn examine(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        if self.activity.is_upgraded() {
            return;
        }
        let new = buffer.filled().get(before..).unwrap_or_default();
        if let Verdict::Poisoned { at, why } = self.guard.feed(new) {
            tracing::debug!(reason = ?why, "Ambiguous message refused");
            self.refused.inc();
            self.poisoned = true;
            buffer.set_filled(before + at);
            buffer.put_slice(b"\0");
        }
    }

    /// Bounds a write that cannot go on.
    fn poll_stall<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let patience = self.patience.write;
        let timer = self
            .writing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.poisoned {
            // As if the client had closed: what else it sent must not be looked at.
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match this.socket.poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                this.examine(buffer, before);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_patience(cx).map(Err),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.socket.poll_write(cx, bytes);
        this.poll_stall(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.socket.poll_write_vectored(cx, parts);
        this.poll_stall(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.activity.is_broken() {
            // An HTTP/1.0 answer ends with its connection; a reset is the only way to say that this one did not.
            return Poll::Ready(this.socket.reset_on_close());
        }
        this.socket.poll_shutdown(cx)
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.activity.is_broken() {
            // The socket is closed in any case; there is nobody left to tell.
            let _closed = self.socket.reset_on_close();
        }
    }
}

impl Socket {
    fn reset_on_close(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket).set_linger(Some(Duration::ZERO)),
            Self::Unix(_) => Ok(()),
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buffer),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, parts),
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, parts),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

//! The connection to a server that has switched protocols, for whoever speaks the new one.
//!
//! Bound: a server that takes nothing of what is written for `response_timeout` ends it, or a client that has left would
//! not be noticed for as long as that lasts.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::pool::Lease;

/// The bytes after a 101, also those that came with it. Counts as a request in flight.
#[derive(Debug)]
pub struct Switched {
    lease: Lease,
    /// How long a write may be in vain.
    patience: Duration,
    /// When the present one has been; set when it begins to wait.
    deadline: Option<Instant>,
}

impl Switched {
    pub(super) const fn new(lease: Lease, patience: Duration) -> Self {
        Self {
            lease,
            patience,
            deadline: None,
        }
    }

    /// Bounds a write that cannot go on.
    fn poll_stall<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let patience = self.patience;
        let deadline = *self
            .deadline
            .get_or_insert_with(|| Instant::now() + patience);
        ready!(self.lease.conn.poll_deadline(cx, deadline));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Switched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let conn = &mut *self.lease.conn;
        if conn.read.is_empty() {
            return Pin::new(&mut conn.socket).poll_read(cx, buffer);
        }
        let length = conn.read.len().min(buffer.remaining());
        buffer.put_slice(&conn.read.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.lease.conn.socket).poll_write(cx, bytes);
        self.poll_stall(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.lease.conn.socket).poll_flush(cx);
        self.poll_stall(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.lease.conn.socket).poll_shutdown(cx);
        self.poll_stall(cx, ended)
    }
}

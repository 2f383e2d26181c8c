//! A client's socket as hyper sees it: guarded against ambiguous framing, and with the timers that hyper does not have.
//!
//! The guard looks at every byte before hyper does. The first one that makes a message ambiguous is withheld and nothing
//! after it is delivered: in a head, hyper is given a poison in its stead, so that it answers 400 by itself, after the
//! answers to earlier requests, and closes; in a body the read fails, and the request with it. Of HTTP/2 the guard is shown
//! what is written as well, and a client that floods us gets a GOAWAY in the same way.
//!
//! Timers: a head must be whole within `header_timeout` of its first byte (of the accept, for the first), a write may stall
//! for `body_idle`. How long a connection may be silent between requests is measured by `conn`, because hyper does not read
//! from a connection that has nothing to say.
//!
//! A write that goes on says that the client reads, for the kernel keeps little unsent (`accept`). TCP_USER_TIMEOUT does not:
//! once a client has shut its window it runs until there is room for all that waits at the head of the queue, up to 64 KiB,
//! and ends clients that read slowly. It is for clients that have vanished with little under way ([`Vigil`]).
//!
//! Closing lingers: what the client still sends is read and thrown away for a while (`linger`), or the kernel would answer it
//! with a reset, and an answer like 413 might be lost with it.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use prometheus_client::metrics::counter::Counter;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use super::Settings;
use super::activity::Activity;
use super::handshake::Versions;
use super::hold::Raw;
use super::linger::Linger;
use crate::wire::guard::{Guard, Limits, POISON, POISON_HTTP2, Verdict, Violation};

/// What is read at once of a connection of which the first bytes are asked for: nearly always the whole head.
const AHEAD: usize = 2048;

/// What is written to a connection before its client may shut the window: less than any sensible one takes.
const LITTLE: usize = 16 << 10;

/// Whether the kernel ends the connection when nothing of what was written is acknowledged for `body_idle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vigil {
    /// It does, until so much more is written.
    On(usize),
    /// No more, since the client may be slow.
    Off,
    /// No more, since it is.
    Slow,
}

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP; in a box, for the others are a tenth of its size.
    Tls(Box<TlsStream<TcpStream>>),
    /// It was taken off the connection.
    Taken,
}

/// The times one connection may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    header: Duration,
    write: Duration,
}

/// What reads get once the guard has found something.
#[derive(Debug, Clone, Copy)]
enum Poisoned {
    /// In a head, or between frames: these bytes, then the end.
    Told(&'static [u8]),
    /// In a body: an error.
    Body,
}

/// The metrics of what is not let through.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) ambiguous: Counter,
    pub(super) floods: Counter,
}

#[derive(Debug)]
pub(super) struct ClientIo {
    socket: Socket,
    /// Bytes that were read and not asked for yet.
    ahead: BytesMut,
    guard: Guard,
    versions: Versions,
    poisoned: Option<Poisoned>,
    activity: Arc<Activity>,
    patience: Patience,
    /// The time left for the head after so many requests.
    reading: Option<(u64, Pin<Box<Sleep>>)>,
    writing: Option<Pin<Box<Sleep>>>,
    vigil: Vigil,
    /// How long the connection may still take to close.
    lingering: Option<Linger>,
    refused: Refused,
    /// Until when the guard knows of time.
    passed: Instant,
}

impl ClientIo {
    pub(super) fn new(
        socket: Socket,
        versions: Versions,
        activity: Arc<Activity>,
        settings: &Settings,
        refused: Refused,
    ) -> Self {
        let patience = Patience {
            header: settings.header_timeout,
            write: settings.body_idle,
        };
        let guard = Guard::new(Limits::default());
        Self {
            socket,
            ahead: BytesMut::new(),
            guard,
            versions,
            poisoned: None,
            activity,
            patience,
            reading: None,
            writing: None,
            vigil: Vigil::On(LITTLE),
            lingering: None,
            refused,
            passed: Instant::now(),
        }
    }

    /// Whether a head is being waited for: the rest of one, or the very first.
    fn awaits_head(&self) -> bool {
        let first = self.activity.begun() == 0 && !self.guard.is_http2();
        let over = self.activity.is_upgraded() || self.poisoned.is_some();
        !over && self.activity.is_idle() && (first || self.guard.in_head())
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.awaits_head() {
            self.reading = None;
            return Poll::Pending;
        }
        let begun = self.activity.begun();
        let timer = match &mut self.reading {
            Some((same, timer)) if *same == begun => timer,
            other => {
                &mut other
                    .insert((begun, Box::pin(tokio::time::sleep(self.patience.header))))
                    .1
            }
        };
        timer
            .as_mut()
            .poll(cx)
            .map(|()| io::ErrorKind::TimedOut.into())
    }

    /// Reads; more than there is room for, where somebody wants the first few bytes only. What came ahead is given first.
    fn read_ahead(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() && buffer.remaining() < AHEAD / 2 {
            let mut room = [0; AHEAD];
            let mut read = ReadBuf::new(&mut room);
            ready!(self.socket.poll_read(cx, &mut read))?;
            self.ahead.extend_from_slice(read.filled());
        } else if self.ahead.is_empty() {
            return self.socket.poll_read(cx, buffer);
        }
        let now = self
            .ahead
            .split_to(self.ahead.len().min(buffer.remaining()));
        buffer.put_slice(&now);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Lets the guard look at what was read since `before`.
    fn examine(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> io::Result<()> {
        if self.activity.is_upgraded() {
            return Ok(());
        }
        if self.guard.is_http2() {
            let seconds = self.passed.elapsed().as_secs();
            self.guard.passed(seconds);
            self.passed += Duration::from_secs(seconds);
        }
        let new = buffer.filled().get(before..).unwrap_or_default();
        if let Verdict::Poisoned { at, why } = self.guard.feed(new) {
            buffer.set_filled(before + at);
            self.poisoned = Some(self.refuse(why));
            if at == 0 {
                return self.poison(buffer);
            }
        }
        if self.guard.in_head() {
            self.activity.moved();
        }
        if !self.versions.allow(&self.guard) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    fn refuse(&self, why: Violation) -> Poisoned {
        tracing::debug!(reason = %why, "Message refused");
        if why == Violation::Flood {
            self.refused.floods.inc();
            return Poisoned::Told(POISON_HTTP2);
        }
        self.refused.ambiguous.inc();
        if self.guard.in_body() {
            Poisoned::Body
        } else {
            Poisoned::Told(POISON)
        }
    }

    fn poison(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        match &mut self.poisoned {
            Some(Poisoned::Told(left)) => {
                let (now, later) = left.split_at(left.len().min(buffer.remaining()));
                buffer.put_slice(now);
                *left = later;
                Ok(())
            }
            Some(Poisoned::Body) => Err(io::ErrorKind::InvalidData.into()),
            None => Ok(()),
        }
    }

    /// Reads until the client closes as well, for as long as that may take.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let linger = self.lingering.get_or_insert_with(Linger::begin);
        let mut scratch = [0; 4096];
        while linger.poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(self.socket.poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => linger.heard(),
                // Closed, or broken: nothing is lost any more.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    /// What became of a write.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let (Vigil::On(left), Poll::Ready(Ok(more))) = (self.vigil, &written) {
            self.vigil = left.checked_sub(*more).map_or(Vigil::Off, Vigil::On);
            if self.vigil == Vigil::Off {
                self.socket.bound_silence(None);
            }
        }
        self.poll_stall(cx, written)
    }

    /// Bounds a write that cannot go on.
    fn poll_stall<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            // On HTTP/2 the pings of a silent connection are written too.
            if !self.guard.is_http2() {
                self.activity.moved();
            }
            return written;
        }
        if self.vigil != Vigil::Slow {
            self.vigil = Vigil::Slow;
            self.socket.bound_silence(None);
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
        if this.poisoned.is_some() {
            // Bytes that came before both sides had agreed to switch are no part of the new protocol (RFC 9931).
            let refused = this
                .activity
                .is_upgraded()
                .then(|| Err(io::ErrorKind::InvalidData.into()));
            return Poll::Ready(refused.unwrap_or_else(|| this.poison(buffer)));
        }
        let before = buffer.filled().len();
        match this.read_ahead(cx, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(this.examine(buffer, before)),
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
        this.activity.flushed(false);
        let written = this.socket.poll_write(cx, bytes);
        if let Poll::Ready(Ok(length)) = written {
            this.guard.sent(bytes.get(..length).unwrap_or_default());
        }
        this.wrote(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.activity.flushed(false);
        let written = this.socket.poll_write_vectored(cx, parts);
        if let Poll::Ready(Ok(mut left)) = written {
            for part in parts {
                let now = left.min(part.len());
                this.guard.sent(part.get(..now).unwrap_or_default());
                left -= now;
            }
        }
        this.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Only TLS keeps back what it has taken.
        if let Socket::Tls(stream) = &mut this.socket {
            let mut flushed = Pin::new(stream).poll_flush(cx);
            // hyper flushes also when there is nothing to write, and that is no move.
            if flushed.is_pending() || this.writing.is_some() {
                flushed = this.poll_stall(cx, flushed);
            }
            ready!(flushed)?;
        }
        // hyper comes here once the socket has taken all it had to write.
        this.activity.flushed(true);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.activity.is_broken() {
            // An HTTP/1.0 answer ends with its connection; a reset is the only way to say that this one did not.
            return Poll::Ready(this.socket.reset_on_close());
        }
        if this.lingering.is_none() {
            // What TLS still holds, and its close_notify, go first, and may stall as any write may.
            let closed = this.socket.poll_shutdown(cx);
            ready!(this.poll_stall(cx, closed))?;
        }
        this.poll_linger(cx).map(Ok)
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.activity.is_wanted_back() {
            let socket = std::mem::replace(&mut self.socket, Socket::Taken);
            if self.vigil == Vigil::Off {
                // What a stream writes at once is little again.
                socket.bound_silence(Some(self.patience.write));
            }
            self.activity.give_back(socket);
            return;
        }
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
            Self::Unix(_) | Self::Taken => Ok(()),
            Self::Tls(stream) => SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO)),
        }
    }

    /// How long what was written may be without acknowledgement; `None`: as long as the kernel thinks fit.
    fn bound_silence(&self, most: Option<Duration>) {
        let socket = match self {
            Self::Tcp(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Unix(_) | Self::Taken => return,
        };
        let _best_effort = SockRef::from(socket).set_tcp_user_timeout(most);
    }

    /// The socket without the runtime's registration.
    pub(super) fn into_raw(self) -> io::Result<Raw> {
        match self {
            Self::Tcp(socket) => Ok(OwnedFd::from(socket.into_std()?).into()),
            Self::Unix(socket) => Ok(OwnedFd::from(socket.into_std()?).into()),
            Self::Tls(stream) => {
                let (socket, session) = stream.into_inner();
                Ok(Raw::over_tls(socket.into_std()?.into(), session))
            }
            Self::Taken => Err(taken()),
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
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Taken => Poll::Ready(Err(taken())),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Taken => Poll::Ready(Err(taken())),
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
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Taken => Poll::Ready(Err(taken())),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Taken => Poll::Ready(Err(taken())),
        }
    }
}

fn taken() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

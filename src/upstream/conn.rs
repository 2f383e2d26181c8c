//! One connection to a server: its socket, what was read from it and not used yet, and the one timer of whoever waits.
//!
//! `exchange` sends a request and reads the head of the answer on it, `answer` the body; between two requests it lies in
//! the `pool`. There is no task for it: whoever holds it polls it, and dropping it closes the socket.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use rustls::ClientConnection;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::client::TlsStream;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// What a connection keeps for reading while it is idle.
const KEPT: usize = 16 << 10;

/// How often an idle TLS connection is read from before another is preferred; what comes after a handshake is one or two
/// tickets.
const MOST_READS: usize = 8;

/// How long an event stream or a WebSocket is silent before its server is probed, how often after that, and how often in
/// vain.
const PROBES: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// A connection in use.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) socket: Socket,
    /// What was read and not used yet.
    pub(super) read: BytesMut,
    /// The head of the request, written or to be written; kept for the next.
    pub(super) head: Vec<u8>,
    /// Made when somebody waits for the first time.
    timer: Option<Pin<Box<Sleep>>>,
    open: TaskTrackerToken,
}

/// Where the bytes go.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Boxed, for it is far larger than the others.
    Tls(Box<TlsStream<TcpStream>>),
    #[cfg(test)]
    Pipe(tokio::io::DuplexStream),
}

impl Conn {
    /// `open` is held for as long as the connection is there.
    pub(super) fn new(socket: Socket, open: TaskTrackerToken) -> Self {
        Self {
            socket,
            read: BytesMut::new(),
            head: Vec::new(),
            timer: None,
            open,
        }
    }

    /// Reads what there is, at most about `room` bytes, behind what was read before. Zero at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        self.read.reserve(room);
        pin!(self.socket.read_buf(&mut self.read)).poll(cx)
    }

    /// Writes some of what is not written of the head, and of `piece` after it.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        head_written: usize,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        let head = self.head.get(head_written..).unwrap_or_default();
        let socket = Pin::new(&mut self.socket);
        let written = match (head, piece) {
            (rest, []) | ([], rest) => socket.poll_write(cx, rest),
            _ => socket.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(piece)]),
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => written,
        }
    }

    /// Ready when what was written has left this process: TLS keeps what the socket did not take.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Has the kernel find out whether a server that says nothing is there: nothing is sent to it while an event stream is
    /// read, nor on a WebSocket whose client only listens, so one that is gone without a word, with its machine or the way to
    /// it, would be waited for without end. A socket that refuses works all the same.
    pub(super) fn probe(&self) {
        let socket = match &self.socket {
            Socket::Tcp(socket) => socket,
            Socket::Tls(stream) => stream.get_ref().0,
            Socket::Unix(_) => return,
            #[cfg(test)]
            Socket::Pipe(_) => return,
        };
        let (time, interval, retries) = PROBES;
        let keepalive = TcpKeepalive::new().with_time(time);
        let keepalive = keepalive.with_interval(interval).with_retries(retries);
        let _best_effort = SockRef::from(socket).set_tcp_keepalive(&keepalive);
    }

    /// Whether a write that fails may have sent something all the same: TLS writes record by record.
    pub(super) const fn writes_blindly(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }

    /// Ready when `deadline` has passed. The timer is not moved with each deadline, only when it would fire too late or has
    /// fired too early.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// Whether nothing has come since the last answer: neither the end nor a byte that nobody asked for, which the next
    /// request would take for its answer. The kernel is asked, for what it has the runtime may not know of yet.
    pub(super) fn is_silent(&mut self) -> bool {
        let read = match &mut self.socket {
            Socket::Tcp(socket) => peek(&SockRef::from(&*socket)),
            Socket::Unix(socket) => peek(&SockRef::from(&*socket)),
            Socket::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                return hears_nothing(session, &SockRef::from(&*socket));
            }
            #[cfg(test)]
            Socket::Pipe(pipe) => {
                let mut cx = Context::from_waker(std::task::Waker::noop());
                match Pin::new(pipe).poll_read(&mut cx, &mut ReadBuf::new(&mut [0])) {
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                    Poll::Ready(read) => read.map(|()| 0),
                }
            }
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether another request may use it: everything that was read belonged to the answer, and the upstream is open.
    pub(super) fn can_be_kept(&self) -> bool {
        self.read.is_empty() && !self.open.task_tracker().is_closed()
    }

    /// Gives back what a large answer took.
    pub(super) fn shrink(&mut self) {
        if self.read.capacity() > KEPT {
            self.read = BytesMut::new();
        }
        if self.head.capacity() > KEPT {
            self.head = Vec::new();
        }
    }
}

fn peek(socket: &SockRef<'_>) -> io::Result<usize> {
    socket.peek(&mut [MaybeUninit::uninit()])
}

/// Reads what has come over TLS since the last answer, with the same question. Tickets to resume the session are no part of
/// any answer; everything else is: data, the end, an alert. What is read here the runtime finds gone, as if it had never
/// come.
fn hears_nothing(session: &mut ClientConnection, socket: &SockRef<'_>) -> bool {
    for _ in 0..MOST_READS {
        let state = session.process_new_packets();
        let is_silent = |state: rustls::IoState| {
            state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed()
        };
        if !state.is_ok_and(is_silent) {
            return false;
        }
        match session.read_tls(&mut &**socket) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    false
}

/// `on_socket!(self, socket => socket.poll_flush(cx))` for each kind.
macro_rules! on_socket {
    ($socket:expr, $name:ident => $call:expr) => {
        match $socket.get_mut() {
            Socket::Tcp(socket) => {
                let $name = Pin::new(socket);
                $call
            }
            Socket::Unix(socket) => {
                let $name = Pin::new(socket);
                $call
            }
            Socket::Tls(socket) => {
                let $name = Pin::new(&mut **socket);
                $call
            }
            #[cfg(test)]
            Socket::Pipe(socket) => {
                let $name = Pin::new(socket);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_socket!(self, socket => socket.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_socket!(self, socket => socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_socket!(self, socket => socket.poll_write_vectored(cx, parts))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_socket!(self, socket => socket.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_socket!(self, socket => socket.poll_shutdown(cx))
    }
}

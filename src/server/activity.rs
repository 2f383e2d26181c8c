//! What goes on on one connection, shared by its socket and its requests: the socket's timers depend on it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use super::hold::Occupied;
use super::io::Socket;
use super::taking::{PIECE, Taking};
use crate::base::sync::lock;

/// Shared by one connection's parts.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests whose answer is not finished.
    open: AtomicUsize,
    /// Grows with whatever shows that the client is there: a request, the end of one, a part of a head, a write it took.
    moves: AtomicU64,
    /// Requests begun so far.
    begun: AtomicU64,
    /// An answer without framing broke off: the connection must not end as if it were complete.
    broken: AtomicBool,
    /// The connection was handed over to another protocol.
    upgraded: AtomicBool,
    /// Bytes were written since all of them were known to be.
    unflushed: AtomicBool,
    /// The socket is wanted back when the HTTP library lets go of it.
    wanted: AtomicBool,
    returned: Mutex<Option<Socket>>,
    /// What the connection occupies, until the last of its parts is gone: the socket of an upgraded one is the tunnel's, and
    /// outlives the task that accepted it.
    occupied: Mutex<Option<Occupied>>,
}

impl Activity {
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.moved();
        Busy(Arc::clone(self))
    }

    /// Notes that the client is there.
    pub(super) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until no request has been in progress, and nothing has moved, for `longest`. An answer is no longer in
    /// progress when hyper has all of it, which may be long before a slow client does: so writes count as well.
    ///
    /// Nobody tells it of a move, for that would wake the connection once more for each request: what has moved since it
    /// was polled last it takes to have moved now. So it may take longer, and never less.
    pub(super) async fn silent_for(&self, longest: Duration) {
        let (mut seen, mut since) = (self.moves.load(Ordering::Relaxed), Instant::now());
        let mut sleep = pin!(sleep_until(since + longest));
        poll_fn(|cx| {
            let moves = self.moves.load(Ordering::Relaxed);
            if moves != seen {
                (seen, since) = (moves, Instant::now());
            }
            loop {
                ready!(sleep.as_mut().poll(cx));
                // In this order: a request that ends between the two looks has moved.
                let idle = self.is_idle() && self.moves.load(Ordering::Relaxed) == seen;
                let begin = if idle { since } else { Instant::now() };
                if begin.elapsed() >= longest {
                    return Poll::Ready(());
                }
                sleep.as_mut().reset(begin + longest);
            }
        })
        .await;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    pub(super) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// Notes a write, or that all bytes of earlier ones have been taken by the socket.
    pub(super) fn flushed(&self, all: bool) {
        self.unflushed.store(!all, Ordering::Relaxed);
    }

    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed.load(Ordering::Relaxed)
    }

    /// From now on the socket is kept when its connection is dropped.
    pub(super) fn want_back(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_wanted_back(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    pub(super) fn give_back(&self, socket: Socket) {
        *lock(&self.returned) = Some(socket);
    }

    /// Keeps what the connection occupies.
    pub(super) fn occupy(&self, occupied: Occupied) {
        *lock(&self.occupied) = Some(occupied);
    }

    /// The socket and what it occupies, once its connection was dropped.
    pub(super) fn take_back(&self) -> Option<(Socket, Occupied)> {
        let socket = lock(&self.returned).take()?;
        Some((socket, lock(&self.occupied).take()?))
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }
}

/// A request in progress, a guard.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.moved();
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}

/// An answer's body; the request is in progress until it is dropped.
#[derive(Debug)]
pub(super) struct Tracked<B> {
    body: B,
    busy: Busy,
    /// Whether the end of the connection is the end of the answer (HTTP/1.0).
    unframed: bool,
    /// Whether nothing but its length is told: over HTTP/2 the library would send the body of an answer to HEAD.
    head_only: bool,
    /// Over HTTP/2: who watches whether the client takes it, and what of a long piece is still to be given.
    taking: Option<Taking>,
    rest: Bytes,
}

impl<B> Tracked<B> {
    pub(super) fn new(body: B, busy: Busy, unframed: bool) -> Self {
        Self {
            body,
            busy,
            unframed,
            head_only: false,
            taking: Taking::of_this_stream(),
            rest: Bytes::new(),
        }
    }

    /// The same, of which only the head is sent.
    pub(super) fn head_only(self) -> Self {
        Self {
            head_only: true,
            ..self
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Tracked<B> {
    /// The next piece, no longer than the client may be expected to take at once.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
            match next.map(|next| next.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(taking) = self.taking.clone() {
            let next = self.poll_piece(cx);
            match next {
                Poll::Ready(_) => taking.give(),
                Poll::Pending => taking.wait(),
            }
            return next;
        }
        let next = Pin::new(&mut self.body).poll_frame(cx);
        if self.unframed && matches!(next, Poll::Ready(Some(Err(_)))) {
            self.busy.0.broken.store(true, Ordering::Relaxed);
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.head_only || self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Only asked for before anything was given.
        self.body.size_hint()
    }
}

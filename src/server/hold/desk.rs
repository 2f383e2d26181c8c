//! Where connections are handed over to those who hold streams.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::raw::Raw;
use super::{ARRIVALS, Holder};
use crate::base::bell::Inbox;
use crate::base::handler::HeldStream;
use crate::base::metrics::Counted;
use crate::base::sync::lock;
use crate::limits::{Share, Slot};
use crate::server::Server;

/// What a connection occupies, guards.
#[derive(Debug)]
pub(in crate::server) struct Occupied {
    _slot: Slot,
    _open: Counted,
    /// Among the connections of its client; `None` if they are not counted.
    share: Option<Share<IpAddr>>,
}

impl Occupied {
    pub(in crate::server) const fn new(
        slot: Slot,
        open: Counted,
        share: Option<Share<IpAddr>>,
    ) -> Self {
        Self {
            _slot: slot,
            _open: open,
            share,
        }
    }

    /// Takes the place of its client, once it is known whose the connection is.
    pub(in crate::server) fn take(&mut self, share: Option<Share<IpAddr>>) {
        self.share = share;
    }
}

/// A connection whose answer is a held stream.
pub(in crate::server) struct Handover<S> {
    /// Its socket, with nothing written but whole answers.
    pub(in crate::server) socket: Raw,
    /// The head of the answer.
    pub(in crate::server) head: Vec<u8>,
    /// What comes after the head.
    pub(in crate::server) stream: S,
    pub(in crate::server) occupied: Occupied,
}

impl<S> std::fmt::Debug for Handover<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handover")
    }
}

/// Those who serve the held streams of one listener, one for each thread of the runtime; made when a stream comes.
#[derive(Debug)]
pub(in crate::server) struct Holders<S> {
    server: Server,
    all: Box<[Mutex<Option<Desk<S>>>]>,
    next: AtomicUsize,
}

impl<S: HeldStream> Holders<S> {
    /// None yet, at most so many.
    pub(in crate::server) fn new(server: Server, most: usize) -> Self {
        Self {
            server,
            all: (0..most).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The next of them in turn; `None` if there are to be none, or the system gives none.
    pub(in crate::server) fn desk(&self) -> Option<Desk<S>> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let mut known = lock(self.all.get(next.checked_rem(self.all.len())?)?);
        if known.as_ref().is_none_or(|desk| desk.inbox.is_closed()) {
            let started: io::Result<_> = Holder::start(&self.server);
            *known = started
                .inspect_err(|error| tracing::warn!(%error, "No fast path for held streams"))
                .ok();
        }
        known.clone()
    }
}

/// Where one of them is handed connections.
#[derive(Debug)]
pub(in crate::server) struct Desk<S> {
    pub(super) inbox: Inbox,
    /// Bounded by the slots of the connections.
    waiting: Arc<Mutex<Vec<Handover<S>>>>,
}

impl<S> Clone for Desk<S> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            waiting: Arc::clone(&self.waiting),
        }
    }
}

impl<S> Desk<S> {
    pub(super) fn new() -> Self {
        Self {
            inbox: Inbox::default(),
            waiting: Arc::default(),
        }
    }

    /// Hands a connection over; it ends where nobody serves here any more.
    pub(in crate::server) fn adopt(&self, handover: Handover<S>) {
        let mut waiting = lock(&self.waiting);
        waiting.push(handover);
        let is_first = waiting.len() == 1;
        drop(waiting);
        // One key for all that wait.
        if is_first {
            self.inbox.put(ARRIVALS);
        }
        // Looked at after the push: so either this sees that it is closed, or `close` sees the connection.
        if self.inbox.is_closed() {
            self.close();
        }
    }

    /// At most so many of those who were handed over; the rest another time.
    pub(super) fn take(&self, most: usize) -> Vec<Handover<S>> {
        let mut waiting = lock(&self.waiting);
        let count = waiting.len().min(most);
        let later = waiting.split_off(count);
        let now = std::mem::replace(&mut *waiting, later);
        if !waiting.is_empty() {
            self.inbox.put(ARRIVALS);
        }
        now
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.waiting).is_empty()
    }

    /// Nobody serves here any more.
    pub(super) fn close(&self) {
        self.inbox.close();
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::task::{Context, Waker};

    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    fn hand_over(desk: &Desk<u32>, stream: u32, open: &Gauge) {
        let slot = crate::limits::Slots::new(1).take().unwrap();
        desk.adopt(Handover {
            socket: OwnedFd::from(UnixStream::pair().unwrap().0).into(),
            head: Vec::new(),
            stream,
            occupied: Occupied::new(slot, Counted::new(open), None),
        });
    }

    fn rung(desk: &Desk<u32>) -> Vec<u32> {
        let mut keys = Vec::new();
        let _over = desk
            .inbox
            .poll_take(&Context::from_waker(Waker::noop()), &mut keys);
        keys
    }

    fn taken(desk: &Desk<u32>) -> Vec<u32> {
        let taken = desk.take(2).into_iter();
        taken.map(|handover| handover.stream).collect()
    }

    #[test]
    fn a_crowd_is_taken_in_turns_and_in_order() {
        let (desk, open) = (Desk::new(), Gauge::default());
        (0..3).for_each(|stream| hand_over(&desk, stream, &open));
        assert_eq!(rung(&desk), [ARRIVALS]);
        assert_eq!(taken(&desk), [0, 1]);
        assert_eq!(rung(&desk), [ARRIVALS], "for the rest");
        assert_eq!(taken(&desk), [2]);
        assert!(rung(&desk).is_empty() && desk.is_empty());
    }

    #[test]
    fn what_is_handed_to_nobody_ends() {
        let (desk, open) = (Desk::new(), Gauge::default());
        hand_over(&desk, 0, &open);
        assert_eq!(open.get(), 1);
        desk.close();
        assert_eq!(open.get(), 0);
        hand_over(&desk, 1, &open);
        assert_eq!(open.get(), 0);
    }
}

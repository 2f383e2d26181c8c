//! What the kernel tells of many sockets: one descriptor for all of them.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use tokio::io::unix::AsyncFd;

/// The most events that are taken at once.
const MOST: usize = 128;

/// A set of sockets under keys.
#[derive(Debug)]
pub(super) struct Epoll(OwnedFd);

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Tells of the edges of this socket, until it is closed: it can be written again, its client is gone, and, where
    /// somebody reads, it has sent something.
    pub(super) fn add(&self, socket: BorrowedFd<'_>, key: u32, reads: bool) -> io::Result<()> {
        let mut edges = EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        edges.set(EventFlags::IN, reads);
        let data = EventData::new_u64(u64::from(key));
        Ok(epoll::add(&self.0, socket, data, edges)?)
    }

    /// Takes what there is to tell, at most [`MOST`], without waiting.
    pub(super) fn take(&self, told: &mut Vec<(u32, EventFlags)>) {
        let mut room = [const { MaybeUninit::<Event>::uninit() }; MOST];
        // The only failures are a signal, after which it is asked again, and a descriptor that is none.
        let taken = epoll::wait(&self.0, &mut room, Some(&Timespec::default()));
        let events = taken.map(|(events, _)| &*events).unwrap_or_default();
        told.clear();
        told.extend(events.iter().map(|event| {
            let key = u32::try_from(event.data.u64()).unwrap_or(u32::MAX);
            (key, event.flags)
        }));
    }
}

/// The runtime's watch over the set itself.
#[expect(
    deprecated,
    reason = "its successor is unsafe, for types that do not own the descriptor they name; this one does"
)]
pub(super) fn watched(set: Epoll) -> io::Result<AsyncFd<Epoll>> {
    AsyncFd::new(set)
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

//! One stream's place in the hub: what wakes it, what ends it, and the guards that take it out again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;

use atomic_waker::AtomicWaker;

use super::Hub;
use crate::base::metrics::Counted;
use crate::base::sync::lock;
use crate::domain::{ChannelName, StreamId};

/// Why a stream is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The gateway is going away.
    Drain,
    /// Somebody ended it.
    Kick,
}

/// What the hub keeps of a stream.
#[derive(Debug)]
pub(super) struct Listener {
    id: StreamId,
    waker: AtomicWaker,
    /// 0 while it may go on.
    ending: AtomicU8,
}

impl Listener {
    pub(super) const fn new(id: StreamId) -> Self {
        Self {
            id,
            waker: AtomicWaker::new(),
            ending: AtomicU8::new(0),
        }
    }

    pub(super) const fn id(&self) -> StreamId {
        self.id
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    pub(super) fn end(&self, ending: Ending) {
        let code = match ending {
            Ending::Drain => 1,
            Ending::Kick => 2,
        };
        // The first reason stays.
        let _first = self
            .ending
            .compare_exchange(0, code, Ordering::Release, Ordering::Relaxed);
        self.waker.wake();
    }

    fn ending(&self) -> Option<Ending> {
        match self.ending.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Ending::Drain),
            _ => Some(Ending::Kick),
        }
    }
}

/// An open stream's registration, a guard.
#[derive(Debug)]
pub struct Seat {
    hub: Hub,
    listener: Arc<Listener>,
    _open: Counted,
}

impl Seat {
    pub(super) const fn new(hub: Hub, listener: Arc<Listener>, open: Counted) -> Self {
        Self {
            hub,
            listener,
            _open: open,
        }
    }

    /// The stream's id.
    pub fn id(&self) -> StreamId {
        self.listener.id
    }

    /// Has `waker` woken by the next publish on a channel of this stream, and by its ending. Must come before the read
    /// and the look at [`Seat::ending`] that precede a wait.
    pub fn register(&self, waker: &Waker) {
        self.listener.waker.register(waker);
    }

    /// Whether the stream is told to end.
    pub fn ending(&self) -> Option<Ending> {
        self.listener.ending()
    }

    /// Puts the stream on `channels`, none twice, until the membership is dropped.
    pub fn join(&self, channels: &[ChannelName]) -> Membership {
        let mut table = lock(&self.hub.0.table);
        let mut join = |name: &ChannelName| {
            let on = table.channels.entry(name.clone()).or_default();
            (name.clone(), on.insert(Arc::clone(&self.listener)))
        };
        Membership {
            hub: self.hub.clone(),
            places: channels.iter().map(&mut join).collect(),
        }
    }

    /// Has every publish wake this stream, until the seat is dropped.
    pub fn tap(&self) {
        lock(&self.hub.0.table)
            .taps
            .insert(self.listener.id, Arc::clone(&self.listener));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = lock(&self.hub.0.table);
        table.streams.remove(&self.listener.id);
        table.taps.remove(&self.listener.id);
    }
}

/// A stream's being on its channels, a guard.
#[derive(Debug)]
pub struct Membership {
    hub: Hub,
    places: Box<[(ChannelName, usize)]>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut table = lock(&self.hub.0.table);
        for (name, key) in &self.places {
            if let Some(on) = table.channels.get_mut(name) {
                on.try_remove(*key);
                if on.is_empty() {
                    table.channels.remove(name);
                }
            }
        }
    }
}

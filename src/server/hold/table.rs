//! The table of held streams, and when each is due.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use slab::Slab;

use super::Occupied;
use super::raw::Raw;
use super::rest::{Rest, Wrote};
use crate::base::metrics::Counted;
use crate::domain::Frame;

/// A held stream on its socket.
pub(super) struct Entry<S> {
    socket: Raw,
    /// `None` once it has ended and its client is waited for.
    pub(super) stream: Option<S>,
    /// What is to be written before anything else.
    rest: Rest,
    /// The tick at which it began to wait for its client: to read on, or, at the end, to close.
    waits_since: u32,
    /// The tick at which it stands among the due times.
    due: u32,
    _occupied: (Occupied, Counted),
}

impl<S> Entry<S> {
    pub(super) fn new(
        socket: Raw,
        head: Vec<u8>,
        stream: S,
        occupied: (Occupied, Counted),
    ) -> Self {
        Self {
            socket,
            stream: Some(stream),
            rest: Rest::of(head),
            waits_since: 0,
            due: u32::MAX,
            _occupied: occupied,
        }
    }

    pub(super) const fn socket(&self) -> &Raw {
        &self.socket
    }

    /// Whether it waits for room in the socket.
    pub(super) fn is_blocked(&self) -> bool {
        self.rest.is_blocked() || self.socket.is_behind()
    }

    /// The tick since which the client has done nothing of what it is waited for, if it is.
    pub(super) const fn waits_since(&self) -> u32 {
        self.waits_since
    }

    /// Looks at what the client sent; whether it is still there.
    pub(super) fn listen(&mut self, tick: u32) -> io::Result<bool> {
        let was_blocked = self.is_blocked();
        let is_there = self.socket.listen()?;
        // An answer to what was read may have filled the socket.
        if self.is_blocked() && !was_blocked {
            self.waits_since = tick;
            self.socket.without_vigil();
        }
        Ok(is_there)
    }

    /// Goes on with a write that was cut short.
    pub(super) fn resume(&mut self, tick: u32) -> io::Result<Wrote> {
        if !self.is_blocked() {
            return Ok(Wrote::All);
        }
        let before = self.rest.left();
        let mut moved = self.socket.flush()?;
        let wrote = if self.rest.is_blocked() && !self.socket.is_behind() {
            self.rest.flush(&mut self.socket)?
        } else if self.is_blocked() {
            Wrote::Blocked
        } else {
            Wrote::All
        };
        moved |= self.rest.left() < before;
        if moved {
            self.waits_since = tick;
        }
        if wrote == Wrote::All && self.stream.is_none() {
            self.socket.finish()?;
        }
        Ok(wrote)
    }

    /// Writes `frames`, after the head if that is still to be written, and the end if they are the last.
    pub(super) fn write(
        &mut self,
        frames: &mut VecDeque<Frame>,
        last: bool,
        tick: u32,
    ) -> io::Result<Wrote> {
        if last {
            // It leaves its channels now, not when its client has read the end.
            self.stream = None;
        }
        let wrote = self.rest.write(&mut self.socket, frames, last)?;
        if wrote == Wrote::Blocked || last {
            self.waits_since = tick;
        }
        if wrote == Wrote::Blocked {
            self.socket.without_vigil();
        }
        if wrote == Wrote::All && last {
            self.socket.finish()?;
        }
        Ok(wrote)
    }

    /// Closes the socket. What the client sent meanwhile is thrown away first, for else the kernel would answer it with a
    /// reset, and the end of the stream might be lost with it.
    pub(super) fn close(self) {
        if self.stream.is_none() {
            self.socket.drain();
        }
    }
}

/// Entries under keys, and their due times.
pub(super) struct Table<S> {
    entries: Slab<Entry<S>>,
    /// Tick and key in one number.
    due: BTreeSet<u64>,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            due: BTreeSet::new(),
        }
    }
}

const fn number(tick: u32, key: u32) -> u64 {
    (tick as u64) << 32 | key as u64
}

#[expect(clippy::cast_possible_truncation, reason = "they were put together")]
const fn parts(number: u64) -> (u32, u32) {
    ((number >> 32) as u32, number as u32)
}

impl<S> Table<S> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn insert(&mut self, entry: Entry<S>) -> u32 {
        let key = self.entries.insert(entry);
        u32::try_from(key).expect("a process has fewer than 2^32 descriptors")
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut Entry<S>> {
        self.entries.get_mut(key as usize)
    }

    pub(super) fn remove(&mut self, key: u32) -> Option<Entry<S>> {
        let entry = self.entries.try_remove(key as usize)?;
        self.due.remove(&number(entry.due, key));
        // What a crowd took is given back when it has gone.
        if self.entries.len() < self.entries.capacity() / 4 && self.entries.capacity() > 1024 {
            self.entries.shrink_to_fit();
        }
        Some(entry)
    }

    /// The entry is due at `tick`, unless it stands at an earlier one.
    pub(super) fn plan(&mut self, key: u32, tick: u32) {
        let Some(entry) = self.entries.get_mut(key as usize) else {
            return;
        };
        if tick < entry.due {
            self.due.remove(&number(entry.due, key));
            self.due.insert(number(tick, key));
            entry.due = tick;
        }
    }

    /// Moves the keys of those that are due at `tick`, at most so many, into `keys`; they are to be planned anew.
    pub(super) fn take_due(&mut self, tick: u32, most: usize, keys: &mut Vec<u32>) {
        while keys.len() < most
            && let Some(first) = self.due.first().copied()
            && parts(first).0 <= tick
        {
            self.due.pop_first();
            let (_, key) = parts(first);
            if let Some(entry) = self.entries.get_mut(key as usize) {
                entry.due = u32::MAX;
                keys.push(key);
            }
        }
    }

    /// The next tick at which one is due.
    pub(super) fn next_due(&self) -> Option<u32> {
        self.due.first().map(|first| parts(*first).0)
    }
}

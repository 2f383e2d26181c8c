//! One channel's ring: what a client that comes back can be given, and, for a moment, what only those still need who
//! were there all the time.
//!
//! The newest `events` are the *window*: they can be resumed from. What a burst pushes out of the window trails behind
//! it for the streams that are open, so that a listener which keeps up never misses an event because history is short.
//! Invariant: `freed <= dropped`; both only grow.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::sync::Arc;

use tokio::time::Instant;

use crate::domain::{Frame, Position, PublisherId, StreamId};

/// An event as its channels hold it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) frame: Frame,
    pub(super) id: Option<PublisherId>,
    pub(super) except: Option<StreamId>,
    pub(super) close: bool,
}

#[derive(Debug)]
pub(super) struct Channel {
    /// The trail, then the window.
    entries: VecDeque<Arc<Entry>>,
    /// How many of the entries are the trail, and the bytes of their frames.
    trail: (usize, usize),
    dropped: Position,
    freed: Position,
    /// The closing event, if nothing was published after it, and when it was.
    pub(super) closed: Option<(Position, Instant)>,
    /// Readers; the channel is not forgotten while there are any.
    pub(super) cursors: usize,
    /// When it last became idle.
    pub(super) idle_since: Option<Instant>,
    /// Whether the log has it on its list of idle channels.
    pub(super) listed_idle: bool,
    /// Whether the log has it on its list of channels with a trail.
    pub(super) listed_trailing: bool,
}

impl Channel {
    /// An empty channel that may have dropped anything up to `floor`.
    pub(super) const fn new(floor: Position) -> Self {
        Self {
            entries: VecDeque::new(),
            trail: (0, 0),
            dropped: floor,
            freed: floor,
            closed: None,
            cursors: 0,
            idle_since: None,
            listed_idle: false,
            listed_trailing: false,
        }
    }

    /// The newest event that nobody can resume from any more.
    pub(super) const fn dropped(&self) -> Position {
        self.dropped
    }

    /// The newest event that is gone for everybody.
    pub(super) const fn freed(&self) -> Position {
        self.freed
    }

    /// Whether it holds nothing, nobody reads it and nothing is to be done about it.
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.cursors == 0 && !self.listed_trailing
    }

    /// How many events can be resumed from.
    pub(super) fn window(&self) -> usize {
        self.entries.len() - self.trail.0
    }

    /// The number of entries that trail behind the window, and their bytes.
    pub(super) const fn trail(&self) -> (usize, usize) {
        self.trail
    }

    /// Adds the newest entry; what no longer fits into a window of `most` begins to trail, and its place is returned.
    pub(super) fn push(&mut self, entry: Arc<Entry>, most: usize) -> Option<Position> {
        self.entries.push_back(entry);
        if self.window() <= most {
            return None;
        }
        let oldest = self.entries.get(self.trail.0)?;
        self.trail = (self.trail.0 + 1, self.trail.1 + oldest.frame.len());
        self.dropped = oldest.position;
        Some(self.dropped)
    }

    /// Takes the oldest entry out, for everybody.
    pub(super) fn pop(&mut self) -> Option<Arc<Entry>> {
        let entry = self.entries.pop_front()?;
        if self.trail.0 > 0 {
            self.trail = (self.trail.0 - 1, self.trail.1 - entry.frame.len());
        }
        self.freed = entry.position;
        self.dropped = self.dropped.max(self.freed);
        Some(entry)
    }

    pub(super) fn oldest(&self) -> Option<&Arc<Entry>> {
        self.entries.front()
    }

    pub(super) fn newest(&self) -> Option<&Arc<Entry>> {
        self.entries.back()
    }

    /// The entries after `position`, those of the trail included.
    pub(super) fn after(&self, position: Position) -> Iter<'_, Arc<Entry>> {
        let seen = self
            .entries
            .partition_point(|entry| entry.position <= position);
        self.entries.range(seen..)
    }

    /// The place where a publisher's id was used last.
    pub(super) fn find(&self, id: &PublisherId) -> Option<Position> {
        let latest = self
            .entries
            .iter()
            .rev()
            .find(|entry| entry.id.as_ref() == Some(id));
        latest.map(|entry| entry.position)
    }
}

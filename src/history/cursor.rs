//! A reader's place in the log. Each held stream owns one; nothing is queued for it anywhere.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::Log;
use super::reading::At;
use crate::base::sync::lock;
use crate::domain::{ChannelName, Frame, Position, StreamId};

/// What one read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left; the cursor stands at the end of the log.
    UpToDate,
    /// As much was read as was allowed; there may be more.
    More,
    /// A closing event was read: the stream ends after what was read.
    Closed,
    /// Events after the cursor's place have been dropped; nothing was read and the cursor did not move.
    Gap,
}

/// Reads the events of some channels in the order of the log, each once: of those from before the cursor was made what
/// history kept, of those from after all. The log does not forget a channel while a cursor is on it, so a gap is told
/// exactly.
#[derive(Debug)]
pub struct Cursor {
    log: Log,
    channels: Arc<[ChannelName]>,
    at: At,
}

impl Cursor {
    pub(super) fn new(log: Log, channels: Arc<[ChannelName]>, position: Position) -> Self {
        let mut state = lock(&log.0.state);
        state.hold(&channels);
        let opened = state.head();
        drop(state);
        Self {
            log,
            channels,
            at: At { position, opened },
        }
    }

    /// Appends up to `most` frames to `out` and moves past them. Events that are not for `stream` are passed over.
    pub fn read(&mut self, stream: StreamId, most: usize, out: &mut VecDeque<Frame>) -> Progress {
        let mut state = lock(&self.log.0.state);
        let (progress, position) =
            state.read(&self.channels, self.at, stream, most, Instant::now(), out);
        drop(state);
        self.at.position = position;
        progress
    }

    /// Leaves what has been dropped, and what is still there, behind and goes on from the end of the log; whether a closing
    /// event was among it.
    pub fn skip(&mut self) -> bool {
        let state = lock(&self.log.0.state);
        let closed = state.was_closed_since(&self.channels, self.at.position);
        self.at.position = state.head();
        closed
    }

    /// The place after what was read last.
    pub const fn position(&self) -> Position {
        self.at.position
    }

    /// A reader of `channels` in the same place, for the same stream.
    #[must_use]
    pub fn moved_to(&self, channels: impl Into<Arc<[ChannelName]>>) -> Self {
        let mut moved = Self::new(self.log.clone(), channels.into(), self.at.position);
        moved.at = self.at;
        moved
    }

    /// The channels it reads.
    pub const fn channels(&self) -> &Arc<[ChannelName]> {
        &self.channels
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        lock(&self.log.0.state).release(&self.channels, Instant::now());
    }
}

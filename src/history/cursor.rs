//! A reader's place in the log. Each held stream owns one; nothing is queued for it anywhere.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::Log;
use super::reading::At;
use crate::base::keys::Keys;
use crate::base::sync::lock;
use crate::domain::{ByteSize, ChannelName, Frame, Position, StreamId};

/// What one read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left; the cursor stands at the end of the log.
    UpToDate,
    /// As much was read as was allowed; there may be more.
    More,
    /// A closing event was read: the stream ends after what was read.
    Closed,
    /// Everything was read that the log has from before a place in doubt, at which the cursor stands now: whether there
    /// was more on its channels nobody knows.
    Doubt,
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
    /// Those of the channels, for as long as they are held.
    keys: Keys,
    at: At,
}

/// The last read of some reader, for the next one: of those that stand in one place, one reads and all others are given
/// the same frames, without a lock. Good for as long as nothing was appended since.
#[derive(Debug, Default)]
pub struct Memo(Option<Remembered>);

#[derive(Debug)]
struct Remembered {
    head: Position,
    /// By name, for a key may be that of another channel by now.
    channels: Arc<[ChannelName]>,
    from: Position,
    lag: usize,
    to: Position,
    progress: Progress,
    frames: Vec<Frame>,
}

impl Cursor {
    pub(super) fn new(log: Log, channels: Arc<[ChannelName]>, position: Position) -> Self {
        let mut state = lock(&log.0.state);
        let keys = state.hold(&channels);
        let opened = state.head();
        drop(state);
        Self {
            log,
            channels,
            keys,
            at: At {
                position,
                opened,
                lag: usize::MAX,
            },
        }
    }

    /// For a stream that may lag no more than `lag` behind the window of a channel, whatever the log would allow.
    #[must_use]
    pub fn lagging(mut self, lag: ByteSize) -> Self {
        self.at.lag = lag.as_len();
        self
    }

    /// Appends up to `most` frames to `out` and moves past them. Events that are not for `stream` are passed over.
    pub fn read(&mut self, stream: StreamId, most: usize, out: &mut VecDeque<Frame>) -> Progress {
        let read = lock(&self.log.0.state).read(
            self.keys.as_slice(),
            self.at,
            stream,
            most,
            Instant::now(),
            out,
        );
        self.at.position = read.position;
        read.progress
    }

    /// The same, through what another reader may just have read.
    pub fn read_alike(
        &mut self,
        stream: StreamId,
        most: usize,
        out: &mut VecDeque<Frame>,
        memo: &mut Memo,
    ) -> Progress {
        // States, and what passed before it began, are a reader's own.
        let live = self.at.position >= self.at.opened;
        if let Some(known) = memo.0.as_ref().filter(|known| live && known.is_of(self)) {
            out.extend(known.frames.iter().cloned());
            self.at.position = known.to;
            return known.progress;
        }
        let (from, before) = (self.at.position, out.len());
        let mut state = lock(&self.log.0.state);
        let (keys, now) = (self.keys.as_slice(), Instant::now());
        let read = state.read(keys, self.at, stream, most, now, out);
        let head = state.head();
        drop(state);
        self.at.position = read.position;
        memo.0 = (live && read.for_all && read.progress != Progress::Gap).then(|| Remembered {
            head,
            channels: Arc::clone(&self.channels),
            from,
            lag: self.at.lag,
            to: read.position,
            progress: read.progress,
            frames: out.range(before..).cloned().collect(),
        });
        read.progress
    }

    /// Leaves what has been dropped, and what is still there, behind and goes on from the end of the log; whether a closing
    /// event was among it.
    pub fn skip(&mut self) -> bool {
        let state = lock(&self.log.0.state);
        let closed = state.was_closed_since(&self.channels, self.at.position);
        self.at.position = state.head();
        closed
    }

    /// Goes on from `position`, which may have been read before.
    pub const fn go_to(&mut self, position: Position) {
        self.at.position = position;
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

impl Remembered {
    fn is_of(&self, cursor: &Cursor) -> bool {
        self.from == cursor.at.position
            && self.lag == cursor.at.lag
            && self.channels == cursor.channels
            && self.head == cursor.log.position()
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        lock(&self.log.0.state).release(self.keys.as_slice(), Instant::now());
    }
}

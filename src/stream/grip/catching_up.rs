//! What came on reliable channels before the place from which a connection reads all of its channels.
//!
//! Django may name an item of a few minutes ago as the newest that the client has. What came since on that channel is still
//! in the log, but of the other channels, whose items of that time nobody is owed, it may be gone. So each such channel is
//! read by itself, up to where the reading of all begins. In the order of each channel, not over all of them.

use std::collections::VecDeque;

use crate::domain::{ChannelName, Frame, Position, StreamId};
use crate::history::{Cursor, Log, Progress};
use crate::wire::grip::Stored;

/// The most items of one read.
const READ: usize = 32;

/// The channels that are still to be read, and up to where.
#[derive(Debug)]
pub(super) struct CatchingUp {
    waiting: VecDeque<(ChannelName, Position)>,
    now: Option<Cursor>,
    until: Position,
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caught {
    /// There may be more.
    Some,
    /// Nothing is left.
    All,
    /// Something is gone from the log.
    Gap,
}

impl CatchingUp {
    /// Each of `channels` from its place, up to `until`; `None` if there is nothing between.
    pub(super) fn new(
        channels: impl Iterator<Item = (ChannelName, Position)>,
        until: Position,
    ) -> Option<Self> {
        let waiting: VecDeque<_> = channels.filter(|(_, from)| *from < until).collect();
        (!waiting.is_empty()).then_some(Self {
            waiting,
            now: None,
            until,
        })
    }

    /// Puts the next items into `out`, which is empty.
    pub(super) fn read(
        &mut self,
        log: &Log,
        stream: StreamId,
        out: &mut VecDeque<Frame>,
    ) -> Caught {
        let Some(cursor) = &mut self.now else {
            let Some((channel, from)) = self.waiting.pop_front() else {
                return Caught::All;
            };
            self.now = Some(log.cursor([channel], from));
            return Caught::Some;
        };
        let progress = cursor.read(stream, READ, out);
        let is_due = |frame: &Frame| {
            Stored::read(frame).is_some_and(|item| Position::after(item.seq) <= self.until)
        };
        let due = out.iter().take_while(|frame| is_due(frame)).count();
        let is_over = due < out.len() || progress == Progress::UpToDate;
        out.truncate(due);
        match progress {
            Progress::Gap | Progress::Doubt => return Caught::Gap,
            Progress::More | Progress::UpToDate | Progress::Closed => {}
        }
        if is_over {
            self.now = None;
        }
        Caught::Some
    }
}

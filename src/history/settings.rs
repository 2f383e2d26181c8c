//! What history retains, and how far back one reader may go in it.

use std::time::Duration;

use crate::domain::ByteSize;

/// The limits of the log: whichever is reached first drops the oldest event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Events kept for each channel. Default 256.
    pub events: usize,
    /// How long an event is kept. Default 10 minutes.
    pub age: Duration,
    /// Memory of all channels together, overhead included. Default 256 MiB.
    pub memory: ByteSize,
    /// What an open stream may lag behind the events that are kept, for each channel. Default 256 KiB.
    pub lag: ByteSize,
    /// How long a closed channel answers 204 to those who have seen the closing event. Default 10 minutes.
    pub closed_for: Duration,
}

/// What a reader is given of the log, which may retain more for the sake of others. For the reader it is as if the log
/// retained no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The newest events of each channel that can be resumed from. Default 256.
    pub events: usize,
    /// How old they may be. Default 10 minutes.
    pub age: Duration,
    /// What it may lag behind the window of a channel while it is open. Default 256 KiB.
    pub lag: ByteSize,
    /// How long the end of a channel is remembered. Default 10 minutes.
    pub closed_for: Duration,
}

impl Settings {
    /// A log that retains what a reader of `reach` may be given, within `memory`.
    pub const fn new(memory: ByteSize, reach: Reach) -> Self {
        Self {
            events: reach.events,
            age: reach.age,
            memory,
            lag: reach.lag,
            closed_for: reach.closed_for,
        }
    }

    /// All that the log retains.
    pub const fn reach(&self) -> Reach {
        Reach {
            events: self.events,
            age: self.age,
            lag: self.lag,
            closed_for: self.closed_for,
        }
    }
}

impl Reach {
    /// What is needed for a reader of this and for one of `other`.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self {
            events: self.events.max(other.events),
            age: self.age.max(other.age),
            lag: self.lag.max(other.lag),
            closed_for: self.closed_for.max(other.closed_for),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            events: 256,
            age: Duration::from_secs(600),
            memory: ByteSize::mib(256),
            lag: ByteSize::kib(256),
            closed_for: Duration::from_secs(600),
        }
    }
}

impl Default for Reach {
    fn default() -> Self {
        Settings::default().reach()
    }
}

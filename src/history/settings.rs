//! What history retains.

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

//! What changes about who is on which channel, as Django is told. Made by `hub`, written down by `wire::presence`.

use jiff::Timestamp;

use super::{ChannelName, UserId};

/// One change, and when it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What changed.
    pub what: What,
    /// By the clock of this machine.
    pub at: Timestamp,
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Nobody is anywhere, whatever was told before: what is so nevertheless is told anew.
    Reset,
    /// A channel has its first stream.
    InUse(ChannelName),
    /// A user has the first stream on a channel.
    Joined(ChannelName, UserId),
    /// A user has no stream on a channel any more.
    Left(ChannelName, UserId),
    /// A channel has no stream any more.
    Empty(ChannelName),
}

//! The words of this program as types: floor 0.
//!
//! No I/O, no clock, no logging. A value of these types is valid by construction, so nobody checks it twice.

mod channel;
mod conn;
mod event;
mod failure;
mod frame;
mod position;
mod presence;
mod size;

pub use channel::{ChannelName, ChannelPattern, InvalidChannel, InvalidPattern};
pub use conn::{ConnId, ConnInfo, Peer, RequestId, StreamId, UserId, is_local};
pub use event::{Event, EventName, InvalidField, Keep, PublisherId, RetryMs};
pub use failure::Failure;
pub use frame::Frame;
pub use position::{Epoch, EventId, Position};
pub use presence::{Change, What};
pub use size::{ByteSize, InvalidSize};

//! The event stream format (WHATWG HTML, 9.2), both ways: the face of its writer and its parser.
//!
//! `publish` encodes an event once with [`event()`]; `stream` begins with [`head`], keeps alive with [`HEARTBEAT`] and
//! says a gap with [`reset`]; recording, the tap and the command line read with [`Parser`]. Invariant: whatever the
//! bytes of a value, they cannot forge a field or end an event.

mod encode;
mod parse;

pub use encode::{HEARTBEAT, event, head, named, place, reset, retry};
pub use parse::{Parsed, Parser, TooLarge};

#[cfg(test)]
mod tests;

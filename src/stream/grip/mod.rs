//! Answers that Django has held, in the way of GRIP: streams that go on, polls that are answered later.
//!
//! `proxy` calls [`Streams::hold`](super::Streams::hold) with an answer that says so. A stream is a
//! [`Held`](super::Held) as any other, on foreign channels, with a [`Hold`] for what only it has: ids that must follow
//! one another, links to follow, a keep-alive of its own. A poll waits in the task of its connection. The connection is
//! on its channels before its client gets a byte, from the place that the log had before Django was asked: what was
//! published since is told apart by its ids.

mod answer;
mod catching_up;
mod held;
mod hold;
mod items;
mod links;
mod open;
mod poll;
#[cfg(test)]
mod tests;
mod tracking;
mod waiting;

pub use answer::Unreadable;
pub(in crate::stream) use hold::Hold;
pub(in crate::stream) use items::Rendered;
pub use links::{Links, Metrics, Site};
pub use open::{Caller, Heeded, Repeats};

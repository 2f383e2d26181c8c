//! The gateway as a whole, in process and on real sockets: a module per behaviour, what they share in `support`.
//!
//! A scripted backend stands behind it, a client that sends any bytes in front. Nothing here sleeps to let something
//! happen: each test waits for what it needs (an answer, an event, a count) under one generous patience.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::large_futures,
    unreachable_pub,
    missing_docs,
    reason = "a test that meets the unexpected fails at once, and nobody imports from here"
)]

mod asks;
mod draining;
mod failing;
mod hostile;
mod hosts;
mod house;
mod limits;
mod proxying;
mod publishing;
mod streams;
mod support;
mod websockets;

//! Formats, pure: bytes in, values out, and back. Floor 1.
//!
//! No I/O, no clock, no logging, no panic on any input.

pub mod headers;
pub mod problem;
pub mod publish;
pub mod sse;

//! Formats, pure: bytes in, values out, and back. Floor 1.
//!
//! No I/O, no clock, no logging, no panic on any input.

pub mod accept_encoding;
pub mod access;
pub mod ask;
pub mod basic;
pub mod conditional;
pub mod console;
pub mod cookies;
pub mod cors;
pub mod duration;
pub mod encoder;
pub mod forwarded;
pub mod grip;
pub mod guard;
pub mod headers;
pub mod host;
pub mod http1;
pub mod idempotency;
pub mod kick;
pub mod last_event_id;
pub mod media_type;
pub mod metrics;
pub mod openapi;
pub mod parameters;
pub mod path;
pub mod presence;
pub mod problem;
pub mod proxy_protocol;
pub mod publish;
pub mod python;
pub mod query;
pub mod range;
pub mod redis;
pub mod reload;
pub mod signed;
pub mod sse;
pub mod tap;
pub mod webhook;

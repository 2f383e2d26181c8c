//! HTTP/1.1 towards Django: how a request is written, and where its answer begins and ends.
//!
//! `upstream` reads and writes with it. Invariant: what is taken here can be read in one way only (RFC 9112); whatever a
//! reader behind us could frame otherwise is [`Invalid`] or a [`BadChunk`]. The bytes come in any pieces.

mod chunks;
mod head;
mod request;

pub use chunks::{BadChunk, Chunks, Step};
pub use head::{Framing, Head, Invalid, MOST_FIELDS, MOST_HEAD, end_of_head, is_no_answer, read};
pub use request::{field, number, request_line, shown, text};

#[cfg(test)]
mod tests;

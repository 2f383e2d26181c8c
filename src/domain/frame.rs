//! One event as it goes on the wire, encoded once and shared by every stream.

use bytes::Bytes;

/// The encoded bytes of one event (or of a comment): opaque to the log and the hub, given to every socket as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// Wraps bytes that an encoder of `wire` made.
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The length in bytes.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to send.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes; cloning them shares them.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The bytes, borrowed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

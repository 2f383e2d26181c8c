//! What one publish may hold.

use crate::domain::ByteSize;

/// `[publish]`, the tokens aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The longest `data` of one event. Default 256 KiB.
    pub max_event: ByteSize,
    /// The longest body of one publish. Default 10 MiB (`[limits] body`).
    pub max_body: ByteSize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_event: ByteSize::kib(256),
            max_body: ByteSize::mib(10),
        }
    }
}

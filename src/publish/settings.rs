//! What one publish may hold.

use std::collections::HashMap;

use crate::domain::ByteSize;
use crate::limits::Rate;

/// `[publish]`, the tokens aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The longest `data` of one event. Default 256 KiB.
    pub max_event: ByteSize,
    /// The longest body of one publish. Default 10 MiB (`[limits] body`).
    pub max_body: ByteSize,
    /// How many events a token may publish, by its name. Default unset: any number.
    pub rates: HashMap<String, Rate>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_event: ByteSize::kib(256),
            max_body: ByteSize::mib(10),
            rates: HashMap::new(),
        }
    }
}

//! What one publish may hold.

use std::collections::HashMap;
use std::time::Duration;

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
    /// How long an answer is repeated to who comes with the same `Idempotency-Key`. Default 5 minutes.
    pub idempotency: Duration,
    /// The longest pause in a body of lines. Default 2 minutes.
    pub ndjson_idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_event: ByteSize::kib(256),
            max_body: ByteSize::mib(10),
            rates: HashMap::new(),
            idempotency: Duration::from_secs(300),
            ndjson_idle: Duration::from_secs(120),
        }
    }
}

//! How Django is asked who may listen.

use std::time::Duration;

/// How many asks one upstream answers at the same time, unless the file says otherwise.
pub const AT_ONCE: usize = 8;

/// `sse = { ask = … }` of one route, the name of the upstream aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Asks in flight at once to that upstream; all its routes share one budget. Default 8.
    pub at_once: usize,
    /// How long an answer serves others with the same credentials and URL. Default zero: never.
    pub cache: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            at_once: AT_ONCE,
            cache: Duration::ZERO,
        }
    }
}

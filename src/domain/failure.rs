//! The closed set of reasons why something was not done: the metric label, and what decides status and log level.

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The client's request is wrong.
    Client,
    /// The client may not.
    Denied,
    /// A limit of ours was reached.
    Limited,
    /// Django could not be reached, or broke its answer.
    Upstream,
    /// Somebody took too long.
    Timeout,
    /// The fault is ours.
    Internal,
}

impl Failure {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Denied => "denied",
            Self::Limited => "limited",
            Self::Upstream => "upstream",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}

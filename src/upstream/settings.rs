//! Where one upstream is and how long it may take.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::grip::Grip;
use crate::domain::ByteSize;

/// The address of one server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Server {
    /// `host:port`; the host may be a name, resolved at each connect.
    Tcp(String),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[upstream.<name>]`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name in the configuration, in logs and in metrics.
    pub name: String,
    /// At least one; a request goes to the one with the fewest requests in flight.
    pub servers: Vec<Server>,
    /// To an open connection. Default 2 s.
    pub connect_timeout: Duration,
    /// From the last byte of the request to the first of the answer, and between two parts of a body that is no event
    /// stream. Default 65 s.
    pub response_timeout: Duration,
    /// How long an idle connection may be used again. Default 1.5 s, for gunicorn closes at 2 s.
    pub idle_reuse: Duration,
    /// How long a request is tried again while gunicorn restarts. Default 10 s.
    pub retry_for: Duration,
    /// Requests in flight at once; more wait in order. Set it to workers x threads, so that the queue is here and not in
    /// the socket's backlog. Default unset: no limit.
    pub max_in_flight: Option<NonZeroUsize>,
    /// How long a request waits for its turn. Default 10 s.
    pub queue_timeout: Duration,
    /// How much of a request body without a length is gathered in memory; the rest goes to a temp file. Default 1 MiB.
    pub buffer_request: ByteSize,
    /// Whether `SSE-Publish` headers of its answers are published. Default false.
    pub publish: bool,
    /// Whether its answers may be held in the way of GRIP, and how. Default unset: no.
    pub grip: Option<Grip>,
}

impl Settings {
    /// The defaults for the upstream `name` on `servers`.
    pub fn new(name: &str, servers: Vec<Server>) -> Self {
        Self {
            name: name.to_owned(),
            servers,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(65),
            idle_reuse: Duration::from_millis(1500),
            retry_for: Duration::from_secs(10),
            max_in_flight: None,
            queue_timeout: Duration::from_secs(10),
            buffer_request: ByteSize::mib(1),
            publish: false,
            grip: None,
        }
    }
}
